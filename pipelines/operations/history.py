"""Dagster's history of a workspace's runs, kept in the workspace, and quick to write.

Dagster writes each event with a connection of its own and waits for the disk twice, at the commit and at the close.
With a few hundred checks in a run that takes longer than the checks. The history is a convenience (the warehouse and
the releases do not depend on it), so it is written in SQLite's mode NORMAL: a loss of power may cost the last
events, never the file.
"""

import contextlib
import os
import sqlite3
from collections.abc import Iterator, Mapping
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from sqlalchemy import event
from sqlalchemy.engine import Engine

from pipelines.workspace import Workspace

_INSTANCE_SETTINGS = """\
# One run at a time writes the warehouse; nothing is reported to anyone.
telemetry:
  enabled: false
nux:
  enabled: false
concurrency:
  # A pool has no limit until its first run was queued, so two that are queued first could both start.
  runs:
    max_concurrent_runs: 1
  pools:
    granularity: run
    default_limit: 1
# A run whose process died is marked as failed and started once more. A step that failed is not: a refused delivery
# or a failed check is the same a minute later.
run_monitoring:
  enabled: true
run_retries:
  enabled: true
  max_retries: 1
  retry_on_asset_or_op_failure: false
# What a step prints is shown, not kept; keeping it also takes two more processes for every step.
compute_logs:
  module: dagster._core.storage.noop_compute_log_manager
  class: NoOpComputeLogManager
"""


def write_instance_settings(workspace: Workspace) -> dict[str, str]:
    """Write the settings of the workspace's Dagster instance; the environment variables that make Dagster use it."""
    (workspace.dagster_home / "dagster.yaml").write_text(_INSTANCE_SETTINGS, encoding="utf-8")
    return {"DAGSTER_HOME": str(workspace.dagster_home), "DAGSTER_DISABLE_TELEMETRY": "yes"}


_UNDER_WAY = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]


@contextlib.contextmanager
def open_history(workspace: Workspace) -> Iterator[DagsterInstance]:
    """The Dagster instance of the workspace."""
    os.environ.update(write_instance_settings(workspace))
    with _without_waiting_for_the_disk(), DagsterInstance.get() as instance:
        yield instance


def close_killed_runs(instance: DagsterInstance, *, tags: Mapping[str, str]) -> list[str]:
    """Mark the runs with `tags` as failed that the history has as under way; returns their ids, the oldest first.

    The caller holds the workspace, and runs with these tags are at work only while they hold it, so their processes
    were killed. Nothing else tells the history: its queue, which starts one run at a time, would wait for them forever.
    """
    killed = instance.get_runs(RunsFilter(statuses=_UNDER_WAY, tags=dict(tags)))
    for run in reversed(killed):
        instance.report_run_failed(run, "The process of this run was killed.")
    return [run.run_id for run in reversed(killed)]


@contextlib.contextmanager
def _without_waiting_for_the_disk() -> Iterator[None]:
    # The last connection to close writes the log back into the file, so one to each file stays open meanwhile.
    kept_open: dict[str, sqlite3.Connection] = {}

    def on_connect(connection: Any, _: Any) -> None:
        if not isinstance(connection, sqlite3.Connection):
            return
        connection.execute("pragma synchronous = normal")
        file = connection.execute("pragma database_list").fetchall()[0][2]
        # A file that is only being made has no write-ahead log yet, so whoever opens it now would not hold the log.
        if file not in kept_open and connection.execute("pragma journal_mode").fetchall() == [("wal",)]:
            kept_open[file] = sqlite3.connect(file, check_same_thread=False)
            kept_open[file].execute("select count(*) from sqlite_master").fetchall()

    event.listen(Engine, "connect", on_connect)
    try:
        yield
    finally:
        event.remove(Engine, "connect", on_connect)
        for connection in kept_open.values():
            connection.close()
