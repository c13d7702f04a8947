"""Tombstones: which clients and encounters must no longer be anywhere (sealed, expunged, consent revoked, deleted at
the source).

A *tombstone* keeps source, pseudonymous id and the day from which it holds; why is asked of nobody and kept nowhere.
It is appended to the stewardship file and stays there, so that what comes again with a later delivery is taken out
again. Carrying it out is the pipeline's work, which says here when it has.
"""

import csv
import datetime as dt
import re
import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.errors import UsageError
from linkage.source import declared_sources
from linkage.stewardship import opened_stewardship

_SCHEMA = """
create table if not exists retraction (
    retraction_number integer primary key,
    source text not null,
    client_id text,
    encounter_id text,
    effective_on text not null,
    recorded_by text not null,
    recorded_at text not null,
    check ((client_id is null) <> (encounter_id is null)),
    unique (source, client_id),
    unique (source, encounter_id)
);
create table if not exists erasure (
    retraction_number integer primary key references retraction,
    erased_at text not null
);
"""


_TOKEN = re.compile("[0-9a-f]{32}")


@dataclass(frozen=True, kw_only=True)
class Tombstone:
    """One client (`encounter_id` None) or one encounter (`client_id` None) that must no longer be anywhere.

    Ids are pseudonymous, as delivered. It holds from the day `effective_on`.
    """

    source: str
    client_id: str | None = None
    encounter_id: str | None = None
    effective_on: dt.date

    def __post_init__(self) -> None:
        if self.source not in declared_sources():
            raise UsageError(f"There is no such source; the sources are {', '.join(declared_sources())}.")
        if (self.client_id is None) == (self.encounter_id is None):
            raise UsageError("A retraction names either a client_id or an encounter_id.")
        # Anything else might be a name, and would stay on record.
        if _TOKEN.fullmatch(self.client_id or self.encounter_id or "") is None:
            raise UsageError("A pseudonymous id has 32 hexadecimal digits; this is something else.")


def read_retraction_file(path: Path, effective_on: dt.date) -> list[Tombstone]:
    """The tombstones of a CSV file with the columns source, client_id and encounter_id; one of the ids in each line.

    Raises UsageError naming file and line, and no id.
    """
    with path.open(encoding="utf-8", newline="") as file:
        reader = csv.DictReader(file)
        if reader.fieldnames is None or set(reader.fieldnames) != {"source", "client_id", "encounter_id"}:
            raise UsageError(f"{path}: the columns are source, client_id and encounter_id.")
        tombstones = []
        for number, line in enumerate(reader, start=2):
            try:
                tombstones.append(
                    Tombstone(
                        source=line["source"] or "",
                        client_id=line["client_id"] or None,
                        encounter_id=line["encounter_id"] or None,
                        effective_on=effective_on,
                    )
                )
            except UsageError:
                raise UsageError(
                    f"{path}, line {number}: it needs a declared source, and either a client_id or an "
                    "encounter_id, as a delivery has them. Nothing was recorded."
                ) from None
    return tombstones


def record_tombstones(
    stewardship: Path, tombstones: Sequence[Tombstone], *, recorded_by: str, now: dt.datetime
) -> int:
    """Append tombstones, all or none; returns how many are new. What is already there stays as it was."""
    if not recorded_by.strip():
        raise UsageError("A retraction needs the name of whoever records it: --by NAME.")
    with _opened(stewardship) as store:
        store.execute("begin immediate")
        before = store.total_changes
        store.executemany(
            "insert or ignore into retraction "
            "(source, client_id, encounter_id, effective_on, recorded_by, recorded_at) values (?, ?, ?, ?, ?, ?)",
            [
                (
                    each.source,
                    each.client_id,
                    each.encounter_id,
                    each.effective_on.isoformat(),
                    recorded_by.strip(),
                    _text(now),
                )
                for each in tombstones
            ],
        )
        recorded = store.total_changes - before
        store.execute("commit")
    return recorded


def every_tombstone(stewardship: Path) -> pl.DataFrame:
    """Every tombstone, in the order of recording: source, client_id, encounter_id, effective_on (ISO), recorded_by,
    recorded_at (ISO, UTC) and erased_at (ISO, UTC; null until a run has erased it everywhere but in releases)."""
    columns = (
        "source", "client_id", "encounter_id", "effective_on", "recorded_by", "recorded_at", "erased_at",
    )  # fmt: skip
    rows: list[tuple[str, ...]] = []
    if stewardship.exists():
        with _opened(stewardship) as store:
            rows = store.execute(
                f"select {', '.join(columns)} from retraction left join erasure using (retraction_number) "
                "order by retraction_number"
            ).fetchall()
    return pl.DataFrame(rows, schema=dict.fromkeys(columns, pl.String), orient="row")


def tombstones_in_force(stewardship: Path, today: dt.date) -> pl.DataFrame:
    """Those of `every_tombstone` that hold on a day."""
    return every_tombstone(stewardship).filter(pl.col("effective_on") <= today.isoformat())


def mark_erased(stewardship: Path, today: dt.date, *, now: dt.datetime) -> None:
    """Append that every tombstone that holds on a day has been carried out."""
    with _opened(stewardship) as store:
        store.execute(
            "insert into erasure select retraction_number, ? from retraction "
            "where effective_on <= ? and retraction_number not in (select retraction_number from erasure)",
            (_text(now), today.isoformat()),
        )


def _text(moment: dt.datetime) -> str:
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")


@contextmanager
def _opened(stewardship: Path) -> Iterator[sqlite3.Connection]:
    with opened_stewardship(stewardship, _SCHEMA, append_only=("retraction", "erasure")) as store:
        yield store
