"""Patients: which were merged into which, and the people rows that they are."""

from collections.abc import Iterator
from pathlib import Path

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS
from linkage.encoding.formats.fhir_ndjson.codes import (
    ETHNICITY_EXTENSION,
    GENDERS,
    OFFICIAL_FIRST,
    RACE_EXTENSION,
    RACES,
    SSN_SYSTEMS,
)
from linkage.encoding.formats.fhir_ndjson.resources import (
    LINES_PER_BATCH,
    Json,
    Reading,
    Row,
    items_of,
    lines_of,
    object_of,
    objects_in,
    parsed,
    referred_id,
    text_of,
)

PEOPLE_ELEMENTS = {
    "client_id": "id",
    "first_name": "name.given",
    "middle_name": "name.given",
    "last_name": "name.family",
    "name_suffix": "name.suffix",
    "birth_date": "birthDate",
    "sex": "gender",
    "race_ethnicity": "extension.us-core-race",
    "ssn": "identifier",
    "zip": "address.postalCode",
}


def note_merges(path: Path, reading: Reading) -> None:
    """Note in `survivors` which patients were merged into which."""
    for _, line in lines_of(path):
        patient = (parsed(line) or {}) if b'"link"' in line else {}
        own = text_of(patient.get("id"))
        for link in objects_in(patient.get("link")):
            other = referred_id(link.get("other"), "Patient")
            if own is None or other is None or own == other:
                continue
            if link.get("type") == "replaced-by":
                reading.survivors[own] = min(other, reading.survivors.get(own, other))
            elif link.get("type") == "replaces":
                reading.survivors[other] = min(own, reading.survivors.get(other, own))


def people_batches(path: Path, reading: Reading, clients: frozenset[str]) -> Iterator[pl.DataFrame]:
    """People rows of a file's patients that are `clients`, one per name that a patient goes by."""
    schema = {"row_number": pl.Int64, **dict.fromkeys(RAW_PEOPLE_COLUMNS, pl.String)}
    batch: list[Row] = []
    for row, patient in reading.resources(path, "Patient"):
        own = text_of(patient.get("id"))
        client_id = None if own is None else reading.survivor(own)
        if client_id in clients:
            batch += [
                {"row_number": row, "client_id": client_id, **person} for person in _identities(patient)
            ]
        if len(batch) >= LINES_PER_BATCH:
            yield pl.DataFrame(batch, schema=schema, orient="row")
            batch = []
    if batch:
        yield pl.DataFrame(batch, schema=schema, orient="row")


def patient_ids(path: Path, reading: Reading) -> Iterator[pl.Series]:
    """The ids of a file's patients and the ids that they were merged into, a batch at a time."""
    ids: list[str] = []
    for _, patient in reading.resources(path, "Patient"):
        own = text_of(patient.get("id"))
        if own is not None:
            ids += [own, reading.survivor(own)]
        if len(ids) >= LINES_PER_BATCH:
            yield pl.Series(ids, dtype=pl.String)
            ids = []
    yield pl.Series(ids, dtype=pl.String)


def _identities(patient: dict[str, Json]) -> list[Row]:
    """One row per name that the patient goes by, the official one first."""
    common: Row = {
        "birth_date": text_of(patient.get("birthDate")),
        "sex": _sex(patient),
        "race_ethnicity": _races(patient),
        "ssn": _ssn(patient),
        "zip": _zip(patient),
    }
    names = sorted(
        objects_in(patient.get("name")),
        key=lambda name: OFFICIAL_FIRST.index(use) if (use := name.get("use")) in OFFICIAL_FIRST else 2,
    )
    rows: list[Row] = []
    for name in names or [{}]:
        given = [text for text in map(text_of, items_of(name.get("given"))) if text]
        suffixes = [text for text in map(text_of, items_of(name.get("suffix"))) if text]
        family = text_of(name.get("family"))
        is_short_form = family is None and name.get("use") == "nickname" and bool(rows)
        row: Row = {
            **common,
            "first_name": given[0] if given else None,
            "middle_name": " ".join(given[1:]) or None,
            "last_name": rows[0]["last_name"] if is_short_form else family,
            "name_suffix": " ".join(suffixes) or None,
        }
        if row not in rows:
            rows.append(row)
    return rows


def _sex(patient: dict[str, Json]) -> str | None:
    gender = text_of(patient.get("gender"))
    return None if gender is None else GENDERS.get(gender, gender)


def _races(patient: dict[str, Json]) -> str | None:
    codes = [
        text_of(object_of(part.get("valueCoding")).get("code"))
        for extension in objects_in(patient.get("extension"))
        if extension.get("url") in (RACE_EXTENSION, ETHNICITY_EXTENSION)
        for part in objects_in(extension.get("extension"))
        if part.get("url") == "ombCategory"
    ]
    return ";".join(sorted({RACES[code] for code in codes if code in RACES})) or None


def _ssn(patient: dict[str, Json]) -> str | None:
    return next(
        (
            value
            for identifier in objects_in(patient.get("identifier"))
            if identifier.get("system") in SSN_SYSTEMS and identifier.get("use") != "old"
            if (value := text_of(identifier.get("value"))) is not None
        ),
        None,
    )


def _zip(patient: dict[str, Json]) -> str | None:
    return next(
        (
            code
            for address in objects_in(patient.get("address"))
            if address.get("use") not in ("old", "billing", "work")
            if (code := text_of(address.get("postalCode"))) is not None
        ),
        None,
    )
