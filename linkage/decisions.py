"""What stewards decided about pairs of clients: these are one person, or these are not.

Decisions are keyed on source clients (source, client_id), never on person ids, so that they survive every
rerun, merge, new delivery and new model. They are only ever appended: a later decision on the same pair
takes the place of an earlier one, and both stay on record. They live in a small SQLite file of their own,
apart from the warehouse, which is rebuilt at will. Nothing in it is identity in the clear.
"""

import hashlib
import json
import sqlite3
from collections import deque
from collections.abc import Iterator, Mapping, Sequence
from contextlib import closing, contextmanager
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from linkage.errors import UsageError
from linkage.registry import ALTERNATIVES
from linkage.stewardship import opened_stewardship

Client = tuple[str, str]
"""A source and the client's id in it."""


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
    """One steward's judgement of two clients, at a moment (with time zone), having seen what a model said.

    `note` is the steward's reason in a few words; it holds nothing of a record.
    """

    source_l: str
    client_id_l: str
    source_r: str
    client_id_r: str
    decision: Judgement
    decided_by: str
    decided_at: datetime
    model_version: str
    note: str = ""

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
    note text not null default '',
    check ((source_l, client_id_l) < (source_r, client_id_r))
);
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
    "note",
)
_SHOWN = ("decision_number", *_COLUMNS)
_PERSONS = ("person_id", *ALTERNATIVES)


def append_decisions(path: Path, decisions: Sequence[Decision]) -> int:
    """Append decisions to the file, creating it if need be, all or none; returns how many the file now
    holds.

    Raises UsageError when decisions contradict each other: two clients that are kept apart cannot be
    linked, be it through others.
    """
    with opened_decisions(path) as store, store:
        store.execute("begin immediate")
        return add_decisions(store, decisions)


def add_decisions(store: sqlite3.Connection, decisions: Sequence[Decision]) -> int:
    """`append_decisions` inside a transaction that the caller began on an opened stewardship file, so that
    what led to a decision can be recorded together with it.
    """
    recorded_before = _count(store)
    store.executemany(
        f"insert into decision ({', '.join(_COLUMNS)}) values ({', '.join('?' * len(_COLUMNS))})",
        [
            (*decision.pair[0], *decision.pair[1], decision.decision.value, decision.decided_by,
             decision.decided_at.isoformat(), decision.model_version, decision.note)
            for decision in decisions
        ],
    )  # fmt: skip
    _refuse_contradictions(_effective(store), recorded_before)
    return _count(store)


def effective_decisions(path: Path) -> pl.DataFrame:
    """The decisions that hold now: for each pair the last one, unless it was withdrawn.

    Columns decision_number (counts what was ever decided), source_l, client_id_l, source_r, client_id_r
    (the smaller client first), decision, decided_by, decided_at (ISO 8601), model_version, note; ordered by
    pair. Empty when the file does not exist.
    """
    if not path.exists():
        return _frame([])
    with opened_decisions(path) as store:
        return _frame(_effective(store))


def decisions_in(path: Path) -> pl.DataFrame:
    """`effective_decisions` of a file that somebody named. Raises UsageError where it is no stewardship file:
    taken for an empty one, everybody whom stewards keep apart could be linked.
    """
    try:
        with closing(sqlite3.connect(f"{path.resolve().as_uri()}?mode=ro", uri=True)) as store:
            is_one = bool(
                store.execute("select count(*) from sqlite_master where name = 'decision'").fetchone()[0]
            )
    except sqlite3.DatabaseError:
        is_one = False
    if not is_one:
        raise UsageError(
            f"{path} is not a readable stewardship file with decisions. Name the one in the county's folder, or a copy."
        )
    return effective_decisions(path)


def every_decision(path: Path) -> pl.DataFrame:
    """All that was ever decided or withdrawn, in that order; columns as `effective_decisions`."""
    if not path.exists():
        return _frame([])
    with opened_decisions(path) as store:
        return _frame(
            store.execute(f"select {', '.join(_SHOWN)} from decision order by decision_number").fetchall()
        )


def decisions_fingerprint(path: Path) -> str:
    """SHA-256 over the decisions that hold now: it changes when, and only when, linkage would be told
    otherwise.
    """
    holding = effective_decisions(path).select(
        "source_l", "client_id_l", "source_r", "client_id_r", "decision"
    )
    return hashlib.sha256(json.dumps(holding.rows()).encode()).hexdigest()


def broken_decisions(con: DuckDBPyConnection, decisions: pl.DataFrame) -> pl.DataFrame:
    """The decisions that `person_crosswalk` does not honour, at any of its thresholds: pairs kept apart that
    share a person, and linked pairs that do not although both clients are delivered. Columns as
    `effective_decisions`. Should always be empty.
    """
    shared = " or ".join(f"l.{column} = r.{column}" for column in _PERSONS)
    parted = " or ".join(f"l.{column} <> r.{column}" for column in _PERSONS)
    with _registered(con, decisions) as name:
        table = con.execute(
            f"""
            select {", ".join(f"{name}.{column}" for column in _SHOWN)} from {name}
            inner join person_crosswalk as l on l.source = source_l and l.client_id = client_id_l
            inner join person_crosswalk as r on r.source = source_r and r.client_id = client_id_r
            where (decision = 'do_not_link' and ({shared})) or (decision = 'link' and ({parted}))
            order by all
            """
        ).fetchall()
    return _frame(table)


def waiting_decisions(con: DuckDBPyConnection, decisions: pl.DataFrame) -> int:
    """How many decisions have nothing to say yet, because `person_crosswalk` lacks one of their clients."""
    with _registered(con, decisions) as name:
        ((waiting,),) = con.execute(
            f"""
            select count(*) from {name}
            where (source_l, client_id_l) not in (select (source, client_id) from person_crosswalk)
                or (source_r, client_id_r) not in (select (source, client_id) from person_crosswalk)
            """
        ).fetchall()
    return int(waiting)


@contextmanager
def opened_decisions(path: Path) -> Iterator[sqlite3.Connection]:
    """The stewardship file with its table of decisions."""
    with opened_stewardship(path, _SCHEMA, append_only=("decision",)) as store:
        if "note" not in {row[1] for row in store.execute("pragma table_info(decision)")}:
            store.execute("alter table decision add column note text not null default ''")
        yield store


@contextmanager
def _registered(con: DuckDBPyConnection, decisions: pl.DataFrame) -> Iterator[str]:
    con.register("decision_frame", decisions.to_arrow())
    try:
        yield "decision_frame"
    finally:
        con.unregister("decision_frame")


def _count(store: sqlite3.Connection) -> int:
    return int(store.execute("select count(*) from decision").fetchone()[0])


def _effective(store: sqlite3.Connection) -> list[tuple[str | int, ...]]:
    return store.execute(
        f"""
        select {", ".join(_SHOWN)} from decision
        where decision_number in (
            select max(decision_number) from decision group by source_l, client_id_l, source_r, client_id_r
        ) and decision <> 'withdrawn'
        order by source_l, client_id_l, source_r, client_id_r
        """
    ).fetchall()


def _frame(rows: Sequence[tuple[str | int, ...]]) -> pl.DataFrame:
    schema = {column: pl.Int64 if column == "decision_number" else pl.String for column in _SHOWN}
    return pl.DataFrame(list(rows), schema=schema, orient="row")


def _refuse_contradictions(effective: Sequence[tuple[str | int, ...]], recorded_before: int) -> None:
    """Follow the links; a pair that is kept apart must not be connected by them.

    Decisions numbered above `recorded_before` are those being recorded now.
    """
    linked: dict[Client, list[tuple[Client, int]]] = {}
    for number, source_l, client_l, source_r, client_r, judgement, *_ in effective:
        if judgement == Judgement.LINK:
            left, right = (str(source_l), str(client_l)), (str(source_r), str(client_r))
            linked.setdefault(left, []).append((right, int(number)))
            linked.setdefault(right, []).append((left, int(number)))
    for number, source_l, client_l, source_r, client_r, judgement, *_ in effective:
        if judgement != Judgement.DO_NOT_LINK:
            continue
        links = _links_between(linked, (str(source_l), str(client_l)), (str(source_r), str(client_r)))
        if links:
            recorded = [each for each in sorted([int(number), *links]) if each <= recorded_before]
            named = ", ".join(map(str, recorded)) or "none recorded yet"
            raise UsageError(
                "The decisions contradict each other: two clients are kept apart that links connect, directly or "
                f"through others (decisions already recorded: {named}). "
                "Withdraw one of them first; `familiar-faces decide --list` shows them. Nothing was recorded."
            )


def _links_between(
    linked: Mapping[Client, Sequence[tuple[Client, int]]], start: Client, goal: Client
) -> list[int]:
    """The numbers of the links on a shortest way from one client to another; empty where there is none."""
    came_by: dict[Client, tuple[Client, int]] = {}
    waiting = deque([start])
    while waiting and goal not in came_by:
        client = waiting.popleft()
        for neighbour, number in linked.get(client, ()):
            if neighbour != start and neighbour not in came_by:
                came_by[neighbour] = (client, number)
                waiting.append(neighbour)
    numbers = []
    while goal in came_by:
        goal, number = came_by[goal]
        numbers.append(number)
    return numbers
