"""Names and birth dates that are written plainly, read a column at a time.

Most names are letters alone and most dates `1984-05-03`. Of these there is nothing to weigh, so that polars reads
them at a tenth of the cost of `normalise_last_name` and `normalise_birth_date`, which read everything else and say
what is right: a text that both can read gives the same in both.
"""

from datetime import date
from string import ascii_lowercase

import polars as pl

from linkage.encoding.names import LONGEST_NAME, whole_placeholders

OLDEST_AGE = 120
"""Years. A birth date further back is an error or a default, not a person."""

DEFAULT_BIRTH_DATES = frozenset(
    {"0001-01-01", "1111-11-11", "1753-01-01", "1899-12-30", "1899-12-31", "1900-01-01", "1900-01-02",
     "1901-01-01", "2222-02-22", "9999-09-09", "9999-12-31"}
)  # fmt: skip
"""Dates that software writes where none is known: the zero dates of databases and spreadsheets, and
keyboard rows."""

_LETTERS_ALONE = rf"^[A-Za-z]{{1,{LONGEST_NAME}}}$"
_ONE_LETTER_REPEATED = "^(?:" + "|".join(f"{letter}{{3,}}" for letter in ascii_lowercase) + ")$"
_WHOLE_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"


def plain_names(written: pl.Series) -> pl.DataFrame:
    """Of distinct texts, those that are letters alone and no placeholder: `written`, and `name` in normal
    form."""
    name = pl.col("written").str.to_lowercase()
    is_plain = (
        pl.col("written").str.contains(_LETTERS_ALONE)
        & ~name.is_in(whole_placeholders())
        & ~name.str.contains(_ONE_LETTER_REPEATED)
    )
    return written.to_frame("written").filter(is_plain).with_columns(name=name)


def plain_birth_dates(written: pl.Series, covers_to: date) -> pl.DataFrame:
    """Of distinct texts, those that are a whole date somebody may have been born on: `written`, and what
    `BirthDate` has, as columns of the same names."""
    day_of_birth = pl.col("written").str.to_date("%Y-%m-%d", strict=False)
    dates = (
        written.filter(written.str.contains(_WHOLE_DATE))
        .to_frame("written")
        .filter(
            ~pl.col("written").is_in(sorted(DEFAULT_BIRTH_DATES)),
            (day_of_birth < covers_to).fill_null(value=False),
            pl.col("written").str.slice(0, 4).cast(pl.Int32) >= covers_to.year - OLDEST_AGE,
        )
    )
    texts = dates.select(
        year=pl.col("written").str.slice(0, 4),
        month=pl.col("written").str.slice(5, 2),
        day=pl.col("written").str.slice(8, 2),
    )
    year, month, day = pl.col("year"), pl.col("month"), pl.col("day")
    return dates.hstack(
        texts.select(
            full=pl.concat_str(year, month, day, separator="-"),
            swapped=pl.when(day <= "12", day != month).then(pl.concat_str(year, day, month, separator="-")),
            year_month=pl.concat_str(year, month, separator="-"),
            month_day=pl.concat_str(month, day, separator="-"),
            year_day=pl.concat_str(year, day, separator="--"),
            year=year.cast(pl.Int16),
            is_suspect=(month == "01") & (day == "01"),
            kind=pl.lit(None, pl.String),
        )
    )
