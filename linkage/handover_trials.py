"""What a handover is worth, learned from those of people who could have been recognised.

A trial (`linkage.handover`) is a pair of clients that would have been paired by the times of their encounters though
the one with a birth date had said nothing. Of such a pair it can be asked what both do say: the odds of their
identities, as all other comparisons have them, tell what share of the trials is one person. So strong is the evidence
for a patient who cannot say a name.
"""

import math
from dataclasses import replace
from typing import Any

import numpy as np
import numpy.typing as npt
from duckdb import DuckDBPyConnection

from linkage.calibration import UNCALIBRATED, logistic
from linkage.model import HANDOVER, Learned, Parameters
from linkage.scoring import scored_pairs_sql

_LEAST_TRIALS = 100

_ROUNDS = 100
"""More than the share needs to settle."""


def learn_handovers(
    con: DuckDBPyConnection,
    warehouse: str,
    parameters: Parameters,
    records: int,
    *,
    seed: int,
    max_pairs: int,
) -> tuple[Parameters, list[dict[str, Any]]]:
    """The parameters with the weight of each level of a handover, and an account of what it rests on.

    The weight is such that a pair of which nothing else can be compared is as probable as the share of the trials
    that is one person. Under 100 trials nothing is learned and the level weighs nothing. `records` is how many source
    records there are; at most about `max_pairs` trials are looked at.
    """
    all_pairs = records * (records - 1) / 2
    levels, accounts = {}, []
    for level, of_level in {"alone": "is_alone", "among_several": "not is_alone"}.items():
        pairs = con.execute(f"select count(*) from ({_found_sql()}) where {of_level}").fetchall()[0][0]
        con.execute(
            f"""
            create or replace table candidate_pair as
            with trial as (select * from ({_trials_sql(warehouse)}) where {of_level})
            select record_number_l, record_number_r, 0::utinyint as rule from trial
            where hash(record_number_l, record_number_r, {seed}) % greatest((select count(*) from trial), 1)
                < {max_pairs}
            """
        ).fetchall()
        weights = con.execute(
            "select unadjusted_match_weight from "
            f"({scored_pairs_sql(parameters, UNCALIBRATED, lower_weight=-math.inf)}) order by all"
        ).fetchnumpy()["unadjusted_match_weight"]
        log_odds = np.asarray(weights, dtype=np.float64) - parameters.prior_weight
        share = share_of_one_person(log_odds)
        learned = bool(pairs) and len(log_odds) >= _LEAST_TRIALS
        levels[level] = parameters.levels[HANDOVER.name][level]
        if learned:
            levels[level] = _learned(pairs, share, all_pairs, parameters.prior)
        accounts.append(
            {
                "level": level,
                "pairs": int(pairs),
                "trials": len(log_odds),
                "one_person": round(share, 4),
                "learned": learned,
            }
        )
    return replace(parameters, levels={**parameters.levels, HANDOVER.name: levels}), accounts


def _learned(pairs: int, share: float, all_pairs: float, prior: float) -> Learned:
    """The level's shares among pairs of one person and of two: together they give the odds of `share`."""
    of_one_person = min(pairs * share / (all_pairs * prior), 1.0)
    weight = math.log2(share / (1 - share)) - math.log2(prior / (1 - prior))
    return Learned(m=float(f"{of_one_person:.5g}"), u=float(f"{of_one_person * 2.0**-weight:.5g}"))


def share_of_one_person(log_odds: npt.NDArray[np.float64]) -> float:
    """The share of pairs that are one person, whose identities speak for it by these log2 odds (match weights less the
    prior's).

    The likeliest share of a mixture of two known densities (Dempster, Laird and Rubin 1977), with half a pair added on
    either side, so that it is never nought or one.
    """
    share = 0.5
    for _ in range(_ROUNDS):
        one_person = float(logistic(log_odds + math.log2(share / (1 - share))).sum())
        share = (one_person + 0.5) / (len(log_odds) + 1)
    return share


def _found_sql() -> str:
    """SQL: pairs of records of two clients that share a handover, once, and whether one of those they share fits nobody
    else."""
    told = """
        select record_number, client_number, token,
            coalesce(list_contains(handover_alone_tokens, token), false) as is_alone
        from (
            select record_number, client_number, handover_alone_tokens, unnest(handover_tokens) as token
            from compared_record
        )
        """
    return f"""
    select l.record_number as record_number_l, r.record_number as record_number_r, bool_or(l.is_alone) as is_alone
    from ({told}) as l inner join ({told}) as r using (token)
    where l.record_number < r.record_number and l.client_number <> r.client_number
    group by all
    """


def _trials_sql(warehouse: str) -> str:
    """SQL: the pairs of records of the clients of `handover_trial`."""
    numbered = f"""
        select record_number, source, client_id
        from (select record_number, source_record_id from compared_record)
        inner join {warehouse}.source_record using (source_record_id)
        """
    return f"""
    select least(l.record_number, r.record_number) as record_number_l,
        greatest(l.record_number, r.record_number) as record_number_r, is_alone
    from handover_trial
    inner join ({numbered}) as l on l.source = source_l and l.client_id = client_id_l
    inner join ({numbered}) as r on r.source = source_r and r.client_id = client_id_r
    """
