"""Client and encounter ids as agencies give them: counted up, at times two for a person, or one for two."""

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.people import Population


def clients_of_people(
    rng: np.random.Generator, encounters: pl.DataFrame, duplicates: float
) -> npt.NDArray[np.int64]:
    """A client number per encounter: one per person, two for the share `duplicates` of people.

    Only who comes twice can be registered twice, so those are drawn from; from some encounter on the second
    number is used, and now and then the first again.
    """
    person = encounters.get_column("person").to_numpy()
    order = np.argsort(person, kind="stable")
    _, start, count = np.unique(person[order], return_index=True, return_counts=True)
    eligible = np.flatnonzero(count > 1)
    wanted = min(len(eligible), round(duplicates * len(count)))
    is_twice = np.zeros(len(count), dtype=bool)
    is_twice[rng.permutation(eligible)[:wanted]] = True
    turns = np.where(is_twice, 1 + np.floor(rng.random(len(count)) * (count - 1)), count)
    rank = np.repeat(np.arange(len(count)), count)
    ordinal = np.arange(len(person)) - start[rank]
    is_second = (ordinal >= turns[rank]) & ((rng.random(len(person)) < 0.9) | (ordinal == turns[rank]))
    client = np.empty(len(person), dtype=np.int64)
    client[order] = 2 * rank + is_second
    return client


def make_client_ids(rng: np.random.Generator, source: str, first_seen: pl.Series) -> pl.Series:
    """Ids as the agency's software counts them up: in the order of registration, with gaps."""
    number = pl.Series(np.cumsum(rng.integers(1, 4, len(first_seen))))
    if source == "jail":
        return ("J" + (400_000 + number).cast(pl.String)).alias("client_id")
    if source == "shelter":
        return (20_000 + number).cast(pl.String)
    if source == "ems":
        year = pl.from_epoch(first_seen, time_unit="s").dt.strftime("%y")
        return "E" + year + "-" + number.cast(pl.String).str.zfill(7)
    if source == "crisis_line":
        return "C" + (100_000 + number).cast(pl.String)
    return (3_000_000 + number).cast(pl.String).str.zfill(8)


_ENCOUNTER_PREFIX = {"jail": "B", "shelter": "S", "ems": "R", "hospital": "V", "crisis_line": "K"}


def make_encounter_ids(rng: np.random.Generator, source: str, encounters: pl.DataFrame) -> pl.Series:
    """Ids in the order of the encounters, with gaps."""
    number = pl.Series(10_000 + np.cumsum(rng.integers(1, 3, encounters.height)))
    return _ENCOUNTER_PREFIX[source] + number.cast(pl.String)


def overlaid(
    rng: np.random.Generator, clients: pl.DataFrame, population: Population, rate: float
) -> pl.Series:
    """The client_id each client is really held under: for a share `rate`, that of a person of a like name."""
    person = clients.get_column("person").to_numpy()
    ids = clients.get_column("client_id")
    if rate == 0 or len(person) < 2:
        return ids
    order = np.lexsort((population.first[person], population.last[person]))
    place = np.flatnonzero(rng.random(len(person) // 2) < rate * 2) * 2
    one, other = order[place], order[place + 1]
    distinct = person[one] != person[other]
    held_as = np.arange(len(person))
    # The id that was made first remains.
    held_as[np.maximum(one, other)[distinct]] = np.minimum(one, other)[distinct]
    return ids.gather(held_as)
