"""Fixtures of the tests of reliability: a tiny county before its third month, and how that month ends undisturbed."""

import contextlib
import fcntl
import json
import shutil
import sqlite3
from pathlib import Path

import pytest

from pipelines.releases.release import current_release, verify
from pipelines.workspace import Workspace
from sample_data.county import simulate
from sample_data.tiny_county import TINY_COUNTY
from tests.pipelines.simulated_county import SimulatedCounty
from tests.reliability.trial import run_trial, started

_ENOUGH_TO_TRAIN_ON = {"people": 7_000, "months": 5, "seed": 1}


@pytest.fixture(scope="session")
def before_third_month(tmp_path_factory, worker_id):
    """The tiny county after two months, its third delivered and not yet run. Work on copies."""
    county, _ = _made_once(tmp_path_factory, worker_id)
    return county


@pytest.fixture(scope="session")
def undisturbed(tmp_path_factory, worker_id):
    """What the third month comes to without a disturbance: see `outcome`; and `seconds`, which the run took."""
    _, outcome_file = _made_once(tmp_path_factory, worker_id)
    return json.loads(outcome_file.read_text(encoding="utf-8"))


@pytest.fixture
def county(before_third_month, tmp_path):
    """A copy of the county whose third month waits to be run."""
    return before_third_month.copy(tmp_path / "county")


def outcome(county):
    """Everything that must not depend on a disturbance, as JSON has it: rows and checksum of every table (the persons'
    ids with them), and the current release with the checksums of its tables and files.
    """
    release = current_release(county.workspace)
    assert verify(release) == []
    manifest = {name: release.manifest[name] for name in ("state", "relations", "checks")}
    return json.loads(
        json.dumps(
            {
                "tables": county.warehouse_checksums(),
                "release": release.release_id,
                "manifest": manifest,
            },
            default=str,
        )
    )


def nothing_left_behind(county):
    """Fail where a draft, spilled rows or a write-ahead log stayed, a run counts as under way, or the lock is held."""
    root = county.workspace.root
    hidden = [
        str(path.relative_to(root))
        for path in root.rglob(".*")
        if path.relative_to(root).parts[0] != "dagster" and path.name not in (".run.lock", ".spill")
    ]
    assert not hidden
    assert not list((root / ".spill").glob("*"))
    assert not list(root.glob("*.wal"))
    with contextlib.closing(sqlite3.connect(root / "dagster" / "history" / "runs.db")) as history:
        ended = history.execute("select distinct status from runs").fetchall()
    assert {status for (status,) in ended} <= {"SUCCESS", "FAILURE"}
    with county.workspace.only_run():
        pass


def _made_once(tmp_path_factory, worker_id):
    base = tmp_path_factory.getbasetemp()
    shared = (base if worker_id == "master" else base.parent) / "reliability"
    shared.mkdir(exist_ok=True)
    outcome_file = shared / "outcome.json"
    county = SimulatedCounty(Workspace(shared / "county"), TINY_COUNTY)
    with (shared / "lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not outcome_file.exists():
            _make(shared, outcome_file)
    return county, outcome_file


def _make(shared: Path, outcome_file: Path) -> None:
    simulate(**_ENOUGH_TO_TRAIN_ON, out=shared / "larger")
    larger = SimulatedCounty.new(shared / "larger_county", shared / "larger")
    larger.deliver(*larger.months)
    trained = started(larger.workspace.root, command="train")
    assert trained.finish() == 0, trained.said
    county = SimulatedCounty.new(shared / "county", TINY_COUNTY)
    shutil.copytree(larger.workspace.models, county.workspace.models, dirs_exist_ok=True)
    shutil.rmtree(larger.workspace.root)
    county.deliver(*county.months[:2])
    first = run_trial(county.workspace.root)
    assert first.code == 0, first.said
    county.deliver(county.months[2])
    copy = county.copy(shared / "undisturbed")
    second = run_trial(copy.workspace.root)
    assert second.code == 0, second.said
    nothing_left_behind(copy)
    outcome_file.write_text(
        json.dumps({**outcome(copy), "seconds": second.seconds, "steps": second.said.count(" s\n")})
    )
