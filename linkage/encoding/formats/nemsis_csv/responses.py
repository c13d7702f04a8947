"""Which reports are responses of the window: several units on one incident report one response each."""

from datetime import date, timedelta

import polars as pl

from linkage.encoding.formats import TemplateExtract, within_window

_SAME_INCIDENT = timedelta(hours=2)
"""Incident numbers begin again, so reports under one number are of one incident when they follow each other
within this time."""


def in_window(rows: pl.DataFrame, covers_from: date, covers_to: date) -> pl.DataFrame:
    """The rows that touch the window; a response without an end is over on its day."""
    is_past = pl.col("ended_at").is_null() & (
        pl.col("started_at") < (covers_from - timedelta(days=1)).isoformat()
    )
    return within_window(rows.filter(~is_past.fill_null(value=False)), covers_from, covers_to)


def one_row_per_response(rows: pl.DataFrame, extract: TemplateExtract) -> pl.DataFrame:
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
