"""The Dagster code location: assets, checks, jobs and the workspace they work on."""

import dagster as dg

from linkage.source import declared_sources
from pipelines.assets.deliveries import delivery_assets
from pipelines.assets.drift import drift_assets
from pipelines.assets.freshness import deliveries_still_come
from pipelines.assets.linkage import linkage_assets
from pipelines.assets.linkage_quality import quality_assets
from pipelines.assets.marts import mart_assets
from pipelines.assets.release import release, release_checks
from pipelines.assets.retraction import erasure
from pipelines.assets.stewardship import stewardship_assets, stewardship_checks
from pipelines.operations.automation import automated, ingest, monthly_refresh, sensors
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

check_freshness = dg.define_asset_job(
    "check_freshness",
    selection=dg.AssetSelection.checks(deliveries_still_come),
    description="Whether every source still delivers; reads the warehouse and changes nothing.",
)

daily_freshness = dg.ScheduleDefinition(
    name="daily_freshness",
    job=check_freshness,
    cron_schedule="0 6 * * *",
    description="Notices an agency that has gone silent, which no delivery can tell.",
)

_OWNERS = {
    "deliveries": ["team:data_team", "team:agencies"],
    "linkage": ["team:data_team", "team:stewards"],
    "staging": ["team:data_team"],
    "marts": ["team:data_team", "team:analysts"],
    "release": ["team:stewards"],
}


def _owned(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with the teams that answer for it: whoever a failure of it concerns first stands first."""
    return spec.replace_attributes(owners=_OWNERS[spec.group_name or ""])


# One process owns the warehouse, so steps run in it one after another.
_ASSETS = dg.map_asset_specs(
    lambda spec: automated(_owned(spec)),
    [
        *delivery_assets,
        *linkage_assets,
        *quality_assets,
        *mart_assets,
        *stewardship_assets,
        *drift_assets,
        release,
        erasure,
    ],
)

defs = dg.Definitions(
    assets=_ASSETS,
    asset_checks=[release_checks, *stewardship_checks, deliveries_still_come],
    jobs=[ingest, train_linkage_model, refresh, publish_release, check_freshness],
    schedules=[monthly_refresh(), daily_freshness],
    sensors=sensors,
    resources={"county": CountyWorkspace()},
    executor=dg.in_process_executor,
)
