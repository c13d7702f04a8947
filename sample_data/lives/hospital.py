"""Hospital encounters: ED visits and what follows from them, elective stays, births, outpatient visits."""

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.diagnoses import (
    ELECTIVE,
    NEWBORN,
    OVERDOSE,
    PSYCHIATRIC,
    SUBSTANCE,
    draw_themes,
    write_diagnoses,
)
from sample_data.lives.timing import (
    DAY,
    HOUR,
    Floats,
    Seconds,
    Window,
    at_hours,
    event_times,
    log_normal,
    make_presence,
    outside_custody,
    scaled_to_reach,
    spread_factors,
)
from sample_data.parameters import HospitalParameters, LivesParameters
from sample_data.people import Population


def make_hospital_encounters(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    shared: Floats,
    jail: pl.DataFrame,
    window: Window,
    lives: LivesParameters,
) -> pl.DataFrame:
    """Every hospital encounter, with its `theme` and whether an ambulance brought the person.

    Nobody has an encounter after dying, and nobody walks into the hospital from a cell.
    """
    visits = _ed_visits(rng, population, conditions, shared, jail, window, lives)
    visits, admissions = _dispositions(rng, visits, population, conditions, window, lives)
    others = [
        _elective(rng, population, window, lives),
        _newborns(rng, population, window, lives),
        _outpatient(rng, population, conditions, jail, window, lives),
    ]
    encounters = pl.concat([visits, admissions, *others], how="diagonal")
    death = (
        encounters.filter(pl.col("disposition") == "expired")
        .group_by("person", maintain_order=True)
        .agg(died=pl.col("ended").min())
    )
    encounters = (
        encounters.join(death, on="person", how="left", maintain_order="left")
        .filter(pl.col("died").is_null() | (pl.col("started") < pl.col("died")))
        .drop("died")
    )
    encounters = encounters.with_columns(pl.col("by_ambulance").fill_null(value=False))
    return encounters.with_columns(diagnosis_codes=write_diagnoses(rng, encounters, conditions, how_many=1.0))


def _ed_visits(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    shared: Floats,
    jail: pl.DataFrame,
    window: Window,
    lives: LivesParameters,
) -> pl.DataFrame:
    """person, started, theme, by_ambulance, origin code of every ED visit, none beginning in custody."""
    parameters = lives.hospital
    age = population.age(window.first // DAY)
    weight = np.interp(age, [0, 2, 8, 20, 30, 50, 65, 80, 95], [1.6, 1.5, 0.8, 1.1, 1.1, 0.9, 1.0, 1.6, 2.0])
    weight = weight * np.where(conditions.smi, parameters.times_smi, 1.0)
    weight *= np.where(conditions.sud >= 0, parameters.times_sud, 1.0)
    weight *= np.where(conditions.homeless, parameters.times_homeless, 1.0)
    weight *= spread_factors(rng, shared, parameters.spread, parameters.shared)
    heavy = conditions.any & (rng.random(len(population)) < parameters.heavy)
    heavy_rate = heavy * parameters.heavy_rate * np.exp(0.6 * rng.standard_normal(len(population)))
    rates = scaled_to_reach(weight, heavy_rate, parameters.reach, parameters.usual_limit)
    about = make_presence(rng, population, conditions.any, window)
    person, started = event_times(rng, rates * about.intensity, about.begins, about.ends)
    started = at_hours(rng, started, [3, 2, 2, 2, 2, 2, 2, 3, 4, 5, 6, 6, 6, 6, 5, 5, 5, 5, 6, 6, 5, 5, 4, 3])
    visits = pl.DataFrame({"person": person, "started": started, "from_police": np.zeros(len(person), bool)})
    visits = outside_custody(visits, jail.select("person", "started", "ended"), rng, 0.02)
    cleared = jail.filter(pl.Series(rng.random(jail.height) < lives.ems.ed_before_booking))
    # The visit ends half an hour before the booking; its length is drawn there.
    before = pl.DataFrame(
        {
            "person": cleared.get_column("person"),
            "started": cleared.get_column("started") - rng.integers(2 * HOUR, 7 * HOUR, cleared.height),
            "booked": cleared.get_column("started"),
            "from_police": np.ones(cleared.height, bool),
        }
    )
    released = jail.filter(pl.col("release_reason") == "to_hospital")
    released = released.filter(
        pl.Series(rng.random(released.height) < lives.ems.ed_after_release_to_hospital)
    )
    after = released.select(
        "person",
        started=pl.col("ended") + pl.Series(rng.integers(HOUR // 2, 2 * HOUR, released.height)),
        from_police=pl.lit(value=False),
        after_release=pl.lit(value=True),
    )
    visits = pl.concat([visits, before, after], how="diagonal").with_columns(
        pl.col("after_release").fill_null(value=False)
    )
    visits = visits.sort("person", "started", "from_police")
    person = visits.get_column("person").to_numpy()
    theme = draw_themes(rng, person, conditions)
    likely = np.where(
        conditions.any[person],
        parameters.by_ambulance_condition,
        np.where(age[person] > 70, parameters.by_ambulance_over_70, parameters.by_ambulance),
    )
    likely = np.where(theme == OVERDOSE, 0.75, likely)
    by_police = visits.get_column("from_police") | visits.get_column("after_release")
    by_ambulance = (rng.random(len(person)) < likely) & ~by_police.to_numpy()
    return visits.with_columns(theme=pl.Series(theme), by_ambulance=pl.Series(by_ambulance))


def _dispositions(
    rng: np.random.Generator,
    visits: pl.DataFrame,
    population: Population,
    conditions: Conditions,
    window: Window,
    lives: LivesParameters,
) -> tuple[pl.DataFrame, pl.DataFrame]:
    """ED visits with their ends and dispositions, and the admissions that follow from them."""
    parameters = lives.hospital
    count = visits.height
    person = visits.get_column("person").to_numpy()
    theme = visits.get_column("theme").to_numpy()
    started = visits.get_column("started").to_numpy()
    by_ambulance = visits.get_column("by_ambulance").to_numpy()
    from_police = visits.get_column("from_police").to_numpy()
    age = population.age(window.first // DAY)[person]
    hours = np.clip(log_normal(rng, parameters.hours_median, 0.6, count), 0.4, 60)
    hours = np.where(theme == PSYCHIATRIC, hours * 2.5, hours)
    admit = np.where(age > 65, parameters.admitted_over_65, parameters.admitted)
    admit = np.where(theme == PSYCHIATRIC, 0.30, admit) + 0.05 * by_ambulance
    draw = rng.random(count)
    edges = np.cumsum(
        [
            admit,
            np.full(count, 0.014),  # transferred
            np.where(conditions.sud[person] >= 0, 0.09, 0.025),  # ama
            np.where(theme == PSYCHIATRIC, 0.06, 0.0),  # psychiatric: to another hospital
            np.where(age > 75, 0.05, 0.0),  # nursing facility
            np.where(age > 60, parameters.died * 4, parameters.died / 2),
            np.full(count, 0.008),  # other
        ],
        axis=0,
    )
    codes = np.array(
        [
            "admitted",
            "transferred",
            "ama",
            "psychiatric",
            "nursing_facility",
            "expired",
            "other",
            "home",
            "law_enforcement",
        ]
    )
    place = np.select([draw < edge for edge in edges], list(range(7)), 7)
    place = np.where(from_police, 8, place)
    booked = visits.get_column("booked").fill_null(0).to_numpy()
    ended = np.where(from_police, booked - 1800, started + (hours * HOUR).astype(np.int64))
    origin = np.where(
        from_police | visits.get_column("after_release").to_numpy(),
        "law_enforcement",
        np.where(
            by_ambulance,
            "ambulance",
            np.array(["home", "clinic", "transfer", "other"])[
                np.searchsorted([0.90, 0.96, 0.975], rng.random(count))
            ],
        ),
    )
    visits = visits.select("person", "started", "theme", "by_ambulance").with_columns(
        ended=pl.Series(ended),
        kind=pl.lit("ed"),
        disposition=pl.Series(codes).gather(place),
        admit_origin=pl.Series(origin),
    )
    admitted = place == 0
    return visits, _admissions(
        rng, person[admitted], ended[admitted], theme[admitted], origin[admitted], parameters
    )


def _admissions(
    rng: np.random.Generator,
    person: npt.NDArray[np.int32],
    left_ed: Seconds,
    theme: npt.NDArray[np.int8],
    origin: npt.NDArray[np.str_],
    parameters: HospitalParameters,
) -> pl.DataFrame:
    """Inpatient, observation and psychiatric stays, beginning within half an hour of leaving the ED."""
    count = len(person)
    draw = rng.random(count)
    is_psychiatric = (theme == PSYCHIATRIC) & (draw < 0.78)
    is_observation = ~is_psychiatric & (draw < 0.22)
    kind = np.where(is_psychiatric, "psychiatric", np.where(is_observation, "observation", "inpatient"))
    median = np.select(
        [is_psychiatric, is_observation], [parameters.psychiatric_days, 0.9], parameters.inpatient_days
    )
    days = np.clip(log_normal(rng, median, 0.75, count), 0.2, 120)
    started = left_ed + rng.integers(0, 1800, count)
    codes = np.array(
        [
            "home",
            "nursing_facility",
            "transferred",
            "ama",
            "psychiatric",
            "law_enforcement",
            "expired",
            "other",
        ]
    )
    place = np.searchsorted([0.76, 0.87, 0.90, 0.945, 0.957, 0.963, 0.985], rng.random(count))
    return pl.DataFrame(
        {
            "person": person,
            "started": started,
            "ended": started + (days * DAY).astype(np.int64),
            "kind": kind,
            "theme": theme,
            "disposition": codes[place],
            "admit_origin": origin,
        },
        schema_overrides={"kind": pl.String, "disposition": pl.String, "admit_origin": pl.String},
    )


def _elective(
    rng: np.random.Generator, population: Population, window: Window, lives: LivesParameters
) -> pl.DataFrame:
    age = population.age(window.first // DAY)
    rates = lives.hospital.elective_admissions * np.interp(
        age, [0, 18, 30, 60, 80], [0.3, 0.6, 1.0, 1.6, 1.8]
    )
    born = np.maximum(population.birth.astype(np.int64) * DAY, window.start)
    person, times = event_times(rng, rates, born, np.full(len(population), window.last))
    started = times // DAY * DAY + rng.integers(6 * HOUR, 14 * HOUR, len(person))
    days = np.clip(log_normal(rng, 2.4, 0.6, len(person)), 0.4, 60)
    return pl.DataFrame(
        {
            "person": person,
            "started": started,
            "ended": started + (days * DAY).astype(np.int64),
            "kind": ["inpatient"] * len(person),
            "theme": np.full(len(person), ELECTIVE, dtype=np.int8),
            "disposition": pl.Series(["home", "nursing_facility"]).gather(
                (rng.random(len(person)) < 0.06).astype(int)
            ),
            "admit_origin": pl.Series(["home", "clinic", "transfer"]).gather(
                np.searchsorted([0.55, 0.9], rng.random(len(person)))
            ),
        },
        schema_overrides={"kind": pl.String},
    )


def _newborns(
    rng: np.random.Generator, population: Population, window: Window, lives: LivesParameters
) -> pl.DataFrame:
    born = population.birth.astype(np.int64) * DAY
    chosen = (
        (born >= window.start) & (born < window.last) & (rng.random(len(population)) < lives.hospital.births)
    )
    person = np.flatnonzero(chosen).astype(np.int32)
    started = born[person] + rng.integers(0, DAY, len(person))
    return pl.DataFrame(
        {
            "person": person,
            "started": started,
            "ended": started + rng.integers(DAY, 4 * DAY, len(person)),
            "kind": ["inpatient"] * len(person),
            "theme": np.full(len(person), NEWBORN, dtype=np.int8),
            "disposition": ["home"] * len(person),
            "admit_origin": ["other"] * len(person),
        },
        schema_overrides={"kind": pl.String, "disposition": pl.String, "admit_origin": pl.String},
    )


def _outpatient(
    rng: np.random.Generator,
    population: Population,
    conditions: Conditions,
    jail: pl.DataFrame,
    window: Window,
    lives: LivesParameters,
) -> pl.DataFrame:
    parameters = lives.hospital
    people = len(population)
    share = np.where(
        conditions.smi,
        parameters.in_bh_care_smi,
        np.where(conditions.sud >= 0, parameters.in_bh_care_sud, parameters.in_bh_care_other),
    )
    in_care = (rng.random(people) < share) & (population.age(window.first // DAY) >= 12)
    rates = in_care * parameters.bh_visits_a_year * np.exp(0.5 * rng.standard_normal(people))
    about = make_presence(rng, population, conditions.any, window)
    person, times = event_times(rng, rates * about.intensity, about.begins, about.ends)
    weekday = (times // DAY + 3) % 7  # 1970-01-01 was a Thursday; 0 is Monday
    started = (times // DAY - np.maximum(weekday - 4, 0)) * DAY + 1800 * rng.integers(16, 34, len(person))
    visits = pl.DataFrame({"person": person, "started": started})
    visits = visits.filter(pl.col("started") >= window.start).unique(
        ["person", "started"], maintain_order=True
    )
    visits = outside_custody(visits, jail.select("person", "started", "ended"), rng, 0.0)
    has_smi = conditions.smi[visits.get_column("person").to_numpy()]
    has_sud = conditions.sud[visits.get_column("person").to_numpy()] >= 0
    theme = np.where(has_sud & (~has_smi | (rng.random(visits.height) < 0.25)), SUBSTANCE, PSYCHIATRIC)
    return visits.with_columns(
        ended=pl.col("started") + 3000,
        kind=pl.lit("outpatient_bh"),
        theme=pl.Series(theme.astype(np.int8)),
        disposition=pl.lit("home"),
        admit_origin=pl.lit("home"),
    )
