"""Jail extracts as a jail management system might export them: bookings by location, aliases, charges, mapping.

The columns are like those of the open jail schema of dssg/matching-tool; codes and dates are a vendor's own.
"""

import zlib
from datetime import date
from pathlib import Path

import polars as pl

from sample_data.native import NativeWriter

_REASONS = {
    "new_charge": "NEW CHG", "warrant_fta": "FTA", "probation_violation": "VOP", "parole_violation": "PV",
    "hold_other_agency": "HOLD", "court_commit": "COMMIT", "transfer_in": "XFER", "weekender": "WKND",
}  # fmt: skip
_RELEASES = {
    "ror": "OR", "bond": "BOND", "charges_dropped": "NOLLE", "time_served": "TS", "to_prison": "DOC",
    "to_other_agency": "TOT", "to_hospital": "HOSP", "to_treatment": "TX", "diversion": "DIV", "died": "DEC",
}  # fmt: skip
_CLASSES = {"F": "FELONY", "M": "MISD", "other": "INFRACTION"}
_RACES = {
    "american_indian_alaska_native": "I", "asian": "A", "black_african_american": "B", "hispanic_latino": "H",
    "middle_eastern_north_african": "MENA", "native_hawaiian_pacific_islander": "P", "white": "W",
}  # fmt: skip
_TIME = "%m/%d/%Y %H:%M:%S"

_IDENTITY = {
    "first_name": "first_name",
    "middle_name": "middle_name",
    "last_name": "last_name",
    "name_suffix": "suffix",
    "birth_date": "dob",
    "sex": "sex",
    "race": "race",
    "ethnicity": "ethnicity",
    "ssn": "ssn",
    "zip": "postal_code",
}
_BOOKING = {
    "booking_id": "booking_number",
    "client_id": "internal_person_id",
    "started_at": "jail_entry_date",
    "ended_at": "jail_exit_date",
    "booking_reason": "booking_reason",
    "release_reason": "release_reason",
    **{f"bjmhs_{item}": f"bjmhs_q{item}" for item in range(1, 9)},
    "assessed_at": "mh_assessed",
    "smi_assessed": "mh_smi",
}


def _write(
    people: pl.DataFrame, encounters: pl.DataFrame, folder: Path, *, covers_from: date, covers_to: date
) -> None:
    held = people.select("client_id", **_identity()).with_columns(
        is_first=pl.col("client_id").is_first_distinct()
    )
    main, others = held.filter("is_first"), held.filter(~pl.col("is_first"))
    number = pl.Series(
        [zlib.crc32(each.encode()) for each in encounters.get_column("encounter_id")], dtype=pl.Int64
    )
    bookings = (
        encounters.select(
            pl.col("encounter_id").alias("booking_number"),
            pl.col("client_id").alias("internal_person_id"),
            _time("started_at").alias("jail_entry_date"),
            _time("ended_at").alias("jail_exit_date"),
            pl.col("booking_reason").replace_strict(_REASONS, default=None),
            pl.col("release_reason").replace_strict(_RELEASES, default=None),
            *_screen(),
            _time("assessed_at").alias("mh_assessed"),
            pl.col("smi_assessed").replace_strict({"true": "Y", "false": "N"}, default=None).alias("mh_smi"),
            pl.lit("Intake").alias("location"),
        )
        .join(main.drop("is_first"), left_on="internal_person_id", right_on="client_id", how="left")
        .sort("booking_number")
    )
    moved = bookings.filter(bookings.get_column("booking_number").is_in(_some(encounters, number).implode()))
    by_location = pl.concat([bookings, moved.with_columns(location=pl.lit("Housing unit"))])
    by_location.sort("booking_number", "location", descending=[False, True]).write_csv(
        folder / "bookings.csv"
    )
    others.drop("is_first").rename({"client_id": "internal_person_id"}).write_csv(folder / "aliases.csv")
    _charges(encounters).write_csv(folder / "charges.csv")
    (folder / "mapping.toml").write_text(_mapping(), encoding="utf-8")


def _identity() -> dict[str, pl.Expr]:
    races = pl.col("race_ethnicity").str.split(";")
    without = races.list.filter(pl.element() != "hispanic_latino")
    return {
        "first_name": pl.col("first_name"),
        "middle_name": pl.col("middle_name"),
        "last_name": pl.col("last_name"),
        "suffix": pl.col("name_suffix"),
        # a whole date the American way, a part of one as it is
        "dob": pl.coalesce(
            pl.col("birth_date").str.to_date("%Y-%m-%d", strict=False).dt.strftime("%m/%d/%Y"), "birth_date"
        ),
        "sex": pl.col("sex"),
        "race": without.list.first().replace_strict(_RACES, default=None),
        "ethnicity": pl.when(races.list.contains("hispanic_latino")).then(pl.lit("H")),
        "ssn": pl.col("ssn"),
        "postal_code": pl.col("zip"),
    }


def _time(column: str) -> pl.Expr:
    return pl.col(column).str.to_datetime("%Y-%m-%dT%H:%M:%S").dt.strftime(_TIME)


def _screen() -> list[pl.Expr]:
    """The eight items: two symptoms and a history where the screen was positive, all empty without one."""
    result = pl.col("smi_screen")
    return [
        pl.when(result == "positive")
        .then(pl.lit("Y" if item in (1, 3, 7) else "N"))
        .when(result == "negative")
        .then(pl.lit("Y" if item == 2 else "N"))
        .alias(f"bjmhs_q{item}")
        for item in range(1, 9)
    ]


def _some(encounters: pl.DataFrame, number: pl.Series) -> pl.Series:
    """A third of the bookings, which changed location once."""
    return encounters.get_column("encounter_id").filter(number % 3 == 0)


def _charges(encounters: pl.DataFrame) -> pl.DataFrame:
    """The most serious charge, and an infraction after each felony."""
    most = encounters.filter(pl.col("charge_class").is_not_null()).select(
        pl.col("encounter_id").alias("booking_number"),
        pl.col("charge_class").replace_strict(_CLASSES).alias("charge_type"),
    )
    felonies = most.filter(pl.col("charge_type") == "FELONY")
    return pl.concat([felonies.with_columns(charge_type=pl.lit("INFRACTION")), most])


def _mapping() -> str:
    """The mapping file that goes with the export."""
    codes = {
        "booking_reason": {theirs: ours for ours, theirs in _REASONS.items()},
        "release_reason": {theirs: ours for ours, theirs in _RELEASES.items()},
        "charge_class": {theirs: ours for ours, theirs in _CLASSES.items()},
        "race": {theirs: ours for ours, theirs in _RACES.items()},
        "ethnicity": {"H": "hispanic_latino", "N": ""},
    }
    lines = [
        "# How to read this jail's export: which column is which, and what its codes mean.",
        'encoding = "utf-8"',
        'delimiter = ","',
        "",
        "[dates]",
        f'timestamp = "{_TIME}"',
        'date = "%m/%d/%Y"',
        "",
        "[answers]",
        'yes = ["Y"]',
        'no = ["N"]',
    ]
    tables = {
        "bookings": _BOOKING | _IDENTITY,
        "aliases": {"client_id": "internal_person_id"} | _IDENTITY,
        "charges": {"booking_id": "booking_number", "charge_class": "charge_type"},
    }
    for table, columns in tables.items():
        lines += ["", f"[{table}]", f'file = "{table}.csv"', "", f"[{table}.columns]"]
        lines += [f'{ours} = "{theirs}"' for ours, theirs in columns.items()]
    for column, meanings in codes.items():
        lines += ["", f"[codes.{column}]"]
        lines += [f'"{theirs}" = "{ours}"' for theirs, ours in meanings.items()]
    return "\n".join(lines) + "\n"


WRITERS = (NativeWriter(name="jail-csv", source="jail", format="jail-csv", write=_write),)
