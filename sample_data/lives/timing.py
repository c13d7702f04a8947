"""Time and chance: the simulated window, events at given rates, durations, who is in custody when."""

from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.people import DAYS_A_YEAR, Flags, Population

Seconds = npt.NDArray[np.int64]
Floats = npt.NDArray[np.floating[Any]]

DAY = 86_400
HOUR = 3_600


@dataclass(frozen=True, kw_only=True)
class Window:
    """The simulated time: events from `start` on, of which [first, last) is delivered. Seconds."""

    start: int
    first: int
    last: int

    @property
    def years(self) -> float:
        """Length of the whole simulated time, warm-up included."""
        return (self.last - self.start) / (DAY * DAYS_A_YEAR)


def scaled_to_reach(weight: Floats, heavy: Floats, reach: float, usual_limit: float) -> Floats:
    """Yearly rates proportional to `weight` up to `usual_limit`, plus `heavy`, scaled to a `reach`.

    `reach` is the share of people with a contact in a year: the mean of 1 - exp(-rate) (Poisson), solved for
    the factor by bisection.
    """

    def rates(factor: float) -> Floats:
        return np.asarray(np.minimum(weight * factor, usual_limit) + heavy)

    low, high = 0.0, 1.0
    while np.mean(-np.expm1(-rates(high))) < reach and high < 1e6:
        high *= 2
    for _ in range(30):
        middle = (low + high) / 2
        if np.mean(-np.expm1(-rates(middle))) < reach:
            low = middle
        else:
            high = middle
    return rates(high)


def spread_factors(rng: np.random.Generator, shared: Floats, spread: float, share: float) -> Floats:
    """Log-normal factors of mean 1 and log deviation `spread`, `share` of it common to all systems."""
    own = rng.standard_normal(len(shared))
    mixed = share * shared + np.sqrt(1 - share**2) * own
    return np.asarray(np.exp(spread * mixed - spread**2 / 2))


def event_times(
    rng: np.random.Generator, rates: Floats, begins: Seconds, ends: Seconds
) -> tuple[npt.NDArray[np.int32], Seconds]:
    """Poisson events: person and time, at `rates` a year, uniform between each person's begin and end."""
    years = np.maximum(ends - begins, 0) / (DAY * DAYS_A_YEAR)
    counts = rng.poisson(rates * years)
    person = np.repeat(np.arange(len(rates), dtype=np.int32), counts)
    times = begins[person] + rng.random(len(person)) * (ends - begins)[person]
    return person, times.astype(np.int64)


def at_hours(rng: np.random.Generator, times: Seconds, weights: list[float]) -> Seconds:
    """The same days, at hours drawn by 24 weights."""
    shares = np.array(weights) / sum(weights)
    hour = rng.choice(24, size=len(times), p=shares)
    return times // DAY * DAY + hour * HOUR + rng.integers(0, HOUR, len(times))


@dataclass(frozen=True, kw_only=True)
class Presence:
    """From when to when each person is about, and how much more intense life is then, so that totals stay."""

    begins: Seconds
    ends: Seconds
    intensity: Floats


def make_presence(
    rng: np.random.Generator, population: Population, in_spells: Flags, window: Window
) -> Presence:
    """Everyone from birth on; half of those who live `in_spells` have it all in one spell."""
    people = len(population)
    length = window.last - window.start
    part = np.where(in_spells & (rng.random(people) < 0.5), rng.uniform(0.35, 1.0, people), 1.0)
    begins = window.start + rng.random(people) * (1 - part) * length
    ends = begins + part * length
    born = population.birth.astype(np.int64) * DAY
    return Presence(
        begins=np.maximum(begins, born).astype(np.int64),
        ends=np.maximum(ends, born).astype(np.int64),
        intensity=1 / part,
    )


def draw_codes(rng: np.random.Generator, shares: dict[str, float], count: int) -> pl.Series:
    """Codes drawn by their shares."""
    weights = np.array(list(shares.values()))
    return pl.Series(list(shares)).gather(rng.choice(len(weights), size=count, p=weights / weights.sum()))


def log_normal(rng: np.random.Generator, median: Floats | float, spread: float, count: int) -> Floats:
    """Durations with a median (one, or one each) and a log standard deviation."""
    return np.asarray(median) * np.exp(spread * rng.standard_normal(count))


def without_overlaps(encounters: pl.DataFrame) -> pl.DataFrame:
    """Encounters that begin when no earlier one of the same person is still going on."""
    earlier_end = pl.col("ended").cum_max().shift(1).over("person")
    return (
        encounters.sort("person", "started", "ended")
        .filter((pl.col("started") >= earlier_end).fill_null(value=True))
        .sort("person", "started", "ended")
    )


def outside_custody(
    encounters: pl.DataFrame, custody: pl.DataFrame, rng: np.random.Generator, still: float
) -> pl.DataFrame:
    """Encounters that do not begin in custody, and a share `still` of those that do."""
    ordered = encounters.with_row_index("place").sort("started")
    stays = custody.rename({"started": "held_from", "ended": "held_to"}).sort("held_from")
    joined = ordered.join_asof(
        stays, left_on="started", right_on="held_from", by="person", check_sortedness=False
    ).sort("place")
    held = (joined.get_column("held_to") > joined.get_column("started")).fill_null(value=False).to_numpy()
    kept = ~held | (rng.random(len(held)) < still)
    return encounters.filter(pl.Series(kept))
