"""The simulated county in native formats: each agency's template extracts, written as its vendor would export
them.

A writer is a module of this package that has one or more `NativeWriter`s in `WRITERS`.
"""

import pkgutil
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import date
from importlib import import_module
from pathlib import Path
from typing import Protocol

import polars as pl

from linkage.encoding.months import month_window
from linkage.progress import track


class WriteNative(Protocol):
    """How one delivery is written natively."""

    def __call__(
        self,
        people: pl.DataFrame,
        encounters: pl.DataFrame,
        folder: Path,
        *,
        covers_from: date,
        covers_to: date,
    ) -> None:
        """Write one month's template rows (all text, null where nothing is written) into `folder`, which
        exists. The same rows write the same bytes."""


@dataclass(frozen=True, kw_only=True)
class NativeWriter:
    """A native export of one source: the name of its folder, the source, the format that reads it."""

    name: str
    source: str
    format: str
    write: WriteNative


def native_writers() -> dict[str, NativeWriter]:
    """Every writer by name, in the order of the modules' names."""
    modules = (import_module(f"{__name__}.{found.name}") for found in pkgutil.iter_modules(__path__))
    writers: Iterator[NativeWriter] = (
        writer for module in modules for writer in getattr(module, "WRITERS", ())
    )
    return {writer.name: writer for writer in writers}


def write_native(raw: Path, out: Path) -> list[Path]:
    """Write `out`/<writer>/<month>/ for every month of CSV under `raw`/<source>/; return the folders."""
    written: list[Path] = []
    for writer in track(native_writers().values(), "Writing what each vendor would export"):
        for template in sorted(path for path in (raw / writer.source).iterdir() if path.is_dir()):
            people, encounters = (
                pl.read_csv(template / f"{name}.csv", infer_schema=False) for name in ("people", "encounters")
            )
            covers_from, covers_to = month_window(template.name)
            folder = out / writer.name / template.name
            folder.mkdir(parents=True, exist_ok=True)
            writer.write(people, encounters, folder, covers_from=covers_from, covers_to=covers_to)
            written.append(folder)
    return written
