"""Native formats: what an agency's vendor already exports, read as the raw template.

A format is a package inside this one; its name with hyphens is the format's name, and it has one `FORMAT`, a
`NativeFormat`. The modules beside them are what several formats share. A reader does no encoding and no cleaning of
identity: it brings rows into the template's columns and says what it dropped on purpose, and `encode_extract` does
the rest as it does for the template. Formats are imported when they are asked for.

Extracts may be larger than memory. A reader passes over its files some thousands of rows at a time and keeps what
touches the window; docs/formats says of each how much that is.
"""

import pkgutil
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Protocol

import polars as pl

from linkage.encoding.extract import BATCH_ROWS
from linkage.encoding.receipt import RowProblems
from linkage.encoding.retracted import Retractions
from linkage.errors import UsageError
from linkage.source import Source


class RawTable(Protocol):
    """Rows in the template's columns; `RawFile` is one, `TemplateTable` another."""

    @property
    def path(self) -> Path:
        """The file that the row numbers are of."""

    @property
    def other_columns(self) -> int:
        """How many columns of that file were not read."""

    @property
    def native_columns(self) -> dict[str, str]:
        """What the file calls a template column, where it is not the template's name."""

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
        """The rows: the template's columns as text, and `row_number` (Int64), the row of `path` from 1."""


@dataclass(frozen=True, kw_only=True)
class TemplateTable:
    """Template rows that a reader made from the file at `path` (a member of an archive: its name).

    `frames` yields frames of the template's columns, all text, and `row_number`: the row of `path`, from 1
    and not counting the header, that the row comes from (for a line of NDJSON, the line). Rows need not be
    in order, nor their numbers unique. `native_columns` names the column of `path` behind a template column,
    for the receipt's list of problems.
    """

    path: Path
    frames: Callable[[], Iterator[pl.DataFrame]]
    other_columns: int = 0
    native_columns: dict[str, str] = field(default_factory=dict)

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
        """The frames, none of more than `batch_rows` rows."""
        for frame in self.frames():
            yield from frame.iter_slices(batch_rows)


@dataclass(kw_only=True)
class TemplateExtract:
    """A native export as `encode_extract` consumes it: all `people` tables, then all `encounters` tables.

    `people` has RAW_PEOPLE_COLUMNS, `encounters` has raw_encounter_columns(source) (columns.py). `problems`
    are rows and values that could not be read: file, row, column and rule, never a value. `dropped` counts
    rows that were read well and dropped on purpose, by a reason in plain words ("interfacility transfers").
    Both are final when every batch has been consumed, so a reader may fill them as it goes.
    """

    people: tuple[RawTable, ...]
    encounters: tuple[RawTable, ...]
    problems: RowProblems = field(default_factory=RowProblems)
    dropped: Counter[str] = field(default_factory=Counter)
    retractions: Retractions = field(default_factory=Retractions)


class ReadNative(Protocol):
    """How a format is read."""

    def __call__(
        self, folder: Path, *, covers_from: date, covers_to: date, mapping: Path | None
    ) -> TemplateExtract:
        """The export at `folder` (a folder, or the one file a vendor writes, such as a .zip).

        Only encounters that touch the window are kept, and nothing is told of what comes after it: see
        `within_window`. `people` has the clients of those encounters and nobody else. `mapping` is the
        `--mapping` file, for formats that have one. Raises UsageError, one sentence that names file, row,
        column and what to do, never a value, when the export is not as documented; any content that a file
        may have ends in that or in a TemplateExtract, never in another exception.
        """


class ReadClientIds(Protocol):
    """How the client ids of a format are read, to find the clients of a return file."""

    def __call__(self, folder: Path, *, mapping: Path | None) -> Iterator[pl.Series]:
        """Every client id, as text, that a delivery made of the export at `folder` may have, whatever its
        window; an id may come more than once. Raises UsageError as `ReadNative` does.
        """


@dataclass(frozen=True, kw_only=True)
class NativeFormat:
    """One native format: its name on the command line, the source it is of, what it is, and its readers."""

    name: str
    source: str
    says: str
    read: ReadNative
    client_ids: ReadClientIds


@cache
def format_names() -> tuple[str, ...]:
    """The names of the native formats, found without importing them."""
    return tuple(
        sorted(module.name.replace("_", "-") for module in pkgutil.iter_modules(__path__) if module.ispkg)
    )


def native_format(name: str, source: Source | None = None) -> NativeFormat:
    """The format of that name; raises UsageError when there is none, or it is not of `source`."""
    if name not in format_names():
        raise UsageError(f"There is no format of that name; there are template, {', '.join(format_names())}.")
    found: NativeFormat = import_module(f"{__name__}.{name.replace('-', '_')}").FORMAT
    if source is not None and found.source != source.name:
        raise UsageError(
            f"The format {found.name} is of the source {found.source}, not of {source.name}; name the right "
            "one of the two."
        )
    return found


def refuse_mapping_of_template(mapping: Path | None) -> None:
    """Raises UsageError when a mapping file was named although the template has no use for one."""
    if mapping is not None:
        raise UsageError("The template needs no mapping file; leave it out, or name the format it is for.")


_STARTS_LIKE_A_DATE = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}"


def within_window(
    encounters: pl.DataFrame, covers_from: date, covers_to: date, *, known_at_end: tuple[str, ...] = ()
) -> pl.DataFrame:
    """Encounters (started_at and ended_at as ISO text) that touch the half-open window, as known at its end.

    Kept are those that started before `covers_to` and had not ended before `covers_from`. An end on or after
    `covers_to` lies in the future of this delivery: it is emptied, and so are the columns `known_at_end`.
    Times that cannot be read are left as they are, for the encoder to list.
    """
    start, end = pl.col("started_at"), pl.col("ended_at")
    first, after = covers_from.isoformat(), covers_to.isoformat()
    is_later = start.str.contains(_STARTS_LIKE_A_DATE) & (start >= after)
    is_earlier = end.str.contains(_STARTS_LIKE_A_DATE) & (end < first)
    ends_later = (end.str.contains(_STARTS_LIKE_A_DATE) & (end >= after)).fill_null(value=False)
    return encounters.filter(
        ~is_later.fill_null(value=False) & ~is_earlier.fill_null(value=False)
    ).with_columns(
        pl.when(~ends_later).then(pl.col(column)).alias(column) for column in ("ended_at", *known_at_end)
    )
