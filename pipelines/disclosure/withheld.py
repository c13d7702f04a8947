"""What earlier releases showed, and the table `withheld_cell`, made of it and of every aggregate's exact counts."""

import datetime as dt
from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path

from duckdb import BinderException, CatalogException, DuckDBPyConnection

from pipelines.disclosure.table import Counts, Key, Table


@dataclass(frozen=True, kw_only=True)
class Aggregate:
    """A published aggregate: the relation of its exact counts, and the columns that tell a cell, in the order of
    `Table.cells`; `numerator` and `denominator` are its columns in both. A `rolling` one counts up to the as-of date,
    so only releases of the same date are comparable with it."""

    counts: str
    key: tuple[str, ...]
    numerator: str = "numerator"
    denominator: str = "denominator"
    left_out: str = "left_out"
    of_whom: str = "people_of_whom"
    beside: str = "people_beside"
    rolling: bool = False


AGGREGATES = {
    "stepping_up_measure": Aggregate(
        counts="stepping_up_count", key=("measure", "period", "smi", "charge_class")
    ),
    "crisis_contact_measure": Aggregate(
        counts="crisis_contact_count", key=("measure", "month", "'all'", "'all'")
    ),
    "diversion_measure": Aggregate(counts="diversion_count", key=("measure", "month", "'all'", "'all'")),
    "crisis_transition": Aggregate(
        counts="crisis_transition_count",
        key=("counting", "gap", "from_kind", "to_kind"),
        numerator="transitions",
        denominator="transitions",
        left_out="0",
        of_whom="people",
        beside="0",
        rolling=True,
    ),
}
"""The published aggregates that are withheld of here. `linkage_quality` does so by itself, for few of its many rows
count people; what it must know of earlier releases is in `shown_linkage_quality`."""


def build_withheld_cell(
    connection: DuckDBPyConnection, *, earlier: Sequence[Path], relations: Iterable[str] = tuple(AGGREGATES)
) -> dict[str, int]:
    """Make the table `withheld_cell` from the exact counts in the warehouse; returns how many cells of each relation
    are withheld.

    Columns: relation, cell (what tells it, with | between), left_out_only (whether all but how many were left out is
    shown). `earlier` are the databases of releases that anybody may still have.
    """
    ((least, as_of),) = connection.execute("select small_cell_threshold, as_of from run_parameter").fetchall()
    connection.execute(
        "create or replace table withheld_cell (relation varchar, cell varchar, left_out_only boolean)"
    ).fetchall()
    tables = {
        name: Table(least=least, cells=_read_counts(connection, AGGREGATES[name])) for name in relations
    }
    for number, database in enumerate(earlier):
        _read_published(connection, database, tables, number, as_of)
    rows = []
    for name, table in tables.items():
        table.decide()
        rows += [(name, "|".join(key), False) for key in sorted(table.withheld)]
        rows += [(name, "|".join(key), True) for key in sorted(table.left_out_withheld - table.withheld)]
    if rows:
        connection.executemany("insert into withheld_cell values (?, ?, ?)", rows).fetchall()
    return {name: len(table.withheld) for name, table in tables.items()}


def build_shown_linkage_quality(connection: DuckDBPyConnection, *, earlier: Sequence[Path]) -> int:
    """Make the table `shown_linkage_quality` from the databases of `earlier` releases, which count up to the as-of date
    of this run; returns how many of them have such measures, which one of an older layout may not.

    Columns: release (its place in `earlier`), measure, slice, numerator, denominator; nothing of what was withheld.
    """
    connection.execute(
        "create or replace table shown_linkage_quality "
        "(release integer, measure varchar, slice varchar, numerator double, denominator double)"
    ).fetchall()
    compared = 0
    for number, database in enumerate(earlier):
        with _attached(connection, database), suppress(CatalogException, BinderException):
            connection.execute(
                "insert into shown_linkage_quality select ?, measure, slice, numerator, denominator "
                "from earlier_release.linkage_quality where denominator is not null order by measure, slice",
                [number],
            ).fetchall()
            compared += 1
    return compared


def _read_counts(connection: DuckDBPyConnection, aggregate: Aggregate) -> dict[Key, Counts]:
    found = connection.execute(
        f"select {', '.join(aggregate.key)}, people, {aggregate.of_whom}, {aggregate.beside}, "
        f"{aggregate.numerator}, {aggregate.denominator}, {aggregate.left_out} "
        f"from {aggregate.counts} where people is not null"
    ).fetchall()
    return {
        row[:4]: Counts(
            people=row[4],
            of_whom=row[5],
            beside=row[6],
            numerator=row[7],
            denominator=row[8],
            left_out=row[9],
        )
        for row in found
    }


def _read_published(
    connection: DuckDBPyConnection,
    database: Path,
    tables: Mapping[str, Table],
    number: int,
    as_of: dt.date,
) -> None:
    """Add to each table what a release showed; one of an older layout showed nothing of what it lacks."""
    with _attached(connection, database):
        for name, table in tables.items():
            aggregate = AGGREGATES[name]
            dated = "where (select as_of from earlier_release.run_parameter) = ?" if aggregate.rolling else ""
            try:
                found = connection.execute(
                    f"select {', '.join(aggregate.key)}, {aggregate.numerator}, {aggregate.denominator}, "
                    f"{aggregate.left_out} from earlier_release.{name} {dated}",
                    [as_of] if dated else [],
                ).fetchall()
            except (CatalogException, BinderException):
                continue
            for row in found:
                table.published.setdefault(row[:4], {})[number] = row[4:]


@contextmanager
def _attached(connection: DuckDBPyConnection, database: Path) -> Iterator[None]:
    """A release's database as the catalog `earlier_release`."""
    quoted = str(database).replace("'", "''")
    connection.execute(f"attach '{quoted}' as earlier_release (read_only)").fetchall()
    try:
        yield
    finally:
        connection.execute("detach earlier_release").fetchall()
