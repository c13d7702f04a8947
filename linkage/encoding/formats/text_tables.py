"""CSV files of vendors' exports, from a folder or a .zip, as frames of text, some thousands of rows at a time.

Stricter than a data-frame library: a line with too few or too many fields is refused, because an export that was
cut short and read as if it were whole would count too little. Only the columns that are asked for are kept.
"""

import csv
import io
import zipfile
import zlib
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import IO

import polars as pl

from linkage.errors import UsageError

_UNREADABLE = (
    OSError, EOFError, UnicodeError, csv.Error, zipfile.BadZipFile, zlib.error, NotImplementedError, RuntimeError,
)  # fmt: skip
"""What reading raises when a file or an archive is damaged, encrypted, or packed in a way that is not known."""


FRAME_ROWS = 50_000
"""Rows read at a time; what a reader keeps of them is its own to bound."""


@dataclass(frozen=True, kw_only=True)
class TextTable:
    """A CSV file of which some columns are read.

    `frames` reads the file anew each time it is called, and raises UsageError where it is damaged. A frame has
    the columns asked for as text (empty fields null) and `row_number` from 1, and at most FRAME_ROWS rows.
    """

    path: Path
    other_columns: int
    frames: Callable[[], Iterator[pl.DataFrame]]

    def read(self) -> pl.DataFrame:
        """All rows at once, for a file that is known to be small."""
        return pl.concat(self.frames())


@dataclass(frozen=True, kw_only=True)
class ExportFiles:
    """An export's files: a folder, or a .zip; file names are found in any case."""

    place: Path

    def __post_init__(self) -> None:
        """Raises UsageError when `place` is neither."""
        if not self.place.is_dir() and not _is_archive(self.place):
            raise UsageError(f"{self.place} is neither a folder nor a .zip; name what the vendor exported.")

    def open(
        self,
        name: str,
        columns: tuple[str, ...],
        *,
        optional: tuple[str, ...] = (),
        delimiter: str = ",",
        encoding: str = "utf-8",
    ) -> TextTable:
        """The file `name`, which must have `columns`; `optional` columns that it lacks are null.

        Column names are found in any case, and so is the file. Raises UsageError when the file is absent,
        there twice, lacks a column or has it twice, or cannot be read.
        """
        header = self.header(name, delimiter=delimiter, encoding=encoding)
        places = _places(header, self.place / self._find(name), columns, optional)
        return self.open_places(
            name, places, absent=tuple({*optional} - {*places}), delimiter=delimiter, encoding=encoding
        )

    def header(self, name: str, *, delimiter: str = ",", encoding: str = "utf-8") -> list[str]:
        """The first line of the file `name`, field by field; raises UsageError as `open` does."""
        with self._lines(name, delimiter, encoding) as lines:
            return [field.strip() for field in next(lines, [])]

    def open_places(
        self,
        name: str,
        places: dict[str, int],
        *,
        absent: tuple[str, ...] = (),
        delimiter: str = ",",
        encoding: str = "utf-8",
    ) -> TextTable:
        """The file `name` with the columns that stand at `places` of its header, and `absent` ones, all null."""
        path = self.place / self._find(name)
        fields_a_line = len(self.header(name, delimiter=delimiter, encoding=encoding))

        def frames() -> Iterator[pl.DataFrame]:
            with self._lines(name, delimiter, encoding) as lines:
                next(lines, None)
                yield from _frames(lines, path, fields_a_line, places, absent)

        return TextTable(path=path, other_columns=fields_a_line - len(set(places.values())), frames=frames)

    @contextmanager
    def _lines(self, name: str, delimiter: str, encoding: str) -> Iterator[Iterator[list[str]]]:
        name = self._find(name)
        with self._reading(name), self._open(name) as binary:
            text = io.TextIOWrapper(
                binary, encoding="utf-8-sig" if encoding == "utf-8" else encoding, newline=""
            )
            yield csv.reader(text, delimiter=delimiter, strict=True)

    def _find(self, name: str) -> str:
        with self._reading(""):
            if self.place.is_dir():
                names = [path.name for path in self.place.iterdir() if path.is_file()]
            else:
                with zipfile.ZipFile(self.place) as archive:
                    names = [member for member in archive.namelist() if "__MACOSX" not in member]
        found = [each for each in names if PurePosixPath(each).name.lower() == name.lower()]
        if not found:
            raise UsageError(f"{self.place} has no {name}; export the whole of it and name the right folder.")
        if len(found) > 1:
            raise UsageError(f"{self.place} has more than one {name}; leave the one that is meant.")
        return found[0]

    @contextmanager
    def _open(self, name: str) -> Iterator[IO[bytes]]:
        if self.place.is_dir():
            with (self.place / name).open("rb") as file:
                yield file
        else:
            with zipfile.ZipFile(self.place) as archive, archive.open(name) as member:
                yield member

    @contextmanager
    def _reading(self, name: str) -> Iterator[None]:
        try:
            yield
        except _UNREADABLE as error:
            raise UsageError(
                f"{self.place / name} cannot be read; it must be whole, in the encoding that is documented "
                f"(UTF-8 if none is), quoted properly and not encrypted{_where(error)}."
            ) from None


def _where(error: Exception) -> str:
    """For an archive that this Python cannot unpack: what to do."""
    return "; unpack it and name the folder" if isinstance(error, (NotImplementedError, RuntimeError)) else ""


def _is_archive(place: Path) -> bool:
    try:
        return place.is_file() and zipfile.is_zipfile(place)
    except OSError:
        return False


def _places(
    header: list[str], path: Path, columns: tuple[str, ...], optional: tuple[str, ...]
) -> dict[str, int]:
    """Where in a line each column stands; `optional` ones that the header lacks are left out."""
    header = [field.lower() for field in header]
    places: dict[str, int] = {}
    for column in dict.fromkeys((*columns, *optional)):
        count = header.count(column.lower())
        if count > 1:
            raise UsageError(f"{path} has the column {column} twice; leave the one that is meant.")
        if count == 0 and column in columns:
            raise UsageError(f"{path} lacks the column {column}; the first line must name the columns.")
        if count:
            places[column] = header.index(column.lower())
    return places


def _frames(
    lines: Iterator[list[str]],
    path: Path,
    fields_a_line: int,
    places: dict[str, int],
    absent: tuple[str, ...],
) -> Iterator[pl.DataFrame]:
    """Frames of the columns at `places`, `absent` ones and row_number; at least one, which may be empty."""
    schema = {**dict.fromkeys((*places, *absent), pl.String), "row_number": pl.Int64}
    kept: dict[str, list[str | None]] = {column: [] for column in places}
    numbers: list[int] = []
    number = 0
    for fields in lines:
        if not fields:
            continue
        number += 1
        if len(fields) != fields_a_line:
            raise UsageError(
                f"{path}, row {number}: it has {len(fields)} fields where the header has {fields_a_line}; the file "
                "may be cut short or have an unquoted comma; export it again."
            )
        for column, place in places.items():
            kept[column].append(fields[place].strip() or None)
        numbers.append(number)
        if len(numbers) == FRAME_ROWS:
            yield _frame(kept, numbers, schema)
            kept, numbers = {column: [] for column in places}, []
    yield _frame(kept, numbers, schema)


def _frame(
    kept: dict[str, list[str | None]], numbers: list[int], schema: dict[str, type[pl.DataType]]
) -> pl.DataFrame:
    absent = {column: [None] * len(numbers) for column in schema if column not in kept}
    return pl.DataFrame({**kept, **absent, "row_number": numbers}, schema_overrides=schema).select(
        schema.keys()
    )
