"""One asset per declared source: its monthly deliveries, checked and promoted into the warehouse."""

import datetime as dt
from collections.abc import Iterator

import dagster as dg

from linkage.errors import CheckFailedError
from linkage.source import Source, declared_sources
from pipelines.checks import check_results, first_failure, nothing_to_check, of_another_profile, specs
from pipelines.ingest import (
    discard_candidate,
    landed_months,
    load_candidate,
    pending_months,
    prepare_warehouse,
    promote,
)
from pipelines.quarantine import write_quarantine_files
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace
from pipelines.retraction import withdraw
from quality.run import run_suites
from quality.suite import select_suites

DELIVERY_MONTHS = dg.MonthlyPartitionsDefinition(start_date="2015-01-01")
"""Months a county may deliver. The first is early enough for a five-year window over the oldest delivery."""

_Events = Iterator[dg.MaterializeResult | dg.AssetCheckResult]  # type: ignore[type-arg]


def delivery_asset(source: Source) -> dg.AssetsDefinition:
    """The asset `<source>_delivery`: accepted and quarantined rows of one source, by month."""
    key = dg.AssetKey(f"{source.name}_delivery")
    suites = select_suites(stage="delivery", source=source.name, profile=None)
    asset_of = {suite.name: key for suite in suites}

    @dg.asset(
        key=key,
        group_name="deliveries",
        description=f"{source.label}: rows delivered, accepted and quarantined, by month.",
        partitions_def=DELIVERY_MONTHS,
        backfill_policy=dg.BackfillPolicy.single_run(),
        check_specs=specs({key: suites}, blocking=[key]),
        kinds={"duckdb", "parquet"},
        pool=WAREHOUSE_POOL,
    )
    def _delivery(context: dg.AssetExecutionContext, county: CountyWorkspace) -> _Events:
        workspace = county.open()
        profile = workspace.settings().profile
        asked_for = {partition[:7] for partition in context.partition_keys}
        with county.warehouse() as connection:
            prepare_warehouse(connection, profile)
            today = dt.datetime.now(dt.UTC).date()
            rewritten = withdraw(workspace, connection, source, today)
            landed = (asked_for | rewritten) & set(landed_months(workspace.landing, source))
            pending = [
                month for month in pending_months(connection, workspace.landing, source) if month in landed
            ]
            if not pending:
                discard_candidate(connection, source)
                yield dg.MaterializeResult(asset_key=key, metadata={"months_unchanged": len(landed)})
                yield from nothing_to_check(suites, key)
                return
            counts = load_candidate(
                connection, workspace.landing, source, pending, workspace.settings(), today
            )
            quarantined = write_quarantine_files(workspace, connection, source, profile, pending)
        results = run_suites(
            workspace.warehouse,
            [suite.under(profile.name) for suite in suites],
            docs=workspace.quality_docs,
            run_label=f"{source.label}, {pending[-1]}",
        )
        failure = first_failure(results)
        if failure is not None:
            yield from check_results(results, asset_of, workspace.quality_docs)
            raise CheckFailedError(
                f"{source.label}, deliveries of {', '.join(pending)}: {failure} "
                "Nothing of them was accepted; what was accepted before is unchanged."
            )
        with county.warehouse() as connection:
            promote(connection, source)
        yield dg.MaterializeResult(
            asset_key=key,
            metadata={
                "months_ingested": pending,
                "months_unchanged": len(landed) - len(pending),
                "rows_delivered": counts.delivered,
                "rows_accepted": counts.accepted,
                "rows_quarantined": counts.quarantined,
                "quarantined_by_month": dg.MetadataValue.json(quarantined),
                "quarantine_files": dg.MetadataValue.path(str(workspace.quarantine / source.name)),
                "quality_docs": dg.MetadataValue.url((workspace.quality_docs / "index.html").as_uri()),
            },
        )
        yield from check_results(results, asset_of, workspace.quality_docs)
        yield from of_another_profile(suites, profile.name, asset_of)

    return _delivery


delivery_assets = [delivery_asset(source) for source in declared_sources().values()]
