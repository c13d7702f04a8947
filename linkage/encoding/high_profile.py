"""People in normal form, encoded under the profile `high`: nothing that stands for one attribute alone.

Tokens are made of several attributes together: a name key and a part of the birth date, or digits of the
Social Security number and something else. Nearly every such combination belongs to one person, so that
counting tokens tells next to nothing. The one exception is the token of the whole Social Security number,
which belongs to one person by itself. Filters carry noise (`linkage.encoding.noise`), and how common a name
is leaves in three steps. Middle names and suffixes do not leave.

The key of a first name is the sound of its nickname root, those of a last name its sounds (of the whole and
of each part), so that what the standard profile finds by sound or nickname still meets.

Still leaks: that two rows agree on a combination, hence the graph of who is near to whom; the step of a
name, sex, birth year and three-digit ZIP code narrow down who a row may be; the filters as
`linkage.encoding.noise` says.
"""

from collections.abc import Callable

import polars as pl

from linkage.encoding.filters import bigram_table, filters_of
from linkage.encoding.keys import Key
from linkage.encoding.name_rarity import first_name_rarity, last_name_rarity
from linkage.encoding.nicknames import root_of
from linkage.encoding.noise import with_noise
from linkage.encoding.people import sounds_of
from linkage.encoding.profiles import HIGH
from linkage.encoding.tokens import token_series

COMBINATIONS: dict[str, tuple[str, ...]] = {
    "first_name_birth_date_token": ("first_name_key", "birth_date_either_way"),
    "last_name_birth_date_tokens": ("last_name_keys", "birth_date_either_way"),
    "names_birth_date_token": ("names_either_way", "birth_date_either_way"),
    "names_birth_year_tokens": ("first_name_key", "last_name_keys", "known_birth_year"),
    "names_birth_year_month_tokens": ("first_name_key", "last_name_keys", "birth_year_month"),
    "names_birth_year_day_tokens": ("first_name_key", "last_name_keys", "birth_year_day"),
    "names_birth_month_day_tokens": ("first_name_key", "last_name_keys", "birth_month_day"),
    "ssn_token": ("ssn",),
    "ssn5_birth_date_token": ("ssn5", "birth_date_either_way"),
    "ssn4_birth_year_token": ("ssn4", "known_birth_year"),
    "ssn4_birth_month_day_token": ("ssn4", "birth_month_day"),
    "ssn4_first_name_token": ("ssn4", "first_name_key"),
    "ssn4_last_name_tokens": ("ssn4", "last_name_keys"),
}
"""What each token is made of, joined by `|`: columns of the normal form and those that `_with_keys` adds. A
token of `last_name_keys`, of which a name may have several, is a list of one token for each."""

_MOST_NAMES_KEPT = 400_000


class HighProfileEncoder:
    """Encodes the people of one run under the keys of the project and of one agency."""

    def __init__(self, *, project_key: Key, agency_key: Key) -> None:
        self._project_key = project_key
        self._client_key = agency_key.derive("client-id")
        self._table_of = {
            name: bigram_table(project_key.derive(f"high/{name}-bits"))
            for name in ("first-name", "last-name")
        }
        self._known_first, self._known_last = self._first_names([]), self._last_names([])

    def encode(self, rows: pl.DataFrame) -> pl.DataFrame:
        """The delivered people columns of rows in normal form (`NormalisedPeople.rows`), row for row."""
        keyed = self.with_parts(rows)
        identities = keyed.get_column("whole_identity").to_list()
        encoded = [
            token_series(rows.get_column("client_id"), self._client_key),
            *(self._tokens(keyed, name, parts) for name, parts in COMBINATIONS.items()),
            *(
                pl.Series(
                    f"{name}_bits",
                    with_noise(
                        keyed.get_column(f"{name}_plain_bits").to_list(),
                        identities,
                        self._project_key.derive(f"high/{name.replace('_', '-')}-noise"),
                    ),
                    dtype=pl.Binary,
                )
                for name in ("first_name", "last_name")
            ),
        ]
        return keyed.with_columns(encoded).select(
            pl.col(column).cast(kind) for column, kind in HIGH.people_columns.items()
        )

    def with_parts(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` in normal form with every column that `COMBINATIONS` names, in the clear; it stays at the agency."""
        return _with_keys(self._with_names(rows))

    def _tokens(self, keyed: pl.DataFrame, name: str, parts: tuple[str, ...]) -> pl.Series:
        """The tokens of one combination, null where a part is missing."""
        key = self._project_key.derive(f"high/{name}")
        if "last_name_keys" not in parts:
            return token_series(keyed.select(pl.concat_str(parts, separator="|")).to_series(), key).alias(
                name
            )
        singly = keyed.select("row_number", *parts).explode("last_name_keys")
        joined = singly.select("row_number", joined=pl.concat_str(parts, separator="|")).drop_nulls()
        tokens = joined.select("row_number", token_series(joined.get_column("joined"), key).alias(name))
        lists = tokens.group_by("row_number", maintain_order=True).agg(name)
        return (
            keyed.select("row_number")
            .join(lists, on="row_number", how="left", maintain_order="left")
            .get_column(name)
        )

    def _with_names(self, rows: pl.DataFrame) -> pl.DataFrame:
        """`rows` with what is made of each name alone: keys, filters without noise, and steps."""
        self._known_first = _extended(self._known_first, rows.get_column("first_name"), self._first_names)
        self._known_last = _extended(self._known_last, rows.get_column("last_name"), self._last_names)
        return rows.join(self._known_first, on="first_name", how="left", maintain_order="left").join(
            self._known_last, on="last_name", how="left", maintain_order="left"
        )

    def _first_names(self, names: list[str]) -> pl.DataFrame:
        whole = [name.replace(" ", "") for name in names]
        roots = [root_of(name) for name in whole]
        return pl.DataFrame(
            {
                "first_name": pl.Series(names, dtype=pl.String),
                "whole_first_name": pl.Series(whole, dtype=pl.String),
                "first_name_key": pl.Series(
                    [(sounds_of(root) or [root])[0] for root in roots], dtype=pl.String
                ),
                "first_name_plain_bits": pl.Series(
                    filters_of(whole, self._table_of["first-name"]), dtype=pl.Binary
                ),
                "first_name_rarity": pl.Series([first_name_rarity(name) for name in whole], dtype=pl.String),
            }
        )

    def _last_names(self, names: list[str]) -> pl.DataFrame:
        whole = [name.replace(" ", "") for name in names]
        return pl.DataFrame(
            {
                "last_name": pl.Series(names, dtype=pl.String),
                "whole_last_name": pl.Series(whole, dtype=pl.String),
                "last_name_keys": pl.Series(
                    [sounds_of(name) or [name.replace(" ", "")] for name in names], dtype=pl.List(pl.String)
                ),
                "last_name_plain_bits": pl.Series(
                    filters_of(whole, self._table_of["last-name"]), dtype=pl.Binary
                ),
                "last_name_rarity": pl.Series([last_name_rarity(name) for name in whole], dtype=pl.String),
            }
        )


def _extended(
    known: pl.DataFrame, names: pl.Series, encode: Callable[[list[str]], pl.DataFrame]
) -> pl.DataFrame:
    """`known` with the names that it lacks; begun anew when it has grown too large for memory."""
    needed = names.drop_nulls().unique()
    if known.height + len(needed) > _MOST_NAMES_KEPT:
        known = known.clear()
    new = needed.to_frame().join(known, on=names.name, how="anti").get_column(names.name)
    return pl.concat([known, encode(new.to_list())]) if len(new) else known


def _with_keys(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with the parts of combinations that several columns make, and whom each row is about."""
    names = ("whole_first_name", "whole_last_name")
    month = pl.col("birth_year_month")
    born = pl.coalesce("birth_date", month)
    known = [pl.col(column).is_not_null() for column in names] + [born.is_not_null()]
    return rows.with_columns(
        birth_date_either_way=pl.when(pl.col("birth_date").is_not_null()).then(
            pl.min_horizontal("birth_date", "birth_date_swapped")
        ),
        # not the delivered birth year, which for the very old moves with the month of delivery
        known_birth_year=pl.coalesce(
            pl.col("birth_date").str.slice(0, 4), month.str.slice(0, 4), pl.col("birth_year").cast(pl.String)
        ),
        names_either_way=pl.when(known[0] & known[1]).then(
            pl.concat_str(pl.min_horizontal(*names), pl.max_horizontal(*names), separator=" ")
        ),
        # one attribute alone is no identity: its noise would be the same for everybody who has it
        whole_identity=pl.concat_str(
            *(pl.col(column).fill_null("") for column in names),
            born.fill_null(""),
            pl.when(pl.sum_horizontal(known) < 2).then(pl.col("client_id")).otherwise(pl.lit("")),
            separator="|",
        ),
    )
