"""The demonstration: a simulated county from raw extracts to a release, with every part played for real.

The agencies' side (names, keys) lies in a folder of its own beside the workspace, as it would on other machines;
the workspace never sees it.
"""

import time
from pathlib import Path

import polars as pl

from linkage.encoding.code_lists import CodeListChoice, load_code_lists
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key, KeyKind, load_key, write_new_key
from linkage.encoding.rejoin import client_ids_of
from linkage.progress import say, step, track
from linkage.source import declared_sources
from pipelines.headline import headline
from pipelines.run import refresh
from pipelines.workspace import Workspace
from sample_data.county import county_file_text, simulate


def run_demo(root: Path, *, people: int, months: int, seed: int) -> None:
    """Simulate, encode, run and release; print the headline numbers and what to open next.

    Running it again with the same arguments changes nothing; other arguments need another workspace.
    """
    started = time.monotonic()
    agencies = root.with_name(f"{root.name}-agencies")
    with step(f"Simulating a county of {people:,} people over {months} months"):
        county = simulate(people=people, months=months, seed=seed, out=agencies)
    project_key = _key(agencies / "keys" / "project.key", "project")
    workspace = Workspace(root)
    root.mkdir(parents=True, exist_ok=True, mode=0o700)
    workspace.county_file.write_text(
        county_file_text(project_key_check=project_key.key_check), encoding="utf-8"
    )
    workspace.prepare()
    with step("Encoding at the agencies"):
        _encode_all(agencies, workspace, project_key)
    say(refresh(workspace, as_of=county.as_of))
    truth = _truth_as_delivered(agencies)
    say(f"{headline(workspace, truth)}\nDone in {time.monotonic() - started:.0f} s.")


def _encode_all(agencies: Path, workspace: Workspace, project_key: Key) -> None:
    code_lists = load_code_lists(CodeListChoice(**workspace.settings().code_lists))
    extracts = [
        (source, folder)
        for source in declared_sources().values()
        # A declared source that the county does not simulate has no extracts.
        for folder in sorted((agencies / "raw" / source.name).glob("*"))
    ]
    agency_keys = {name: _key(agencies / "keys" / f"{name}.key", "agency") for name in declared_sources()}
    for source, folder in track(extracts, "Encoding extracts"):
        encode_extract(
            source=source,
            raw_folder=folder,
            month=folder.name,
            project_key=project_key,
            agency_key=agency_keys[source.name],
            landing=workspace.landing,
            code_lists=code_lists,
        )


def _truth_as_delivered(agencies: Path) -> Path:
    """Who is who, by the pseudonymous ids that the county sees; only the agencies' keys can make this file."""
    truth = pl.read_parquet(agencies / "truth.parquet")
    as_delivered = pl.concat(
        of_source.with_columns(
            client_ids_of(of_source["client_id"], _key(agencies / "keys" / f"{name}.key", "agency"))
        )
        for (name,), of_source in truth.partition_by("source", as_dict=True).items()
    )
    path = agencies / "truth_as_delivered.parquet"
    as_delivered.write_parquet(path)
    return path


def _key(path: Path, kind: KeyKind) -> Key:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    return load_key(kind, path) if path.exists() else write_new_key(path, kind)
