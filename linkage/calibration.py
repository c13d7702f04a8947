"""What a match weight is worth: the share of pairs of that weight that are one person, estimated without
truth.

Splink's probability rests on a prior that can be badly wrong and on comparisons being independent, which
they are not. The label used here needs no truth: among pairs where both records carry a whole Social
Security number, weighed *without* the comparison of those numbers and *without* the pairs that only a rule
on those numbers brought together, the share whose numbers agree follows the share of true matches. Numbers
have errors too, so the share levels off at a plateau below one, and household members share numbers, so it
starts above nought:

    share that agrees at weight w = strangers + (plateau - strangers) * probability(w)

The probability is a logistic curve of the weight, with log2 odds intercept + slope * w; where an adjustment
applies (`linkage.model.adjustments`) its weight is learned with it. All of it is the most probable given
the labelled pairs and mild prior opinions (`_OPINIONS`), so that few pairs move it little and none leave
the model as it is.

Measured bin by bin on two public populations: at weights 0 to 2 estimated .52 and .66, true .56 and .74; 2
to 4, .92 and .78, true .93 and .87; 4 to 6, .97 and .93, true .96 and .98. Without both precautions it is
useless.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import numpy.typing as npt
from scipy.optimize import brentq, minimize

if TYPE_CHECKING:
    from linkage.clustering import LinkEstimate

Numbers = npt.NDArray[np.float64]
Flags = npt.NDArray[np.bool_]

_LEAST_LABELLED_PAIRS = 500
_LEAST_AGREEING_PAIRS = 200
_LEAST_BIN = 30
_DEFAULT_LINK_PROBABILITY = 0.99
_LIKELIER_THAN_NOT = 0.5

_OPINIONS = {"intercept": (0.0, 3.0), "slope": (1.0, 0.3)}
"""What is thought of the curve before any pair is seen, and how firmly: mean and standard deviation. The
model's own weights (0 and 1) are roughly right; their slope is firmer than their level, which rests on the
prior."""

_FIRMNESS_OF_ADJUSTMENT = 2.0
"""Standard deviation of the opinion on an adjustment's weight; its mean is stated with the adjustment."""


_PAIRS_PER_SHARED = 250
"""Pairs with one number among which one is of two people who share it, before anything is seen."""

_LIGHTEST_ADJUSTMENT = -20.0


@dataclass(frozen=True, kw_only=True)
class Calibration:
    """The log2 odds of being one person at match weight w are intercept + slope * w.

    `method` is "ssn_agreement" or "none"; `because` says in one sentence what it rests on, or why there is
    none. `link_weight` is the match weight from which pairs are linked and `link_because` says how it was
    chosen. `plateau` and `strangers` are the shares of agreeing numbers among pairs of one person and of
    two people; `bins` is the reliability curve: match_weight, pairs, agree, estimated and fitted
    probability.

    A pair without two numbers to compare is read at stretch_without_numbers * w + shift_without_numbers
    (`linkage.calibration_without_numbers`), which is the match weight of the equally probable pair with numbers;
    `bins_without_numbers` is their reliability curve.
    """

    intercept: float
    slope: float
    method: str
    because: str
    link_weight: float
    link_because: str
    plateau: float = 1.0
    strangers: float = 0.0
    bins: tuple[Mapping[str, float], ...] = ()
    stretch_without_numbers: float = 1.0
    shift_without_numbers: float = 0.0
    bins_without_numbers: tuple[Mapping[str, float], ...] = ()

    def to_json(self) -> dict[str, Any]:
        """The calibration as plain values."""
        return asdict(self)

    @classmethod
    def from_json(cls, written: Mapping[str, Any]) -> "Calibration":
        """The calibration that `to_json` wrote."""
        bins = {name: tuple(written.get(name, ())) for name in ("bins", "bins_without_numbers")}
        return cls(**{**written, **bins})

    def probability(self, match_weights: Numbers) -> Numbers:
        """The probability that pairs of these weights are one person."""
        return logistic(self.intercept + self.slope * np.asarray(match_weights, dtype=np.float64))

    def weight_at(self, probability: float) -> float:
        """The match weight whose calibrated probability is `probability` (between 0 and 1, both excluded)."""
        return (float(np.log2(probability / (1 - probability))) - self.intercept) / self.slope

    @property
    def reads_without_numbers(self) -> bool:
        """Whether the weights of pairs without two numbers to compare are changed."""
        return (self.stretch_without_numbers, self.shift_without_numbers) != (1.0, 0.0)

    def comparable(self, match_weights: Numbers) -> Numbers:
        """Match weights of pairs without two numbers to compare, as those of equally probable pairs with."""
        return self.stretch_without_numbers * match_weights + self.shift_without_numbers

    def comparable_sql(self, weight: str, *, number_compared: str) -> str:
        """SQL: `comparable` of the expression `weight` but where the condition `number_compared` holds."""
        if not self.reads_without_numbers:
            return weight
        return (
            f"case when {number_compared} then {weight} else "
            f"{self.stretch_without_numbers!r}::double * ({weight}) + {self.shift_without_numbers!r}::double end"
        )

    def probability_sql(self, weight: str) -> str:
        """SQL of `probability` over the expression `weight`."""
        log_odds = f"{self.intercept!r}::double + {self.slope!r}::double * {weight}"
        return f"1 / (1 + power(2.0::double, -greatest(-1000, least(1000, {log_odds}))))"


@dataclass(frozen=True, kw_only=True)
class LabelledPairs:
    """Pairs that calibrate: their match weight without Social Security numbers and without adjustment, the
    number of the adjustment that applies to each (0 for none, n for the nth) and whether their numbers
    agree."""

    weights: Numbers
    adjustment: npt.NDArray[np.int64]
    numbers_agree: Flags


def calibrate(
    labelled: LabelledPairs, *, supposed_adjustments: Mapping[str, float]
) -> tuple[Calibration, dict[str, float]]:
    """Calibrate match weights; returns the calibration, still without a link threshold, and the adjustments'
    weights.

    `supposed_adjustments` are the weights that adjustments have where nothing is learned of them, in their
    order.
    """
    pairs, agreeing = len(labelled.weights), int(labelled.numbers_agree.sum())
    if pairs < _LEAST_LABELLED_PAIRS or agreeing < _LEAST_AGREEING_PAIRS:
        because = (
            f"Not calibrated: {pairs:,} pairs with two whole Social Security numbers, of which {agreeing:,} agree; "
            f"{_LEAST_LABELLED_PAIRS:,} and {_LEAST_AGREEING_PAIRS:,} are needed."
        )
        return _without_threshold(method="none", because=because), dict(supposed_adjustments)
    intercept, slope, plateau, strangers, adjusting = _fit(labelled, list(supposed_adjustments.values()))
    learned = {name: round(weight, 3) for name, weight in zip(supposed_adjustments, adjusting, strict=True)}
    by_number = np.array([0.0, *learned.values()])
    fitted = _without_threshold(
        method="ssn_agreement",
        because=f"{pairs:,} pairs with two whole Social Security numbers, of which {agreeing:,} agree.",
        intercept=intercept,
        slope=slope,
        plateau=plateau,
        strangers=strangers,
    )
    adjusted = labelled.weights + by_number[labelled.adjustment]
    return replace(fitted, bins=tuple(_bins(fitted, adjusted, labelled.numbers_agree))), learned


def with_link_threshold(
    calibration: Calibration, estimates: Sequence["LinkEstimate"], *, target_precision: float
) -> Calibration:
    """Choose the match weight down to which clusters are united.

    It is the least of the estimates' weights (`linkage.clustering.estimate_links`) at which the estimated
    precision of all links after clustering reaches `target_precision`; but a pair that is likelier two
    people than one is never linked. Without a calibration it is the weight of the model's own probability
    of .99.
    """
    if calibration.method == "none":
        return replace(
            calibration,
            link_weight=round(calibration.weight_at(_DEFAULT_LINK_PROBABILITY), 3),
            link_because=f"The model's own probability of {_DEFAULT_LINK_PROBABILITY}, for want of a calibration.",
        )
    even = calibration.weight_at(_LIKELIER_THAN_NOT)
    good = [
        each for each in estimates if each.precision >= target_precision and each.link_weight >= even - 1e-3
    ]
    if not good:
        return replace(
            calibration,
            link_weight=round(calibration.weight_at(target_precision), 3),
            link_because=f"No threshold reaches an estimated precision of {target_precision}: "
            "the weight at which a single pair has that probability.",
        )
    chosen = min(good, key=lambda each: each.link_weight)
    return replace(
        calibration,
        link_weight=chosen.link_weight,
        link_because=f"The least match weight at which links after clustering have an estimated precision of "
        f"{target_precision} or more ({chosen.precision:.4f}; estimated recall of what blocking finds "
        f"{chosen.recall:.4f}).",
    )


def weight_from_excess(
    match_weights: Numbers, *, pairs_beside: int, share_in_case: float, supposed: float
) -> float:
    """The weight of an adjustment for a case that one person's errors explain only in part.

    `match_weights` are those of the pairs in the case, unadjusted; `pairs_beside` are as certainly one person
    and not in it; `share_in_case` is the share of one person's pairs that errors put there, if errors in
    different fields are independent. So many pairs of one person are to be expected in the case; what is more
    is of two people. Before any pair is seen, one pair in 250 is thought to be (an exponential opinion). The
    weight returned, 0 or less, makes the pairs' mean probability that share; `supposed` where there is none.
    """
    seen = len(match_weights)
    expected = pairs_beside * share_in_case / (1 - share_in_case)
    if not seen or not pairs_beside or not expected:
        return supposed
    two_people = np.linspace(0, seen + 5 * math.sqrt(seen) + 5, 4001)
    log_likelihood = (
        seen * np.log(expected + two_people) - two_people - two_people * _PAIRS_PER_SHARED / pairs_beside
    )
    likelihood = np.exp(log_likelihood - log_likelihood.max())
    one_person = float((likelihood * expected / (expected + two_people)).sum() / likelihood.sum())

    def excess_at(weight: float) -> float:
        return float(logistic(match_weights + weight).mean()) - one_person

    if excess_at(0.0) <= 0:
        return 0.0
    if excess_at(_LIGHTEST_ADJUSTMENT) >= 0:
        return _LIGHTEST_ADJUSTMENT
    return round(float(brentq(excess_at, _LIGHTEST_ADJUSTMENT, 0.0)), 3)


def threshold_candidates(calibration: Calibration) -> list[float]:
    """The match weights among which the link threshold is chosen, half a unit apart: from even odds to 200 to
    1."""
    lowest, highest = calibration.weight_at(_LIKELIER_THAN_NOT), calibration.weight_at(200 / 201)
    return [round(float(weight), 3) for weight in np.arange(lowest, highest + 0.5, 0.5)]


def _without_threshold(
    *,
    method: str,
    because: str,
    intercept: float = 0.0,
    slope: float = 1.0,
    plateau: float = 1.0,
    strangers: float = 0.0,
) -> Calibration:
    return Calibration(
        intercept=intercept,
        slope=slope,
        method=method,
        because=because,
        link_weight=math.nan,
        link_because="",
        plateau=plateau,
        strangers=strangers,
    )


UNCALIBRATED = _without_threshold(method="none", because="Nothing was learned of it yet.")
"""Takes the model's weights for what they say, and links nothing."""


def logistic(log2_odds: Numbers) -> Numbers:
    """The probability with these log2 odds."""
    return np.asarray(1 / (1 + np.exp2(-np.clip(log2_odds, -1000, 1000))))


def _fit(labelled: LabelledPairs, supposed: list[float]) -> tuple[float, float, float, float, list[float]]:
    """Intercept, slope, plateau, strangers and the adjustments' weights that are most probable a posteriori."""
    rounded = np.round(labelled.weights * 4) / 4
    cells, cell = np.unique(np.column_stack([rounded, labelled.adjustment]), axis=0, return_inverse=True)
    cell = cell.reshape(-1)
    pairs = np.bincount(cell).astype(np.float64)
    agree = np.bincount(cell, weights=labelled.numbers_agree.astype(np.float64))
    weight, adjustment = cells[:, 0], cells[:, 1].astype(np.int64)

    def improbability(at: Numbers) -> float:
        intercept, slope, plateau, strangers = at[:4]
        adjusted = weight + np.concatenate([[0.0], at[4:]])[adjustment]
        probability = logistic(intercept + slope * adjusted)
        share = np.clip(strangers + (plateau - strangers) * probability, 1e-12, 1 - 1e-12)
        likelihood = float((agree * np.log(share) + (pairs - agree) * np.log(1 - share)).sum())
        opinions = ((intercept - _OPINIONS["intercept"][0]) / _OPINIONS["intercept"][1]) ** 2
        opinions += ((slope - _OPINIONS["slope"][0]) / _OPINIONS["slope"][1]) ** 2
        opinions += float((((at[4:] - supposed) / _FIRMNESS_OF_ADJUSTMENT) ** 2).sum())
        return float(opinions / 2 - likelihood)

    heaviest = labelled.weights >= np.median(labelled.weights[labelled.numbers_agree])
    start = [0.0, 1.0, float(np.clip(labelled.numbers_agree[heaviest].mean(), 0.5, 0.999)), 1e-3, *supposed]
    bounds = [(-20, 20), (0.2, 3), (0.5, 1), (0, 0.2), *[(_LIGHTEST_ADJUSTMENT, 0.0)] * len(supposed)]
    found = minimize(improbability, np.array(start), method="L-BFGS-B", bounds=bounds).x
    intercept, slope, plateau, strangers = (round(float(value), 4) for value in found[:4])
    return intercept, slope, plateau, strangers, [float(value) for value in found[4:]]


def _bins(calibration: Calibration, weights: Numbers, numbers_agree: Flags) -> list[dict[str, float]]:
    """Labelled pairs in bins of one unit of weight, small ones joined to the next."""
    number = np.floor(weights).astype(np.int64)
    bins: list[dict[str, float]] = []
    waiting = np.zeros(len(weights), np.bool_)
    for each in np.unique(number):
        waiting |= number == each
        if (pairs := int(waiting.sum())) < _LEAST_BIN:
            continue
        agree = int(numbers_agree[waiting].sum())
        estimated = (agree / pairs - calibration.strangers) / (calibration.plateau - calibration.strangers)
        bins.append(
            {
                "match_weight": round(float(weights[waiting].mean()), 3),
                "pairs": pairs,
                "agree": agree,
                "estimated": round(min(max(estimated, 0.0), 1.0), 4),
                "fitted": round(float(calibration.probability(weights[waiting]).mean()), 4),
            }
        )
        waiting[:] = False
    return bins
