"""The brief for a county board: two printed pages on one release, made from its database alone.

It loads nothing, reads without its charts (each has its table), and shows no figure from fewer people than the
release's `small_cell_threshold`, nor any that gives such a figure away (pipelines/releases/brief_figures.py).
"""

from collections.abc import Sequence
from contextlib import suppress
from functools import cache
from importlib import resources
from pathlib import Path
from typing import Any

import altair as alt
import duckdb
import jinja2
from markupsafe import Markup

from linkage.pages import (
    DRAW_CHARTS,
    content_security_policy,
    json_for_page,
    page_templates,
    replace_file,
)
from pipelines.releases.brief_figures import Counted, count_exactly, figures
from pipelines.releases.release import Release, releases_of_the_same_day
from pipelines.workspace import Workspace

_LIBRARIES = ("vega", "vega-lite", "vega-embed")
_GAPS = ("same_day_unordered", "overlapping", "0-24 h", "24-72 h", "3-7 d", "7-30 d")
_COMBINATIONS_SHOWN = 8
_COLOURS = ["#1f4e79", "#b4530a", "#4a7c3a", "#7a4a8c", "#8a6d1a", "#2a8a8a", "#a03050", "#666666"]


def brief_file(workspace: Workspace, release: Release) -> Path:
    """Where the brief on a release is: briefs/<release id>.html."""
    return workspace.root / "briefs" / f"{release.release_id}.html"


def write_brief(workspace: Workspace, release: Release) -> Path:
    """Write briefs/<release id>.html, readable by its owner only, and return its path."""
    path = brief_file(workspace, release)
    path.parent.mkdir(mode=0o700, exist_ok=True)
    with duckdb.connect(release.database, read_only=True) as connection:
        page = render_brief(
            connection, release_id=release.release_id, earlier=_of_the_same_day(workspace, release)
        )
    replace_file(path, page)
    return path


def _of_the_same_day(workspace: Workspace, release: Release) -> list[Counted]:
    """The other releases on disk that count up to the same day; one of an older layout had no such brief."""
    found = []
    for other in releases_of_the_same_day(
        workspace, as_of=release.manifest["state"]["as_of"], beside=release.release_id
    ):
        with (
            duckdb.connect(other.database, read_only=True) as connection,
            suppress(duckdb.CatalogException, duckdb.BinderException),
        ):
            found.append(count_exactly(connection))
    return found


def render_brief(
    connection: duckdb.DuckDBPyConnection, *, release_id: str, earlier: Sequence[Counted] = ()
) -> str:
    """The brief as one HTML page that loads nothing; scripts run only by their SHA-256. `earlier` are the other
    releases that count up to the same day."""
    found = figures(connection, earlier)
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
