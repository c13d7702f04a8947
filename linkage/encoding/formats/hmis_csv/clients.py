"""Client.csv as people: what the data-quality codes allow, in both versions of the format."""

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS
from linkage.encoding.formats.hmis_csv.codes import GENDERS_BEYOND_TWO, RACES

CLIENT_COLUMNS = (
    "PersonalID", "FirstName", "MiddleName", "LastName", "NameSuffix", "NameDataQuality", "SSN", "SSNDataQuality",
    "DOB", "DOBDataQuality", *RACES,
)  # fmt: skip

CLIENT_NAMES = {
    "client_id": "PersonalID", "first_name": "FirstName", "middle_name": "MiddleName", "last_name": "LastName",
    "name_suffix": "NameSuffix", "birth_date": "DOB", "ssn": "SSN",
}  # fmt: skip


def _sex_2024() -> pl.Expr:
    """M, F or X from FY2024's gender columns, which FY2026 replaced; U when they do not say."""
    woman, man = pl.col("Woman") == "1", pl.col("Man") == "1"
    beyond = pl.any_horizontal(
        (pl.col(column) == "1").fill_null(value=False) for column in GENDERS_BEYOND_TWO
    )
    woman, man = woman.fill_null(value=False), man.fill_null(value=False)
    return (
        pl.when(beyond | (woman & man))
        .then(pl.lit("X"))
        .when(woman)
        .then(pl.lit("F"))
        .when(man)
        .then(pl.lit("M"))
        .otherwise(pl.lit("U"))
    )


def _sex_2026() -> pl.Expr:
    """M or F from FY2026's Sex; U for everything else."""
    return (
        pl.when(pl.col("Sex") == "0")
        .then(pl.lit("F"))
        .when(pl.col("Sex") == "1")
        .then(pl.lit("M"))
        .otherwise(pl.lit("U"))
    )


@dataclass(frozen=True, kw_only=True)
class Version:
    """What differs between versions: the columns that tell the sex, and how."""

    sex_columns: tuple[str, ...]
    sex: Callable[[], pl.Expr]


VERSIONS = {
    "2024": Version(sex_columns=("Woman", "Man", *GENDERS_BEYOND_TWO), sex=_sex_2024),
    "2026": Version(sex_columns=("Sex",), sex=_sex_2026),
}


def people_of(clients: pl.DataFrame, version: Version, dropped: Counter[str]) -> pl.DataFrame:
    """Template people, with what the data-quality codes allow; counts what they do not."""
    names = ("FirstName", "MiddleName", "LastName", "NameSuffix")
    is_named = pl.col("NameDataQuality").is_in(["1", "2"]).fill_null(value=False)
    is_born, about_born = (pl.col("DOBDataQuality").eq_missing(pl.lit(code)) for code in ("1", "2"))
    is_numbered, partly_numbered = (pl.col("SSNDataQuality").eq_missing(pl.lit(code)) for code in ("1", "2"))
    has_name = pl.any_horizontal(pl.col(column).is_not_null() for column in names)
    counted = {
        "Client: names whose NameDataQuality is not 1 or 2": has_name & ~is_named,
        "Client: birth dates whose DOBDataQuality is not 1 or 2": pl.col("DOB").is_not_null()
        & ~is_born
        & ~about_born,
        "Client: month and day of birth dates whose DOBDataQuality is 2": pl.col("DOB").is_not_null()
        & about_born,
        "Client: SSNs whose SSNDataQuality is not 1 or 2": pl.col("SSN").is_not_null()
        & ~is_numbered
        & ~partly_numbered,
    }
    for reason, count in (
        clients.select(**{why: which.sum() for why, which in counted.items()}).row(0, named=True).items()
    ):
        if count:
            dropped[reason] += count
    ssn = pl.col("SSN").str.to_uppercase().str.replace_all("[^0-9A-Z]", "")
    races = [
        pl.when(pl.col(column) == "1").then(pl.lit(category)).otherwise(None)
        for column, category in RACES.items()
    ]
    return clients.select(
        pl.col("PersonalID").alias("client_id"),
        *(
            pl.when(is_named).then(pl.col(native)).alias(column)
            for column, native in (
                ("first_name", "FirstName"),
                ("middle_name", "MiddleName"),
                ("last_name", "LastName"),
                ("name_suffix", "NameSuffix"),
            )
        ),
        pl.when(is_born)
        .then(pl.col("DOB").str.slice(0, 10))
        .when(about_born)
        .then(pl.col("DOB").str.slice(0, 4))
        .alias("birth_date"),
        version.sex().alias("sex"),
        pl.concat_str(races, separator=";", ignore_nulls=True).replace("", None).alias("race_ethnicity"),
        pl.when(is_numbered)
        .then(ssn)
        .when(partly_numbered & ssn.str.contains("[0-9]{4}$"))
        .then(pl.lit("XXXXX") + ssn.str.slice(-4))
        .alias("ssn"),
        pl.lit(None, pl.String).alias("zip"),
        "row_number",
    ).select(*RAW_PEOPLE_COLUMNS, "row_number")
