"""How good the links of a run are, told without the truth.

What can be known when nobody knows who is who: how the calibrated probabilities of the links add up, what
becomes of pairs of clients that a Social Security number says are one person, what blocking cannot see, who
could never be linked, how large persons get, and whether the records still look like those the model learned
from. Each measure is a count over a count, said in one sentence with the direction in which it errs.

The unit is the client (source, client_id), as in `linkage.evaluation`. Numbers here are exact; what may be
shown of small groups is decided where they are published.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import astuple, dataclass, fields
from typing import TYPE_CHECKING

import polars as pl
from duckdb import DuckDBPyConnection

from linkage.blocking import LARGEST_BLOCK, build_compared_record_of, workbench
from linkage.calibration import Calibration
from linkage.evaluation import client_groups
from linkage.model import blocking_rules, comparison, comparisons
from linkage.records import recorded_profile
from linkage.scoring import LEAST_WEIGHT_KEPT, WITHIN_COMPONENT, scored_pairs_sql, tells_sql

if TYPE_CHECKING:
    from linkage.model_file import Model

ALL = "all"

WILSON_Z = 1.959964
"""Standard normal deviate of a two-sided interval of 95 %."""

SIZES = ((1, 1), (2, 2), (3, 5), (6, 10), (11, 20), (21, 50), (51, None))
"""Classes of clients per person, both ends included."""

_LEAST_PAIRS_OF_A_CELL = 30
"""Expected pairs from which a cell's own blocking loss is believed; with fewer, that of its pattern is."""

_MOST_LOSS = 0.95
"""A loss nearer to one would multiply what little was found without end."""

_MOST_SELF_WEIGHED = 200_000
"""Records weighed against themselves; of more, a sample."""

_GROUPS = ("sex", "race_ethnicity", "age_band", "missing")


@dataclass(frozen=True, kw_only=True)
class Measure:
    """One figure. `family` says by what the slices divide (`all`, `source`, `source pair`, `missing`, ...).

    `value` is numerator / denominator unless `note` says otherwise, and None where there is nothing to divide by.
    `counts_people` is True where the numerator counts people who have something in common beside being linked,
    so that a small one would tell on them.
    """

    measure: str
    family: str
    slice: str
    value: float | None
    numerator: float | None
    denominator: float | None
    note: str
    counts_people: bool = False


def ratio(
    measure: str,
    family: str,
    slice_: str,
    numerator: float,
    denominator: float,
    note: str,
    *,
    counts_people: bool = False,
) -> Measure:
    """The measure whose value is numerator / denominator."""
    return Measure(
        measure=measure,
        family=family,
        slice=slice_,
        value=round(numerator / denominator, 5) if denominator else None,
        numerator=round(numerator, 1),
        denominator=round(denominator, 1),
        note=note,
        counts_people=counts_people,
    )


def wilson_interval(successes: int, trials: int, *, z: float = WILSON_Z) -> tuple[float, float]:
    """The score interval of a proportion (Wilson 1927): honest for few trials and for shares near 0 and 1.

    >>> [round(bound, 4) for bound in wilson_interval(81, 263)]
    [0.2553, 0.3662]
    >>> wilson_interval(0, 0)
    (0.0, 1.0)
    """
    if not trials:
        return 0.0, 1.0
    share = successes / trials
    middle = (share + z * z / (2 * trials)) / (1 + z * z / trials)
    reach = z / (1 + z * z / trials) * math.sqrt(share * (1 - share) / trials + z * z / (4 * trials**2))
    return max(0.0, middle - reach), min(1.0, middle + reach)


def population_stability_index(before: Mapping[str, float], now: Mapping[str, float]) -> float:
    """How far a distribution over named classes has moved: sum of (now - before) * ln(now / before).

    Shares of counts, half a count added to each class so that an empty one does not make it infinite. Below .1
    little has changed, above .25 much has (Lewis 1994, An Introduction to Credit Scoring; Siddiqi 2006, Credit
    Risk Scorecards). It is Jeffreys' divergence of the two distributions.

    >>> population_stability_index({"a": 50, "b": 50}, {"a": 50, "b": 50})
    0.0
    """
    names = sorted({*before, *now})
    sums = [sum(counts.get(name, 0) + 0.5 for name in names) for counts in (before, now)]
    moved = 0.0
    for name in names:
        old, new = (
            (counts.get(name, 0) + 0.5) / total for counts, total in zip((before, now), sums, strict=True)
        )
        moved += (new - old) * math.log(new / old)
    return moved


def measure_linkage(
    con: DuckDBPyConnection,
    model: "Model",
    *,
    link_weight: float,
    as_of_year: int,
    decisions: pl.DataFrame | None = None,
) -> list[Measure]:
    """Every measure that needs no truth, from the tables of the last run.

    Reads `source_record`, `scored_pair` and `person_crosswalk` in the connection's current schema.
    `link_weight` is the match weight down to which clusters were united, `as_of_year` dates the age bands and
    `decisions` are the effective steward decisions (`linkage.decisions`). The connection must not be inside a
    transaction.
    """
    groups = client_groups(con, as_of_year=as_of_year)
    with workbench(con) as warehouse:
        _prepare(con, warehouse, groups, model.calibration, link_weight)
        return [
            *_estimated_precision(con),
            *_estimated_recall(con),
            *_blocking_loss(con),
            *_recall_on_numbers(con),
            *_steward_labelled(con, decisions, link_weight),
            *_linked_clients(con),
            *_link_rates(con),
            *_person_sizes(con),
            *_unlinkable(con, warehouse, model, link_weight),
            *_drift(con, warehouse, model),
        ]


def write_measures(con: DuckDBPyConnection, measures: Sequence[Measure]) -> int:
    """Create or replace the table `linkage_measure`, a row per measure and slice; returns their number.

    Columns as the fields of `Measure`. Raises ValueError when two rows are of one measure and slice.
    """
    if len({(each.measure, each.slice) for each in measures}) != len(measures):
        raise ValueError("two figures of one measure and slice")
    kinds = {
        "value": pl.Float64,
        "numerator": pl.Float64,
        "denominator": pl.Float64,
        "counts_people": pl.Boolean,
    }
    names = [field.name for field in fields(Measure)]
    frame = pl.DataFrame(
        [astuple(each) for each in measures],
        schema={name: kinds.get(name, pl.String) for name in names},
        orient="row",
    )
    con.register("measure_frame", frame.to_arrow())
    con.execute(
        "create or replace table linkage_measure as from measure_frame order by measure, slice"
    ).fetchall()
    con.unregister("measure_frame")
    return frame.height


def count_levels(
    con: DuckDBPyConnection, pairs: str, *, profile: str = "standard"
) -> dict[str, dict[str, int]]:
    """How many rows of `pairs` (SQL of a relation with gamma columns) are in each level of each comparison.

    Pairs of which a comparison can say nothing are counted as `missing`.
    """
    columns = ", ".join(each.column for each in comparisons(profile))
    vectors = f"select {columns}, count(*) as pairs from {pairs} group by all"
    counted = " union all ".join(
        f"select '{each.name}' as comparison, {each.column} as level, sum(pairs)::bigint as pairs "
        f"from vector group by {each.column}"
        for each in comparisons(profile)
    )
    counts: dict[str, dict[str, int]] = {each.name: {} for each in comparisons(profile)}
    names = {each.name: {**each.level_names(), -1: "missing"} for each in comparisons(profile)}
    for name, level, found in con.execute(f"with vector as ({vectors}) {counted} order by all").fetchall():
        counts[name][names[name][level]] = int(found)
    return counts


def _prepare(
    con: DuckDBPyConnection,
    warehouse: str,
    groups: pl.DataFrame,
    calibration: Calibration,
    link_weight: float,
) -> None:
    """Create in the workbench:

    - client: client number from 0, source, client_id, person_id, the groups, lacks_name, lacks_birth_date.
    - client_pair: a < b, weight (the strongest of their records'), probability (of the pair alone), brought (by
      a blocking rule), brought_otherwise (by one that does not rest on the Social Security number),
      same_number, number_compared, linked, link_probability (if linked: as probable as the link threshold at
      least, since those who are alike to the same third are alike to each other; where nothing that identifies can be
      compared, as the less probable of each one's best link), source_pair, pattern (what one of both lacks of
      name and birth date).
    """
    con.register("group_frame", groups.to_arrow())
    con.execute(
        f"""
        create table client as
        select row_number() over (order by source, client_id) - 1 as client, source, client_id, person_id,
            group_frame.* exclude (source, client_id),
            contains(missing, 'name') as lacks_name, contains(missing, 'birth date') as lacks_birth_date
        from {warehouse}.person_crosswalk inner join group_frame using (source, client_id)
        """
    ).fetchall()
    con.unregister("group_frame")
    con.execute(
        f"""
        create table record_client as
        select source_record_id, client, ssn_token
        from {warehouse}.source_record inner join client using (source, client_id)
        """
    ).fetchall()
    profile = recorded_profile(con, f"{warehouse}.source_record").name
    other = ", ".join(f"'{name}'" for name, rule in blocking_rules(profile).items() if not rule.rests_on_ssn)
    ssn = comparison("ssn", profile)
    as_linked = f"greatest(if(tells, weight, least(l.best, r.best)), {link_weight!r}::double)"
    con.execute(
        f"""
        create table weighed_client_pair as
        select weighed.*, l.person_id = r.person_id as linked,
            least(l.source, r.source) || ' with ' || greatest(l.source, r.source) as source_pair,
            {_pattern_sql("l", "r")} as pattern
        from (
            select least(l.client, r.client) as a, greatest(l.client, r.client) as b,
                max(match_weight) as weight,
                bool_or(blocking_rule <> '{WITHIN_COMPONENT}') as brought,
                bool_or(blocking_rule in ({other})) as brought_otherwise,
                bool_or({ssn.column} = {ssn.number_of("equal")}) as same_number,
                bool_or({ssn.column} >= 0) as number_compared,
                bool_or({tells_sql(profile)}) as tells
            from {warehouse}.scored_pair
            inner join record_client as l on l.source_record_id = source_record_id_l
            inner join record_client as r on r.source_record_id = source_record_id_r
            where l.client <> r.client
            group by 1, 2
        ) as weighed
        inner join client as l on l.client = a
        inner join client as r on r.client = b
        """
    ).fetchall()
    con.execute(
        f"""
        create table client_pair as
        with best_link as (
            select client, max(weight) as best
            from (
                select a as client, weight from weighed_client_pair where linked and tells
                union all select b, weight from weighed_client_pair where linked and tells
            )
            group by client
        )
        select weighed_client_pair.* exclude (tells), {calibration.probability_sql("weight")} as probability,
            case when linked then {calibration.probability_sql(as_linked)} end as link_probability
        from weighed_client_pair
        left join best_link as l on l.client = a
        left join best_link as r on r.client = b
        """
    ).fetchall()


def _pattern_sql(left: str, right: str) -> str:
    return f"""case
        when ({left}.lacks_name or {right}.lacks_name) and ({left}.lacks_birth_date or {right}.lacks_birth_date)
            then 'name, birth date'
        when {left}.lacks_name or {right}.lacks_name then 'name'
        when {left}.lacks_birth_date or {right}.lacks_birth_date then 'birth date'
        else 'nothing' end"""


_PRECISION_SAYS = (
    "Sum of the calibrated probabilities of linked pairs of clients over their number; a pair linked in company counts "
    "as at least the link threshold, and one of which nothing that identifies can be compared as the less probable of "
    "each one's best link. As right as the calibration is."
)


def _estimated_precision(con: DuckDBPyConnection) -> list[Measure]:
    rows = con.execute(
        """
        select source_pair, sum(link_probability), count(*) from client_pair where linked
        group by rollup (source_pair) order by all
        """
    ).fetchall()
    return [
        ratio("estimated_precision", *_of(slice_, "source pair"), right, linked, _PRECISION_SAYS)
        for slice_, right, linked in rows
        if linked
    ]


_RECALL_SAYS = (
    "Of the pairs of clients that were weighed, the sum of probabilities of the linked over the sum of all. What no "
    "blocking rule brought is not in it: see blocking_loss."
)


def _estimated_recall(con: DuckDBPyConnection) -> list[Measure]:
    rows = con.execute(
        """
        select source_pair, coalesce(sum(link_probability), 0), sum(coalesce(link_probability, probability))
        from client_pair group by rollup (source_pair) order by all
        """
    ).fetchall()
    return [
        ratio("estimated_recall_of_weighed", *_of(slice_, "source pair"), linked, true, _RECALL_SAYS)
        for slice_, linked, true in rows
        if true
    ]


_WITHOUT_NUMBER_SAYS = (
    "Among pairs of clients with one whole Social Security number, each counted at its probability, the share that no "
    "rule brings but those on the number: what blocking loses where a number is missing. Too low, for where numbers "
    "are written down the rest is written with more care."
)
_LOSS_SAYS = (
    "Estimated share of true pairs that no blocking rule brings. Of pairs in which a number is missing, found F are "
    "taken as F / (1 - loss), with the loss of blocking_loss_without_number for the same source pair and missing "
    "fields; pairs with two numbers are taken as all found. Too low for both reasons, and because records without name "
    "and number, which nothing can find, are not in it (see unlinkable_records)."
)


def _blocking_loss(con: DuckDBPyConnection) -> list[Measure]:
    cells = con.execute(
        """
        select source_pair, pattern,
            coalesce(sum(probability) filter (same_number and not brought_otherwise), 0) as lost,
            coalesce(sum(probability) filter (same_number), 0) as with_number,
            coalesce(sum(probability) filter (brought and not number_compared), 0) as found_without,
            coalesce(sum(probability) filter (brought), 0) as found
        from client_pair group by all order by all
        """
    ).fetchall()
    measures = []
    for family, position in (("all", None), ("source pair", 0), ("missing on one side", 1)):
        for slice_, group in _grouped(cells, position).items():
            lost, known = (sum(row[column] for row in group) for column in (2, 3))
            if known:
                measures.append(
                    ratio("blocking_loss_without_number", family, _named(family, slice_), lost, known,
                          _WITHOUT_NUMBER_SAYS)
                )  # fmt: skip
            missed = sum(row[4] * (loss := _loss_of(row, cells)) / (1 - loss) for row in group)
            found = sum(row[5] for row in group)
            if missed + found:
                measures.append(
                    ratio("blocking_loss", family, _named(family, slice_), missed, missed + found, _LOSS_SAYS)
                )
    return measures


def _loss_of(cell: Sequence[float], cells: Sequence[Sequence[float]]) -> float:
    """The share that blocking loses of a cell's pairs without a number: its own, its pattern's or the county's."""
    of_pattern = [row for row in cells if row[1] == cell[1]]
    for group in ([cell], of_pattern, cells):
        known = sum(row[3] for row in group)
        if known >= _LEAST_PAIRS_OF_A_CELL or (group is cells and known):
            return min(sum(row[2] for row in group) / known, _MOST_LOSS)
    return 0.0


def _grouped(cells: Iterable[Sequence[float]], position: int | None) -> dict[str, list[Sequence[float]]]:
    groups: dict[str, list[Sequence[float]]] = {}
    for row in cells:
        groups.setdefault(ALL if position is None else str(row[position]), []).append(row)
    return dict(sorted(groups.items()))


_NUMBERS_SAY = (
    "Of pairs of clients with one whole Social Security number, the share that is linked. The number itself helped "
    "to link them, so pairs without one fare worse; a number shared in a family or mistyped into another's keeps it "
    "below 1."
)


def _recall_on_numbers(con: DuckDBPyConnection) -> list[Measure]:
    """Pairs straight from the records, whatever blocking and weighing made of them; a number that more records
    share than a block may hold is no number."""
    con.execute(
        f"""
        create table number_pair as
        select distinct least(l.client, r.client) as a, greatest(l.client, r.client) as b
        from record_client as l inner join record_client as r using (ssn_token)
        where l.client < r.client and ssn_token in (
            select ssn_token from record_client where ssn_token is not null
            group by ssn_token having count(*) <= {LARGEST_BLOCK}
        )
        """
    ).fetchall()
    con.execute(
        f"""
        create table judged_number_pair as
        select a, b, l.person_id = r.person_id as linked,
            least(l.source, r.source) || ' with ' || greatest(l.source, r.source) as source_pair,
            {_pattern_sql("l", "r")} as pattern
        from number_pair inner join client as l on l.client = a inner join client as r on r.client = b
        """
    ).fetchall()
    measures = []
    for family, column in (("source pair", "source_pair"), ("missing on one side", "pattern")):
        rows = con.execute(
            f"""
            select {column}, count(*) filter (linked), count(*) from judged_number_pair
            group by {"rollup" if column == "source_pair" else ""} ({column}) order by all
            """
        ).fetchall()
        measures += [
            ratio("recall_on_same_number", *_of(slice_, family), linked, pairs, _NUMBERS_SAY)
            for slice_, linked, pairs in rows
            if pairs
        ]
    for group in _GROUPS[:3]:
        rows = con.execute(
            f"""
            select value, count(*) filter (linked), count(*)
            from (select a, linked from judged_number_pair union all select b, linked from judged_number_pair)
            inner join ({_members_sql(group)}) on client = a group by value order by all
            """
        ).fetchall()
        measures += [
            ratio(
                "recall_on_same_number", group, _named(group, value), linked, pairs,
                f"{_NUMBERS_SAY} A pair counts once for each of its clients in the group.",
            )
            for value, linked, pairs in rows
        ]  # fmt: skip
    return measures


def _members_sql(group: str) -> str:
    """SQL: client and value of one group; a client of several categories is in each of them."""
    value = "unnest(race_ethnicity)" if group == "race_ethnicity" else group
    return f"select client, {value} as value from client"


_LABELS_SAY = (
    "Of the pairs that stewards judged and whose match weight reaches the link threshold, the share judged one "
    "person. 95 % interval {low:.3f} to {high:.3f} (Wilson). Stewards judge what is doubtful, so it is below the "
    "precision of all links."
)
_MISSED_SAY = (
    "Of the pairs that stewards judged and whose match weight is below the link threshold, or that were never "
    "weighed, the share judged one person. 95 % interval {low:.3f} to {high:.3f} (Wilson)."
)


def _steward_labelled(
    con: DuckDBPyConnection, decisions: pl.DataFrame | None, link_weight: float
) -> list[Measure]:
    """What the match weight alone would have done with the pairs that stewards judged since."""
    if decisions is None or decisions.is_empty():
        return []
    con.register("decision_frame", decisions.to_arrow())
    rows = con.execute(
        """
        select coalesce(weight >= ?, false) as would_link, count(*) filter (decision = 'link'), count(*)
        from decision_frame
        inner join client as l on l.source = source_l and l.client_id = client_id_l
        inner join client as r on r.source = source_r and r.client_id = client_id_r
        left join client_pair on a = least(l.client, r.client) and b = greatest(l.client, r.client)
        group by would_link order by would_link
        """,
        [link_weight],
    ).fetchall()
    con.unregister("decision_frame")
    measures = []
    for would_link, one_person, judged in rows:
        low, high = wilson_interval(one_person, judged)
        name = "steward_labelled_precision" if would_link else "steward_labelled_missed"
        note = (_LABELS_SAY if would_link else _MISSED_SAY).format(low=low, high=high)
        measures.append(ratio(name, ALL, ALL, one_person, judged, note))
    return measures


_LINKED_SAYS = (
    "Share of clients that are linked to a client of another source. Groups differ in what they do, not only in how "
    "they are written down: a low share is a question, not an error."
)


def _linked_clients(con: DuckDBPyConnection) -> list[Measure]:
    con.execute(
        """
        create table client_linked as
        select client, min(source) over (partition by person_id) <> max(source) over (partition by person_id) as linked
        from client
        """
    ).fetchall()
    measures = []
    for family in ("source", *_GROUPS):
        rows = con.execute(
            f"""
            select value, count(*) filter (linked), count(*)
            from ({_members_sql(family)}) inner join client_linked using (client) group by value order by value
            """
        ).fetchall()
        measures += [
            ratio("linked_clients", family, _named(family, value), linked, clients, _LINKED_SAYS)
            for value, linked, clients in rows
        ]
    return measures


_RATES_SAY = "Of the persons of the source that has fewer, the share who also have a client of the other."


def _link_rates(con: DuckDBPyConnection) -> list[Measure]:
    rows = con.execute(
        """
        with seen as (select distinct person_id, source from client),
        of_source as (select source, count(*) as persons from seen group by source),
        both_seen as (
            select l.source as source_l, r.source as source_r, count(*) as persons
            from seen as l inner join seen as r on r.person_id = l.person_id and l.source < r.source group by all
        )
        select l.source || ' with ' || r.source, coalesce(both_seen.persons, 0), least(l.persons, r.persons)
        from of_source as l inner join of_source as r on l.source < r.source
        left join both_seen on source_l = l.source and source_r = r.source order by all
        """
    ).fetchall()
    return [
        ratio("link_rate", "pair", _named("source pair", pair), both, persons, _RATES_SAY, counts_people=True)
        for pair, both, persons in rows
    ]


_SIZES_SAY = "Share of persons with so many source clients."


def _person_sizes(con: DuckDBPyConnection) -> list[Measure]:
    sizes = con.execute(
        """
        select clients, count(*) from (select count(*) as clients from client group by person_id)
        group by clients order by clients
        """
    ).fetchall()
    persons = sum(count for _, count in sizes)
    measures = []
    for least, most in SIZES:
        of_class = sum(count for size, count in sizes if least <= size and (most is None or size <= most))
        name = f"{least} and more" if most is None else str(least) if least == most else f"{least} to {most}"
        measures.append(
            ratio(
                "person_size", "clients", f"clients {name}", of_class, persons, _SIZES_SAY, counts_people=True
            )
        )
    return measures


_UNLINKABLE_SAYS = (
    "Share of source records that, weighed against themselves, stay below the link threshold: too little is written "
    "down to link them with anybody."
)


def _unlinkable(con: DuckDBPyConnection, warehouse: str, model: "Model", link_weight: float) -> list[Measure]:
    weigh_against_themselves(con, warehouse, model)
    con.execute(
        f"""
        create table self_judged as
        select source, missing, match_weight < {link_weight!r} as unlinkable
        from self_weight inner join record_client using (source_record_id) inner join client using (client)
        """
    ).fetchall()
    measures = []
    for family in ("source", "missing"):
        rows = con.execute(
            f"""
            select {family}, count(*) filter (unlinkable), count(*) from self_judged
            group by {"rollup" if family == "source" else ""} ({family}) order by all
            """
        ).fetchall()
        measures += [
            ratio("unlinkable_records", *_of(slice_, family), unlinkable, records, _UNLINKABLE_SAYS)
            for slice_, unlinkable, records in rows
            if records
        ]
    return measures


def weigh_against_themselves(con: DuckDBPyConnection, warehouse: str, model: "Model") -> None:
    """Create `self_weight` in the workbench: source_record_id and match_weight of records paired with themselves.

    Of more than 200,000 records, about so many: those whose id falls into a fixed share.
    """
    records = con.execute(f"select count(*) from {warehouse}.source_record").fetchall()[0][0]
    con.execute(
        f"""
        create table self_weighed_record as
        select source_record_id from {warehouse}.source_record
        where hash(source_record_id) % {records} < {_MOST_SELF_WEIGHED}
        """
    ).fetchall()
    build_compared_record_of(con, warehouse, "self_weighed_record")
    con.execute(
        """
        create or replace table candidate_pair as
        select record_number as record_number_l, record_number as record_number_r, 255::utinyint as rule
        from compared_record
        """
    ).fetchall()
    con.execute(
        f"""
        create table self_weight as
        select source_record_id_l as source_record_id, match_weight
        from ({scored_pairs_sql(model.parameters, model.calibration, lower_weight=-math.inf)})
        """
    ).fetchall()


_DRIFT_SAYS = (
    "Population stability index of the comparison's levels among candidate pairs, against those the model was trained "
    "on: sum of (now - then) * ln(now / then). Below .1 little has changed, above .25 much has (Lewis 1994; Siddiqi "
    "2006). Its denominator is the number of pairs now."
)


def _drift(con: DuckDBPyConnection, warehouse: str, model: "Model") -> list[Measure]:
    then = model.training.get("level_counts")
    if then is None:
        return []
    now = count_levels(con, drifting_pairs_sql(f"{warehouse}.scored_pair"), profile=model.parameters.profile)
    return [
        Measure(
            measure="drift",
            family="comparison",
            slice=_named("comparison", name),
            value=round(population_stability_index(then[name], counts), 5),
            numerator=None,
            denominator=float(sum(counts.values())),
            note=_DRIFT_SAYS,
        )
        for name, counts in now.items()
    ]


def drifting_pairs_sql(scored_pair: str) -> str:
    """SQL: the pairs whose levels are compared between training and a run: those that blocking brought and that
    are heavy enough to be kept."""
    return f"(from {scored_pair} where blocking_rule <> '{WITHIN_COMPONENT}' and match_weight >= {LEAST_WEIGHT_KEPT!r})"


def _of(slice_: str | None, family: str) -> tuple[str, str]:
    """Family and name of a slice; the total of a rollup has none."""
    return (ALL, ALL) if slice_ is None else (family, _named(family, slice_))


def _named(family: str, slice_: str | None) -> str:
    value = "not known" if slice_ is None else slice_
    return value if family == ALL else f"{family.replace('_', ' ')}: {value}"
