"""Encoding profiles: which people columns a delivery has, and so how much it lets be seen and compared.

A project uses one profile. `standard` has a token for every attribute. `high` has only tokens of several
attributes together, filters with noise in them, and how common a name is in three steps instead of its
frequency (`linkage.encoding.high_profile` says what that prevents and what it does not). What is declared
here is all that the encoder, the contract and the county's tables know of a profile's columns.
"""

from collections.abc import Mapping
from dataclasses import dataclass

import polars as pl

from linkage.encoding.columns import DELIVERED_PEOPLE_COLUMNS, PolarsType
from linkage.errors import UsageError


@dataclass(frozen=True, kw_only=True)
class Profile:
    """One profile: `people_columns` are the columns of people.parquet and their types, in order;
    `people_order` the columns by which its rows are sorted; `codes` the values of the columns that the
    profile alone has and that are neither token nor filter."""

    name: str
    says: str
    people_columns: Mapping[str, PolarsType]
    people_order: tuple[str, ...]
    codes: Mapping[str, tuple[str, ...]]

    @property
    def token_columns(self) -> tuple[str, ...]:
        """Columns that hold one token: 32 hexadecimal digits, null when a value it is made of is missing."""
        return tuple(column for column in self.people_columns if column.endswith("_token"))

    @property
    def token_list_columns(self) -> tuple[str, ...]:
        """Columns that hold a list of tokens; null, never empty, when there is no value."""
        return tuple(column for column in self.people_columns if column.endswith("_tokens"))

    @property
    def filter_columns(self) -> tuple[str, ...]:
        """Columns that hold a Bloom filter of 64 bytes."""
        return tuple(column for column in self.people_columns if column.endswith("_bits"))


RARITIES = ("common", "fairly_common", "rare")
"""How common a name is, in three steps (`linkage.encoding.name_rarity`)."""

STANDARD = Profile(
    name="standard",
    says="a token for every attribute, filters without noise",
    people_columns=DELIVERED_PEOPLE_COLUMNS,
    people_order=(
        "client_id",
        "first_name_token",
        "last_name_token",
        "birth_date_token",
        "ssn_token",
        "zip3",
    ),
    codes={},
)

HIGH = Profile(
    name="high",
    says="tokens of several attributes together only, filters with noise",
    people_columns={
        "client_id": pl.String,
        "first_name_bits": pl.Binary,
        "last_name_bits": pl.Binary,
        "first_name_rarity": pl.String,
        "last_name_rarity": pl.String,
        "first_name_birth_date_token": pl.String,
        "last_name_birth_date_tokens": pl.List(pl.String),
        "names_birth_date_token": pl.String,
        "names_birth_year_tokens": pl.List(pl.String),
        "names_birth_year_month_tokens": pl.List(pl.String),
        "names_birth_year_day_tokens": pl.List(pl.String),
        "names_birth_month_day_tokens": pl.List(pl.String),
        "ssn_token": pl.String,
        "ssn5_birth_date_token": pl.String,
        "ssn4_birth_year_token": pl.String,
        "ssn4_birth_month_day_token": pl.String,
        "ssn4_first_name_token": pl.String,
        "ssn4_last_name_tokens": pl.List(pl.String),
        "birth_year": pl.Int16,
        "sex": pl.String,
        "zip3": pl.String,
        "race_ethnicity": pl.String,
        "birth_date_suspect": pl.Boolean,
        "name_placeholder": pl.Boolean,
        "ssn_quality": pl.String,
    },
    people_order=(
        "client_id",
        "first_name_bits",
        "last_name_bits",
        "names_birth_date_token",
        "ssn_token",
        "zip3",
    ),
    codes={"first_name_rarity": RARITIES, "last_name_rarity": RARITIES},
)

PROFILES = {profile.name: profile for profile in (STANDARD, HIGH)}


def profile_named(name: str) -> Profile:
    """The profile of that name; raises UsageError when there is none."""
    if name not in PROFILES:
        raise UsageError(f"There is no profile of that name; the profiles are {', '.join(PROFILES)}.")
    return PROFILES[name]
