"""The quality pages: what was expected, why, what was found, how many, and since when.

A static site in the workspace's `quality_docs/`, for stewards who read rather than query. It opens from disk
without a network: no script, and no font, style or image from anywhere else. It is made from the history of
counts and the suites, and the pages by month (`quality.month_pages`) from figures about whole deliveries; nothing
that came out of a record can be on it.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from linkage.pages import replace_file
from linkage.source import declared_sources
from quality import history
from quality.history import SuiteRun
from quality.month_pages import month_page_name
from quality.pages import day, render
from quality.results import ExpectationResult, SuiteResult
from quality.suite import Stage, Suite, load_suites

INDEX_NAME = "index.html"
GX_FOLDER_NAME = "great_expectations"
LINKAGE_REPORT_NAME = "linkage_report.html"
"""The page on how good the links are, which the pipeline writes beside these."""

_STAGES: dict[Stage, tuple[str, str]] = {
    "delivery": (
        "Deliveries",
        "What an agency sent, judged before it is accepted. A stop leaves the county's tables unchanged.",
    ),
    "linkage": (
        "Linkage",
        "Who is who: source records, compared pairs and the persons made of them.",
    ),
    "drift": (
        "Drift",
        "Whether each source's newest month looks like the months before it. These only ever warn: a county may "
        "change, but an export, a register or the linkage changes more often.",
    ),
    "published": (
        "Published tables",
        "What analysts and care teams will read. A stop here keeps the last release current.",
    ),
}
_BY_URGENCY = ("stop", "unknown", "warn", "met")
_RUNS_SHOWN = 24
_PRIVATE_FOLDER = 0o700


@dataclass(frozen=True)
class _Finding:
    """One expectation as it stands: its latest result and the results of the runs before it, oldest first."""

    result: ExpectationResult
    past: tuple[tuple[SuiteRun, ExpectationResult], ...]

    @property
    def status(self) -> str:
        """What a reader must do about it: nothing (met), look (warn), act (stop), or find out (unknown)."""
        return _status(self.result)

    @property
    def order(self) -> int:
        """Place on the page: what needs attention comes first."""
        return _BY_URGENCY.index(self.status)

    @property
    def since(self) -> dt.datetime:
        """The first of the unbroken row of runs that came to the latest outcome."""
        return self._streak[0][0].run_at

    @property
    def runs_since(self) -> int:
        """How many runs in a row came to the latest outcome."""
        return len(self._streak)

    @property
    def _streak(self) -> list[tuple[SuiteRun, ExpectationResult]]:
        start = len(self.past) - 1
        while start > 0 and self.past[start - 1][1].outcome == self.result.outcome:
            start -= 1
        return list(self.past[start:])

    @property
    def marks(self) -> list[tuple[str, str]]:
        """Status and description of the last runs, oldest first."""
        return [
            (_status(result), f"{day(run.run_at)}, {run.run_label}: {result.outcome}. {result.found}")
            for run, result in self.past[-_RUNS_SHOWN:]
        ]


@dataclass(frozen=True)
class _Page:
    """One suite as its page shows it."""

    suite: Suite
    runs: tuple[SuiteRun, ...]
    findings: tuple[_Finding, ...]

    @property
    def last_run(self) -> SuiteRun:
        return self.runs[-1]

    @property
    def runs_shown(self) -> list[tuple[SuiteRun, dict[str, int]]]:
        """The last runs, newest first, with the number of expectations of each status."""
        shown = []
        for run in reversed(self.runs[-_RUNS_SHOWN:]):
            found = [result for finding in self.findings for past, result in finding.past if past is run]
            shown.append((run, _numbers([_status(result) for result in found])))
        return shown

    @property
    def numbers(self) -> dict[str, int]:
        return _numbers([finding.status for finding in self.findings])

    @property
    def worst(self) -> str:
        return next((status for status in _BY_URGENCY if self.numbers[status]), "met")

    @property
    def rows(self) -> int | None:
        counts = (
            finding.result.element_count
            for finding in self.findings
            if finding.result.expectation.expect != "no_figure_off"
        )
        return next((count for count in counts if count is not None), None)


def suite_page(docs: Path, suite: str, expectation_id: str | None = None) -> str:
    """The address (file URL) of a suite's page in the folder `docs`, at one of its expectations if given."""
    address = (docs / f"{suite}.html").absolute().as_uri()
    return address if expectation_id is None else f"{address}#{expectation_id}"


def record_and_write(docs: Path, results: Sequence[SuiteResult], *, run_at: dt.datetime) -> None:
    """Add `results` to the history in `docs` and write the site there again.

    Suites that are not among `results` keep their pages, which show the last run that checked them.
    """
    docs.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    history.append(docs, results, run_at=run_at)
    suites = {suite.name: suite for suite in (*load_suites(), *(result.suite for result in results))}
    pages = _pages(suites, history.read(docs))
    checked = {result.suite.name for result in results}
    for page in pages:
        path = docs / f"{page.suite.name}.html"
        if page.suite.name in checked or not path.exists():
            text = render(
                "suite.html.j2",
                page=page,
                stage=_STAGES[page.suite.stage][0],
                month_page=_month_page(docs, page.suite),
                has_gx_page=(docs / GX_FOLDER_NAME / path.name).exists(),
            )
            replace_file(path, text)
    shown = {page.suite.name for page in pages}
    text = render(
        "index.html.j2",
        stages=[
            (title, says, [page for page in pages if page.suite.stage == stage])
            for stage, (title, says) in _STAGES.items()
        ],
        attention=[
            (page, finding)
            for status in _BY_URGENCY[:-1]
            for page in pages
            for finding in page.findings
            if finding.status == status
        ],
        numbers=_numbers([finding.status for page in pages for finding in page.findings]),
        labels={name: source.label for name, source in declared_sources().items()},
        month_pages={
            name: month_page_name(name)
            for name in declared_sources()
            if (docs / month_page_name(name)).exists()
        },
        has_linkage_report=(docs / LINKAGE_REPORT_NAME).exists(),
        last_run=max((page.last_run for page in pages), key=lambda run: run.run_at),
        never_run=[suite for suite in suites.values() if suite.name not in shown],
    )
    replace_file(docs / INDEX_NAME, text)


def _month_page(docs: Path, suite: Suite) -> str | None:
    if suite.source is None or not (docs / month_page_name(suite.source)).exists():
        return None
    return month_page_name(suite.source)


def _pages(suites: dict[str, Suite], runs: Sequence[SuiteRun]) -> list[_Page]:
    pages = []
    for suite in suites.values():
        of_suite = tuple(run for run in runs if run.suite == suite.name)
        if of_suite:
            findings = []
            for expectation in suite.expectations:
                past = tuple(
                    (run, run.results[expectation.expectation_id].of(expectation))
                    for run in of_suite
                    if expectation.expectation_id in run.results
                )
                if past:
                    findings.append(_Finding(past[-1][1], past))
            pages.append(_Page(suite, of_suite, tuple(findings)))
    return pages


def _status(result: ExpectationResult) -> str:
    if result.could_not_run:
        return "unknown"
    if result.success:
        return "met"
    return result.expectation.severity


def _numbers(statuses: Sequence[str]) -> dict[str, int]:
    return {status: statuses.count(status) for status in _BY_URGENCY}
