"""The template's people columns, and choosing between columns row by row."""

import numpy as np
import polars as pl

from sample_data.people import Flags

PEOPLE_COLUMNS = (
    "client_id", "first_name", "middle_name", "last_name", "name_suffix", "birth_date", "sex",
    "race_ethnicity", "ssn", "zip",
)  # fmt: skip
"""Columns of people.csv in the raw template, in order."""


def chosen_from(which: Flags, one: pl.Series, other: pl.Series) -> pl.Series:
    """`one` where `which`, else `other`."""
    return pl.select(pl.when(pl.Series(which)).then(one).otherwise(other)).to_series()


def chosen_rows(which: Flags, one: pl.DataFrame, other: pl.DataFrame) -> pl.DataFrame:
    """Rows of `one` where `which`, else those of `other`; both have the same columns."""
    return other.with_columns(
        chosen_from(which, one.get_column(column), other.get_column(column)).alias(column)
        for column in other.columns
    )


def nothing(count: int) -> pl.Series:
    """A text column in which nothing is written."""
    return pl.Series([None], dtype=pl.String).new_from_index(0, count)


def share_of(which: Flags) -> float:
    """The share that is true; 0 of none."""
    return float(np.count_nonzero(which)) / max(len(which), 1)
