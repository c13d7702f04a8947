"""A real command in a child process that can be killed, without the seconds that starting Python takes.

The children are forked from a process that has imported everything and computed nothing. What a run reads and never
writes for its own tables is left out, so that a run takes about six seconds instead of twenty: Great Expectations'
questions (every one counts as met), the lineage of columns, and all of Dagster's events but the ends of runs and
steps. `thorough` leaves nothing out.
"""

import contextlib
import multiprocessing
import os
import signal
import time
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from dagster._core.storage.event_log.sqlite.sqlite_event_log import SqliteEventLogStorage

import linkage.changes
import pipelines.assets.deliveries
import pipelines.assets.marts
import pipelines.assets.release
import pipelines.run
from pipelines.cli import main
from quality.results import ExpectationResult, SuiteResult

_FORKED = multiprocessing.get_context("forkserver")
_FORKED.set_forkserver_preload([__name__])
_KEPT_EVENTS = ("PIPELINE_", "RUN_", "STEP_SUCCESS", "STEP_FAILURE")


@dataclass(kw_only=True)
class Trial:
    """One command in a child. `disturb` is called there first, with `argument`."""

    arguments: tuple[str, ...]
    said_file: Path
    disturb: Any = None
    argument: Any = None
    thorough: bool = False
    seconds: float = field(init=False, default=0.0)

    def start(self):
        """Start the child; returns it."""
        self._began = time.monotonic()
        self.said_file.write_text("", encoding="utf-8")
        self.child = _FORKED.Process(
            target=_run,
            args=(self.arguments, str(self.said_file), self.disturb, self.argument, self.thorough),
        )
        self.child.start()
        return self

    def finish(self, patience=300):
        """Wait for the child; returns its exit code (negative: the signal that ended it)."""
        self.child.join(patience)
        if self.child.is_alive():
            self.child.kill()
            self.child.join()
            raise AssertionError(f"a run took more than {patience} s: {self.said}")
        self.seconds = time.monotonic() - self._began
        return self.child.exitcode

    def kill_after(self, seconds):
        """kill -9 after `seconds`; returns the exit code."""
        self.child.join(seconds)
        self.child.kill()
        self.child.join()
        return self.child.exitcode

    @property
    def said(self):
        """What the command printed."""
        return self.said_file.read_text(encoding="utf-8", errors="replace")

    @property
    def complaint(self):
        """The one sentence why it did not do what was asked; fails when there is none, or a traceback."""
        assert "Traceback" not in self.said
        lines = [line for line in self.said.splitlines() if line.startswith("familiar-faces:")]
        assert len(lines) == 1, self.said
        assert "a bug" not in lines[0].lower(), lines[0]
        return lines[0].removeprefix("familiar-faces: ")


def run_trial(root, **options):
    """`familiar-faces run` on the workspace at `root`, finished; what it says goes beside the workspace."""
    trial = started(root, **options)
    trial.code = trial.finish()
    return trial


def started(root, *, said_as="said", **options):
    """`familiar-faces run` on the workspace at `root`, started."""
    arguments = ("run", "--workspace", str(root))
    return Trial(arguments=arguments, said_file=root.with_name(f"{root.name}.{said_as}"), **options).start()


def forked(work, *arguments):
    """Another process that does `work`, a function of a module, forked as a trial is."""
    child = _FORKED.Process(target=work, args=arguments)
    child.start()
    return child


def pipe():
    """Two ends, to talk with a forked process."""
    return _FORKED.Pipe()


def die():
    """kill -9 of this process by itself."""
    os.kill(os.getpid(), signal.SIGKILL)


def die_after_step(number):
    """Kill the process once `number` steps have ended."""
    say, ended = pipelines.run._say_progress, []

    def say_or_die(entry):
        say(entry)
        event = entry.dagster_event
        if event is not None and event.event_type_value == "STEP_SUCCESS":
            ended.append(event.step_key)
            if len(ended) == number:
                die()

    pipelines.run._say_progress = say_or_die


def die_at(place):
    """Kill the process when it calls the function that `place` names, as module:function."""
    import importlib

    module, _, function = place.partition(":")
    setattr(importlib.import_module(module), function, lambda *_, **__: die())


def die_at_whatever_grew(place):
    """The same, and changes alone are scored however many there are."""
    score_changes_whatever_grew()
    die_at(place)


def score_changes_whatever_grew():
    """Score changes alone in a county so tiny that any month is a large share of it."""
    linkage.changes.MOST_GROWTH = 100.0


def run_here(arguments, said_file):
    """Fork once more and run a command there; returns its exit code. Nothing may have been computed here before."""
    child = os.fork()
    if child == 0:
        try:
            _run(arguments, said_file, None, None, False)
        except SystemExit as ended:
            os._exit(int(ended.code or 0))
        finally:
            os._exit(99)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1])


def _run(arguments, said_file, disturb, argument, thorough):
    said = os.open(said_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    os.dup2(said, 1)
    os.dup2(said, 2)
    if not thorough:
        _leave_out_what_only_reads()
    if disturb is not None:
        disturb(*([] if argument is None else [argument]))
    with contextlib.suppress(BrokenPipeError):
        main(list(arguments))


def _leave_out_what_only_reads():
    def all_met(warehouse, suites, *, run_label, docs=None, run_at=None):
        return [
            SuiteResult(
                suite=suite,
                run_label=run_label,
                results=tuple(
                    ExpectationResult(expectation=each, success=True, element_count=1, unexpected_count=0)
                    for each in suite.expectations
                ),
            )
            for suite in suites
        ]

    pipelines.assets.deliveries.run_suites = pipelines.assets.release.run_suites = all_met
    pipelines.assets.marts._table_metadata = lambda *_: {}
    store = SqliteEventLogStorage.store_event

    def store_ends(storage, event):
        kind = event.dagster_event.event_type_value if event.dagster_event else ""
        if kind.startswith(_KEPT_EVENTS):
            store(storage, event)

    SqliteEventLogStorage.store_event = store_ends
