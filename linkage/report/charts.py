"""Splink's own charts of a model and of the pairs it weighed, as specifications that one page can show.

Splink saves a chart as a page of its own that needs no network: 0.85 MB of libraries each time. Here the libraries
are taken once, and the charts' specifications stand beside them.
"""

import logging
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from linkage.model import RAREST_NAME, comparisons
from linkage.training import splink_linker

if TYPE_CHECKING:
    from linkage.model_file import Model

_LIBRARIES = 3
"""Scripts that come before the chart in every page that Splink saves: Vega, Vega-Lite and Vega-Embed."""

_FOR_CHARTS = {
    "retain_intermediate_calculation_columns": True,
    "retain_matching_columns": True,
    "blocking_rules_to_generate_predictions": [],
}
"""Splink draws no waterfall without the first two, whatever rows it is given; records paired with themselves need no
blocking."""


@dataclass(frozen=True, kw_only=True)
class SplinkCharts:
    """Vega-Lite specifications by name, and the scripts that draw them."""

    specifications: Mapping[str, Mapping[str, Any]]
    libraries: tuple[str, ...]


def splink_charts(
    con: DuckDBPyConnection, model: "Model", *, scored_pair: str, cases: Sequence[Mapping[str, Any]]
) -> SplinkCharts:
    """Charts of the model (`match_weights`, `m_and_u`), of all scored pairs (`weight_histogram`, where there are two
    that differ: Splink divides by their range), of the records in the workbench's `compared_record` (`unlinkables`)
    and of `cases` (`waterfall`, where there are any).

    `scored_pair` is the table of pairs as the connection sees it. A case is a row of
    `sampled_case` (`linkage.report.page`): its levels, the shares of the names in common and the unadjusted match
    weight. The charts hold levels, rates and weights, never a value of a record.
    """
    logger = logging.getLogger("splink")
    level = logger.level
    logger.setLevel(logging.ERROR)
    try:
        linker = splink_linker(
            con, {**model.splink_settings, **_FOR_CHARTS}, profile=model.parameters.profile
        )
        con.execute(
            f"create or replace table weighed_pair as select match_weight from {scored_pair}"
        ).fetchall()
        weighed = linker.table_management.register_table_predict(
            linker.table_management.register_table("weighed_pair", "weighed_pair_in_splink")
        )
        charts = {
            "match_weights": linker.visualisations.match_weights_chart(),
            "m_and_u": linker.visualisations.m_u_parameters_chart(),
            "unlinkables": linker.evaluation.unlinkables_chart(x_col="match_weight"),
        }
        if _differ(con, "weighed_pair"):
            charts["weight_histogram"] = linker.visualisations.match_weights_histogram(weighed)
        if cases:
            charts["waterfall"] = linker.visualisations.waterfall_chart(
                [_as_splink_has_it(model, case) for case in cases], remove_sensitive_data=True
            )
        page = charts["match_weights"].to_html(inline=True)
        specifications = {
            name: _readable(chart.chart_dict, model.parameters.profile) for name, chart in charts.items()
        }
    finally:
        logger.setLevel(level)
    return SplinkCharts(specifications=specifications, libraries=_scripts(page)[:_LIBRARIES])


def _differ(con: DuckDBPyConnection, pairs: str) -> bool:
    return bool(
        con.execute(f"select coalesce(max(match_weight) > min(match_weight), false) from {pairs}").fetchall()[
            0
        ][0]
    )


_HEADING = {"labelOrient": "top", "labelAnchor": "start", "labelAlign": "left", "labelFontWeight": "bold"}

_ROOM_FOR_LABELS = 90
"""Pixels: the names of levels are longer than Vega reckons once the headings stand above them."""


def _readable(specification: dict[str, Any], profile: str) -> dict[str, Any]:
    """A chart with each comparison's name above its levels, not across them, and levels' sentences in place of SQL."""
    says = {(each.name, level.name): level.says for each in comparisons(profile) for level in each.levels}
    for panel in (*specification.get("vconcat", ()), *specification.get("hconcat", ())):
        if "row" in panel.get("encoding", {}):
            panel["encoding"]["row"]["header"] |= _HEADING
            specification["padding"] = {"left": _ROOM_FOR_LABELS, "top": 5, "right": 5, "bottom": 5}
    for value in specification["data"]["values"]:
        if "sql_condition" in value:
            comparison_name = value.get("comparison_name", value.get("column_name"))
            value["sql_condition"] = says.get((comparison_name, value["label_for_charts"]), "")
    return specification


def _as_splink_has_it(model: "Model", case: Mapping[str, Any]) -> dict[str, Any]:
    """A case as a row of Splink's predictions: levels, the weight that each rarity adds, the sum."""
    record: dict[str, Any] = {"match_weight": case["unadjusted_match_weight"]}
    for each in comparisons(model.parameters.profile):
        record[each.column] = case[each.column]
        rated = next((level for level in each.levels if level.rarity_of), None)
        if rated is None:
            continue
        learned = model.parameters.levels[each.name][rated.name]
        rarer = 0.0
        if case[each.column] == each.number_of(rated.name) and learned.observed:
            rarer = math.log2(learned.u) - math.log2(max(case[f"tf_{rated.rarity_of}"] or 0.0, RAREST_NAME))
        record[f"mw_tf_adj_{each.name}"] = rarer
    return record


def _scripts(page: str) -> tuple[str, ...]:
    """The text of every script of a page, in order."""
    found: list[str] = []

    class _Reader(HTMLParser):
        def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
            if tag == "script":
                found.append("")

        def handle_data(self, data: str) -> None:
            if self.lasttag == "script" and self.cdata_elem == "script":
                found[-1] += data

    _Reader().feed(page)
    return tuple(found)
