"""The county that is measured: simulated, and encoded as its four agencies would.

python -m benchmarks.county simulate FOLDER ROWS      raw extracts, one per source, and truth.parquet
python -m benchmarks.county encode FOLDER LANDING     deliveries, and truth_as_delivered.parquet

Everything is deterministic: one seed, and keys that are made from their names. Such keys protect nobody; nobody in
this county exists.
"""

import argparse
import hashlib
import time
from datetime import date
from pathlib import Path

import polars as pl

from benchmarks.measure import print_report
from linkage.encoding.columns import raw_encounter_columns
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key, KeyKind
from linkage.encoding.profiles import STANDARD, Profile
from linkage.encoding.rejoin import client_ids_of
from linkage.source import Source, declared_sources
from sample_data.county import simulate

SEED = 20_240_101
MONTHS = 24
LAST_MONTH = "2025-12"
COVERS_FROM = date(2024, 1, 1)
AS_OF = date(2026, 1, 1)

_PEOPLE_ROWS_PER_RESIDENT = 0.65


def project_key() -> Key:
    """The key that all four agencies share."""
    return _key("project", "benchmark county")


def raw_folders(county: Path) -> dict[Source, Path]:
    """The raw extract of each source."""
    return {source: county / "raw" / source.name / LAST_MONTH for source in declared_sources().values()}


def simulate_county(county: Path, people_rows: int, *, seed: int = SEED) -> None:
    """Simulate about `people_rows` rows of people and report how many there are."""
    started = time.perf_counter()
    simulated = simulate(
        people=round(people_rows / _PEOPLE_ROWS_PER_RESIDENT),
        months=MONTHS,
        seed=seed,
        out=county,
        one_delivery=True,
    )
    print_report(
        {
            "residents": simulated.residents,
            "people_rows": sum(simulated.people_rows.values()),
            "encounter_rows": sum(simulated.encounter_rows.values()),
            "clients": sum(simulated.clients.values()),
            "seconds": round(time.perf_counter() - started, 2),
        }
    )


def encode_county(county: Path, landing: Path) -> None:
    """Encode every extract, and once more the people alone; report people rows by processor second."""
    people_seconds, people_rows = encode_all(_people_alone(county), county / "people_alone_landing")
    seconds, _ = encode_all(raw_folders(county), landing)
    write_truth_as_delivered(county)
    print_report(
        {
            "people_rows": people_rows,
            "people_seconds": round(people_seconds, 2),
            "people_rows_per_core_second": round(people_rows / people_seconds),
            "seconds": round(seconds, 2),
        }
    )


def encode_all(
    folders: dict[Source, Path],
    landing: Path,
    *,
    profile: Profile = STANDARD,
    month: str = LAST_MONTH,
    covers_from: date = COVERS_FROM,
    covers_to: date = AS_OF,
) -> tuple[float, int]:
    """Encode extracts; returns the processor seconds of all cores and how many people rows were delivered."""
    started = time.process_time()
    rows = 0
    for source, folder in folders.items():
        receipt = encode_extract(
            source=source,
            raw_folder=folder,
            month=month,
            project_key=project_key(),
            agency_key=_key("agency", source.name),
            landing=landing,
            profile=profile,
            covers_from=covers_from,
            covers_to=covers_to,
        )
        rows += receipt.manifest.rows["people"]
    return time.process_time() - started, rows


def _people_alone(county: Path) -> dict[Source, Path]:
    """The same extracts with the same people and no encounters."""
    folders = {}
    for source, folder in raw_folders(county).items():
        alone = county / "people_alone" / source.name / LAST_MONTH
        alone.mkdir(parents=True)
        (alone / "people.csv").hardlink_to(folder / "people.csv")
        (alone / "encounters.csv").write_text(",".join(raw_encounter_columns(source)) + "\n")
        folders[source] = alone
    return folders


def write_truth_as_delivered(county: Path) -> None:
    """Write truth.parquet once more, with the client ids that deliveries have."""
    truth = pl.read_parquet(county / "truth.parquet")
    pl.concat(
        of_source.with_columns(client_ids_of(of_source["client_id"], _key("agency", str(name))))
        for (name,), of_source in truth.partition_by("source", as_dict=True).items()
    ).write_parquet(county / "truth_as_delivered.parquet")


def _key(kind: KeyKind, name: str) -> Key:
    return Key(kind, hashlib.sha256(f"{kind} {name}".encode()).digest())


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    commands = parser.add_subparsers(dest="command", required=True)
    of_simulate = commands.add_parser("simulate")
    of_simulate.add_argument("county", type=Path)
    of_simulate.add_argument("people_rows", type=int)
    of_encode = commands.add_parser("encode")
    of_encode.add_argument("county", type=Path)
    of_encode.add_argument("landing", type=Path)
    chosen = parser.parse_args()
    if chosen.command == "simulate":
        simulate_county(chosen.county, chosen.people_rows)
    else:
        encode_county(chosen.county, chosen.landing)


if __name__ == "__main__":
    _main()
