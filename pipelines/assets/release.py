"""The last assets: the checks of what will be published, and the release."""

import datetime as dt
from collections.abc import Iterator, Sequence

import dagster as dg

from pipelines.assets.linkage import linkage_assets
from pipelines.assets.marts import mart_assets
from pipelines.checks import check_results, of_another_profile, specs
from pipelines.releases.brief import write_brief
from pipelines.releases.prepared import write_prepared
from pipelines.releases.publication import publish_prepared
from pipelines.releases.returns import write_returns
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace
from pipelines.state import record_checks, run_state
from quality.run import run_suites
from quality.suite import Suite, select_suites


def _suites_by_asset(
    stage_suites: Sequence[Suite], assets: Sequence[dg.AssetsDefinition]
) -> dict[dg.AssetKey, list[Suite]]:
    keys = {asset.key.to_user_string(): asset.key for asset in assets}
    grouped: dict[dg.AssetKey, list[Suite]] = {}
    for suite in stage_suites:
        grouped.setdefault(keys[suite.relation], []).append(suite)
    return grouped


def _checks(
    name: str, suites: Sequence[Suite], assets: Sequence[dg.AssetsDefinition], *, run_label: str
) -> dg.AssetChecksDefinition:
    by_asset = _suites_by_asset(suites, assets)
    asset_of = {suite.name: key for key, of_asset in by_asset.items() for suite in of_asset}
    # One step checks all tables, for opening them once per table would take longer than the checks. A step cannot
    # stand between two of the tables it checks, so Dagster blocks on those that only the release follows; for the
    # others the release asks `require_checks`, which holds in every later run as well.
    last = set(by_asset) - {upstream for asset in assets for upstream in asset.asset_deps[asset.key]}

    @dg.multi_asset_check(
        name=name, specs=specs(by_asset, blocking=last), can_subset=True, pool=WAREHOUSE_POOL
    )
    def _run_checks(
        context: dg.AssetCheckExecutionContext, county: CountyWorkspace
    ) -> Iterator[dg.AssetCheckResult]:
        workspace = county.open()
        asked_for = context.selected_asset_check_keys
        asked_of = {key.asset_key for key in asked_for}
        chosen = [suite for suite in suites if asset_of[suite.name] in asked_of]
        profile = workspace.settings().profile.name
        asked = [suite.under(profile) for suite in chosen]
        results = run_suites(workspace.warehouse, asked, docs=workspace.quality_docs, run_label=run_label)
        if len(chosen) == len(suites):
            with county.warehouse() as connection:
                settings = workspace.settings()
                state = run_state(workspace, connection, settings)
                record_checks(connection, state, results)
                write_prepared(workspace, connection, state, settings)
        for result in (
            *check_results(results, asset_of, workspace.quality_docs),
            *of_another_profile(chosen, profile, asset_of),
        ):
            if (result.asset_key, result.check_name) in asked_for:
                yield result

    return _run_checks


CHECKED_SUITES = tuple(
    suite for stage in ("linkage", "drift", "published") for suite in select_suites(stage=stage, profile=None)
)
"""Suites that must have been run on exactly the state that is released."""

release_checks = _checks(
    "release_checks",
    CHECKED_SUITES,
    [*linkage_assets, *mart_assets],
    run_label="linkage, drift and published tables",
)


@dg.asset(
    deps=[asset.key for asset in (*linkage_assets, *mart_assets)],
    group_name="release",
    description="What analysts open: one immutable DuckDB file, checked, signed where the county asks for it.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def release(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    with county.warehouse() as connection:
        published = publish_prepared(
            workspace, connection, [suite.name for suite in CHECKED_SUITES], dt.datetime.now(dt.UTC).date()
        )
    returned = write_returns(workspace, published, workspace.settings())
    brief = write_brief(workspace, published)
    return dg.MaterializeResult(
        metadata={
            "release_id": published.release_id,
            "brief": dg.MetadataValue.url(brief.as_uri()),
            "returned": dg.MetadataValue.json(returned),
            "database": dg.MetadataValue.path(str(published.database)),
            "relations": dg.MetadataValue.json(dict(published.manifest["relations"])),
            "quality_docs": dg.MetadataValue.url((workspace.quality_docs / "index.html").as_uri()),
            "linkage_report": dg.MetadataValue.url((workspace.quality_docs / "linkage_report.html").as_uri()),
        }
    )
