"""Dagster's history of a workspace's runs, kept in the workspace, and quick to write.

Dagster opens the file anew for every event, compiles the statement anew, and waits for the disk twice, at the
commit and at the close; before it stores a check it opens the file once more, to see that there is a table for it.
With a few hundred checks in a run that takes longer than the checks. `KeptOpenEventLog` keeps the files open instead
and remembers which tables it saw. The history is a convenience (the warehouse and the releases do not depend on it),
so it is written in SQLite's mode NORMAL: a loss of power may cost the last events, never the file.
"""

import contextlib
import os
from collections import OrderedDict
from collections.abc import Iterator, Mapping
from typing import Any

from dagster import DagsterInstance, DagsterRunStatus, RunsFilter
from dagster._core.storage.event_log import SqliteEventLogStorage
from sqlalchemy import Connection, Engine, create_engine, event

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
event_log_storage:
  module: pipelines.operations.history
  class: KeptOpenEventLog
  config:
    base_dir:
      env: FAMILIAR_FACES_RUN_HISTORY
"""
_BUSY_SECONDS = 60
_FILES_KEPT_OPEN = 4


class KeptOpenEventLog(SqliteEventLogStorage):
    """Dagster's own event log with the files of the latest runs kept open, and the statements kept compiled."""

    def __init__(self, base_dir: str, inst_data: Any = None) -> None:
        self._engines: OrderedDict[str, Engine] = OrderedDict()
        self._tables_seen: set[str] = set()
        super().__init__(base_dir, inst_data)

    @classmethod
    def from_config_value(cls, inst_data: Any, config_value: Any) -> "KeptOpenEventLog":
        """What dagster.yaml asks for."""
        return cls(inst_data=inst_data, **config_value)

    def dispose(self) -> None:
        """Close the files."""
        with self._db_lock:
            for engine in self._engines.values():
                engine.dispose()
            self._engines.clear()
        super().dispose()

    def has_table(self, table_name: str) -> bool:
        """Whether the file that all runs share has the table; none is ever dropped."""
        if table_name not in self._tables_seen and super().has_table(table_name):
            self._tables_seen.add(table_name)
        return table_name in self._tables_seen

    @contextlib.contextmanager
    def _connect(self, shard: str) -> Iterator[Connection]:
        with self._db_lock:
            engine = self._engine(shard)
            if shard not in self._initialized_dbs:
                self._initdb(engine)
                self._initialized_dbs.add(shard)
            with engine.connect() as connection, connection.begin():
                yield connection

    def _engine(self, shard: str) -> Engine:
        if shard not in self._engines:
            engine = create_engine(self.conn_string_for_shard(shard), connect_args={"timeout": _BUSY_SECONDS})
            event.listen(engine, "connect", _not_waiting_for_the_disk)
            self._engines[shard] = engine
        self._engines.move_to_end(shard)
        while len(self._engines) > _FILES_KEPT_OPEN:
            _, least_used = self._engines.popitem(last=False)
            least_used.dispose()
        return self._engines[shard]


def _not_waiting_for_the_disk(connection: Any, _: Any) -> None:
    connection.execute("pragma synchronous = normal")


def write_instance_settings(workspace: Workspace) -> dict[str, str]:
    """Write the settings of the workspace's Dagster instance; the environment variables that make Dagster use it."""
    (workspace.dagster_home / "dagster.yaml").write_text(_INSTANCE_SETTINGS, encoding="utf-8")
    return {
        "DAGSTER_HOME": str(workspace.dagster_home),
        "DAGSTER_DISABLE_TELEMETRY": "yes",
        "FAMILIAR_FACES_RUN_HISTORY": str(workspace.dagster_home / "history" / "runs"),
    }


_UNDER_WAY = [DagsterRunStatus.NOT_STARTED, DagsterRunStatus.STARTING, DagsterRunStatus.STARTED]


@contextlib.contextmanager
def open_history(workspace: Workspace) -> Iterator[DagsterInstance]:
    """The Dagster instance of the workspace."""
    os.environ.update(write_instance_settings(workspace))
    with DagsterInstance.get() as instance:
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
