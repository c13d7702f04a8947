"""Who looked at what is on record, in order, and stays there."""

import datetime as dt
import sqlite3

import pytest

from quality.access_log import accesses, account, log_access

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


@pytest.fixture
def stewardship(tmp_path):
    file = tmp_path / "stewardship.sqlite"
    log_access(file, "A. Steward", "look at a case", now=NOW, about="00ff")
    log_access(file, account(), "publish", now=NOW + dt.timedelta(days=1), about="2026-03-01-0123456789")
    return file


def test_it_is_read_in_order_and_from_a_day_on(stewardship):
    assert accesses(stewardship).rows() == [
        ("2026-03-01T12:00:00+00:00", "A. Steward", "look at a case", "00ff"),
        ("2026-03-02T12:00:00+00:00", account(), "publish", "2026-03-01-0123456789"),
    ]
    assert accesses(stewardship, since=dt.date(2026, 3, 2))["what"].to_list() == ["publish"]


def test_before_the_first_access_it_is_empty_and_reading_makes_no_file(tmp_path):
    assert accesses(tmp_path / "stewardship.sqlite").is_empty()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("statement", ["delete from access", "update access set who = 'B'"])
def test_nothing_of_it_can_be_changed(stewardship, statement):
    with (
        sqlite3.connect(stewardship) as store,
        pytest.raises(sqlite3.IntegrityError, match="only ever appended"),
    ):
        store.execute(statement)
