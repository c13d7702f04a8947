"""Run the Dagster jobs in this process: no daemon, no web server, the same assets and the same history."""

import datetime as dt
import uuid
import warnings
from collections.abc import Mapping
from typing import Any

import dagster as dg

from linkage.errors import CheckFailedError, FamiliarFacesError, UsageError
from linkage.progress import say, step
from linkage.source import declared_sources
from pipelines.definitions import defs
from pipelines.history import open_history
from pipelines.ingest import landed_months, pending_months, prepare_warehouse
from pipelines.prepared import refuse_what_nobody_read
from pipelines.release import current_release
from pipelines.resources import CountyWorkspace
from pipelines.state import fingerprint, run_state
from pipelines.workspace import Workspace
from quality.sign_off import Verdict, record_sign_off


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
    if not landed:
        raise UsageError(
            f"{workspace.landing} holds no delivery. Put what the agencies' encoder wrote into "
            "landing/<source>/<month>/ and run again."
        )
    last = max(landed)
    return {
        "dagster/asset_partition_range_start": f"{min(pending, default=last)}-01",
        "dagster/asset_partition_range_end": f"{max(pending, default=last)}-01",
    }


def _execute(workspace: Workspace, job: str, config: Mapping[str, Any], tags: Mapping[str, str]) -> None:
    quiet = {"loggers": {"console": {"config": {"log_level": "CRITICAL"}}}}
    with open_history(workspace) as instance, warnings.catch_warnings():
        warnings.simplefilter("ignore")
        resolved = defs.resolve_job_def(job)
        run_id = str(uuid.uuid4())
        instance.add_event_listener(run_id, _say_progress)
        with step(f"Job {job}, {len(resolved.nodes)} steps"):
            result = resolved.execute_in_process(
                run_id=run_id,
                instance=instance,
                run_config={**config, **quiet},
                tags=dict(tags),
                resources={"county": CountyWorkspace(root=str(workspace.root))},
                raise_on_error=False,
            )
    if not result.success:
        raise _reason(result)


def _say_progress(entry: dg.EventLogEntry) -> None:
    event = entry.dagster_event
    if event is not None and event.event_type == dg.DagsterEventType.STEP_SUCCESS:
        say(f"  {event.step_key}: {event.step_success_data.duration_ms / 1000:.1f} s")


def _reason(result: dg.ExecuteInProcessResult) -> FamiliarFacesError:
    """Why a run failed: the error that a step raised for the user, or the blocking check that stopped it.

    Anything else is a bug; its message stays out, because a library's message may quote a value.
    """
    bug = "no step"
    for event in result.get_step_failure_events():
        error = event.step_failure_data.error
        while error is not None:
            if error.cls_name in _USER_ERRORS:
                return _USER_ERRORS[error.cls_name](error.message.partition(": ")[2].strip())
            bug = f"{event.step_key} ({error.cls_name})"
            error = error.cause
    stopping = [
        evaluation
        for evaluation in result.get_asset_check_evaluations()
        if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR
    ]
    if stopping:
        found = stopping[0].metadata["found"].value
        others = f" ({len(stopping) - 1} more in quality_docs.)" if len(stopping) > 1 else ""
        return CheckFailedError(
            f"The blocking check {stopping[0].check_name} failed: {found}{others} "
            "Nothing was released; the current release is unchanged."
        )
    return FamiliarFacesError(
        f"A bug stopped the run in {bug}; its message is withheld because it may quote a record. Nothing that was "
        "released has changed; please report this line."
    )


_USER_ERROR_CLASSES: list[type[FamiliarFacesError]] = [
    FamiliarFacesError,
    *FamiliarFacesError.__subclasses__(),
]
_USER_ERRORS = {error_class.__name__: error_class for error_class in _USER_ERROR_CLASSES}
