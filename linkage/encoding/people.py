"""People in normal form, encoded: what a delivery says of who somebody is.

Every distinct name and date is encoded once per batch. First and last names share their token, sound and
filter keys, so that exchanged names can be compared; everything else has a key of its own, so that nothing
else can.
"""

from collections.abc import Callable
from functools import cache
from typing import cast

import polars as pl

from linkage.encoding.columns import DELIVERED_PEOPLE_COLUMNS
from linkage.encoding.filters import bigram_table, filters_of
from linkage.encoding.keys import Key
from linkage.encoding.names import naming_parts
from linkage.encoding.nicknames import root_of
from linkage.encoding.tokens import token_lists_of, token_series, tokens_of

_KEY_FIELD_OF = {
    "suffix_token": ("suffix", "suffix"),
    "birth_date_token": ("birth_date", "birth-date"),
    "birth_date_swapped_token": ("birth_date_swapped", "birth-date"),
    "birth_year_month_token": ("birth_year_month", "birth-year-month"),
    "birth_month_day_token": ("birth_month_day", "birth-month-day"),
    "birth_year_day_token": ("birth_year_day", "birth-year-day"),
    "ssn_token": ("ssn", "ssn"),
    "ssn5_token": ("ssn5", "ssn5"),
    "ssn4_token": ("ssn4", "ssn4"),
}
"""For each token made of a value as it is: the normalised column and the field whose key it is made under.
The exchanged date has the key of the date: it is there to be equal to another record's date."""


_MOST_NAMES_KEPT = 400_000  # about 100 MB


class NameEncoder:
    """Everything that is made of names, under the project key, for one run.

    Names that were encoded are kept for the batches to come, up to a number that bounds memory.
    """

    def __init__(self, project_key: Key) -> None:
        self.middle_name_key = project_key.derive("middle-name")
        self.middle_initial_key = project_key.derive("middle-initial")
        self._token_key = project_key.derive("name")
        self._root_key = project_key.derive("first-name-root")
        self._sound_key = project_key.derive("name-sound")
        self._table = bigram_table(project_key.derive("name-bits"))
        self._known = self._encode(pl.Series("name", [], dtype=pl.String))

    def encode_names(
        self, first_names: pl.Series, last_names: pl.Series
    ) -> tuple[pl.DataFrame, pl.DataFrame]:
        """What is made of names in normal form, a row per distinct first name and a row per distinct last
        name.

        The columns are first_name or last_name, to join on, and the delivered columns that begin with it.
        """
        first_names, last_names = (
            each.drop_nulls().unique().alias("name") for each in (first_names, last_names)
        )
        names = pl.concat([first_names, last_names]).unique().to_frame()
        new = names.join(self._known, on="name", how="anti").get_column("name")
        known = pl.concat([self._known, self._encode(new)])
        self._known = known if known.height <= _MOST_NAMES_KEPT else known.clear()
        of_first = known.join(first_names.to_frame(), on="name", how="semi")
        return (
            _prefixed(of_first.with_columns(self._roots(of_first.get_column("name"))), "first_name"),
            _prefixed(known.join(last_names.to_frame(), on="name", how="semi"), "last_name"),
        )

    def _encode(self, names: pl.Series) -> pl.DataFrame:
        """For distinct names: name, token, part_tokens, sound_tokens, bits."""
        whole = names.str.replace_all(" ", "", literal=True)
        letters = whole.to_list()
        token = pl.Series("token", tokens_of(letters, self._token_key), dtype=pl.String)
        # the one part of most names is the whole of it
        compound = names.filter(names.str.contains(" ", literal=True))
        parts = token_lists_of([naming_parts(name) for name in compound], self._token_key)
        return pl.DataFrame(
            {
                "name": names,
                "token": token,
                "part_tokens": token.reshape((-1, 1)).arr.to_list(),
                "sound_tokens": token_lists_of([sounds_of(name) for name in names], self._sound_key),
                "bits": pl.Series(filters_of(letters, self._table), dtype=pl.Binary),
            }
        ).update(pl.DataFrame({"name": compound, "part_tokens": parts}), on="name")

    def _roots(self, names: pl.Series) -> pl.Series:
        roots = map(root_of, names.str.replace_all(" ", "", literal=True).to_list())
        return pl.Series("root_token", tokens_of(roots, self._root_key), dtype=pl.String)


def _prefixed(encoded: pl.DataFrame, prefix: str) -> pl.DataFrame:
    return encoded.rename(lambda column: prefix if column == "name" else f"{prefix}_{column}")


@cache
def _double_metaphone() -> Callable[[str], tuple[str, str]]:
    """Lawrence Philips's double metaphone, imported when first needed: it takes longer than everything
    else."""
    from doublemetaphone import doublemetaphone

    return cast("Callable[[str], tuple[str, str]]", doublemetaphone)


def sounds_of(name: str) -> list[str]:
    """Double metaphone codes of a name in normal form, distinct, primary and alternate of the whole name
    first, then those of each naming part of a compound name. Empty when nothing of the name is sounded.
    """
    spoken = [name] if " " not in name else [name.replace(" ", ""), *naming_parts(name)]
    sound = _double_metaphone()
    return list(dict.fromkeys(code for each in spoken for code in sound(each) if code))


def encode_people(
    rows: pl.DataFrame, *, names: NameEncoder, project_key: Key, agency_key: Key
) -> pl.DataFrame:
    """The people columns of the profile `standard`, made of rows in normal form (`NormalisedPeople.rows`), row
    for row."""
    first_names, last_names = names.encode_names(rows.get_column("first_name"), rows.get_column("last_name"))
    middle = rows.get_column("middle_name").str.replace_all(" ", "", literal=True)
    whole_middle = middle.set(middle.str.len_bytes() < 2, None)
    encoded = [
        token_series(rows.get_column("client_id"), agency_key.derive("client-id")),
        token_series(whole_middle, names.middle_name_key).alias("middle_name_token"),
        token_series(middle.str.slice(0, 1), names.middle_initial_key).alias("middle_initial_token"),
        *(
            token_series(rows.get_column(column), project_key.derive(field)).alias(name)
            for name, (column, field) in _KEY_FIELD_OF.items()
        ),
        *_looked_up(rows.get_column("first_name"), first_names),
        *_looked_up(rows.get_column("last_name"), last_names),
    ]
    return rows.with_columns(encoded).select(
        pl.col(column).cast(kind) for column, kind in DELIVERED_PEOPLE_COLUMNS.items()
    )


def _looked_up(names: pl.Series, encoded: pl.DataFrame) -> list[pl.Series]:
    """The columns made of each of `names`, in their order."""
    joined = names.to_frame().join(encoded, on=names.name, how="left", maintain_order="left")
    return joined.drop(names.name).get_columns()
