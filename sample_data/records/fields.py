"""Birth date, sex, race and ethnicity, SSN and zip as an agency records them."""

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.ems import NOBODY
from sample_data.lives.timing import DAY
from sample_data.parameters import RecordParameters
from sample_data.people import FEMALE, MALE, SEXES, Flags, Population, X
from sample_data.records.columns import chosen_from, nothing, share_of


def write_birth_dates(
    rng: np.random.Generator, source: str, birth: npt.NDArray[np.int32], parameters: RecordParameters
) -> pl.Series:
    """ISO dates, some absent, default, partial, with day and month swapped, or one digit off."""
    count = len(birth)
    day = birth.astype("datetime64[D]")
    month_start = day.astype("datetime64[M]")
    y = month_start.astype("datetime64[Y]").astype(np.int64) + 1970
    m = month_start.astype(np.int64) % 12 + 1
    d = (day - month_start.astype("datetime64[D]")).astype(np.int64) + 1
    edges = np.cumsum(
        [
            parameters.no_birth_date[source],
            parameters.default_birth_date[source],
            parameters.swapped_birth_date[source] / max(share_of((d <= 12) & (d != m)), 0.01),
            parameters.birth_digit_error[source],
        ]
    )
    draw = rng.random(count)
    absent = draw < edges[0]
    default = ~absent & (draw < edges[1])
    swap = (draw >= edges[1]) & (draw < edges[2]) & (d <= 12) & (d != m)
    digit = (draw >= edges[2]) & (draw < edges[3])
    m, d = np.where(swap, d, m), np.where(swap, m, d)
    kind = rng.integers(0, 4, count)
    sign = rng.choice([-1, 1], count)
    y = np.where(digit & (kind == 0), y + sign, y)
    y = np.where(digit & (kind == 1), y - 10, y)
    m = np.where(
        digit & (kind == 2), np.where(m + sign == 0, 2, np.where(m + sign == 13, 12 - 1, m + sign)), m
    )
    d = np.where(digit & (kind == 3), np.where(d >= 19, d - 10, np.where(d >= 9, d + 10, d + 1)), d)
    # No date that does not exist.
    d = np.minimum(d, np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31])[m - 1])
    # 1 January: of the right year for most, of a guessed one for some.
    guess = np.where(rng.random(count) < 0.35, rng.integers(-3, 4, count), 0)
    y = np.where(default, y + guess, y)
    partial = default & (rng.random(count) < parameters.partial_birth_date)
    with_month = partial & (rng.random(count) < 0.4)
    m = np.where(default & ~partial, 1, m)
    d = np.where(default & ~partial, 1, d)
    year, month, days = (
        pl.Series(values).cast(pl.String).str.zfill(width) for values, width in ((y, 4), (m, 2), (d, 2))
    )
    text = chosen_from(
        partial, chosen_from(with_month, year + "-" + month, year), year + "-" + month + "-" + days
    )
    return chosen_from(absent, nothing(count), text)


def write_sexes(
    rng: np.random.Generator,
    source: str,
    person: npt.NDArray[np.int32],
    population: Population,
    other_sex: Flags,
    parameters: RecordParameters,
) -> npt.NDArray[np.str_]:
    """M, F, X or U; the other one where `other_sex`, or in error."""
    count = len(person)
    sex = population.sex[person].copy()
    # Where the form has only two boxes, X becomes either.
    no_x = (sex == X) & (rng.random(count) < (0.8 if source == "jail" else 0.35))
    sex = np.where(no_x, rng.integers(0, 2, count), sex)
    turned = (sex != X) & (other_sex ^ (rng.random(count) < parameters.wrong_sex[source]))
    sex = np.where(turned, np.where(sex == MALE, FEMALE, MALE), sex)
    text = np.array(SEXES)[sex]
    return np.where(rng.random(count) < parameters.unknown_sex[source], "U", text)


def write_race_ethnicity(
    rng: np.random.Generator,
    source: str,
    person: npt.NDArray[np.int32],
    population: Population,
    parameters: RecordParameters,
) -> pl.Series:
    """Semicolon lists of OMB categories, as observed or asked: some absent, some reduced to one category."""
    count = len(person)
    races = pl.Series(population.races)
    listed = races.str.split(";")
    whole, first = races.to_list(), listed.list.first().to_list()
    as_white = ["white" if race == "hispanic_latino" else race for race in first]
    vocabulary = pl.Series("race_ethnicity", [*whole, *first, *as_white])
    one = rng.random(count) < parameters.one_race_only[source]
    white = rng.random(count) < parameters.hispanic_as_white[source]
    place = np.where(person == NOBODY, 0, population.race[np.where(person == NOBODY, 0, person)])
    is_hispanic = np.array(["hispanic" in race for race in first])[place]
    text = vocabulary.gather(place + len(whole) * np.where(is_hispanic & white, 2, np.where(one, 1, 0)))
    return chosen_from(
        (rng.random(count) < parameters.no_race[source]) | (person == NOBODY), nothing(count), text
    )


_INVALID_SSNS = ("000000000", "999999999", "123456789", "111111111", "078051120", "987654321", "000121234")


def write_ssns(
    rng: np.random.Generator,
    source: str,
    person: npt.NDArray[np.int32],
    population: Population,
    parameters: RecordParameters,
) -> pl.Series:
    """Nine digits, `XXXXX1234`, something invalid, or nothing."""
    count = len(person)
    shared = rng.random(count) < parameters.shared_ssn
    owner = np.where(shared, population.relative[person], person)
    number = population.ssn[owner]
    # A digit off: 1 to 8 more in one of the last six places, without carrying.
    off = rng.random(count) < parameters.ssn_digit_error
    power = 10 ** rng.integers(0, 6, count)
    digit = number // power % 10
    changed = number + ((digit + rng.integers(1, 9, count)) % 10 - digit) * power
    number = np.where(off & (number >= 0), changed, number)
    # People without a number are part of those whose number is absent, not on top of them.
    lacks = share_of(number < 0)
    absent_rate = max(parameters.no_ssn[source] - parameters.invalid_ssn - lacks, 0.0) / max(1 - lacks, 0.01)
    draw = rng.random(count)
    absent = (number < 0) | (draw < absent_rate)
    last_four = ~absent & (
        rng.random(count) < parameters.last_four_only[source] / max(1 - parameters.no_ssn[source], 0.01)
    )
    invalid = rng.random(count) < parameters.invalid_ssn
    full = pl.Series(np.maximum(number, 0)).cast(pl.String).str.zfill(9)
    itin = pl.Series(900_000_000 + rng.integers(0, 99_999_999, count)).cast(pl.String)
    bad = pl.Series(_INVALID_SSNS).gather(rng.integers(0, len(_INVALID_SSNS), count))
    text = chosen_from(last_four, "XXXXX" + full.str.slice(5), full)
    text = chosen_from(absent, nothing(count), text)
    return chosen_from(invalid, chosen_from(rng.random(count) < 0.4, itin, bad), text)


def write_zips(
    rng: np.random.Generator,
    source: str,
    person: npt.NDArray[np.int32],
    when: npt.NDArray[np.int64],
    population: Population,
    conditions: Conditions,
    parameters: RecordParameters,
    zips: list[str],
) -> pl.Series:
    """The zip at the time of registration; often none for people without a home."""
    count = len(person)
    someone = np.where(person == NOBODY, 0, person)
    moved = when // DAY >= population.moved_on[someone]
    place = np.where(moved, population.zip_after[someone], population.zip_before[someone])
    homeless = conditions.homeless[someone] & (conditions.homeless_from[someone] <= when)
    absent = rng.random(count) < np.where(
        homeless, parameters.no_zip_homeless[source], parameters.no_zip[source]
    )
    return chosen_from(absent | (person == NOBODY), nothing(count), pl.Series(zips).gather(place))
