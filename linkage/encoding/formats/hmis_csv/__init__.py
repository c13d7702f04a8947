"""HUD HMIS CSV, FY2024 and FY2026: shelter stays, bed nights and street outreach contacts.

Read: the columns named here of Export, Project, Client, Enrollment, Exit, Services, CurrentLivingSituation and
Disabilities, and nothing else; HealthAndDV is never opened and rows on HIV/AIDS (DisabilityType 8) are passed
over. docs/formats/hmis-csv.md has every code and its source.
"""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl

from linkage.encoding.formats import NativeFormat, TemplateExtract
from linkage.encoding.formats.hmis_csv.clients import VERSIONS, Version
from linkage.encoding.formats.hmis_csv.reader import ExportReader
from linkage.encoding.formats.text_tables import ExportFiles, TextTable
from linkage.errors import UsageError

_PARTIAL = {
    "ExportDirective": ("1", "what changed since the one before it (a delta refresh)"),
    "ExportPeriodType": ("1", "what was entered or changed in its period (updated)"),
}
"""By column of Export, the code that says that rows of the period are missing, and what it says."""


def _read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    _refuse_mapping(mapping)
    files = ExportFiles(place=folder)
    version, export_id = _checked_export(files, covers_from, covers_to)
    return ExportReader(files, export_id).read(version, covers_from, covers_to)


def _refuse_mapping(mapping: Path | None) -> None:
    if mapping is not None:
        raise UsageError("HMIS CSV needs no mapping file: its columns are HUD's.")


def _checked_export(files: ExportFiles, covers_from: date, covers_to: date) -> tuple[Version, str]:
    """The version and ExportID of an export that can be read and covers the window."""
    export = files.open(
        "Export.csv",
        ("ExportID", "CSVVersion", "HashStatus", "ExportStartDate", "ExportEndDate"),
        optional=("ExportPeriodType", "ExportDirective"),
    )
    rows = export.read()
    if rows.height != 1:
        raise UsageError(f"{export.path} must have exactly one row; export again, one export at a time.")
    said = rows.row(0, named=True)
    versions = [version for year, version in VERSIONS.items() if year in (said["CSVVersion"] or "")]
    if len(versions) != 1:
        raise UsageError(
            f"{export.path}, row 1, column CSVVersion: it is neither FY2024 nor FY2026; export HMIS CSV in "
            "one of these versions."
        )
    if said["HashStatus"] != "1":
        raise UsageError(
            f"{export.path}, row 1, column HashStatus: the export is hashed. HUD's hashes have no key, so they can "
            "be looked up (they protect nobody) and cannot be compared with other agencies' records; export "
            "HashStatus 1 (unhashed) on your own machine and encode that, and it will not leave in the clear."
        )
    for column, (code, what) in _PARTIAL.items():
        if said[column] == code:
            raise UsageError(
                f"{export.path}, row 1, column {column}: the export has only {what}, and a month "
                "counted from it would be too small; export a full refresh (ExportDirective 2) of a reporting "
                "period (ExportPeriodType 3)."
            )
    if said["ExportID"] is None:
        raise UsageError(f"{export.path}, row 1, column ExportID: it is empty; export again.")
    start, end = (_day_of(export, said, column) for column in ("ExportStartDate", "ExportEndDate"))
    if start > covers_from or end.toordinal() + 1 < covers_to.toordinal():
        raise UsageError(
            f"{export.path}: the export does not cover {covers_from} to {covers_to} (not including it); "
            "export a reporting period that does, or name another month or --covers-from."
        )
    return versions[0], said["ExportID"]


def _day_of(export: TextTable, said: dict[str, str | None], column: str) -> date:
    try:
        return date.fromisoformat((said[column] or "")[:10])
    except ValueError:
        raise UsageError(
            f"{export.path}, row 1, column {column}: it is no date written YYYY-MM-DD; export again."
        ) from None


def _client_ids(folder: Path, *, mapping: Path | None) -> Iterator[pl.Series]:
    _refuse_mapping(mapping)
    for frame in ExportFiles(place=folder).open("Client.csv", ("PersonalID",)).frames():
        yield frame.get_column("PersonalID")


FORMAT = NativeFormat(
    name="hmis-csv",
    source="shelter",
    says="HUD HMIS CSV, FY2024 or FY2026: the folder or the .zip",
    read=_read,
    client_ids=_client_ids,
)
