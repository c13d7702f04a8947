"""The history of checks: one line per suite and run in `quality_docs/history.jsonl`, holding counts only.

What the pages say about "since when" comes from here. A line cut short by a killed run is passed over.
"""

import datetime as dt
import json
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from quality.results import ExpectationResult, Outcome, SuiteResult
from quality.suite import Expectation

HISTORY_NAME = "history.jsonl"
_PRIVATE_FILE = 0o600


@dataclass(frozen=True, kw_only=True)
class PastResult:
    """What one run found about one expectation; the counts are those of `ExpectationResult`."""

    outcome: Outcome
    element_count: int | None = None
    unexpected_count: int | None = None
    missing_count: int | None = None
    because_not_run: str | None = None

    def of(self, expectation: Expectation) -> ExpectationResult:
        """The result as it was, with the expectation as it is stated now."""
        return ExpectationResult(
            expectation=expectation,
            success=self.outcome == "met",
            element_count=self.element_count,
            unexpected_count=self.unexpected_count,
            missing_count=self.missing_count,
            because_not_run=self.because_not_run,
        )


@dataclass(frozen=True, kw_only=True)
class SuiteRun:
    """What one run found about one suite, by expectation id. `run_at` is UTC."""

    run_at: dt.datetime
    run_label: str
    suite: str
    results: dict[str, PastResult]


def append(docs: Path, results: Sequence[SuiteResult], *, run_at: dt.datetime) -> None:
    """Add one line per suite result to the history in the folder `docs`, which must exist."""
    path = docs / HISTORY_NAME
    lines = "".join(json.dumps(_as_entry(result, run_at), sort_keys=True) + "\n" for result in results)
    is_cut_short = path.exists() and path.read_bytes()[-1:] not in (b"", b"\n")
    with path.open("a", encoding="utf-8") as history:
        history.write("\n" + lines if is_cut_short else lines)
    path.chmod(_PRIVATE_FILE)


def read(docs: Path) -> list[SuiteRun]:
    """Every recorded run of every suite in the folder `docs`, oldest first."""
    path = docs / HISTORY_NAME
    if not path.exists():
        return []
    return sorted(
        _runs(path.read_text(encoding="utf-8").splitlines()), key=lambda run: (run.run_at, run.suite)
    )


def _runs(lines: Iterable[str]) -> Iterable[SuiteRun]:
    for line in lines:
        try:
            entry = json.loads(line)
        except ValueError:
            continue
        yield SuiteRun(
            run_at=dt.datetime.fromisoformat(entry["run_at"]),
            run_label=entry["run"],
            suite=entry["suite"],
            results={name: PastResult(**found) for name, found in entry["results"].items()},
        )


def _as_entry(result: SuiteResult, run_at: dt.datetime) -> dict[str, object]:
    return {
        "run_at": run_at.astimezone(dt.UTC).isoformat(timespec="seconds"),
        "run": result.run_label,
        "suite": result.suite.name,
        "results": {found.expectation.expectation_id: _as_found(found) for found in result.results},
    }


def _as_found(result: ExpectationResult) -> dict[str, object]:
    found = {
        "outcome": result.outcome,
        "element_count": result.element_count,
        "unexpected_count": result.unexpected_count,
        "missing_count": result.missing_count,
        "because_not_run": result.because_not_run,
    }
    return {name: value for name, value in found.items() if value is not None}
