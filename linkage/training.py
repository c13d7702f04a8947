"""Learning a model from the source records themselves: no labels, no truth.

Training is its own job, about once a year; its result is a model file that scoring reads
(`linkage.model_file`).
"""

import json
import logging
import math
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, replace
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl
from duckdb import DuckDBPyConnection
from splink import DuckDBAPI, Linker, SettingsCreator
from splink.blocking_rule_library import CustomRule

from linkage.blocking import LARGEST_BLOCK, build_compared_record, find_candidate_pairs, workbench
from linkage.calibration import (
    UNCALIBRATED,
    Calibration,
    LabelledPairs,
    calibrate,
    threshold_candidates,
    weight_from_excess,
    with_link_threshold,
)
from linkage.calibration_without_numbers import calibrate_without_numbers, strata_of
from linkage.clustering import LinkEstimate, estimate_links
from linkage.errors import UsageError
from linkage.handover import find_trials
from linkage.handover_trials import learn_handovers
from linkage.measures import count_levels, drifting_pairs_sql
from linkage.model import (
    Comparison,
    Learned,
    Parameters,
    Session,
    adjustments,
    comparison,
    comparisons,
    linkage_model,
    rarity_columns,
    splink_settings,
)
from linkage.model.parts import columns_named
from linkage.model_file import Model
from linkage.progress import say, step
from linkage.records import recorded_profile
from linkage.scoring import LEAST_WEIGHT_KEPT, labelled_pairs_sql, levels_sql, scored_pairs_sql
from linkage.source import declared_sources

_LEAST_SESSION_PAIRS = 200
"""A session on fewer pairs would learn noise."""

_LEAST_BOTH_NETS = 50
_ASSUMED_RECALL = 0.6
"""Recall of names and birth date where too few Social Security numbers tell it: an assumption, and
stated.
"""

_RAREST_IN_A_PERSON = 1e-4
"""No level is rarer than this among pairs of one person: no training can show that something never
happens.
"""

_LEAST_MATCHES_SEEN = 100
"""Probable matches for which a comparison must say something to be learned at all."""

_MOST_ITERATIONS = (100, 10, 5, 4, 3, 2)
"""Iterations a session may take; the next number where the one before drove numbers below what can be held."""

_CONVERGED_BELOW = 1e-3
"""Learning has settled when no m changed by more than this in its last iteration."""


def train(
    con: DuckDBPyConnection,
    *,
    seed: int,
    max_pairs: int = 1_000_000,
    target_precision: float = 0.99,
    largest_block: int = LARGEST_BLOCK,
) -> Model:
    """Learn a model from the table `source_record` (and, what a handover is worth, from people and encounters).

    `max_pairs` caps the pairs of each step that looks at pairs; `target_precision` is the estimated
    precision of links for which the default threshold is chosen. The same records and the same seed give
    the same model.

    Raises UsageError, in a sentence, when there is nothing to learn from.
    """
    profile = recorded_profile(con, "source_record").name
    find_trials(con, list(declared_sources().values()), profile)
    with workbench(con) as warehouse, _quiet_splink():
        with step("preparing source records"):
            records = build_compared_record(con, warehouse)
        with step("estimating how many pairs are one person"):
            _find_probable_matches(con, profile)
            prior, prior_report = _estimate_prior(con, records)
        with step("learning from pairs at random"):
            strangers = _learn_from_strangers(con, profile, seed=seed, max_pairs=max_pairs)
            seen = _count_levels_in_matches(con, profile, seed=seed, max_pairs=max_pairs)
        linker, sessions = _hold_sessions(con, profile, prior, strangers, max_pairs=max_pairs)
        learned_settings = linker.misc.save_model_to_json()
        left_out = [name for name, matches in seen.items() if matches < _LEAST_MATCHES_SEEN]
        if left_out:
            say(
                f"fewer than {_LEAST_MATCHES_SEEN} probable matches tell anything of {', '.join(left_out)}: "
                "not learned, and without weight"
            )
        parameters, unobserved, unlearned = _learned(learned_settings, profile, prior, strangers, seen)
        with step("learning what a handover is worth"):
            parameters, handovers = learn_handovers(
                con, warehouse, parameters, records, seed=seed, max_pairs=max_pairs
            )
        with step("learning where one number is of two people"):
            parameters = _with_shared_numbers(con, parameters, seed=seed, max_pairs=max_pairs)
        with step("blocking"):
            rules = find_candidate_pairs(con, largest_block=largest_block, profile=profile)
        with step("calibrating"):
            parameters, calibration = _calibrated(con, parameters, seed=seed, max_pairs=max_pairs)
            strata = strata_of(con, warehouse, parameters, seed=seed, max_pairs=max_pairs)
            calibration = calibrate_without_numbers(calibration, strata)
            level_counts = _level_counts(con, parameters, calibration, seed=seed, max_pairs=max_pairs)
        with step("choosing the link threshold"):
            estimates = _estimated_links(con, warehouse, parameters, calibration)
            calibration = with_link_threshold(calibration, estimates, target_precision=target_precision)
    training = {
        "records": records,
        "seed": seed,
        "max_pairs": max_pairs,
        "prior": prior_report,
        "sessions": sessions,
        "left_out": left_out,
        "handovers": handovers,
        "unobserved_levels": unobserved,
        "blocking": [asdict(rule) for rule in rules],
        "level_counts": level_counts,
        "link_estimates": [asdict(estimate) for estimate in estimates],
        "complete": not unlearned,
        "incomplete_because": "" if not unlearned else f"nothing was learned of {', '.join(unlearned)}.",
    }
    return Model(
        splink_settings=_with_parameters(learned_settings, parameters),
        parameters=parameters,
        calibration=calibration,
        training=training,
    )


@contextmanager
def _quiet_splink() -> Iterator[None]:
    """Keep Splink's running commentary out of the log; what matters of it is in the training report."""
    logger = logging.getLogger("splink")
    level, propagates = logger.level, logger.propagate
    logger.setLevel(logging.ERROR)
    try:
        yield
    finally:
        logger.setLevel(level)
        logger.propagate = propagates


def splink_linker(
    con: DuckDBPyConnection, settings: SettingsCreator | Mapping[str, Any], *, profile: str = "standard"
) -> Linker:
    """A Splink linker over the workbench's `compared_record`, name frequencies as counted over clients."""
    shares = ", ".join(f"tf_{column}" for column in rarity_columns(profile))
    con.execute(
        f"create or replace view splink_record as select * exclude ({shares}) from compared_record"
    ).fetchall()
    database = DuckDBAPI(con)
    chosen = settings if isinstance(settings, SettingsCreator) else dict(settings)
    linker = Linker(database.register("splink_record"), chosen, log_level=logging.ERROR)
    for column in rarity_columns(profile):
        con.execute(
            f"""
            create or replace table {column}_frequency as
            select distinct {column}, tf_{column} from compared_record where {column} is not null
            """
        ).fetchall()
        linker.table_management.register_term_frequency_lookup(
            database.register(f"{column}_frequency"), column
        )
    return linker


def _find_probable_matches(con: DuckDBPyConnection, profile: str) -> None:
    """Create `probable_match` in the workbench: pairs caught by one of two nets.

    Columns: l and r (record numbers), by_ssn (one whole Social Security number), by_names (one first and
    last name and one birth date).
    """
    pair = """
        select l.record_number as l, r.record_number as r from compared_record as l
        inner join compared_record as r
            on {on} and l.record_number < r.record_number and l.client_number <> r.client_number
    """
    by_ssn = pair.format(on="l.ssn_token = r.ssn_token")
    agreeing = linkage_model(profile).names_and_birth_date
    by_names = pair.format(on=" and ".join(f"l.{column} = r.{column}" for column in agreeing))
    con.execute(
        f"""
        create or replace table probable_match as
        select l, r, bool_or(by_ssn) as by_ssn, bool_or(not by_ssn) as by_names
        from (select *, true as by_ssn from ({by_ssn}) union all select *, false from ({by_names}))
        group by l, r
        """
    ).fetchall()


def _estimate_prior(con: DuckDBPyConnection, records: int) -> tuple[float, dict[str, Any]]:
    """The share of all pairs that are one person, by capture and recapture (Lincoln and Petersen).

    What part of the pairs with one Social Security number also have one name and birth date is the recall
    of names and birth date; the pairs that these catch, divided by it, is the number of true pairs. Where too
    few pairs have both, the run says that it cannot tell and what it assumes, and the report has `estimated`
    False.
    """
    ssn_pairs, name_pairs, both = con.execute(
        """
        select count(*) filter (by_ssn), count(*) filter (by_names), count(*) filter (by_ssn and by_names)
        from probable_match
        """
    ).fetchall()[0]
    if not name_pairs and not ssn_pairs:
        raise UsageError(
            "No two source records of different clients share names and birth date, or a Social Security number: "
            "there is nothing to learn from. Check that the deliveries are of the same months and encoded under "
            "one key."
        )
    estimated = both >= _LEAST_BOTH_NETS
    if estimated:
        recall = both / ssn_pairs
        because = "the share of pairs with one Social Security number that also have one name and birth date"
    else:
        recall = _ASSUMED_RECALL
        because = (
            f"assumed: only {both} pairs agree on Social Security number, names and birth date, "
            f"fewer than {_LEAST_BOTH_NETS}"
        )
    found = max(name_pairs / recall, ssn_pairs)
    if found > name_pairs / recall:
        because += "; more pairs have one Social Security number than that gives, so they are what is counted"
    if not estimated:
        say(f"how many pairs are one person cannot be estimated; recall is {because}")
    prior = min(found / (records * (records - 1) / 2), 0.5)
    return prior, {
        "probability": prior,
        "estimated": estimated,
        "pairs_with_one_ssn": ssn_pairs,
        "pairs_with_one_name_and_birth_date": name_pairs,
        "pairs_with_both": both,
        "recall": recall,
        "recall_because": because,
    }


def _learn_from_strangers(
    con: DuckDBPyConnection, profile: str, *, seed: int, max_pairs: int
) -> dict[str, dict[str, float]]:
    """The u of every level: its share among pairs of records drawn at random, of which probable matches are
    left out.

    For each comparison the pairs are drawn among records that say something for it, so that rare fields
    such as suffixes are learned from as many pairs as names. Half a pair is added to each level: what did
    not happen among so many pairs is rare, not impossible. (Splink's own sampling neither leaves out
    matches, which in a small county spoil the u of an equal Social Security number, nor tells how many
    pairs an estimate rests on.)
    """
    con.execute(
        """
        create or replace table likely_same as
        select l as record_number_l, r as record_number_r from probable_match
        """
    ).fetchall()
    shares: dict[str, dict[str, float]] = {}
    for number, each in enumerate(_learned_from_pairs(profile)):
        says_something = " and ".join(f"{column} is not null" for column in each.columns_needed())
        telling = con.execute(
            f"""
            select record_number, client_number from compared_record where {says_something}
            order by record_number
            """
        ).fetchnumpy()
        _draw_pairs(con, telling, np.random.default_rng([seed, number]), max_pairs)
        counts = dict(
            con.execute(
                f"""
                select {each.column}, count(*)
                from ({levels_sql((each,), profile=profile)})
                anti join likely_same using (record_number_l, record_number_r)
                group by all
                """
            ).fetchall()
        )
        names = each.level_names()
        total = sum(counts.get(level, 0) for level in names)
        shares[each.name] = {
            name: (counts.get(level, 0) + 0.5) / (total + 0.5 * len(names)) for level, name in names.items()
        } | _reckoned(con, each)
    return shares


def _reckoned(con: DuckDBPyConnection, each: Comparison) -> dict[str, float]:
    """The u of the levels that say themselves how likely they are among strangers (`Level.among_strangers`): the
    mean over the pairs drawn. Never nought: a million pairs cannot show that something does not happen."""
    reckoned = {level.name: level.among_strangers for level in each.levels if level.among_strangers}
    if not reckoned:
        return {}
    columns = sorted({column for sql in reckoned.values() for column in columns_named(sql)})
    sides = ", ".join(f"{side}.{column} as {column}_{side}" for column in columns for side in "lr")
    means = con.execute(
        f"""
        select {", ".join(f"avg({sql})" for sql in reckoned.values())}
        from (select 0{", " if sides else ""}{sides} from candidate_pair
            inner join compared_record as l on l.record_number = record_number_l
            inner join compared_record as r on r.record_number = record_number_r)
        """
    ).fetchall()[0]
    return {name: max(float(mean or 0), 1e-6) for name, mean in zip(reckoned, means, strict=True)}


def _draw_pairs(
    con: DuckDBPyConnection,
    records: Mapping[str, npt.NDArray[np.int32]],
    dice: np.random.Generator,
    pairs: int,
) -> None:
    """Create `candidate_pair`: about so many pairs of records of different clients, drawn with
    replacement."""
    count = len(records["record_number"])
    drawn = dice.integers(0, max(count, 1), size=(2, pairs if count else 0))
    drawn = drawn[:, records["client_number"][drawn[0]] != records["client_number"][drawn[1]]]
    numbers = np.sort(records["record_number"][drawn], axis=0)
    pair_frame = pl.DataFrame({"record_number_l": numbers[0], "record_number_r": numbers[1]})
    con.register("pair_frame", pair_frame.to_arrow())
    con.execute(
        "create or replace table candidate_pair as select *, 0::utinyint as rule from pair_frame"
    ).fetchall()
    con.unregister("pair_frame")


def _count_levels_in_matches(
    con: DuckDBPyConnection, profile: str, *, seed: int, max_pairs: int
) -> dict[str, int]:
    """For each comparison, how many probable matches it says something for (of at most `max_pairs`)."""
    _take_probable_matches(con, seed=seed, max_pairs=max_pairs)
    looked_at = _learned_from_pairs(profile)
    columns = ", ".join(f"count(*) filter ({each.column} >= 0)" for each in looked_at)
    counts = con.execute(f"select {columns} from ({levels_sql(profile=profile)})").fetchall()[0]
    return {each.name: int(count) for each, count in zip(looked_at, counts, strict=True)}


def _learned_from_pairs(profile: str) -> tuple[Comparison, ...]:
    return tuple(each for each in comparisons(profile) if each.learned_from == "pairs")


def _take_probable_matches(con: DuckDBPyConnection, *, seed: int, max_pairs: int, only: str = "true") -> None:
    """Create `candidate_pair`: probable matches, or those of them with `only`, at most about `max_pairs`."""
    matches = con.execute(f"select count(*) from probable_match where {only}").fetchall()[0][0]
    con.execute(
        f"""
        create or replace table candidate_pair as
        select l as record_number_l, r as record_number_r, 0::utinyint as rule from probable_match
        where {only} and hash(l, r, {seed}) % {max(matches, 1)} < {max_pairs}
        """
    ).fetchall()


def _with_shared_numbers(
    con: DuckDBPyConnection, parameters: Parameters, *, seed: int, max_pairs: int
) -> Parameters:
    """The parameters with the adjustments learned that are `learned_from` an excess of pairs with one number."""
    _take_probable_matches(con, seed=seed, max_pairs=max_pairs, only="by_ssn")
    weighed = scored_pairs_sql(parameters, UNCALIBRATED, lower_weight=-math.inf)
    learned = {}
    for adjustment in adjustments(parameters.profile):
        if adjustment.learned_from != "excess":
            continue
        looked_at = [comparison(name, parameters.profile) for name in adjustment.when if name != "ssn"]
        tells = " and ".join(f"{each.column} >= 0" for each in looked_at)
        found = con.execute(
            f"""
            select unadjusted_match_weight as match_weight, coalesce(adjustment = ?, false) as in_case
            from ({weighed}) where {tells}
            """,
            [adjustment.name],
        ).fetchnumpy()
        in_case = np.asarray(found["in_case"], dtype=np.bool_)
        learned[adjustment.name] = weight_from_excess(
            np.sort(np.asarray(found["match_weight"], dtype=np.float64)[in_case]),
            pairs_beside=int((~in_case).sum()),
            share_in_case=math.prod(
                sum(parameters.levels[each.name][level].m for level in adjustment.when[each.name])
                for each in looked_at
            ),
            supposed=adjustment.match_weight,
        )
    return replace(parameters, adjustments={**parameters.adjustments, **learned})


def _hold_sessions(
    con: DuckDBPyConnection,
    profile: str,
    prior: float,
    strangers: Mapping[str, Mapping[str, float]],
    *,
    max_pairs: int,
) -> tuple[Linker, list[dict[str, Any]]]:
    """Every session of the profile's model: the linker that has learned, and an account of each session.

    Where what no pair of one person shows drives its m, squared in every iteration, below what a number can
    hold, Splink gives up; then all is learned again in fewer iterations, and the accounts say how many.
    """
    for most in _MOST_ITERATIONS:
        linker = splink_linker(
            con,
            splink_settings(
                prior=linkage_model(profile).sessions_begin_at or prior,
                strangers=strangers,
                profile=profile,
                most_iterations=most,
            ),
            profile=profile,
        )
        accounts = []
        try:
            for session in linkage_model(profile).sessions:
                with step(f"learning from pairs with the {session.pairs_with_the}"):
                    accounts.append(_learn(con, linker, session, max_pairs))
        except ValueError as error:
            if "below the minimum allowed value" not in str(error):
                raise
            say(
                "a level that no pair of one person is in became too rare to hold; learning again, for less long"
            )
        else:
            return linker, accounts
    raise UsageError(
        "Learning does not settle: in some comparison pairs of one person and pairs of two never overlap. Train on "
        "more deliveries."
    )


def _learn(con: DuckDBPyConnection, linker: Linker, session: Session, max_pairs: int) -> dict[str, Any]:
    """One session of expectation maximisation; a truthful account of it."""
    name, shared = session.pairs_with_the, session.as_sql()
    pairs = con.execute(
        f"""
        select count(*) from compared_record as l inner join compared_record as r
            on {shared} and l.record_number < r.record_number and l.client_number <> r.client_number
        """
    ).fetchall()[0][0]
    account: dict[str, Any] = {"pairs_with_the": name, "pairs": pairs}
    if pairs < _LEAST_SESSION_PAIRS:
        say(f"too few pairs with the {name} to learn from: {pairs}")
        return account | {"held": False, "iterations": 0, "converged": False, "last_change": None}
    held = linker.training.estimate_parameters_using_expectation_maximisation(
        CustomRule(f"{shared} and l.client_number <> r.client_number"),
        estimate_without_term_frequencies=True,
        max_pairs=max_pairs,
        record_sample_proportion=0.1,
    )
    history: dict[int, dict[tuple[str, int], float]] = {}
    for record in held.m_u_values_interactive_history_chart().raw_records:
        if isinstance(record.m_probability, float):
            at = (record.comparison_name, record.comparison_vector_value)
            history.setdefault(record.iteration, {})[at] = record.m_probability
    iterations = max(history)
    last, before = history[iterations], history[max(iterations - 1, 0)]
    last_change = max((abs(m - before[at]) for at, m in last.items() if at in before), default=math.inf)
    converged = last_change < _CONVERGED_BELOW
    if not converged:
        say(f"learning from pairs with the {name} did not settle in {iterations} iterations")
    return account | {
        "held": True,
        "iterations": iterations,
        "converged": converged,
        "last_change": last_change if math.isfinite(last_change) else None,
    }


def _learned(
    settings: Mapping[str, Any],
    profile: str,
    prior: float,
    strangers: Mapping[str, Mapping[str, float]],
    seen: Mapping[str, int],
) -> tuple[Parameters, list[str], list[str]]:
    """The parameters in Splink's settings; levels that learned nothing; comparisons that should have but did
    not.

    A comparison that says something for too few probable matches is left out (every level weighs nothing):
    what expectation maximisation makes of a handful of pairs is noise.
    """
    levels: dict[str, dict[str, Learned]] = {}
    unobserved: list[str] = []
    unlearned: list[str] = []
    of_splink = {each["output_column_name"]: each["comparison_levels"] for each in settings["comparisons"]}
    for each in _learned_from_pairs(profile):
        found = {level["label_for_charts"]: level.get("m_probability") for level in of_splink[each.name]}
        enough = seen[each.name] >= _LEAST_MATCHES_SEEN
        levels[each.name] = {}
        for name in each.level_names().values():
            u = strangers[each.name][name]
            m = found[name] if enough else None
            if m is None:
                unobserved.append(f"{each.name}: {name}")
            levels[each.name][name] = Learned(
                m=_rounded(u if m is None else max(m, _RAREST_IN_A_PERSON)),
                u=_rounded(u),
                observed=m is not None,
            )
        if enough and not any(learned.observed for learned in levels[each.name].values()):
            unlearned.append(each.name)
    nothing = Learned(m=0.5, u=0.5, observed=False)
    for each in comparisons(profile):
        levels.setdefault(each.name, dict.fromkeys(each.level_names().values(), nothing))
    supposed = {each.name: each.match_weight for each in adjustments(profile)}
    parameters = Parameters(prior=prior, levels=levels, adjustments=supposed, profile=profile)
    return parameters, unobserved, unlearned


def _rounded(share: float) -> float:
    """Five significant digits: sums of many numbers differ in their last digits from run to run."""
    return float(f"{share:.5g}")


def _calibrated(
    con: DuckDBPyConnection, parameters: Parameters, *, seed: int, max_pairs: int
) -> tuple[Parameters, Calibration]:
    """Calibrate on the candidate pairs, or on a sample of `max_pairs` of them; parameters with adjustments
    learned."""
    candidates = con.execute("select count(*) from candidate_pair").fetchall()[0][0]
    learnable = {
        each.name: each.match_weight
        for each in adjustments(parameters.profile)
        if each.learned_from == "agreement"
    }
    numbers = " ".join(f"when '{name}' then {number}" for number, name in enumerate(learnable, start=1))
    labelled = con.execute(
        f"""
        select weight_without_ssn, ssn_label, case adjustment {numbers} else 0 end as adjustment
        from ({labelled_pairs_sql(parameters)})
        where hash(record_number_l, record_number_r, {seed}) % {max(candidates, 1)} < {max_pairs}
        """
    ).fetchnumpy()
    calibration, learned = calibrate(
        LabelledPairs(
            weights=np.asarray(labelled["weight_without_ssn"], dtype=np.float64),
            adjustment=np.asarray(labelled["adjustment"], dtype=np.int64),
            numbers_agree=np.asarray(labelled["ssn_label"], dtype=np.bool_),
        ),
        supposed_adjustments=learnable,
    )
    return replace(parameters, adjustments={**parameters.adjustments, **learned}), calibration


def _level_counts(
    con: DuckDBPyConnection, parameters: Parameters, calibration: Calibration, *, seed: int, max_pairs: int
) -> dict[str, dict[str, int]]:
    """Candidate pairs by level of each comparison, of at most about `max_pairs`: what later runs are held against."""
    candidates = con.execute("select count(*) from candidate_pair").fetchall()[0][0]
    sampled = f"""
        (from ({scored_pairs_sql(parameters, calibration, lower_weight=LEAST_WEIGHT_KEPT)})
        where hash(source_record_id_l, source_record_id_r, {seed}) % {max(candidates, 1)} < {max_pairs})
    """
    return count_levels(con, drifting_pairs_sql(sampled), profile=parameters.profile)


def _estimated_links(
    con: DuckDBPyConnection, warehouse: str, parameters: Parameters, calibration: Calibration
) -> list[LinkEstimate]:
    """What linking at each threshold in question would mean for the records at hand."""
    weights = threshold_candidates(calibration)
    con.execute(
        f"""
        create or replace view source_record as
        select source_record_id, source, client_id from {warehouse}.source_record
        """
    ).fetchall()
    con.execute(
        "create or replace table scored_pair as "
        + scored_pairs_sql(parameters, calibration, lower_weight=weights[0] - 4.0)
    ).fetchall()
    return estimate_links(con, parameters, calibration, link_weights=weights)


def _with_parameters(settings: Mapping[str, Any], parameters: Parameters) -> dict[str, Any]:
    """Splink's settings with the model's own m and u, so that Splink's charts and predict show what is
    used.
    """
    written: dict[str, Any] = json.loads(json.dumps(settings))
    written["probability_two_random_records_match"] = parameters.prior
    for each in written["comparisons"]:
        for level in each["comparison_levels"]:
            learned = parameters.levels[each["output_column_name"]].get(level["label_for_charts"])
            if learned is not None:
                level["m_probability"] = learned.m
                level["u_probability"] = learned.u
    written.pop("linker_uid", None)
    return written
