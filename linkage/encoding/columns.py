"""The columns of a delivery: the schema that `encode` writes, `check` enforces and the county loads.

Changing a name, a type or the order here is a new contract version.
"""

from datetime import date, timedelta

import polars as pl
from polars.datatypes import DataType, DataTypeClass

from linkage.source import FLAGS, ColumnType, Source

CONTRACT_VERSION = 1
ENCODING_VERSION = 1

PolarsType = DataType | DataTypeClass

PEOPLE_FILE = "people.parquet"
ENCOUNTERS_FILE = "encounters.parquet"
MANIFEST_FILE = "manifest.json"
RETRACTED_FILE = "retracted.csv"
"""Only in deliveries that take something back (retracted.py)."""

TOKEN_COLUMNS = (
    "first_name_token",
    "last_name_token",
    "first_name_root_token",
    "suffix_token",
    "middle_name_token",
    "middle_initial_token",
    "birth_date_token",
    "birth_date_swapped_token",
    "birth_year_month_token",
    "birth_month_day_token",
    "birth_year_day_token",
    "ssn_token",
    "ssn5_token",
    "ssn4_token",
)
"""People columns that hold one token: 32 hexadecimal digits, null when the value is missing or a
placeholder."""

TOKEN_LIST_COLUMNS = ("last_name_part_tokens", "first_name_sound_tokens", "last_name_sound_tokens")
"""People columns that hold a list of tokens; null, never empty, when there is no value."""

FILTER_COLUMNS = ("first_name_bits", "last_name_bits")
"""People columns that hold a Bloom filter of 64 bytes."""

SEXES = ("M", "F", "X", "U")
SSN_QUALITIES = ("full", "last4", "invalid", "none")
RACES_AND_ETHNICITIES = (
    "american_indian_alaska_native",
    "asian",
    "black_african_american",
    "hispanic_latino",
    "middle_eastern_north_african",
    "native_hawaiian_pacific_islander",
    "white",
)
"""The categories of OMB's 2024 standard (Statistical Policy Directive 15)."""

OLDEST_AGE_SHOWN = 90
"""Years. A birth year that would tell of a greater age is moved up to this one (45 CFR
164.514(b)(2)(i)(C))."""


def birth_years_shown(covers_to: date) -> tuple[int, int]:
    """First and last birth year that a delivery up to and not including `covers_to` may show.

    The first stands for itself and every year before it (see `OLDEST_AGE_SHOWN`).
    """
    last = (covers_to - timedelta(days=1)).year
    return last - OLDEST_AGE_SHOWN, last


DELIVERED_PEOPLE_COLUMNS: dict[str, PolarsType] = {
    "client_id": pl.String,
    "first_name_token": pl.String,
    "last_name_token": pl.String,
    "last_name_part_tokens": pl.List(pl.String),
    "first_name_root_token": pl.String,
    "first_name_sound_tokens": pl.List(pl.String),
    "last_name_sound_tokens": pl.List(pl.String),
    "first_name_bits": pl.Binary,
    "last_name_bits": pl.Binary,
    "suffix_token": pl.String,
    "middle_name_token": pl.String,
    "middle_initial_token": pl.String,
    "birth_date_token": pl.String,
    "birth_date_swapped_token": pl.String,
    "birth_year_month_token": pl.String,
    "birth_month_day_token": pl.String,
    "birth_year_day_token": pl.String,
    "ssn_token": pl.String,
    "ssn5_token": pl.String,
    "ssn4_token": pl.String,
    "birth_year": pl.Int16,
    "sex": pl.String,
    "zip3": pl.String,
    "race_ethnicity": pl.String,
    "birth_date_suspect": pl.Boolean,
    "name_placeholder": pl.Boolean,
    "ssn_quality": pl.String,
}
"""Columns of people.parquet under the profile `standard` and their types, in order. Profiles are declared in
`linkage.encoding.profiles`."""

_TYPE_OF: dict[ColumnType, PolarsType] = {
    "code": pl.String,
    "boolean": pl.Boolean,
    "timestamp": pl.Datetime("us"),
}


def delivered_encounter_columns(source: Source) -> dict[str, PolarsType]:
    """Columns of encounters.parquet of one source and their types, in order.

    Timestamps are local and without a zone, to the microsecond. The flags are null where the agency cannot
    say; `part2` is never null.
    """
    return {
        "encounter_id": pl.String,
        "client_id": pl.String,
        "kind": pl.String,
        "started_at": pl.Datetime("us"),
        "ended_at": pl.Datetime("us"),
        **dict.fromkeys(FLAGS, pl.Boolean),
        "part2": pl.Boolean,
        **{column.name: _TYPE_OF[column.type] for column in source.delivered_columns},
    }


RAW_PEOPLE_COLUMNS = (
    "client_id",
    "first_name",
    "middle_name",
    "last_name",
    "name_suffix",
    "birth_date",
    "sex",
    "race_ethnicity",
    "ssn",
    "zip",
)
"""Columns of the raw template's people file."""

_RAW_ENCOUNTER_COLUMNS = ("encounter_id", "client_id", "kind", "started_at", "ended_at")


def raw_encounter_columns(source: Source) -> tuple[str, ...]:
    """Columns of the raw template's encounters file for one source."""
    return _RAW_ENCOUNTER_COLUMNS + tuple(column.name for column in source.columns)
