"""Encounters: their kinds, the stays that several of them are, how they ended, and their diagnoses."""

from collections.abc import Iterator
from datetime import date
from pathlib import Path

import polars as pl

from linkage.encoding.columns import raw_encounter_columns
from linkage.encoding.formats import within_window
from linkage.encoding.formats.fhir_ndjson.codes import (
    ADMISSION_CLASSES,
    ADMIT_SOURCES,
    ARRIVED_BY_AMBULANCE,
    CPT_SYSTEM,
    DISPOSITIONS,
    DROPPED_STATUSES,
    FROM_ED,
    HCPCS_SYSTEMS,
    ICD10_SYSTEMS,
    MENTAL_HEALTH_SERVICES,
    MODE_OF_ARRIVAL,
    NOT_CONFIRMED,
    PATIENT_STATUSES,
    POINTS_OF_ORIGIN,
    PSYCHIATRIC_ROOMS,
    PSYCHIATRY_PROCEDURES,
    SUBSTANCE_USE_SERVICES,
    UB04_SYSTEMS,
    UNKNOWN_ORIGINS,
    VISIT_CLASSES,
)
from linkage.encoding.formats.fhir_ndjson.resources import (
    LINES_PER_BATCH,
    Json,
    Reading,
    Row,
    codings_of,
    object_of,
    objects_in,
    referred_id,
    text_of,
)
from linkage.encoding.receipt import LEFT_EMPTY, LEFT_OUT
from linkage.source import declared_sources

_ADMISSIONS = ("inpatient", "psychiatric", "observation")
"""Kinds that an ED visit may turn into; each is a stay whose units may be encounters of their own."""

_ADMITTED_SOON = pl.duration(hours=24)
"""How long after the end of an ED visit a stay said to have come from the ED may begin."""

ENCOUNTER_ELEMENTS = {
    "encounter_id": "id",
    "client_id": "subject",
    "kind": "class",
    "started_at": "period.start",
    "ended_at": "period.end",
    "diagnosis_codes": "Condition.code",
    "disposition": "hospitalization.dischargeDisposition",
    "admit_origin": "hospitalization.admitSource",
}

ENCOUNTER_ROW = {
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


def encounters_of_window(
    path: Path, reading: Reading, covers_from: date, covers_to: date
) -> Iterator[pl.DataFrame]:
    """Rows of a file's encounters that touch the window. Visits that led to a stay which was not over before the
    window are noted: how a visit of the window ended is told even when the stay began after it."""
    for batch in _encounter_batches(path, reading):
        stays = within_window(batch, covers_from, date.max).filter(pl.col("kind").is_in(_ADMISSIONS))
        reading.led_to_admission.update(stays.get_column("part_of").drop_nulls())
        yield within_window(batch, covers_from, covers_to, known_at_end=("disposition",))


def _encounter_batches(path: Path, reading: Reading) -> Iterator[pl.DataFrame]:
    """Rows (ENCOUNTER_ROW) of a file's encounters, a batch at a time; what is left out is counted or listed."""
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
        if len(batch) >= LINES_PER_BATCH:
            yield pl.DataFrame(batch, schema=ENCOUNTER_ROW, orient="row")
            batch = []
        if max(len(left_out), len(left_empty)) >= LINES_PER_BATCH:
            reading.note(path, left_out, LEFT_OUT)
            reading.note(path, left_empty, LEFT_EMPTY)
    reading.note(path, left_out, LEFT_OUT)
    reading.note(path, left_empty, LEFT_EMPTY)
    yield pl.DataFrame(batch, schema=ENCOUNTER_ROW, orient="row")


def _encounter_rows(
    encounter: dict[str, Json],
    path: Path,
    row: int,
    reading: Reading,
    left_empty: list[tuple[int, str, str]],
) -> list[Row]:
    """The row of an encounter, or two when the ED visit that it began as is in its class history.

    Raises _DroppedError or _BrokenError.
    """
    status = text_of(encounter.get("status"))
    if status in DROPPED_STATUSES:
        raise _DroppedError(DROPPED_STATUSES[status])
    kind = _kind(encounter, reading)
    resource, client = text_of(encounter.get("id")), referred_id(encounter.get("subject"), "Patient")
    if resource is None:
        raise _BrokenError("id", "missing")
    if client is None:
        raise _BrokenError("subject", "missing")
    period = object_of(encounter.get("period"))
    started_at = reading.times.local_in(path, row, "period.start", text_of(period.get("start")))
    ended_at = reading.times.local_in(path, row, "period.end", text_of(period.get("end")))
    if ended_at is None and (status == "finished" or "end" in period):
        # a stay that is over and does not say when may not pass for one that is open
        if kind != "outpatient_bh":
            raise _BrokenError("period.end", "missing")
        ended_at = started_at
    stay = object_of(encounter.get("hospitalization"))
    part_of = referred_id(encounter.get("partOf"), "Encounter")
    sources = codings_of(stay.get("admitSource"))
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
        "from_ed": any(code == FROM_ED for _, code in sources),
        "version": text_of(object_of(encounter.get("meta")).get("lastUpdated")),
    }
    if kind not in _ADMISSIONS:
        return [made]
    return _split_at_admission(made, encounter, path, row, reading)


def _kind(encounter: dict[str, Json], reading: Reading) -> str:
    """The template's kind of an encounter; raises _DroppedError or _BrokenError for those without one."""
    code = text_of(object_of(encounter.get("class")).get("code"))
    if code == "EMER":
        return "ed"
    if code == "OBSENC":
        return "observation"
    if code == "PRENC":
        raise _DroppedError("pre-admissions")
    if code in ADMISSION_CLASSES:
        return "psychiatric" if _is_behavioral(encounter, reading, for_stays=True) else "inpatient"
    if code in VISIT_CLASSES:
        if _is_behavioral(encounter, reading, for_stays=False):
            return "outpatient_bh"
        raise _DroppedError("outpatient visits not coded as behavioral health")
    raise _BrokenError("class", "missing" if code is None else "unknown_code")


def _is_behavioral(encounter: dict[str, Json], reading: Reading, *, for_stays: bool) -> bool:
    types = encounter.get("type")
    concepts = [encounter.get("serviceType"), *(types if isinstance(types, list) else ())]
    for system, code in (coding for concept in concepts for coding in codings_of(concept)):
        if not reading.behavioral_types.isdisjoint({code, f"{system}|{code}"}):
            return True
        if (system, code) in MENTAL_HEALTH_SERVICES:
            return True
        if for_stays:
            if "nubc" in system.lower() and code in PSYCHIATRIC_ROOMS:
                return True
        elif (
            (system, code) in SUBSTANCE_USE_SERVICES
            or (
                system == CPT_SYSTEM
                and code.isascii()
                and code.isdigit()
                and int(code[:9]) in PSYCHIATRY_PROCEDURES
            )
            or (code.startswith("H") and any(each in system.lower() for each in HCPCS_SYSTEMS))
        ):
            return True
    return False


def _is_ub04(system: str) -> bool:
    return any(each in system.lower() for each in UB04_SYSTEMS)


def _disposition(stay: dict[str, Json], row: int, left_empty: list[tuple[int, str, str]]) -> str | None:
    codings = codings_of(stay.get("dischargeDisposition"))
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
    holders = (encounter, object_of(encounter.get("hospitalization")))
    arrivals = [
        text_of(object_of(extension.get("valueCoding")).get("code"))
        for holder in holders
        for extension in objects_in(holder.get("extension"))
        if extension.get("url") == MODE_OF_ARRIVAL
    ]
    if any(arrival in ARRIVED_BY_AMBULANCE for arrival in arrivals):
        return "ambulance"
    known = [origin for origin in origins if origin is not None]
    if sources and not known and not any(code in UNKNOWN_ORIGINS for _, code in sources):
        left_empty.append((row, "hospitalization.admitSource", "unknown_code"))
    return known[0] if known else None


def _split_at_admission(
    stay: Row, encounter: dict[str, Json], path: Path, row: int, reading: Reading
) -> list[Row]:
    """The stay, and before it the ED visit it began as, when the class history says when that ended."""
    begins: list[str] = []
    starts: list[str] = []
    ends: list[str] = []
    for past in objects_in(encounter.get("classHistory")):
        code = text_of(object_of(past.get("class")).get("code"))
        period = object_of(past.get("period"))
        start = reading.times.local_in(path, row, "classHistory.period.start", text_of(period.get("start")))
        end = reading.times.local_in(path, row, "classHistory.period.end", text_of(period.get("end")))
        if code == "EMER":
            starts += [start] if start else []
            ends += [end] if end else []
        elif code in (*ADMISSION_CLASSES, "OBSENC") and start:
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


def one_row_per_encounter(rows: pl.DataFrame, reading: Reading) -> pl.DataFrame:
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


def with_dispositions(rows: pl.DataFrame, reading: Reading) -> pl.DataFrame:
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


def with_diagnoses(rows: pl.DataFrame, files: list[Path], reading: Reading) -> pl.DataFrame:
    """`rows` with the ICD-10-CM codes of the Conditions that refer to them."""
    kept = frozenset(rows.get_column("resource"))
    codes: dict[str, dict[str, None]] = {}
    for path in files:
        for _, condition in reading.resources(path, "Condition"):
            encounter = referred_id(condition.get("encounter"), "Encounter")
            if encounter not in kept or encounter is None:
                continue
            statuses = {code for _, code in codings_of(condition.get("verificationStatus"))}
            found = [code for system, code in codings_of(condition.get("code")) if system in ICD10_SYSTEMS]
            if not statuses.isdisjoint(NOT_CONFIRMED):
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
