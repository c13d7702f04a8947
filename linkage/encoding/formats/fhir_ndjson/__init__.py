"""FHIR R4 bulk export: Patient, Encounter and Condition as NDJSON, one resource per line.

docs/formats/fhir-ndjson.md says which elements are read and what their codes become. Files are read line by
line; what is held in memory are the encounters of the window, their diagnosis codes, and the ids of merged
patients.
"""

from collections.abc import Iterator
from datetime import date
from functools import partial
from pathlib import Path

import polars as pl

from linkage.encoding.columns import raw_encounter_columns
from linkage.encoding.formats import NativeFormat, TemplateExtract, TemplateTable
from linkage.encoding.formats.fhir_ndjson.encounters import (
    ENCOUNTER_ELEMENTS,
    ENCOUNTER_ROW,
    encounters_of_window,
    one_row_per_encounter,
    with_diagnoses,
    with_dispositions,
)
from linkage.encoding.formats.fhir_ndjson.patients import (
    PEOPLE_ELEMENTS,
    note_merges,
    patient_ids,
    people_batches,
)
from linkage.encoding.formats.fhir_ndjson.resources import Reading, resource_files
from linkage.encoding.formats.local_times import LocalTimes, county_zone, read_mapping
from linkage.errors import UsageError
from linkage.source import declared_sources


def _reading(mapping: Path | None) -> Reading:
    settings = read_mapping(mapping, ("time_zone", "behavioral_health_types"))
    types = settings.get("behavioral_health_types", [])
    if not (isinstance(types, list) and all(isinstance(each, str) for each in types)):
        raise UsageError(f"{mapping}: behavioral_health_types must be a list of codes in quotes.")
    return Reading(
        extract=TemplateExtract(people=(), encounters=()),
        times=LocalTimes(county_zone(settings, mapping)),
        behavioral_types=frozenset(types),
    )


def read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    """The encounters of the window in the bulk export at `folder`; see `ReadNative`.

    The mapping file may have `time_zone`, for exports in UTC, and `behavioral_health_types`, the hospital's
    own codes of Encounter.serviceType and Encounter.type, as `code` or `system|code`.
    """
    reading = _reading(mapping)
    patients, encounters, conditions = (
        resource_files(folder, resource_type) for resource_type in ("Patient", "Encounter", "Condition")
    )
    for path in patients:
        note_merges(path, reading)
    parts = [
        batch.with_columns(file=pl.lit(number, pl.Int32))
        for number, path in enumerate(encounters)
        for batch in encounters_of_window(path, reading, covers_from, covers_to)
    ]
    rows = pl.concat(parts) if parts else pl.DataFrame(schema={**ENCOUNTER_ROW, "file": pl.Int32})
    rows = one_row_per_encounter(rows, reading)
    rows = with_dispositions(rows, reading)
    rows = with_diagnoses(rows, conditions, reading)
    clients = frozenset(rows.get_column("client_id").drop_nulls())
    extract = reading.extract
    extract.people = tuple(
        TemplateTable(
            path=path,
            frames=partial(people_batches, path, reading, clients),
            native_columns=PEOPLE_ELEMENTS,
        )
        for path in patients
    )
    columns = raw_encounter_columns(declared_sources()["hospital"])
    extract.encounters = tuple(
        TemplateTable(
            path=path,
            frames=partial(iter, [rows.filter(pl.col("file") == number).select("row_number", *columns)]),
            native_columns=ENCOUNTER_ELEMENTS,
        )
        for number, path in enumerate(encounters)
    )
    return extract


def client_ids(folder: Path, *, mapping: Path | None) -> Iterator[pl.Series]:
    """The ids of all patients, of merged ones the surviving id as well; see `ReadClientIds`."""
    reading = _reading(mapping)
    patients = resource_files(folder, "Patient")
    for path in patients:
        note_merges(path, reading)
    for path in patients:
        yield from patient_ids(path, reading)


FORMAT = NativeFormat(
    name="fhir-ndjson",
    source="hospital",
    says="FHIR R4 bulk export: Patient, Encounter and Condition as NDJSON.",
    read=read,
    client_ids=client_ids,
)
