"""Shelter extracts as HUD HMIS CSV, FY2024 and FY2026: the files and columns that matter here, of HUD's."""

from datetime import date, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from sample_data.native import NativeWriter

_PROJECT_TYPES = {
    "es_entry_exit": "0",
    "es_night_by_night": "1",
    "transitional": "2",
    "permanent_supportive": "3",
    "street_outreach": "4",
    "services_only": "6",
    "other": "7",
    "safe_haven": "8",
    "rapid_rehousing": "13",
}
_DESTINATIONS = {
    "homeless": "116",
    "institutional": "225",
    "temporary": "302",
    "permanent": "410",
    "jail": "207",
    "hospital": "206",
    "psychiatric_hospital": "204",
    "treatment": "205",
    "deceased": "24",
    "unknown": "99",
}
_RACES = {
    "AmIndAKNative": "american_indian_alaska_native",
    "Asian": "asian",
    "BlackAfAmerican": "black_african_american",
    "HispanicLatinao": "hispanic_latino",
    "MidEastNAfrican": "middle_eastern_north_african",
    "NativeHIPacific": "native_hawaiian_pacific_islander",
    "White": "white",
}
_GENDERS = {
    "Woman": ("F",), "Man": ("M",), "NonBinary": ("X",), "CulturallySpecific": (), "Transgender": (),
    "Questioning": (), "DifferentIdentity": (),
}  # fmt: skip
_EXPORT_ID = "SIM"


def _write(
    people: pl.DataFrame,
    encounters: pl.DataFrame,
    folder: Path,
    *,
    covers_from: date,
    covers_to: date,
    year: str,
) -> None:
    of_stays = pl.col("kind") == "stay"
    stays = encounters.filter(of_stays).with_columns(EnrollmentID=pl.col("encounter_id"))
    # a night or a contact belongs to an enrollment of the client in that kind of project
    events = encounters.filter(~of_stays).with_columns(
        EnrollmentID=pl.when(pl.col("kind") == "bed_night").then(pl.lit("N")).otherwise(pl.lit("C"))
        + pl.col("client_id"),
        day=pl.col("started_at").str.slice(0, 10),
    )
    enrolled = events.group_by("EnrollmentID", maintain_order=True).agg(
        pl.col("client_id", "project_type").first(),
        pl.col("day").min().alias("started_at"),
        pl.col("disabling_condition").drop_nulls().first(),
    )
    columns = ("EnrollmentID", "client_id", "project_type", "started_at", "disabling_condition")
    enrollments = pl.concat([stays.select(columns), enrolled.select(columns)])
    tables = {
        "Export": _export(covers_from, covers_to, year),
        "Project": pl.DataFrame(
            {
                "ProjectID": [f"P{code}" for code in _PROJECT_TYPES.values()],
                "ProjectName": [f"Project {code}" for code in _PROJECT_TYPES.values()],
                "ProjectType": list(_PROJECT_TYPES.values()),
            }
        ),
        "Client": _clients(people, year),
        "Enrollment": _enrollments(enrollments),
        "Exit": stays.filter(pl.col("ended_at").is_not_null()).select(
            ("X" + pl.col("EnrollmentID")).alias("ExitID"),
            "EnrollmentID",
            pl.col("client_id").alias("PersonalID"),
            pl.col("ended_at").alias("ExitDate"),
            pl.col("destination").replace_strict(_DESTINATIONS, default="99").alias("Destination"),
        ),
        "Services": _services(events.filter(pl.col("kind") == "bed_night")),
        "CurrentLivingSituation": events.filter(pl.col("kind") == "outreach_contact").select(
            pl.col("encounter_id").alias("CurrentLivingSitID"),
            "EnrollmentID",
            pl.col("client_id").alias("PersonalID"),
            pl.col("day").alias("InformationDate"),
            pl.lit("116").alias("CurrentLivingSituation"),
        ),
        "Disabilities": _disabilities(enrollments),
    }
    for name, table in tables.items():
        if name != "Export":
            table = table.with_columns(
                DateDeleted=pl.lit(None, pl.String), ExportID=pl.lit(_EXPORT_ID, pl.String)
            )
        table.write_csv(folder / f"{name}.csv")


def _export(covers_from: date, covers_to: date, year: str) -> pl.DataFrame:
    return pl.DataFrame(
        {
            "ExportID": [_EXPORT_ID],
            "SourceType": ["1"],
            "SourceName": ["Simulated county"],
            "ExportDate": [f"{covers_to} 00:00:00"],
            "ExportStartDate": [str(covers_from)],
            "ExportEndDate": [str(covers_to - timedelta(days=1))],
            "SoftwareName": ["Familiar Faces simulator"],
            "CSVVersion": [f"FY{year} v1.0"],
            "ExportPeriodType": ["3"],
            "ExportDirective": ["2"],
            "HashStatus": ["1"],
        }
    )


def _clients(people: pl.DataFrame, year: str) -> pl.DataFrame:
    """One row a client, as HMIS has it: the latest."""
    latest = people.unique("client_id", keep="last", maintain_order=True)
    born, ssn, races = pl.col("birth_date"), pl.col("ssn"), pl.col("race_ethnicity").fill_null("")
    has_name = pl.any_horizontal(pl.col("first_name", "last_name").is_not_null())
    if year == "2024":
        sexes = [
            pl.col("sex").is_in(list(which)).cast(pl.Int8).fill_null(0).alias(column)
            for column, which in _GENDERS.items()
        ]
    else:
        sexes = [pl.col("sex").replace_strict({"F": "0", "M": "1"}, default="99").alias("Sex")]
    return latest.select(
        pl.col("client_id").alias("PersonalID"),
        pl.col("first_name").alias("FirstName"),
        pl.col("middle_name").alias("MiddleName"),
        pl.col("last_name").alias("LastName"),
        pl.col("name_suffix").alias("NameSuffix"),
        pl.when(has_name).then(pl.lit("1")).otherwise(pl.lit("99")).alias("NameDataQuality"),
        ssn.str.replace("XXXXX", "xxxxx").alias("SSN"),
        _quality(ssn, ssn.str.contains("^[0-9]{9}$")).alias("SSNDataQuality"),
        # a birth date that is known in part is completed with the first of the month or year
        (born + pl.lit("-01-01").str.slice(born.str.len_chars() - 4)).alias("DOB"),
        _quality(born, born.str.len_chars() == 10).alias("DOBDataQuality"),
        *sexes,
        *(
            races.str.split(";").list.contains(category).cast(pl.Int8).alias(column)
            for column, category in _RACES.items()
        ),
        pl.when(races == "").then(pl.lit("99")).alias("RaceNone"),
    )


def _quality(value: pl.Expr, is_full: pl.Expr) -> pl.Expr:
    return pl.when(value.is_null()).then(pl.lit("99")).when(is_full).then(pl.lit("1")).otherwise(pl.lit("2"))


def _enrollments(enrollments: pl.DataFrame) -> pl.DataFrame:
    kind = pl.col("project_type")
    return enrollments.select(
        "EnrollmentID",
        pl.col("client_id").alias("PersonalID"),
        ("P" + kind.replace_strict(_PROJECT_TYPES)).alias("ProjectID"),
        pl.col("started_at").alias("EntryDate"),
        pl.col("disabling_condition")
        .replace_strict({"true": "1", "false": "0"}, default="99")
        .alias("DisablingCondition"),
        pl.when(kind.is_in(["permanent_supportive", "rapid_rehousing"]))
        .then(pl.col("started_at"))
        .alias("MoveInDate"),
    )


def _services(nights: pl.DataFrame) -> pl.DataFrame:
    """Bed nights, and a case-management service a client, which is no bed night."""
    columns = {
        "EnrollmentID": pl.col("EnrollmentID"),
        "PersonalID": pl.col("client_id"),
        "DateProvided": pl.col("day"),
    }
    beds = nights.select(pl.col("encounter_id").alias("ServicesID"), **columns, RecordType=pl.lit("200"))
    others = nights.unique("client_id", maintain_order=True).select(
        ("Q" + pl.col("encounter_id")).alias("ServicesID"), **columns, RecordType=pl.lit("141")
    )
    return pl.concat([beds, others])


def _disabilities(enrollments: pl.DataFrame) -> pl.DataFrame:
    """A mental-health answer for each enrollment with a disabling condition, and an HIV answer for everybody."""
    asked = enrollments.select(
        "EnrollmentID",
        pl.col("client_id").alias("PersonalID"),
        pl.col("started_at").alias("InformationDate"),
        yes=pl.col("disabling_condition") == "true",
    )
    answers = [
        asked.filter("yes").with_columns(
            DisabilityType=pl.lit("9"), DisabilityResponse=pl.lit("1"), IndefiniteAndImpairs=pl.lit("1")
        ),
        asked.with_columns(
            DisabilityType=pl.lit("8"),
            DisabilityResponse=pl.lit("0"),
            IndefiniteAndImpairs=pl.lit(None, pl.String),
        ),
    ]
    return pl.concat(answers).drop("yes").with_row_index("DisabilitiesID", offset=1)


WRITERS = tuple(
    NativeWriter(
        name=f"hmis-csv-fy{year}", source="shelter", format="hmis-csv", write=partial(_write, year=year)
    )
    for year in ("2024", "2026")
)
