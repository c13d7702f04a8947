"""A CSV file whose columns are named after NEMSIS elements, read as those elements."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.errors import UsageError

ROWS_AT_A_TIME = 50_000
"""Reports are wide: fewer at a time than the encoder takes."""

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

_HEADING = re.compile(r"(?:^|[^A-Za-z0-9])(e[A-Z][A-Za-z]+)[._]([0-9]{2})(?![0-9])")

_NOT_VALUE_HEADING = re.compile(r"[^A-Za-z](?:NV|PN)(?![A-Za-z])")

_NO_VALUE = (
    r"(?i)^(?:not ?applicable|not ?recorded|not ?reporting|refused|unresponsive|unable ?to ?complete)"
    r"(?: *\((?:7701|8801)[0-9]{3}\))?$|^(?:7701|8801)[0-9]{3}$"
)
"""NOT values and pertinent negatives, as codes or as the standard's words; none of them is a value."""

_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError)


@dataclass(frozen=True, kw_only=True)
class Export:
    """One file: which of its columns hold which element."""

    path: Path
    columns: dict[str, tuple[str, ...]]
    other_columns: int
    rows: pl.LazyFrame


def csv_files(folder: Path) -> list[Path]:
    """The CSV files at `folder`, itself one or a folder of them; raises UsageError when there is none."""
    files = [folder] if folder.is_file() else sorted(folder.glob("*.csv"))
    if not files:
        raise UsageError(
            f"{folder} has no CSV file; export patient care reports as CSV with NEMSIS elements."
        )
    return files


def open_export(path: Path) -> Export:
    """The file with its columns told apart; raises UsageError when it is no NEMSIS 3.5 or lacks an element."""
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
    return Export(
        path=path,
        columns=used,
        other_columns=len(headings) - sum(map(len, used.values())),
        rows=rows,
    )


def batches_of(export: Export) -> Iterator[pl.DataFrame]:
    """The file's rows as text, elements as columns, `row_number` from 1."""
    elements = [_element(element, export.columns.get(element, ())) for element in ELEMENTS]
    wanted = [heading for headings in export.columns.values() for heading in headings]
    done = 0
    try:
        for batch in export.rows.select(wanted).collect_batches(
            chunk_size=ROWS_AT_A_TIME, maintain_order=True
        ):
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
