"""Great Expectations results as Dagster asset checks: one check per expectation, counts only."""

from collections.abc import Collection, Iterator, Mapping, Sequence
from pathlib import Path

import dagster as dg

from quality.data_docs import INDEX_NAME, suite_page
from quality.results import SuiteResult
from quality.suite import Suite

NOTHING_NEW = "No new delivery, so there was nothing to check."


def specs(
    suites_of: Mapping[dg.AssetKey, Sequence[Suite]], *, blocking: Collection[dg.AssetKey]
) -> list[dg.AssetCheckSpec]:
    """A check specification per expectation, on the asset it judges; on the assets in `blocking` a stop blocks what
    follows in the graph."""
    return [
        dg.AssetCheckSpec(
            name=_check_name(suite, expectation.expectation_id),
            asset=asset,
            description=f"{expectation.says} {expectation.because}",
            blocking=expectation.severity == "stop" and asset in blocking,
            metadata={"owner": expectation.owner},
        )
        for asset, suites in suites_of.items()
        for suite in suites
        for expectation in suite.expectations
    ]


def check_results(
    results: Sequence[SuiteResult], asset_of: Mapping[str, dg.AssetKey], docs: Path
) -> Iterator[dg.AssetCheckResult]:
    """What was found, as Dagster check results. `asset_of` maps a suite's name to the asset it judges."""
    for suite_result in results:
        for result in suite_result.results:
            yield dg.AssetCheckResult(
                check_name=_check_name(suite_result.suite, result.expectation.expectation_id),
                asset_key=asset_of[suite_result.suite.name],
                passed=result.outcome == "met",
                severity=dg.AssetCheckSeverity.ERROR if result.stops else dg.AssetCheckSeverity.WARN,
                metadata={
                    "found": result.found,
                    "unexpected": result.unexpected_count or 0,
                    "could_not_run": result.could_not_run,
                    "quality_docs": dg.MetadataValue.url(
                        suite_page(docs, suite_result.suite.name, result.expectation.expectation_id)
                    ),
                    "quality_summary": dg.MetadataValue.url((docs / INDEX_NAME).absolute().as_uri()),
                },
            )


def nothing_to_check(suites: Sequence[Suite], asset: dg.AssetKey) -> Iterator[dg.AssetCheckResult]:
    """Results for a run that found no new delivery; what was found before stays in the history."""
    for suite in suites:
        for expectation in suite.expectations:
            yield dg.AssetCheckResult(
                check_name=_check_name(suite, expectation.expectation_id),
                asset_key=asset,
                passed=True,
                metadata={"found": NOTHING_NEW},
            )


def of_another_profile(
    suites: Sequence[Suite], profile: str, asset_of: Mapping[str, dg.AssetKey]
) -> Iterator[dg.AssetCheckResult]:
    """Results for the expectations that name columns of another encoding profile than the county's."""
    for suite in suites:
        asked = suite.under(profile).expectations
        for expectation in suite.expectations:
            if expectation not in asked:
                yield dg.AssetCheckResult(
                    check_name=_check_name(suite, expectation.expectation_id),
                    asset_key=asset_of[suite.name],
                    passed=True,
                    metadata={"found": f"Not asked: it is of the encoding profile {expectation.profile}."},
                )


def first_failure(results: Sequence[SuiteResult]) -> str | None:
    """The first expectation that stops, as a sentence, or None when none does."""
    sentences = [sentence for result in results for sentence in result.sentences()]
    if not sentences:
        return None
    others = len(sentences) - 1
    return sentences[0] + (f" ({others} more in quality_docs.)" if others else "")


def _check_name(suite: Suite, expectation_id: str) -> str:
    return f"{suite.name}__{expectation_id}"
