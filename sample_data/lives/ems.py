"""Ambulance responses: rides to the ED and elsewhere, transfers, second crews, runs that found nobody."""

import numpy as np
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.diagnoses import ELECTIVE, PSYCHIATRIC, SUBSTANCE, draw_themes, write_diagnoses
from sample_data.lives.timing import DAY, HOUR, Window, event_times, make_presence, outside_custody
from sample_data.parameters import LivesParameters
from sample_data.people import Population

NOBODY = -1
"""Person of an ambulance response that found no patient."""


def make_responses(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    ed_runs: pl.DataFrame,
    hospital: pl.DataFrame,
    jail: pl.DataFrame,
    window: Window,
    lives: LivesParameters,
) -> pl.DataFrame:
    """Every ambulance response, one row per crew; person is `NOBODY` where no patient was found."""
    parameters = lives.ems
    frames = [
        _rides(rng, ed_runs),
        _left_at_scene(rng, population, conditions, jail, window, lives),
        _transfers(rng, hospital, lives),
        _clearances(rng, jail, conditions, lives),
    ]
    runs = pl.concat(frames, how="diagonal").sort("started", "person")
    second = _second_units(rng, runs, lives)
    nobody = _nobody_found(rng, int(runs.height * parameters.no_patient_share), window)
    runs = pl.concat([runs, second, nobody], how="diagonal").sort("started", "person", "ended")
    codes = write_diagnoses(rng, runs.with_columns(pl.col("theme").fill_null(0)), conditions, how_many=0.25)
    return runs.with_columns(
        kind=pl.lit("response"),
        impression_codes=pl.select(
            pl.when(runs.get_column("patient_contact") & (runs.get_column("person") != NOBODY)).then(codes)
        ).to_series(),
    ).drop("theme")


def _rides(rng: np.random.Generator, ed_runs: pl.DataFrame) -> pl.DataFrame:
    count = ed_runs.height
    arrived = ed_runs.get_column("started").to_numpy()
    destination = pl.Series(["hospital_ed", "freestanding_ed"]).gather((rng.random(count) < 0.04).astype(int))
    service = pl.Series(["emergency", "intercept", "mutual_aid"]).gather(
        np.searchsorted([0.97, 0.985], rng.random(count))
    )
    return pl.DataFrame(
        {
            "person": ed_runs.get_column("person"),
            "theme": ed_runs.get_column("theme"),
            "started": arrived - rng.integers(22 * 60, 58 * 60, count),
            "ended": arrived + rng.integers(4 * 60, 25 * 60, count),
            "service_requested": service,
            "patient_contact": np.ones(count, bool),
            "transported": np.ones(count, bool),
            "destination_type": destination,
            "released_to_law_enforcement": np.zeros(count, bool),
        }
    )


def _left_at_scene(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    jail: pl.DataFrame,
    window: Window,
    lives: LivesParameters,
) -> pl.DataFrame:
    """Responses that did not end at an emergency department: refusals, lift assists, other destinations."""
    parameters = lives.ems
    people = len(population)
    age = population.age(window.first // DAY)
    weight = np.interp(age, [0, 18, 60, 75, 90], [0.4, 1.0, 1.2, 2.5, 6.0]) * np.where(
        conditions.any, 3.5, 1.0
    )
    weight *= np.where(conditions.homeless, 2.5, 1.0) * np.exp(0.8 * rng.standard_normal(people) - 0.32)
    rates = weight / weight.mean() * parameters.other_responses_a_year
    about = make_presence(rng, population, conditions.any, window)
    person, started = event_times(rng, rates * about.intensity, about.begins, about.ends)
    runs = outside_custody(
        pl.DataFrame({"person": person, "started": started}),
        jail.select("person", "started", "ended"),
        rng,
        0.01,
    )
    count = runs.height
    person = runs.get_column("person").to_numpy()
    theme = draw_themes(rng, person, conditions)
    elsewhere = rng.random(count) < parameters.taken_elsewhere
    place = np.select(
        [theme == PSYCHIATRIC, theme == SUBSTANCE],
        ["mental_health_facility", "rehab"],
        np.array(["hospital_ed", "clinic", "urgent_care", "home", "other"])[
            np.searchsorted([0.70, 0.79, 0.88, 0.97], rng.random(count))
        ],
    )
    # An elderly person who fell and is helped up is public assistance.
    service = np.where((age[person] > 70) & (rng.random(count) < 0.35), "public_assistance", "emergency")
    service = np.where(rng.random(count) < 0.03, "mobile_integrated_health", service)
    return runs.with_columns(
        theme=pl.Series(theme),
        ended=pl.col("started") + pl.Series(rng.integers(15 * 60, 70 * 60, count)),
        service_requested=pl.Series(service),
        patient_contact=pl.lit(value=True),
        transported=pl.Series(elsewhere),
        destination_type=pl.select(pl.when(pl.Series(elsewhere)).then(pl.Series(place))).to_series(),
        released_to_law_enforcement=pl.Series(~elsewhere & (rng.random(count) < 0.01)),
    )


def _transfers(rng: np.random.Generator, hospital: pl.DataFrame, lives: LivesParameters) -> pl.DataFrame:
    """Interfacility transfers into a stay: never emergency use."""
    stays = hospital.filter(pl.col("kind").is_in(["inpatient", "psychiatric"]) & (pl.col("theme") < ELECTIVE))
    stays = stays.filter(pl.Series(rng.random(stays.height) < lives.ems.interfacility_of_admissions))
    count = stays.height
    arrived = stays.get_column("started").to_numpy() + rng.integers(4 * HOUR, 40 * HOUR, count)
    is_psychiatric = (stays.get_column("kind") == "psychiatric").to_numpy()
    return pl.DataFrame(
        {
            "person": stays.get_column("person"),
            "theme": stays.get_column("theme"),
            "started": arrived - rng.integers(40 * 60, 120 * 60, count),
            "ended": arrived,
            "service_requested": pl.Series(["interfacility_transfer", "other_transport"]).gather(
                (rng.random(count) < 0.2).astype(int)
            ),
            "patient_contact": np.ones(count, bool),
            "transported": np.ones(count, bool),
            "destination_type": pl.Series(["hospital_bed", "mental_health_facility"]).gather(
                is_psychiatric.astype(int)
            ),
            "released_to_law_enforcement": np.zeros(count, bool),
        }
    )


def _clearances(
    rng: np.random.Generator, jail: pl.DataFrame, conditions: Conditions, lives: LivesParameters
) -> pl.DataFrame:
    """A crew looks at somebody the police have arrested and leaves the person to them, before a booking."""
    cleared = jail.filter(pl.Series(rng.random(jail.height) < lives.ems.medical_clearance_of_bookings))
    count = cleared.height
    person = cleared.get_column("person").to_numpy()
    started = cleared.get_column("started").to_numpy() - rng.integers(50 * 60, 150 * 60, count)
    return pl.DataFrame(
        {
            "person": person,
            "theme": draw_themes(rng, person, conditions),
            "started": started,
            "ended": started + rng.integers(12 * 60, 45 * 60, count),
            "service_requested": ["emergency"] * count,
            "patient_contact": np.ones(count, bool),
            "transported": np.zeros(count, bool),
            "destination_type": [None] * count,
            "released_to_law_enforcement": np.ones(count, bool),
        },
        schema_overrides={"service_requested": pl.String, "destination_type": pl.String},
    )


def _second_units(rng: np.random.Generator, runs: pl.DataFrame, lives: LivesParameters) -> pl.DataFrame:
    """The report of another crew on the same incident: minutes apart, without transport."""
    emergency = runs.filter(pl.col("service_requested") == "emergency")
    second = emergency.filter(pl.Series(rng.random(emergency.height) < lives.ems.second_unit))
    count = second.height
    saw = rng.random(count) < lives.ems.second_unit_saw_patient
    started = second.get_column("started").to_numpy() + rng.integers(0, 5 * 60, count)
    return second.with_columns(
        started=pl.Series(started),
        ended=pl.Series(started + rng.integers(9 * 60, 20 * 60, count)),
        patient_contact=pl.Series(saw),
        transported=pl.lit(value=False),
        destination_type=pl.lit(None, pl.String),
        released_to_law_enforcement=pl.lit(value=False),
    )


def _nobody_found(rng: np.random.Generator, count: int, window: Window) -> pl.DataFrame:
    started = window.start + rng.integers(0, window.last - window.start, count)
    return pl.DataFrame(
        {
            "person": np.full(count, NOBODY, dtype=np.int32),
            "started": started,
            "ended": started + rng.integers(3 * 60, 30 * 60, count),
            "service_requested": pl.Series(["emergency", "standby", "mutual_aid"]).gather(
                np.searchsorted([0.85, 0.95], rng.random(count))
            ),
            "patient_contact": np.zeros(count, bool),
            "transported": np.zeros(count, bool),
            "destination_type": [None] * count,
            "released_to_law_enforcement": np.zeros(count, bool),
        },
        schema_overrides={"destination_type": pl.String},
    )
