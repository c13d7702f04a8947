"""One page about one run, for people: what ran, what it found, why it stopped and what to do.

It is made from Dagster's history alone, so a run of the command line and a run of the daemon give the same page. It
repeats our own sentences, counts and names of assets, and never a message of a library, which may quote a value.
"""

import datetime as dt
import json
import subprocess
import urllib.request
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any

import dagster as dg

from linkage.errors import CheckFailedError, FamiliarFacesError, UsageError
from linkage.pages import replace_file
from linkage.progress import say
from pipelines.operations.settings import Operations, load_operations
from pipelines.releases.release import current_release
from pipelines.workspace import Workspace, speaks_of_full_disk

SUMMARIES = "run_summaries"

_WHAT_TO_DO: Mapping[str, str] = {
    "UsageError": "Correct what the sentence names and run again.",
    "DeliveryRefusedError": "Send the sentence to the agency; replace or remove the delivery, then run again.",
    "CheckFailedError": "Read the page of the suite in quality_docs, correct the cause and run again.",
    "PolicyError": "Renew or sign what the sentence names, then run again or publish.",
    "FamiliarFacesError": "Run again; if it happens twice, report the line above.",
}
_NOTIFY_SECONDS = 30
_KEPT_METADATA = (
    "rows_delivered",
    "rows_accepted",
    "rows_quarantined",
    "months_unchanged",
    "dagster/row_count",
)


@dataclass(frozen=True, kw_only=True)
class StepLine:
    """One finished step: seconds, and the counts that its asset reported."""

    name: str
    seconds: float
    counts: Mapping[str, int]


@dataclass(frozen=True, kw_only=True)
class RunSummary:
    """What one run did. `sentence` says why it stopped, `to_do` what follows; None where it succeeded.

    `not_met` holds the checks that did not hold: name, whether it stops, and what was found, in counts.
    """

    run_id: str
    job: str
    succeeded: bool
    started_at: str
    seconds: float
    steps: tuple[StepLine, ...]
    checks_met: int
    not_met: tuple[tuple[str, bool, str], ...]
    release_id: str | None
    sentence: str | None
    to_do: str | None

    def as_notice(self) -> str:
        """What leaves the workspace by mail or webhook: how the run ended and why, without counts of rows by step."""
        lines = [
            f"# {self.job}: {'succeeded' if self.succeeded else 'failed'}",
            "",
            f"Started {self.started_at}, took {self.seconds:,.0f} s. Run {self.run_id}.",
            f"Current release: {self.release_id or 'none yet'}.",
            f"Checks: {self.checks_met} met, {len(self.not_met)} not met.",
            "",
        ]
        if self.sentence:
            lines += ["## Why it stopped", "", self.sentence, "", f"What to do: {self.to_do}", ""]
        return "\n".join(lines)

    def as_text(self) -> str:
        """The page, as Markdown."""
        lines = [self.as_notice(), "## Checks", ""]
        lines += [
            f"- {'stops' if stops else 'warns'}: {name}: {found}" for name, stops, found in self.not_met
        ]
        lines += ["", "## Steps", "", "| step | seconds | counts |", "|---|---:|---|"]
        for step in self.steps:
            counts = ", ".join(
                f"{name.rpartition('/')[2]} {number:,}" for name, number in step.counts.items()
            )
            lines.append(f"| {step.name} | {step.seconds:,.1f} | {counts} |")
        return "\n".join(lines) + "\n"


def summarise(instance: dg.DagsterInstance, run_id: str, workspace: Workspace) -> RunSummary:
    """Read one finished run out of the history. UsageError when the history does not hold it."""
    record = instance.get_run_record_by_id(run_id)
    if record is None:
        raise UsageError(f"The history in {workspace.dagster_home} holds no run {run_id}.")
    events = [entry.dagster_event for entry in instance.all_logs(run_id) if entry.dagster_event is not None]
    succeeded = record.dagster_run.status == dg.DagsterRunStatus.SUCCESS
    error = None if succeeded else why_it_failed(events)
    checks = [
        event.asset_check_evaluation_data
        for event in events
        if event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION
    ]
    release = current_release(workspace)
    started = record.start_time or record.create_timestamp.timestamp()
    return RunSummary(
        run_id=run_id,
        job=_job_in_words(record.dagster_run),
        succeeded=succeeded,
        started_at=dt.datetime.fromtimestamp(started, dt.UTC).isoformat(timespec="seconds"),
        seconds=(record.end_time or started) - started,
        steps=_steps(events),
        checks_met=sum(check.passed for check in checks),
        not_met=tuple(
            (
                f"{check.asset_key.to_user_string()}.{check.check_name}",
                check.severity == dg.AssetCheckSeverity.ERROR,
                _found(check),
            )
            for check in sorted(checks, key=lambda check: (check.asset_key, check.check_name))
            if not check.passed
        ),
        release_id=release.release_id if release else None,
        sentence=str(error) if error else None,
        to_do=_WHAT_TO_DO[type(error).__name__] if error else None,
    )


def write_summary(instance: dg.DagsterInstance, run_id: str, workspace: Workspace) -> str:
    """Write the run's page into `run_summaries/` and tell whoever `operations.toml` names; returns its path.

    A run has one page: where it exists already, nothing is written and nobody is told again. That telling fails is
    said and changes nothing else.
    """
    folder = workspace.root / SUMMARIES
    folder.mkdir(mode=0o700, exist_ok=True)
    existing = sorted(folder.glob(f"*-{run_id[:8]}.md"))
    if existing:
        return str(existing[0])
    summary = summarise(instance, run_id, workspace)
    stamp = summary.started_at[:19].replace(":", "")
    path = folder / f"{stamp}-{summary.job.partition(' ')[0]}-{run_id[:8]}.md"
    replace_file(path, summary.as_text())
    _tell(summary, load_operations(workspace.root))
    return str(path)


def why_it_failed(events: Iterable[dg.DagsterEvent]) -> FamiliarFacesError:
    """Why a run failed: the error that a step raised for the user, or the blocking check that stopped it.

    Anything else is a bug, or a process that was ended; its message stays out, because a library's message may quote
    a value.
    """
    bug = None
    stopping = []
    for event in events:
        if event.event_type == dg.DagsterEventType.STEP_FAILURE:
            error = event.step_failure_data.error
            while error is not None:
                if error.cls_name in _USER_ERRORS:
                    return _USER_ERRORS[error.cls_name](error.message.partition(": ")[2].strip())
                if speaks_of_full_disk(error.message):
                    return UsageError(
                        f"The disk of the workspace is full, or this user's share of it, as {event.step_key} found. "
                        "What was accepted and released before is as it was; make room and run again."
                    )
                bug = f"{event.step_key} ({error.cls_name})"
                error = error.cause
        elif event.event_type == dg.DagsterEventType.ASSET_CHECK_EVALUATION:
            evaluation = event.asset_check_evaluation_data
            if not evaluation.passed and evaluation.severity == dg.AssetCheckSeverity.ERROR:
                stopping.append(evaluation)
    if stopping:
        others = f" ({len(stopping) - 1} more in quality_docs.)" if len(stopping) > 1 else ""
        return CheckFailedError(
            f"The blocking check {stopping[0].check_name} failed: {_found(stopping[0])}{others} "
            "Nothing was released; the current release is unchanged."
        )
    if bug is None:
        return FamiliarFacesError(
            "The run ended before a step could say why: its process was stopped, or it was cancelled. Nothing that "
            "was released has changed; run again."
        )
    return FamiliarFacesError(
        f"A bug stopped the run in {bug}; its message is withheld because it may quote a record. Nothing that was "
        "released has changed; please report this line."
    )


def _steps(events: Iterable[dg.DagsterEvent]) -> tuple[StepLine, ...]:
    counts: dict[str, dict[str, int]] = {}
    seconds: dict[str, float] = {}
    for event in events:
        step = event.step_key or ""
        if event.event_type == dg.DagsterEventType.ASSET_MATERIALIZATION:
            reported = event.step_materialization_data.materialization.metadata
            counts[step] = {
                name: number
                for name in _KEPT_METADATA
                if name in reported and isinstance(number := reported[name].value, int)
            }
        elif event.event_type == dg.DagsterEventType.STEP_SUCCESS:
            seconds[step] = event.step_success_data.duration_ms / 1000
    return tuple(
        StepLine(name=step, seconds=taken, counts=counts.get(step, {})) for step, taken in seconds.items()
    )


def _found(check: dg.AssetCheckEvaluation) -> str:
    found = check.metadata.get("found")
    return str(found.value) if found is not None else "no count given."


def _job_in_words(run: dg.DagsterRun) -> str:
    if not run.job_name.startswith("__"):
        return run.job_name
    assets = sorted(key.to_user_string() for key in run.asset_selection or ())
    return f"materialize {', '.join(assets[:3])}{' and more' if len(assets) > 3 else ''}"


def _tell(summary: RunSummary, operations: Operations) -> None:
    wanted = operations.tell == "always" or (operations.tell == "failure" and not summary.succeeded)
    if not wanted:
        return
    if operations.command:
        try:
            subprocess.run(  # noqa: S603
                operations.command,
                input=summary.as_notice(),
                text=True,
                check=True,
                timeout=_NOTIFY_SECONDS,
                capture_output=True,
            )
        except (OSError, subprocess.SubprocessError) as error:
            say(f"The command of [notify] did not succeed ({type(error).__name__}); nobody was told by it.")
    if operations.webhook:
        request = urllib.request.Request(  # noqa: S310
            operations.webhook,
            data=json.dumps(_as_json(summary)).encode(),
            headers={"Content-Type": "application/json"},
        )
        try:
            with urllib.request.urlopen(request, timeout=_NOTIFY_SECONDS):  # noqa: S310
                pass
        except (OSError, ValueError) as error:
            say(f"The webhook of [notify] did not answer ({type(error).__name__}); nobody was told by it.")


def _as_json(summary: RunSummary) -> dict[str, Any]:
    return {
        "job": summary.job,
        "run_id": summary.run_id,
        "succeeded": summary.succeeded,
        "sentence": summary.sentence,
        "release_id": summary.release_id,
        "text": summary.as_notice(),
    }


_USER_ERROR_CLASSES: list[type[FamiliarFacesError]] = [
    FamiliarFacesError,
    *FamiliarFacesError.__subclasses__(),
]
_USER_ERRORS = {error_class.__name__: error_class for error_class in _USER_ERROR_CLASSES}
