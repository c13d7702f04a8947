"""A tombstone is recorded once, says nothing of why, and is never a name."""

import datetime as dt
import sqlite3

import pytest

from linkage.errors import UsageError
from linkage.tombstones import (
    Tombstone,
    every_tombstone,
    mark_erased,
    read_retraction_file,
    record_tombstones,
    tombstones_in_force,
)

CLIENT, ENCOUNTER = "0a" * 16, "1b" * 16
NOW = dt.datetime(2026, 1, 20, 12, tzinfo=dt.UTC)
TODAY = NOW.date()


@pytest.fixture
def stewardship(tmp_path):
    return tmp_path / "stewardship.sqlite"


def test_a_retraction_file_is_read_line_by_line(tmp_path):
    file = tmp_path / "retractions.csv"
    file.write_text(f"source,client_id,encounter_id\nshelter,{CLIENT},\nshelter,,{ENCOUNTER}\n")
    read = read_retraction_file(file, TODAY)
    assert [(each.client_id, each.encounter_id) for each in read] == [(CLIENT, None), (None, ENCOUNTER)]
    file.write_text("source,client_id,encounter_id\nshelter,Montgomery,Robert\n", encoding="utf-8")
    with pytest.raises(UsageError, match="line 2: it needs a declared source") as raised:
        read_retraction_file(file, TODAY)
    assert "Montgomery" not in str(raised.value)


def test_the_same_retraction_twice_is_one(stewardship):
    mark = Tombstone(source="jail", client_id=CLIENT, effective_on=TODAY)
    assert record_tombstones(stewardship, [mark, mark], recorded_by="A", now=NOW) == 1
    assert record_tombstones(stewardship, [mark], recorded_by="A", now=NOW) == 0
    with pytest.raises(UsageError, match="the name of whoever records it"):
        record_tombstones(stewardship, [mark], recorded_by=" ", now=NOW)


@pytest.mark.parametrize("written", ["Montgomery", CLIENT.upper(), CLIENT[:-1], "", CLIENT + "\n"])
def test_only_a_pseudonymous_id_can_be_retracted_and_the_refusal_repeats_nothing(written):
    with pytest.raises(UsageError) as raised:
        Tombstone(source="jail", client_id=written, effective_on=TODAY)
    assert not written or written not in str(raised.value)


def test_it_holds_from_its_day_and_is_marked_when_it_was_carried_out(stewardship):
    tomorrow = TODAY + dt.timedelta(days=1)
    record_tombstones(
        stewardship,
        [
            Tombstone(source="jail", client_id=CLIENT, effective_on=TODAY),
            Tombstone(source="ems", encounter_id=ENCOUNTER, effective_on=tomorrow),
        ],
        recorded_by="A",
        now=NOW,
    )
    assert tombstones_in_force(stewardship, TODAY)["source"].to_list() == ["jail"]
    mark_erased(stewardship, TODAY, now=NOW)
    assert every_tombstone(stewardship)["erased_at"].to_list() == ["2026-01-20T12:00:00+00:00", None]
    mark_erased(stewardship, tomorrow, now=NOW + dt.timedelta(days=1))
    assert every_tombstone(stewardship)["erased_at"].to_list() == [
        "2026-01-20T12:00:00+00:00",
        "2026-01-21T12:00:00+00:00",
    ]


def test_nothing_of_it_can_be_changed_and_only_its_owner_reads_it(stewardship):
    mark = Tombstone(source="jail", client_id=CLIENT, effective_on=TODAY)
    record_tombstones(stewardship, [mark], recorded_by="A", now=NOW)
    with (
        sqlite3.connect(stewardship) as store,
        pytest.raises(sqlite3.IntegrityError, match="only ever appended"),
    ):
        store.execute("delete from retraction")
    assert stewardship.stat().st_mode & 0o777 == 0o600
