"""The Dagster code location: assets, checks, jobs and the workspace they work on."""

import dagster as dg

from linkage.source import declared_sources
from pipelines.assets.deliveries import delivery_assets
from pipelines.assets.drift import drift_assets
from pipelines.assets.linkage import linkage_assets
from pipelines.assets.linkage_quality import quality_assets
from pipelines.assets.marts import mart_assets
from pipelines.assets.release import release, release_checks
from pipelines.assets.stewardship import stewardship_assets, stewardship_checks
from pipelines.resources import CountyWorkspace

_DELIVERIES = dg.AssetSelection.assets(*(f"{source}_delivery" for source in declared_sources()))

train_linkage_model = dg.define_asset_job(
    "train_linkage_model",
    selection=_DELIVERIES | dg.AssetSelection.assets("source_record", "linkage_model").without_checks(),
    description="Ingest what landed and train a new linkage model on it; about once a year.",
)

refresh = dg.define_asset_job(
    "refresh",
    selection=dg.AssetSelection.all(),
    description="Ingest what landed, check, link, build the tables and publish a release.",
)

publish_release = dg.define_asset_job(
    "publish_release",
    selection=dg.AssetSelection.assets("release").without_checks(),
    description="Publish what the last refresh prepared, once it is signed.",
)

# One process owns the warehouse, so steps run in it one after another.
defs = dg.Definitions(
    assets=[
        *delivery_assets,
        *linkage_assets,
        *quality_assets,
        *mart_assets,
        *stewardship_assets,
        *drift_assets,
        release,
    ],
    asset_checks=[release_checks, *stewardship_checks],
    jobs=[train_linkage_model, refresh, publish_release],
    resources={"county": CountyWorkspace()},
    executor=dg.in_process_executor,
)
