"""What starts runs without a person: the landing sensor, the automation of what follows, the monthly refresh.

All of it is off until somebody turns it on in the UI, so that looking at a county starts nothing; only the page about
each run is written from the beginning. Two rules decide the shape:

- A delivery is ingested when it lands, because a refusal should reach the agency the same day. The linkage and the
  tables follow when no ingest is left under way, once for all deliveries that came together.
- Nothing here publishes but the monthly refresh. A release made after three of four agencies delivered would show a
  month that is not there.
"""

import hashlib
import json
import os
import re
from collections.abc import Iterator, Sequence
from pathlib import Path

import dagster as dg

from linkage.encoding.columns import MANIFEST_FILE
from linkage.progress import say
from linkage.source import Source, declared_sources
from pipelines.assets.deliveries import DELIVERY_MONTHS
from pipelines.ingest import landed_months
from pipelines.operations.run_summary import write_summary
from pipelines.operations.settings import load_operations
from pipelines.resources import CountyWorkspace
from pipelines.settings import load_settings
from pipelines.workspace import WORKSPACE_VARIABLE, Workspace

_MONTH = re.compile(r"\d{4}-(0[1-9]|1[0-2])")
_LOOK_EVERY_SECONDS = 60
_AUTOMATED_GROUPS_NOT = ("deliveries", "release")

WHEN_DELIVERIES_CAME = (
    dg.AutomationCondition.any_deps_updated().since(
        dg.AutomationCondition.newly_requested() | dg.AutomationCondition.newly_updated()
    )
    & ~dg.AutomationCondition.any_deps_in_progress()
    & ~dg.AutomationCondition.in_progress()
).with_label("something it is made from is new, and nothing of that is still being made")
"""Dagster's `eager` without its demand that every upstream partition exists: most months of most sources never will."""


def automated(spec: dg.AssetSpec) -> dg.AssetSpec:
    """The asset with the condition under which it is made again; deliveries and the release have none."""
    if spec.group_name in _AUTOMATED_GROUPS_NOT or spec.automation_condition is not None:
        return spec
    return spec.replace_attributes(automation_condition=WHEN_DELIVERIES_CAME)


ingest = dg.define_asset_job(
    "ingest",
    selection=dg.AssetSelection.assets(*(f"{source}_delivery" for source in declared_sources())),
    description="Check and accept deliveries of the chosen months, and nothing else.",
)


@dg.sensor(
    job=ingest,
    minimum_interval_seconds=_LOOK_EVERY_SECONDS,
    description="Starts the ingest of a delivery that is new in landing/ or differs from the one seen before.",
)
def landing(context: dg.SensorEvaluationContext, county: CountyWorkspace) -> dg.SensorResult | dg.SkipReason:
    """One run per source and row of neighbouring months, once a delivery has lain still from one look to the next.

    The cursor holds, for each delivery, the fingerprint seen last and the one a run was asked for last. A lost cursor
    costs one run per source that finds nothing to do.
    """
    before = json.loads(context.cursor) if context.cursor else {"seen": {}, "asked": {}}
    workspace = county.open()
    seen = {
        f"{source.name}/{month}": _fingerprint(workspace.landing / source.name / month)
        for source in declared_sources().values()
        for month in _months(workspace.landing, source)
    }
    still = {delivery for delivery, found in seen.items() if before["seen"].get(delivery) == found}
    changed = {
        delivery: seen[delivery] for delivery in still if before["asked"].get(delivery) != seen[delivery]
    }
    asked = {delivery: found for delivery, found in before["asked"].items() if delivery in seen} | changed
    requests = [
        dg.RunRequest(
            asset_selection=[dg.AssetKey(f"{source}_delivery")],
            tags={**months_range(months[0], months[-1]), "source": source},
        )
        for source in declared_sources()
        for months in _neighbours(
            sorted(name.partition("/")[2] for name in changed if name.startswith(f"{source}/"))
        )
    ]
    context.update_cursor(json.dumps({"seen": seen, "asked": asked}, sort_keys=True))
    if not requests:
        waiting = len(seen) - len(still)
        return dg.SkipReason(
            f"{waiting} deliveries are still arriving."
            if waiting
            else f"{len(seen)} deliveries, none new or changed."
        )
    return dg.SensorResult(run_requests=requests)


def months_range(first: str, last: str) -> dict[str, str]:
    """Run tags that select the deliveries of the months from `first` to `last`, both included, as YYYY-MM."""
    return {
        "dagster/asset_partition_range_start": f"{first}-01",
        "dagster/asset_partition_range_end": f"{last}-01",
    }


def monthly_refresh() -> dg.ScheduleDefinition:
    """The schedule of the refresh: when operations.toml says, in the county's time zone."""
    root = os.environ.get(WORKSPACE_VARIABLE)
    workspace = Workspace(Path(root)) if root else None
    known = workspace is not None and workspace.county_file.is_file()

    @dg.schedule(
        name="monthly_refresh",
        job_name="refresh",
        cron_schedule=load_operations(Path(root or ".")).refresh_cron if known else "0 3 12 * *",
        execution_timezone=load_settings(workspace.county_file).time_zone if workspace and known else "UTC",
        description="Ingest what landed, link, build the tables and publish a release.",
    )
    def _monthly_refresh(county: CountyWorkspace) -> dg.RunRequest | dg.SkipReason:
        landing_folder = county.open().landing
        landed = sorted(
            {month for source in declared_sources().values() for month in _months(landing_folder, source)}
        )
        if not landed:
            return dg.SkipReason(f"{landing_folder} holds no delivery.")
        return dg.RunRequest(tags=months_range(landed[0], landed[-1]))

    return _monthly_refresh


@dg.run_failure_sensor(
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the page about a run that failed into run_summaries/, and tells whom operations.toml names.",
)
def summary_of_failure(context: dg.RunFailureSensorContext, county: CountyWorkspace) -> None:
    """The same page that the command line writes."""
    say(write_summary(context.instance, context.dagster_run.run_id, county.open()))


@dg.run_status_sensor(
    run_status=dg.DagsterRunStatus.SUCCESS,
    default_status=dg.DefaultSensorStatus.RUNNING,
    description="Writes the page about a run that succeeded into run_summaries/.",
)
def summary_of_success(context: dg.RunStatusSensorContext, county: CountyWorkspace) -> None:
    """The same page that the command line writes."""
    say(write_summary(context.instance, context.dagster_run.run_id, county.open()))


follow_deliveries = dg.AutomationConditionSensorDefinition(
    "follow_deliveries",
    target=dg.AssetSelection.all() - dg.AssetSelection.groups(*_AUTOMATED_GROUPS_NOT),
    description="Links and builds the tables after deliveries came; what it prepares is published by other runs.",
)

sensors = [landing, follow_deliveries, summary_of_failure, summary_of_success]


def _months(landing_folder: Path, source: Source) -> list[str]:
    """Landed months that can be delivered by now; the others are refused when a person runs them."""
    first, last = DELIVERY_MONTHS.get_first_partition_key(), DELIVERY_MONTHS.get_last_partition_key()
    return [
        month
        for month in landed_months(landing_folder, source)
        if _MONTH.fullmatch(month) and str(first) <= f"{month}-01" <= str(last)
    ]


def _fingerprint(folder: Path) -> str:
    """What tells one delivery from another: the bytes of its manifest, which holds checksums, and its files' sizes."""
    manifest = (folder / MANIFEST_FILE).read_bytes()
    sizes = sorted((file.name, file.stat().st_size) for file in folder.iterdir())
    return hashlib.sha256(manifest + repr(sizes).encode()).hexdigest()


def _neighbours(months: Sequence[str]) -> Iterator[list[str]]:
    """Months in rows without a gap: a run over a gap would record months as made that never came."""
    row: list[str] = []
    for month in months:
        if row and _number(month) != _number(row[-1]) + 1:
            yield row
            row = []
        row.append(month)
    if row:
        yield row


def _number(month: str) -> int:
    return int(month[:4]) * 12 + int(month[5:])
