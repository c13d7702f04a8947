"""The last thing that a run does about retracted clients, once its tables are made without them."""

import datetime as dt

import dagster as dg

from pipelines.assets.linkage import linkage_assets
from pipelines.assets.linkage_quality import quality_assets
from pipelines.assets.marts import mart_assets
from pipelines.assets.stewardship import stewardship_assets
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace
from pipelines.retraction import erase, releases_to_recall


@dg.asset(
    deps=[asset.key for asset in (*linkage_assets, *mart_assets, *quality_assets, *stewardship_assets)],
    group_name="linkage",
    description="What is left of retracted clients is erased from the warehouse; releases that held them are named.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def erasure(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace, today = county.open(), dt.datetime.now(dt.UTC).date()
    return dg.MaterializeResult(
        metadata={
            "retractions_carried_out": erase(workspace, today),
            "releases_to_recall": [release.release_id for release in releases_to_recall(workspace, today)],
        }
    )
