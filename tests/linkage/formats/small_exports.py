"""Small native exports written by hand, and what a reader makes of them."""

import csv
from datetime import date
from pathlib import Path

import polars as pl

from linkage.encoding.formats import TemplateExtract, native_format

WINDOW = {"covers_from": date(2026, 3, 1), "covers_to": date(2026, 4, 1)}
MONTH = "2026-03"

EXPORT = {
    "ExportID": "E1",
    "CSVVersion": "FY2026 v1.2",
    "HashStatus": "1",
    "ExportStartDate": "2026-03-01",
    "ExportEndDate": "2026-03-31",
}
CLIENT = {
    "PersonalID": "c1",
    "FirstName": "Wilhelmina",
    "LastName": "Planted-Canary",
    "NameDataQuality": "1",
    "SSN": "123456780",
    "SSNDataQuality": "1",
    "DOB": "1984-05-03",
    "DOBDataQuality": "1",
    "Sex": "0",
    "White": "1",
    "Asian": "1",
}
ENROLLMENT = {"EnrollmentID": "e1", "PersonalID": "c1", "ProjectID": "p0", "EntryDate": "2026-03-02"}
PROJECTS = [
    {"ProjectID": f"p{code}", "ProjectType": str(code)} for code in (0, 1, 2, 3, 4, 6, 8, 9, 10, 11, 13)
]

_COLUMNS = {
    "Export": (
        "ExportID", "CSVVersion", "HashStatus", "ExportStartDate", "ExportEndDate", "ExportPeriodType",
        "ExportDirective",
    ),
    "Project": ("ProjectID", "ProjectType"),
    "Client": (
        "PersonalID", "FirstName", "MiddleName", "LastName", "NameSuffix", "NameDataQuality", "SSN",
        "SSNDataQuality", "DOB", "DOBDataQuality", "AmIndAKNative", "Asian", "BlackAfAmerican", "HispanicLatinao",
        "MidEastNAfrican", "NativeHIPacific", "White",
    ),
    "Enrollment": ("EnrollmentID", "PersonalID", "ProjectID", "EntryDate", "MoveInDate", "DisablingCondition"),
    "Exit": ("ExitID", "EnrollmentID", "PersonalID", "ExitDate", "Destination"),
    "Services": ("ServicesID", "EnrollmentID", "PersonalID", "DateProvided", "RecordType"),
    "CurrentLivingSituation": ("CurrentLivingSitID", "EnrollmentID", "PersonalID", "InformationDate"),
    "Disabilities": ("EnrollmentID", "DisabilityType", "DisabilityResponse", "IndefiniteAndImpairs"),
}  # fmt: skip
SEX_COLUMNS = {
    "2026": ("Sex",),
    "2024": (
        "Woman", "Man", "NonBinary", "CulturallySpecific", "Transgender", "Questioning", "DifferentIdentity",
    ),
}  # fmt: skip


def write_csv(path: Path, columns: tuple[str, ...], rows: list[dict]) -> None:
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)


def write_hmis(folder: Path, version: str = "2026", **tables: list[dict]) -> Path:
    """An HMIS export; tables that are not given have one client in one entry-exit shelter, or no rows."""
    folder.mkdir(parents=True, exist_ok=True)
    given = {"Export": [EXPORT], "Project": PROJECTS, "Client": [CLIENT], "Enrollment": [ENROLLMENT]} | tables
    for name, columns in _COLUMNS.items():
        if name == "Client":
            columns += SEX_COLUMNS[version]
        if name != "Export":
            columns += ("DateDeleted", "ExportID")
        rows = [{"ExportID": "E1"} | row for row in given.get(name, [])]
        write_csv(folder / f"{name}.csv", columns, rows)
    return folder


def read_hmis(folder: Path) -> TemplateExtract:
    return native_format("hmis-csv").read(folder, **WINDOW, mapping=None)


def rows_of(tables: tuple) -> list[dict]:
    """The template rows of some tables, without what is empty."""
    frames = [batch for table in tables for batch in table.batches()]
    return [
        {column: value for column, value in row.items() if value is not None and column != "row_number"}
        for frame in frames
        for row in frame.iter_rows(named=True)
    ]


def read_template(folder: Path) -> tuple[pl.DataFrame, pl.DataFrame]:
    people, encounters = (
        pl.read_csv(folder / f"{name}.csv", infer_schema=False) for name in ("people", "encounters")
    )
    return people, encounters
