"""FHIR R4 bulk export: Patient, Encounter and Condition as NDJSON, one resource per line.

docs/formats/fhir-ndjson.md says which elements are read and what their codes become. Files are read line by
line; what is held in memory are the encounters of the window, their diagnosis codes, and the ids of merged
patients.
"""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.encoding.formats import NativeFormat, TemplateExtract, TemplateTable, within_window
from linkage.encoding.local_times import LocalTimes, UtcTimeError, county_zone, read_mapping
from linkage.encoding.receipt import LEFT_EMPTY, LEFT_OUT
from linkage.errors import UsageError
from linkage.source import declared_sources

Json: TypeAlias = Any
Row: TypeAlias = dict[str, str | int | bool | None]

_LINES_PER_BATCH = 20_000

_ADMISSION_CLASSES = ("IMP", "ACUTE", "NONAC")
_VISIT_CLASSES = ("AMB", "VR", "HH", "FLD", "SS")
_ADMISSIONS = ("inpatient", "psychiatric", "observation")
"""Kinds that an ED visit may turn into; each is a stay whose units may be encounters of their own."""

_ADMITTED_SOON = pl.duration(hours=24)
"""How long after the end of an ED visit a stay said to have come from the ED may begin."""

DISPOSITIONS = {
    "home": "home",
    "alt-home": "home",
    "other-hcf": "transferred",
    "hosp": "other",
    "long": "nursing_facility",
    "aadvice": "ama",
    "exp": "expired",
    "psy": "psychiatric",
    "rehab": "transferred",
    "snf": "nursing_facility",
    "oth": "other",
}
"""http://terminology.hl7.org/CodeSystem/discharge-disposition."""

PATIENT_STATUSES = {
    "01": "home", "02": "transferred", "03": "nursing_facility", "04": "nursing_facility", "05": "transferred",
    "06": "home", "07": "ama", "09": "admitted", "20": "expired", "21": "law_enforcement", "30": "still_patient",
    "40": "expired", "41": "expired", "42": "expired", "43": "transferred", "50": "other", "51": "other",
    "61": "transferred", "62": "transferred", "63": "transferred", "64": "nursing_facility", "65": "psychiatric",
    "66": "transferred", "69": "other", "70": "other", "81": "home", "82": "transferred",
    "83": "nursing_facility", "84": "nursing_facility", "85": "transferred", "86": "home",
    "87": "law_enforcement", "88": "transferred", "89": "transferred", "90": "transferred",
    "91": "transferred", "92": "nursing_facility", "93": "psychiatric", "94": "transferred", "95": "other",
}  # fmt: skip
"""UB-04 patient status (FL 17), as NUBC and HL7 v2 table 0112 have it."""

ADMIT_SOURCES = {
    "hosp-trans": "transfer",
    "emd": "other",
    "outp": "clinic",
    "born": "other",
    "gp": "clinic",
    "mp": "clinic",
    "nursing": "transfer",
    "psych": "transfer",
    "rehab": "transfer",
    "other": "other",
}
"""http://terminology.hl7.org/CodeSystem/admit-source."""

POINTS_OF_ORIGIN = {
    "1": "home", "2": "clinic", "4": "transfer", "5": "transfer", "6": "transfer", "8": "law_enforcement",
    "D": "transfer", "E": "clinic", "F": "transfer", "G": "other",
}  # fmt: skip
"""UB-04 point of origin (FL 15); 9 is not known."""

_UNKNOWN_ORIGINS = ("9",)
_FROM_ED = "emd"
_MODE_OF_ARRIVAL = "http://hl7.org/fhir/StructureDefinition/encounter-modeOfArrival"
_ARRIVED_BY_AMBULANCE = ("A", "H")  # HL7 v2 table 0430: ambulance, helicopter

_UB04_SYSTEMS = ("nubc", "v2-0112", "v2-0023", "2.16.840.1.113883.6.301")
_ICD10_SYSTEMS = ("http://hl7.org/fhir/sid/icd-10-cm", "urn:oid:2.16.840.1.113883.6.90")
_SSN_SYSTEMS = ("http://hl7.org/fhir/sid/us-ssn", "urn:oid:2.16.840.1.113883.4.1")

_SNOMED = "http://snomed.info/sct"
MENTAL_HEALTH_SERVICES = frozenset(
    {
        (_SNOMED, "310116000"),  # psychiatry service
        (_SNOMED, "310117009"),  # child and adolescent psychiatry service
        (_SNOMED, "394587001"),  # psychiatry
        (_SNOMED, "394588006"),  # child and adolescent psychiatry
        ("http://terminology.hl7.org/CodeSystem/service-category", "22"),  # mental health
        ("http://nucc.org/provider-taxonomy", "273R00000X"),  # psychiatric unit
        ("http://nucc.org/provider-taxonomy", "283Q00000X"),  # psychiatric hospital
        ("http://nucc.org/provider-taxonomy", "2084P0800X"),  # psychiatry
        ("http://nucc.org/provider-taxonomy", "261QM0801X"),  # community mental health clinic
        ("http://nucc.org/provider-taxonomy", "251S00000X"),  # community behavioral health agency
    }
)
"""Codes of Encounter.serviceType and Encounter.type that make a stay psychiatric and a visit behavioral."""

SUBSTANCE_USE_SERVICES = frozenset(
    {
        ("http://terminology.hl7.org/CodeSystem/service-category", "12"),  # drug/alcohol
        ("http://nucc.org/provider-taxonomy", "261QR0405X"),  # substance use disorder rehabilitation clinic
        ("http://nucc.org/provider-taxonomy", "324500000X"),  # substance abuse rehabilitation facility
    }
)
"""Codes that make a visit behavioral but not a stay psychiatric."""

_PSYCHIATRIC_ROOMS = ("0114", "0124", "0134", "0144", "0154", "0204")  # NUBC revenue codes
_CPT, _HCPCS = "http://www.ama-assn.org/go/cpt", ("hcpcs", "2.16.840.1.113883.6.285")
_PSYCHIATRY_PROCEDURES = range(90785, 90900)  # CPT section Psychiatry

_RACE = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-race"
_ETHNICITY = "http://hl7.org/fhir/us/core/StructureDefinition/us-core-ethnicity"
RACES = {
    "1002-5": "american_indian_alaska_native",
    "2028-9": "asian",
    "2054-5": "black_african_american",
    "2076-8": "native_hawaiian_pacific_islander",
    "2106-3": "white",
    "2118-8": "middle_eastern_north_african",
    "2135-2": "hispanic_latino",
}
"""ombCategory of US Core race and ethnicity (CDC Race & Ethnicity); other codes say nothing for the list."""

_GENDERS = {"male": "M", "female": "F", "other": "X", "unknown": "U"}
_OFFICIAL_FIRST = ("official", "usual", None, "maiden", "old", "nickname", "anonymous", "temp")

_NOT_CONFIRMED = ("entered-in-error", "refuted")
_DROPPED_STATUSES = {
    "cancelled": "cancelled encounters",
    "entered-in-error": "encounters entered in error",
    "planned": "planned encounters",
}

_ENCOUNTER_ELEMENTS = {
    "encounter_id": "id",
    "client_id": "subject",
    "kind": "class",
    "started_at": "period.start",
    "ended_at": "period.end",
    "diagnosis_codes": "Condition.code",
    "disposition": "hospitalization.dischargeDisposition",
    "admit_origin": "hospitalization.admitSource",
}
_PEOPLE_ELEMENTS = {
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
_ROW_SCHEMA = {
    "row_number": pl.Int64,
    **dict.fromkeys(raw_encounter_columns(declared_sources()["hospital"]), pl.String),
    "resource": pl.String,
    "part_of": pl.String,
    "from_ed": pl.Boolean,
    "version": pl.String,
}


class _DroppedError(Exception):
    """A resource is left out on purpose; the argument is the reason."""


class _BrokenError(Exception):
    """A resource cannot be used; the arguments are the element and the rule."""


@dataclass(kw_only=True)
class _Reading:
    """What a run of the reader knows and notes while lines go by."""

    extract: TemplateExtract
    times: LocalTimes
    behavioral_types: frozenset[str]
    survivors: dict[str, str] = field(default_factory=dict)
    led_to_admission: set[str] = field(default_factory=set)

    def resources(self, path: Path, resource_type: str) -> Iterator[tuple[int, dict[str, Json]]]:
        """Line number and resource of every line of that type; lists the other lines."""
        broken: list[tuple[int, str, str]] = []
        found = 0
        for row, line in _lines(path):
            resource = _parsed(line)
            if resource is None:
                broken.append((row, "line", "unreadable"))
            elif resource.get("resourceType") != resource_type:
                broken.append((row, "resourceType", "unexpected"))
            else:
                found += 1
                yield row, resource
        self.note(path, broken, LEFT_OUT)
        if broken and not found:
            raise UsageError(
                f"{path} has no {resource_type} of FHIR R4 in any line; export {resource_type} as NDJSON, one "
                "resource per line."
            )

    def note(self, path: Path, problems: list[tuple[int, str, str]], outcome: str) -> None:
        """List problems (row, element, rule) of a file."""
        schema = {"row_number": pl.Int64, "column": pl.String, "rule": pl.String}
        self.extract.problems.add(path.name, pl.DataFrame(problems, schema=schema, orient="row"), outcome)

    def survivor(self, client_id: str) -> str:
        """The id that a patient's id was merged into, the id itself for most; of a circle, the smallest."""
        seen = [client_id]
        while (follows := self.survivors.get(seen[-1])) is not None:
            if follows in seen:
                return min(seen[seen.index(follows) :])
            seen.append(follows)
        return seen[-1]

    def local(self, written: str | None, path: Path, row: int, element: str) -> str | None:
        """A time as local ISO text; raises UsageError for one in UTC when the county's zone is not known."""
        try:
            return None if written is None else self.times.local(written)
        except UtcTimeError:
            raise UsageError(
                f"{path}, row {row}, column {element}: the time is in UTC; export local times, or name the "
                "county's time_zone in a mapping file."
            ) from None


def read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    """The encounters of the window in the bulk export at `folder`; see `ReadNative`.

    The mapping file may have `time_zone`, for exports in UTC, and `behavioral_health_types`, the hospital's
    own codes of Encounter.serviceType and Encounter.type, as `code` or `system|code`.
    """
    settings = read_mapping(mapping, ("time_zone", "behavioral_health_types"))
    types = settings.get("behavioral_health_types", [])
    if not (isinstance(types, list) and all(isinstance(each, str) for each in types)):
        raise UsageError(f"{mapping}: behavioral_health_types must be a list of codes in quotes.")
    reading = _Reading(
        extract=TemplateExtract(people=(), encounters=()),
        times=LocalTimes(county_zone(settings, mapping)),
        behavioral_types=frozenset(types),
    )
    patients, encounters, conditions = (
        _files(folder, resource_type) for resource_type in ("Patient", "Encounter", "Condition")
    )
    for path in patients:
        _note_merges(path, reading)
    parts = [
        within_window(batch, covers_from, covers_to, known_at_end=("disposition",)).with_columns(
            file=pl.lit(number, pl.Int32)
        )
        for number, path in enumerate(encounters)
        for batch in _encounter_batches(path, reading)
    ]
    rows = pl.concat(parts) if parts else pl.DataFrame(schema={**_ROW_SCHEMA, "file": pl.Int32})
    rows = _one_row_per_encounter(rows, reading)
    rows = _with_dispositions(rows, reading)
    rows = _with_diagnoses(rows, conditions, reading)
    clients = frozenset(rows.get_column("client_id").drop_nulls())
    extract = reading.extract
    extract.people = tuple(
        TemplateTable(
            path=path,
            frames=partial(_people_batches, path, reading, clients),
            native_columns=_PEOPLE_ELEMENTS,
        )
        for path in patients
    )
    columns = raw_encounter_columns(declared_sources()["hospital"])
    extract.encounters = tuple(
        TemplateTable(
            path=path,
            frames=partial(iter, [rows.filter(pl.col("file") == number).select("row_number", *columns)]),
            native_columns=_ENCOUNTER_ELEMENTS,
        )
        for number, path in enumerate(encounters)
    )
    return extract


def _files(folder: Path, resource_type: str) -> list[Path]:
    files = sorted(folder.glob(f"*{resource_type}*.ndjson")) if folder.is_dir() else []
    if not files:
        raise UsageError(
            f"{folder} has no {resource_type}*.ndjson; it must be the folder of an unpacked bulk export with Patient, "
            "Encounter and Condition."
        )
    return files


def _lines(path: Path) -> Iterator[tuple[int, bytes]]:
    try:
        with path.open("rb") as file:
            for row, line in enumerate(file, start=1):
                if line.strip():
                    yield row, line
    except OSError:
        raise UsageError(f"{path} cannot be read; see that it is a file and who may read it.") from None


def _parsed(line: bytes) -> dict[str, Json] | None:
    try:
        resource = json.loads(line)
    except (ValueError, RecursionError):
        return None
    return resource if isinstance(resource, dict) else None


def _text(value: Json) -> str | None:
    """A text that can be written as UTF-8, stripped; null for anything else."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeError:
        return None
    return value.strip() or None


def _list(value: Json) -> list[dict[str, Json]]:
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def _dict(value: Json) -> dict[str, Json]:
    return value if isinstance(value, dict) else {}


def _codings(concept: Json) -> list[tuple[str, str]]:
    """System and code of every coding of a CodeableConcept."""
    codings = (
        (_text(each.get("system")), _text(each.get("code"))) for each in _list(_dict(concept).get("coding"))
    )
    return [(system or "", code) for system, code in codings if code is not None]


def _referred(reference: Json, resource_type: str) -> str | None:
    """The id in a literal reference, relative or absolute, with or without a version."""
    written = _text(_dict(reference).get("reference")) or ""
    _, found, rest = f"/{written}".rpartition(f"/{resource_type}/")
    return (rest.split("/")[0] or None) if found else None


def _note_merges(path: Path, reading: _Reading) -> None:
    """Note in `survivors` which patients were merged into which."""
    for _, line in _lines(path):
        patient = (_parsed(line) or {}) if b'"link"' in line else {}
        own = _text(patient.get("id"))
        for link in _list(patient.get("link")):
            other = _referred(link.get("other"), "Patient")
            if own is None or other is None or own == other:
                continue
            if link.get("type") == "replaced-by":
                reading.survivors[own] = min(other, reading.survivors.get(own, other))
            elif link.get("type") == "replaces":
                reading.survivors[other] = min(own, reading.survivors.get(other, own))


def _encounter_batches(path: Path, reading: _Reading) -> Iterator[pl.DataFrame]:
    left_out: list[tuple[int, str, str]] = []
    left_empty: list[tuple[int, str, str]] = []
    batch: list[Row] = []
    for row, encounter in reading.resources(path, "Encounter"):
        try:
            batch += _encounter_rows(encounter, path, row, reading, left_empty)
        except _DroppedError as dropped:
            reading.extract.dropped[str(dropped)] += 1
        except _BrokenError as broken:
            left_out.append((row, *broken.args))
        if len(batch) >= _LINES_PER_BATCH:
            yield pl.DataFrame(batch, schema=_ROW_SCHEMA, orient="row")
            batch = []
    reading.note(path, left_out, LEFT_OUT)
    reading.note(path, left_empty, LEFT_EMPTY)
    yield pl.DataFrame(batch, schema=_ROW_SCHEMA, orient="row")


def _encounter_rows(
    encounter: dict[str, Json],
    path: Path,
    row: int,
    reading: _Reading,
    left_empty: list[tuple[int, str, str]],
) -> list[Row]:
    """The row of an encounter, or two when the ED visit that it began as is in its class history.

    Raises _DroppedError or _BrokenError.
    """
    status = _text(encounter.get("status"))
    if status in _DROPPED_STATUSES:
        raise _DroppedError(_DROPPED_STATUSES[status])
    kind = _kind(encounter, reading)
    resource, client = _text(encounter.get("id")), _referred(encounter.get("subject"), "Patient")
    if resource is None:
        raise _BrokenError("id", "missing")
    if client is None:
        raise _BrokenError("subject", "missing")
    period = _dict(encounter.get("period"))
    started_at = reading.local(_text(period.get("start")), path, row, "period.start")
    ended_at = reading.local(_text(period.get("end")), path, row, "period.end")
    if ended_at is None and (status == "finished" or "end" in period):
        # a stay that is over and does not say when may not pass for one that is open
        if kind != "outpatient_bh":
            raise _BrokenError("period.end", "missing")
        ended_at = started_at
    stay = _dict(encounter.get("hospitalization"))
    part_of = _referred(encounter.get("partOf"), "Encounter")
    if kind in _ADMISSIONS and part_of is not None:
        reading.led_to_admission.add(part_of)
    sources = _codings(stay.get("admitSource"))
    made: Row = {
        "row_number": row,
        "encounter_id": resource,
        "client_id": reading.survivor(client),
        "kind": kind,
        "started_at": started_at,
        "ended_at": ended_at,
        "disposition": _disposition(stay, row, left_empty),
        "admit_origin": _origin(encounter, sources, row, left_empty),
        "resource": resource,
        "part_of": part_of,
        "from_ed": any(code == _FROM_ED for _, code in sources),
        "version": _text(_dict(encounter.get("meta")).get("lastUpdated")),
    }
    if kind not in _ADMISSIONS:
        return [made]
    return _split_at_admission(made, encounter, path, row, reading)


def _kind(encounter: dict[str, Json], reading: _Reading) -> str:
    """The template's kind of an encounter; raises _DroppedError or _BrokenError for those without one."""
    code = _text(_dict(encounter.get("class")).get("code"))
    if code == "EMER":
        return "ed"
    if code == "OBSENC":
        return "observation"
    if code == "PRENC":
        raise _DroppedError("pre-admissions")
    if code in _ADMISSION_CLASSES:
        return "psychiatric" if _is_behavioral(encounter, reading, for_stays=True) else "inpatient"
    if code in _VISIT_CLASSES:
        if _is_behavioral(encounter, reading, for_stays=False):
            return "outpatient_bh"
        raise _DroppedError("outpatient visits not coded as behavioral health")
    raise _BrokenError("class", "missing" if code is None else "unknown_code")


def _is_behavioral(encounter: dict[str, Json], reading: _Reading, *, for_stays: bool) -> bool:
    types = encounter.get("type")
    concepts = [encounter.get("serviceType"), *(types if isinstance(types, list) else ())]
    for system, code in (coding for concept in concepts for coding in _codings(concept)):
        if not reading.behavioral_types.isdisjoint({code, f"{system}|{code}"}):
            return True
        if (system, code) in MENTAL_HEALTH_SERVICES:
            return True
        if for_stays:
            if "nubc" in system.lower() and code in _PSYCHIATRIC_ROOMS:
                return True
        elif (
            (system, code) in SUBSTANCE_USE_SERVICES
            or (
                system == _CPT
                and code.isascii()
                and code.isdigit()
                and int(code[:9]) in _PSYCHIATRY_PROCEDURES
            )
            or (code.startswith("H") and any(each in system.lower() for each in _HCPCS))
        ):
            return True
    return False


def _is_ub04(system: str) -> bool:
    return any(each in system.lower() for each in _UB04_SYSTEMS)


def _disposition(stay: dict[str, Json], row: int, left_empty: list[tuple[int, str, str]]) -> str | None:
    codings = _codings(stay.get("dischargeDisposition"))
    for system, code in codings:
        table = PATIENT_STATUSES if _is_ub04(system) else DISPOSITIONS
        found = table.get(code.zfill(2) if table is PATIENT_STATUSES else code)
        if found is not None:
            return found
    if codings:
        left_empty.append((row, "hospitalization.dischargeDisposition", "unknown_code"))
    return None


def _origin(
    encounter: dict[str, Json],
    sources: list[tuple[str, str]],
    row: int,
    left_empty: list[tuple[int, str, str]],
) -> str | None:
    """Where the patient came from. An ambulance tells more than the place it came from; a court or the police
    tell more than either."""
    origins = [
        (POINTS_OF_ORIGIN if _is_ub04(system) else ADMIT_SOURCES).get(code) for system, code in sources
    ]
    if "law_enforcement" in origins:
        return "law_enforcement"
    holders = (encounter, _dict(encounter.get("hospitalization")))
    arrivals = [
        _text(_dict(extension.get("valueCoding")).get("code"))
        for holder in holders
        for extension in _list(holder.get("extension"))
        if extension.get("url") == _MODE_OF_ARRIVAL
    ]
    if any(arrival in _ARRIVED_BY_AMBULANCE for arrival in arrivals):
        return "ambulance"
    known = [origin for origin in origins if origin is not None]
    if sources and not known and not any(code in _UNKNOWN_ORIGINS for _, code in sources):
        left_empty.append((row, "hospitalization.admitSource", "unknown_code"))
    return known[0] if known else None


def _split_at_admission(
    stay: Row, encounter: dict[str, Json], path: Path, row: int, reading: _Reading
) -> list[Row]:
    """The stay, and before it the ED visit it began as, when the class history says when that ended."""
    begins: list[str] = []
    starts: list[str] = []
    ends: list[str] = []
    for past in _list(encounter.get("classHistory")):
        code = _text(_dict(past.get("class")).get("code"))
        period = _dict(past.get("period"))
        start = reading.local(_text(period.get("start")), path, row, "classHistory.period.start")
        end = reading.local(_text(period.get("end")), path, row, "classHistory.period.end")
        if code == "EMER":
            starts += [start] if start else []
            ends += [end] if end else []
        elif code in (*_ADMISSION_CLASSES, "OBSENC") and start:
            begins.append(start)
    if not starts:
        return [stay]
    handed_over = max(ends) if ends else min(begins, default=None)
    if handed_over is None:
        raise _BrokenError("classHistory.period.end", "missing")
    visit: Row = {
        **stay,
        "encounter_id": f"{stay['encounter_id']}#ed",
        "kind": "ed",
        "started_at": min(starts),
        "ended_at": handed_over,
        "disposition": "admitted",
        "part_of": None,
        "from_ed": False,
    }
    return [visit, {**stay, "started_at": handed_over, "from_ed": False}]


def _one_row_per_encounter(rows: pl.DataFrame, reading: _Reading) -> pl.DataFrame:
    """`rows` without older versions of an encounter and without encounters that are units of another stay."""
    line = pl.struct("file", "row_number")
    latest = (
        rows.with_row_index("place")
        .sort("version", "place", nulls_last=False)
        .filter(line == line.last().over("resource"))
        .sort("place")
    )
    parents = latest.filter(pl.col("kind").is_in(_ADMISSIONS)).select(
        part_of="encounter_id", parent_client="client_id", parent_started="started_at"
    )
    # strictly before the unit, so that no two encounters are units of each other
    earlier = (pl.col("parent_started") < pl.col("started_at")) | (
        (pl.col("parent_started") == pl.col("started_at")) & (pl.col("part_of") < pl.col("encounter_id"))
    )
    is_unit = (
        pl.col("kind").is_in(_ADMISSIONS) & earlier & (pl.col("parent_client") == pl.col("client_id"))
    ).fill_null(value=False)
    kept = (
        latest.join(parents, on="part_of", how="left", maintain_order="left")
        .filter(~is_unit)
        .drop("parent_client", "parent_started")
    )
    for reason, count in (
        ("older versions of an encounter", rows.height - latest.height),
        ("units of a stay that is an encounter of its own", latest.height - kept.height),
    ):
        if count:
            reading.extract.dropped[reason] += count
    return kept


def _with_dispositions(rows: pl.DataFrame, reading: _Reading) -> pl.DataFrame:
    """`rows` with ED visits that became an admission marked so, and what is not over as still a patient."""
    admissions = rows.filter(pl.col("kind").is_in(_ADMISSIONS))
    visits = rows.filter(pl.col("kind") == "ed").select(
        "client_id", visit="encounter_id", visit_started=_time("started_at"), visit_ended=_time("ended_at")
    )
    followed = (
        admissions.filter(pl.col("from_ed"))
        .select("client_id", stay="encounter_id", admitted=_time("started_at"))
        .join(visits, on="client_id")
        .filter(
            pl.col("visit_started") <= pl.col("admitted"),
            pl.col("visit_ended").is_null() | (pl.col("admitted") <= pl.col("visit_ended") + _ADMITTED_SOON),
        )
        .sort("stay", "visit_started", "visit")
        .unique("stay", keep="last", maintain_order=True)
        .get_column("visit")
    )
    became = reading.led_to_admission | set(followed)
    stays = set(admissions.get_column("encounter_id"))
    is_admitted = (pl.col("kind") == "ed") & (
        pl.col("encounter_id").is_in(sorted(became))
        | pl.col("part_of").is_in(sorted(stays)).fill_null(value=False)
    )
    return rows.with_columns(
        disposition=pl.when(pl.col("ended_at").is_null())
        .then(pl.lit("still_patient"))
        .when(is_admitted)
        .then(pl.lit("admitted"))
        .otherwise(pl.col("disposition"))
    )


def _time(column: str) -> pl.Expr:
    return pl.col(column).str.slice(0, 19).str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)


def _with_diagnoses(rows: pl.DataFrame, files: list[Path], reading: _Reading) -> pl.DataFrame:
    """`rows` with the ICD-10-CM codes of the Conditions that refer to them."""
    kept = frozenset(rows.get_column("resource"))
    codes: dict[str, dict[str, None]] = {}
    for path in files:
        for _, condition in reading.resources(path, "Condition"):
            encounter = _referred(condition.get("encounter"), "Encounter")
            if encounter not in kept or encounter is None:
                continue
            statuses = {code for _, code in _codings(condition.get("verificationStatus"))}
            found = [code for system, code in _codings(condition.get("code")) if system in _ICD10_SYSTEMS]
            if not statuses.isdisjoint(_NOT_CONFIRMED):
                reading.extract.dropped["conditions refuted or entered in error"] += 1
            elif not found:
                reading.extract.dropped["conditions without an ICD-10-CM code"] += 1
            else:
                codes.setdefault(encounter, {}).update(dict.fromkeys(found))
    diagnoses = pl.DataFrame(
        {"resource": list(codes), "diagnosis_codes": [";".join(found) for found in codes.values()]},
        schema={"resource": pl.String, "diagnosis_codes": pl.String},
    )
    return rows.drop("diagnosis_codes").join(diagnoses, on="resource", how="left", maintain_order="left")


def _people_batches(path: Path, reading: _Reading, clients: frozenset[str]) -> Iterator[pl.DataFrame]:
    schema = {"row_number": pl.Int64, **dict.fromkeys(RAW_PEOPLE_COLUMNS, pl.String)}
    batch: list[Row] = []
    for row, patient in reading.resources(path, "Patient"):
        own = _text(patient.get("id"))
        client_id = None if own is None else reading.survivor(own)
        if client_id in clients:
            batch += [
                {"row_number": row, "client_id": client_id, **person} for person in _identities(patient)
            ]
        if len(batch) >= _LINES_PER_BATCH:
            yield pl.DataFrame(batch, schema=schema, orient="row")
            batch = []
    if batch:
        yield pl.DataFrame(batch, schema=schema, orient="row")


def _identities(patient: dict[str, Json]) -> list[Row]:
    """One row per name that the patient goes by, the official one first."""
    common: Row = {
        "birth_date": _text(patient.get("birthDate")),
        "sex": _sex(patient),
        "race_ethnicity": _races(patient),
        "ssn": _ssn(patient),
        "zip": _zip(patient),
    }
    names = sorted(
        _list(patient.get("name")),
        key=lambda name: _OFFICIAL_FIRST.index(use) if (use := name.get("use")) in _OFFICIAL_FIRST else 2,
    )
    rows: list[Row] = []
    for name in names or [{}]:
        given = [text for text in map(_text, _texts(name.get("given"))) if text]
        suffixes = [text for text in map(_text, _texts(name.get("suffix"))) if text]
        family = _text(name.get("family"))
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


def _texts(value: Json) -> list[Json]:
    return value if isinstance(value, list) else []


def _sex(patient: dict[str, Json]) -> str | None:
    gender = _text(patient.get("gender"))
    return None if gender is None else _GENDERS.get(gender, gender)


def _races(patient: dict[str, Json]) -> str | None:
    codes = [
        _text(_dict(part.get("valueCoding")).get("code"))
        for extension in _list(patient.get("extension"))
        if extension.get("url") in (_RACE, _ETHNICITY)
        for part in _list(extension.get("extension"))
        if part.get("url") == "ombCategory"
    ]
    return ";".join(sorted({RACES[code] for code in codes if code in RACES})) or None


def _ssn(patient: dict[str, Json]) -> str | None:
    return next(
        (
            value
            for identifier in _list(patient.get("identifier"))
            if identifier.get("system") in _SSN_SYSTEMS and identifier.get("use") != "old"
            if (value := _text(identifier.get("value"))) is not None
        ),
        None,
    )


def _zip(patient: dict[str, Json]) -> str | None:
    return next(
        (
            code
            for address in _list(patient.get("address"))
            if address.get("use") not in ("old", "billing", "work")
            if (code := _text(address.get("postalCode"))) is not None
        ),
        None,
    )


FORMAT = NativeFormat(
    name="fhir-ndjson",
    source="hospital",
    says="FHIR R4 bulk export: Patient, Encounter and Condition as NDJSON.",
    read=read,
)
