"""A batch of raw people rows, brought to the normal form that tokens are made from.

The normalised frame is identity in the clear: it lives in memory between reading and encoding and is never
written. Text is worked on once per distinct value. Whatever cannot be kept becomes null and is counted by
column and kind; where an agency could mend it (an impossible date, an unknown sex code), the row is listed
as well, without its value.

These rules are part of encoding version 1 (see `names`).
"""

import re
import tomllib
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import date
from functools import cache, lru_cache
from importlib import resources
from typing import NamedTuple

import polars as pl

from linkage.encoding.columns import RACES_AND_ETHNICITIES, SEXES, PolarsType, birth_years_shown
from linkage.encoding.names import (
    names_beside_placeholder,
    normalise_first_name,
    normalise_last_name,
    normalise_middle_name,
    normalise_suffix,
    placeholder_kinds,
)
from linkage.encoding.plain_texts import DEFAULT_BIRTH_DATES, OLDEST_AGE, plain_birth_dates, plain_names

_DATE = re.compile(r"([0-9]{4})(?:-([0-9]{1,2})(?:-([0-9]{1,2}))?)?(?:[T ][0-9:.]*)?")


class BirthDate(NamedTuple):
    """What a recorded birth date gives: ISO texts for tokens, the year, and doubt.

    `swapped` is the date with day and month exchanged, where that is another possible date. `kind` says why
    nothing was kept when something was written: `default`, `impossible`, `future`, `too_old`, `unreadable`.
    """

    full: str | None = None
    swapped: str | None = None
    year_month: str | None = None
    month_day: str | None = None
    year_day: str | None = None
    year: int | None = None
    is_suspect: bool = False
    kind: str | None = None


def normalise_birth_date(text: str, *, covers_to: date) -> BirthDate:
    """Read a birth date as ISO `1984-05-03`, `1984-05` or `1984`, as of the end of the delivery's window.

    A month or day of 00 is one that is not known. 1 January is kept and suspect: it is a real birthday and a
    common default. Other default dates, impossible and future dates and ages above `OLDEST_AGE` give nothing.
    """
    written = text.strip()
    if not written:
        return BirthDate()
    found = _DATE.fullmatch(written)
    if found is None:
        return BirthDate(kind="unreadable")
    year, month, day = (int(part) if part else 0 for part in found.groups())
    if f"{year:04}-{month:02}-{day:02}" in DEFAULT_BIRTH_DATES:
        return BirthDate(kind="default")
    try:
        earliest = date(year, month or 1, day if month and day else 1)
    except ValueError:
        return BirthDate(kind="impossible")
    if earliest >= covers_to:
        return BirthDate(kind="future")
    if year < covers_to.year - OLDEST_AGE:
        return BirthDate(kind="too_old")
    if not month:
        return BirthDate(year=year)
    if not day:
        return BirthDate(year=year, year_month=f"{year:04}-{month:02}")
    return BirthDate(
        full=f"{year:04}-{month:02}-{day:02}",
        swapped=f"{year:04}-{day:02}-{month:02}" if day <= 12 and day != month else None,
        year_month=f"{year:04}-{month:02}",
        month_day=f"{month:02}-{day:02}",
        year_day=f"{year:04}--{day:02}",
        year=year,
        is_suspect=month == 1 and day == 1,
    )


def normalise_races(text: str) -> tuple[str | None, str | None]:
    """The known categories of a semicolon list, sorted and joined again, and `unknown_code` if one was not
    known."""
    written = {part.strip().casefold() for part in text.split(";")} - {""}
    known = written.intersection(RACES_AND_ETHNICITIES)
    return ";".join(sorted(known)) or None, "unknown_code" if written - known else None


def normalise_sex(text: str) -> tuple[str | None, str | None]:
    """M, F, X or U, in either case; `unknown_code` for anything else."""
    code = text.strip().upper()
    return (code, None) if code in SEXES else (None, "unknown_code")


_ZIP = re.compile(r"([0-9]{3})[0-9]{2}(?:-?[0-9]{4})?")


def normalise_zip(text: str) -> tuple[str | None, str | None]:
    """The three-digit area of a five-digit ZIP code or a ZIP+4, 000 for a restricted area; else what was
    wrong."""
    found = _ZIP.fullmatch(text.strip())
    if found is None:
        return None, "unreadable"
    area = found[1]
    if area == "000" or text.startswith("99999"):
        return None, "default"
    return ("000" if area in restricted_zip3() else area), None


@cache
def restricted_zip3() -> frozenset[str]:
    """Three-digit ZIP areas with 20,000 people or fewer, delivered as 000 (45 CFR 164.514(b)(2)(i)(B))."""
    file = resources.files("linkage") / "code_lists" / "restricted_zip3.toml"
    lists = tomllib.loads(file.read_text(encoding="utf-8"))["list"]
    return frozenset(area for each in lists.values() for area in each["zip3"])


@dataclass(frozen=True, kw_only=True)
class NormalisedPeople:
    """A batch in normal form.

    `rows` has, beside row_number and client_id: first_name, last_name and middle_name (normal form),
    suffix, full, swapped, year_month, month_day, year_day (birth date texts), birth_year,
    birth_date_suspect, ssn, ssn5, ssn4, ssn_quality, sex, zip3, race_ethnicity, name_placeholder. `nulled`
    has column, kind, rows. `problems` has row_number, column, rule.
    """

    rows: pl.DataFrame
    nulled: pl.DataFrame
    problems: pl.DataFrame


_MENDABLE = frozenset({"impossible", "future", "unreadable", "unknown_code"})
"""Kinds that an agency could mend at the source; a placeholder is nobody's error."""


_MOST_READINGS_KEPT = 200_000  # per column; some tens of megabytes

_KIND = "__kind"
_WRITTEN = "__written"


class PeopleNormaliser:
    """Brings one run's raw people to normal form, remembering how distinct texts read for the batches to
    come."""

    def __init__(self, covers_to: date) -> None:
        self._first_birth_year, _ = birth_years_shown(covers_to)
        readings: dict[str, Callable[[str], Sequence[object]]] = {
            "first_name": normalise_first_name,
            "middle_name": normalise_middle_name,
            "last_name": normalise_last_name,
            "name_suffix": lambda text: (normalise_suffix(text),),
            "birth_date": lambda text: normalise_birth_date(text, covers_to=covers_to),
            "sex": normalise_sex,
            "zip": normalise_zip,
            "race_ethnicity": normalise_races,
        }
        remembered = lru_cache(maxsize=_MOST_READINGS_KEPT)
        self._readings = {column: remembered(reading) for column, reading in readings.items()}
        self._plain_readings: dict[str, Callable[[pl.Series], pl.DataFrame]] = {
            "first_name": plain_names,
            "middle_name": plain_names,
            "last_name": plain_names,
            "birth_date": lambda written: plain_birth_dates(written, covers_to),
        }

    def normalise(self, raw: pl.DataFrame) -> NormalisedPeople:
        """Normalise raw rows (text columns of the template and `row_number`), row for row."""
        rows = raw
        for column, gives in _GIVES.items():
            rows = _looked_up(rows, column, self._table(rows.get_column(column), gives))
        rows = _with_ssn(_with_joint_names(rows)).with_columns(
            pl.col("birth_year").clip(lower_bound=self._first_birth_year),
            pl.col("birth_date_suspect").fill_null(value=False),
        )
        kinds = [column for column in rows.columns if column.endswith(_KIND)]
        lost = pl.concat(
            rows.lazy()
            .filter(pl.col(column).is_not_null())
            .select("row_number", column=pl.lit(column.removesuffix(_KIND)), kind=pl.col(column))
            for column in kinds
        ).collect()
        return NormalisedPeople(
            rows=rows.drop(kinds),
            nulled=lost.group_by("column", "kind").agg(rows=pl.len()).sort("column", "kind"),
            problems=lost.filter(pl.col("kind").is_in(_MENDABLE))
            .rename({"kind": "rule"})
            .sort("row_number", "column"),
        )

    def _table(self, written: pl.Series, gives: dict[str, PolarsType]) -> pl.DataFrame:
        """What a raw column's distinct texts read as: `_WRITTEN`, and the columns that it `gives`."""
        texts = written.drop_nulls().unique().alias(_WRITTEN)
        tables = []
        if written.name in self._plain_readings:
            plain = self._plain_readings[written.name](texts)
            texts = texts.filter(~texts.is_in(plain.get_column("written").implode()))
            tables.append(plain.rename(dict(zip(plain.columns, (_WRITTEN, *gives), strict=False))))
        made = (
            zip(*map(self._readings[written.name], texts.to_list()), strict=True)
            if len(texts)
            else [[]] * len(gives)
        )
        tables.append(
            pl.DataFrame(
                [texts]
                + [
                    pl.Series(name, values, dtype=kind)
                    for (name, kind), values in zip(gives.items(), made, strict=True)
                ]
            )
        )
        return pl.concat(tables, how="diagonal")


def _texts(*columns: str) -> dict[str, PolarsType]:
    return dict.fromkeys(columns, pl.String)


_GIVES: dict[str, dict[str, PolarsType]] = {
    **{
        column: _texts(column, column + _KIND, f"{column}__suffix", f"{column}__middle")
        for column in ("first_name", "middle_name", "last_name")
    },
    "name_suffix": _texts("suffix"),
    "birth_date": {
        **_texts("birth_date", "birth_date_swapped", "birth_year_month", "birth_month_day", "birth_year_day"),
        "birth_year": pl.Int16,
        "birth_date_suspect": pl.Boolean,
        "birth_date" + _KIND: pl.String,
    },
    "sex": _texts("sex", "sex" + _KIND),
    "zip": _texts("zip3", "zip" + _KIND),
    "race_ethnicity": _texts("race_ethnicity", "race_ethnicity" + _KIND),
}
"""The columns that each raw column is replaced by, in the order of what its reading returns."""


def _looked_up(rows: pl.DataFrame, column: str, table: pl.DataFrame) -> pl.DataFrame:
    """`rows` with text `column` replaced by the columns that `table` has beside `_WRITTEN`."""
    # the key alone is joined: a join copies every column it is given
    key = rows.select(pl.col(column).alias(_WRITTEN))
    found = key.join(table, on=_WRITTEN, how="left", maintain_order="left").drop(_WRITTEN)
    return rows.drop(column).hstack(found)


def _with_joint_names(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with what one name says of another: invented companions of placeholders, suffixes, initials."""
    rows = rows.with_columns(
        *_beside_placeholder("first_name", "last_name"),
        *_beside_placeholder("last_name", "first_name"),
        suffix=pl.coalesce("suffix", "last_name__suffix", "first_name__suffix"),
        middle_name=pl.when(pl.col("middle_name__kind").is_null()).then(
            pl.coalesce("middle_name", "first_name__middle")
        ),
    )
    placeholder = [
        pl.col(column + _KIND).is_in(placeholder_kinds()) for column in ("first_name", "last_name")
    ]
    return rows.with_columns(
        name_placeholder=pl.any_horizontal(kind.fill_null(value=False) for kind in placeholder)
    ).drop(pl.selectors.ends_with("__suffix", "__middle"))


def _beside_placeholder(column: str, other: str) -> list[pl.Expr]:
    """`column` and its kind, taken away where `other` is a placeholder beside which it is invented too."""
    written, kind, other_kind = pl.col(column), pl.col(column + _KIND), pl.col(other + _KIND)
    beside = {kind: names_beside_placeholder(kind) for kind in placeholder_kinds()}
    invented = pl.concat_str(other_kind, written.str.replace_all(" ", "", literal=True), separator=" ").is_in(
        [f"{kind} {name}" for kind, names in beside.items() for name in sorted(names)]
    ) | (other_kind.is_in([kind for kind, names in beside.items() if "*" in names]) & written.is_not_null())
    is_invented = invented.fill_null(value=False)
    return [
        pl.when(~is_invented).then(written).alias(column),
        pl.when(is_invented).then(other_kind).otherwise(kind).alias(column + _KIND),
    ]


_MADE_UP_SSNS = (
    "078051120",  # printed on a specimen card in wallets sold from 1938, used by thousands
    "219099999",  # printed in a pamphlet of the Social Security Board, 1940
    "457555462",  # published in advertisements
    "123456789",
    *(digit * 9 for digit in "0123456789"),
    *(f"98765432{digit}" for digit in "0123456789"),  # set aside for advertisements
)


def _with_ssn(rows: pl.DataFrame) -> pl.DataFrame:
    """`rows` with ssn, ssn5, ssn4, ssn_quality and the kind of what was not kept.

    Never assigned: area 000, 666 or 900 to 999, group 00, serial 0000 (SSA POMS RM 10201.035). A full
    number needs nine valid digits: nothing is padded, though spreadsheets drop leading zeros. Of an invalid
    number no part is kept. The last four alone come as `XXXXX1234` or `1234`.
    """
    written = pl.col("ssn")
    bare = written.str.replace_all(r"[\s.\-]", "").str.to_uppercase()
    nine = written.str.contains(r"^[0-9]{9}$")
    four = written.str.contains(r"^(?:[X*#]{5})?[0-9]{4}$")
    unassigned = (
        written.str.contains(r"^(?:000|666|9)")
        | (written.str.slice(3, 2) == "00")
        | (written.str.slice(5) == "0000")
    )
    read = pl.col("ssn__read")
    reads = (
        pl.when(written.is_null() | written.str.contains(r"^[X*#]*$"))
        .then(pl.lit("none"))
        .when(nine & written.is_in(_MADE_UP_SSNS))
        .then(pl.lit("default"))
        .when(nine & unassigned)
        .then(pl.lit("never_assigned"))
        .when(nine)
        .then(pl.lit("full"))
        .when(four & written.str.ends_with("0000"))
        .then(pl.lit("default"))
        .when(four)
        .then(pl.lit("last4"))
        .otherwise(pl.lit("unreadable"))
    )
    has_last4 = read.is_in(["full", "last4"])
    return (
        # one step after another: polars works out a column again for every place that an expression names it
        rows.with_columns(bare.alias("ssn"))
        .with_columns(reads.alias("ssn__read"))
        .with_columns(
            ssn=pl.when(read == "full").then(written),
            ssn5=pl.when(read == "full").then(written.str.slice(0, 5)),
            ssn4=pl.when(has_last4).then(written.str.slice(-4)),
            ssn_quality=pl.when(has_last4 | (read == "none")).then(read).otherwise(pl.lit("invalid")),
            ssn__kind=pl.when(~has_last4 & (read != "none")).then(read),
        )
        .drop("ssn__read")
    )
