"""Dagster's event log, kept open: what it remembers and what it looks for again."""

import contextlib
import sqlite3

import pytest
from dagster._core.storage.event_log import SqliteEventLogStorage

from pipelines.operations.history import KeptOpenEventLog


@pytest.fixture
def event_log(tmp_path):
    log = KeptOpenEventLog(str(tmp_path))
    yield log
    log.dispose()


def test_a_table_that_was_seen_is_not_looked_for_with_every_check(event_log, monkeypatch):
    looked_for = []
    look = SqliteEventLogStorage.has_table
    monkeypatch.setattr(
        SqliteEventLogStorage, "has_table", lambda log, name: looked_for.append(name) or look(log, name)
    )
    assert event_log.supports_asset_checks
    assert event_log.supports_asset_checks
    assert len(looked_for) == 1


def test_a_table_that_is_missing_is_looked_for_again(event_log, tmp_path):
    assert not event_log.has_table("later")
    with contextlib.closing(sqlite3.connect(tmp_path / "index.db")) as index:
        index.execute("create table later (number integer)")
        index.commit()
    assert event_log.has_table("later")
