"""What the profile `high` costs: `python -m benchmarks.profiles`.

F1 of both profiles and of bare Splink on plain text, on two sets of people: the simulated county (20,000 residents)
and FEBRL4 (`benchmarks.febrl`). Each goes the whole way under each profile: encoded as the agencies would, ingested,
trained without labels, scored, clustered at the shipped default threshold. The yardstick is `benchmarks.plaintext`,
whose blocking rules are the standard profile's. Nothing is chosen by looking at the truth.
"""

import argparse
import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import date
from functools import partial
from pathlib import Path
from typing import Any

from benchmarks.agreement import compare
from benchmarks.county import (
    AS_OF,
    COVERS_FROM,
    LAST_MONTH,
    encode_all,
    raw_folders,
    write_truth_as_delivered,
)
from benchmarks.encoded import write_county_file
from benchmarks.febrl import COVERS_FROM as FEBRL_FROM
from benchmarks.febrl import COVERS_TO as FEBRL_TO
from benchmarks.febrl import MONTH as FEBRL_MONTH
from benchmarks.febrl import write_febrl
from benchmarks.measure import machine, measure_module
from benchmarks.plaintext import prepare_people
from linkage.encoding.profiles import PROFILES, Profile
from linkage.progress import step
from linkage.source import Source
from pipelines.workspace import Workspace

RESULTS = Path(__file__).parent / "results" / "profiles.json"
PEOPLE_ROWS = 13_000
"""Rows of people of the simulated county, which has about 20,000 residents."""

FEBRL4_BAR = 0.995
"""F1 of clusters at the default threshold that is asked of the standard profile on FEBRL4."""


@dataclass(frozen=True, kw_only=True)
class PeopleSet:
    """Raw extracts in `folder`/raw with their truth, all of one month."""

    folder: Path
    extracts: dict[Source, Path]
    month: str
    covers_from: date
    covers_to: date


def simulated_county(folder: Path) -> PeopleSet:
    """The simulated county of 24 months in one delivery per source."""
    measure_module("benchmarks.county", "simulate", folder, str(PEOPLE_ROWS))
    return PeopleSet(
        folder=folder,
        extracts=raw_folders(folder),
        month=LAST_MONTH,
        covers_from=COVERS_FROM,
        covers_to=AS_OF,
    )


def febrl4(folder: Path) -> PeopleSet:
    """FEBRL4: names, birth dates and Social Security numbers."""
    return PeopleSet(
        folder=folder,
        extracts=write_febrl(folder),
        month=FEBRL_MONTH,
        covers_from=FEBRL_FROM,
        covers_to=FEBRL_TO,
    )


def measured(people: PeopleSet, scratch: Path) -> dict[str, Any]:
    """Both profiles and plain text on one set of people; every figure as plain values."""
    write_truth_as_delivered(people.folder)
    plain = scratch / "plaintext"
    with step("Yardstick: bare Splink on plain text"):
        prepare_people(people.extracts, scratch / "people.parquet", covers_to=people.covers_to)
        measure_module("benchmarks.plaintext", "link", scratch / "people.parquet", plain)
    figures: dict[str, Any] = {}
    for profile in PROFILES.values():
        with step(f"Profile {profile.name}"):
            workspace = scratch / profile.name
            report = _link(people, profile, workspace)
            agreement = compare(people.folder, workspace / "warehouse.duckdb", plain)
        figures["plaintext"] = agreement["plaintext"]
        figures[profile.name] = {
            **agreement["encoded"],
            **report,
            "lost": lost_pairs(people.folder, workspace / "warehouse.duckdb", report["link_weight"]),
        }
    return figures


def _link(people: PeopleSet, profile: Profile, root: Path) -> dict[str, Any]:
    """Encode and link in a workspace of its own; what training chose."""
    workspace = Workspace(root)
    write_county_file(workspace, profile=profile.name)
    encode_all(
        people.extracts,
        workspace.landing,
        profile=profile,
        month=people.month,
        covers_from=people.covers_from,
        covers_to=people.covers_to,
    )
    encoded = partial(measure_module, "benchmarks.encoded")
    encoded("ingest", root)
    training = encoded("train", root).report
    linking = encoded("link", root, str(training["least_weight_kept"])).report
    return {
        "link_weight": training["link_weight"],
        "calibration": training["calibration"],
        "records": linking["records"],
        "candidate_pairs": linking["candidate_pairs"],
        "dropped_pairs": linking["dropped_pairs"],
    }


def lost_pairs(folder: Path, warehouse: Path, link_weight: float) -> dict[str, int]:
    """Why true pairs of clients are not one person: counts by reason, each pair under the first that fits.

    not_brought: no blocking rule brought it, or it weighs too little to be kept; below_threshold; numbers_conflict:
    heavy enough, and two whole Social Security numbers forbade it; other: the average of its clusters was too low.
    """
    import duckdb

    from linkage.model import comparison

    ssn = comparison("ssn")
    with duckdb.connect(str(warehouse), read_only=True) as connection:
        rows = connection.execute(
            f"""
            with client as (
                select source, client_id, person_id, truth_id,
                    row_number() over (order by source, client_id) as number
                from person_crosswalk
                inner join read_parquet('{folder / "truth_as_delivered.parquet"}') using (source, client_id)
            ),
            record as (
                select source_record_id, number from source_record inner join client using (source, client_id)
            ),
            pair as (
                select least(l.number, r.number) as a, greatest(l.number, r.number) as b,
                    max(match_weight) as weight, max({ssn.column}) = {ssn.number_of("conflict")} as conflict
                from scored_pair
                inner join record as l on l.source_record_id = source_record_id_l
                inner join record as r on r.source_record_id = source_record_id_r
                group by all
            ),
            lost as (
                select l.number as a, r.number as b
                from client as l inner join client as r
                    on l.truth_id = r.truth_id and l.number < r.number and l.person_id <> r.person_id
            )
            select
                case
                    when weight is null then 'not_brought'
                    when weight < ? then 'below_threshold'
                    when conflict then 'numbers_conflict'
                    else 'other'
                end as reason,
                count(*)
            from lost left join pair using (a, b)
            group by reason order by reason
            """,
            [link_weight],
        ).fetchall()
    return dict(rows)


def as_text(figures: Mapping[str, Any]) -> str:
    """The figures as tables to print."""
    lines = []
    for name, of_set in figures["sets"].items():
        lines += [name, f"  {'':<24} {'precision':>10} {'recall':>10} {'F1':>10} {'best F1 of pairs':>18}"]
        for side in ("plaintext", *PROFILES):
            found = of_set[side]
            clusters = found["clusters"]
            lines.append(
                f"  {side:<24} {clusters['precision']:>10.4f} {clusters['recall']:>10.4f} {clusters['f1']:>10.4f} "
                f"{found['pairs']['f1']:>18.4f}"
            )
        for side in PROFILES:
            lost = ", ".join(f"{reason} {count:,}" for reason, count in of_set[side]["lost"].items())
            lines.append(f"  {side}, true pairs lost: {lost}")
    standard = figures["sets"]["febrl4"]["standard"]["clusters"]["f1"]
    met = "met" if standard >= FEBRL4_BAR else "NOT MET"
    lines.append(f"standard on FEBRL4, F1 of clusters {standard:.4f}, asked {FEBRL4_BAR}: {met}")
    return "\n".join(lines)


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.profiles", description=__doc__)
    parser.parse_args()
    sets = {}
    with tempfile.TemporaryDirectory(prefix="profiles-") as scratch:
        for name, make in {"simulated_county": simulated_county, "febrl4": febrl4}.items():
            folder = Path(scratch) / name
            folder.mkdir()
            with step(name):
                sets[name] = measured(make(folder / "people"), folder)
    figures = {"machine": machine(), "sets": sets}
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(as_text(figures))


if __name__ == "__main__":
    _main()
