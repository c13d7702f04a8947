"""What the desk shows, in a file of its own: written whole by the pipeline, replaced in one rename.

It holds agreement levels, match weights, pseudonymous ids and when encounters were; no token, no name, no flag.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import polars as pl

from linkage.errors import UsageError
from linkage.review_cases import ReviewCases

_TABLES = ("cases", "evidence", "encounters", "companions")


def write_snapshot(path: Path, found: ReviewCases, *, as_of: str) -> None:
    """Write the cases to an SQLite file, readable by its owner only; who reads the old one keeps it.

    Tables are those of `ReviewCases`, times as ISO 8601 text, and `snapshot`: one row with model_version,
    link_weight, prior_weight and as_of.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    draft = path.with_name(f".{path.name}.draft")
    draft.unlink(missing_ok=True)
    with contextlib.closing(sqlite3.connect(draft)) as file, file:
        os.chmod(draft, 0o600)  # noqa: PTH101
        for table in _TABLES:
            _write_table(file, table, getattr(found, table))
            file.execute(f"create index {table}_of_case on {table} (case_id)")
        file.execute(
            "create table snapshot as select ? as model_version, ? as link_weight, ? as prior_weight, ? as as_of",
            (found.model_version, found.link_weight, found.prior_weight, as_of),
        )
    draft.replace(path)


def _write_table(file: sqlite3.Connection, table: str, rows: pl.DataFrame) -> None:
    as_text = rows.with_columns(pl.col(pl.Datetime).dt.strftime("%Y-%m-%dT%H:%M:%S"))
    file.execute(f"create table {table} ({', '.join(rows.columns)})")
    file.executemany(f"insert into {table} values ({', '.join('?' * rows.width)})", as_text.iter_rows())


@dataclass(frozen=True, kw_only=True)
class Case:
    """One pair of clients; fields as the columns of `ReviewCases.cases`."""

    case_id: str
    position: int
    kind: str
    reason: str
    source_l: str
    client_id_l: str
    source_r: str
    client_id_r: str
    match_weight: float
    match_probability: float
    unadjusted_match_weight: float
    adjustment: str | None
    blocking_rule: str
    linked: bool
    affected: int
    information: float
    encounters_l: int
    encounters_r: int


@dataclass(frozen=True, kw_only=True)
class Evidence:
    """What one comparison found; fields as the columns of `ReviewCases.evidence`."""

    comparison: str
    level: str
    says: str
    tells_nothing: bool
    share: float | None
    match_weight: float


@dataclass(frozen=True, kw_only=True)
class ShownEncounter:
    """One encounter of one side; times are local, ISO 8601."""

    side: str
    source: str
    kind: str
    started_at: str
    ended_at: str | None
    is_open: bool
    is_stay: bool


class Snapshot:
    """One snapshot, read-only. Every method reads the file that was there when the object was made."""

    def __init__(self, path: Path) -> None:
        if not path.is_file():
            raise UsageError("No run has prepared cases yet. Run `familiar-faces run`, then come back.")
        self._file = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro&immutable=1", uri=True)
        self._file.row_factory = sqlite3.Row

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    @cached_property
    def about(self) -> Mapping[str, Any]:
        """model_version, link_weight, prior_weight and as_of."""
        return dict(self._file.execute("select * from snapshot").fetchone())

    def cases(self) -> list[Case]:
        """Every case, in the order of the queue."""
        rows = self._file.execute("select * from cases order by position")
        return [_case(row) for row in rows]

    def case(self, case_id: str) -> Case | None:
        """One case, or None when this snapshot does not have it."""
        row = self._file.execute("select * from cases where case_id = ?", (case_id,)).fetchone()
        return None if row is None else _case(row)

    def evidence(self, case_id: str) -> list[Evidence]:
        """What each comparison found, in the model's order."""
        rows = self._file.execute(
            "select comparison, level, says, tells_nothing, share, match_weight from evidence where case_id = ? "
            "order by position",
            (case_id,),
        )
        return [Evidence(**{**dict(row), "tells_nothing": bool(row["tells_nothing"])}) for row in rows]

    def encounters(self, case_id: str) -> list[ShownEncounter]:
        """The encounters of both clients, the earliest first."""
        rows = self._file.execute(
            "select side, source, kind, started_at, ended_at, is_open, is_stay from encounters "
            "where case_id = ? order by started_at, side, kind",
            (case_id,),
        )
        return [
            ShownEncounter(**{**dict(row), "is_open": bool(row["is_open"]), "is_stay": bool(row["is_stay"])})
            for row in rows
        ]

    def companions(self, case_id: str) -> dict[str, list[tuple[str, int]]]:
        """By side, how many other clients of which source share its cluster."""
        found: dict[str, list[tuple[str, int]]] = {"l": [], "r": []}
        rows = self._file.execute(
            "select side, source, clients from companions where case_id = ? order by side, source", (case_id,)
        )
        for row in rows:
            found[row["side"]].append((row["source"], row["clients"]))
        return found


@contextlib.contextmanager
def opened_snapshot(path: Path) -> Iterator[Snapshot]:
    """The snapshot as it is now. UsageError when no run has written one."""
    snapshot = Snapshot(path)
    try:
        yield snapshot
    finally:
        snapshot.close()


def _case(row: sqlite3.Row) -> Case:
    return Case(**{**dict(row), "linked": bool(row["linked"])})
