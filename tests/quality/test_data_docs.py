import datetime as dt
import json
import re
from html.parser import HTMLParser
from pathlib import Path
from urllib.parse import unquote

import pytest

from linkage.source import declared_sources
from quality.data_docs import GX_FOLDER_NAME, record_and_write, suite_page
from quality.history import HISTORY_NAME, read
from quality.results import ExpectationResult, SuiteResult
from quality.run import run_suites
from quality.suite import Expectation, Suite, select_suites

JAIL = declared_sources()["jail"]
NO_CONTENT = {"meta", "link", "br", "hr", "img", "input"}


class Page(HTMLParser):
    """What a browser would load or show."""

    def __init__(self, path: Path) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.links: list[str] = []
        self.ids: list[str] = []
        self.labelled_by: list[str] = []
        self.tags: list[str] = []
        self.open: list[str] = []
        self.is_well_formed = True
        self.text = ""
        self.html = path.read_text(encoding="utf-8")
        self.feed(self.html)

    def handle_starttag(self, tag, attrs):
        self.tags.append(tag)
        if tag not in NO_CONTENT:
            self.open.append(tag)
        for name, value in attrs:
            if name in ("src", "srcset", "data", "action") or (name == "href" and tag != "a"):
                self.loads.append(value)
            elif name == "href":
                self.links.append(value)
            elif name == "id":
                self.ids.append(value)
            elif name == "aria-labelledby":
                self.labelled_by.append(value)

    def handle_startendtag(self, tag, attrs):
        self.handle_starttag(tag, attrs)
        if tag not in NO_CONTENT:
            self.open.pop()

    def handle_endtag(self, tag):
        self.is_well_formed = self.is_well_formed and bool(self.open) and self.open[-1] == tag
        if tag in self.open:
            while self.open.pop() != tag:
                pass
        self.text += " "

    def handle_data(self, text):
        if self.open and self.open[-1] != "style":
            self.text += text


def a_result(
    *, unexpected: int = 0, severity: str = "stop", because_not_run: str | None = None
) -> SuiteResult:
    expectation = Expectation(
        expectation_id="rule",
        expect="no_rows_where",
        parameters={"where": "age < 18 & <b>"},
        says="Nobody is <under> 18 & counted.",
        because='They are "children" & protected.',
        severity=severity,
        owner="Privacy <officer>",
    )
    suite = Suite(
        name="ages",
        title="Ages & more",
        says="One row per <person>.",
        relation="ages",
        stage="published",
        source=None,
        expectations=(expectation,),
    )
    found = ExpectationResult(
        expectation=expectation,
        success=unexpected == 0 and because_not_run is None,
        element_count=None if because_not_run else 1234,
        unexpected_count=None if because_not_run else unexpected,
        because_not_run=because_not_run,
    )
    return SuiteResult(suite=suite, run_label="a <label>", results=(found,))


def on(day: int) -> dt.datetime:
    return dt.datetime(2025, 3, day, 12, tzinfo=dt.UTC)


@pytest.fixture
def site(warehouse, tmp_path) -> tuple[Path, list[SuiteResult]]:
    warehouse.change(
        "update candidate_jail_people set sex = 'male' where row_number <= 7",
        "alter table candidate_jail_encounter drop column charge_class",
    )
    docs = tmp_path / "quality_docs"
    return docs, run_suites(
        warehouse.path,
        select_suites(stage="delivery", source="jail"),
        run_label="2025-03",
        docs=docs,
        run_at=on(1),
    )


def test_nothing_is_loaded_from_anywhere(site):
    docs, _ = site
    pages = sorted(docs.rglob("*.html"))
    assert len(pages) == 4 + 3
    for path in pages:
        page = Page(path)
        assert page.loads == []
        assert "script" not in page.tags
        assert page.is_well_formed or path.parent.name == GX_FOLDER_NAME
        assert "default-src 'none'" in page.html
        assert not re.search(r"(?:https?:)?//\w|@import|url\(", page.html)


def test_every_link_leads_to_a_page_and_a_place_on_it(site):
    docs, _ = site
    pages = {path: Page(path) for path in docs.rglob("*.html")}
    for path, page in pages.items():
        assert len(page.ids) == len(set(page.ids))
        assert set(page.labelled_by) <= set(page.ids)
        for link in page.links:
            target, _, place = link.partition("#")
            assert (path.parent / target).resolve() in {*pages, path.parent}
            assert place == "" or place in pages[(path.parent / target).resolve() if target else path].ids


def test_counts_on_the_pages_are_those_of_the_results(site):
    docs, results = site
    for result in results:
        page = Page(docs / f"{result.suite.name}.html")
        shown = re.sub(r"\s+", " ", page.text)
        for each in result.results:
            assert each.expectation.says in shown
            assert each.found in shown
            assert each.expectation.because in shown
    index = re.sub(r"\s+", " ", Page(docs / "index.html").text)
    outcomes = [each for result in results for each in result.results]
    assert f"Expectations {len(outcomes)} " in index
    assert f"Met {sum(each.outcome == 'met' for each in outcomes)} " in index
    assert "7 of 40 rows (17.50 %) break it." in index
    assert "Could not be checked: candidate_jail_encounter has no column charge_class." in index
    assert "2 expectations stand in the way of a release" in index


def test_text_is_shown_as_text(tmp_path):
    record_and_write(tmp_path, [a_result(unexpected=3)], run_at=on(1))
    for name in ("index.html", "ages.html"):
        page = Page(tmp_path / name)
        assert "Nobody is <under> 18 & counted." in page.text
        assert "b" not in page.tags


@pytest.mark.parametrize(
    ("results", "verdict"),
    [
        pytest.param([a_result()], "Everything is as expected", id="met"),
        pytest.param([a_result(unexpected=1, severity="warn")], "Nothing stands in the way", id="warning"),
        pytest.param([a_result(unexpected=1)], "1 expectation stands in the way", id="stop"),
        pytest.param(
            [a_result(because_not_run="no table.")], "1 expectation stands in the way", id="could not run"
        ),
    ],
)
def test_the_first_page_says_whether_a_release_is_possible(tmp_path, results, verdict):
    record_and_write(tmp_path, results, run_at=on(1))
    assert verdict in Page(tmp_path / "index.html").text


def test_since_when_is_the_start_of_the_unbroken_row_of_runs(tmp_path):
    for day, unexpected in ((1, 0), (2, 5), (3, 0), (4, 2), (5, 9)):
        record_and_write(tmp_path, [a_result(unexpected=unexpected)], run_at=on(day))
    text = re.sub(r"\s+", " ", Page(tmp_path / "ages.html").text)
    assert "since 4 Mar 2025 (2 runs in a row)" in text
    assert "9 of 1,234 rows (0.73 %) break it." in text
    assert text.count("met. ") == 5


def test_a_suite_that_did_not_run_keeps_its_last_state(site, warehouse):
    docs, _ = site
    before = (docs / "jail_people.html").read_text(encoding="utf-8")
    run_suites(
        warehouse.path,
        select_suites(stage="delivery", source="ems"),
        run_label="2025-04",
        docs=docs,
        run_at=on(9),
    )
    assert (docs / "jail_people.html").read_text(encoding="utf-8") == before
    index = Page(docs / "index.html").text
    assert "9 Mar 2025" in index
    assert "Jail: people" in index
    assert "Emergency medical services: people" in index


def test_the_history_holds_counts_only(site):
    docs, results = site
    entries = [json.loads(line) for line in (docs / HISTORY_NAME).read_text(encoding="utf-8").splitlines()]
    assert len(entries) == len(results)
    for entry in entries:
        assert set(entry) == {"run", "run_at", "suite", "results"}
        for found in entry["results"].values():
            assert set(found) <= {
                "outcome",
                "element_count",
                "unexpected_count",
                "missing_count",
                "because_not_run",
            }


def test_a_line_cut_short_by_a_killed_run_is_passed_over(tmp_path):
    record_and_write(tmp_path, [a_result()], run_at=on(1))
    with (tmp_path / HISTORY_NAME).open("a", encoding="utf-8") as history:
        history.write('{"run_at": "2025-03-02T12:0')
    record_and_write(tmp_path, [a_result()], run_at=on(3))
    assert [run.run_at.day for run in read(tmp_path)] == [1, 3]


def test_the_same_history_makes_the_same_pages(tmp_path):
    for folder in ("one", "two"):
        for day in (1, 2):
            record_and_write(tmp_path / folder, [a_result(unexpected=day)], run_at=on(day))
    for path in (tmp_path / "one").iterdir():
        assert path.read_bytes() == (tmp_path / "two" / path.name).read_bytes()


def test_a_check_links_to_its_place_on_the_page(site):
    docs, _ = site
    address = suite_page(docs, "jail_people", "sex_is_a_code")
    path, _, place = unquote(address).removeprefix("file://").partition("#")
    assert place in Page(Path(path)).ids


def contrast(one: str, other: str) -> float:
    """Contrast ratio of two colours such as #1c2430 (WCAG 2.2, relative luminance)."""

    def luminance(colour: str) -> float:
        channels = [int(colour[place : place + 2], 16) / 255 for place in (1, 3, 5)]
        red, green, blue = (c / 12.92 if c <= 0.04045 else ((c + 0.055) / 1.055) ** 2.4 for c in channels)
        return 0.2126 * red + 0.7152 * green + 0.0722 * blue

    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_colours_can_be_read(tmp_path):
    record_and_write(tmp_path, [a_result()], run_at=on(1))
    html = Page(tmp_path / "index.html").html
    colour = dict(re.findall(r"--([a-z-]+): (#[0-9a-f]{6})", html))
    pairs = [(text, ground) for text in ("ink", "soft", "link") for ground in ("paper", "ground")]
    pairs += [(status, f"{status}-ground") for status in ("met", "warn", "stop", "unknown")]
    pairs += [(text, f"{status}-ground") for text in ("ink",) for status in ("met", "warn", "stop")]
    for text, ground in pairs:
        assert contrast(colour[text], colour[ground]) >= 4.5, (text, ground)
