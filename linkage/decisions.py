"""What stewards decided about pairs of clients: these are one person, or these are not.

Decisions are keyed on source clients (source, client_id), never on person ids, so that they survive every
rerun, merge, new delivery and new model. They are only ever appended: a later decision on the same pair
takes the place of an earlier one, and both stay on record. They live in a small SQLite file of their own,
apart from the warehouse, which is rebuilt at will. Nothing in it is identity in the clear.
"""

import hashlib
import json
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from linkage.errors import UsageError


class Judgement(StrEnum):
    """What a steward can say about two clients."""

    LINK = "link"
    """They are one person: united before anything else, whatever the records say."""

    DO_NOT_LINK = "do_not_link"
    """They are two people: never in one cluster, whatever the records say."""

    WITHDRAWN = "withdrawn"
    """Nothing any more: what was decided before no longer holds, and the records speak again."""


@dataclass(frozen=True, kw_only=True)
class Decision:
    """One steward's judgement of two clients, at a moment (with time zone), having seen what a model
    said.
    """

    source_l: str
    client_id_l: str
    source_r: str
    client_id_r: str
    decision: Judgement
    decided_by: str
    decided_at: datetime
    model_version: str

    def __post_init__(self) -> None:
        if (self.source_l, self.client_id_l) == (self.source_r, self.client_id_r):
            raise UsageError("A decision needs two different clients. Name a second one.")
        if self.decided_at.tzinfo is None:
            raise UsageError("The time of a decision has no time zone. Give it one.")
        if not self.decided_by.strip():
            raise UsageError("A decision needs the name of the steward who made it.")

    @property
    def pair(self) -> tuple[tuple[str, str], tuple[str, str]]:
        """Both clients, the smaller first: the same whichever way round the decision was given."""
        left, right = (self.source_l, self.client_id_l), (self.source_r, self.client_id_r)
        return (left, right) if left < right else (right, left)


_SCHEMA = """
create table if not exists decision (
    decision_number integer primary key,
    source_l text not null,
    client_id_l text not null,
    source_r text not null,
    client_id_r text not null,
    decision text not null check (decision in ('link', 'do_not_link', 'withdrawn')),
    decided_by text not null,
    decided_at text not null,
    model_version text not null,
    check ((source_l, client_id_l) < (source_r, client_id_r))
);
create trigger if not exists decision_is_never_changed before update on decision
begin select raise(abort, 'decisions are only ever appended'); end;
create trigger if not exists decision_is_never_deleted before delete on decision
begin select raise(abort, 'decisions are only ever appended'); end;
"""

_COLUMNS = (
    "source_l",
    "client_id_l",
    "source_r",
    "client_id_r",
    "decision",
    "decided_by",
    "decided_at",
    "model_version",
)


def append_decisions(path: Path, decisions: Sequence[Decision]) -> int:
    """Append decisions to the file, creating it if need be, all or none; returns how many the file now
    holds.

    Raises UsageError when decisions contradict each other: two clients that are kept apart cannot be
    linked, be it through others.
    """
    with _opened(path) as store, store:
        store.executemany(
            f"insert into decision ({', '.join(_COLUMNS)}) values (?, ?, ?, ?, ?, ?, ?, ?)",
            [
                (*decision.pair[0], *decision.pair[1], decision.decision.value, decision.decided_by,
                 decision.decided_at.isoformat(), decision.model_version)
                for decision in decisions
            ],
        )  # fmt: skip
        _refuse_contradictions(_effective(store))
        return int(store.execute("select count(*) from decision").fetchone()[0])


def effective_decisions(path: Path) -> pl.DataFrame:
    """The decisions that hold now: for each pair the last one, unless it was withdrawn.

    Columns source_l, client_id_l, source_r, client_id_r (the smaller client first), decision, decided_by,
    decided_at (ISO 8601), model_version; ordered by pair. Empty when the file does not exist.
    """
    if not path.exists():
        return _frame([])
    with _opened(path) as store:
        return _frame(_effective(store))


def decisions_fingerprint(path: Path) -> str:
    """SHA-256 over the decisions that hold now: it changes when, and only when, linkage would be told
    otherwise.
    """
    holding = effective_decisions(path).select(
        "source_l", "client_id_l", "source_r", "client_id_r", "decision"
    )
    return hashlib.sha256(json.dumps(holding.rows()).encode()).hexdigest()


def broken_decisions(con: DuckDBPyConnection, decisions: pl.DataFrame) -> pl.DataFrame:
    """The decisions that `person_crosswalk` does not honour: pairs kept apart that share a person, and
    linked pairs that do not although both clients are delivered. Columns as `effective_decisions`. Should
    always be empty.
    """
    con.register("decision_frame", decisions.to_arrow())
    table = con.execute(
        """
        select decision_frame.* from decision_frame
        inner join person_crosswalk as l on l.source = source_l and l.client_id = client_id_l
        inner join person_crosswalk as r on r.source = source_r and r.client_id = client_id_r
        where (decision = 'do_not_link' and l.person_id = r.person_id)
            or (decision = 'link' and l.person_id <> r.person_id)
        order by all
        """
    ).fetchall()
    con.unregister("decision_frame")
    return _frame(table)


@contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    store = sqlite3.connect(path, timeout=30)
    try:
        store.executescript(_SCHEMA)
        yield store
    finally:
        store.close()


def _effective(store: sqlite3.Connection) -> list[tuple[str, ...]]:
    return store.execute(
        f"""
        select {", ".join(_COLUMNS)} from decision
        where decision_number in (
            select max(decision_number) from decision group by source_l, client_id_l, source_r, client_id_r
        ) and decision <> 'withdrawn'
        order by source_l, client_id_l, source_r, client_id_r
        """
    ).fetchall()


def _frame(rows: Sequence[tuple[str, ...]]) -> pl.DataFrame:
    return pl.DataFrame(list(rows), schema=dict.fromkeys(_COLUMNS, pl.String), orient="row")


def _refuse_contradictions(effective: Sequence[tuple[str, ...]]) -> None:
    """Follow the links; a pair that is kept apart must not be connected by them."""
    group: dict[tuple[str, str], tuple[str, str]] = {}

    def first_of(client: tuple[str, str]) -> tuple[str, str]:
        while group.get(client, client) != client:
            client = group[client]
        return client

    pairs = [((row[0], row[1]), (row[2], row[3]), row[4]) for row in effective]
    for left, right, judgement in pairs:
        if judgement == Judgement.LINK:
            group[first_of(right)] = first_of(left)
    for left, right, judgement in pairs:
        if judgement == Judgement.DO_NOT_LINK and first_of(left) == first_of(right):
            raise UsageError(
                f"The decisions contradict each other: a client of {left[0]} and a client of {right[0]} are kept "
                "apart, but other decisions link them. Withdraw one of those first. Nothing was recorded."
            )
