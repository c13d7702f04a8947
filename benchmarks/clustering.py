"""Our clusters beside connected components and Splink's single best links: `python -m benchmarks.clustering`.

Two sets of people, encoded as agencies encode them and linked with a model trained on themselves: the simulated
county (20,000 residents) and FEBRL4 (5,000 people, each once in two files; Christen 2008). All methods cluster the
same weighed pairs. Each of the others stands at the threshold at which it does best *by the truth*; ours stands as
shipped, at the threshold that training chose without the truth, and at the threshold of a sweep that is no less
precise than the other. Writes results/clustering.json.
"""

import argparse
import contextlib
import io
import json
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Any

import polars as pl

from benchmarks.county import encode_all, encode_county, simulate_county, write_truth_as_delivered
from benchmarks.febrl import COVERS_FROM as FEBRL_FROM
from benchmarks.febrl import COVERS_TO as FEBRL_TO
from benchmarks.febrl import MONTH as FEBRL_MONTH
from benchmarks.febrl import write_febrl
from benchmarks.measure import machine
from linkage.progress import step

RESULTS = Path(__file__).parent / "results" / "clustering.json"
RESIDENTS = 20_000
_PEOPLE_ROWS_PER_RESIDENT = 0.65
_WEIGHTS = [half / 2 for half in range(-20, 61)]
_LEAST_WEIGHT = -14.0
"""So low that every method may stand where it does best, not where the pipeline stops keeping pairs."""

_FEW_WEIGHTS = [-6.0, -2.0, 2.0, 6.0, 10.0, 14.0]


def county(folder: Path) -> tuple[Path, pl.DataFrame]:
    """The simulated county, delivered; its landing folder and its truth."""
    with contextlib.redirect_stdout(io.StringIO()):
        simulate_county(folder / "county", round(RESIDENTS * _PEOPLE_ROWS_PER_RESIDENT))
        encode_county(folder / "county", folder / "workspace" / "landing")
    return folder / "workspace", pl.read_parquet(folder / "county" / "truth_as_delivered.parquet")


def febrl4(folder: Path) -> tuple[Path, pl.DataFrame]:
    """FEBRL4, its two files delivered as if two agencies had them (`benchmarks.febrl`)."""
    extracts = write_febrl(folder)
    encode_all(
        extracts,
        folder / "workspace" / "landing",
        month=FEBRL_MONTH,
        covers_from=FEBRL_FROM,
        covers_to=FEBRL_TO,
    )
    write_truth_as_delivered(folder)
    return folder / "workspace", pl.read_parquet(folder / "truth_as_delivered.parquet")


def compare(workspace_folder: Path, truth: pl.DataFrame) -> dict[str, Any]:
    """Train, weigh and cluster one set of people every way; figures by method."""
    from benchmarks.encoded import ingest, train
    from linkage.alternatives import (
        Clustering,
        MethodResult,
        against_truth,
        at_precision,
        best_f1,
        connected,
        labels_of,
        single_best_links,
        weighed_clients,
    )
    from linkage.clustering import cluster
    from linkage.model import comparison
    from linkage.scoring import score
    from pipelines.models import chosen_model
    from pipelines.workspace import Workspace

    workspace = Workspace(workspace_folder)
    with contextlib.redirect_stdout(io.StringIO()):
        ingest(workspace, tuple(sorted(truth.get_column("source").unique())))
        train(workspace)
    model = chosen_model(workspace, "newest")
    assert model is not None
    link_weight = model.calibration.link_weight
    with workspace.connect() as con:
        score(con, model, lower_weight=_LEAST_WEIGHT)
        before = weighed_clients(con)

        def swept() -> list[MethodResult]:
            results = []
            for weight in [link_weight, *_WEIGHTS]:
                cluster(con, model, link_weight=weight)
                labels = labels_of(before, con.sql("from cluster").pl(), "cluster_id")
                found = Clustering(method="average linkage", threshold=weight, labels=labels)
                results.append(against_truth(before, found, truth))
            return results

        sweep = swept()
        # The constraint on whole numbers that contradict each other is no part of the other methods.
        con.execute(
            f"update scored_pair set {comparison('ssn').column} = -1 "
            f"where {comparison('ssn').column} = {comparison('ssn').number_of('conflict')}"
        ).fetchall()
        free_sweep = swept()
    others: Mapping[str, Sequence[Clustering]] = {
        "connected_components": connected(before, _WEIGHTS),
        "single_best_links": single_best_links(before, _FEW_WEIGHTS),
    }
    found: dict[str, Any] = {
        "clients": before.clients.height,
        "model": model.version,
        "calibration": model.calibration.because,
        "link_threshold": model.calibration.link_because,
        "ours_as_shipped": _figures(sweep[0]),
        "ours_at_its_best": _figures(best_f1(sweep)),
        "unconstrained_as_shipped": _figures(free_sweep[0]),
        "unconstrained_at_its_best": _figures(best_f1(free_sweep)),
    }
    for name, clusterings in others.items():
        results = [against_truth(before, each, truth) for each in clusterings]
        best = best_f1(results)
        as_precise = at_precision(results, best_f1(sweep).pairs.precision)
        ours = at_precision(sweep, best.pairs.precision)
        free = at_precision(free_sweep, best.pairs.precision)
        found[name] = {
            "at_its_best": _figures(best),
            "no_less_precise_than_ours_at_its_best": None if as_precise is None else _figures(as_precise),
            "ours_no_less_precise": None if ours is None else _figures(ours),
            "ours_at_least_as_good": ours is not None and ours.pairs.recall >= best.pairs.recall,
            "unconstrained_no_less_precise": None if free is None else _figures(free),
            "unconstrained_at_least_as_good": free is not None and free.pairs.recall >= best.pairs.recall,
        }
    return found


def _figures(result: Any) -> dict[str, Any]:
    pairs = result.pairs
    return {
        **{name: value for name, value in asdict(result).items() if name not in ("pairs", "method")},
        "precision": round(pairs.precision, 5),
        "recall": round(pairs.recall, 5),
        "f1": round(pairs.f1, 5),
    }


def as_text(figures: Mapping[str, Any]) -> str:
    """The comparison of one set of people, as a table to print."""
    lines = [f"  {'':<42} {'threshold':>9} {'precision':>10} {'recall':>8} {'F1':>8} {'largest':>8}"]
    rows = [
        ("ours, as shipped", figures["ours_as_shipped"]),
        ("ours, at its best", figures["ours_at_its_best"]),
        ("unconstrained, at its best", figures["unconstrained_at_its_best"]),
    ]
    for name in ("connected_components", "single_best_links"):
        words = name.replace("_", " ")
        rows += [
            (f"{words}, at its best", figures[name]["at_its_best"]),
            (
                "  no less precise than ours at its best",
                figures[name]["no_less_precise_than_ours_at_its_best"],
            ),
            ("  ours, no less precise", figures[name]["ours_no_less_precise"]),
            ("  unconstrained, no less precise", figures[name]["unconstrained_no_less_precise"]),
        ]
    for name, each in rows:
        lines.append(
            f"  {name:<42} none is as precise"
            if each is None
            else f"  {name:<42} {each['threshold']:>9.2f} {each['precision']:>10.4f} {each['recall']:>8.4f} "
            f"{each['f1']:>8.4f} {each['largest']:>8}"
        )
    return "\n".join(lines)


def _main() -> None:
    argparse.ArgumentParser(
        prog="python -m benchmarks.clustering",
        description=__doc__,
        formatter_class=argparse.RawTextHelpFormatter,
    ).parse_args()
    results: dict[str, Any] = {"machine": machine()}
    for name, made in (("febrl4", febrl4), ("simulated_county", county)):
        with tempfile.TemporaryDirectory(prefix="clustering-") as scratch, step(name):
            results[name] = compare(*made(Path(scratch)))
        print(f"{name}: {results[name]['clients']:,} clients\n{as_text(results[name])}\n", flush=True)
    RESULTS.parent.mkdir(exist_ok=True)
    RESULTS.write_text(json.dumps(results, indent=2) + "\n", encoding="utf-8")


if __name__ == "__main__":
    _main()
