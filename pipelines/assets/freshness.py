"""Whether each source still delivers: a check per source against the day, not against Dagster's last run.

Dagster's own freshness policies ask when an asset was last made. A refresh that finds nothing new makes it too, so
they would call a silent agency fresh.
"""

import datetime as dt
from collections.abc import Iterator, Mapping

import dagster as dg

from linkage.source import declared_sources
from pipelines.operations.settings import Operations, load_operations
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace

CHECK_NAME = "still_delivers"


def lateness(
    covered_to: Mapping[str, dt.date], operations: Operations, today: dt.date
) -> dict[str, tuple[bool, int | None]]:
    """For each declared source: whether it is on time, and how many days ago its last delivery ended.

    `covered_to` is the first day that no accepted delivery of a source covers; a source without one is not on time,
    and its days are None.
    """
    found: dict[str, tuple[bool, int | None]] = {}
    for source in declared_sources():
        covered = covered_to.get(source)
        days = (today - covered).days if covered else None
        found[source] = (days is not None and days <= operations.late_after(source), days)
    return found


@dg.multi_asset_check(
    name="deliveries_still_come",
    specs=[
        dg.AssetCheckSpec(
            CHECK_NAME,
            asset=f"{source.name}_delivery",
            description=f"{source.label} has delivered within the days that operations.toml allows.",
        )
        for source in declared_sources().values()
    ],
    can_subset=True,
    pool=WAREHOUSE_POOL,
)
def deliveries_still_come(  # noqa: D103
    context: dg.AssetCheckExecutionContext, county: CountyWorkspace
) -> Iterator[dg.AssetCheckResult]:
    operations = load_operations(county.open().root)
    with county.warehouse() as connection:
        has_table = connection.execute("from duckdb_tables() where table_name = 'delivery'").fetchall()
        rows = (
            connection.execute("select source, max(covers_to) from delivery group by all").fetchall()
            if has_table
            else []
        )
    today = dt.datetime.now(dt.UTC).date()
    asked_for = context.selected_asset_check_keys
    for source, (on_time, days) in lateness(dict(rows), operations, today).items():
        key = dg.AssetKey(f"{source}_delivery")
        if dg.AssetCheckKey(key, CHECK_NAME) not in asked_for:
            continue
        allowed = operations.late_after(source)
        yield dg.AssetCheckResult(
            asset_key=key,
            check_name=CHECK_NAME,
            passed=on_time,
            severity=dg.AssetCheckSeverity.WARN,
            metadata={
                "found": "Nothing was ever accepted."
                if days is None
                else f"Deliveries end {days:,} days ago; {allowed} are allowed.",
                "days_since_covered": days if days is not None else -1,
            },
        )
