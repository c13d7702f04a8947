"""A full disk, two runs at once, readers during a publication, a clock that jumps: a sentence or nothing at all."""

import shutil
import time

import duckdb
import pytest

from pipelines.releases.release import current_release
from pipelines.workspace import Workspace
from tests.pipelines.simulated_county import SimulatedCounty, open_release
from tests.reliability.conftest import nothing_left_behind, outcome
from tests.reliability.disturbances import jump_clock, run_on_a_full_disk
from tests.reliability.trial import forked, pipe, run_trial, started

pytestmark = pytest.mark.slow

_MIB = 2**20
_PEOPLE = "select count(*), sum(hash(person)::hugeint)::varchar from person"


def is_as_undisturbed(county, undisturbed):
    nothing_left_behind(county)
    found = outcome(county)
    return found == {name: undisturbed[name] for name in found}


def read_when_asked(database, questions):
    """An analyst in a process of their own, with the release open all the while."""
    with duckdb.connect(database, read_only=True) as release:
        while questions.recv():
            questions.send(release.execute(_PEOPLE).fetchall())


def test_two_runs_at_once_and_a_reader_of_the_release_end_well(county, undisturbed):
    before = current_release(county.workspace)
    ours, theirs = pipe()
    analyst = forked(
        read_when_asked, str((county.workspace.releases / "current").resolve() / before.database.name), theirs
    )
    ours.send("how many people?")
    read_before = ours.recv()

    first = started(county.workspace.root)
    while "Job refresh" not in first.said:
        assert first.child.is_alive(), first.said
        time.sleep(0.05)
    second = started(county.workspace.root, said_as="second")
    assert second.finish() == 2
    assert "Another run" in second.complaint
    assert first.finish() == 0, first.said

    ours.send("and now?")
    assert ours.recv() == read_before
    ours.send(None)
    analyst.join()
    assert is_as_undisturbed(county, undisturbed)
    assert current_release(county.workspace).release_id != before.release_id
    with open_release(county.workspace) as release:
        assert release.execute(_PEOPLE).fetchall() != read_before


def test_a_clock_that_jumps_changes_no_table_and_no_release(county, undisturbed):
    run = run_trial(county.workspace.root, disturb=jump_clock)
    assert run.code == 0, run.said
    assert is_as_undisturbed(county, undisturbed)


def test_a_full_disk_is_said_and_the_next_run_with_room_completes(before_third_month, undisturbed, tmp_path):
    before = current_release(before_third_month.workspace).release_id
    used = sum(path.stat().st_size for path in before_third_month.workspace.root.rglob("*") if path.is_file())
    rooms = (64 * 1024, 5 * _MIB)
    ended = ends(run_on_a_full_disk, before_third_month, tmp_path, used + 400 * _MIB, rooms)
    if ended is None:
        pytest.skip("this system gives a user no disk of their own to fill")
    *full, (code, said, current) = ended
    for room, (code_when_full, said_when_full, current_when_full) in zip(rooms, full, strict=True):
        assert code_when_full == 2, (room, said_when_full)
        assert current_when_full == before, room
        complaints = [line for line in said_when_full.splitlines() if line.startswith("familiar-faces:")]
        assert len(complaints) == 1, said_when_full
        assert "full" in complaints[0], (room, said_when_full)
        assert "Traceback" not in said_when_full, (room, said_when_full)
    assert code == 0, said
    assert current == undisturbed["release"]
    assert is_as_undisturbed(
        SimulatedCounty(Workspace(tmp_path / "out"), before_third_month.agencies), undisturbed
    )


def ends(work, county, tmp_path, size, rooms):
    """How each run ended: exit code, what was said, the current release; None where the system forbids the trial."""
    ours, theirs = pipe()
    child = forked(work, county.workspace.root, tmp_path / "out", size, rooms, theirs)
    theirs.close()
    answers = []
    try:
        while len(answers) <= len(rooms):
            answers.append(ours.recv())
            if isinstance(answers[0], OSError):
                shutil.rmtree(tmp_path / "disk", ignore_errors=True)
                return None
    finally:
        child.join()
    return answers


@pytest.mark.parametrize("folder", ["2014-12", "2024-13", "march"])
def test_a_delivery_in_a_folder_that_is_no_month_to_deliver_is_refused_by_its_folder(county, folder):
    shutil.copytree(
        county.workspace.landing / "jail" / county.months[2], county.workspace.landing / "jail" / folder
    )
    run = run_trial(county.workspace.root)
    assert run.code == 3, run.said
    assert f"jail/{folder}" in run.complaint
