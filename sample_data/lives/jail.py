"""Bookings: who is booked, why, for how long, and what the mental-health screen and assessment say."""

import numpy as np
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.timing import (
    DAY,
    Floats,
    Window,
    at_hours,
    draw_codes,
    event_times,
    log_normal,
    make_presence,
    scaled_to_reach,
    spread_factors,
    without_overlaps,
)
from sample_data.parameters import LivesParameters
from sample_data.people import FEMALE, Population


def make_bookings(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    shared: Floats,
    window: Window,
    lives: LivesParameters,
) -> pl.DataFrame:
    """Every booking, with `smi_true` beside what the screen and the assessment say; `assessed` is in seconds.

    A person is in jail once at a time, but for the few second bookings on record.
    """
    parameters = lives.jail
    age = population.age(window.first // DAY)
    weight = np.exp(-0.5 * ((age - parameters.peak_age) / 12) ** 2) + 0.015
    weight *= age >= 18
    weight *= np.where(population.sex == FEMALE, parameters.times_female, 1.0)
    weight *= np.where(conditions.smi, parameters.times_smi, 1.0)
    weight *= np.where(conditions.sud >= 0, parameters.times_sud, 1.0)
    weight *= np.where(conditions.homeless, parameters.times_homeless, 1.0)
    races = population.races
    by_race = np.array(
        [
            parameters.times_black
            if "black" in race
            else parameters.times_american_indian
            if "american_indian" in race
            else 1.0
            for race in races
        ]
    )
    weight *= by_race[population.race]
    weight *= spread_factors(rng, shared, parameters.spread, parameters.shared)
    likely = weight * conditions.any
    chance = (
        likely / max(likely[conditions.any].mean() if conditions.any.any() else 1.0, 1e-9) * parameters.heavy
    )
    heavy = np.where(rng.random(len(population)) < np.minimum(chance, 0.5), parameters.heavy_rate, 0.0)
    heavy *= np.exp(0.5 * rng.standard_normal(len(population)))
    rates = scaled_to_reach(weight, heavy, parameters.reach, parameters.usual_limit)
    about = make_presence(rng, population, conditions.any, window)
    person, started = event_times(rng, rates * about.intensity, about.begins, about.ends)
    started = at_hours(rng, started, [5, 5, 4, 3, 2, 1, 1, 1, 2, 3, 4, 4, 4, 4, 5, 5, 6, 6, 6, 6, 6, 6, 6, 6])

    count = len(person)
    smi = conditions.smi[person]
    median = parameters.median_days * np.where(smi, parameters.days_times_smi, 1.0)
    # Who is booked often is held shorter each time.
    median = median * np.where(heavy[person] > 0, 0.7, 1.0)
    days = np.clip(log_normal(rng, median, parameters.log_days_spread, count), 0.12, parameters.days_longest)
    bookings = without_overlaps(
        pl.DataFrame({"person": person, "started": started, "ended": started + (days * DAY).astype(np.int64)})
    )
    second = bookings.filter(pl.Series(rng.random(bookings.height) < parameters.second_booking_while_in))
    second = second.filter(pl.col("ended") - pl.col("started") > 2 * DAY).with_columns(
        started=pl.col("started") + (pl.col("ended") - pl.col("started")) // 2,
        ended=pl.col("ended") + DAY,
        is_second=pl.lit(value=True),
    )
    bookings = pl.concat([bookings.with_columns(is_second=pl.lit(value=False)), second])
    bookings = bookings.sort("person", "started", "ended")
    return _with_booking_columns(rng, bookings, population, conditions, lives)


def _with_booking_columns(
    rng: np.random.Generator,
    bookings: pl.DataFrame,
    population: Population,
    conditions: Conditions,
    lives: LivesParameters,
) -> pl.DataFrame:
    parameters = lives.jail
    count = bookings.height
    person = bookings.get_column("person").to_numpy()
    started = bookings.get_column("started").to_numpy()
    ended = bookings.get_column("ended").to_numpy()
    days = (ended - started) / DAY
    smi = conditions.smi[person]
    reason = draw_codes(rng, parameters.reasons, count)
    reason = pl.select(
        pl.when(bookings.get_column("is_second")).then(pl.lit("hold_other_agency")).otherwise(reason)
    ).to_series()
    draw = rng.random(count)
    charge = np.where(
        draw < parameters.felony, 0, np.where(draw < parameters.felony + parameters.misdemeanor, 1, 2)
    )
    release = draw_codes(rng, parameters.release_reasons, count).to_numpy().astype(object)
    # Long stays end in time served or prison far more often than in bond.
    long_stay = (days > 45) & np.isin(release, ["ror", "bond", "charges_dropped"])
    release[long_stay] = np.where(rng.random(long_stay.sum()) < 0.8, "time_served", "to_prison")
    release[(days < 5) & np.isin(release, ["to_prison", "time_served"])] = "ror"

    screened = rng.random(count) >= parameters.not_screened * np.where(days < 0.5, 3.0, 0.75)
    sensitivity = np.where(
        population.sex[person] == FEMALE,
        parameters.screen_sensitivity_women,
        parameters.screen_sensitivity_men,
    )
    positive = rng.random(count) < np.where(smi, sensitivity, parameters.screen_false_positive)
    screen = np.where(screened, np.where(positive, "positive", "negative"), "not_screened")
    wait = log_normal(rng, 1.4, 0.7, count) * DAY
    assessed = screened & positive & (rng.random(count) < parameters.assessed_when_positive)
    assessed &= started + wait < ended
    found = rng.random(count) < np.where(
        smi, parameters.assessment_sensitivity, parameters.assessment_false_positive
    )
    return bookings.drop("is_second").with_columns(
        kind=pl.lit("booking"),
        booking_reason=reason,
        release_reason=pl.Series(release.tolist(), dtype=pl.String),
        charge_class=pl.Series(["F", "M", "other"]).gather(charge),
        smi_screen=pl.Series(screen),
        assessed=pl.Series(np.where(assessed, started + wait, 0).astype(np.int64)).replace(0, None),
        smi_assessed=pl.select(pl.when(pl.Series(assessed)).then(pl.Series(found))).to_series(),
        smi_true=pl.Series(smi),
    )
