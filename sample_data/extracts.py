"""Raw extracts as agencies would hand them over: a folder per source and month, in the template format.

A month's delivery knows nothing of the future: an encounter that was still going on when the month ended
is written without end and without how it ended, and again the month after.
"""

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import polars as pl

from linkage.errors import UsageError
from linkage.source import Source
from sample_data.lives.timing import DAY
from sample_data.records import Recorded
from sample_data.records.columns import PEOPLE_COLUMNS

FileFormat = Literal["csv", "parquet"]

_KNOWN_AT_END = ("release_reason", "disposition", "destination")
"""Columns that say how an encounter ended."""

_DATE_ONLY_KINDS = ("bed_night", "stay")
"""Homeless services record days, not hours, for these."""


def write_extracts(
    recorded: Recorded,
    source: Source,
    folder: Path,
    months: list[tuple[str, int, int]],
    *,
    file_format: FileFormat,
    one_delivery: bool,
) -> tuple[int, int]:
    """Write the source's deliveries under `folder`/<month>; return rows of people and of encounters written.

    `months` are (label, begin, end) in seconds, half open. With `one_delivery` everything goes to the
    folder of the last month.
    """
    if one_delivery:
        months = [(months[-1][0], months[0][1], months[-1][2])]
    people_rows = encounter_rows = 0
    for label, begin, end in months:
        encounters = recorded.encounters.filter((pl.col("started") < end) & (pl.col("ended") >= begin))
        clients = encounters.select("client_id").unique()
        people = recorded.people.filter(pl.col("known_from") < end).join(
            clients, on="client_id", how="semi", maintain_order="left"
        )
        target = folder / label
        target.mkdir(parents=True, exist_ok=True)
        _write(people.select(PEOPLE_COLUMNS), target / "people", file_format)
        _write(_encounter_rows(encounters, source, end), target / "encounters", file_format)
        people_rows += people.height
        encounter_rows += encounters.height
    return people_rows, encounter_rows


def refuse_other_extracts(folder: Path, labels: list[str], file_format: FileFormat) -> None:
    """Raise UsageError when a source's folder holds months or files that are not about to be written again."""
    written = {f"{label}/{name}.{file_format}" for label in labels for name in ("people", "encounters")}
    present = {path.relative_to(folder).as_posix() for path in folder.rglob("*") if path.is_file()}
    if not present <= written:
        raise UsageError(
            f"{folder} holds extracts of another simulation; name another folder, or remove this one."
        )


def encounter_columns(source: Source) -> tuple[str, ...]:
    """Columns of the source's encounters file in the raw template, in order."""
    return (
        "encounter_id",
        "client_id",
        "kind",
        "started_at",
        "ended_at",
        *(column.name for column in source.columns),
    )


def _encounter_rows(encounters: pl.DataFrame, source: Source, end: int) -> pl.DataFrame:
    """Template rows as known at `end`."""
    is_over = pl.col("ended") < end
    known: dict[str, pl.Expr] = {
        name: pl.when(is_over).then(pl.col(name)) for name in _KNOWN_AT_END if name in encounters.columns
    }
    if source.name == "hospital":
        known["disposition"] = pl.when(is_over).then(pl.col("disposition")).otherwise(pl.lit("still_patient"))
    if source.name == "jail":
        was_assessed = pl.col("assessed") < end
        known["assessed_at"] = pl.when(was_assessed).then(_timestamp("assessed"))
        known["smi_assessed"] = pl.when(was_assessed).then(pl.col("smi_assessed"))
    by_day = pl.col("kind").is_in(_DATE_ONLY_KINDS)
    rows = encounters.with_columns(
        started_at=pl.when(by_day).then(_date("started")).otherwise(_timestamp("started")),
        ended_at=pl.when(is_over).then(pl.when(by_day).then(_date("ended")).otherwise(_timestamp("ended"))),
        **known,
    )
    return rows.select(encounter_columns(source))


def _timestamp(column: str) -> pl.Expr:
    return pl.from_epoch(pl.col(column), time_unit="s").dt.strftime("%Y-%m-%dT%H:%M:%S")


def _date(column: str) -> pl.Expr:
    return (pl.col(column) // DAY).cast(pl.Int32).cast(pl.Date).dt.strftime("%Y-%m-%d")


def _write(rows: pl.DataFrame, path: Path, file_format: FileFormat) -> None:
    writers: dict[FileFormat, Callable[[Path], object]] = {
        "csv": rows.write_csv,
        "parquet": rows.write_parquet,
    }
    writers[file_format](path.with_suffix(f".{file_format}"))
