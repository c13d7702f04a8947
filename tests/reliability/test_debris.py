"""What killed runs leave is told from what others are writing, and is cleared."""

import os
import stat

import duckdb
import pytest

from linkage.errors import FamiliarFacesError, UsageError
from pipelines.debris import clear_debris
from pipelines.workspace import Workspace
from tests.reliability.trial import forked

NOBODY = 65_534
# Above the largest number that Linux gives to a process.
DEAD = 2**22 + 1


@pytest.fixture
def workspace(tmp_path):
    workspace = Workspace(tmp_path / "county")
    workspace.root.mkdir()
    workspace.county_file.write_text("", encoding="utf-8")
    workspace.prepare()
    return workspace


def test_drafts_of_the_dead_and_of_runs_go_and_everything_else_stays(workspace):
    root = workspace.root
    gone = (
        f".warehouse.duckdb.{DEAD}", f".registry.seed.{DEAD}", "models/.v1-00000000.json", "models/.newest",
        f"quality_docs/.index.html.{DEAD}", f"run_summaries/.page.md.{DEAD}", "review/.cases.sqlite.draft",
        f"quarantine/jail/.2024-03.csv.{DEAD}", f"briefs/.2024-04-01-a8b94693e8.html.{DEAD}",
        ".spill/duckdb_temp_storage-0.tmp",
    )  # fmt: skip
    kept = (
        "models/newest", "models/v1-00000000.json", ".run.lock", f"quality_docs/.index.html.{os.getppid()}",
        "quality_docs/index.html", f"landing/jail/.2024-03.draft/people.{DEAD}", "dagster/.telemetry.draft",
    )  # fmt: skip
    for name in (*gone, *kept):
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text("x", encoding="utf-8")
    clear_debris(root)
    assert [name for name in gone if (root / name).exists()] == []
    assert [name for name in kept if not (root / name).exists()] == []


def clear_as_nobody(root):
    if os.geteuid() == 0:
        os.setuid(NOBODY)
    clear_debris(root)


def test_a_release_that_was_closed_and_not_yet_in_place_can_be_cleared_by_its_owner(workspace):
    draft = workspace.releases / ".2024-04-01-0123456789.draft"
    draft.mkdir()
    (draft / "manifest.json").write_text("{}", encoding="utf-8")
    (draft / "manifest.json").chmod(stat.S_IRUSR)
    if os.geteuid() == 0:
        for path in (workspace.root, *workspace.root.rglob("*")):
            os.chown(path, NOBODY, NOBODY)
        for path in workspace.root.parents:
            if path.owner() == "root" and path.stat().st_mode & 0o077 == 0:
                path.chmod(0o711)
    draft.chmod(stat.S_IRUSR | stat.S_IXUSR)
    child = forked(clear_as_nobody, workspace.root)
    child.join()
    assert child.exitcode == 0
    assert not draft.exists()


def test_a_warehouse_that_is_damaged_is_not_called_busy(workspace):
    with duckdb.connect(workspace.warehouse) as connection:
        connection.execute("create table a as from range(1000)").fetchall()
    workspace.warehouse.write_bytes(b"no database" * 1000)
    with (
        pytest.raises(FamiliarFacesError, match="cannot be opened as a database") as refused,
        workspace.connect(),
    ):
        pass
    assert not isinstance(refused.value, UsageError)
