"""What counting alone reads out of each profile: `python -m benchmarks.leaks`.

The attacker holds one county's deliveries without the key, and the names and dates of another county of the same kind
in plain text (the same simulator, another seed): good statistics of the population, and nobody of it. Tokens of each
column are ranked by how many rows have them, and so are the plain values; equal ranks are taken for equal values.
Printed: the share of rows whose value is read correctly. Social Security numbers of two counties have nothing in
common, so their columns cannot be read this way at all.

For the filters, which cannot be ranked: of all pairs of people, how many of those with one name are found by a
corrected Dice of .90, and how many of the pairs found have one name. Whoever sorts filters by name can count them.
"""

import argparse
import json
import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl

from benchmarks.county import AS_OF, MONTHS, SEED, project_key, raw_folders
from linkage.encoding.columns import RAW_PEOPLE_COLUMNS
from linkage.encoding.extract import open_raw_file
from linkage.encoding.high_profile import COMBINATIONS, HighProfileEncoder
from linkage.encoding.keys import Key
from linkage.encoding.nicknames import root_of
from linkage.encoding.noise import FLIPPED_OF_256
from linkage.encoding.normalise import PeopleNormaliser
from sample_data.county import simulate

RESULTS = Path(__file__).parent / "results" / "leaks.json"
PEOPLE = 20_000
_PAIRED = 4_000

_STANDARD: dict[str, tuple[str, ...]] = {
    "first_name_token": ("first_name",),
    "last_name_token": ("last_name",),
    "first_name_root_token": ("root",),
    "first_name_sound_tokens": ("first_name_key",),
    "last_name_sound_tokens": ("last_name_keys",),
    "middle_initial_token": ("middle_initial",),
    "suffix_token": ("suffix",),
    "birth_date_token": ("birth_date",),
    "birth_month_day_token": ("birth_month_day",),
    "birth_year_month_token": ("birth_year_month",),
}
"""What the standard profile's tokens are made of, as far as counting may read it."""


def measured(folder: Path) -> dict[str, Any]:
    """Shares of rows read, by profile and column, and how well filters are sorted by name."""
    ours, theirs = (_people(folder / str(seed), seed) for seed in (SEED, SEED + 1))
    high = {
        name: parts for name, parts in COMBINATIONS.items() if not any(p.startswith("ssn") for p in parts)
    }
    return {
        "rows": ours.height,
        "standard": {name: _read_by_rank(ours, theirs, parts) for name, parts in _STANDARD.items()},
        "high": {name: _read_by_rank(ours, theirs, parts) for name, parts in high.items()},
        "filters": {name: _sorted_by_name(ours, name) for name in ("first_name", "last_name")},
    }


def _people(folder: Path, seed: int) -> pl.DataFrame:
    """Everybody in normal form, with the parts that tokens are made of and the filters of the profile high."""
    simulate(people=PEOPLE, months=MONTHS, seed=seed, out=folder, one_delivery=True)
    rows = pl.concat(_normalised(folder))
    encoder = HighProfileEncoder(project_key=project_key(), agency_key=Key("agency", bytes(32)))
    filters = encoder.encode(rows).select("first_name_bits", "last_name_bits")
    firsts = rows["first_name"].drop_nulls().unique()
    roots = pl.DataFrame({"first_name": firsts, "root": [root_of(name.replace(" ", "")) for name in firsts]})
    return (
        encoder.with_parts(rows)
        .hstack(filters)
        .join(roots, on="first_name", how="left", maintain_order="left")
        .with_columns(middle_initial=pl.col("middle_name").str.slice(0, 1))
    )


def _normalised(folder: Path) -> Iterator[pl.DataFrame]:
    number = 0
    for extract in raw_folders(folder).values():
        normaliser = PeopleNormaliser(covers_to=AS_OF)
        for batch in open_raw_file(extract, "people", RAW_PEOPLE_COLUMNS).batches():
            rows = normaliser.normalise(batch).rows
            yield rows.with_columns(pl.int_range(number, number + rows.height).alias("row_number"))
            number += rows.height


def _read_by_rank(ours: pl.DataFrame, theirs: pl.DataFrame, parts: tuple[str, ...]) -> float:
    """The share of rows whose value has the same rank in both populations; ties stand in the order of values."""

    def ranked(people: pl.DataFrame) -> pl.DataFrame:
        values = people.select("row_number", *parts)
        if "last_name_keys" in parts:
            values = values.explode("last_name_keys")
        values = values.select(value=pl.concat_str(parts, separator="|")).drop_nulls()
        return (
            values.group_by("value")
            .len("rows")
            .sort(["rows", pl.col("value").hash(1)], descending=True)
            .with_row_index("rank")
        )

    both = ranked(ours).join(ranked(theirs), on="rank", how="left", suffix="_guessed")
    read = both.filter(pl.col("value") == pl.col("value_guessed"))["rows"].sum()
    return round(read / both["rows"].sum(), 4)


def _sorted_by_name(people: pl.DataFrame, name: str) -> dict[str, float]:
    """Precision and recall of 'one name' among pairs of different people whose filters have a corrected Dice of .90."""
    known = (
        people.filter(pl.col(name).is_not_null()).unique("whole_identity", maintain_order=True).head(_PAIRED)
    )
    packed = np.frombuffer(b"".join(known[f"{name}_bits"]), np.uint8).reshape(len(known), -1)
    bits = np.unpackbits(packed, axis=1).astype(np.float32)
    p, set_bits = FLIPPED_OF_256, bits.sum(axis=1)
    both = set_bits[:, None] + set_bits[None, :]
    dice = (256 * (bits @ bits.T) - p * both + 2 * p * p) / ((128 - p) * (both - 4 * p))
    names = known[name].to_numpy()
    above = np.triu(np.ones(dice.shape, bool), k=1)
    found, same = (dice >= 0.9) & above, (names[:, None] == names[None, :]) & above
    right = int((found & same).sum())
    return {"precision": round(right / int(found.sum()), 4), "recall": round(right / int(same.sum()), 4)}


def _main() -> None:
    argparse.ArgumentParser(prog="python -m benchmarks.leaks", description=__doc__).parse_args()
    with tempfile.TemporaryDirectory(prefix="leaks-") as scratch:
        figures = measured(Path(scratch))
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    for profile in ("standard", "high"):
        print(profile)
        for column, share in figures[profile].items():
            print(f"  {column:<32} {share:>8.1%}")
    for column, found in figures["filters"].items():
        print(f"filters of {column}: precision {found['precision']:.2f}, recall {found['recall']:.2f}")


if __name__ == "__main__":
    _main()
