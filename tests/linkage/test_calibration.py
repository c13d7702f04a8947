"""Calibration finds back what made the labels, says when it cannot, and is one curve in Python and in SQL."""

import duckdb
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.calibration import (
    Calibration,
    LabelledPairs,
    calibrate,
    threshold_candidates,
    weight_from_excess,
    with_link_threshold,
)
from linkage.clustering import LinkEstimate

curves = st.builds(
    Calibration,
    intercept=st.floats(-10, 10),
    slope=st.floats(0.2, 3),
    method=st.just("ssn_agreement"),
    because=st.just(""),
    link_weight=st.just(0.0),
    link_because=st.just(""),
)


def labelled(pairs, *, intercept, slope, plateau=0.96, strangers=0.004, twins=0.0, twin_weight=0.0, seed=1):
    """Pairs whose numbers agree as the curve says, at weights as blocking brings them."""
    dice = np.random.default_rng(seed)
    weights = np.concatenate([dice.normal(-12, 6, pairs // 2), dice.normal(16, 7, pairs - pairs // 2)])
    adjustment = (dice.random(pairs) < twins).astype(np.int64)
    log_odds = intercept + slope * (weights + adjustment * twin_weight)
    is_match = dice.random(pairs) < 1 / (1 + np.exp2(-log_odds))
    return LabelledPairs(
        weights=weights,
        adjustment=adjustment,
        numbers_agree=np.where(is_match, dice.random(pairs) < plateau, dice.random(pairs) < strangers),
    )


@pytest.mark.parametrize(
    ("intercept", "slope"),
    [
        pytest.param(0, 1, id="the model is right"),
        pytest.param(-4, 1, id="the prior is too high"),
        pytest.param(5, 1, id="the prior is too low"),
        pytest.param(-1, 0.6, id="evidence is counted twice"),
    ],
)
def test_the_curve_behind_the_labels_is_found(intercept, slope):
    found, _ = calibrate(labelled(40_000, intercept=intercept, slope=slope), supposed_adjustments={})
    even_odds = -intercept / slope
    for weight in (even_odds - 3, even_odds, even_odds + 3, even_odds + 6):
        true = 1 / (1 + 2.0 ** -(intercept + slope * weight))
        assert float(found.probability(np.array([weight]))[0]) == pytest.approx(true, abs=0.06)
    assert found.plateau == pytest.approx(0.96, abs=0.01)
    assert found.strangers < 0.02


def test_the_weight_of_an_adjustment_is_learned():
    pairs = labelled(60_000, intercept=0, slope=1, twins=0.3, twin_weight=-6.0)
    _, learned = calibrate(pairs, supposed_adjustments={"possible_twins": -2.0})
    assert learned["possible_twins"] == pytest.approx(-6, abs=0.7)


def test_an_adjustment_of_which_nothing_is_seen_stays_as_supposed():
    _, learned = calibrate(
        labelled(5_000, intercept=0, slope=1), supposed_adjustments={"possible_twins": -4.0}
    )
    assert learned["possible_twins"] == pytest.approx(-4, abs=0.01)


def test_a_case_that_errors_explain_loses_no_weight():
    weight = weight_from_excess(np.full(40, 3.0), pairs_beside=9_960, share_in_case=0.004, supposed=-12.0)
    assert -2.0 < weight <= 0.0


def test_a_case_far_beyond_what_errors_explain_weighs_as_little_as_its_pairs_are_one_person():
    weights = np.full(400, 6.0)
    weight = weight_from_excess(weights, pairs_beside=9_600, share_in_case=0.001, supposed=-12.0)
    assert 1 / (1 + 2 ** -(6.0 + weight)) == pytest.approx(9.61 / 400, abs=0.005)


def test_the_more_pairs_beyond_what_errors_explain_the_less_each_weighs():
    learned = [
        weight_from_excess(np.full(seen, 6.0), pairs_beside=9_600, share_in_case=0.001, supposed=-12.0)
        for seen in (5, 20, 80, 320, 1_280)
    ]
    assert learned == sorted(learned, reverse=True)
    assert learned[0] > learned[-1]


def test_a_case_never_seen_weighs_what_is_supposed():
    none = np.array([])
    assert weight_from_excess(none, pairs_beside=900, share_in_case=0.01, supposed=-12.0) == -12.0
    assert weight_from_excess(np.ones(3), pairs_beside=0, share_in_case=0.01, supposed=-12.0) == -12.0


def test_too_few_labels_are_said_and_the_model_stays_as_it_is():
    found, learned = calibrate(
        labelled(100, intercept=3, slope=1), supposed_adjustments={"possible_twins": -4.0}
    )
    assert found.method == "none"
    assert "Not calibrated: 100 pairs" in found.because
    assert (found.intercept, found.slope, learned) == (0.0, 1.0, {"possible_twins": -4.0})
    chosen = with_link_threshold(found, [], target_precision=0.99)
    assert chosen.link_weight == pytest.approx(np.log2(99), abs=0.01)
    assert "for want of a calibration" in chosen.link_because


@given(curves, st.lists(st.floats(-60, 60), min_size=2, max_size=20))
def test_the_probability_rises_with_the_weight(curve, weights):
    probabilities = curve.probability(np.sort(np.array(weights)))
    assert (np.diff(probabilities) >= 0).all()


@given(curves, st.floats(0.001, 0.999))
def test_weight_at_undoes_probability(curve, probability):
    weight = curve.weight_at(probability)
    assert float(curve.probability(np.array([weight]))[0]) == pytest.approx(probability, abs=1e-9)


connection = duckdb.connect()


@given(curves)
def test_sql_and_python_say_the_same(curve):
    weights = np.linspace(-80, 80, 41)
    rows = connection.execute(
        f"select {curve.probability_sql('w')} from (select unnest({weights.tolist()}::double[]) as w)"
    ).fetchall()
    assert [row[0] for row in rows] == pytest.approx(curve.probability(weights).tolist(), abs=1e-12)


@given(curves)
def test_a_calibration_survives_being_written(curve):
    assert Calibration.from_json(curve.to_json()) == curve


def estimate(weight, precision):
    return LinkEstimate(link_weight=weight, linked_pairs=10, precision=precision, recall=0.9)


def calibrated(intercept=0.0, slope=1.0):
    return Calibration(
        intercept=intercept, slope=slope, method="ssn_agreement", because="", link_weight=0, link_because=""
    )


def test_the_least_weight_of_the_wanted_precision_is_chosen():
    estimates = [estimate(6.0, 0.999), estimate(4.0, 0.992), estimate(2.0, 0.985)]
    assert with_link_threshold(calibrated(), estimates, target_precision=0.99).link_weight == 4.0


def test_no_pair_is_linked_that_is_likelier_two_people_than_one():
    estimates = [estimate(0.5, 0.999), estimate(-2.0, 0.995)]
    assert with_link_threshold(calibrated(), estimates, target_precision=0.99).link_weight == 0.5


def test_where_no_threshold_is_precise_enough_a_single_pair_must_be():
    chosen = with_link_threshold(calibrated(), [estimate(4.0, 0.9)], target_precision=0.99)
    assert chosen.link_weight == pytest.approx(np.log2(99), abs=0.01)
    assert "No threshold" in chosen.link_because


def test_threshold_candidates_begin_at_even_odds():
    candidates = threshold_candidates(calibrated(intercept=-3.0, slope=0.5))
    assert candidates[0] == 6.0
    assert candidates == sorted(candidates)
