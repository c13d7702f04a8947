"""Run suites on the warehouse with Great Expectations, pushed down to DuckDB, and keep counts only."""

import datetime as dt
import logging
import os
import re
import warnings
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from decimal import Decimal
from pathlib import Path
from typing import Any

import duckdb

from quality.data_docs import record_and_write
from quality.gx_pages import write_gx_pages
from quality.month_pages import RELATION as MONTHLY
from quality.month_pages import month_pages, write_month_pages
from quality.pages import minute
from quality.results import ExpectationResult, SuiteResult
from quality.suite import Expectation, Suite
from quality.warehouse_dialect import open_to_read

_REASONS = {
    "BinderException": "the relation lacks a column that the expectation names, or has it with another type.",
    "CatalogException": "a table that the expectation reads does not exist.",
    "ConversionException": "a value could not be read as the type that the expectation compares it with.",
    "InvalidInputException": "the database refused an input of the expectation.",
    "OutOfMemoryException": "the database ran out of memory.",
    "OutOfRangeException": "a number was out of the range of its type.",
    "ParserException": "the expectation's SQL is not valid.",
}
_LOGGERS = ("great_expectations", "sqlalchemy", "duckdb_sqlalchemy")
_COUNTS = ("element_count", "unexpected_count", "missing_count")
_OTHER_REASON = "the database refused the query."


def run_suites(
    warehouse: Path,
    suites: Sequence[Suite],
    *,
    run_label: str,
    docs: Path | None = None,
    run_at: dt.datetime | None = None,
) -> list[SuiteResult]:
    """Check each suite's relation in the warehouse and say what was found, in the order of `suites`.

    The warehouse is opened here, read-only; the caller must have closed its own connection (`open_to_read`
    says why). Where `docs` is given, the results are added to the history there and its pages are written
    again; `run_label` names the run on them and `run_at` (default: now) dates it.

    An expectation that could not be asked (a table or column is missing, the database refused) is a result of
    its own kind and stops a release like a failed one. Raises UsageError when the warehouse cannot be opened.
    """
    with _quiet(), open_to_read(warehouse) as (connection, address):
        columns = _columns_by_relation(connection)
        context = _new_context()
        datasource = context.data_sources.add_sql(
            "warehouse", connection_string=address, create_temp_table=False
        )
        results = [
            SuiteResult(suite=suite, run_label=run_label, results=_run_suite(datasource, suite, columns))
            for suite in suites
        ]
        if docs is not None:
            moment = run_at or dt.datetime.now(dt.UTC)
            write_gx_pages(docs, results, run_at=moment)
            if any(suite.relation == MONTHLY for suite in suites) and MONTHLY in columns:
                pages = month_pages(connection, suites)
                write_month_pages(docs, pages, last_run=minute(moment))
            record_and_write(docs, results, run_at=moment)
    return results


def _run_suite(
    datasource: Any, suite: Suite, columns: Mapping[str, set[str]]
) -> tuple[ExpectationResult, ...]:
    results: dict[int, ExpectationResult] = {}
    askable: dict[int, Expectation] = {}
    for number, expectation in enumerate(suite.expectations):
        reason = _why_not_askable(suite, expectation, columns)
        if reason is None:
            askable[number] = expectation
        else:
            results[number] = _not_run(expectation, reason)
    if askable:
        results |= _ask(datasource, suite, askable)
    return tuple(results[number] for number in range(len(suite.expectations)))


def _why_not_askable(suite: Suite, expectation: Expectation, columns: Mapping[str, set[str]]) -> str | None:
    if suite.relation not in columns:
        return f"the table {suite.relation} does not exist."
    missing = [column for column in expectation.columns if column not in columns[suite.relation]]
    return f"{suite.relation} has no column {missing[0]}." if missing else None


def _ask(datasource: Any, suite: Suite, askable: Mapping[int, Expectation]) -> dict[int, ExpectationResult]:
    import great_expectations as gx

    from quality.counted import as_gx

    table = datasource.add_table_asset(suite.name, table_name=suite.relation)
    batch = table.add_batch_definition_whole_table("whole table").get_batch()
    gx_suite = gx.ExpectationSuite(
        name=suite.name,
        expectations=[as_gx(expectation, suite.relation, number) for number, expectation in askable.items()],
    )
    found = batch.validate(
        gx_suite, result_format={"result_format": "SUMMARY", "partial_unexpected_count": 0}
    )
    results = {}
    for gx_result in found.results:
        number = gx_result.expectation_config.meta["number"]
        results[number] = _cut(askable[number], gx_result)
    return results


def _cut(expectation: Expectation, gx_result: Any) -> ExpectationResult:
    """Keep the allow-listed counts of one result; everything else, failing values included, ends here."""
    traces = _traces(gx_result.exception_info)
    if traces:
        return _not_run(expectation, _reason(traces))
    counts = {name: gx_result.result.get(name) for name in _COUNTS}
    # Text that reads as a number may be a Social Security number, so it is not made one.
    if not all(number is None or isinstance(number, int | float | Decimal) for number in counts.values()):
        return _not_run(expectation, _OTHER_REASON)
    return ExpectationResult(
        expectation=expectation,
        success=bool(gx_result.success),
        element_count=_count(counts["element_count"]),
        unexpected_count=_count(counts["unexpected_count"]),
        missing_count=_count(counts["missing_count"]),
    )


def _count(number: float | Decimal | None) -> int | None:
    return None if number is None else int(number)


def _traces(exception_info: Mapping[str, Any]) -> list[str]:
    # One entry for the expectation as a whole, or one per metric.
    entries = [exception_info, *(entry for entry in exception_info.values() if isinstance(entry, dict))]
    return [str(entry.get("exception_traceback")) for entry in entries if entry.get("raised_exception")]


def _reason(traces: Sequence[str]) -> str:
    for name in re.findall(r"duckdb\.(\w+Exception)", " ".join(traces)):
        if name in _REASONS:
            return _REASONS[name]
    return _OTHER_REASON


def _not_run(expectation: Expectation, reason: str) -> ExpectationResult:
    return ExpectationResult(expectation=expectation, success=False, because_not_run=reason)


def _columns_by_relation(connection: duckdb.DuckDBPyConnection) -> dict[str, set[str]]:
    rows = connection.execute(
        "select table_name, column_name from information_schema.columns "
        "where table_schema = 'main' order by table_name, ordinal_position"
    ).fetchall()
    columns: dict[str, set[str]] = {}
    for relation, column in rows:
        columns.setdefault(relation, set()).add(column)
    return columns


def _new_context() -> Any:
    """A Great Expectations context in memory, without the folder of pages that it makes by default."""
    import great_expectations as gx
    from great_expectations.data_context.types.base import (
        DataContextConfig,
        InMemoryStoreBackendDefaults,
        ProgressBarsConfig,
    )

    return gx.get_context(
        mode="ephemeral",
        project_config=DataContextConfig(
            store_backend_defaults=InMemoryStoreBackendDefaults(init_temp_docs_sites=False),
            progress_bars=ProgressBarsConfig(globally=False),
            analytics_enabled=False,
        ),
    )


@contextmanager
def _quiet() -> Iterator[None]:
    """Keep Great Expectations and SQLAlchemy from logging: their messages may quote the database."""
    os.environ["GX_ANALYTICS_ENABLED"] = "false"
    loggers = [logging.getLogger(name) for name in _LOGGERS]
    before = [(logger.handlers, logger.propagate) for logger in loggers]
    for logger in loggers:
        # What they say goes up to these and ends here, also from loggers that they make while they run. Without any
        # handler Python would print warnings after all.
        logger.handlers, logger.propagate = [logging.NullHandler()], False
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            yield
    finally:
        for logger, (handlers, propagate) in zip(loggers, before, strict=True):
            logger.handlers, logger.propagate = handlers, propagate
