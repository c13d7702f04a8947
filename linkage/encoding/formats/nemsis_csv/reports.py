"""Patient care reports as rows of the template."""

import re
from collections.abc import Mapping
from pathlib import Path

import polars as pl

from linkage.encoding.formats.local_times import LocalTimes
from linkage.encoding.formats.nemsis_csv.codes import (
    BEHAVIORAL_CODES,
    BY_THIS_UNIT,
    CONTACTS,
    DESTINATIONS,
    HOMELESS,
    HOMELESS_IMPRESSION,
    HOMELESS_PREFIXES,
    NALOXONE,
    NO_PATIENT_SERVICES,
    OVERDOSE_CALL,
    POISONING,
    PROTOCOL_IMPRESSIONS,
    RACES,
    SERVICES,
    SEXES,
    STRANGE_BEHAVIOR,
    TO_LAW_ENFORCEMENT,
    TRANSPORTED,
    UNKNOWN_POISONING,
)
from linkage.encoding.formats.nemsis_csv.elements import ELEMENTS, Export

_IMPRESSION = re.compile(
    r"(?:^|[;|,(])\s*([A-Z][0-9][0-9A-Z](?:\.?[0-9A-Z]{1,4})?)\s*(?=$|[;|,)])", re.IGNORECASE
)

UNKNOWN = "__unknown"


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
            column + UNKNOWN
        ),
    ]


def _local(written: pl.Series, times: LocalTimes, path: Path, row_numbers: pl.Series) -> pl.Series:
    texts = [
        times.local_in(path, row, written.name, text) for text, row in zip(written, row_numbers, strict=True)
    ]
    return pl.Series(written.name, texts, dtype=pl.String)


def template_rows(raw: pl.DataFrame, export: Export, times: LocalTimes) -> pl.DataFrame:
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
    law = _codes("eDisposition.31").list.contains(TO_LAW_ENFORCEMENT)
    rows = rows.with_columns(
        *_grouped("eResponse.05", "service_requested", SERVICES),
        *_grouped("eDisposition.27", "patient_contact", CONTACTS),
        *_grouped("eDisposition.30", "transported", TRANSPORTED),
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
        no_patient_service=_code("eResponse.05").is_in(NO_PATIENT_SERVICES).fill_null(value=False),
        by_this_unit=_code("eDisposition.30").is_in(BY_THIS_UNIT).fill_null(value=False),
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
        overdose_call=_code("eDispatch.01") == OVERDOSE_CALL,
        naloxone=pl.col("eMedications.03").str.contains(NALOXONE),
        behavioral=pl.any_horizontal(
            _codes(element).list.contains(code).fill_null(value=False)
            for element, code in BEHAVIORAL_CODES.items()
        ),
        homeless=_codes("ePatient.22").list.contains(HOMELESS),
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
                poisonings = [UNKNOWN_POISONING]
            if any(POISONING.match(code) for code in codes):
                poisonings = []  # the crew has said it better
            codes += poisonings + [STRANGE_BEHAVIOR] * behavioral
        if homeless and not any(code.startswith(HOMELESS_PREFIXES) for code in codes):
            codes.append(HOMELESS_IMPRESSION)
        made.append(";".join(dict.fromkeys(codes)) or None)
    return pl.Series("impression_codes", made, dtype=pl.String)


def _read_impressions(text: str) -> tuple[str, ...]:
    """The codes in a text; a part that has none stands as it is, for the encoder to list."""
    codes = tuple(code.upper() for code in _IMPRESSION.findall(text))
    return codes or (text.replace(";", " "),)
