"""Assets of linkage: source records, the model, scored pairs, clusters and the persons that last."""

import dataclasses
from collections.abc import Mapping
from typing import Any

import dagster as dg
from duckdb import DuckDBPyConnection
from pydantic import Field

from linkage.changes import score_changes
from linkage.clustering import cluster as cluster_clients
from linkage.decisions import effective_decisions
from linkage.errors import CheckFailedError
from linkage.model_file import Model
from linkage.progress import say
from linkage.records import build_source_record
from linkage.registry import update_registry
from linkage.scoring import LEAST_WEIGHT_KEPT, ScoringReport, score
from linkage.source import declared_sources
from linkage.spark import SparkScoring, score_through_spark
from linkage.training import train
from pipelines.assets.deliveries import delivery_assets
from pipelines.models import NEWEST, chosen_model, keep_model
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace
from pipelines.state import default_as_of
from pipelines.workspace import Workspace

TRAINING_SEED = 20_240_101
"""Fixed, so that training twice on the same source records gives the same model."""

_GROUP = "linkage"


class Training(dg.Config):
    """How to come by the model."""

    retrain: bool = Field(
        default=False, description="Train a new model even though the county file's choice exists."
    )


@dg.asset(
    deps=[asset.key for asset in delivery_assets],
    group_name=_GROUP,
    description="One row per source, client and encoded identity: what linkage compares.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def source_record(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    sources = list(declared_sources().values())
    if not county.open().settings().linkage.handovers:
        sources = [dataclasses.replace(source, handover=None) for source in sources]
    with county.warehouse() as connection:
        rows = build_source_record(connection, sources)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


@dg.asset(
    deps=[source_record],
    group_name=_GROUP,
    description="The linkage model that the county file chooses; the first run trains one.",
    kinds={"splink", "json"},
    pool=WAREHOUSE_POOL,
)
def linkage_model(county: CountyWorkspace, config: Training) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    policy = workspace.settings().linkage
    model = None if config.retrain else chosen_model(workspace, policy.model)
    # Learned again while there is too little to learn from: what a first small delivery taught must not stay.
    trained = model is None or (policy.model == NEWEST and model.learned_too_little)
    if model is None or trained:
        with county.warehouse() as connection:
            model = train(connection, seed=TRAINING_SEED, largest_block=policy.largest_block)
        # Kept as the newest, a model that no run can use would fail every later run too.
        model.refuse_half_trained()
        keep_model(workspace, model)
    if model.learned_too_little:
        say(
            "Too few records are of the same people to learn from, so hardly anybody will be linked; this is tried "
            "again at every run. Deliver more months, or name a model of another county in county.toml, [linkage] "
            "model."
        )
    return dg.MaterializeResult(
        metadata={
            "version": model.version,
            "trained_now": trained,
            "calibration": model.calibration.because,
            "link_threshold": model.calibration.link_because,
            "training": dg.MetadataValue.json(dict(model.training)),
        }
    )


@dg.asset(
    deps=[source_record, linkage_model],
    group_name=_GROUP,
    description="Pairs of source records that share enough to be compared, with their match weight.",
    kinds={"duckdb", "splink"},
    pool=WAREHOUSE_POOL,
)
def scored_pair(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    policy = workspace.settings().linkage
    model = _model(workspace)
    report: ScoringReport | SparkScoring
    scored = "everything"
    with county.warehouse() as connection:
        if policy.engine == "spark":
            report = score_through_spark(
                connection, model, folder=workspace.root, largest_block=policy.largest_block
            )
        else:
            limits = {"lower_weight": LEAST_WEIGHT_KEPT, "largest_block": policy.largest_block}
            report, scored = _score(connection, model, policy.score, limits)
    return dg.MaterializeResult(
        metadata={**_metadata(report, row_count=report.scored_pairs), "scored": scored}
    )


@dg.asset(
    deps=[scored_pair],
    group_name=_GROUP,
    description="Source clients grouped into persons-to-be of this run, with steward decisions respected.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def cluster(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    policy = workspace.settings().linkage
    model = _model(workspace)
    link_weight = (
        model.calibration.link_weight
        if policy.link_at == "calibrated"
        else model.calibration.weight_at(policy.link_at)
    )
    with county.warehouse() as connection:
        report = cluster_clients(
            connection,
            model,
            decisions=effective_decisions(workspace.stewardship),
            max_cluster_size=policy.max_cluster_size,
            link_weight=link_weight,
        )
        connection.execute(
            "create or replace table linkage_run as select ?::varchar as model_version, ?::double as link_weight",
            [model.version, link_weight],
        ).fetchall()
    if 1 < report.clients == report.clusters:
        say(
            f"Model {model.version} links nobody at match weight {link_weight:.1f}, so nobody will be in two systems "
            "and cohorts across systems will be empty; deliver more months, or choose another model or link_at in "
            "county.toml, [linkage]."
        )
    return dg.MaterializeResult(metadata=_metadata(report, row_count=report.clients))


@dg.asset(
    deps=[cluster],
    group_name=_GROUP,
    description="Which person each source client is; ids are minted once and every change is an event.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def person_crosswalk(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    with county.warehouse() as connection:
        report = update_registry(connection, workspace.registry_seed(), run=str(default_as_of(connection)))
    return dg.MaterializeResult(metadata=_metadata(report))


linkage_assets = [source_record, linkage_model, scored_pair, cluster, person_crosswalk]


def _score(
    connection: DuckDBPyConnection, model: Model, scope: str, limits: Mapping[str, Any]
) -> tuple[ScoringReport, str]:
    """Score what the county file asks for; with the report, what was scored and why, in words."""
    if scope == "everything":
        return score(connection, model, **limits), "everything"
    changes = score_changes(connection, model, **limits)
    if isinstance(changes, str):
        return score(connection, model, **limits), f"everything, because {changes}"
    return changes, "changes"


def _model(workspace: Workspace) -> Model:
    model = chosen_model(workspace, workspace.settings().linkage.model)
    if model is None:
        raise CheckFailedError(
            f"{workspace.models} holds no linkage model yet. Run `familiar-faces train` or `familiar-faces run`."
        )
    return model


def _metadata(report: Any, row_count: int | None = None) -> dict[str, Any]:
    """A report's counts as Dagster metadata; nested parts as JSON."""
    metadata = {
        name: dg.MetadataValue.json(value) if isinstance(value, list | tuple | dict) else value
        for name, value in dataclasses.asdict(report).items()
    }
    return metadata if row_count is None else {**metadata, "dagster/row_count": row_count}
