"""Identity rows: the registered one of each client, and further rows for aliases and changed names."""

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.ems import NOBODY
from sample_data.lives.timing import DAY
from sample_data.names import Names
from sample_data.parameters import RecordParameters
from sample_data.people import Flags, Population
from sample_data.records.clerk import as_typed, unidentified
from sample_data.records.columns import PEOPLE_COLUMNS, chosen_from, chosen_rows, nothing
from sample_data.records.fields import (
    write_birth_dates,
    write_race_ethnicity,
    write_sexes,
    write_ssns,
    write_zips,
)
from sample_data.records.names import GivenNames, kin_of


def make_identities(
    rng: np.random.Generator,
    source: str,
    clients: pl.DataFrame,
    population: Population,
    conditions: Conditions,
    names: Names,
    parameters: RecordParameters,
    zips: list[str],
    *,
    has_further_rows: bool,
) -> pl.DataFrame:
    """Identity rows of the clients: the registered one, and further rows for aliases and changed names."""
    person = clients.get_column("person").to_numpy()
    first_seen = clients.get_column("first_seen").to_numpy()
    count = len(person)
    nobody = person == NOBODY
    shown = np.where(nobody, 0, person)
    if parameters.borrowed_identity[source] > 0:
        borrowed = rng.random(count) < parameters.borrowed_identity[source]
        shown = np.where(borrowed, kin_of(population, shown), shown)

    name = GivenNames(rng, source, shown, first_seen, population, names, parameters)
    further: list[tuple[Flags, pl.DataFrame, npt.NDArray[np.int64]]] = []

    changed = population.last_former[shown] >= 0
    both = changed & (rng.random(count) < parameters.old_surname_row[source])
    changed_at = population.changed_name_on[shown].astype(np.int64) * DAY
    further.append((both, name.text(under_former=~name.under_former), np.maximum(first_seen, changed_at)))

    has_alias = rng.random(count) < parameters.alias[source]
    on_second_row = has_alias & has_further_rows & (rng.random(count) < parameters.alias_row)
    alias = name.alias_text(rng)
    further.append((on_second_row, alias, first_seen))
    main = name.text(under_former=name.under_former)
    main = chosen_rows(has_alias & ~on_second_row, alias, main)

    newborn = (source == "hospital") & (first_seen // DAY - population.birth[shown] < 10)
    unnamed = newborn & (rng.random(count) < 0.7)
    further.append((unnamed & (rng.random(count) < 0.6), main, first_seen + 20 * DAY))
    unknown = ~nobody & (rng.random(count) < parameters.no_name[source])
    resolved = unknown & (rng.random(count) < parameters.identified_later[source])
    further.append((resolved, main, first_seen + 2 * DAY))
    sex = write_sexes(rng, source, shown, population, name.other_sex, parameters)
    baby = np.where(sex == "F", "Baby Girl", np.where(rng.random(count) < 0.9, "Baby Boy", "Newborn"))
    main = main.with_columns(
        first_name=chosen_from(unnamed, pl.Series(baby), main.get_column("first_name")),
        middle_name=chosen_from(unnamed, nothing(count), main.get_column("middle_name")),
    )

    rest = pl.DataFrame(
        {
            "birth_date": write_birth_dates(rng, source, population.birth[shown], parameters),
            "sex": pl.Series(sex),
            "race_ethnicity": write_race_ethnicity(rng, source, person, population, parameters),
            "ssn": write_ssns(rng, source, shown, population, parameters),
            "zip": write_zips(rng, source, person, first_seen, population, conditions, parameters, zips),
        }
    )
    place = pl.Series("client_place", np.arange(count))
    rows = [_row(place, main, rest, first_seen, 0)]
    for ordinal, (which, text, known_from) in enumerate(further, start=1):
        row = _row(place, text, rest, known_from, ordinal)
        rows.append(row.filter(pl.Series(which)))
    people = pl.concat(rows)
    people = as_typed(rng, source, people, parameters)
    people = unidentified(rng, source, people, unknown, nobody)
    return people.select("client_place", *PEOPLE_COLUMNS[1:], "ordinal", "known_from")


def _row(
    place: pl.Series, text: pl.DataFrame, rest: pl.DataFrame, known_from: npt.NDArray[np.int64], ordinal: int
) -> pl.DataFrame:
    return pl.concat([place.to_frame(), text, rest], how="horizontal").with_columns(
        ordinal=pl.lit(ordinal, pl.Int8), known_from=pl.Series(known_from)
    )
