"""Write the linkage report of a workspace's last run into its quality pages."""

from dataclasses import dataclass
from pathlib import Path

import polars as pl
from duckdb import DuckDBPyConnection

from linkage.alternatives import (
    Clustering,
    MethodResult,
    WeighedClients,
    against_probabilities,
    against_truth,
    at_precision,
    best_f1,
    connected,
    labels_of,
    single_best_links,
    weighed_clients,
)
from linkage.calibration import threshold_candidates
from linkage.clustering import THRESHOLDS
from linkage.errors import CheckFailedError
from linkage.model_file import Model
from linkage.pages import replace_file
from linkage.progress import step
from linkage.report.page import MethodComparison, Truth, gather, render
from pipelines.models import chosen_model
from pipelines.workspace import Workspace
from quality.data_docs import LINKAGE_REPORT_NAME

REPORT_WITH_TRUTH_NAME = "linkage_report_with_truth.html"

_MOST_PAIRS_COMPARED = 300_000
"""Pairs of clients above which other ways to cluster are not tried: Splink's takes seconds a threshold."""

_SINGLE_BEST_THRESHOLDS = 4


@dataclass(frozen=True, kw_only=True)
class KnownTruth:
    """What a simulated or labelled county adds to the report: who is who (source, client_id, truth_id), and how the
    last run compares with it."""

    clients: pl.DataFrame
    measured: Truth


def write_linkage_report(
    workspace: Workspace,
    connection: DuckDBPyConnection,
    *,
    known: KnownTruth | None = None,
    compare_methods: bool = False,
) -> Path:
    """Write the page to quality_docs/, readable by its owner only, and return its path.

    With `known` it is a page of its own beside the run's, never in its place. `compare_methods` adds other ways to
    cluster, side by side; with many pairs that is left out.
    """
    ((version, link_weight, as_of, county),) = connection.execute(
        "select model_version, link_weight, as_of, county from linkage_run cross join run_parameter"
    ).fetchall()
    model = chosen_model(workspace, version)
    if model is None:
        raise CheckFailedError(f"{workspace.models} holds no linkage model. Run `familiar-faces run` first.")
    with step("linkage report"):
        page = render(
            model,
            gather(connection, model, link_weight=link_weight),
            connection.sql("from linkage_quality").pl(),
            title=county,
            as_of=as_of,
            link_weight=link_weight,
            methods=_methods(connection, model, link_weight, known) if compare_methods else None,
            truth=known.measured if known else None,
        )
    path = workspace.quality_docs / (LINKAGE_REPORT_NAME if known is None else REPORT_WITH_TRUTH_NAME)
    replace_file(path, page)
    return path


def _methods(
    connection: DuckDBPyConnection, model: Model, link_weight: float, known: KnownTruth | None
) -> MethodComparison | None:
    """Ours at the chosen and the published thresholds, against connected components and single best links, each at
    the best of several."""
    weighed = weighed_clients(connection)
    if len(weighed.a) > _MOST_PAIRS_COMPARED:
        return None
    clusters = connection.sql("from cluster").pl()
    at = {"cluster_id": link_weight} | {
        name: model.calibration.weight_at(probability) for name, probability in THRESHOLDS.items()
    }
    ours = [
        Clustering(method="average linkage", threshold=weight, labels=labels_of(weighed, clusters, column))
        for column, weight in at.items()
    ]
    candidates = threshold_candidates(model.calibration)
    few = candidates[:: max(1, len(candidates) // _SINGLE_BEST_THRESHOLDS)]
    judged = [_judged(weighed, model, each, known) for each in ours]
    others = [
        best_f1([_judged(weighed, model, each, known) for each in of_method])
        for of_method in (connected(weighed, candidates), single_best_links(weighed, few))
    ]
    return MethodComparison(
        measured_against="Against the truth."
        if known
        else "Without the truth: each pair counts at the calibrated probability of its own weight, and a linked pair "
        "that was never weighed as two people.",
        ours=judged[0],
        others=tuple((other, at_precision(judged, other.pairs.precision)) for other in others),
    )


def _judged(
    weighed: WeighedClients, model: Model, clustering: Clustering, known: KnownTruth | None
) -> MethodResult:
    if known is None:
        return against_probabilities(weighed, clustering, model.calibration)
    return against_truth(weighed, clustering, known.clients)
