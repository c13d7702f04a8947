"""The numbers of the brief, small cells withheld: made from a release's database, and held against other releases.

What one table withholds is not to be found from another: not from a sum, not from two cohorts that differ by few, and
not from the brief on another release that counts up to the same day and differs by few. Such releases are compared
with exactly, whatever their briefs withheld. Releases of another day count other people: some left, others came.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb
import polars as pl

from pipelines.disclosure import is_few, shown_parts

TOP_SHARES = (0.01, 0.05, 0.10, 0.25, 0.50, 1.0)
_FLOWS_SHOWN = 8
_CURVE_STEPS = 24
_SHARE_DIGITS = 3
_LEAST_MONTHS_SHOWN = 6
"""Months that a measure must show on average for a trend by month; otherwise years are drawn."""

TRENDS = {
    "people_booked": "Booked people with SMI, share",
    "length_of_stay": "Mean days in jail",
    "connected_30_days": "Connected to care in 30 days, share",
    "rebooked_12_months_any": "Booked again in 12 months, share",
}
_ADULTS = """
    from utilization inner join person using (person_id) cross join run_parameter
    where window_name = '12_months' and (include_minors or is_minor is distinct from true)
"""


@dataclass(frozen=True, kw_only=True)
class Counted:
    """People of one release, counted exactly: adults by the systems that met them in twelve months, and the members of
    each cohort."""

    by_systems: Mapping[tuple[str, ...], int]
    in_cohort: Mapping[str, int]


def count_exactly(connection: duckdb.DuckDBPyConnection) -> Counted:
    """Count the people of a release from its connection."""
    by_systems = connection.execute(
        f"""
        select systems, count(*)
        from (select person_id, list(distinct source order by source) as systems {_ADULTS} group by person_id)
        group by systems
        """
    ).fetchall()
    in_cohort = connection.execute(
        "select cohort, count(distinct person_id) from cohort_membership where is_member group by cohort"
    ).fetchall()
    return Counted(
        by_systems={tuple(systems): people for systems, people in by_systems}, in_cohort=dict(in_cohort)
    )


def figures(connection: duckdb.DuckDBPyConnection, earlier: Sequence[Counted] = ()) -> dict[str, Any]:
    """Every number of the brief, small cells withheld (None), from a release's connection.

    `earlier` are the other releases that count up to the same day. Keys: county, as_of, least, people, combinations,
    unshown_people, concentration, cohorts, flows, trends, periods, linkage.
    """
    ((county, as_of, least),) = connection.execute(
        "select county, as_of, small_cell_threshold from run_parameter"
    ).fetchall()
    ((links_nobody,),) = connection.execute(
        "select count(*) = count(distinct person_id) from person_crosswalk"
    ).fetchall()
    overlap = _overlap(count_exactly(connection), earlier, least)
    cohorts = _cohorts(connection, earlier, least)
    trends = _trends(connection)
    linkage = connection.sql(
        "select measure, slice, value, numerator, denominator from linkage_quality order by measure, slice"
    ).pl()
    return {
        "county": county,
        "as_of": as_of,
        "least": least,
        **overlap,
        "concentration": [] if overlap["people"] is None else _concentration(connection, least),
        "cohorts": cohorts,
        "flows": _flows(connection),
        "trends": trends,
        "periods": sorted({each["period"] for each in trends}),
        "linkage": _linkage(linkage, [each["cohort"] for each in cohorts if each["members"] is not None])
        | {"links_nobody": links_nobody},
    }


def _overlap(now: Counted, earlier: Sequence[Counted], least: int) -> dict[str, Any]:
    """The keys people, combinations and unshown_people."""
    everything = {systems for each in (now, *earlier) for systems in each.by_systems}
    ordered = sorted(everything, key=lambda systems: (-now.by_systems.get(systems, 0), systems))
    by_number = [
        [at for at, systems in enumerate(ordered) if min(len(systems), 3) == number] for number in (1, 2, 3)
    ]
    # The cohorts of two and of three or more systems are sums of these, too.
    sums = [*by_number, [*by_number[1], *by_number[2]], list(range(len(ordered)))]
    parts, *before = ([each.by_systems.get(systems, 0) for systems in ordered] for each in (now, *earlier))
    shown = shown_parts(parts, least, earlier=before, sums=sums)
    hidden = [at for at, is_shown in enumerate(shown) if not is_shown]
    # Whoever knows the sum of all can subtract what is shown, and those cohorts.
    tells_of_few = any(
        is_few(sum(parts[at] - then[at] for at in places), least) for places in sums for then in before
    )
    people, unshown = sum(parts), sum(parts[at] for at in hidden)
    is_shown = not tells_of_few and not is_few(people, least)
    return {
        "people": people if is_shown else None,
        "combinations": [
            {"systems": list(systems), "people": count}
            for systems, count, may_be_shown in zip(ordered, parts, shown, strict=True)
            if may_be_shown and count
        ],
        "unshown_people": unshown if is_shown and not is_few(unshown, least) else None,
    }


def _cohorts(
    connection: duckdb.DuckDBPyConnection, earlier: Sequence[Counted], least: int
) -> list[dict[str, Any]]:
    """Members of every cohort that has any, None where they are few or differ by few: from another time, or from a
    cohort that is shown and holds them all, for the top tenth less the top twentieth would be those few; or where that
    difference itself has changed by few."""
    rows = connection.execute(
        """
        select cohort, definition.label, definition.coverage_ok, list(membership.person_id)
        from cohort_definition as definition inner join cohort_membership as membership using (cohort)
        where membership.is_member
        group by all order by count(*) desc, cohort
        """
    ).fetchall()
    found: list[dict[str, Any]] = []
    shown: dict[str, set[str]] = {}
    for cohort, label, coverage_ok, members in rows:
        own = set(members)
        beyond = {other: len(all_of) - len(own) for other, all_of in shown.items() if own <= all_of}
        changes = [
            *(len(own) - before.in_cohort.get(cohort, 0) for before in earlier),
            *(
                difference - (before.in_cohort.get(other, 0) - before.in_cohort.get(cohort, 0))
                for other, difference in beyond.items()
                for before in earlier
            ),
        ]
        is_shown = not any(is_few(people, least) for people in (len(own), *beyond.values(), *changes))
        if is_shown:
            shown[cohort] = own
        found.append(
            {
                "cohort": cohort,
                "label": label,
                "coverage_ok": coverage_ok,
                "members": len(own) if is_shown else None,
            }
        )
    return found


def _concentration(connection: duckdb.DuckDBPyConnection, least: int) -> list[dict[str, Any]]:
    """Share of all contacts by the top shares of people, each step at least `least` people wide."""
    contacts = [
        row[0]
        for row in connection.execute(
            f"select sum(episodes)::bigint as contacts {_ADULTS} group by person_id order by contacts desc"
        ).fetchall()
    ]
    if len(contacts) < least:
        return []
    # Named shares first, so that the steps of the curve give way to them.
    kept: dict[int, float] = {0: 0.0, len(contacts): 1.0}
    for share in (*TOP_SHARES, *(step / _CURVE_STEPS for step in range(1, _CURVE_STEPS))):
        people = math.ceil(share * len(contacts))
        if all(abs(people - other) >= least for other in kept):
            kept[people] = share
    return [
        {
            "top": share,
            "people": people,
            "share": round(sum(contacts[:people]) / sum(contacts), _SHARE_DIGITS),
            "is_named": share in TOP_SHARES,
        }
        for people, share in sorted(kept.items())
        if people
    ]


def _flows(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Steps between different kinds by gap; only cells that the release itself shows are in a sum."""
    rows = connection.execute(
        """
        with label as (select kind, min(label) as label from encounter_kind group by kind)
        select f.label, t.label, gap, transitions
        from crisis_transition
        inner join label as f on f.kind = from_kind
        inner join label as t on t.kind = to_kind
        where counting = 'episodes' and from_kind <> to_kind and transitions is not null
        order by f.label, t.label, gap
        """
    ).fetchall()
    by_pair: dict[tuple[str, str], dict[str, int]] = {}
    for start, end, gap, transitions in rows:
        by_pair.setdefault((start, end), {})[gap] = transitions
    found: list[dict[str, Any]] = [
        {"start": start, "end": end, "steps": sum(gaps.values()), "gaps": gaps}
        for (start, end), gaps in by_pair.items()
    ]
    return sorted(found, key=lambda each: (-each["steps"], each["start"], each["end"]))[:_FLOWS_SHOWN]


def _trends(connection: duckdb.DuckDBPyConnection) -> list[dict[str, Any]]:
    """Key measures by month, or by calendar year where few months are shown; for the share with SMI everyone booked is
    the denominator."""
    rows = connection.execute(
        """
        select measure, period, smi, value from stepping_up_measure
        where charge_class = 'all' and value is not null and measure in ?
            and ((measure = 'people_booked' and smi = 'all') or (measure <> 'people_booked' and smi <> 'all'))
        order by measure, period, smi
        """,
        [list(TRENDS)],
    ).fetchall()
    months = [row for row in rows if len(row[1]) == len("2025-01")]
    if len(months) < _LEAST_MONTHS_SHOWN * len(TRENDS):
        months = [row for row in rows if len(row[1]) == len("2025")]
    rows = months
    group = {"all": "everyone booked", "smi": "with SMI", "other": "others"}
    return [
        {"measure": measure, "says": TRENDS[measure], "period": period, "group": group[smi], "value": value}
        for measure, period, smi, value in rows
    ]


def _linkage(quality: pl.DataFrame, cohorts: Sequence[str]) -> dict[str, Any]:
    """Estimated precision and recall, and members of `cohorts` at other thresholds, as the release shows them."""
    values = {(row["measure"], row["slice"]): row for row in quality.to_dicts()}

    def value(measure: str) -> float | None:
        return (values.get((measure, "all")) or {}).get("value")

    weighed, lost = value("estimated_recall_of_weighed"), value("blocking_loss")
    at: dict[str, dict[str, Any]] = {}
    for (measure, slice_), row in values.items():
        if measure == "cohort_members" and row["numerator"] is not None:
            cohort, _, threshold = slice_.partition(" at ")
            if cohort not in cohorts:
                continue
            at.setdefault(cohort, {"chosen": row["denominator"]})[threshold] = row["numerator"]
    named = [{"cohort": cohort.replace("_", " "), **members} for cohort, members in sorted(at.items())]
    return {
        "precision": value("estimated_precision"),
        "recall": None if weighed is None else weighed * (1 - (lost or 0.0)),
        "members": sorted(named, key=lambda each: -each["chosen"])[:4],
    }
