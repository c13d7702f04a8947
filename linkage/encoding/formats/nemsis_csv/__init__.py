"""NEMSIS 3.5 as a CSV with one row per patient care report and columns named after elements.

Every report is one response until several units of one incident turn out to have reported the same person;
docs/formats/nemsis-csv.md says which elements are read and what their codes become. The rows of the window are
held in memory, the rest of an export is only passed through.
"""

from collections.abc import Callable, Iterator
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.encoding.formats import NativeFormat, TemplateExtract, TemplateTable
from linkage.encoding.formats.local_times import LocalTimes, county_zone, read_mapping
from linkage.encoding.formats.nemsis_csv.elements import Export, batches_of, csv_files, open_export
from linkage.encoding.formats.nemsis_csv.reports import UNKNOWN, template_rows
from linkage.encoding.formats.nemsis_csv.responses import in_window, one_row_per_response
from linkage.encoding.receipt import LEFT_EMPTY
from linkage.source import declared_sources

_PEOPLE_ELEMENTS = {
    "client_id": "ePatient.01", "first_name": "ePatient.03", "middle_name": "ePatient.04",
    "last_name": "ePatient.02", "name_suffix": "ePatient.23", "birth_date": "ePatient.17", "sex": "ePatient.25",
    "race_ethnicity": "ePatient.14", "ssn": "ePatient.12", "zip": "ePatient.09",
}  # fmt: skip

_ENCOUNTER_ELEMENTS = {
    "encounter_id": "eRecord.01", "client_id": "ePatient.01", "started_at": "eTimes.03", "ended_at": "eTimes.13",
    "service_requested": "eResponse.05", "patient_contact": "eDisposition.27", "transported": "eDisposition.30",
    "destination_type": "eDisposition.21", "impression_codes": "eSituation.11",
    "released_to_law_enforcement": "eDisposition.31",
}  # fmt: skip


def read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    """The responses of the window in the CSV, or all CSVs of the folder, at `folder`; see `ReadNative`.

    The mapping file may name the county's zone, `time_zone`, for exports in UTC.
    """
    times = LocalTimes(county_zone(read_mapping(mapping, ("time_zone",)), mapping))
    exports = [open_export(path) for path in csv_files(folder)]
    extract = TemplateExtract(people=(), encounters=())
    parts = [
        in_window(template_rows(raw, export, times), covers_from, covers_to).with_columns(
            file=pl.lit(number, pl.Int32)
        )
        for number, export in enumerate(exports)
        for raw in batches_of(export)
    ]
    rows = pl.concat(parts) if parts else None
    if rows is not None:
        rows = one_row_per_response(rows, extract)
        _list_unknown_codes(rows, exports, extract)
    extract.people = tuple(_tables(rows, exports, _people, _PEOPLE_ELEMENTS))
    extract.encounters = tuple(_tables(rows, exports, _encounters, _ENCOUNTER_ELEMENTS))
    return extract


def _list_unknown_codes(rows: pl.DataFrame, exports: list[Export], extract: TemplateExtract) -> None:
    elements = _PEOPLE_ELEMENTS | _ENCOUNTER_ELEMENTS
    for (number,), part in rows.group_by("file", maintain_order=True):
        for column in (name for name in rows.columns if name.endswith(UNKNOWN)):
            unknown = part.filter(pl.col(column)).select(
                "row_number",
                column=pl.lit(elements[column.removesuffix(UNKNOWN)]),
                rule=pl.lit("unknown_code"),
            )
            extract.problems.add(exports[int(str(number))].path.name, unknown, LEFT_EMPTY)


def _tables(
    rows: pl.DataFrame | None,
    exports: list[Export],
    template: Callable[[pl.DataFrame], pl.DataFrame],
    native_columns: dict[str, str],
) -> Iterator[TemplateTable]:
    """One table per file, of the rows that came from it."""
    for number, export in enumerate(exports):
        frames = [] if rows is None else [template(rows.filter(pl.col("file") == number))]
        yield TemplateTable(
            path=export.path,
            frames=partial(iter, frames),
            other_columns=export.table.other_columns,
            native_columns=native_columns,
        )


def _people(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("row_number", *RAW_PEOPLE_COLUMNS).unique(
        RAW_PEOPLE_COLUMNS, keep="first", maintain_order=True
    )


def _encounters(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("row_number", *raw_encounter_columns(declared_sources()["ems"]))


def client_ids(folder: Path, *, mapping: Path | None) -> Iterator[pl.Series]:
    """The patient ids of all reports, and the report's own where it has none; see `ReadClientIds`."""
    read_mapping(mapping, ("time_zone",))
    for export in [open_export(path) for path in csv_files(folder)]:
        for raw in batches_of(export):
            yield raw.select(client_id=pl.coalesce("ePatient.01", "eRecord.01")).to_series()


FORMAT = NativeFormat(
    name="nemsis-csv",
    source="ems",
    says="NEMSIS 3.5 patient care reports as CSV, columns named after elements (ePatient.02).",
    read=read,
    client_ids=client_ids,
)
