"""The workspace's linkage models: one file per version, never overwritten."""

from pathlib import Path

from linkage.errors import UsageError
from linkage.model_file import Model
from pipelines.workspace import Workspace

NEWEST = "newest"


def keep_model(workspace: Workspace, model: Model) -> Path:
    """Write a trained model beside the older ones and make it the newest; returns its file."""
    path = _model_file(workspace, model.version)
    if not path.exists():
        draft = path.with_name(f".{path.name}")
        model.save(draft)
        draft.replace(path)
    newest = workspace.models / ".newest"
    newest.write_text(model.version, encoding="ascii")
    newest.replace(workspace.models / NEWEST)
    return path


def chosen_model(workspace: Workspace, choice: str) -> Model | None:
    """The model that the county file chooses: a version, or the newest; None when none was ever trained.

    Raises UsageError when the version it names is not there.
    """
    newest = workspace.models / NEWEST
    if choice == NEWEST:
        if not newest.exists():
            return None
        choice = newest.read_text(encoding="ascii").strip()
    path = _model_file(workspace, choice)
    if not path.exists():
        known = ", ".join(sorted(file.stem for file in workspace.models.glob("*.json"))) or "none"
        raise UsageError(
            f"county.toml, [linkage] model: there is no {path}. Trained models: {known}; or set it to {NEWEST!r}."
        )
    return Model.load(path)


def _model_file(workspace: Workspace, version: str) -> Path:
    return workspace.models / f"{version}.json"
