"""The yardstick: bare Splink 5 on the same people in plain text, as its documentation would have one do it.

    python -m benchmarks.plaintext prepare RAW PEOPLE.parquet         names in normal form, beside the same blocking columns
    python -m benchmarks.plaintext link PEOPLE.parquet TRUTH.parquet  train with capped pairs, predict, cluster

`prepare` is not part of any measured time. Blocking is the same as the encoded model's: columns in plain text that
equal each other exactly where its tokens do.
"""

import argparse
import logging
import time
from datetime import date
from pathlib import Path

import duckdb
import polars as pl
import splink.comparison_level_library as cll
import splink.comparison_library as cl
from splink import DuckDBAPI, Linker, SettingsCreator, block_on

from benchmarks.measure import report
from linkage.encoding.columns import RAW_PEOPLE_COLUMNS
from linkage.encoding.extract import open_raw_file
from linkage.encoding.nicknames import root_of
from linkage.encoding.normalise import normalise_people
from linkage.encoding.people import sounds_of

SEED = 7
MAX_PAIRS = 1_000_000
CLUSTER_AT = 0.95


def prepare(raw: Path, out: Path) -> None:
    """Write one row per source, client and identity: what the encoder normalises, left in plain text."""
    frames = []
    for folder in sorted(raw.glob("*/*")):
        people = open_raw_file(folder, "people", RAW_PEOPLE_COLUMNS)
        for batch in people.batches():
            rows = normalise_people(batch, covers_to=date(2100, 1, 1)).rows
            frames.append(rows.with_columns(source=pl.lit(folder.parent.name)))
    people = pl.concat(frames, how="diagonal_relaxed")
    people.unique(maintain_order=True).write_parquet(out)


def _comparisons() -> list[cl.CustomComparison]:
    name_levels = [0.92, 0.88, 0.7]
    return [
        cl.NameComparison("first_name", jaro_winkler_thresholds=name_levels),
        cl.NameComparison("last_name", jaro_winkler_thresholds=name_levels),
        cl.DateOfBirthComparison("birth_date", input_is_string=True, datetime_format="%Y-%m-%d"),
        cl.CustomComparison(
            [
                cll.NullLevel("ssn"),
                cll.ExactMatchLevel("ssn"),
                cll.LevenshteinLevel("ssn", 2),
                cll.ElseLevel(),
            ],
            "ssn",
        ),
        cl.ExactMatch("sex"),
        cl.ExactMatch("zip3"),
    ]
