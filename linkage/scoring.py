"""How much speaks for each candidate pair being one person.

Scoring is one statement compiled from the trained model. It says what Splink's `predict` says (a test holds
one against the other), but reckons each similarity once and carries along nothing that it does not need.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

from duckdb import DuckDBPyConnection

from linkage.blocking import (
    LARGEST_BLOCK,
    RuleCount,
    build_compared_record,
    find_candidate_pairs,
    keep_name_shares,
    workbench,
)
from linkage.calibration import Calibration
from linkage.encoding.columns import FILTER_COLUMNS
from linkage.model import (
    RAREST_NAME,
    Comparison,
    Learned,
    Parameters,
    adjustments,
    blocking_rules,
    common_bits,
    comparison,
    comparisons,
)
from linkage.progress import step
from linkage.records import recorded_profile

if TYPE_CHECKING:
    from linkage.model_file import Model

WITHIN_COMPONENT = "within_component"
"""Stands for the blocking rule of pairs that no rule brought, weighed because both are in one component."""


LEAST_WEIGHT_KEPT = -4.0
"""Pairs lighter than this (odds of 1 to 16) are neither linked nor worth a steward's time."""


@dataclass(frozen=True, kw_only=True)
class ScoringReport:
    """What scoring did: records compared, pairs brought by blocking, pairs kept, and each blocking rule's
    part.
    """

    records: int
    candidate_pairs: int
    scored_pairs: int
    rules: tuple[RuleCount, ...]


HANDOVERS = "if(handover_tokens is null, 0, hash(handover_tokens, handover_alone_tokens))"
"""SQL: one number for a record's handovers, which change with other clients' encounters while the record stays."""


def score(
    con: DuckDBPyConnection, model: "Model", *, lower_weight: float, largest_block: int = LARGEST_BLOCK
) -> ScoringReport:
    """Create or replace the table `scored_pair` in the warehouse; returns what was done.

    One row per pair of source records of different clients that a blocking rule brought and that weighs at
    least `lower_weight`: source_record_id_l < source_record_id_r, match_weight DOUBLE (log2, after
    adjustments, on one scale whether or not there are numbers to compare), match_probability DOUBLE (calibrated),
    blocking_rule VARCHAR (the first that brought it), unadjusted_match_weight DOUBLE (what the model alone
    says), adjustment VARCHAR (the rule that changed it, null as a rule) and one gamma_<comparison> TINYINT per
    comparison (the level's number; -1 where it tells nothing).

    Beside it what `linkage.changes` needs to score no more than what changed: `scored_record`
    (source_record_id, handovers), `name_share`, `dropped_block`, and last of all `scoring_run` (one row: by which model
    and settings), without which the others count for nothing.
    """
    model.refuse_half_trained()
    model.refuse_other_profile(recorded_profile(con, "source_record").name)
    with workbench(con) as warehouse:
        con.execute(f"drop table if exists {warehouse}.scoring_run").fetchall()
        with step("preparing source records"):
            records = build_compared_record(con, warehouse)
        with step("blocking"):
            rules = find_candidate_pairs(con, largest_block=largest_block, profile=model.parameters.profile)
        with step("weighing pairs"):
            con.execute(
                f"create or replace table {warehouse}.scored_pair as "
                + scored_pairs_sql(model.parameters, model.calibration, lower_weight=lower_weight)
            ).fetchall()
        keep_name_shares(con, warehouse)
        con.execute(
            f"""
            create or replace table {warehouse}.scored_record as
            select source_record_id, {HANDOVERS} as handovers from compared_record;
            create or replace table {warehouse}.dropped_block as from dropped_block;
            """
        ).fetchall()
        con.execute(
            f"""
            create table {warehouse}.scoring_run as
            select ?::varchar as model_version, ?::double as lower_weight, ?::bigint as largest_block,
                ?::bigint as records
            """,
            [model.version, lower_weight, largest_block, records],
        ).fetchall()
        scored = con.execute(f"select count(*) from {warehouse}.scored_pair").fetchall()[0][0]
    return ScoringReport(
        records=records,
        candidate_pairs=sum(rule.new_pairs for rule in rules),
        scored_pairs=int(scored),
        rules=tuple(rules),
    )


def scored_pairs_sql(parameters: Parameters, calibration: Calibration, *, lower_weight: float) -> str:
    """SQL over the workbench's `candidate_pair` and `compared_record` that makes the rows of
    `scored_pair`.
    """
    profile = parameters.profile
    rules = " ".join(
        f"when {position} then '{name}'" for position, name in enumerate(blocking_rules(profile))
    )
    gammas = ", ".join(each.column for each in comparisons(profile))
    adjusted = f"unadjusted_match_weight + {adjustment_weight_sql(parameters)}"
    number_compared = f"{comparison('ssn', profile).column} >= 0"
    return f"""
    select
        source_record_id_l,
        source_record_id_r,
        match_weight,
        {calibration.probability_sql("match_weight")} as match_probability,
        case rule {rules} else '{WITHIN_COMPONENT}' end as blocking_rule,
        unadjusted_match_weight,
        adjustment,
        {gammas}
    from (
        select *, {calibration.comparable_sql(adjusted, number_compared=number_compared)} as match_weight
        from (
            select *, {_weight_sql(parameters)} as unadjusted_match_weight, {_adjustment_sql(profile)} as adjustment
            from ({levels_sql(profile=profile)})
        )
    )
    {f"where match_weight >= {lower_weight!r}" if math.isfinite(lower_weight) else ""}
    """


def labelled_pairs_sql(parameters: Parameters) -> str:
    """SQL: the candidate pairs that calibrate (`linkage.calibration`): both sides have a whole Social
    Security
    number, and another rule than those on the number brought the pair.

    Columns: record_number_l, record_number_r; weight_without_ssn and adjustment, as if neither side had a
    number (unadjusted); ssn_label: whether the numbers agree.
    """
    ssn = comparison("ssn", parameters.profile)
    both_whole = (
        "equal",
        "last_four_equal_first_five_differ",
        "first_five_equal_last_four_differ",
        "conflict",
    )
    numbers = ", ".join(str(ssn.number_of(level)) for level in both_whole)
    first_on_ssn = min(
        position
        for position, rule in enumerate(blocking_rules(parameters.profile).values())
        if rule.rests_on_ssn
    )
    return f"""
    {_weighed_without_ssn_sql(parameters)}
    where {ssn.column} in ({numbers}) and rule < {first_on_ssn}
    """


def unnumbered_pairs_sql(parameters: Parameters) -> str:
    """SQL: the candidate pairs that have no two Social Security numbers to compare; columns as of
    `labelled_pairs_sql`, but that ssn_label means nothing."""
    return f"{_weighed_without_ssn_sql(parameters)} where {comparison('ssn', parameters.profile).column} < 0"


def _weighed_without_ssn_sql(parameters: Parameters) -> str:
    ssn = comparison("ssn", parameters.profile)
    nothing = dict.fromkeys(parameters.levels[ssn.name], Learned(m=1.0, u=1.0, observed=False))
    without_ssn = replace(parameters, levels={**parameters.levels, ssn.name: nothing})
    return f"""
    select record_number_l, record_number_r, {_weight_sql(without_ssn)} as weight_without_ssn,
        {_adjustment_sql(parameters.profile, without=ssn.name)} as adjustment,
        {ssn.column} = {ssn.number_of("equal")} as ssn_label
    from ({levels_sql(profile=parameters.profile)})
    """


def adjustment_weight_sql(parameters: Parameters) -> str:
    """SQL: the weight that the column `adjustment` adds."""
    branches = "".join(
        f"when '{name}' then {weight!r}::double " for name, weight in parameters.adjustments.items()
    )
    return f"case adjustment {branches or 'when null then 0 '}else 0 end"


def tells_sql(profile: str, *, without: str | None = None) -> str:
    """SQL over a row of `scored_pair`: whether anything that identifies a person can be compared, the comparison
    `without` aside."""
    numbers = {
        each.column: each.identifying_numbers() for each in comparisons(profile) if each.name != without
    }
    return " or ".join(f"{column} in ({', '.join(map(str, of))})" for column, of in numbers.items() if of)


READ_WITHOUT_NUMBERS = (
    "There are no two Social Security numbers to compare: the weight is read on the scale of pairs that have them, "
    "where it is as probable."
)


def why_adjusted(pair: Mapping[str, Any], model: "Model") -> str | None:
    """In sentences, why the match weight of a row of `scored_pair` is not its unadjusted one; None where it is."""
    profile = model.parameters.profile
    reasons = [each.says for each in adjustments(profile) if each.name == pair["adjustment"]]
    if pair[comparison("ssn", profile).column] < 0 and model.calibration.reads_without_numbers:
        reasons.append(READ_WITHOUT_NUMBERS)
    return " ".join(reasons) or None


def levels_sql(of: Sequence[Comparison] | None = None, *, profile: str = "standard") -> str:
    """SQL: every candidate pair with its level in each comparison and the shares of the names it has in
    common.

    Common bits are counted in an inner select, once for all levels, and only where the names differ. `of`
    restricts it to some comparisons.
    """
    chosen = comparisons(profile) if of is None else of
    counted = {}
    for bits in FILTER_COLUMNS:
        counting, token = common_bits(bits), bits.replace("_bits", "_token")
        only_if_unequal = f"if({token}_l <> {token}_r, {counting}, null)"
        counted[counting] = (f"{bits}_common", only_if_unequal if profile == "standard" else counting)
    gammas = []
    for each in chosen:
        branches = []
        for level in each.levels:
            when = level.when
            for counting, (name, _) in counted.items():
                when = when and when.replace(counting, name)
            number = each.number_of(level.name)
            branches.append(f"else {number}" if when is None else f"when {when} then {number}")
        gammas.append(f"cast(case {' '.join(branches)} end as tinyint) as {each.column}")
    compared = {column for each in chosen for column in each.columns_compared()}
    conditions = [level.when or "" for each in chosen for level in each.levels]
    commons = [
        f"{reckoned} as {name}"
        for counting, (name, reckoned) in counted.items()
        if any(counting in condition for condition in conditions)
    ]
    rarities = [level.rarity_of for each in chosen for level in each.levels if level.rarity_of]
    columns = [f"l.{column} as {column}_l, r.{column} as {column}_r" for column in sorted(compared)]
    shares = [f"l.tf_{column} as tf_{column}" for column in rarities]
    ids = "source_record_id_l, source_record_id_r, record_number_l, record_number_r, rule"
    return f"""
    select {", ".join([ids, *(f"tf_{column}" for column in rarities), *gammas])}
    from (
        select {", ".join(["*", *commons])}
        from (
            select candidate_pair.*, l.source_record_id as source_record_id_l,
                r.source_record_id as source_record_id_r, {", ".join([*columns, *shares])}
            from candidate_pair
            inner join compared_record as l on l.record_number = candidate_pair.record_number_l
            inner join compared_record as r on r.record_number = candidate_pair.record_number_r
        )
    )
    """


def _weight_sql(parameters: Parameters) -> str:
    """SQL: the prior's weight plus each comparison's, the rarity of a shared name in place of its average.

    Sharing a value that a share f of clients have weighs log2(m / f), f being at least `RAREST_NAME`.
    """
    terms = [f"{parameters.prior_weight!r}::double"]
    for each in comparisons(parameters.profile):
        branches = []
        for level in each.levels:
            if level.tells_nothing:
                continue
            learned = parameters.levels[each.name][level.name]
            weight = f"{learned.match_weight!r}::double"
            if level.rarity_of and learned.observed:
                share = f"greatest(tf_{level.rarity_of}, {RAREST_NAME!r})"
                weight = f"{math.log2(learned.m)!r}::double - log2({share})"
            branches.append(f"when {each.number_of(level.name)} then {weight}")
        terms.append(f"case {each.column} {' '.join(branches)} else 0 end")
    return " + ".join(terms)


def _adjustment_sql(profile: str, *, without: str | None = None) -> str:
    """SQL: the name of the first adjustment that applies to a pair, null where none does.

    `without` names a comparison to be taken as saying nothing.
    """
    branches = []
    for adjustment in adjustments(profile):
        conditions = []
        for name, levels in adjustment.when.items():
            numbers = sorted(comparison(name, profile).number_of(level) for level in levels)
            column = "-1" if name == without else comparison(name, profile).column
            conditions.append(f"{column} in ({', '.join(map(str, numbers))})")
        branches.append(f"when {' and '.join(conditions)} then '{adjustment.name}'")
    return f"case {' '.join(branches)} end"
