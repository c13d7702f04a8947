"""One month of the tiny county in every native format, committed for tests and for reading.

`python -m sample_data.native.tiny` rewrites `sample_data/tiny_native/`.
"""

import shutil
from pathlib import Path

import polars as pl

from linkage.encoding.months import month_window
from sample_data.native import native_writers
from sample_data.tiny_county import TINY_COUNTY

TINY_NATIVE = Path(__file__).parent.parent / "tiny_native"
"""The committed files: <writer>/<month>/."""

MONTH = "2024-02"


def write_tiny_native(out: Path) -> None:
    """Write the month of every writer into `out`."""
    covers_from, covers_to = month_window(MONTH)
    for name, writer in native_writers().items():
        template = TINY_COUNTY / "raw" / writer.source / MONTH
        folder = out / name / MONTH
        folder.mkdir(parents=True)
        people, encounters = (
            pl.read_csv(template / f"{stem}.csv", infer_schema=False) for stem in ("people", "encounters")
        )
        writer.write(people, encounters, folder, covers_from=covers_from, covers_to=covers_to)


if __name__ == "__main__":
    shutil.rmtree(TINY_NATIVE, ignore_errors=True)
    write_tiny_native(TINY_NATIVE)
