"""What a run of suites found: counts, and nothing that came out of a record."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from quality.suite import Expectation, Suite

Outcome = Literal["met", "not met", "could not run"]


@dataclass(frozen=True, kw_only=True)
class ExpectationResult:
    """Whether one expectation held. This is the allow-list: nothing else of an engine's result is kept.

    `element_count` is the number of rows of the relation, `missing_count` of those whose column is empty,
    `unexpected_count` of rows (for a query: findings) that break the rule; None where there is no such count.
    `because_not_run` is one of our own sentences, never a message of the database, which may quote a value.
    """

    expectation: Expectation
    success: bool
    element_count: int | None = None
    unexpected_count: int | None = None
    missing_count: int | None = None
    because_not_run: str | None = None

    @property
    def could_not_run(self) -> bool:
        """Whether the question could not be asked, which says nothing about the rows."""
        return self.because_not_run is not None

    @property
    def outcome(self) -> Outcome:
        """Met, not met, or could not run."""
        if self.could_not_run:
            return "could not run"
        return "met" if self.success else "not met"

    @property
    def stops(self) -> bool:
        """Whether nothing may be released: a stop does not hold, or any expectation could not be judged."""
        return self.could_not_run or (not self.success and self.expectation.severity == "stop")

    @property
    def warns(self) -> bool:
        """Whether a steward should look: a warning does not hold."""
        return self.outcome == "not met" and self.expectation.severity == "warn"

    @property
    def found(self) -> str:
        """What was found, as one sentence with counts."""
        if self.because_not_run is not None:
            return f"Could not be checked: {self.because_not_run}"
        if self.expectation.expect == "no_figure_off":
            return self._found_among_figures()
        rows = _counted(self.element_count or 0, "row")
        if self.unexpected_count is None:
            return f"{rows}."
        if self.expectation.expect in ("no_rows_from", "columns_to_be_unique"):
            if self.unexpected_count == 0:
                return f"None found, with {rows} in the table."
            return f"{_counted(self.unexpected_count, 'finding')}, with {rows} in the table."
        if self.unexpected_count == 0:
            return f"None of {rows} breaks it."
        share = self.unexpected_count / self.element_count if self.element_count else 0.0
        return f"{self.unexpected_count:,} of {rows} ({_percent(share)}) break it."

    def _found_among_figures(self) -> str:
        if not self.element_count:
            return "Nothing to compare with yet."
        figures = _counted(self.element_count, "figure")
        if not self.unexpected_count:
            return f"{figures} looked at, as expected."
        return f"{self.unexpected_count:,} of {figures} {'is' if self.unexpected_count == 1 else 'are'} off."


@dataclass(frozen=True, kw_only=True)
class SuiteResult:
    """The results of one suite in one run."""

    suite: Suite
    run_label: str
    results: tuple[ExpectationResult, ...]

    @property
    def stops(self) -> tuple[ExpectationResult, ...]:
        """Results because of which nothing may be released."""
        return tuple(result for result in self.results if result.stops)

    @property
    def warnings(self) -> tuple[ExpectationResult, ...]:
        """Results that a steward should look at."""
        return tuple(result for result in self.results if result.warns)

    @property
    def passed(self) -> bool:
        """Whether nothing stops; warnings do not count."""
        return not self.stops

    def sentences(self) -> tuple[str, ...]:
        """One sentence for each result that stops: what was expected and what was found."""
        return tuple(f"{self.suite.title}: {result.expectation.says} {result.found}" for result in self.stops)


def passed(results: Sequence[SuiteResult]) -> bool:
    """Whether no suite of a run stops."""
    return all(result.passed for result in results)


def _counted(number: int, what: str) -> str:
    return f"{number:,} {what}" if number == 1 else f"{number:,} {what}s"


def _percent(share: float) -> str:
    if 0 < share < 0.0001:
        return "less than 0.01 %"
    return f"{share:.2%}".replace("%", " %")
