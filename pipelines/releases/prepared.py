"""What a steward should know before signing: how what the last run prepared differs from the current release.

Written beside the review cases at the end of the checks, for the desk must not open the warehouse. Numbers of
people below the county's small-cell threshold are withheld here already, so the file holds none.
"""

import json
from collections.abc import Mapping
from typing import Any

import duckdb

from linkage.decisions import decisions_fingerprint
from linkage.errors import UsageError
from linkage.pages import replace_file
from pipelines.relations import load_relations
from pipelines.releases.release import Release, current_release, release_id
from pipelines.settings import CountySettings
from pipelines.state import fingerprint, recorded_checks
from pipelines.workspace import Workspace
from quality.history import SuiteRun
from quality.history import read as read_history
from quality.sign_off import sign_off_for
from quality.suite import load_suites


def write_prepared(
    workspace: Workspace,
    connection: duckdb.DuckDBPyConnection,
    state: Mapping[str, Any],
    settings: CountySettings,
) -> None:
    """Write review/prepared.json, private to its owner, from the tables of `state` in the warehouse.

    Keys: fingerprint, release_id, as_of, model, decisions (their fingerprint), sign_off_required,
    small_cell_threshold, compared_with (release id or null), sizes, id_changes, cohorts, checks (of the deliveries,
    too), quality, small_cells (of each aggregate, how many cells it has and how many are withheld). Counts of people
    are null where they are withheld, and where there is no release to compare with.
    """
    prepared = {
        "fingerprint": fingerprint(state),
        "release_id": release_id(state),
        "as_of": str(state["as_of"]),
        "model": state["model"],
        "decisions": state["decisions"],
        "sign_off_required": settings.release.sign_off_required,
        "sign_off_good_for_days": settings.release.sign_off_good_for_days,
        "small_cell_threshold": settings.release.small_cell_threshold,
        "checks": _checks(workspace, connection, state),
        **_compared(connection, current_release(workspace), settings.release.small_cell_threshold),
    }
    path = workspace.prepared_release
    path.parent.mkdir(mode=0o700, exist_ok=True)
    replace_file(path, json.dumps(prepared, indent=1))


def refuse_what_nobody_read(workspace: Workspace, of_state: str) -> None:
    """Raise UsageError when the state to be signed is not the one whose account a steward could read."""
    path = workspace.prepared_release
    read = json.loads(path.read_text(encoding="utf-8"))["fingerprint"] if path.is_file() else None
    if read != of_state:
        raise UsageError(
            "Something changed since a run prepared this (a decision, the county file or a delivery), so nobody could "
            "have read what would be signed. Run `familiar-faces run`, read `familiar-faces release changes`, then "
            "sign."
        )


def prepared_as_text(workspace: Workspace) -> str:
    """The same for a terminal, in a few lines."""
    path = workspace.prepared_release
    if not path.is_file():
        return "No run has prepared a release yet. Run `familiar-faces run` first."
    prepared = json.loads(path.read_text(encoding="utf-8"))
    before = prepared["compared_with"] or "no release yet"
    lines = [f"Prepared: {prepared['release_id']} (model {prepared['model']}), compared with {before}"]
    lines += [
        f"  {row['what']}: {_shown(row['before'])} -> {_shown(row['now'])}" for row in prepared["sizes"]
    ]
    lines += [f"  person ids {event}: {count}" for event, count in prepared["id_changes"].items()]
    for row in prepared["cohorts"]:
        lines.append(
            f"  cohort {row['cohort']}: {_shown(row['before'])} -> {_shown(row['now'])} members, "
            f"{_shown(row['entered'])} entered, {_shown(row['left'])} left"
        )
    lines += [
        f"  {'stops' if row['stops'] else 'warns'}: {row['suite']}.{row['expectation']}: {row['says']}"
        for row in prepared["checks"]["not_met"]
    ]
    lines.append(f"  checks met: {prepared['checks']['met']}")
    lines += [
        f"  small cells of {row['relation']}: {_shown(row['withheld_before'])} -> {row['withheld']:,} withheld of "
        f"{row['cells']:,}"
        for row in prepared.get("small_cells", ())
    ]
    lines += [
        f"  {row['measure'].replace('_', ' ')}: {_figure(row['before'])} -> {_figure(row['now'])}"
        for row in prepared["quality"]
    ]
    if prepared["decisions"] != decisions_fingerprint(workspace.stewardship):
        lines.append("Decisions were made since: run again, or what is signed will not count.")
    signed = sign_off_for(workspace.stewardship, prepared["fingerprint"])
    if signed is not None:
        lines.append(
            f"{signed.verdict.value.capitalize()} by {signed.signer} at {signed.signed_at} {signed.reason}"
        )
    return "\n".join(lines)


def _compared(
    connection: duckdb.DuckDBPyConnection, release: Release | None, threshold: int
) -> dict[str, Any]:
    """The keys compared_with, sizes, id_changes, cohorts and quality; a release of an older layout, which lacks
    something that is compared, counts as none."""
    if release is None:
        return _account(connection, None, threshold)
    connection.execute(f"attach {_quoted(release)} as before (read_only)").fetchall()
    try:
        return _account(connection, release, threshold)
    except (duckdb.CatalogException, duckdb.BinderException):
        return _account(connection, None, threshold)
    finally:
        connection.execute("detach before").fetchall()


def _account(
    connection: duckdb.DuckDBPyConnection, release: Release | None, threshold: int
) -> dict[str, Any]:
    return {
        "compared_with": None if release is None else release.release_id,
        "sizes": _sizes(connection, release is not None),
        "id_changes": _id_changes(connection, release is not None),
        "cohorts": _cohorts(connection, release, threshold),
        "quality": _quality(connection, release is not None),
        "small_cells": _small_cells(connection, release is not None),
    }


def _shown(count: int | None) -> str:
    return "withheld or unknown" if count is None else f"{count:,}"


def _figure(value: float | None) -> str:
    return "withheld or unknown" if value is None else f"{value:.4g}"


def _sizes(connection: duckdb.DuckDBPyConnection, compared: bool) -> list[dict[str, Any]]:
    relations = {"people": "person", "source clients": "person_crosswalk", "encounters": "encounter"}
    return [
        {
            "what": what,
            "before": _count(connection, f"before.{relation}") if compared else None,
            "now": _count(connection, f"main.{relation}"),
        }
        for what, relation in relations.items()
    ]


def _count(connection: duckdb.DuckDBPyConnection, relation: str) -> int:
    return int(connection.execute(f"select count(*) from {relation}").fetchall()[0][0])


def _id_changes(connection: duckdb.DuckDBPyConnection, compared: bool) -> dict[str, int]:
    """Events since the current release; before the first, all are mintings and none is a change."""
    if not compared:
        return {}
    rows = connection.execute(
        """
        select event, count(*) from main.person_id_change
        where change_number > (select coalesce(max(change_number), 0) from before.person_id_change)
        group by event order by event
        """
    ).fetchall()
    return dict(rows)


def _cohorts(
    connection: duckdb.DuckDBPyConnection, release: Release | None, threshold: int
) -> list[dict[str, Any]]:
    """Members of each cohort now and in the current release, and who entered and left, told by their clients, so
    that a changed id is neither."""
    member = """
        select cohort, source, client_id, person_id
        from {catalog}.cohort_membership inner join {catalog}.person_crosswalk using (person_id)
        where is_member
    """
    was = member.format(catalog="before" if release is not None else "main")
    rows = connection.execute(
        f"""
        with now_in as ({member.format(catalog="main")}), was_in as ({was}),
        stayed as (
            select cohort, now_in.person_id as now_person, was_in.person_id as was_person
            from now_in inner join was_in using (cohort, source, client_id)
        )
        select cohort, label,
            (select count(distinct person_id) from was_in where was_in.cohort = each.cohort),
            (select count(distinct person_id) from now_in where now_in.cohort = each.cohort),
            (select count(distinct person_id) from now_in where now_in.cohort = each.cohort
                and person_id not in (select now_person from stayed where stayed.cohort = each.cohort)),
            (select count(distinct person_id) from was_in where was_in.cohort = each.cohort
                and person_id not in (select was_person from stayed where stayed.cohort = each.cohort))
        from main.cohort_definition as each order by cohort
        """
    ).fetchall()
    cohorts = []
    for cohort, label, before, now, entered, left in rows:
        # Either of the two movements would tell the other by subtraction.
        moved_few = any(0 < count < threshold for count in (entered, left))
        small = any(0 < count < threshold for count in (before, now))
        hide = release is None or moved_few or small
        cohorts.append(
            {
                "cohort": cohort,
                "label": label,
                "before": None if release is None or small else before,
                "now": None if 0 < now < threshold or (small and release is not None) else now,
                "entered": None if hide else entered,
                "left": None if hide else left,
            }
        )
    return cohorts


def _checks(
    workspace: Workspace, connection: duckdb.DuckDBPyConnection, state: Mapping[str, Any]
) -> dict[str, Any]:
    says = {
        (suite.name, each.expectation_id): each.says for suite in load_suites() for each in suite.expectations
    }
    found = [*_warnings_of_deliveries(workspace), *recorded_checks(connection, state)]
    return {
        "met": sum(outcome == "met" for *_, outcome, _ in found),
        "not_met": [
            {
                "suite": suite,
                "expectation": expectation,
                "says": says.get((suite, expectation), ""),
                "stops": stops,
                "outcome": outcome,
                "rows": unexpected,
            }
            for suite, expectation, stops, outcome, unexpected in found
            if outcome != "met"
        ],
    }


def _warnings_of_deliveries(workspace: Workspace) -> list[tuple[str, str, bool, str, int | None]]:
    """What the last accepted deliveries of each source were warned of, in the columns of `recorded_checks`.

    They were checked before they were accepted, so they are not recorded with the tables. A delivery that was stopped
    is not in the tables, and what was found of it is not said here.
    """
    severity = {
        (suite.name, each.expectation_id): each.severity
        for suite in load_suites()
        if suite.stage == "delivery"
        for each in suite.expectations
    }
    last: dict[str, SuiteRun] = {}
    for run in read_history(workspace.quality_docs):
        found = [(severity.get((run.suite, name)), each.outcome) for name, each in run.results.items()]
        stopped = any(
            outcome == "could not run" or (of == "stop" and outcome == "not met") for of, outcome in found
        )
        if any(of is not None for of, _ in found) and not stopped:
            last[run.suite] = run
    return [
        (suite, name, False, each.outcome, each.unexpected_count)
        for suite, run in sorted(last.items())
        for name, each in sorted(run.results.items())
        if severity.get((suite, name)) == "warn" and each.outcome == "not met"
    ]


def _small_cells(connection: duckdb.DuckDBPyConnection, compared: bool) -> list[dict[str, Any]]:
    """Of every released aggregate, how many of its cells are withheld now, and how many were before."""
    aggregates = {
        name: column
        for name, relation in sorted(load_relations().items())
        if relation.folder == "marts"
        for column in ("denominator", "people")
        if column in relation.columns
    }

    def cells(catalog: str, relation: str, column: str) -> tuple[int, int]:
        ((rows, withheld),) = connection.execute(
            f"select count(*), count_if({column} is null) from {catalog}.{relation}"
        ).fetchall()
        return int(rows), int(withheld or 0)

    before = _relations_of(connection, "before") if compared else set()
    found = []
    for relation, column in aggregates.items():
        rows, withheld = cells("main", relation, column)
        found.append(
            {
                "relation": relation,
                "cells": rows,
                "withheld": withheld,
                "withheld_before": cells("before", relation, column)[1] if relation in before else None,
            }
        )
    return found


def _relations_of(connection: duckdb.DuckDBPyConnection, database: str) -> set[str]:
    rows = connection.execute(
        "select table_name from duckdb_tables() where database_name = ?", [database]
    ).fetchall()
    return {name for (name,) in rows}


def _quality(connection: duckdb.DuckDBPyConnection, compared: bool) -> list[dict[str, Any]]:
    """The measures of linkage quality over everybody, already free of small cells."""
    before: dict[str, float | None] = {}
    if compared:
        before = dict(
            connection.execute(
                "select measure, value from before.linkage_quality where slice = 'all'"
            ).fetchall()
        )
    rows = connection.execute(
        "select measure, value, note from main.linkage_quality where slice = 'all' order by measure"
    ).fetchall()
    return [
        {"measure": measure, "before": before.get(measure), "now": value, "note": note}
        for measure, value, note in rows
    ]


def _quoted(release: Release) -> str:
    return "'" + str(release.database).replace("'", "''") + "'"
