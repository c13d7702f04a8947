"""Calls to a crisis line: before an ambulance, visit or booking of the same crisis, and crises that went no further."""

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.diagnoses import OVERDOSE, PSYCHIATRIC, SUBSTANCE
from sample_data.lives.timing import (
    DAY,
    HOUR,
    Window,
    draw_codes,
    event_times,
    make_presence,
    outside_custody,
)
from sample_data.parameters import CrisisLineParameters
from sample_data.people import DAYS_A_YEAR, Population

_CRISES = (PSYCHIATRIC, SUBSTANCE, OVERDOSE)


def make_calls(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    hospital: pl.DataFrame,
    jail: pl.DataFrame,
    window: Window,
    parameters: CrisisLineParameters,
) -> pl.DataFrame:
    """Every call: person, kind, started, ended, outcome, channel, suicide_risk.

    `hospital` has theme and by_ambulance, as `make_hospital_encounters` returns it. A call of a crisis comes before the
    ambulance, visit or booking that the others record of it; nobody calls from custody.
    """
    crises = hospital.filter((pl.col("kind") == "ed") & pl.col("theme").is_in(_CRISES))
    by_ambulance = crises.filter(pl.col("by_ambulance"))
    by_themselves = crises.filter(~pl.col("by_ambulance"))
    booked = jail.filter(pl.Series(conditions.smi[jail.get_column("person").to_numpy()]))
    calls = pl.concat(
        [
            # Rides start at most 58 minutes before the visit.
            _calls_before(
                rng, by_ambulance, parameters.before_ambulance, (HOUR, 2 * HOUR), {"ambulance": 1.0}
            ),
            _calls_before(
                rng,
                by_themselves,
                parameters.before_visit,
                (2 * HOUR, 60 * HOUR),
                parameters.before_visit_ends,
            ),
            _calls_before(rng, booked, parameters.before_booking, (HOUR // 2, 3 * HOUR), {"police": 1.0}),
            _other_calls(rng, population, conditions, window, parameters),
        ]
    ).sort("started", "person", "outcome")
    calls = outside_custody(calls, jail.select("person", "started", "ended"), rng, 0.0)
    count = calls.height
    minutes = np.clip(parameters.minutes_median * np.exp(0.6 * rng.standard_normal(count)), 1, 180)
    return calls.with_columns(
        kind=pl.lit("call"),
        ended=pl.col("started") + pl.Series((minutes * 60).astype(np.int64)),
        outcome=pl.when(pl.Series(rng.random(count) >= parameters.no_outcome)).then("outcome"),
        channel=draw_codes(rng, parameters.channels, count),
        suicide_risk=pl.Series(rng.random(count) < parameters.suicide_risk),
    )


def _calls_before(
    rng: np.random.Generator,
    later: pl.DataFrame,
    share: float,
    seconds: tuple[int, int],
    ends: dict[str, float],
) -> pl.DataFrame:
    """Calls before a `share` of what came later, so many seconds earlier."""
    followed = later.filter(pl.Series(rng.random(later.height) < share))
    earlier = pl.Series(rng.integers(*seconds, followed.height))
    return followed.select(pl.col("person").cast(pl.Int32), started=pl.col("started") - earlier).with_columns(
        outcome=draw_codes(rng, ends, followed.height)
    )


def _other_calls(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    window: Window,
    parameters: CrisisLineParameters,
) -> pl.DataFrame:
    """Calls that nothing in the other systems belongs to."""
    weight: npt.NDArray[np.float64] = np.where(conditions.smi, parameters.times_smi, 1.0)
    weight *= np.where(conditions.sud >= 0, parameters.times_sud, 1.0)
    weight *= np.exp(parameters.spread * rng.standard_normal(len(population)))
    rates = weight / weight.mean() * parameters.calls_a_year
    about = make_presence(rng, population, conditions.any, window)
    person, started = event_times(rng, rates * about.intensity, about.begins, about.ends)
    age = (started // DAY - population.birth[person]) / DAYS_A_YEAR
    of_age = age >= parameters.youngest
    person, started = person[of_age], started[of_age]
    return pl.DataFrame({"person": person, "started": started}).with_columns(
        outcome=draw_codes(rng, parameters.ends, len(person))
    )
