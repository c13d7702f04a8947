"""A CSV file whose columns are named after NEMSIS elements, read as those elements."""

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.encoding.formats.text_tables import ExportFiles, TextTable
from linkage.errors import UsageError

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


@dataclass(frozen=True, kw_only=True)
class Export:
    """One file: the columns of `table` that hold each element."""

    path: Path
    columns: dict[str, tuple[str, ...]]
    table: TextTable


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
    files = ExportFiles(place=path.parent)
    columns: dict[str, list[int]] = {}
    for place, heading in enumerate(files.header(path.name)):
        found = _HEADING.search(heading)
        if found is not None and _NOT_VALUE_HEADING.search(heading, found.end()) is None:
            columns.setdefault(f"{found[1]}.{found[2]}", []).append(place)
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
    used = {
        element: {f"{element} {number}": place for number, place in enumerate(columns[element])}
        for element in ELEMENTS
        if element in columns
    }
    return Export(
        path=path,
        columns={element: tuple(names) for element, names in used.items()},
        table=files.open_places(
            path.name, {name: place for names in used.values() for name, place in names.items()}
        ),
    )


def batches_of(export: Export) -> Iterator[pl.DataFrame]:
    """The file's rows as text, elements as columns, `row_number` from 1."""
    elements = [_element(element, export.columns.get(element, ())) for element in ELEMENTS]
    for frame in export.table.frames():
        yield frame.select("row_number", *elements)


def _element(element: str, columns: tuple[str, ...]) -> pl.Expr:
    """The element's column; of a repeating one in several columns, a semicolon list."""
    if not columns:
        return pl.lit(None, pl.String).alias(element)
    values = [_without_no_values(pl.col(column)) for column in columns]
    return pl.concat_str(values, separator=";", ignore_nulls=True).replace("", None).alias(element)


def _without_no_values(written: pl.Expr) -> pl.Expr:
    bare = written.str.strip_chars().replace("", None)
    return pl.when(~bare.str.contains(_NO_VALUE)).then(bare)
