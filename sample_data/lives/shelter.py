"""Homeless services: nights in night-by-night shelters, stays in entry-exit projects, outreach contacts."""

import numpy as np
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.timing import (
    DAY,
    HOUR,
    Floats,
    Window,
    at_hours,
    draw_codes,
    event_times,
    log_normal,
    outside_custody,
    spread_factors,
)
from sample_data.parameters import LivesParameters, ShelterParameters
from sample_data.people import DAYS_A_YEAR, Population


def make_shelter_encounters(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    shared: Floats,
    window: Window,
    lives: LivesParameters,
) -> pl.DataFrame:
    """Every encounter with homeless services, whether or not the person was then in jail."""
    parameters = lives.shelter
    people = len(population)
    weight = np.where(conditions.chronic, parameters.times_chronic, 1.0)
    weight = weight * spread_factors(rng, shared, parameters.spread, parameters.shared) * conditions.homeless
    weight /= max(weight.sum() / max(conditions.homeless.sum(), 1), 1e-9)
    frames = [
        _bed_nights(rng, weight, conditions, parameters),
        _shelter_stays(rng, weight, conditions, parameters),
        _contacts(rng, weight, conditions, parameters),
    ]
    encounters = _of_clients(rng, pl.concat(frames, how="diagonal"), people, window, parameters)
    person = encounters.get_column("person").to_numpy()
    disabled = conditions.smi | (conditions.sud >= 0)
    disabled = np.where(rng.random(people) < 0.88, disabled, rng.random(people) < 0.3)
    recorded = rng.random(len(person)) < parameters.disabling_recorded
    is_nightly = (encounters.get_column("kind") == "bed_night").to_numpy()
    return encounters.with_columns(
        disabling_condition=pl.select(
            pl.when(pl.Series(recorded & ~is_nightly)).then(pl.Series(disabled[person]))
        ).to_series()
    )


def _of_clients(
    rng: np.random.Generator,
    encounters: pl.DataFrame,
    people: int,
    window: Window,
    parameters: ShelterParameters,
) -> pl.DataFrame:
    """The encounters of those homeless people who are clients: so many that the last year has its reach.

    Others are homeless without these services (Trick 2021, Chicago: 19 % are seen in hospital codes alone).
    """
    year = min(int(DAY * DAYS_A_YEAR), window.last - window.start)
    in_year = encounters.filter((pl.col("started") < window.last) & (pl.col("started") >= window.last - year))
    wanted = parameters.reach * people * year / (DAY * DAYS_A_YEAR)
    share = wanted / max(in_year.get_column("person").n_unique(), 1)
    is_client = rng.random(people) < share
    return encounters.filter(pl.Series(is_client[encounters.get_column("person").to_numpy()]))


def around_custody(
    rng: np.random.Generator, shelter: pl.DataFrame, custody: pl.DataFrame, parameters: ShelterParameters
) -> pl.DataFrame:
    """Nobody comes to a shelter from a cell, but for nights recorded in error; a booking may end a stay."""
    is_night = pl.col("kind") == "bed_night"
    # A night is slept from ten in the evening, whatever day it is recorded under.
    asleep = shelter.with_columns(
        recorded=pl.col("started"), started=pl.col("started") + pl.when(is_night).then(22 * HOUR).otherwise(0)
    )
    shelter = outside_custody(asleep, custody, rng, parameters.night_while_in_jail).with_columns(
        started="recorded"
    )
    shelter = shelter.drop("recorded").with_row_index("place")
    bookings = custody.select("person", booked="started").sort("booked")
    interrupted = (
        shelter.filter(pl.col("project_type").is_in(["es_entry_exit", "safe_haven", "transitional"]))
        .sort("started")
        .join_asof(
            bookings,
            left_on="started",
            right_on="booked",
            by="person",
            strategy="forward",
            check_sortedness=False,
        )
        .filter(pl.col("booked") < pl.col("ended"))
        .sort("place")
    )
    ended = rng.random(interrupted.height) < parameters.ends_with_booking
    exits = interrupted.filter(pl.Series(ended)).select(
        "place", left=pl.max_horizontal(pl.col("booked") // DAY * DAY, pl.col("started") + DAY)
    )
    return (
        shelter.join(exits, on="place", how="left", maintain_order="left")
        .with_columns(
            ended=pl.coalesce("left", "ended"),
            destination=pl.when(pl.col("left").is_not_null()).then(pl.lit("jail")).otherwise("destination"),
        )
        .drop("place", "left")
    )


def _bed_nights(
    rng: np.random.Generator, weight: Floats, conditions: Conditions, parameters: ShelterParameters
) -> pl.DataFrame:
    chosen = conditions.homeless & (rng.random(len(weight)) < parameters.uses_nights)
    rates = chosen * parameters.stretches_a_year * np.clip(weight, 0.3, 4.0)
    person, begins = event_times(rng, rates, conditions.homeless_from, conditions.homeless_to)
    length = np.ceil(rng.exponential(parameters.stretch_days, len(person))).astype(np.int64)
    stretch = np.repeat(np.arange(len(person)), length)
    night = np.arange(len(stretch)) - np.repeat(np.cumsum(length) - length, length)
    slept = rng.random(len(stretch)) < parameters.nights_used
    day = (begins // DAY)[stretch] + night
    return (
        pl.DataFrame({"person": person[stretch][slept], "started": day[slept] * DAY})
        .unique(["person", "started"], maintain_order=True)
        .with_columns(
            ended=pl.col("started") + DAY, kind=pl.lit("bed_night"), project_type=pl.lit("es_night_by_night")
        )
    )


def _shelter_stays(
    rng: np.random.Generator, weight: Floats, conditions: Conditions, parameters: ShelterParameters
) -> pl.DataFrame:
    chosen = conditions.homeless & (rng.random(len(weight)) < parameters.uses_stays)
    rates = chosen * parameters.stays_a_year * np.clip(weight, 0.3, 4.0)
    person, begins = event_times(rng, rates, conditions.homeless_from, conditions.homeless_to)
    project = draw_codes(rng, parameters.projects, len(person))
    median = project.replace_strict(parameters.stay_days, return_dtype=pl.Float64).to_numpy()
    days = np.maximum(np.floor(log_normal(rng, median, 1.0, len(person))), 1).astype(np.int64)
    return pl.DataFrame(
        {
            "person": person,
            "started": begins // DAY * DAY,
            "ended": (begins // DAY + days) * DAY,
            "kind": ["stay"] * len(person),
            "project_type": project,
            "destination": draw_codes(rng, parameters.destinations, len(person)),
        },
        schema_overrides={"kind": pl.String},
    )


def _contacts(
    rng: np.random.Generator, weight: Floats, conditions: Conditions, parameters: ShelterParameters
) -> pl.DataFrame:
    chosen = conditions.homeless & (rng.random(len(weight)) < parameters.uses_outreach)
    rates = chosen * parameters.contacts_a_year * np.clip(weight, 0.3, 4.0)
    person, times = event_times(rng, rates, conditions.homeless_from, conditions.homeless_to)
    times = at_hours(rng, times, [0, 0, 0, 0, 0, 1, 2, 4, 6, 8, 8, 7, 5, 6, 7, 6, 4, 3, 2, 2, 2, 1, 0, 0])
    times = times // 60 * 60
    return pl.DataFrame(
        {
            "person": person,
            "started": times,
            "ended": times + 60 * rng.integers(5, 46, len(person)),
            "kind": ["outreach_contact"] * len(person),
            "project_type": ["street_outreach"] * len(person),
        },
        schema_overrides={"kind": pl.String, "project_type": pl.String},
    )
