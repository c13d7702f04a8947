"""Fixtures of the tests of reliability: a tiny county before its third month, and how that month ends undisturbed."""

import contextlib
import json
import sqlite3

import pytest

from pipelines.releases.release import current_release, verify
from pipelines.workspace import Workspace
from tests.pipelines.finished_counties import finished_county, made_once, shared, tiny_county
from tests.pipelines.simulated_county import SimulatedCounty
from tests.reliability.trial import run_trial

__all__ = ["before_third_month", "county", "finished_county", "shared", "tiny_county", "undisturbed"]


@pytest.fixture(scope="session")
def before_third_month(shared, tiny_county):
    """The tiny county after two months, its third delivered and not yet run. Work on copies."""

    def make(root):
        waiting = tiny_county.copy(root)
        waiting.deliver(waiting.months[2])

    root = made_once(shared / "before_third_month", make)
    return SimulatedCounty(Workspace(root), tiny_county.agencies)


@pytest.fixture(scope="session")
def undisturbed(shared, before_third_month):
    """What the third month comes to without a disturbance: see `outcome`; and `seconds`, which the run took."""

    def make(root):
        county = before_third_month.copy(root)
        run = run_trial(county.workspace.root)
        assert run.code == 0, run.said
        nothing_left_behind(county)
        (root / "outcome.json").write_text(json.dumps({**outcome(county), "seconds": run.seconds}))

    root = made_once(shared / "undisturbed", make)
    return json.loads((root / "outcome.json").read_text(encoding="utf-8"))


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
