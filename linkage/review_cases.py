"""Which pairs of clients a steward should look at, and what there is to look at.

Labels are dear, so cases are drawn by how much an answer is expected to teach: the uncertainty of the pair
times the number of encounters that another answer would give to another person,

    information = H(p) * max(1, min(encounters on the left, encounters on the right))
    H(p) = -p log2 p - (1 - p) log2 (1 - p)        (Shannon 1948; in bits)

where p is the calibrated probability that the two are one person (of a pair that is linked in company, at
least that of the link threshold and of the average weight, average linkage's own yardstick, by which the less
certain of the two belongs to its cluster) and a side is a client's whole cluster while the two are apart, the client
alone while they are together. Where the evidence contradicts itself (a union that clustering refused, a life
that cannot be, a cluster too large) p says little, and the uncertainty counts as one bit.

Cases are drawn without replacement with these weights (Efraimidis and Spirakis 2006: the smallest values of
-ln(u) / weight), not simply the heaviest first, so that what stewards say of them can be weighed back to the
whole. u is a hash of the pair: the same tables give the same queue.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from typing import TYPE_CHECKING, Any

import polars as pl
from duckdb import DuckDBPyConnection

from linkage.blocking import build_compared_record_of, workbench
from linkage.clustering import HEAVIEST, LIGHTEST
from linkage.model import (
    RAREST_NAME,
    Comparison,
    Level,
    Parameters,
    comparisons,
    rarity_columns,
)
from linkage.scoring import WITHIN_COMPONENT, levels_sql, scored_pairs_sql, why_adjusted
from linkage.source import declared_sources

if TYPE_CHECKING:
    from linkage.model_file import Model

PAIR = ("source_l", "client_id_l", "source_r", "client_id_r")
"""The columns that name two clients, the smaller by (source, client_id) on the left."""

LARGE_CLUSTER = 100
"""Clients. Even where every ambulance ride is a client of its own, few people are so many."""

LARGE_IN_ONE_SOURCE = 6
"""Clients of one source that keeps one client id per person: an agency seldom registers one person oftener."""

MOST_ENCOUNTERS = 300
"""Encounters of one client that are shown, the latest ones."""

_LEAST_UNCERTAINTY = 0.08
"""Bits; about a probability of .01 or .99. Surer pairs are not worth a steward's time."""


class CaseKind(StrEnum):
    """Why a pair of clients is put before a steward."""

    SECOND_REVIEW = "second_review"
    """Another steward looked at it, and a second opinion is wanted."""

    IMPOSSIBLE_LIFE = "impossible_life"
    """The two are one person now, and that person's encounters cannot all be true."""

    REJECTED_UNION = "rejected_union"
    """The pair reaches the link weight, but clustering refused to unite its clusters."""

    LARGE_CLUSTER = "large_cluster"
    """The weakest pair of a cluster that is larger than people are."""

    BORDERLINE = "borderline"
    """The probability that the two are one person is neither small nor large."""


SHARES = {
    CaseKind.IMPOSSIBLE_LIFE: 0.2,
    CaseKind.REJECTED_UNION: 0.2,
    CaseKind.LARGE_CLUSTER: 0.1,
    CaseKind.BORDERLINE: 0.5,
}
"""How a queue is shared out among kinds; room that one leaves goes to the others, borderline pairs first."""


IMPOSSIBLE_LIVES = {
    "two_custodies": "Both were in custody under two client ids for more than a day at the same time.",
    "jail_and_shelter": "One slept in a shelter on a night between the days of the other's booking and release.",
    "jail_and_hospital": "One stayed in a hospital bed for more than a day while the other was in custody, and neither "
    "record speaks of a transfer.",
    "seen_after_death": "One is recorded as having died, and the other was seen more than a day later.",
}
"""What a contradiction of the relation `impossible_pair` is to a steward; the relation says when there is one."""


@dataclass(frozen=True, kw_only=True)
class ReviewCases:
    """What the desk shows, without a token or a name in it.

    - cases: case_id (of the pair, the same in every run), position (from 1), kind, reason, the columns of
      `PAIR`, match_weight, match_probability, unadjusted_match_weight, adjustment (why it is adjusted, or null),
      blocking_rule, linked (whether the two share a cluster), affected (encounters), information,
      encounters_l, encounters_r (how many each client has).
    - evidence: case_id, position, comparison, level, says, tells_nothing, share (of the clients that have the
      value both have, where its rarity counts), match_weight (log2); one row per comparison. With the prior's
      and the adjustment's weight they add up to the case's.
    - encounters: case_id, side (l or r), source, kind, started_at, ended_at, is_open, is_stay.
    - companions: case_id, side, source, clients: who else is in each side's cluster, counted by source.
    """

    model_version: str
    link_weight: float
    prior_weight: float
    cases: pl.DataFrame
    evidence: pl.DataFrame
    encounters: pl.DataFrame
    companions: pl.DataFrame


def find_review_cases(
    con: DuckDBPyConnection,
    model: "Model",
    *,
    link_weight: float,
    queue_size: int,
    settled: pl.DataFrame | None = None,
    wanted: pl.DataFrame | None = None,
) -> ReviewCases:
    """Choose at most `queue_size` pairs of clients from what linkage left in the warehouse.

    Reads `source_record`, `scored_pair`, `cluster`, `rejected_union`, `encounter` and `impossible_pair`.
    `settled` and `wanted` are frames with the columns of `PAIR`: pairs that need no (further) look, and pairs that
    need a second one, which come first and beyond `queue_size`.
    """
    _number_clients(con)
    _weigh_information(con, model, link_weight)
    for name, pairs in (("settled_pair", settled), ("wanted_pair", wanted)):
        _put_pairs(con, name, pairs)
    _find_candidates(con)
    chosen = _choose(con, queue_size)
    _put(con, "chosen_case", chosen)
    weighed = _weigh(con, model) if chosen.height else []
    return ReviewCases(
        model_version=model.version,
        link_weight=link_weight,
        prior_weight=model.parameters.prior_weight,
        cases=_with_weights(chosen, weighed, model),
        evidence=_evidence(weighed, model.parameters),
        encounters=con.sql(_ENCOUNTERS).pl(),
        companions=con.sql(_COMPANIONS).pl(),
    )


_CASE_ID = "left(md5(concat_ws('|', {}, {}, {}, {})), 16)"


def _number_clients(con: DuckDBPyConnection) -> None:
    """Create the temporary tables `reviewed_client` (client BIGINT, source, client_id, cluster_id,
    encounters) and `cluster_size` (cluster_id, clients, encounters)."""
    con.execute(
        """
        create or replace temp table reviewed_client as
        select row_number() over (order by source, client_id) - 1 as client, source, client_id, cluster_id,
            coalesce(encounters, 0) as encounters
        from cluster
        left join (select source, client_id, count(*) as encounters from encounter group by all)
            using (source, client_id);

        create or replace temp table cluster_size as
        select cluster_id, count(*) as clients, sum(encounters)::bigint as encounters
        from reviewed_client group by cluster_id;
        """
    ).fetchall()


def _weigh_information(con: DuckDBPyConnection, model: "Model", link_weight: float) -> None:
    """Create the temporary table `informative_pair`: a < b (client numbers), match_weight (of their strongest
    pair of records), linked, affected, uncertainty (bits)."""
    con.execute(
        f"""
        create or replace temp table weighed_client_pair as
        select least(l.client, r.client) as a, greatest(l.client, r.client) as b,
            max(match_weight) as match_weight,
            any_value(l.cluster_id = r.cluster_id) as linked,
            greatest(1, any_value(if(l.cluster_id = r.cluster_id,
                least(l.encounters, r.encounters), least(ls.encounters, rs.encounters)))) as affected
        from scored_pair
        inner join source_record as lr on lr.source_record_id = source_record_id_l
        inner join source_record as rr on rr.source_record_id = source_record_id_r
        inner join reviewed_client as l on (l.source, l.client_id) = (lr.source, lr.client_id)
        inner join reviewed_client as r on (r.source, r.client_id) = (rr.source, rr.client_id)
        inner join cluster_size as ls on ls.cluster_id = l.cluster_id
        inner join cluster_size as rs on rs.cluster_id = r.cluster_id
        where l.client <> r.client
        group by all;

        create or replace temp table in_company as
        select client, avg(greatest({LIGHTEST}, least({HEAVIEST}, match_weight))) as average_weight
        from (
            select a as client, match_weight from weighed_client_pair where linked
            union all
            select b, match_weight from weighed_client_pair where linked
        )
        group by client;

        create or replace temp table informative_pair as
        select *, -p * log2(p) - (1 - p) * log2(1 - p) as uncertainty
        from (
            select a, b, match_weight, linked, affected,
                greatest(1e-9, least(1 - 1e-9, {model.calibration.probability_sql("weight")})) as p
            from (
                select weighed_client_pair.*,
                    if(linked, greatest(match_weight, {link_weight!r}::double,
                        least(l.average_weight, r.average_weight)), match_weight) as weight
                from weighed_client_pair
                left join in_company as l on l.client = a
                left join in_company as r on r.client = b
            )
        );
        """
    ).fetchall()


def _find_candidates(con: DuckDBPyConnection) -> None:
    """Create the temporary table `candidate_case`: kind, reason, a, b, linked, affected, uncertainty; a pair
    once, settled pairs left out."""
    reasons = " ".join(
        f"when {_quoted(name)} then {_quoted(says)}" for name, says in IMPOSSIBLE_LIVES.items()
    )
    lasting = ", ".join(f"'{name}'" for name, each in declared_sources().items() if each.client_id_is_stable)
    # Of the pairs of clients of the same two clusters one is enough: the answer settles them all.
    con.execute(
        f"""
        create or replace temp table large_cluster as
        select cluster_id from cluster_size where clients > {LARGE_CLUSTER}
        union
        select cluster_id from reviewed_client where source in ({lasting})
        group by cluster_id, source having count(*) > {LARGE_IN_ONE_SOURCE};

        create or replace temp table candidate_case as
        with second_review as (
            select '{CaseKind.SECOND_REVIEW}' as kind, 'A second opinion is wanted.' as reason,
                l.client as a, r.client as b
            from wanted_pair
            inner join reviewed_client as l on (l.source, l.client_id) = (source_l, client_id_l)
            inner join reviewed_client as r on (r.source, r.client_id) = (source_r, client_id_r)
        ), clash as (
            select case contradiction {reasons} end as reason, least(one.client, other.client) as a,
                greatest(one.client, other.client) as b, count(*) as times
            from impossible_pair
            inner join reviewed_client as one
                on (one.source, one.client_id) = (impossible_pair.source, impossible_pair.client_id)
            inner join reviewed_client as other
                on (other.source, other.client_id) = (other_source, other_client_id)
            where one.cluster_id = other.cluster_id and one.client <> other.client
            group by all
        ), impossible as (
            select '{CaseKind.IMPOSSIBLE_LIFE}' as kind, arg_max(reason, (times, reason)) as reason, a, b,
                sum(times) as times
            from clash group by a, b
        ), impossible_life as (
            select kind, reason, a, b from impossible inner join reviewed_client on client = a
            qualify row_number() over (partition by cluster_id order by times desc, a, b) = 1
        ), rejected as (
            select '{CaseKind.REJECTED_UNION}' as kind,
                case rejected_union.reason
                    when 'ssn_conflict' then
                        'Much speaks for one person, but their clusters hold different Social Security numbers.'
                    when 'too_large' then 'Much speaks for one person, but the cluster would be too large.'
                    else 'Much speaks for one person, but the rest of their clusters agree too little.'
                end as reason,
                l.client as a, r.client as b
            from rejected_union
            inner join reviewed_client as l on (l.source, l.client_id) = (source_l, client_id_l)
            inner join reviewed_client as r on (r.source, r.client_id) = (source_r, client_id_r)
            where rejected_union.reason <> 'steward_decision'
        ), weakest_of_large as (
            select '{CaseKind.LARGE_CLUSTER}' as kind,
                'Their cluster is larger than people are; this is its weakest pair.' as reason, a, b
            from informative_pair inner join reviewed_client on client = a
            semi join large_cluster using (cluster_id)
            where linked
            qualify row_number() over (partition by cluster_id order by match_weight, a, b) = 1
        ), borderline as (
            select '{CaseKind.BORDERLINE}' as kind,
                'The evidence is neither clearly for nor clearly against one person.' as reason, a, b
            from informative_pair
            inner join reviewed_client as l on l.client = a
            inner join reviewed_client as r on r.client = b
            where uncertainty >= {_LEAST_UNCERTAINTY}
            qualify row_number() over (
                partition by least(l.cluster_id, r.cluster_id), greatest(l.cluster_id, r.cluster_id)
                order by uncertainty * affected desc, a, b
            ) = 1
        ), every_case as (
            select 1 as rank, * from second_review
            union all select 2, * from impossible_life
            union all select 3, kind, reason, least(a, b), greatest(a, b) from rejected
            union all select 4, * from weakest_of_large
            union all select 5, * from borderline
        )
        select kind, reason, a, b, l.source as source_l, l.client_id as client_id_l,
            r.source as source_r, r.client_id as client_id_r,
            l.cluster_id = r.cluster_id as linked, l.encounters as encounters_l, r.encounters as encounters_r,
            greatest(1, if(l.cluster_id = r.cluster_id,
                least(l.encounters, r.encounters), least(ls.encounters, rs.encounters))) as affected,
            if(kind = '{CaseKind.BORDERLINE}', coalesce(uncertainty, 1), 1) as uncertainty
        from every_case
        inner join reviewed_client as l on l.client = a
        inner join reviewed_client as r on r.client = b
        inner join cluster_size as ls on ls.cluster_id = l.cluster_id
        inner join cluster_size as rs on rs.cluster_id = r.cluster_id
        left join informative_pair using (a, b)
        where (l.source, l.client_id, r.source, r.client_id) not in (select ({", ".join(PAIR)}) from settled_pair)
            or kind = '{CaseKind.SECOND_REVIEW}'
        qualify row_number() over (partition by a, b order by rank) = 1;
        """
    ).fetchall()


def _choose(con: DuckDBPyConnection, queue_size: int) -> pl.DataFrame:
    """The queue: position, case_id and the columns of `candidate_case`, kinds interleaved by their shares."""
    case_id = _CASE_ID.format(*PAIR)
    drawn = con.sql(
        f"""
        select * from (
            select {case_id} as case_id, candidate_case.*, uncertainty * affected as information,
                -ln((md5_number_lower({case_id})::double + 1) / 18446744073709551617)
                    / (uncertainty * affected) as waits
            from candidate_case
        )
        qualify row_number() over (partition by kind order by waits, case_id) <= {queue_size}
            or kind = '{CaseKind.SECOND_REVIEW}'
        order by kind, waits, case_id
        """
    ).pl()
    by_kind = {kind: drawn.filter(pl.col("kind") == kind.value) for kind in CaseKind}
    room = _room({kind: by_kind[kind].height for kind in SHARES}, queue_size)
    ordered = [
        by_kind[kind].head(taken).with_columns(turn=(pl.int_range(pl.len()) + 0.5) / max(taken, 1))
        for kind, taken in [(CaseKind.SECOND_REVIEW, by_kind[CaseKind.SECOND_REVIEW].height), *room.items()]
    ]
    first, others = ordered[0], pl.concat(ordered[1:]).sort("turn", "kind", "case_id")
    queue: pl.DataFrame = pl.concat([first, others])
    return queue.drop("turn", "waits").with_row_index("position", offset=1)


def _room(found: dict[CaseKind, int], queue_size: int) -> dict[CaseKind, int]:
    """How many cases of each kind are taken, of those found."""
    taken = {kind: min(found[kind], int(share * queue_size)) for kind, share in SHARES.items()}
    for kind in (CaseKind.BORDERLINE, *SHARES):
        taken[kind] += min(found[kind] - taken[kind], queue_size - sum(taken.values()))
    return taken


def _weigh(con: DuckDBPyConnection, model: "Model") -> list[dict[str, Any]]:
    """The strongest pair of records of every chosen case, with its levels, weights and the rarity of shared
    names. Pairs are weighed anew: some were never scored, and scores do not keep how rare a name is."""
    with workbench(con) as warehouse:
        con.execute(
            f"""
            create table case_pair as
            select case_id, l.source_record_id as one, r.source_record_id as other
            from chosen_case
            inner join {warehouse}.source_record as l on (l.source, l.client_id) = (source_l, client_id_l)
            inner join {warehouse}.source_record as r on (r.source, r.client_id) = (source_r, client_id_r);

            create table paired_record as
            select one as source_record_id from case_pair union select other from case_pair
            """
        ).fetchall()
        build_compared_record_of(con, warehouse, "paired_record")
        con.execute(
            """
            create table candidate_pair as
            select l.record_number as record_number_l, r.record_number as record_number_r, 255::utinyint as rule
            from case_pair
            inner join compared_record as l on l.source_record_id = least(one, other)
            inner join compared_record as r on r.source_record_id = greatest(one, other)
            """
        ).fetchall()
        scored = scored_pairs_sql(model.parameters, model.calibration, lower_weight=-math.inf)
        profile = model.parameters.profile
        rarities = "".join(f", tf_{column}" for column in rarity_columns(profile))
        strongest: pl.DataFrame = con.sql(
            f"""
                select case_id, scored.* exclude (blocking_rule){rarities},
                    coalesce(brought.blocking_rule, '{WITHIN_COMPONENT}') as blocking_rule
                from case_pair
                inner join ({scored}) as scored
                    on source_record_id_l = least(one, other) and source_record_id_r = greatest(one, other)
                inner join (select source_record_id_l, source_record_id_r{rarities}
                    from ({levels_sql(profile=profile)}))
                    using (source_record_id_l, source_record_id_r)
                left join {warehouse}.scored_pair as brought using (source_record_id_l, source_record_id_r)
                qualify row_number() over (
                    partition by case_id
                    order by scored.match_weight desc, source_record_id_l, source_record_id_r
                ) = 1
                order by case_id
                """
        ).pl()
        return strongest.to_dicts()


def _with_weights(chosen: pl.DataFrame, weighed: Sequence[Mapping[str, Any]], model: "Model") -> pl.DataFrame:
    weights = pl.DataFrame(
        [
            {
                "case_id": pair["case_id"],
                "match_weight": pair["match_weight"],
                "match_probability": pair["match_probability"],
                "unadjusted_match_weight": pair["unadjusted_match_weight"],
                "adjustment": why_adjusted(pair, model),
                "blocking_rule": pair["blocking_rule"],
            }
            for pair in weighed
        ],
        schema={
            "case_id": pl.String,
            "match_weight": pl.Float64,
            "match_probability": pl.Float64,
            "unadjusted_match_weight": pl.Float64,
            "adjustment": pl.String,
            "blocking_rule": pl.String,
        },
    )
    return chosen.drop("a", "b", "uncertainty").join(weights, on="case_id", how="inner").sort("position")


def _evidence(weighed: Sequence[Mapping[str, Any]], parameters: Parameters) -> pl.DataFrame:
    rows = []
    for pair in weighed:
        for position, each in enumerate(comparisons(parameters.profile), start=1):
            level = _level(each, pair[each.column])
            rows.append(
                {
                    "case_id": pair["case_id"],
                    "position": position,
                    "comparison": each.name,
                    "level": level.name,
                    "says": level.says,
                    "tells_nothing": level.tells_nothing,
                    "share": pair[f"tf_{level.rarity_of}"] if level.rarity_of else None,
                    "match_weight": _weight_of(each, level, pair, parameters),
                }
            )
    schema = {"case_id": pl.String, "position": pl.Int64, "comparison": pl.String, "level": pl.String}
    schema |= {"says": pl.String, "tells_nothing": pl.Boolean, "share": pl.Float64}
    schema |= {"match_weight": pl.Float64}
    return pl.DataFrame(rows, schema=schema)


def _level(of: Comparison, number: int) -> Level:
    name = of.level_names().get(number)
    return next(level for level in of.levels if (level.tells_nothing if name is None else level.name == name))


def _weight_of(of: Comparison, level: Level, pair: Mapping[str, Any], parameters: Parameters) -> float:
    """What one comparison adds: as `linkage.scoring` reckons it, the rarity of a shared name included."""
    if level.tells_nothing:
        return 0.0
    learned = parameters.levels[of.name][level.name]
    if level.rarity_of and learned.observed:
        return math.log2(learned.m) - math.log2(max(pair[f"tf_{level.rarity_of}"], RAREST_NAME))
    return learned.match_weight


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


_SIDES = "(select case_id, 'l' as side, source_l as source, client_id_l as client_id from chosen_case"
_SIDES += " union all select case_id, 'r', source_r, client_id_r from chosen_case) as sides"

_ENCOUNTERS = f"""
select case_id, side, source, kind, started_at, ended_at, is_open, is_stay
from {_SIDES} inner join encounter using (source, client_id)
qualify row_number() over (partition by case_id, side order by started_at desc, encounter_id) <= {MOST_ENCOUNTERS}
order by case_id, side, started_at, kind, ended_at
"""

_COMPANIONS = f"""
select case_id, side, other.source, count(*) as clients
from {_SIDES}
inner join reviewed_client as own using (source, client_id)
inner join reviewed_client as other on other.cluster_id = own.cluster_id and other.client <> own.client
group by all order by all
"""


def _put_pairs(con: DuckDBPyConnection, name: str, pairs: pl.DataFrame | None) -> None:
    nothing = pl.DataFrame(schema=dict.fromkeys(PAIR, pl.String))
    _put(con, name, nothing if pairs is None else pairs.select(PAIR))


def _put(con: DuckDBPyConnection, name: str, rows: pl.DataFrame) -> None:
    con.register("put_frame", rows.to_arrow())
    con.execute(f"create or replace temp table {name} as select * from put_frame").fetchall()
    con.unregister("put_frame")
