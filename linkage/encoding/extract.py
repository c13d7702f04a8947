"""Raw extracts in the template format, read in batches and as text.

Everything is text first, so that a value that cannot be read is a listed problem of one row and not the end
of the file. Errors name the file and what to do; they never carry what was in it, nor a column name that
the template does not have: the first line of a file without a header is somebody's record.
"""

import csv
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import numpy.typing as npt
import polars as pl

from linkage.errors import UsageError

BATCH_ROWS = 250_000
"""Rows read, encoded and written at a time: some hundreds of megabytes."""


@dataclass(frozen=True, kw_only=True)
class RawFile:
    """One opened raw file: how many of its columns the template does not have, and its batches.

    `native_columns` is empty: the file has the template's own names.
    """

    path: Path
    columns: tuple[str, ...]
    other_columns: int
    _rows: pl.LazyFrame
    native_columns: dict[str, str] = field(default_factory=dict)

    def batches(self, batch_rows: int = BATCH_ROWS) -> Iterator[pl.DataFrame]:
        """The rows in order, template columns as text, with `row_number` from 1 (the header is not a row).

        Raises UsageError when the file turns out not to be what its name says.
        """
        done = 0
        rows = self._rows.select(self.columns)
        try:
            for batch in rows.collect_batches(chunk_size=batch_rows, maintain_order=True):
                yield batch.with_row_index("row_number", offset=done + 1).with_columns(
                    pl.col("row_number").cast(pl.Int64)
                )
                done += batch.height
        except _UNREADABLE:
            raise UsageError(
                f"{self.path} cannot be read beyond row {done}; it must be whole, UTF-8, and every line "
                "must have as many fields as the header."
            ) from None


_UNREADABLE = (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError, UnicodeError)


def open_raw_file(folder: Path, name: str, columns: tuple[str, ...]) -> RawFile:
    """Open `<name>.csv` or `<name>.parquet` of a raw folder, which must have all of `columns`.

    Raises UsageError when the file is absent, there twice, unreadable, or lacks a column.
    """
    found = [path for path in (folder / f"{name}.csv", folder / f"{name}.parquet") if path.is_file()]
    if not found:
        raise UsageError(
            f"{folder} has neither {name}.csv nor {name}.parquet; export it in the template format."
        )
    if len(found) > 1:
        raise UsageError(f"{folder} has both {name}.csv and {name}.parquet; leave the one that is meant.")
    path = found[0]
    try:
        scanned = pl.scan_csv(path, infer_schema=False) if path.suffix == ".csv" else pl.scan_parquet(path)
        schema = scanned.collect_schema()
    except _UNREADABLE:
        raise UsageError(f"{path} cannot be read; it must be a whole {_FORMAT[path.suffix]}.") from None
    missing = [column for column in columns if column not in schema]
    if missing:
        raise UsageError(
            f"{path} lacks the column{'s' if len(missing) > 1 else ''} {', '.join(missing)}; the first "
            "line must name the columns of the template."
        )
    short = _first_short_row(path, fields=len(schema)) if path.suffix == ".csv" else None
    if short is not None:
        raise UsageError(
            f"{path}, row {short}: the line has fewer fields than the header; it was cut short or broken in two: "
            "export it again."
        )
    return RawFile(
        path=path,
        columns=columns,
        other_columns=len(schema) - len(columns),
        _rows=scanned.with_columns(_as_text(path, column, schema[column]) for column in columns),
    )


_BLOCK_BYTES = 1 << 23


def _first_short_row(path: Path, *, fields: int) -> int | None:
    """The first row (from 1) of a CSV file with fewer fields than the header; polars would fill them with nulls.

    Commas are counted, some megabytes at a time; where quotes may hold commas or line ends, line by line.
    """
    row = -1  # the header is row 0
    rest = b""
    with path.open("rb") as file:
        while block := file.read(_BLOCK_BYTES):
            if b'"' in block:
                return _first_short_quoted_row(path, fields=fields)
            whole, _, rest = (rest + block).rpartition(b"\n")
            short = _short_lines(whole + b"\n", fields) if whole else np.empty(0, np.bool_)
            if short.any():
                return row + 1 + int(short.argmax())
            row += len(short)
    if rest and _short_lines(rest + b"\n", fields).any():
        return row + 1
    return None


def _short_lines(lines: bytes, fields: int) -> npt.NDArray[np.bool_]:
    """For each of whole lines without quotes whether it has too few fields; an empty line has none and is none."""
    characters = np.frombuffer(lines, np.uint8)
    ends = np.flatnonzero(characters == ord("\n"))
    commas = np.diff(np.searchsorted(np.flatnonzero(characters == ord(",")), ends), prepend=0)
    lengths = np.diff(ends, prepend=-1) - 1
    empty = (lengths == 0) | ((lengths == 1) & (characters[ends - 1] == ord("\r")))
    short: npt.NDArray[np.bool_] = (commas < fields - 1) & ~empty
    return short


def _first_short_quoted_row(path: Path, *, fields: int) -> int | None:
    try:
        with path.open(encoding="utf-8", errors="replace", newline="") as file:
            for row, values in enumerate(csv.reader(file)):
                if 0 < len(values) < fields:
                    return row
    except csv.Error:  # polars says what is wrong
        return None
    return None


_FORMAT = {".csv": "CSV file in UTF-8 with a header line", ".parquet": "Parquet file"}


def _as_text(path: Path, column: str, kind: pl.DataType) -> pl.Expr:
    """A Parquet column as the template writes it; raises UsageError for a type without such a text."""
    if isinstance(kind, pl.List) and kind.inner == pl.String:
        return pl.col(column).list.join(";", ignore_nulls=True)
    if isinstance(kind, pl.Datetime) and kind.time_zone is not None:
        raise UsageError(f"{path}, column {column}: it has a time zone; write local times without one.")
    if isinstance(kind, (pl.Binary, pl.List, pl.Array, pl.Struct, pl.Object)):
        raise UsageError(
            f"{path}, column {column}: it is not text, number, date or truth value; export it as text."
        )
    return pl.col(column).cast(pl.String)
