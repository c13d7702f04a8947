"""What a match weight is worth where there are no two Social Security numbers to compare.

Calibration (`linkage.calibration`) learns from pairs that carry two whole numbers: complete records, whose true
pairs seldom weigh little. Of the pairs at a low weight many are then two people. Records without a number say less
altogether, and their true pairs weigh little as a rule; read by the same curve they would be taken for strangers.

What carries over from one kind of pair to the other is not the share of true pairs at a weight but the number of
*false* ones: strangers and relatives agree on names and birth dates alike, whether or not somebody wrote down a
number. So the false pairs to be expected at a weight are those of the labelled pairs, times how many more pairs of
records there are without numbers than with; what is found beyond them is one person. Searches in mass spectrometry
count their false hits by decoys in this way (Elias and Gygi 2007).

Nothing but counts of pairs is used. In counties simulated with other seeds, bin by bin: decoys 433, 255, 170, 79, 23 at
weights 0 to 10; false pairs by the truth 398, 297, 133, 38, 16.
"""

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import polars as pl
from duckdb import DuckDBPyConnection
from scipy.optimize import minimize

from linkage.calibration import Calibration, logistic
from linkage.model import Parameters, linkage_model
from linkage.scoring import adjustment_weight_sql, labelled_pairs_sql, unnumbered_pairs_sql

Numbers = npt.NDArray[np.float64]

_CELL = 0.5
"""Width of the cells of match weight in which pairs are counted."""

_FIRMEST_CELL = 100.0
"""A cell of more false pairs than this counts as one of so many: what carries over does so roughly."""

_LEAST_PROBABILITY = 0.001
"""Pairs lighter than labelled ones of this probability are not looked at: nobody would link them."""

_LEAST_FALSE_PAIRS = 5.0
_LEAST_PAIRS = 200

_OPINIONS = {"intercept": 3.0, "slope": 0.3, "ratio": 0.3}
"""How firmly it is thought, before any pair is seen, that the curve is that of pairs with numbers and that false pairs
are in proportion to pairs of records: standard deviations, of the ratio's natural logarithm."""

_LEAST_BIN = 30


@dataclass(frozen=True, kw_only=True)
class Stratum:
    """Candidate pairs of records that both tell the same kinds of things (a name, a birth date), by match weight
    without Social Security numbers, adjusted.

    `labelled` are the weights of pairs with two whole numbers, `without_numbers` of those with no two numbers to
    compare; `ratio` is how many pairs of records there are of the second kind for each of the first, whether or not
    a blocking rule brought them.
    """

    labelled: Numbers
    without_numbers: Numbers
    ratio: float


def strata_of(
    con: DuckDBPyConnection, warehouse: str, parameters: Parameters, *, seed: int, max_pairs: int
) -> list[Stratum]:
    """The workbench's candidate pairs, or a sample of `max_pairs` of them, by whether both sides tell a name and a
    birth date. Creates `told` in the workbench."""
    profile = parameters.profile
    known = linkage_model(profile).known
    con.execute(
        f"""
        create or replace table told as
        select record_number, {known["name"]} as name, {known["birth date"]} as birth_date, {known["number"]} as number,
            ssn_token is not null as whole_number
        from {warehouse}.source_record inner join (select record_number, source_record_id from compared_record)
            using (source_record_id)
        """
    ).fetchall()
    ratios = con.execute(
        """
        with kind as (select name, birth_date, number, whole_number, count(*) as records from told group by all)
        select l.name and r.name, l.birth_date and r.birth_date,
            sum(l.records * r.records) filter (not (l.number and r.number))
                / sum(l.records * r.records) filter (l.whole_number and r.whole_number)
        from kind as l cross join kind as r
        group by 1, 2 order by 1, 2
        """
    ).fetchall()
    candidates = con.execute("select count(*) from candidate_pair").fetchall()[0][0]
    sampled = f"hash(record_number_l, record_number_r, {seed}) % {max(candidates, 1)} < {max_pairs}"
    kinds = (labelled_pairs_sql(parameters), unnumbered_pairs_sql(parameters))
    labelled, without_numbers = (
        con.sql(
            f"""
            select l.name and r.name as name, l.birth_date and r.birth_date as birth_date,
                weight_without_ssn + {adjustment_weight_sql(parameters)} as match_weight
            from ({pairs})
            inner join told as l on l.record_number = record_number_l
            inner join told as r on r.record_number = record_number_r
            where {sampled} order by all
            """
        ).pl()
        for pairs in kinds
    )

    def of_stratum(pairs: pl.DataFrame, name: bool, birth_date: bool) -> Numbers:
        chosen = pairs.filter(pl.col("name") == name, pl.col("birth_date") == birth_date)
        return chosen.get_column("match_weight").to_numpy()

    return [
        Stratum(
            labelled=of_stratum(labelled, name, birth_date),
            without_numbers=of_stratum(without_numbers, name, birth_date),
            ratio=float(ratio),
        )
        for name, birth_date, ratio in ratios
        if ratio is not None
    ]


def calibrate_without_numbers(calibration: Calibration, strata: Sequence[Stratum]) -> Calibration:
    """The calibration with a curve of their own for pairs without numbers.

    It is kept as a stretch and a shift of their match weights, so that one weight means one probability whichever
    pair has it. Where there are too few pairs to tell, the weights are left as they are.
    """
    told = [_in_question(each, calibration) for each in strata if each.ratio > 0]
    cells = _Cells.of(calibration, told)
    if (
        calibration.method == "none"
        or cells.found.sum() < _LEAST_PAIRS
        or (cells.false * cells.ratios[:, None]).sum() < _LEAST_FALSE_PAIRS
    ):
        return calibration
    intercept, slope = _fit(calibration, cells)
    fitted = replace(
        calibration,
        stretch_without_numbers=round(slope / calibration.slope, 5),
        shift_without_numbers=round((intercept - calibration.intercept) / calibration.slope, 4),
    )
    return replace(fitted, bins_without_numbers=tuple(_bins(fitted, cells)))


def _in_question(stratum: Stratum, calibration: Calibration) -> Stratum:
    lightest = calibration.weight_at(_LEAST_PROBABILITY)
    return replace(
        stratum,
        labelled=stratum.labelled[stratum.labelled >= lightest],
        without_numbers=stratum.without_numbers[stratum.without_numbers >= lightest],
    )


@dataclass(frozen=True)
class _Cells:
    """Counts by stratum (rows) and cell of weight (columns): `weights` are the cells' middles, `found` the pairs
    without numbers, `false` the labelled pairs that are two people, by the calibration."""

    weights: Numbers
    found: Numbers
    false: Numbers
    ratios: Numbers

    @classmethod
    def of(cls, calibration: Calibration, strata: Sequence[Stratum]) -> "_Cells":
        seen = np.concatenate(
            [np.zeros(1)] + [part for s in strata for part in (s.labelled, s.without_numbers)]
        )
        first = np.floor(seen.min() / _CELL)
        count = int(np.floor(seen.max() / _CELL) - first) + 1

        def counted(weights: Numbers, each: Numbers | None = None) -> Numbers:
            cell = (np.floor(weights / _CELL) - first).astype(np.int64)
            return np.bincount(cell, weights=each, minlength=count).astype(np.float64)

        return cls(
            weights=(first + np.arange(count) + 0.5) * _CELL,
            found=np.array([counted(s.without_numbers) for s in strata]).reshape(len(strata), count),
            false=np.array(
                [counted(s.labelled, 1 - calibration.probability(s.labelled)) for s in strata]
            ).reshape(len(strata), count),
            ratios=np.array([s.ratio for s in strata]),
        )


def _fit(calibration: Calibration, cells: _Cells) -> tuple[float, float]:
    """Intercept and slope that are most probable a posteriori: the false labelled pairs of a cell are a Poisson
    number whose mean is the false pairs without numbers that the curve leaves there, over the ratio."""
    counts = (cells.found > 0) | (cells.false > 0)
    firmness = np.minimum(1.0, _FIRMEST_CELL / np.maximum(cells.false, 1e-9))

    def improbability(at: Numbers) -> float:
        intercept, slope, ratios = at[0], at[1], cells.ratios * np.exp(at[2:])
        false = cells.found * (1 - logistic(intercept + slope * cells.weights)) / ratios[:, None]
        surprise = firmness * (false - cells.false * np.log(false + 1e-6))
        opinions = ((intercept - calibration.intercept) / _OPINIONS["intercept"]) ** 2
        opinions += ((slope - calibration.slope) / _OPINIONS["slope"]) ** 2
        opinions += float(((at[2:] / _OPINIONS["ratio"]) ** 2).sum())
        return float(opinions / 2 + surprise[counts].sum())

    start = np.array([calibration.intercept, calibration.slope, *np.zeros(len(cells.ratios))])
    bounds = [(-20, 20), (0.2, 3), *[(-2, 2)] * len(cells.ratios)]
    found = minimize(improbability, start, method="L-BFGS-B", bounds=bounds).x
    return float(found[0]), float(found[1])


def _bins(calibration: Calibration, cells: _Cells) -> list[dict[str, float]]:
    """Pairs without numbers in bins of one unit of weight, small ones joined to the next: match_weight as it was
    before stretch and shift, pairs, two_people (as many as the labelled pairs let expect), estimated and fitted
    share that is one person."""
    found, expected = cells.found.sum(axis=0), (cells.false * cells.ratios[:, None]).sum(axis=0)
    fitted = calibration.probability(calibration.comparable(cells.weights))
    bins: list[dict[str, float]] = []
    waiting = np.zeros(len(cells.weights), np.bool_)
    unit = np.floor(cells.weights)
    for each in np.unique(unit):
        waiting |= unit == each
        pairs = float(found[waiting].sum())
        if pairs < _LEAST_BIN:
            continue
        two_people = float(expected[waiting].sum())
        bins.append(
            {
                "match_weight": round(float((cells.weights * found)[waiting].sum() / pairs), 3),
                "pairs": int(pairs),
                "two_people": round(two_people, 2),
                "estimated": round(min(max(1 - two_people / pairs, 0.0), 1.0), 4),
                "fitted": round(float((fitted * found)[waiting].sum() / pairs), 4),
            }
        )
        waiting[:] = False
    return bins
