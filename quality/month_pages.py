"""One page per source, month by month: how much came, how complete it was, how it linked, and what is usual.

The figures are those that the suites of drift judge, read from the table `drift_measure`. Only names that this module
knows and numbers are copied; figures of few people are withheld, because a page is easily passed on.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb

from linkage.errors import CheckFailedError
from linkage.pages import replace_file
from linkage.source import declared_sources
from quality.pages import render
from quality.suite import Suite

RELATION = "drift_measure"
MONTHS_SHOWN = 24

_MONTH = re.compile(r"[0-9]{4}-[0-9]{2}")
_BY_DAY = {"encounters": "Encounters a day", "people": "People a day"}
_SHARES = {
    "quarantined": "Rows set aside",
    "open_stays": "Stays open at the month's end",
    "large_person": "Clients in large persons",
}
_OF_PEOPLE = ("linked_to", "large_person")
_IDENTIFIERS = {
    "first_name": "First name",
    "last_name": "Last name",
    "birth_date": "Birth date",
    "ssn": "Whole SSN",
    "ssn_last_four": "SSN, last four",
    "sex": "Sex",
    "zip3": "ZIP, three digits",
}


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One figure of one month as text, what is usual, and whether a suite calls it off."""

    shown: str
    usual: str
    is_off: bool


@dataclass(frozen=True, kw_only=True)
class Table:
    """Figures side by side: `columns` are their names, a row is a month, newest first."""

    title: str
    says: str
    columns: tuple[str, ...]
    rows: tuple[tuple[str, tuple[Figure | None, ...]], ...]


@dataclass(frozen=True, kw_only=True)
class MonthPage:
    """What one source delivered, month by month."""

    source: str
    label: str
    tables: tuple[Table, ...]

    @property
    def file_name(self) -> str:
        """The page's name in `quality_docs/`."""
        return month_page_name(self.source)


def month_page_name(source: str) -> str:
    """The name of a source's page in `quality_docs/`."""
    return f"{source}_by_month.html"


def month_pages(connection: duckdb.DuckDBPyConnection, suites: Iterable[Suite]) -> list[MonthPage]:
    """The pages of every declared source that has figures in `drift_measure`; `suites` say which of them are off.

    Raises CheckFailedError, without the database's words, when the tables are not as the SQL files make them.
    """
    try:
        return _pages_from(connection, suites)
    except duckdb.Error as error:
        raise CheckFailedError(
            f"The pages by month cannot be made: the database refused to read {RELATION} ({type(error).__name__}). "
            "Run `familiar-faces run` again, which makes the table anew."
        ) from None


def _pages_from(connection: duckdb.DuckDBPyConnection, suites: Iterable[Suite]) -> list[MonthPage]:
    ((threshold,),) = connection.execute("select small_cell_threshold from run_parameter").fetchall()
    off = _figures_off(connection, suites)
    figures: dict[str, dict[tuple[str, str], dict[str, Figure]]] = {}
    for measure, source, part, month, numerator, denominator, value, usual in connection.execute(
        f"select measure, source, part, month, numerator, denominator, value, usual from {RELATION} order by all"
    ).fetchall():
        if not _is_known(measure, source, part, month) or value is None:
            continue
        few = measure in _OF_PEOPLE and any(
            0 < count < threshold for count in (numerator, denominator - numerator, denominator)
        )
        figures.setdefault(source, {}).setdefault((measure, part), {})[month] = Figure(
            shown="few" if few else _as_text(measure, value),
            usual="few" if few else _as_text(measure, usual),
            is_off=(measure, source, part, month) in off,
        )
    return [
        MonthPage(source=source, label=declared_sources()[source].label, tables=_tables(source, of_source))
        for source, of_source in sorted(figures.items())
    ]


def write_month_pages(docs: Path, pages: Sequence[MonthPage], *, last_run: str) -> None:
    """Write the pages into the folder `docs`, each replaced whole."""
    for page in pages:
        text = render("months.html.j2", page=page, last_run=last_run, months_shown=MONTHS_SHOWN)
        replace_file(docs / page.file_name, text)


def _figures_off(
    connection: duckdb.DuckDBPyConnection, suites: Iterable[Suite]
) -> set[tuple[str, str, str, str]]:
    conditions = [
        f"(({each.parameters['among']}) and ({each.parameters['off']}))"
        for suite in suites
        if suite.relation == RELATION
        for each in suite.expectations
        if each.expect == "no_figure_off"
    ]
    if not conditions:
        return set()
    return {
        (measure, source, part, month)
        for measure, source, part, month in connection.execute(
            f"select measure, source, part, month from {RELATION} where {' or '.join(conditions)}"
        ).fetchall()
    }


def _is_known(measure: str, source: str, part: str, month: str) -> bool:
    parts: Mapping[str, Iterable[str]] = {
        **dict.fromkeys((*_BY_DAY, *_SHARES), ("",)),
        "filled_in": _IDENTIFIERS,
        "linked_to": declared_sources(),
    }
    return (
        part in parts.get(measure, ())
        and source in declared_sources()
        and _MONTH.fullmatch(month) is not None
    )


def _as_text(measure: str, value: float | None) -> str:
    if value is None:
        return "\N{EN DASH}"
    return f"{value:,.1f}" if measure in _BY_DAY else f"{100 * value:.1f} %"


def _tables(source: str, figures: Mapping[tuple[str, str], Mapping[str, Figure]]) -> tuple[Table, ...]:
    others = {other: each.label for other, each in declared_sources().items() if other != source}
    wanted = [
        (
            "How much came",
            "Rows by the day that the delivery covers, rows that broke a rule, and stays without an end.",
            {(name, ""): label for name, label in (_BY_DAY | _SHARES).items() if name != "large_person"},
        ),
        (
            "How complete it was",
            "The share of people with each identifier. Where one falls, links are missed.",
            {("filled_in", name): label for name, label in _IDENTIFIERS.items()},
        ),
        (
            "How it linked",
            "The share of the month's clients who are also known to another system, and of those whose person has more "
            "than five clients in the month.",
            {("linked_to", other): label for other, label in others.items()}
            | {("large_person", ""): _SHARES["large_person"]},
        ),
    ]
    return tuple(_table(title, says, columns, figures) for title, says, columns in wanted)


def _table(
    title: str,
    says: str,
    columns: Mapping[tuple[str, str], str],
    figures: Mapping[tuple[str, str], Mapping[str, Figure]],
) -> Table:
    present = {key: label for key, label in columns.items() if key in figures}
    months = sorted({month for key in present for month in figures[key]}, reverse=True)[:MONTHS_SHOWN]
    return Table(
        title=title,
        says=says,
        columns=tuple(present.values()),
        rows=tuple((month, tuple(figures[key].get(month) for key in present)) for month in months),
    )
