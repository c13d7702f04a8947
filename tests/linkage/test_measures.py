"""Quality told without the truth: formulas against plain Python, estimates against the truth they stand for."""

import math
from collections import Counter, defaultdict
from itertools import combinations

import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.blocking import build_compared_record, find_candidate_pairs, workbench
from linkage.evaluation import client_groups
from linkage.measures import (
    Measure,
    count_levels,
    measure_linkage,
    population_stability_index,
    ratio,
    weigh_against_themselves,
    wilson_interval,
    write_measures,
)
from linkage.model import blocking_rules, comparison, comparisons

YEAR = 2024
counts = st.dictionaries(st.sampled_from("abcde"), st.integers(0, 500), min_size=1)


@pytest.fixture(scope="module")
def county(linked_county, county_copy):
    """A copy of the invented county's tables with each cluster as a person, and its measures by name and slice."""
    con = county_copy
    model = linked_county.model
    measures = measure_linkage(con, model, link_weight=model.calibration.link_weight, as_of_year=YEAR)
    return con, linked_county, {(each.measure, each.slice): each for each in measures}


@pytest.fixture(scope="module")
def client_pairs(county):
    """The weighed pairs of clients, by plain Python: weight, rules, levels of the number, by pair of clients."""
    con, _, _ = county
    client = dict(
        con.execute("select source_record_id, {'s': source, 'c': client_id} from source_record").fetchall()
    )
    client = {record: (who["s"], who["c"]) for record, who in client.items()}
    found = defaultdict(list)
    for left, right, weight, rule, number in con.execute(
        "select source_record_id_l, source_record_id_r, match_weight, blocking_rule, gamma_ssn from scored_pair"
    ).fetchall():
        found[tuple(sorted((client[left], client[right])))].append((weight, rule, number))
    return dict(found)


@pytest.fixture(scope="module")
def told_pairs(county):
    """Pairs of clients of which something that identifies can be compared, by plain Python."""
    con, _, _ = county
    columns = {each.column: each.identifying_numbers() for each in comparisons()}
    told = set()
    for *sides, levels in con.execute(
        f"""
        select l.source, l.client_id, r.source, r.client_id, [{", ".join(columns)}]
        from scored_pair
        inner join source_record as l on l.source_record_id = source_record_id_l
        inner join source_record as r on r.source_record_id = source_record_id_r
        """
    ).fetchall():
        if any(level in numbers for level, numbers in zip(levels, columns.values(), strict=True)):
            told.add(tuple(sorted((tuple(sides[:2]), tuple(sides[2:])))))
    return told


@pytest.fixture(scope="module")
def person_of(county):
    con, _, _ = county
    return {
        (source, client): person
        for source, client, person in con.execute(
            "select source, client_id, person_id from person_crosswalk"
        ).fetchall()
    }


def close(measure: Measure, numerator: float, denominator: float) -> bool:
    return (
        math.isclose(measure.numerator, numerator, abs_tol=0.06)
        and math.isclose(measure.denominator, denominator, abs_tol=0.06)
        and math.isclose(measure.value, numerator / denominator, abs_tol=1e-4)
    )


def test_estimated_precision_is_the_mean_probability_of_links(county, client_pairs, told_pairs, person_of):
    _, linked, found = county
    calibration = linked.model.calibration
    right, links = Counter(), Counter()
    linked_pairs = {
        pair: max(weight for weight, _, _ in records)
        for pair, records in client_pairs.items()
        if person_of[pair[0]] == person_of[pair[1]]
    }
    best = defaultdict(lambda: -math.inf)
    for pair in linked_pairs.keys() & told_pairs:
        for client in pair:
            best[client] = max(best[client], linked_pairs[pair])
    assert linked_pairs.keys() - told_pairs, "no link that only company makes"
    for (left, right_client), weight in linked_pairs.items():
        told = (left, right_client) in told_pairs
        as_linked = max(weight if told else min(best[left], best[right_client]), calibration.link_weight)
        for slice_ in ("all", f"source pair: {left[0]} with {right_client[0]}"):
            right[slice_] += float(calibration.probability(np.array([as_linked]))[0])
            links[slice_] += 1
    assert {slice_ for measure, slice_ in found if measure == "estimated_precision"} == set(links)
    for slice_ in links:
        assert close(found["estimated_precision", slice_], right[slice_], links[slice_]), slice_


def test_estimated_precision_is_near_the_truth(county, client_pairs, person_of):
    _, linked, found = county
    truth = {(source, client): who for source, client, who in linked.truth.iter_rows()}
    links = [pair for pair in client_pairs if person_of[pair[0]] == person_of[pair[1]]]
    true = sum(truth[left] == truth[right] for left, right in links) / len(links)
    assert found["estimated_precision", "all"].value == pytest.approx(true, abs=0.015)


def test_blocking_loss_without_number_is_the_share_that_only_the_number_brings(county, client_pairs):
    _, linked, found = county
    calibration = linked.model.calibration
    rests_on_ssn = {name for name, rule in blocking_rules().items() if rule.rests_on_ssn} | {
        "within_component"
    }
    equal = comparison("ssn").number_of("equal")
    lost = known = 0.0
    for records in client_pairs.values():
        if any(number == equal for _, _, number in records):
            probability = float(
                calibration.probability(np.array([max(weight for weight, _, _ in records)]))[0]
            )
            known += probability
            lost += probability * all(rule in rests_on_ssn for _, rule, _ in records)
    assert close(found["blocking_loss_without_number", "all"], lost, known)


def test_blocking_loss_adds_up_over_its_slices(county):
    _, _, found = county
    for family in ("source pair", "missing on one side"):
        parts = [
            each
            for (name, slice_), each in found.items()
            if name == "blocking_loss" and slice_.startswith(family)
        ]
        whole = found["blocking_loss", "all"]
        assert sum(each.numerator for each in parts) == pytest.approx(whole.numerator, abs=0.1 * len(parts))
        assert sum(each.denominator for each in parts) == pytest.approx(
            whole.denominator, abs=0.1 * len(parts)
        )


def test_estimated_blocking_loss_is_of_the_size_of_the_true_one(county):
    """Both are a few in a hundred; the estimate errs to the low side, and says so."""
    con, linked, found = county
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        find_candidate_pairs(con)
        brought = con.execute(
            f"""
            select distinct l.source, l.client_id, r.source, r.client_id from candidate_pair
            inner join compared_record as a on a.record_number = record_number_l
            inner join compared_record as b on b.record_number = record_number_r
            inner join {warehouse}.source_record as l on l.source_record_id = a.source_record_id
            inner join {warehouse}.source_record as r on r.source_record_id = b.source_record_id
            """
        ).fetchall()
    pairs = {tuple(sorted(((a, b), (c, d)))) for a, b, c, d in brought}
    people = defaultdict(list)
    nameless = {
        (source, client)
        for source, client, missing in client_groups(con).select("source", "client_id", "missing").iter_rows()
        if "name" in missing and "number" in missing
    }
    for source, client, who in linked.truth.iter_rows():
        if (
            source,
            client,
        ) not in nameless:  # of whom nobody can know anything, and the estimate says nothing
            people[who].append((source, client))
    true = [pair for clients in people.values() for pair in combinations(sorted(clients), 2)]
    loss = sum(pair not in pairs for pair in true) / len(true)
    assert 0.2 * loss <= found["blocking_loss", "all"].value <= 2 * loss + 0.005


def test_recall_on_numbers_counts_every_pair_of_clients_with_one_number(county, person_of):
    con, _, found = county
    holders = defaultdict(set)
    for number, source, client in con.execute(
        "select ssn_token, source, client_id from source_record where ssn_token is not null"
    ).fetchall():
        holders[number].add((source, client))
    pairs = {pair for clients in holders.values() for pair in combinations(sorted(clients), 2)}
    linked = sum(person_of[left] == person_of[right] for left, right in pairs)
    assert close(found["recall_on_same_number", "all"], linked, len(pairs))
    groups = {
        (source, client): sex
        for source, client, sex in client_groups(con).select("source", "client_id", "sex").iter_rows()
    }
    women = [pair for pair in pairs for client in pair if groups[client] == "F"]
    linked = sum(person_of[left] == person_of[right] for left, right in women)
    assert close(found["recall_on_same_number", "sex: F"], linked, len(women))


def test_link_rates_and_sizes_count_persons(county, person_of):
    _, _, found = county
    by_person = defaultdict(list)
    for (source, _), person in person_of.items():
        by_person[person].append(source)
    jail, ems = (
        {person for person, seen in by_person.items() if source in seen} for source in ("jail", "ems")
    )
    assert close(found["link_rate", "source pair: ems with jail"], len(jail & ems), min(len(jail), len(ems)))
    sizes = [found[key] for key in found if key[0] == "person_size"]
    assert sum(each.numerator for each in sizes) == len(by_person)
    in_three_to_five = sum(3 <= len(seen) <= 5 for seen in by_person.values())
    assert found["person_size", "clients 3 to 5"].numerator == in_three_to_five


def test_a_record_weighs_against_itself_what_two_equal_records_of_two_clients_weigh(county):
    con, linked, _ = county
    with workbench(con) as warehouse:
        weigh_against_themselves(con, warehouse, linked.model)
        twice = con.execute(
            f"""
            select self_weight.match_weight, scored_pair.match_weight
            from {warehouse}.scored_pair
            inner join {warehouse}.source_record as l on l.source_record_id = source_record_id_l
            inner join {warehouse}.source_record as r on r.source_record_id = source_record_id_r
            inner join self_weight on self_weight.source_record_id = source_record_id_l
            where l.identity_number = r.identity_number and l.handover_tokens is null
            """
        ).fetchall()
    assert len(twice) > 20
    assert all(alone == pytest.approx(of_two) for alone, of_two in twice)


def test_records_with_little_on_them_are_unlinkable(county):
    _, _, found = county
    unlinkable = {slice_: each for (name, slice_), each in found.items() if name == "unlinkable_records"}
    assert unlinkable["missing: nothing"].value < 0.01
    by_source = [each for slice_, each in unlinkable.items() if slice_.startswith("source")]
    assert sum(each.numerator for each in by_source) == unlinkable["all"].numerator


def test_nothing_has_drifted_on_the_records_of_the_training(county):
    _, _, found = county
    drift = {slice_: each.value for (name, slice_), each in found.items() if name == "drift"}
    assert set(drift) == {f"comparison: {each.name}" for each in comparisons()}
    assert max(drift.values()) < 0.01


def test_pairs_that_no_longer_agree_on_numbers_drift(county):
    con, linked, _ = county
    con.execute("begin").fetchall()
    con.execute("update scored_pair set gamma_ssn = -1 where gamma_ssn > 0").fetchall()
    now = count_levels(con, "scored_pair")
    con.execute("rollback").fetchall()
    then = linked.model.training["level_counts"]
    assert population_stability_index(then["ssn"], now["ssn"]) > 0.25
    assert population_stability_index(then["sex"], now["sex"]) < 0.05


def test_level_counts_are_those_of_the_pairs(county):
    con, _, _ = county
    found = count_levels(con, "scored_pair")
    for each in comparisons():
        names = {**each.level_names(), -1: "missing"}
        expected = Counter(
            names[level] for (level,) in con.execute(f"select {each.column} from scored_pair").fetchall()
        )
        assert found[each.name] == expected


def test_steward_labels_are_counted_on_both_sides_of_the_threshold(county, client_pairs):
    con, linked, _ = county
    link_weight = linked.model.calibration.link_weight
    heavy = sorted(
        pair for pair, records in client_pairs.items() if max(each[0] for each in records) >= link_weight
    )
    light = sorted(
        pair for pair, records in client_pairs.items() if max(each[0] for each in records) < link_weight
    )
    judged = [(*pair, "link") for pair in heavy[:9]] + [(*heavy[9], "do_not_link"), (*light[0], "link")]
    decisions = pl.DataFrame(
        [(*left, *right, judgement) for left, right, judgement in judged],
        schema=["source_l", "client_id_l", "source_r", "client_id_r", "decision"],
        orient="row",
    )
    found = {
        (each.measure, each.slice): each
        for each in measure_linkage(
            con, linked.model, link_weight=link_weight, as_of_year=YEAR, decisions=decisions
        )
    }
    precision = found["steward_labelled_precision", "all"]
    assert (precision.numerator, precision.denominator) == (9, 10)
    low, high = wilson_interval(9, 10)
    assert f"{low:.3f} to {high:.3f}" in precision.note
    missed = found["steward_labelled_missed", "all"]
    assert (missed.numerator, missed.denominator) == (1, 1)


@given(st.integers(1, 400), st.data())
def test_wilson_bounds_solve_the_equation_they_come_from(trials, data):
    successes = data.draw(st.integers(0, trials))
    low, high = wilson_interval(successes, trials)
    assert 0 <= low <= successes / trials + 1e-12
    assert successes / trials - 1e-12 <= high <= 1
    for bound in (low, high):
        if 1e-9 < bound < 1 - 1e-9:
            deviations = (successes / trials - bound) / math.sqrt(bound * (1 - bound) / trials)
            assert abs(deviations) == pytest.approx(1.959964, rel=1e-6)


@given(counts, counts)
def test_stability_index_is_the_symmetric_divergence_of_the_shares(before, now):
    names = set(before) | set(now)
    old, new = ({name: each.get(name, 0) + 0.5 for name in names} for each in (before, now))
    p, q = ({name: value / sum(each.values()) for name, value in each.items()} for each in (old, new))
    divergence = sum(
        q[name] * math.log(q[name] / p[name]) + p[name] * math.log(p[name] / q[name]) for name in names
    )
    assert population_stability_index(before, now) == pytest.approx(divergence, abs=1e-9)
    assert population_stability_index(before, now) == pytest.approx(population_stability_index(now, before))


def test_one_measure_and_slice_is_written_once(con):
    one = ratio("a", "all", "all", 1, 2, "A note.")
    assert write_measures(con, [one]) == 1
    assert con.execute("select measure, slice, value from linkage_measure").fetchall() == [("a", "all", 0.5)]
    with pytest.raises(ValueError, match="two figures"):
        write_measures(con, [one, one])
