"""The brief for a county board: two printed pages on one release, made from its database alone.

It loads nothing, reads without its charts (each has its table), and shows no figure from fewer people than the
release's `small_cell_threshold`. What is withheld in one table is not to be found from its sum either.
"""

import math
from collections.abc import Sequence
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import jinja2
import polars as pl
from markupsafe import Markup

from linkage.pages import (
    DRAW_CHARTS,
    content_security_policy,
    json_for_page,
    page_templates,
    replace_file,
)
from pipelines.releases.release import Release
from pipelines.workspace import Workspace

_LIBRARIES = ("vega", "vega-lite", "vega-embed")
_TOP_SHARES = (0.01, 0.05, 0.10, 0.25, 0.50, 1.0)
_GAPS = ("same_day_unordered", "overlapping", "0-24 h", "24-72 h", "3-7 d", "7-30 d")
_FLOWS_SHOWN = 8
_COMBINATIONS_SHOWN = 8
_CURVE_STEPS = 24
_COLOURS = ["#1f4e79", "#b4530a", "#4a7c3a", "#7a4a8c", "#8a6d1a", "#2a8a8a", "#a03050", "#666666"]
_LEAST_MONTHS_SHOWN = 6
"""Months that a measure must show on average for a trend by month; otherwise years are drawn."""

_TRENDS = {
    "people_booked": "Booked people with SMI, share",
    "length_of_stay": "Mean days in jail",
    "connected_30_days": "Connected to care in 30 days, share",
    "rebooked_12_months_any": "Booked again in 12 months, share",
}


def brief_file(workspace: Workspace, release: Release) -> Path:
    """Where the brief on a release is: briefs/<release id>.html."""
    return workspace.root / "briefs" / f"{release.release_id}.html"


def write_brief(workspace: Workspace, release: Release) -> Path:
    """Write briefs/<release id>.html, readable by its owner only, and return its path."""
    path = brief_file(workspace, release)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with duckdb.connect(release.database, read_only=True) as connection:
        page = render_brief(connection, release_id=release.release_id)
    replace_file(path, page)
    return path


def shown_parts(parts: Sequence[int], least: int) -> list[bool]:
    """Which disjoint counts of people may be shown beside their sum.

    Counts from 1 to `least` - 1 are withheld. Where one part alone is withheld, or all of them together are fewer
    than `least` people, the next smallest goes as well, so that no subtraction gives a small count away.
    """
    shown = [not 0 < part < least for part in parts]
    for place in sorted(range(len(parts)), key=lambda each: (parts[each], each)):
        hidden = [part for part, is_shown in zip(parts, shown, strict=True) if not is_shown]
        if not hidden or (len(hidden) > 1 and sum(hidden) >= least):
            break
        if parts[place] > 0:
            shown[place] = False
    return shown


def figures(connection: duckdb.DuckDBPyConnection) -> dict[str, Any]:
    """Every number of the brief, small cells withheld (None), from a release's connection.

    Keys: county, as_of, least, people, contacts, combinations, unshown_people, concentration, cohorts, flows,
    trends, periods, linkage.
    """
    ((county, as_of, least),) = connection.execute(
        "select county, as_of, small_cell_threshold from run_parameter"
    ).fetchall()
    counted = """
        from utilization inner join person using (person_id) cross join run_parameter
        where window_name = '12_months' and (include_minors or is_minor is distinct from true)
    """
    combinations = connection.execute(
        f"""
        select systems, count(*) as people
        from (select person_id, list(distinct source order by source) as systems {counted} group by person_id)
        group by systems order by people desc, systems
        """
    ).fetchall()
    # Apart by number of systems, for the cohorts of two and of three or more systems are sums of these as well.
    shown = [False] * len(combinations)
    for stratum in (1, 2, 3):
        places = [at for at, (systems, _) in enumerate(combinations) if min(len(systems), 3) == stratum]
        of_stratum = shown_parts([combinations[at][1] for at in places], least)
        for at, is_shown in zip(places, of_stratum, strict=True):
            shown[at] = is_shown
    people = sum(each for _, each in combinations)
    visible = [
        {"systems": systems, "people": of_these}
        for (systems, of_these), is_shown in zip(combinations, shown, strict=True)
        if is_shown
    ]
    unshown = people - sum(each["people"] for each in visible)
    contacts = [
        row[0]
        for row in connection.execute(
            f"select sum(episodes)::bigint as contacts {counted} group by person_id order by contacts desc"
        ).fetchall()
    ]
    ((links_nobody,),) = connection.execute(
        "select count(*) = count(distinct person_id) from person_crosswalk"
    ).fetchall()
    cohorts = _cohorts(connection, least)
    trends = _trends(connection)
    linkage = connection.sql(
        "select measure, slice, value, numerator, denominator from linkage_quality order by measure, slice"
    ).pl()
    return {
        "county": county,
        "as_of": as_of,
        "least": least,
        "people": people if people >= least or people == 0 else None,
        "combinations": visible,
        "unshown_people": unshown if unshown >= least else None,
        "concentration": _concentration(contacts, least),
        "cohorts": cohorts,
        "flows": _flows(connection),
        "trends": trends,
        "periods": sorted({each["period"] for each in trends}),
        "linkage": _linkage(linkage, [each["cohort"] for each in cohorts if each["members"] is not None])
        | {"links_nobody": links_nobody},
    }


def _cohorts(connection: duckdb.DuckDBPyConnection, least: int) -> list[dict[str, Any]]:
    """Members of every cohort that has any, None where they are few, or where a cohort that is shown has the same
    members but few: the top tenth less the top twentieth would be those few."""
    rows = connection.execute(
        """
        select cohort, definition.label, definition.coverage_ok, list(membership.person_id)
        from cohort_definition as definition inner join cohort_membership as membership using (cohort)
        where membership.is_member
        group by all order by count(*) desc, cohort
        """
    ).fetchall()
    found: list[dict[str, Any]] = []
    shown: list[set[str]] = []
    for cohort, label, coverage_ok, members in rows:
        own = set(members)
        differs_by_few = any(own <= other and 0 < len(other) - len(own) < least for other in shown)
        is_shown = len(own) >= least and not differs_by_few
        if is_shown:
            shown.append(own)
        found.append(
            {
                "cohort": cohort,
                "label": label,
                "coverage_ok": coverage_ok,
                "members": len(own) if is_shown else None,
            }
        )
    return found


def _concentration(contacts: Sequence[int], least: int) -> list[dict[str, Any]]:
    """Share of all contacts by the top shares of people, each step at least `least` people wide."""
    if len(contacts) < least:
        return []
    # Named shares first, so that the steps of the curve give way to them.
    kept: dict[int, float] = {0: 0.0, len(contacts): 1.0}
    for share in (*_TOP_SHARES, *(step / _CURVE_STEPS for step in range(1, _CURVE_STEPS))):
        people = math.ceil(share * len(contacts))
        if all(abs(people - other) >= least for other in kept):
            kept[people] = share
    return [
        {
            "top": share,
            "people": people,
            "share": sum(contacts[:people]) / sum(contacts),
            "is_named": share in _TOP_SHARES,
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
        [list(_TRENDS)],
    ).fetchall()
    months = [row for row in rows if len(row[1]) == len("2025-01")]
    if len(months) < _LEAST_MONTHS_SHOWN * len(_TRENDS):
        months = [row for row in rows if len(row[1]) == len("2025")]
    rows = months
    group = {"all": "everyone booked", "smi": "with SMI", "other": "others"}
    return [
        {"measure": measure, "says": _TRENDS[measure], "period": period, "group": group[smi], "value": value}
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


def render_brief(connection: duckdb.DuckDBPyConnection, *, release_id: str) -> str:
    """The brief as one HTML page that loads nothing; scripts run only by their SHA-256."""
    found = figures(connection)
    charts = {
        name: chart.to_dict()
        for name, chart in {
            "overlap": _upset(found["combinations"][:_COMBINATIONS_SHOWN]),
            "flows": _sankey(found["flows"]),
            "concentration": _lorenz(found["concentration"]),
            "trends": _trend_lines(found["trends"], found["periods"]),
            "gaps": _gap_bars(found["flows"]),
        }.items()
        if chart is not None
    }
    scripts = (*_vega(), DRAW_CHARTS)
    latest = {(each["measure"], each["group"]): each for each in found["trends"]}
    return (
        _environment()
        .get_template("brief.html.j2")
        .render(
            **found,
            release_id=release_id,
            gap_names=_GAPS,
            latest=list(latest.values()),
            charts={name: Markup(json_for_page(chart)) for name, chart in charts.items()},  # noqa: S704
            scripts=[Markup(script) for script in scripts],  # noqa: S704  (Splink's libraries and ours)
            policy=content_security_policy(scripts),
        )
    )


def _upset(combinations: Sequence[dict[str, Any]]) -> Any:
    if not combinations:
        return None
    systems = sorted({system for each in combinations for system in each["systems"]})
    rows = [
        {"place": place, "system": system, "people": each["people"], "is_in": system in each["systems"]}
        for place, each in enumerate(combinations)
        for system in systems
    ]
    across = alt.X("place:O", axis=None)
    width = 330
    bars = alt.Chart(alt.InlineData(values=[row for row in rows if row["system"] == systems[0]]))
    tall = bars.mark_bar(color=_COLOURS[0]).encode(x=across, y=alt.Y("people:Q", title="people"))
    counts = bars.mark_text(dy=-6, fontSize=10).encode(
        x=across, y="people:Q", text=alt.Text("people:Q", format=",")
    )
    dots = (
        alt.Chart(alt.InlineData(values=rows))
        .mark_circle(size=90, opacity=1)
        .encode(
            x=across,
            y=alt.Y("system:N", title=None, sort=systems),
            color=alt.condition("datum.is_in", alt.value(_COLOURS[0]), alt.value("#dddddd")),
        )
        .properties(width=width, height=66)
    )
    return alt.vconcat((tall + counts).properties(width=width, height=95), dots, spacing=4)


def _sankey(flows: Sequence[dict[str, Any]]) -> Any:
    """Bands whose heights are steps, from the kinds on the left to the kinds on the right."""
    if not flows:
        return None
    starts, ends = ({flow[side]: 0 for flow in flows} for side in ("start", "end"))
    total = sum(flow["steps"] for flow in flows)
    space = 0.12 * total
    tops: dict[str, dict[str, float]] = {}
    labels = []
    for side, names in (("start", starts), ("end", ends)):
        tops[side] = {}
        top = 0.0
        for name in names:
            height = sum(flow["steps"] for flow in flows if flow[side] == name)
            tops[side][name] = top
            labels.append(
                {"x": 0 if side == "start" else 1, "y": top + height / 2, "side": side, "name": name}
            )
            top += height + space
    points = []
    for number, flow in enumerate(flows):
        left, right = tops["start"][flow["start"]], tops["end"][flow["end"]]
        for part in range(21):
            along = part / 20
            low = left + (right - left) * along * along * (3 - 2 * along)
            points.append(
                {"flow": number, "from": flow["start"], "x": along, "low": low, "high": low + flow["steps"]}
            )
        tops["start"][flow["start"]] += flow["steps"]
        tops["end"][flow["end"]] += flow["steps"]
    x = alt.X("x:Q", axis=None, scale=alt.Scale(domain=[-1.15, 2.15]))
    bands = (
        alt.Chart(alt.InlineData(values=points))
        .mark_area(opacity=0.65)
        .encode(
            x=x,
            y=alt.Y("low:Q", axis=None, scale=alt.Scale(reverse=True)),
            y2="high:Q",
            detail="flow:N",
            color=alt.Color("from:N", legend=None, scale=alt.Scale(range=_COLOURS)),
        )
    )
    base = alt.Chart(alt.InlineData(values=labels))
    left_names = base.transform_filter("datum.side == 'start'").mark_text(align="right", dx=-4)
    right_names = base.transform_filter("datum.side == 'end'").mark_text(align="left", dx=4)
    named = [each.encode(x=x, y="y:Q", text="name:N") for each in (left_names, right_names)]
    return alt.layer(bands, *named).properties(width=360, height=170)


def _lorenz(points: Sequence[dict[str, Any]]) -> Any:
    if not points:
        return None
    curve = [{"top": 0.0, "share": 0.0, "is_named": False}, *points]
    x = alt.X("top:Q", title="share of people, most contacts first", axis=alt.Axis(format="%"))
    y = alt.Y("share:Q", title="share of contacts", axis=alt.Axis(format="%"))
    base = alt.Chart(alt.InlineData(values=curve)).encode(x=x, y=y)
    even = alt.Chart(alt.InlineData(values=[{"top": 0, "share": 0}, {"top": 1, "share": 1}]))
    return alt.layer(
        even.mark_line(color="#999999", strokeDash=[4, 3], strokeWidth=1).encode(x=x, y=y),
        base.mark_line(color=_COLOURS[0]),
        base.transform_filter("datum.is_named").mark_circle(color=_COLOURS[1], size=50, opacity=1),
    ).properties(width=280, height=150)


def _trend_lines(trends: Sequence[dict[str, Any]], periods: Sequence[str]) -> Any:
    if not trends:
        return None
    return (
        alt.Chart(alt.InlineData(values=list(trends)))
        .mark_line(point=alt.OverlayMarkDef(size=18), strokeWidth=1.5)
        .encode(
            x=alt.X(
                "period:O",
                title=None,
                scale=alt.Scale(domain=list(periods)),
                axis=alt.Axis(
                    labelAngle=0,
                    values=[each for each in periods if len(each) == 4 or each.endswith(("-01", "-07"))],
                ),
            ),
            y=alt.Y("value:Q", title=None, axis=alt.Axis(tickCount=4)),
            color=alt.Color(
                "group:N", title=None, scale=alt.Scale(range=_COLOURS), legend=alt.Legend(orient="top")
            ),
        )
        .properties(width=310, height=75)
        .facet(alt.Facet("says:N", title=None), columns=2)
        .resolve_scale(y="independent")
    )


def _gap_bars(flows: Sequence[dict[str, Any]]) -> Any:
    if not flows:
        return None
    rows = [
        {
            "step": f"{flow['start']} → {flow['end']}",
            "gap": gap.replace("_", " "),
            "at": _GAPS.index(gap),
            "steps": steps,
        }
        for flow in flows
        for gap, steps in flow["gaps"].items()
    ]
    order = [gap.replace("_", " ") for gap in _GAPS]
    return (
        alt.Chart(alt.InlineData(values=rows))
        .mark_bar()
        .encode(
            x=alt.X("steps:Q", title="steps"),
            y=alt.Y("step:N", title=None, sort=None, axis=alt.Axis(labelLimit=340)),
            color=alt.Color("gap:N", title=None, sort=order, legend=alt.Legend(orient="top"),
                            scale=alt.Scale(domain=order, range=_COLOURS)),
            order="at:Q",
        )
        .properties(width=330, height=130)
    )  # fmt: skip


@cache
def _vega() -> tuple[str, ...]:
    """Vega's scripts as Splink packages them."""
    folder = resources.files("splink") / "internals" / "files" / "external_js"
    named = {
        name: sorted(each.name for each in folder.iterdir() if each.name.startswith(f"{name}@"))
        for name in _LIBRARIES
    }
    return tuple((folder / names[0]).read_text(encoding="utf-8") for names in named.values())


@cache
def _environment() -> jinja2.Environment:
    return page_templates(
        "pipelines.releases",
        percent=lambda share: "withheld" if share is None else f"{100 * share:.1f} %",
        count=lambda number: "withheld" if number is None else f"{number:,.0f}",
    )
