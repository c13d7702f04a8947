"""The linkage report: one page per run on how good the links are, for people who must answer for them.

It is made from the model file, the published table `linkage_quality` (so small cells are already withheld), and a
sample of pairs shown as levels in words. No value of a record, no token and no agency's id is on it. It opens from
disk without a network, and reads without its charts: every picture has its table.
"""

import datetime as dt
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import TYPE_CHECKING, Any

import jinja2
import polars as pl
from duckdb import DuckDBPyConnection
from markupsafe import Markup

from linkage.alternatives import MethodResult
from linkage.blocking import build_compared_record_of, workbench
from linkage.evaluation import CohortAgreement, Evaluation
from linkage.measures import drifting_pairs_sql
from linkage.model import adjustments, blocking_rules, comparisons, rarity_columns
from linkage.pages import DRAW_CHARTS, content_security_policy, json_for_page, page_templates
from linkage.report.charts import SplinkCharts, splink_charts
from linkage.report.pictures import Series, bar, line_picture
from linkage.scoring import WITHIN_COMPONENT, levels_sql, why_adjusted

if TYPE_CHECKING:
    from linkage.model_file import Model

_RECORDS_FOR_CHARTS = 5_000
"""Records that Splink's chart of unlinkables looks at; the table beside it has all of them."""

_VECTORS_SHOWN = 25
_LEAST_VECTOR = 11
"""Pairs that a combination of levels must have to be shown."""


@dataclass(frozen=True, kw_only=True)
class Case:
    """A sampled pair of source records, in words: why it was chosen, from which sources the records are, their
    pseudonymous record numbers, its match weights, and what each comparison says with the weight it adds."""

    chosen_because: str
    sources: tuple[str, str]
    record_numbers: tuple[int, int]
    linked: bool
    match_weight: float
    unadjusted_match_weight: float
    probability: float
    adjustment: str | None
    rule: str
    findings: tuple[tuple[str, str, float], ...]


@dataclass(frozen=True, kw_only=True)
class RunFacts:
    """What a report needs from a run beside its model: counts, cases, frequent combinations of levels and charts.

    `vectors` are rows (levels in words by comparison that says something, pairs, lightest and heaviest weight).
    """

    records: int
    clients: int
    persons: int
    pairs: int
    pairs_by_rule: Mapping[str, int]
    cases: tuple[Case, ...]
    vectors: tuple[tuple[str, int, float, float], ...]
    charts: SplinkCharts


@dataclass(frozen=True, kw_only=True)
class MethodComparison:
    """Ways to cluster side by side. `measured_against` says what right and true mean here.

    Each row: a method at one threshold, and what ours recalls at no less precision than it has.
    """

    measured_against: str
    ours: MethodResult
    others: tuple[tuple[MethodResult, MethodResult | None], ...]


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What only a simulated or labelled county knows."""

    evaluation: Evaluation
    cohorts: Mapping[str, CohortAgreement] = field(default_factory=dict)


def gather(con: DuckDBPyConnection, model: "Model", *, link_weight: float) -> RunFacts:
    """Counts, sampled cases and charts of the last run, from `source_record`, `scored_pair` and
    `person_crosswalk` in the connection's current schema. The connection must not be inside a transaction."""
    counts = con.execute(
        """
        select (select count(*) from source_record), count(*), count(distinct person_id),
            (select count(*) from scored_pair)
        from person_crosswalk
        """
    ).fetchall()[0]
    by_rule = dict(
        con.execute("select blocking_rule, count(*) from scored_pair group by all order by all").fetchall()
    )
    vectors = _frequent_vectors(con, model.parameters.profile)
    with workbench(con) as warehouse:
        _sample_pairs(con, warehouse, model.parameters.profile, link_weight)
        con.execute(
            f"""
            create table charted_record as
            select source_record_id_l as source_record_id from sampled_pair
            union select source_record_id_r from sampled_pair
            union (select source_record_id from {warehouse}.source_record
                order by hash(source_record_id), source_record_id limit {_RECORDS_FOR_CHARTS})
            """
        ).fetchall()
        build_compared_record_of(con, warehouse, "charted_record")
        rows = _case_rows(con, model.parameters.profile)
        charts = splink_charts(con, model, scored_pair=f"{warehouse}.scored_pair", cases=rows)
    return RunFacts(
        records=counts[0],
        clients=counts[1],
        persons=counts[2],
        pairs=counts[3],
        pairs_by_rule=by_rule,
        cases=tuple(_case(model, row) for row in rows),
        vectors=vectors,
        charts=charts,
    )


def render(
    model: "Model",
    facts: RunFacts,
    quality: pl.DataFrame,
    *,
    title: str,
    as_of: dt.date,
    link_weight: float,
    methods: MethodComparison | None = None,
    truth: Truth | None = None,
) -> str:
    """The report as one HTML page that loads nothing.

    `quality` is `linkage_quality`: measure, slice, value, numerator, denominator, note. Script runs only if it is one
    of the page's own, by its SHA-256; `unsafe-eval` is there because Vega compiles the expressions in Splink's
    charts, and the page may connect to nothing.
    """
    scripts = (*facts.charts.libraries, DRAW_CHARTS)
    measures = _Measures(quality)
    training = model.training
    return (
        _environment()
        .get_template("linkage_report.html.j2")
        .render(
            title=title,
            as_of=as_of,
            model=model,
            training=training,
            calibration=model.calibration,
            link_weight=link_weight,
            link_probability=float(model.calibration.probability(_one(link_weight))[0]),
            facts=facts,
            measures=measures,
            rules=_rules(model, facts.pairs_by_rule),
            comparisons=comparisons(model.parameters.profile),
            adjustments=adjustments(model.parameters.profile),
            learned=model.parameters.levels,
            reliability=_reliability(
                model.calibration.bins,
                estimated_from="agreeing numbers",
                says="Share of pairs that are one person, by match weight: as estimated from agreeing Social Security "
                "numbers",
                x_label="match weight without the Social Security number",
            ),
            reliability_without_numbers=_reliability(
                model.calibration.bins_without_numbers,
                estimated_from="false pairs with numbers",
                says="Share of the pairs without two numbers to compare that are one person, by match weight: as the "
                "false pairs with numbers let expect",
                x_label="match weight before it is read on the scale of pairs with numbers",
            ),
            learned_too_little=model.learned_too_little,
            threshold_picture=_threshold_picture(training, link_weight),
            estimates=sorted(training.get("link_estimates", ()), key=lambda each: each["link_weight"]),
            charts={
                name: Markup(json_for_page(specification))  # noqa: S704  (escaped there)
                for name, specification in facts.charts.specifications.items()
            },
            scripts=[Markup(script) for script in scripts],  # noqa: S704  (Splink's libraries and ours)
            policy=content_security_policy(scripts),
            methods=methods,
            truth=truth,
            bar=bar,
        )
    )


class _Measures:
    """The rows of `linkage_quality`, by measure and by what the slices divide."""

    def __init__(self, quality: pl.DataFrame) -> None:
        self._rows = sorted(quality.to_dicts(), key=lambda row: (row["measure"], _in_order(row["slice"])))

    def one(self, measure: str, slice_: str = "all") -> dict[str, Any] | None:
        """The row of one measure and slice, None where there is none."""
        return next((row for row in self._rows if (row["measure"], row["slice"]) == (measure, slice_)), None)

    def of(self, measure: str, family: str = "") -> list[dict[str, Any]]:
        """The rows of a measure whose slices divide by `family` ("sex: F" by sex); all of them without it."""
        return [
            {**row, "name": row["slice"].removeprefix(f"{family}: ")}
            for row in self._rows
            if row["measure"] == measure and (not family or row["slice"].startswith(f"{family}: "))
        ]

    def side_by_side(
        self, measures: Sequence[str], family: str
    ) -> list[tuple[str, list[dict[str, Any] | None]]]:
        """Slices of a family in rows, the measures in columns."""
        found = {measure: {row["name"]: row for row in self.of(measure, family)} for measure in measures}
        names = sorted({name for of_measure in found.values() for name in of_measure}, key=_in_order)
        return [(name, [found[measure].get(name) for measure in measures]) for name in names]

    def note(self, measure: str) -> str:
        """How to read a measure."""
        shown = (
            row["note"] for row in self._rows if row["measure"] == measure and row["numerator"] is not None
        )
        return next(shown, next((row["note"] for row in self._rows if row["measure"] == measure), ""))

    def estimated_recall(self) -> float | None:
        """Recall of what was weighed, times what blocking let through."""
        weighed, lost = self.one("estimated_recall_of_weighed"), self.one("blocking_loss")
        if weighed is None or weighed["value"] is None:
            return None
        return float(weighed["value"] * (1 - ((lost or {}).get("value") or 0.0)))


def _in_order(name: str) -> list[Any]:
    """Sort key under which numbers in a name count as numbers, and what is below a number comes before it."""
    parts = re.split(r"(\d+)", name.replace("under 18", "0"))
    return [int(part) if part.isdigit() else part for part in parts]


def _sample_pairs(con: DuckDBPyConnection, warehouse: str, profile: str, link_weight: float) -> None:
    """Create `sampled_pair` in the workbench: a few pairs of each kind that a steward wants to see.

    The choice depends on the records alone: the pairs of a kind are ordered by a hash of their ids.
    """
    kinds = (
        ("Linked, just above the threshold", f"linked and match_weight between {link_weight} and {link_weight + 2}", 2),
        ("Not linked, just below the threshold",
         f"not linked and match_weight between {link_weight - 3} and {link_weight}", 2),
        ("Not linked although it reaches the threshold", f"not linked and match_weight >= {link_weight}", 2),
        ("Linked in company, though too light alone", f"linked and match_weight < {link_weight}", 2),
        *((f"Adjusted: {each.name.replace('_', ' ')}", f"adjustment = '{each.name}'", 1)
          for each in adjustments(profile)),
        ("Linked, far above the threshold", f"linked and match_weight > {link_weight + 6}", 1),
    )  # fmt: skip
    branches = " union all ".join(
        f"(select {place} as place, '{name}' as chosen_because, * from judged where {when} "
        f"order by hash(source_record_id_l, source_record_id_r), source_record_id_l, source_record_id_r limit {most})"
        for place, (name, when, most) in enumerate(kinds)
    )
    con.execute(
        f"""
        create table sampled_pair as
        with judged as materialized (
            select scored_pair.*, l.source as source_l, r.source as source_r,
                l_is.person_id = r_is.person_id as linked
            from {warehouse}.scored_pair
            inner join {warehouse}.source_record as l on l.source_record_id = source_record_id_l
            inner join {warehouse}.source_record as r on r.source_record_id = source_record_id_r
            inner join {warehouse}.person_crosswalk as l_is on l_is.source = l.source and l_is.client_id = l.client_id
            inner join {warehouse}.person_crosswalk as r_is on r_is.source = r.source and r_is.client_id = r.client_id
        ),
        chosen as ({branches})
        select * from chosen
        qualify row_number() over (partition by source_record_id_l, source_record_id_r order by place) = 1
        """
    ).fetchall()


def _case_rows(con: DuckDBPyConnection, profile: str) -> list[dict[str, Any]]:
    """The sampled pairs with the shares of the names they have in common; record numbers count source records in
    the order of their ids."""
    con.execute(
        """
        create or replace table candidate_pair as
        select l.record_number as record_number_l, r.record_number as record_number_r, 255::utinyint as rule
        from sampled_pair
        inner join compared_record as l on l.source_record_id = source_record_id_l
        inner join compared_record as r on r.source_record_id = source_record_id_r
        """
    ).fetchall()
    shares = "".join(f", tf_{column}" for column in rarity_columns(profile))
    cursor = con.execute(
        f"""
        select sampled_pair.*, record_number_l, record_number_r{shares}
        from sampled_pair
        inner join (select source_record_id_l, source_record_id_r, record_number_l, record_number_r{shares}
            from ({levels_sql(profile=profile)})) as levelled using (source_record_id_l, source_record_id_r)
        order by place, match_weight desc, record_number_l, record_number_r
        """
    )
    names = [column[0] for column in cursor.description]
    return [dict(zip(names, row, strict=True)) for row in cursor.fetchall()]


def _case(model: "Model", row: Mapping[str, Any]) -> Case:
    findings = []
    profile = model.parameters.profile
    for each in comparisons(profile):
        number = row[each.column]
        level = next(
            level
            for level in each.levels
            if each.number_of(level.name) == number and (number >= 0 or level.tells_nothing)
        )
        weight = 0.0
        if not level.tells_nothing:
            weight = model.parameters.levels[each.name][level.name].match_weight
        findings.append((each.name.replace("_", " "), level.says, weight))
    rule = blocking_rules(profile).get(row["blocking_rule"])
    return Case(
        chosen_because=row["chosen_because"],
        sources=(row["source_l"], row["source_r"]),
        record_numbers=(row["record_number_l"], row["record_number_r"]),
        linked=row["linked"],
        match_weight=row["match_weight"],
        unadjusted_match_weight=row["unadjusted_match_weight"],
        probability=row["match_probability"],
        adjustment=why_adjusted(row, model),
        rule=rule.says
        if rule
        else "No blocking rule: both are in one component, so the pair was weighed there.",
        findings=tuple(findings),
    )


def _frequent_vectors(con: DuckDBPyConnection, profile: str) -> tuple[tuple[str, int, float, float], ...]:
    """The commonest combinations of levels among the pairs that blocking brought."""
    columns = ", ".join(each.column for each in comparisons(profile))
    rows = con.execute(
        f"""
        select {columns}, count(*) as pairs, min(match_weight), max(match_weight)
        from {drifting_pairs_sql("scored_pair")} group by {columns}
        having count(*) >= {_LEAST_VECTOR} order by pairs desc, {columns} limit {_VECTORS_SHOWN}
        """
    ).fetchall()
    names = [(each.name.replace("_", " "), each.level_names()) for each in comparisons(profile)]
    found = []
    for *levels, pairs, lightest, heaviest in rows:
        words = [
            f"{name} {of_level[level].replace('_', ' ')}"
            for level, (name, of_level) in zip(levels, names, strict=True)
            if level >= 0
        ]
        found.append((", ".join(words) or "nothing can be compared", pairs, lightest, heaviest))
    return tuple(found)


def _rules(model: "Model", pairs_by_rule: Mapping[str, int]) -> list[dict[str, Any]]:
    """Every blocking rule with what it brought when the model was trained and how many pairs of this run are filed
    under it."""
    counts = {each["rule"]: each for each in model.training.get("blocking", ())}
    rows = [
        {"name": name, "says": rule.says, "now": pairs_by_rule.get(name, 0), **counts.get(name, {})}
        for name, rule in blocking_rules(model.parameters.profile).items()
    ]
    inside = {
        "name": WITHIN_COMPONENT,
        "says": "Brought by no rule; weighed because both records are in one component.",
        "now": pairs_by_rule.get(WITHIN_COMPONENT, 0),
    }
    return [*rows, inside]


def _reliability(
    bins: Sequence[Mapping[str, float]], *, estimated_from: str, says: str, x_label: str
) -> Markup:
    return line_picture(
        [
            Series(name=f"estimated from {estimated_from}", style=1,
                   points=[(each["match_weight"], each["estimated"]) for each in bins]),
            Series(name="calibrated probability", style=2,
                   points=[(each["match_weight"], each["fitted"]) for each in bins]),
        ],
        says=f"{says}, and as the calibration has it. The closer both lines are, the more a probability means what it "
        "says.",
        x_label=x_label,
        y_label="share that is one person",
        y_range=(0.0, 1.0),
    )  # fmt: skip


def _threshold_picture(training: Mapping[str, Any], link_weight: float) -> Markup:
    estimates = sorted(training.get("link_estimates", ()), key=lambda each: each["link_weight"])
    return line_picture(
        [
            Series(name=f"estimated {name}", style=style,
                   points=[(each["link_weight"], each[name]) for each in estimates])
            for style, name in enumerate(("precision", "recall"), start=1)
        ],
        says="Estimated precision and recall of the links at each threshold. Moving right costs recall.",
        x_label="link threshold (average match weight)",
        y_label="estimated share",
        marked_x=link_weight,
        marked_label="chosen",
    )  # fmt: skip


def _one(weight: float) -> Any:
    import numpy as np

    return np.array([weight])


def _percent(share: float | None, digits: int = 1) -> str:
    return "withheld" if share is None else f"{100 * share:.{digits}f} %"


def _count(number: float | None) -> str:
    return "withheld" if number is None else f"{number:,.0f}"


def _weight(number: float) -> str:
    return f"{number:+.1f}".replace("-", "\N{MINUS SIGN}")


@cache
def _environment() -> jinja2.Environment:
    return page_templates(
        "linkage.report",
        percent=_percent,
        count=_count,
        weight=_weight,
        words=lambda name: str(name).replace("_", " "),
        day=lambda day: f"{day.day} {day:%b %Y}",
    )
