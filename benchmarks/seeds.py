"""Other counties: `python -m benchmarks.seeds`.

Whether what is said of the simulated county holds of others: counties of other seeds, and one ten times as large, each
encoded, trained without labels, scored and clustered at the shipped default threshold, and only then held against its
truth. Beside precision and recall stands what training thought of them, how far recall lies apart between groups, and
`by_identity`: the recall that no comparison of identities can exceed, for in the other true pairs one side has
neither a whole name nor a digit of a Social Security number. Writes results/seeds.json.
"""

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks import county
from benchmarks.county import AS_OF, encode_county, simulate_county
from benchmarks.measure import machine
from linkage.progress import step

RESULTS = Path(__file__).parent / "results" / "seeds.json"
COUNTIES: Mapping[str, tuple[int, int]] = {
    "as in the demo": (county.SEED, 13_000),
    "seed 101": (101, 13_000),
    "seed 202": (202, 13_000),
    "seed 303": (303, 13_000),
    "ten times as large": (404, 130_000),
}
"""Seed and rows of people, by name."""

LEAST_PAIRS_OF_A_GROUP = 1_000
"""True pairs of a group whose recall is compared with others'; a few people decide that of a smaller one."""


def measured(seed: int, people_rows: int, folder: Path) -> dict[str, Any]:
    """One county, simulated, linked and held against its truth."""
    from benchmarks.encoded import ingest, train
    from linkage.clustering import cluster
    from linkage.evaluation import client_groups, compare
    from linkage.scoring import LEAST_WEIGHT_KEPT, score
    from pipelines.models import chosen_model
    from pipelines.workspace import Workspace

    workspace = Workspace(folder / "workspace")
    with contextlib.redirect_stdout(io.StringIO()):
        simulate_county(folder / "county", people_rows, seed=seed)
        encode_county(folder / "county", workspace.landing)
        ingest(workspace)
        train(workspace)
    model = chosen_model(workspace, "newest")
    assert model is not None
    with workspace.connect() as con:
        score(con, model, lower_weight=LEAST_WEIGHT_KEPT)
        report = cluster(con, model)
        groups = client_groups(con, as_of_year=AS_OF.year)
        clusters = con.sql("select source, client_id, cluster_id as person_id from cluster").pl()
    truth = pl.read_parquet(folder / "county" / "truth_as_delivered.parquet")
    clients = clusters.join(truth, on=["source", "client_id"])
    found = compare(clients, groups=groups)
    estimate = min(
        model.training["link_estimates"], key=lambda each: abs(each["link_weight"] - report.link_weight)
    )
    return {
        "clients": report.clients,
        "true_pairs": int(found.pairs.true),
        "link_weight": report.link_weight,
        "precision": round(found.pairs.precision, 4),
        "recall": round(found.pairs.recall, 4),
        "f1": round(found.pairs.f1, 4),
        "estimated_precision": estimate["precision"],
        "by_identity": round(1 - _beyond_identity(clients, groups) / found.pairs.true, 4),
        "handovers": model.training["handovers"],
        "recall_of_groups": _spread(found.by_group),
    }


def _beyond_identity(clients: pl.DataFrame, groups: pl.DataFrame) -> float:
    """True pairs of which one side lacks name and number."""
    lacks = pl.col("missing").str.contains("name") & pl.col("missing").str.contains("number")
    counted = (
        clients.join(groups, on=["source", "client_id"])
        .group_by("truth_id")
        .agg(all=pl.len().cast(pl.Float64), told=(~lacks).sum().cast(pl.Float64))
    )
    pairs = (pl.col(of) * (pl.col(of) - 1) / 2 for of in ("all", "told"))
    all_pairs, told_pairs = (counted.select(each.sum()).item() for each in pairs)
    return float(all_pairs - told_pairs)


def _spread(by_group: Mapping[tuple[str, str], Any]) -> dict[str, dict[str, float]]:
    """Recall of every group of sex, race_ethnicity and age with enough true pairs."""
    spread: dict[str, dict[str, float]] = {}
    for (attribute, value), agreement in by_group.items():
        if (
            attribute != "missing"
            and value not in ("not known", "U")
            and agreement.true >= LEAST_PAIRS_OF_A_GROUP
        ):
            spread.setdefault(attribute, {})[value] = round(agreement.recall, 4)
    return spread


def as_text(counties: Mapping[str, Mapping[str, Any]]) -> str:
    """The figures as a table to print."""
    lines = [
        f"  {'':<20} {'clients':>8} {'precision':>10} {'estimated':>10} {'recall':>8} {'by identity':>12} {'F1':>8}"
        f" {'groups apart':>13}"
    ]
    for name, each in counties.items():
        apart = max(_apart(of.values()) for of in each["recall_of_groups"].values())
        lines.append(
            f"  {name:<20} {each['clients']:>8,} {each['precision']:>10.4f} {each['estimated_precision']:>10.4f} "
            f"{each['recall']:>8.4f} {each['by_identity']:>12.4f} {each['f1']:>8.4f} {apart:>13.4f}"
        )
    return "\n".join(lines)


def _apart(recalls: Iterable[float]) -> float:
    listed = list(recalls)
    return max(listed) - min(listed)


def _main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.seeds",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    ).parse_args()
    counties = {}
    for name, (seed, people_rows) in COUNTIES.items():
        with tempfile.TemporaryDirectory(prefix="seeds-") as scratch, step(name):
            counties[name] = measured(seed, people_rows, Path(scratch))
    RESULTS.parent.mkdir(exist_ok=True)
    figures = {"machine": machine(), "counties": counties}
    RESULTS.write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
    print(as_text(counties))


if __name__ == "__main__":
    _main()
