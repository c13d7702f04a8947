"""Run the Dagster jobs in this process: no daemon, no web server, the same assets and the same history."""

import datetime as dt
import uuid
import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from linkage.encoding.months import is_month
from linkage.errors import DeliveryRefusedError, UsageError
from linkage.progress import say, step
from linkage.source import declared_sources
from pipelines.assets.deliveries import DELIVERY_MONTHS
from pipelines.definitions import defs
from pipelines.ingest import landed_months, pending_months, prepare_warehouse
from pipelines.operations.automation import months_range
from pipelines.operations.history import close_killed_runs, open_history
from pipelines.operations.run_summary import why_it_failed, write_summary
from pipelines.releases.prepared import refuse_what_nobody_read
from pipelines.releases.release import current_release, release_id
from pipelines.resources import CountyWorkspace
from pipelines.state import fingerprint, run_state
from pipelines.workspace import Workspace
from quality.access_log import account, log_access
from quality.sign_off import Verdict, record_sign_off

_FIRST_MONTH = str(DELIVERY_MONTHS.get_first_partition_key())[:7]
_OF_THE_COMMAND_LINE = {"familiar-faces/started_by": "command line"}
# Dagster's daemon would start a killed run once more; whoever started it here sees that it died.
_NOT_AGAIN = {"dagster/max_retries": "0"}


def refresh(workspace: Workspace, *, as_of: dt.date | None = None) -> str:
    """Ingest, check, link, build, release. Returns the sentence to print.

    Raises the error of the step that failed; nothing that was released before has changed then.
    """
    config = {"ops": {"run_parameter": {"config": {"as_of": as_of.isoformat()}}}} if as_of else {}
    workspace.prepare()
    with workspace.only_run():
        _execute(workspace, "refresh", config, tags=_months_to_ingest(workspace))
        return _released(workspace)


def train_model(workspace: Workspace) -> str:
    """Ingest what landed and train a new model. Returns the sentence to print."""
    config = {"ops": {"linkage_model": {"config": {"retrain": True}}}}
    workspace.prepare()
    with workspace.only_run():
        _execute(workspace, "train_linkage_model", config, tags=_months_to_ingest(workspace))
    version = (workspace.models / "newest").read_text(encoding="ascii").strip()
    return f"Trained linkage model {version}: {workspace.models / version}.json"


def release_prepared(workspace: Workspace, *, signer: str | None, reason: str = "") -> str:
    """Record a sign-off, where one is given, and publish what the last run prepared."""
    workspace.prepare()
    with workspace.only_run():
        if signer is not None:
            _sign(workspace, signer, Verdict.APPROVED, reason)
        _execute(workspace, "publish_release", {}, tags={})
        return _released(workspace)


def refuse_prepared(workspace: Workspace, *, signer: str, reason: str) -> str:
    """Record that a steward refuses what the last run prepared. Returns the sentence to print."""
    workspace.prepare()
    with workspace.only_run():
        _sign(workspace, signer, Verdict.REFUSED, reason)
    return "Refused: this state will not be released. Correct the cause and run again."


def _sign(workspace: Workspace, signer: str, verdict: Verdict, reason: str) -> None:
    with workspace.connect() as connection:
        state = run_state(workspace, connection, workspace.settings())
    refuse_what_nobody_read(workspace, fingerprint(state))
    now = dt.datetime.now(dt.UTC)
    record_sign_off(workspace.stewardship, fingerprint(state), signer, now, verdict=verdict, reason=reason)
    log_access(
        workspace.stewardship,
        account(),
        f"{verdict.value} by {signer.strip()}",
        now=now,
        about=release_id(state),
    )


def _released(workspace: Workspace) -> str:
    release = current_release(workspace)
    if release is None:
        raise UsageError(f"{workspace.releases} has no current release.")
    return f"Current release: {release.release_id} ({release.database})"


def _months_to_ingest(workspace: Workspace) -> dict[str, str]:
    """Run tags that select the landed months, from the first pending one to the last landed one."""
    profile = workspace.settings().profile
    sources = list(declared_sources().values())
    with workspace.connect() as connection:
        prepare_warehouse(connection, profile)
        pending = {
            month for source in sources for month in pending_months(connection, workspace.landing, source)
        }
    landed = {month for source in sources for month in landed_months(workspace.landing, source)}
    for source in sources:
        for month in landed_months(workspace.landing, source):
            if not is_month(month) or month < _FIRST_MONTH:
                raise DeliveryRefusedError(
                    f"{workspace.landing / source.name / month}: its name is no month of {_FIRST_MONTH} or later, "
                    "written YYYY-MM; put the delivery into the folder of its month, or take it away."
                )
    if not landed:
        raise UsageError(
            f"{workspace.landing} holds no delivery. Put what the agencies' encoder wrote into "
            "landing/<source>/<month>/ and run again."
        )
    last = max(landed)
    return months_range(min(pending, default=last), max(pending, default=last))


def _execute(workspace: Workspace, job: str, config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_history(workspace) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        for killed in close_killed_runs(instance, tags=_OF_THE_COMMAND_LINE):
            say(f"An earlier run was killed: {write_summary(instance, killed, workspace)}")
        resolved = defs.resolve_job_def(job)
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, _say_progress)
        with step(f"Job {job}, {len(resolved.nodes)} steps"):
            result = resolved.execute_in_process(
                run_id=run_id,
                instance=instance,
                run_config={**config, **quiet},
                tags={**tags, **_OF_THE_COMMAND_LINE, **_NOT_AGAIN},
                resources={"county": CountyWorkspace(root=str(workspace.root), run_is_held=True)},
                raise_on_error=False,
            )
        say(f"Summary of the run: {write_summary(instance, run_id, workspace)}")
    if not result.success:
        raise why_it_failed(result.all_events)


def _say_progress(entry: dg.EventLogEntry) -> None:
    event = entry.dagster_event
    if event is not None and event.event_type == dg.DagsterEventType.STEP_SUCCESS:
        say(f"  {event.step_key}: {event.step_success_data.duration_ms / 1000:.1f} s")
