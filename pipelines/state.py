"""What a release is made from, as one value whose fingerprint names it.

Checks and sign-offs are bound to this state: if a delivery, the model, a steward's decision, the county file, the
as-of date or the SQL changes, the fingerprint changes and what was checked or signed before no longer counts.
"""

import datetime as dt
import hashlib
import json
from collections.abc import Iterable, Mapping
from importlib.metadata import version
from typing import Any

import duckdb

from linkage.decisions import decisions_fingerprint
from linkage.errors import CheckFailedError
from pipelines.relations import load_relations
from pipelines.settings import CountySettings
from pipelines.workspace import Workspace
from quality.results import SuiteResult

_CHECK_RESULT = """
create table if not exists check_result (
    fingerprint varchar not null,
    suite varchar not null,
    expectation varchar not null,
    stops boolean not null,
    outcome varchar not null,
    unexpected bigint,
    primary key (fingerprint, suite, expectation)
)
"""


def fingerprint(state: Mapping[str, Any]) -> str:
    """SHA-256 of a state, as hexadecimal text."""
    canonical = json.dumps(state, sort_keys=True, separators=(",", ":"), default=str)
    return hashlib.sha256(canonical.encode()).hexdigest()


def run_state(
    workspace: Workspace, connection: duckdb.DuckDBPyConnection, settings: CountySettings
) -> dict[str, Any]:
    """Everything that the tables in the warehouse follow from.

    Raises CheckFailedError when no run has got far enough to have an as-of date and a linkage.
    """
    try:
        ((as_of,),) = connection.execute("select as_of from run_parameter").fetchall()
        ((model, link_weight),) = connection.execute(
            "select model_version, link_weight from linkage_run"
        ).fetchall()
    except duckdb.CatalogException:
        raise CheckFailedError(
            f"{workspace.root} holds no finished run, so there is nothing to release. Run `familiar-faces run` first."
        ) from None
    deliveries = connection.execute(
        "select source, month, content_sha256 from delivery order by source, month"
    ).fetchall()
    return {
        "as_of": as_of,
        "deliveries": [list(delivery) for delivery in deliveries],
        "model": model,
        "link_weight": link_weight,
        "decisions": decisions_fingerprint(workspace.stewardship),
        "county_file": settings.sha256,
        "software": version("familiar-faces"),
        "relations": {name: relation.sha256 for name, relation in load_relations().items()},
    }


def default_as_of(connection: duckdb.DuckDBPyConnection) -> dt.date | None:
    """The first day that no delivery covers any more, or None before the first delivery."""
    as_of: dt.date | None = connection.execute("select max(covers_to) from delivery").fetchall()[0][0]
    return as_of


def record_checks(
    connection: duckdb.DuckDBPyConnection, state: Mapping[str, Any], results: Iterable[SuiteResult]
) -> None:
    """Keep what the checks found of this state, and forget what they found of others."""
    of_state = fingerprint(state)
    rows = [
        (
            of_state,
            suite_result.suite.name,
            result.expectation.expectation_id,
            result.stops,
            result.outcome,
            result.unexpected_count,
        )
        for suite_result in results
        for result in suite_result.results
    ]
    connection.execute("begin").fetchall()
    connection.execute(_CHECK_RESULT).fetchall()
    connection.execute("delete from check_result where fingerprint <> ?", [of_state]).fetchall()
    for row in rows:
        connection.execute(
            "insert or replace into check_result values (?, ?, ?, ?, ?, ?)", list(row)
        ).fetchall()
    connection.execute("commit").fetchall()


def recorded_checks(
    connection: duckdb.DuckDBPyConnection, state: Mapping[str, Any]
) -> list[tuple[str, str, bool, str, int | None]]:
    """What the checks found of this state: suite, expectation, stops, outcome and unexpected rows, in that order."""
    connection.execute(_CHECK_RESULT).fetchall()
    return connection.execute(
        "select suite, expectation, stops, outcome, unexpected from check_result where fingerprint = ? order by all",
        [fingerprint(state)],
    ).fetchall()


def require_checks(
    connection: duckdb.DuckDBPyConnection, state: Mapping[str, Any], suites: Iterable[str]
) -> dict[str, int]:
    """How many expectations of this state were met, and how many warn.

    Raises CheckFailedError when one of `suites` has not been run on exactly this state, or a blocking expectation
    failed.
    """
    found = [row[:4] for row in recorded_checks(connection, state)]
    missing = sorted(set(suites) - {suite for suite, *_ in found})
    if missing:
        raise CheckFailedError(
            f"The checks of {missing[0]} have not been run on the tables as they are now. "
            "Run `familiar-faces run`, which checks them, then release."
        )
    failed = [(suite, expectation) for suite, expectation, stops, _ in found if stops]
    if failed:
        suite, expectation = failed[0]
        raise CheckFailedError(
            f"The blocking check {expectation} of {suite} failed, so this state cannot be released. "
            "Read it in quality_docs, correct the cause and run again."
        )
    return {
        "met": sum(outcome == "met" for *_, outcome in found),
        "warnings": sum(outcome != "met" for *_, outcome in found),
    }
