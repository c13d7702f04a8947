"""NEMSIS 3.5 as a CSV with one row per patient care report and columns named after elements.

Every report is one response until several units of one incident turn out to have reported the same person;
docs/formats/nemsis-csv.md says which elements are read and what their codes become. The rows of the window are
held in memory, the rest of an export is only passed through.
"""

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from functools import partial
from pathlib import Path

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.encoding.extract import BATCH_ROWS
from linkage.encoding.formats import NativeFormat, TemplateExtract, TemplateTable, within_window
from linkage.encoding.local_times import LocalTimes, UtcTimeError, county_zone, read_mapping
from linkage.encoding.receipt import LEFT_EMPTY
from linkage.errors import UsageError
from linkage.source import declared_sources

_REQUIRED = (
    "eRecord.01", "eResponse.05", "ePatient.02", "ePatient.03", "ePatient.17", "eTimes.03",
    "eDisposition.27", "eDisposition.30",
)  # fmt: skip
_REPEATING = (
    "ePatient.14", "eSituation.12", "eProtocols.01", "eMedications.03", "eDisposition.31", "eSituation.08",
)  # fmt: skip
_OPTIONAL = (
    "eResponse.03", "ePatient.01", "ePatient.04", "ePatient.09", "ePatient.12", "ePatient.13", "ePatient.22",
    "ePatient.23", "ePatient.25", "eTimes.01", "eTimes.12", "eTimes.13", "eDispatch.01", "eSituation.11",
    "eSituation.20", "eDisposition.21",
)  # fmt: skip
ELEMENTS = (*_REQUIRED, *_REPEATING, *_OPTIONAL)
"""The elements that are read; a repeating one may have several columns, or several values in one."""

SERVICES: dict[str, str | None] = {
    "2205001": "emergency",
    "2205003": "intercept",
    "2205009": "mutual_aid",
    "2205005": "interfacility_transfer",
    "2205015": "interfacility_transfer",
    "2205017": "interfacility_transfer",
    "2205019": "interfacility_transfer",
    "2205007": "other_transport",
    "2205011": "public_assistance",
    "2205013": "standby",
    "2205021": None,  # support services
    "2205023": None,  # non-patient care rescue or extrication
    "2205031": "mobile_integrated_health",
    "2205033": "special_referral",
}
"""eResponse.05, grouped. The two without a group are kept: whether a patient was met tells what they were."""

_NO_PATIENT_SERVICES = ("2205025", "2205027", "2205029", "2205035")
"""Crew transport, organs or body parts, mortuary services, administrative operations."""

DESTINATIONS = {
    "4221001": "home",
    "4221003": "hospital_ed",
    "4221005": "hospital_bed",
    "4221007": "clinic",
    "4221009": "morgue",
    "4221013": "other",
    "4221015": "other",
    "4221017": "other",
    "4221019": "jail",
    "4221021": "urgent_care",
    "4221023": "freestanding_ed",
    "4221025": "clinic",
    "4221027": "clinic",
    "4221029": "home",
    "4221031": "mental_health_facility",
    "4221033": "other",
    "4221035": "other",
    "4221037": "other",
    "4221039": "rehab",
    "4221041": "other",
}
"""eDisposition.21, grouped. Assisted living is where somebody lives; physical rehabilitation is no `rehab`."""

SEXES = {
    "9919001": "F", "9919003": "M", "9919005": "U",
    "9906001": "F", "9906003": "M", "9906005": "U", "9906007": "M", "9906009": "F", "9906011": "X",
}  # fmt: skip
"""ePatient.25 Sex and the deprecated ePatient.13 Gender."""

RACES = {
    "2514001": "american_indian_alaska_native",
    "2514003": "asian",
    "2514005": "black_african_american",
    "2514007": "hispanic_latino",
    "2514009": "native_hawaiian_pacific_islander",
    "2514011": "white",
    "2514013": "middle_eastern_north_african",
}
"""ePatient.14."""

_CONTACT = {
    "4227001": "true",
    **dict.fromkeys(("4227003", "4227005", "4227007", "4227009", "4227011"), "false"),
}
_BY_THIS_UNIT = ("4230001", "4230003")
_TRANSPORTED = {
    **dict.fromkeys((*_BY_THIS_UNIT, "4230005", "4230007"), "true"),
    **dict.fromkeys(("4230009", "4230011", "4230013"), "false"),
}
_TO_LAW_ENFORCEMENT = "4231007"

PROTOCOL_IMPRESSIONS = {
    "9914219": "T40.604A",
    "9914225": "T43.604A",
    "9914215": "T44.7X4A",
    "9914217": "T46.1X4A",
    "9914135": "T50.904A",
}
"""eProtocols.01 of a poisoning and the ICD-10-CM code of it, of undetermined intent: opioids, stimulants, beta
blockers, calcium channel blockers, not further known."""

_OVERDOSE_CALL, _UNKNOWN_POISONING = "2301053", "T50.904A"
_POISONING = re.compile(r"T(?:3[6-9]|4[0-9]|50)")
_BEHAVIORAL = {
    "eDispatch.01": "2301059", "eSituation.08": "2808001", "eProtocols.01": "9914053", "eSituation.20": "2820023",
}  # fmt: skip
_STRANGE_BEHAVIOR = "R46.89"
_HOMELESS, _HOMELESS_IMPRESSION, _HOMELESS_PREFIXES = "2522001", "Z59.00", ("Z59.0", "Z590")
_NALOXONE = r"(?i)(?:^|[^0-9])7242(?:$|[^0-9])|naloxone"  # RxNorm 7242

_SAME_INCIDENT = timedelta(hours=2)
"""Incident numbers begin again, so reports under one number are of one incident when they follow each other
within this time."""

_HEADING = re.compile(r"(?:^|[^A-Za-z0-9])(e[A-Z][A-Za-z]+)[._]([0-9]{2})(?![0-9])")
_NOT_VALUE_HEADING = re.compile(r"[^A-Za-z](?:NV|PN)(?![A-Za-z])")
_NO_VALUE = (
    r"(?i)^(?:not ?applicable|not ?recorded|not ?reporting|refused|unresponsive|unable ?to ?complete)"
    r"(?: *\((?:7701|8801)[0-9]{3}\))?$|^(?:7701|8801)[0-9]{3}$"
)
"""NOT values and pertinent negatives, as codes or as the standard's words; none of them is a value."""

_IMPRESSION = re.compile(
    r"(?:^|[;|,(])\s*([A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?)\s*(?=$|[;|,)])", re.IGNORECASE
)

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

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError)
_UNKNOWN = "__unknown"


@dataclass(frozen=True, kw_only=True)
class _Export:
    """One file: which of its columns hold which element."""

    path: Path
    columns: dict[str, tuple[str, ...]]
    other_columns: int
    rows: pl.LazyFrame


def read(folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None) -> TemplateExtract:
    """The responses of the window in the CSV, or all CSVs of the folder, at `folder`; see `ReadNative`.

    The mapping file may name the county's zone, `time_zone`, for exports in UTC.
    """
    times = LocalTimes(county_zone(read_mapping(mapping, ("time_zone",)), mapping))
    exports = [_open_export(path) for path in _files(folder)]
    extract = TemplateExtract(people=(), encounters=())
    parts = [
        _in_window(_template_rows(raw, export, times), covers_from, covers_to).with_columns(
            file=pl.lit(number, pl.Int32)
        )
        for number, export in enumerate(exports)
        for raw in _batches(export)
    ]
    rows = pl.concat(parts) if parts else None
    if rows is not None:
        rows = _one_row_per_response(rows, extract)
        _list_unknown_codes(rows, exports, extract)
    extract.people = tuple(_tables(rows, exports, _people, _PEOPLE_ELEMENTS))
    extract.encounters = tuple(_tables(rows, exports, _encounters, _ENCOUNTER_ELEMENTS))
    return extract


def _files(folder: Path) -> list[Path]:
    files = [folder] if folder.is_file() else sorted(folder.glob("*.csv"))
    if not files:
        raise UsageError(
            f"{folder} has no CSV file; export patient care reports as CSV with NEMSIS elements."
        )
    return files


def _open_export(path: Path) -> _Export:
    try:
        rows = pl.scan_csv(path, infer_schema=False)
        headings = list(rows.collect_schema())
    except _UNREADABLE:
        raise UsageError(
            f"{path} cannot be read; it must be a whole CSV file in UTF-8 with a header line."
        ) from None
    columns: dict[str, list[str]] = {}
    for heading in headings:
        found = _HEADING.search(heading)
        if found is not None and _NOT_VALUE_HEADING.search(heading, found.end()) is None:
            columns.setdefault(f"{found[1]}.{found[2]}", []).append(heading)
    if "eDisposition.12" in columns and "eDisposition.27" not in columns:
        raise UsageError(
            f"{path} is an export of NEMSIS 3.4 (it has eDisposition.12 and no eDisposition.27); export version 3.5."
        )
    missing = [element for element in _REQUIRED if element not in columns]
    if "ePatient.25" not in columns and "ePatient.13" not in columns:
        missing.append("ePatient.25")
    if missing:
        raise UsageError(
            f"{path} lacks the element{'s' if len(missing) > 1 else ''} {', '.join(missing)}; the first line must "
            "name columns after NEMSIS elements, such as ePatient.02."
        )
    for element in ELEMENTS:
        if element not in _REPEATING and len(columns.get(element, ())) > 1:
            raise UsageError(f"{path} has the element {element} in two columns; leave the one that is meant.")
    used = {element: tuple(columns[element]) for element in ELEMENTS if element in columns}
    return _Export(
        path=path,
        columns=used,
        other_columns=len(headings) - sum(map(len, used.values())),
        rows=rows,
    )


def _batches(export: _Export) -> Iterator[pl.DataFrame]:
    """The file's rows as text, elements as columns, `row_number` from 1."""
    elements = [_element(element, export.columns.get(element, ())) for element in ELEMENTS]
    wanted = [heading for headings in export.columns.values() for heading in headings]
    done = 0
    try:
        for batch in export.rows.select(wanted).collect_batches(chunk_size=BATCH_ROWS, maintain_order=True):
            yield batch.select(pl.int_range(done + 1, done + 1 + pl.len()).alias("row_number"), *elements)
            done += batch.height
    except _UNREADABLE:
        raise UsageError(
            f"{export.path} cannot be read beyond row {done}; it must be whole, UTF-8, and no line may have more "
            "fields than the header."
        ) from None


def _element(element: str, headings: tuple[str, ...]) -> pl.Expr:
    """The element's column; of a repeating one in several columns, a semicolon list."""
    if not headings:
        return pl.lit(None, pl.String).alias(element)
    values = [_without_no_values(pl.col(heading)) for heading in headings]
    return pl.concat_str(values, separator=";", ignore_nulls=True).replace("", None).alias(element)


def _without_no_values(written: pl.Expr) -> pl.Expr:
    bare = written.str.strip_chars().replace("", None)
    return pl.when(~bare.str.contains(_NO_VALUE)).then(bare)


def _code(element: str) -> pl.Expr:
    """The seven-digit code of an element, alone or beside its label."""
    return pl.col(element).str.extract(r"(?:^|[^0-9])([0-9]{7})(?:$|[^0-9])", 1)


def _codes(element: str) -> pl.Expr:
    return pl.col(element).str.extract_all(r"[0-9]{7,}")


def _grouped(element: str, column: str, groups: Mapping[str, str | None]) -> list[pl.Expr]:
    """The group of an element's code, and whether it has one that is in no group."""
    code = _code(element)
    return [
        code.replace_strict(groups, default=None, return_dtype=pl.String).alias(column),
        (pl.col(element).is_not_null() & ~code.is_in(list(groups)).fill_null(value=False)).alias(
            column + _UNKNOWN
        ),
    ]


def _local(written: pl.Series, times: LocalTimes, path: Path, row_numbers: pl.Series) -> pl.Series:
    texts = []
    for text, row in zip(written, row_numbers, strict=True):
        try:
            texts.append(None if text is None else times.local(text))
        except UtcTimeError:
            raise UsageError(
                f"{path}, row {row}, column {written.name}: the time is in UTC; export local times, or name the "
                "county's time_zone in a mapping file."
            ) from None
    return pl.Series(written.name, texts, dtype=pl.String)


def _template_rows(raw: pl.DataFrame, export: _Export, times: LocalTimes) -> pl.DataFrame:
    """Template columns of people and encounters side by side, with what is needed to tell responses apart."""
    rows = raw.with_columns(
        _local(raw.get_column(element), times, export.path, raw.get_column("row_number"))
        for element in ("eTimes.01", "eTimes.03", "eTimes.12", "eTimes.13")
    )
    sex = pl.coalesce(
        _code(element).replace_strict(SEXES, default=None, return_dtype=pl.String)
        for element in ("ePatient.25", "ePatient.13")
    )
    written_sex = pl.coalesce("ePatient.25", "ePatient.13")
    name_known = pl.col("ePatient.02").is_not_null() & (
        pl.col("ePatient.03").is_not_null() | pl.col("ePatient.17").is_not_null()
    )
    law = _codes("eDisposition.31").list.contains(_TO_LAW_ENFORCEMENT)
    rows = rows.with_columns(
        *_grouped("eResponse.05", "service_requested", SERVICES),
        *_grouped("eDisposition.27", "patient_contact", _CONTACT),
        *_grouped("eDisposition.30", "transported", _TRANSPORTED),
        *_grouped("eDisposition.21", "destination_type", DESTINATIONS),
        encounter_id=pl.col("eRecord.01"),
        client_id=pl.coalesce("ePatient.01", "eRecord.01"),
        kind=pl.lit("response"),
        started_at=pl.coalesce("eTimes.03", "eTimes.01"),
        ended_at=pl.coalesce("eTimes.12", "eTimes.13"),
        first_name=pl.col("ePatient.03"),
        middle_name=pl.col("ePatient.04"),
        last_name=pl.col("ePatient.02"),
        name_suffix=pl.col("ePatient.23"),
        birth_date=pl.col("ePatient.17").str.replace(r"(?:Z|[+-][0-9]{2}:[0-9]{2})$", ""),
        sex=sex,
        sex__unknown=written_sex.is_not_null() & sex.is_null(),
        race_ethnicity=_codes("ePatient.14")
        .list.eval(pl.element().replace_strict(RACES, default=None, return_dtype=pl.String).drop_nulls())
        .list.join(";")
        .replace("", None),
        ssn=pl.col("ePatient.12"),
        zip=pl.col("ePatient.09"),
        no_patient_service=_code("eResponse.05").is_in(_NO_PATIENT_SERVICES).fill_null(value=False),
        by_this_unit=_code("eDisposition.30").is_in(_BY_THIS_UNIT).fill_null(value=False),
        incident=pl.col("eResponse.03"),
        patient=pl.col("ePatient.01"),
        person=pl.when(name_known).then(
            pl.concat_str(
                pl.col(element).fill_null("").str.to_lowercase()
                for element in ("ePatient.02", "ePatient.03", "ePatient.17")
            )
        ),
        released_to_law_enforcement=pl.when(law.fill_null(value=False))
        .then(pl.lit("true"))
        .when(pl.lit("eDisposition.31" in export.columns) & pl.col("eDisposition.27").is_not_null())
        .then(pl.lit("false")),
    )
    return rows.with_columns(_impressions(rows)).drop(ELEMENTS)


def _impressions(rows: pl.DataFrame) -> pl.Series:
    """The crew's impressions, and codes for what the report says of a poisoning, behavior or homelessness in
    other elements.

    A call for an overdose counts as one if the crew gave naloxone, or recorded no impression at all; naloxone
    alone counts for nothing (a validated definition of Rhode Island's: 1,501 of 2,513 runs with naloxone
    were overdoses).
    """
    written = rows.select(
        pl.concat_str("eSituation.11", "eSituation.12", separator=";", ignore_nulls=True).replace("", None)
    ).to_series()
    said = rows.select(
        contact=pl.col("patient_contact") == "true",
        protocols=_codes("eProtocols.01"),
        overdose_call=_code("eDispatch.01") == _OVERDOSE_CALL,
        naloxone=pl.col("eMedications.03").str.contains(_NALOXONE),
        behavioral=pl.any_horizontal(
            _codes(element).list.contains(code).fill_null(value=False)
            for element, code in _BEHAVIORAL.items()
        ),
        homeless=_codes("ePatient.22").list.contains(_HOMELESS),
    )
    read = {text: _read_impressions(text) for text in written.drop_nulls().unique()}
    made: list[str | None] = []
    for text, (contact, protocols, overdose_call, naloxone, behavioral, homeless) in zip(
        written, said.iter_rows(), strict=True
    ):
        codes = [] if text is None else list(read[text])
        if contact:
            poisonings = [
                PROTOCOL_IMPRESSIONS[each] for each in protocols or () if each in PROTOCOL_IMPRESSIONS
            ]
            if overdose_call and not poisonings and (naloxone or not codes):
                poisonings = [_UNKNOWN_POISONING]
            if any(_POISONING.match(code) for code in codes):
                poisonings = []  # the crew has said it better
            codes += poisonings + [_STRANGE_BEHAVIOR] * behavioral
        if homeless and not any(code.startswith(_HOMELESS_PREFIXES) for code in codes):
            codes.append(_HOMELESS_IMPRESSION)
        made.append(";".join(dict.fromkeys(codes)) or None)
    return pl.Series("impression_codes", made, dtype=pl.String)


def _read_impressions(text: str) -> tuple[str, ...]:
    """The codes in a text; a part that has none stands as it is, for the encoder to list."""
    codes = tuple(code.upper() for code in _IMPRESSION.findall(text))
    return codes or (text.replace(";", " "),)


def _in_window(rows: pl.DataFrame, covers_from: date, covers_to: date) -> pl.DataFrame:
    """The rows that touch the window; a response without an end is over on its day."""
    is_past = pl.col("ended_at").is_null() & (
        pl.col("started_at") < (covers_from - timedelta(days=1)).isoformat()
    )
    return within_window(rows.filter(~is_past.fill_null(value=False)), covers_from, covers_to)


def _one_row_per_response(rows: pl.DataFrame, extract: TemplateExtract) -> pl.DataFrame:
    """`rows` without what no patient was part of, older versions of a report, and further units' reports."""
    served = rows.filter(~pl.col("no_patient_service"))
    latest = served.filter(
        pl.col("encounter_id").is_null() | pl.struct("encounter_id").is_last_distinct()
    ).with_row_index("place")
    by_patient = _without_further_units(latest, "patient")
    kept = _without_further_units(by_patient, "person")
    for reason, count in (
        ("services without a patient (crew, organ, mortuary, administrative)", rows.height - served.height),
        ("older versions of a patient care report", served.height - latest.height),
        ("reports of further units on one response", latest.height - kept.height),
    ):
        if count:
            extract.dropped[reason] += count
    return kept.sort("place")


def _without_further_units(rows: pl.DataFrame, person: str) -> pl.DataFrame:
    """One report per incident and person in `person`: of who transported, else met the patient, else was first."""
    rows = rows.with_columns(
        at=pl.col("started_at")
        .str.slice(0, 19)
        .str.to_datetime("%Y-%m-%dT%H:%M:%S", time_unit="us", strict=False)
    )
    tellable = pl.all_horizontal(pl.col(column).is_not_null() for column in ("incident", person, "at"))
    told = rows.filter(tellable).sort("incident", person, "at", "place")
    is_new = (pl.col("at").diff().over("incident", person) > _SAME_INCIDENT).fill_null(value=True)
    first = (
        told.with_columns(response=is_new.cum_sum())
        .sort(
            "response",
            pl.col("by_this_unit"),
            (pl.col("transported") == "true").fill_null(value=False),
            (pl.col("patient_contact") == "true").fill_null(value=False),
            "at",
            "encounter_id",
            "place",
            descending=[False, True, True, True, False, False, False],
        )
        .unique("response", keep="first", maintain_order=True)
        .drop("response")
    )
    return pl.concat([first, rows.filter(~tellable)]).drop("at")


def _list_unknown_codes(rows: pl.DataFrame, exports: list[_Export], extract: TemplateExtract) -> None:
    elements = _PEOPLE_ELEMENTS | _ENCOUNTER_ELEMENTS
    for (number,), part in rows.group_by("file", maintain_order=True):
        for column in (name for name in rows.columns if name.endswith(_UNKNOWN)):
            unknown = part.filter(pl.col(column)).select(
                "row_number",
                column=pl.lit(elements[column.removesuffix(_UNKNOWN)]),
                rule=pl.lit("unknown_code"),
            )
            extract.problems.add(exports[int(str(number))].path.name, unknown, LEFT_EMPTY)


def _tables(
    rows: pl.DataFrame | None,
    exports: list[_Export],
    template: Callable[[pl.DataFrame], pl.DataFrame],
    native_columns: dict[str, str],
) -> Iterator[TemplateTable]:
    """One table per file, of the rows that came from it."""
    for number, export in enumerate(exports):
        frames = [] if rows is None else [template(rows.filter(pl.col("file") == number))]
        yield TemplateTable(
            path=export.path,
            frames=partial(iter, frames),
            other_columns=export.other_columns,
            native_columns=native_columns,
        )


def _people(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("row_number", *RAW_PEOPLE_COLUMNS).unique(
        RAW_PEOPLE_COLUMNS, keep="first", maintain_order=True
    )


def _encounters(rows: pl.DataFrame) -> pl.DataFrame:
    return rows.select("row_number", *raw_encounter_columns(declared_sources()["ems"]))


FORMAT = NativeFormat(
    name="nemsis-csv",
    source="ems",
    says="NEMSIS 3.5 patient care reports as CSV, columns named after elements (ePatient.02).",
    read=read,
)
