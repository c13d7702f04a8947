"""Print how the pipeline compares with bare Splink on the same people: `python -m benchmarks`.

Every measured step is a process of its own, one after another, on the same machine in the same run. Nothing heavy
is imported here, because the memory of this process would count as theirs (see `benchmarks.measure`).
"""

import argparse
import json
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from itertools import pairwise
from math import log
from pathlib import Path
from typing import Any

from benchmarks.measure import machine, measure_module, measure_run
from linkage.progress import step

RESULTS = Path(__file__).parent / "results"
QUICK_PEOPLE_ROWS = 20_000


@dataclass(frozen=True, kw_only=True)
class Target:
    """One figure of design and what it must not be above (or, with `at_least`, below)."""

    what: str
    value: float
    limit: float
    at_least: bool = False

    @property
    def met(self) -> bool:
        """Whether the figure is where it should be."""
        return self.value >= self.limit if self.at_least else self.value <= self.limit

    def as_row(self) -> str:
        """A line of the printed table."""
        sign = ">=" if self.at_least else "<="
        limit = f"{sign} {self.limit:,g}"
        value = f"{self.value:,.0f}" if self.limit >= 1000 else f"{self.value:.4g}"
        return f"  {self.what:<66} {value:>10}  {limit:<12} {'met' if self.met else 'NOT MET'}"


def run(people_rows: int, folder: Path) -> dict[str, Any]:
    """Measure one size in an empty folder; returns every figure as plain values."""
    county, base = folder / "county", folder / "workspace"
    with step(f"Simulating a county of about {people_rows:,} people rows"):
        simulated = measure_module("benchmarks.county", "simulate", county, str(people_rows))
    with step("Encoding"):
        encoding = measure_module("benchmarks.county", "encode", county, base / "landing")
    with step("Ingest"):
        ingest = measure_module("benchmarks.encoded", "ingest", base)
    linking, whole = _fork(base, folder / "linking", warehouse=True), _fork(base, folder / "whole")
    with step("Training the county's model (not counted)"):
        training = measure_module("benchmarks.encoded", "train", base)
    for workspace in (linking, whole):
        shutil.copytree(base / "models", workspace / "models")
    with step("Yardstick: bare Splink on plain text"):
        people = folder / "people.parquet"
        measure_module("benchmarks.plaintext", "prepare", county, people)
        yardstick = measure_module("benchmarks.plaintext", "link", people, folder / "plaintext")
    with step("Ours: source records, scores, clusters, person ids"):
        least_weight = str(training.report["least_weight_kept"])
        ours = measure_module("benchmarks.encoded", "link", linking, least_weight)
    with step("F1 of both"):
        agreement = measure_module(
            "benchmarks.agreement", county, linking / "warehouse.duckdb", folder / "plaintext"
        )
    with step("Whole run, landing to release"):
        whole_run = measure_run(whole)
    with step("The floor: the same tables in bare SQL"):
        floor = measure_module("benchmarks.floor", whole, folder / "floor")
    figures = {
        "people_rows": people_rows,
        "machine": machine(),
        "county": dict(simulated.report),
        "encoding": encoding.as_json(),
        "ingest": ingest.as_json(),
        "training": training.as_json(),
        "yardstick": yardstick.as_json(),
        "linkage": ours.as_json(),
        "agreement": dict(agreement.report),
        "whole_run": whole_run.as_json(),
        "floor": floor.as_json(),
    }
    return {**figures, "targets": [_as_json(target) for target in targets(figures)]}


def targets(figures: Mapping[str, Any]) -> list[Target]:
    """What is promised of the figures of one size."""
    ours, yardstick, whole = figures["linkage"], figures["yardstick"], figures["whole_run"]
    encoded, plaintext = figures["agreement"]["encoded"], figures["agreement"]["plaintext"]
    return [
        Target(
            what="linkage / bare Splink, wall time",
            value=ours["seconds"] / yardstick["seconds"],
            limit=1.0,
        ),
        Target(
            what="linkage / bare Splink, peak memory",
            value=ours["peak_gb"] / yardstick["peak_gb"],
            limit=1.0,
        ),
        Target(
            what="whole run / bare Splink, wall time",
            value=whole["seconds"] / yardstick["seconds"],
            limit=3.0,
        ),
        Target(what="whole run, peak memory (GiB)", value=whole["peak_gb"], limit=8.0),
        Target(
            what="F1 over plain text, pairs, each at its best threshold",
            value=encoded["pairs"]["f1"] - plaintext["pairs"]["f1"],
            limit=-0.002,
            at_least=True,
        ),
        Target(
            what="F1 over plain text, clusters: ours as shipped, Splink's at .95",
            value=encoded["clusters"]["f1"] - plaintext["clusters"]["f1"],
            limit=-0.002,
            at_least=True,
        ),
        Target(
            what="encoder, people rows a processor second",
            value=figures["encoding"]["people_rows_per_core_second"],
            limit=100_000,
            at_least=True,
        ),
    ]


def as_text(figures: Mapping[str, Any]) -> str:
    """The figures of one size as a table to print."""
    county, ours = figures["county"], figures["linkage"]
    lines = [
        f"{county['people_rows']:,} people rows, {ours['records']:,} source records, "
        f"{county['encounter_rows']:,} encounters ({figures['machine']['cores']} cores)",
        f"  {'':<34} {'wall s':>10} {'CPU s':>10} {'peak GiB':>10}",
    ]
    names = {
        "ingest": "ingest",
        "training": "training (not counted)",
        "yardstick": "bare Splink on plain text",
        "linkage": "linkage, stored model",
        "whole_run": "whole run, landing to release",
        "floor": "bare SQL for the same tables",
    }
    for part, name in names.items():
        taken = figures[part]
        lines.append(
            f"  {name:<34} {taken['seconds']:>10,.1f} {taken['cpu_seconds']:>10,.1f} {taken['peak_gb']:>10.2f}"
        )
        if "parts" in taken:
            longest = sorted(taken["parts"].items(), key=lambda part: -part[1])[:6]
            lines.append("    " + ", ".join(f"{what} {seconds:,.1f} s" for what, seconds in longest))
    floor = ours["seconds"] + figures["floor"]["seconds"]
    whole = figures["whole_run"]["seconds"]
    lines.append(
        f"  The floor, linkage and bare SQL: {floor:,.1f} s, "
        f"{floor / figures['yardstick']['seconds']:.2f} x bare Splink; the whole run is {whole / floor:.2f} x the floor"
    )
    lines.append(f"  {'':<34} {'precision':>10} {'recall':>10} {'F1':>10}")
    for side in ("encoded", "plaintext"):
        for unit in ("pairs", "clusters"):
            found = figures["agreement"][side][unit]
            lines.append(
                f"  {side + ', ' + unit:<34} {found['precision']:>10.4f} {found['recall']:>10.4f} {found['f1']:>10.4f}"
            )
    lines.append(f"  {'target':<66} {'value':>10}  {'limit':<12}")
    lines += [target.as_row() for target in targets(figures)]
    return "\n".join(lines)


def growth(smaller: Mapping[str, Any], larger: Mapping[str, Any]) -> dict[str, float]:
    """How wall time for each record grows when records become four times as many, by measured part; 1 is linear."""
    records = larger["linkage"]["records"] / smaller["linkage"]["records"]
    return {
        part: round(
            (larger[part]["seconds"] / smaller[part]["seconds"] / records) ** (log(4) / log(records)), 3
        )
        for part in ("yardstick", "linkage", "whole_run", "floor")
    }


def _fork(base: Path, workspace: Path, *, warehouse: bool = False) -> Path:
    """A workspace of its own on the same deliveries, so that no step finds what another left."""
    workspace.mkdir()
    shutil.copy(base / "county.toml", workspace)
    (workspace / "landing").symlink_to(base / "landing", target_is_directory=True)
    if warehouse:
        shutil.copy(base / "warehouse.duckdb", workspace)
    return workspace


def _as_json(target: Target) -> dict[str, Any]:
    return {
        "what": target.what,
        "value": round(target.value, 4),
        "limit": target.limit,
        "met": target.met,
    }


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--people-rows", type=int, nargs="+", default=[100_000, 1_000_000], metavar="N")
    parser.add_argument(
        "--quick", action="store_true", help=f"one small size: {QUICK_PEOPLE_ROWS:,} people rows"
    )
    parser.add_argument(
        "--keep", type=Path, metavar="FOLDER", help="work in FOLDER/<size> and leave everything there"
    )
    chosen = parser.parse_args()
    measured: list[dict[str, Any]] = []
    for people_rows in [QUICK_PEOPLE_ROWS] if chosen.quick else chosen.people_rows:
        with tempfile.TemporaryDirectory(prefix="benchmark-") as scratch:
            folder = Path(scratch)
            if chosen.keep:
                folder = chosen.keep.absolute() / str(people_rows)
                folder.mkdir(parents=True)
            figures = run(people_rows, folder)
        RESULTS.mkdir(exist_ok=True)
        (RESULTS / f"{people_rows}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
        print(as_text(figures), end="\n\n", flush=True)
        measured.append(figures)
    grown = {
        f"{smaller['people_rows']} to {larger['people_rows']}": growth(smaller, larger)
        for smaller, larger in pairwise(sorted(measured, key=lambda each: each["people_rows"]))
    }
    if grown:
        (RESULTS / "growth.json").write_text(json.dumps(grown, indent=2) + "\n", encoding="utf-8")
    for sizes, by_part in grown.items():
        parts = ", ".join(f"{part.replace('_', ' ')} {times:.2f}" for part, times in by_part.items())
        print(
            f"Wall time for each record, for four times the records, {sizes} people rows: {parts} (at most 1.3)"
        )


if __name__ == "__main__":
    _main()
