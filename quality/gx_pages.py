"""Great Expectations' own page for each suite, beside ours, for those who know its Data Docs.

The pages are rendered by Great Expectations from results that were cut to counts first. What they would load
from public hosts (styles, scripts, fonts, a logo that reports each view) is taken out and a style of ours put
in, so they open from disk like the rest. They show the last run only; history and reasons are on our pages.
"""

import datetime as dt
import re
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Any

from quality.data_docs import GX_FOLDER_NAME
from quality.results import ExpectationResult, SuiteResult

_PRIVATE_FOLDER = 0o700
_PRIVATE_FILE = 0o600

_TAKEN_OUT = re.compile(
    r"<script\b.*?</script>|<style\b.*?</style>|<footer\b.*?</footer>|<(?:link|img|source)\b[^>]*>"
    r"|<nav class=\"navbar.*?</nav>\s*</div>\s*</nav>|<title></title>",
    re.DOTALL,
)
_SUITE_LINK = re.compile(r'<a href="[^"]*expectations/[^"]*"[^>]*>(.*?)</a>', re.DOTALL)
_HEAD = """<meta http-equiv="Content-Security-Policy" content="default-src 'none'; style-src 'unsafe-inline'">
<style>
body { margin: 0 auto; max-width: 66rem; padding: 1rem 1.25rem; color: #1c2430; background: #fff;
  font: 1rem/1.5 system-ui, "Segoe UI", Roboto, "Helvetica Neue", Arial, sans-serif; }
a { color: #0b4f9e; }
h4 { font-size: 1.4rem; margin: 1rem 0 .25rem; } h5 { font-size: 1.15rem; margin: 1.75rem 0 .5rem; }
h6 { font-size: 1rem; margin: 1rem 0 .25rem; } .h6, strong { font-weight: 600; }
table { width: 100%; border-collapse: collapse; } th, td { text-align: left; vertical-align: top;
  padding: .4rem .6rem; border-bottom: 1px solid #d5dbe3; }
td i.text-success::before { content: "\\2713 met"; color: #14663c; font-style: normal; }
td i.text-danger::before { content: "\\2715 not met"; color: #9b1c1c; font-style: normal; }
td i.text-warning::before { content: "! could not run"; color: #54308c; font-style: normal; }
i { font-style: normal; white-space: nowrap; }
/* Filters and folds that need scripts. */
.card.mb-3, a[data-toggle] { display: none; }
</style>
</head>"""


def write_gx_pages(docs: Path, results: Sequence[SuiteResult], *, run_at: dt.datetime) -> None:
    """Write `great_expectations/<suite>.html` in the folder `docs` for every suite among `results`."""
    folder = docs / GX_FOLDER_NAME
    folder.mkdir(mode=_PRIVATE_FOLDER, parents=True, exist_ok=True)
    for result in results:
        path = folder / f"{result.suite.name}.html"
        path.write_text(_offline(_rendered(result, run_at), result.suite.name), encoding="utf-8")
        path.chmod(_PRIVATE_FILE)


def _rendered(result: SuiteResult, run_at: dt.datetime) -> str:
    from great_expectations import __version__
    from great_expectations.core import ExpectationSuiteValidationResult
    from great_expectations.core.run_identifier import RunIdentifier
    from great_expectations.render.renderer import ValidationResultsPageRenderer

    met = sum(found.outcome == "met" for found in result.results)
    validation = ExpectationSuiteValidationResult(
        suite_name=result.suite.name,
        success=result.passed,
        results=[_as_gx_result(result.suite.relation, found) for found in result.results],
        suite_parameters={},
        statistics={
            "evaluated_expectations": len(result.results),
            "successful_expectations": met,
            "unsuccessful_expectations": len(result.results) - met,
            "success_percent": 100 * met / len(result.results) if result.results else None,
        },
        meta={
            "great_expectations_version": __version__,
            "run_id": RunIdentifier(run_name=result.run_label, run_time=run_at),
            "active_batch_definition": None,
            "batch_spec": {},
            "batch_markers": {},
            "batch_kwargs": {"data_asset_name": result.suite.relation},
        },
    )
    return str(_page_view().render(ValidationResultsPageRenderer().render(validation)))


@cache
def _page_view() -> Any:
    """One for all pages: each compiles every template anew, which takes longer than the page."""
    from great_expectations.render.view import DefaultJinjaPageView

    return DefaultJinjaPageView()


def _as_gx_result(relation: str, found: ExpectationResult) -> Any:
    from great_expectations.core import ExpectationValidationResult

    from quality.counted import as_gx

    configuration = as_gx(found.expectation, relation, 0).configuration
    configuration.description = f"{found.expectation.says} ({found.expectation.severity})"
    rows, broken = found.element_count or 0, found.unexpected_count or 0
    return ExpectationValidationResult(
        success=found.success,
        expectation_config=configuration,
        result={
            "element_count": rows,
            "unexpected_count": broken,
            "unexpected_percent": 100 * broken / rows if rows else 0.0,
            "missing_count": found.missing_count or 0,
            "partial_unexpected_list": [],
        },
        exception_info={
            "raised_exception": found.could_not_run,
            "exception_message": found.because_not_run,
            "exception_traceback": "",
        },
        meta={},
    )


def _offline(page: str, suite: str) -> str:
    page = _TAKEN_OUT.sub("", page)
    page = _SUITE_LINK.sub(rf'<a href="../{suite}.html">\1</a>', page)
    return page.replace("</head>", _HEAD, 1).replace("<html>", '<html lang="en">', 1)
