"""What a killed run leaves beside the files that it was writing, and how the next run takes it away.

Every file is put in place by one rename, so a killed run leaves drafts and spilled rows, never half a file. Drafts may
hold what the file would have held (a copy of the warehouse, the seed of the registry), so they do not stay.
"""

import os
import re
import shutil
from pathlib import Path

_DRAFT_OF_A_PROCESS = re.compile(r"\..+\.(?P<process>[0-9]+)")
_DRAFT_OF_A_RUN = re.compile(r"\..+\.draft|\.newest|\..+\.json")
_IN_FOLDERS = (
    "briefs",
    "models",
    "quality_docs",
    "quarantine",
    "releases",
    "returns",
    "review",
    "run_summaries",
)
SPILL = ".spill"


def clear_debris(root: Path) -> None:
    """Delete the drafts and the spilled rows of killed runs in the workspace at `root`.

    The caller holds the workspace, so no other run is at work there. A steward's page, a sign-off or an encoder may
    be: drafts of a process that lives are left, and landing is not looked at, for encoders clear their own.
    """
    shutil.rmtree(root / SPILL, ignore_errors=True)
    folders = [root, *(root / name for name in _IN_FOLDERS)]
    folders += [path for path in (root / "quarantine").glob("*") if path.is_dir()]
    for draft in [path for folder in folders for path in folder.glob(".*")]:
        of_process = _DRAFT_OF_A_PROCESS.fullmatch(draft.name)
        if (of_process and not _lives(int(of_process["process"]))) or (
            _DRAFT_OF_A_RUN.fullmatch(draft.name) and draft.parent != root
        ):
            _delete(draft)


def _delete(draft: Path) -> None:
    if draft.is_symlink() or not draft.is_dir():
        draft.unlink(missing_ok=True)
        return
    # A release is closed against writing before it is renamed, and its owner cannot empty it then.
    draft.chmod(0o700)
    shutil.rmtree(draft)


def _lives(process: int) -> bool:
    if process == os.getpid():
        return False
    try:
        os.kill(process, 0)
    except ProcessLookupError:
        return False
    except (PermissionError, OverflowError):
        pass
    return True
