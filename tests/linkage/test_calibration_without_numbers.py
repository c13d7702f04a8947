"""Pairs without numbers are as probable as the false pairs among the labelled leave them."""

from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.calibration import UNCALIBRATED, logistic
from linkage.calibration_without_numbers import Stratum, calibrate_without_numbers

LABELLED_CURVE = replace(UNCALIBRATED, method="ssn_agreement", intercept=-2.0, slope=0.7)
"""At weight 0 one labelled pair in five is one person."""


def stratum(*, intercept, slope, ratio, pairs=4_000, seed=1):
    """Pairs without numbers with one curve, and labelled pairs with as many false ones at each weight as the ratio
    says, which obey `LABELLED_CURVE`."""
    dice = np.random.default_rng(seed)
    weights = np.concatenate([dice.normal(-8, 4, pairs // 4), dice.normal(8, 6, pairs)])
    false = weights[dice.random(len(weights)) > logistic(intercept + slope * weights)]
    decoys = dice.choice(false, size=round(len(false) / ratio))
    odds = np.exp2(LABELLED_CURVE.intercept + LABELLED_CURVE.slope * decoys)
    companions = np.repeat(decoys, dice.poisson(np.minimum(odds, 1e4)))
    return Stratum(labelled=np.concatenate([decoys, companions]), without_numbers=weights, ratio=ratio)


def probability(calibration, weight):
    return float(calibration.probability(calibration.comparable(np.array([weight])))[0])


@pytest.mark.parametrize(
    ("intercept", "slope", "ratio"),
    [
        pytest.param(0.5, 0.7, 1.0, id="true pairs weigh less without numbers"),
        pytest.param(-2.0, 0.7, 1.0, id="the same curve"),
        pytest.param(-4.0, 0.7, 1.0, id="true pairs are rarer without numbers"),
        pytest.param(0.5, 0.5, 4.0, id="few records have numbers"),
        pytest.param(0.5, 0.9, 0.5, id="most records have numbers"),
    ],
)
def test_the_curve_of_pairs_without_numbers_is_found(intercept, slope, ratio):
    found = calibrate_without_numbers(
        LABELLED_CURVE, [stratum(intercept=intercept, slope=slope, ratio=ratio)]
    )
    for weight in (-4.0, -1.0, 2.0, 5.0, 8.0):
        true = float(logistic(np.array(intercept + slope * weight)))
        assert probability(found, weight) == pytest.approx(true, abs=0.1)
    assert (found.intercept, found.slope) == (LABELLED_CURVE.intercept, LABELLED_CURVE.slope)


def test_the_bins_say_how_many_pairs_are_expected_to_be_two_people():
    made = stratum(intercept=0.5, slope=0.7, ratio=2.0)
    found = calibrate_without_numbers(LABELLED_CURVE, [made])
    assert sum(each["pairs"] for each in found.bins_without_numbers) <= len(made.without_numbers)
    for each in found.bins_without_numbers:
        assert each["estimated"] == pytest.approx(max(0, 1 - each["two_people"] / each["pairs"]), abs=1e-3)
    estimated, fitted = (
        sum(each["pairs"] * each[share] for each in found.bins_without_numbers)
        for share in ("estimated", "fitted")
    )
    assert fitted == pytest.approx(estimated, rel=0.02)


def test_strata_are_told_together():
    one = stratum(intercept=0.5, slope=0.7, ratio=1.0, pairs=2_000)
    other = stratum(intercept=0.5, slope=0.7, ratio=3.0, pairs=2_000, seed=2)
    found = calibrate_without_numbers(LABELLED_CURVE, [one, other])
    assert probability(found, 0.0) == pytest.approx(float(logistic(np.array(0.5))), abs=0.1)


@pytest.mark.parametrize(
    "strata",
    [
        pytest.param([], id="none"),
        pytest.param(
            [stratum(intercept=0.5, slope=0.7, ratio=1.0, pairs=100)], id="few pairs without numbers"
        ),
        pytest.param(
            [Stratum(labelled=np.full(900, 30.0), without_numbers=np.full(900, 9.0), ratio=1.0)],
            id="no false pair to learn from",
        ),
        pytest.param(
            [Stratum(labelled=np.array([]), without_numbers=np.full(900, 9.0), ratio=1.0)],
            id="no pair with numbers",
        ),
    ],
)
def test_too_little_to_tell_leaves_the_weights_as_they_are(strata):
    assert calibrate_without_numbers(LABELLED_CURVE, strata) == LABELLED_CURVE


def test_without_a_calibration_there_is_nothing_to_carry_over():
    assert calibrate_without_numbers(UNCALIBRATED, [stratum(intercept=0, slope=1, ratio=1.0)]) == UNCALIBRATED


@settings(max_examples=20)
@given(st.randoms(use_true_random=False))
def test_the_order_of_pairs_does_not_matter(random):
    made = stratum(intercept=0.5, slope=0.7, ratio=1.0, pairs=600)
    shuffled = replace(
        made,
        labelled=np.array(random.sample(made.labelled.tolist(), len(made.labelled))),
        without_numbers=np.array(random.sample(made.without_numbers.tolist(), len(made.without_numbers))),
    )
    one, other = (calibrate_without_numbers(LABELLED_CURVE, [each]) for each in (made, shuffled))
    assert one.stretch_without_numbers == pytest.approx(other.stretch_without_numbers, abs=1e-3)
    assert one.shift_without_numbers == pytest.approx(other.shift_without_numbers, abs=1e-3)


def test_in_the_simulated_county_pairs_without_numbers_are_as_probable_as_they_are_true(linked_county):
    """By the truth, which no training has seen, at weights where it is in doubt."""
    linked_county.con.register("truth", linked_county.truth.to_arrow())
    pairs, probable, true = linked_county.con.execute(
        """
        select count(*), sum(match_probability), count(*) filter (l.truth_id = r.truth_id)
        from scored_pair
        inner join (select * from source_record inner join truth using (source, client_id)) as l
            on l.source_record_id = source_record_id_l
        inner join (select * from source_record inner join truth using (source, client_id)) as r
            on r.source_record_id = source_record_id_r
        where gamma_ssn < 0 and blocking_rule <> 'within_component' and unadjusted_match_weight between -4 and 6
        """
    ).fetchall()[0]
    linked_county.con.unregister("truth")
    assert pairs > 100
    assert probable == pytest.approx(true, rel=0.1)
