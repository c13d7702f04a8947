"""The access log: who looked at what, signed, published, recalled or took something back, and when.

It is appended to the stewardship file and never changed. What it cannot see is a release's file being opened: DuckDB
opens it without us, so that is the file system's to record (docs/privacy.md).
"""

import contextlib
import datetime as dt
import getpass
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import polars as pl

from linkage.stewardship import opened_stewardship

_SCHEMA = """
create table if not exists access (
    access_number integer primary key,
    accessed_at text not null,
    who text not null,
    what text not null,
    about text
);
"""

COLUMNS = ("accessed_at", "who", "what", "about")


def account() -> str:
    """The account of this machine under which a command or a scheduled run works."""
    return f"account {getpass.getuser()}"


def log_access(stewardship: Path, who: str, what: str, *, now: dt.datetime, about: str | None = None) -> None:
    """Append that a steward or an account did `what`; `about` is the id of the case or of the release."""
    with _opened(stewardship) as store:
        store.execute(
            "insert into access (accessed_at, who, what, about) values (?, ?, ?, ?)",
            (now.astimezone(dt.UTC).isoformat(timespec="seconds"), who, what, about),
        )


def accesses(stewardship: Path, *, since: dt.date | None = None) -> pl.DataFrame:
    """What was logged, in order: accessed_at (ISO, UTC), who, what, about."""
    rows: list[tuple[str, ...]] = []
    if stewardship.exists():
        with _opened(stewardship) as store:
            rows = store.execute(
                f"select {', '.join(COLUMNS)} from access where accessed_at >= ? order by access_number",
                (since.isoformat() if since else "",),
            ).fetchall()
    return pl.DataFrame(rows, schema=dict.fromkeys(COLUMNS, pl.String), orient="row")


@contextlib.contextmanager
def _opened(stewardship: Path) -> Iterator[sqlite3.Connection]:
    with opened_stewardship(stewardship, _SCHEMA, append_only=("access",)) as store:
        yield store
