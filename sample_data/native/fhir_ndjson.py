"""The simulated county's hospital encounters as a FHIR R4 bulk export, merged patients and visits that do not
count included."""

import json
from collections.abc import Iterable
from datetime import date, datetime, timedelta
from pathlib import Path
from typing import Any

import polars as pl

from sample_data.native import NativeWriter

_OFFSET = "-08:00"
_EVERY_OTHER_VISIT = 40
_TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
_DISCHARGES, _STATUSES = (
    f"{_TERMINOLOGY}/discharge-disposition",
    "https://www.nubc.org/CodeSystem/PatDischargeStatus",
)
_SOURCES, _ORIGINS = f"{_TERMINOLOGY}/admit-source", "https://www.nubc.org/CodeSystem/PointOfOrigin"
_SNOMED = "http://snomed.info/sct"
_US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"

_CLASSES = {
    "ed": "EMER",
    "inpatient": "IMP",
    "psychiatric": "IMP",
    "observation": "OBSENC",
    "outpatient_bh": "AMB",
}
_ADMISSIONS = ("inpatient", "psychiatric", "observation")
_DISPOSITIONS = {
    "home": (_DISCHARGES, "home"),
    "admitted": (_STATUSES, "09"),
    "transferred": (_DISCHARGES, "other-hcf"),
    "ama": (_DISCHARGES, "aadvice"),
    "law_enforcement": (_STATUSES, "21"),
    "psychiatric": (_DISCHARGES, "psy"),
    "nursing_facility": (_DISCHARGES, "snf"),
    "expired": (_DISCHARGES, "exp"),
    "still_patient": (_STATUSES, "30"),
    "other": (_DISCHARGES, "oth"),
}
_ADMIT_SOURCES = {
    "home": (_ORIGINS, "1"),
    "transfer": (_SOURCES, "hosp-trans"),
    "clinic": (_ORIGINS, "2"),
    "law_enforcement": (_ORIGINS, "8"),
    "ambulance": (_ORIGINS, "1"),
    "other": (_SOURCES, "other"),
}
_GENDERS = {"M": "male", "F": "female", "X": "other", "U": "unknown"}
_RACES = {
    "american_indian_alaska_native": "1002-5",
    "asian": "2028-9",
    "black_african_american": "2054-5",
    "native_hawaiian_pacific_islander": "2076-8",
    "white": "2106-3",
    "middle_eastern_north_african": "2118-8",
}
_HISPANIC = "hispanic_latino"

Resource = dict[str, Any]
Row = dict[str, str | None]


def write_fhir_ndjson(
    people: pl.DataFrame, encounters: pl.DataFrame, folder: Path, *, covers_from: date, covers_to: date
) -> None:
    """Write Patient.ndjson, Encounter.ndjson and Condition.ndjson.

    A further identity of a client is an older name where nothing else differs, else a patient merged into the
    first, who is the subject of every other encounter. Some visits that a reader must not count are added.
    """
    patients, merged = _patients(people.rows(named=True))
    rows = encounters.rows(named=True)
    became = _admitted_from(rows)
    visits: list[Resource] = []
    conditions: list[Resource] = []
    for place, row in enumerate(rows):
        subject = merged.get(row["client_id"], row["client_id"]) if place % 2 else row["client_id"]
        visit = _encounter(row, subject, became)
        visits.append(visit)
        if place % _EVERY_OTHER_VISIT == 0:
            visits += _not_counted(visit)
        conditions += [
            {
                "resourceType": "Condition",
                "encounter": {"reference": f"Encounter/{row['encounter_id']}"},
                "code": _concept("http://hl7.org/fhir/sid/icd-10-cm", code),
            }
            for code in (row["diagnosis_codes"] or "").split(";")
            if code
        ]
    for name, resources in (("Patient", patients), ("Encounter", visits), ("Condition", conditions)):
        _write(resources, folder / f"{name}.ndjson")


def _write(resources: Iterable[Resource], path: Path) -> None:
    lines = (json.dumps(resource, ensure_ascii=False, separators=(",", ":")) for resource in resources)
    path.write_text("".join(f"{line}\n" for line in lines), encoding="utf-8")


def _concept(system: str, code: str) -> Resource:
    return {"coding": [{"system": system, "code": code}]}


def _patients(people: list[Row]) -> tuple[list[Resource], dict[str | None, str]]:
    """The Patient resources, and by client the id of a patient merged into it."""
    patients: dict[str, Resource] = {}
    merged: dict[str | None, str] = {}
    first: dict[str | None, Row] = {}
    for place, row in enumerate(people):
        known = first.setdefault(row["client_id"], row)
        client_id = str(row["client_id"])
        if known is row:
            patients[client_id] = _patient(client_id, row)
        elif all(
            row[column] == known[column] for column in ("birth_date", "sex", "race_ethnicity", "ssn", "zip")
        ):
            patients[client_id].setdefault("name", []).extend(_names(row, "old"))
        else:
            other = f"{client_id}-{place}"
            link = [{"other": {"reference": f"Patient/{client_id}"}, "type": "replaced-by"}]
            patients[other] = _patient(other, row) | {"active": False, "link": link}
            merged[client_id] = other
    return list(patients.values()), merged


def _names(row: Row, use: str) -> list[Resource]:
    given = [name for name in (row["first_name"], row["middle_name"]) if name]
    name = {
        "use": use,
        "family": row["last_name"],
        "given": given or None,
        "suffix": [row["name_suffix"]] if row["name_suffix"] else None,
    }
    return [{key: value for key, value in name.items() if value}] if given or row["last_name"] else []


def _patient(patient_id: str, row: Row) -> Resource:
    races = (row["race_ethnicity"] or "").split(";")
    extensions = [
        {
            "url": f"{_US_CORE}/us-core-{name}",
            "extension": [
                {
                    "url": "ombCategory",
                    "valueCoding": {"code": code},
                }
                for code in codes
            ],
        }
        for name, codes in (
            ("race", [_RACES[race] for race in races if race in _RACES]),
            ("ethnicity", ["2135-2"] if _HISPANIC in races else []),
        )
        if codes
    ]
    patient = {
        "resourceType": "Patient",
        "id": patient_id,
        "extension": extensions,
        "identifier": [{"system": "http://hl7.org/fhir/sid/us-ssn", "value": row["ssn"]}]
        if row["ssn"]
        else None,
        "name": _names(row, "official"),
        "gender": _GENDERS.get(row["sex"] or ""),
        "birthDate": row["birth_date"],
        "address": [{"use": "home", "postalCode": row["zip"]}] if row["zip"] else None,
    }
    return {key: value for key, value in patient.items() if value}


def _admitted_from(rows: list[dict[str, str]]) -> dict[str, str]:
    """By stay, the ED visit of the same client that it followed within a day."""
    stays = [row for row in rows if row["kind"] in _ADMISSIONS]
    became: dict[str, str] = {}
    for visit in rows:
        if visit["kind"] != "ed" or visit["disposition"] != "admitted":
            continue
        left = datetime.fromisoformat(visit["ended_at"])
        following = (
            stay
            for stay in stays
            if stay["client_id"] == visit["client_id"]
            and stay["encounter_id"] not in became
            and timedelta() <= datetime.fromisoformat(stay["started_at"]) - left <= timedelta(days=1)
        )
        stay = next(following, None)
        if stay is not None:
            became[stay["encounter_id"]] = visit["encounter_id"]
    return became


def _encounter(row: dict[str, str], subject: str, became: dict[str, str]) -> Resource:
    kind, origin = row["kind"], row["admit_origin"]
    is_over = row["ended_at"] is not None
    stay: Resource = {}
    if origin:
        stay["admitSource"] = _concept(*_ADMIT_SOURCES[origin])
    if is_over and row["disposition"] and row["encounter_id"] not in became.values():
        stay["dischargeDisposition"] = _concept(*_DISPOSITIONS[row["disposition"]])
    encounter: Resource = {
        "resourceType": "Encounter",
        "id": row["encounter_id"],
        "status": "finished" if is_over else "in-progress",
        "class": {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": _CLASSES[kind]},
        "subject": {"reference": f"Patient/{subject}"},
        "period": {"start": row["started_at"] + _OFFSET}
        | ({"end": row["ended_at"] + _OFFSET} if is_over else {}),
        "hospitalization": stay,
    }
    if kind == "psychiatric":
        encounter["serviceType"] = _concept(_SNOMED, "310116000")
    if kind == "outpatient_bh":
        encounter["type"] = [_concept("http://www.ama-assn.org/go/cpt", "90837")]
    if origin == "ambulance":
        encounter["extension"] = [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/encounter-modeOfArrival",
                "valueCoding": {"system": f"{_TERMINOLOGY}/v2-0430", "code": "A"},
            }
        ]
    if row["encounter_id"] in became:
        encounter["partOf"] = {"reference": f"Encounter/{became[row['encounter_id']]}"}
    return encounter


def _not_counted(visit: Resource) -> list[Resource]:
    """A visit to a general clinic, and an encounter entered in error, by the same patient."""
    clinic = {key: visit[key] for key in ("resourceType", "subject", "period")} | {
        "id": f"{visit['id']}-clinic",
        "status": "finished",
        "class": {"system": f"{_TERMINOLOGY}/v3-ActCode", "code": "AMB"},
    }
    return [clinic, visit | {"id": f"{visit['id']}-error", "status": "entered-in-error"}]


WRITERS = (
    NativeWriter(name="fhir-ndjson", source="hospital", format="fhir-ndjson", write=write_fhir_ndjson),
)
