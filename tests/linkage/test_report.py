"""The linkage report: complete, readable without its charts, and silent about who anybody is."""

import base64
import datetime as dt
import hashlib
import re
from html.parser import HTMLParser

import polars as pl
import pytest

from linkage.alternatives import (
    Clustering,
    MethodResult,
    against_truth,
    at_precision,
    best_f1,
    connected,
    labels_of,
    weighed_clients,
)
from linkage.clustering import cluster
from linkage.evaluation import Agreement, client_groups, evaluate
from linkage.measures import measure_linkage, write_measures
from linkage.model import blocking_rules, comparisons
from linkage.records import build_source_record
from linkage.report.page import MethodComparison, Truth, gather, render
from linkage.scoring import LEAST_WEIGHT_KEPT, score
from linkage.source import declared_sources
from linkage.training import train
from tests.browser import opened_page
from tests.linkage.conftest import LinkedCounty
from tests.linkage.invented import invented_county, load

AS_OF = dt.date(2024, 12, 31)
SPLINK_CHARTS = 5


class Reader(HTMLParser):
    """What of a page would be loaded, run or read."""

    def __init__(self, html: str) -> None:
        super().__init__()
        self.loads: list[str] = []
        self.scripts: list[str] = []
        self.policy = ""
        self.tables = self.captions = 0
        self.figures: list[dict] = []
        self.headings: list[str] = []
        self.text = ""
        self._in: list[str] = []
        self.feed(html)

    def handle_starttag(self, tag, attrs):
        given = dict(attrs)
        self._in.append(tag)
        self.tables += tag == "table"
        self.captions += tag == "caption"
        if tag in ("h1", "h2", "h3"):
            self.headings.append(tag)
        if tag == "svg" or "data-chart" in given:
            self.figures.append(given)
        if tag == "script":
            self._kind = given.get("type", "")
            if not self._kind:
                self.scripts.append("")
        if given.get("http-equiv") == "Content-Security-Policy":
            self.policy = given["content"]
        for name in ("src", "srcset", "data", "action", "poster"):
            if name in given:
                self.loads.append(given[name])
        if tag in ("a", "link") and not (given.get("href") or "#").startswith("#"):
            self.loads.append(given["href"])

    def handle_endtag(self, tag):
        while self._in and self._in.pop() != tag:
            pass

    def handle_data(self, data):
        if self._in and self._in[-1] == "script":
            if not self._kind:
                self.scripts[-1] += data
        elif not self._in or self._in[-1] != "style":
            self.text += data


@pytest.fixture(scope="module")
def county(linked_county, county_copy):
    con = county_copy
    model = linked_county.model
    measures = measure_linkage(con, model, link_weight=model.calibration.link_weight, as_of_year=AS_OF.year)
    write_measures(con, measures)
    return con, linked_county


@pytest.fixture(scope="module")
def html(county):
    con, linked = county
    return rendered(con, linked)


def rendered(con, linked, **options) -> str:
    link_weight = linked.model.calibration.link_weight
    quality = con.sql("select measure, slice, value, numerator, denominator, note from linkage_measure").pl()
    return render(
        linked.model,
        gather(con, linked.model, link_weight=link_weight),
        quality,
        title="Invented County",
        as_of=AS_OF,
        link_weight=link_weight,
        **options,
    )


@pytest.fixture(scope="module")
def page(html):
    return Reader(html)


def test_the_page_loads_nothing(html, page):
    assert page.loads == []
    outside = re.sub(r"<script.*?</script>", "", html, flags=re.DOTALL)
    assert "http://" not in outside
    assert "https://" not in outside
    assert "url(" not in outside


def test_only_the_pages_own_scripts_may_run(page):
    digests = [
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in page.scripts
    ]
    rules = dict(rule.strip().split(" ", 1) for rule in page.policy.split(";"))
    assert rules["default-src"] == "'none'"
    assert rules["connect-src"] == "'none'"
    assert rules["script-src"].split() == ["'unsafe-eval'", *digests]
    assert len(digests) == 4  # Vega, Vega-Lite, Vega-Embed and ours: once for all charts


def test_the_page_reads_without_its_charts(page):
    assert page.tables == page.captions > 15
    assert page.headings[0] == "h1"
    assert page.headings.count("h2") >= 12
    assert all(figure.get("aria-label") or figure.get("aria-hidden") for figure in page.figures)
    for rule in blocking_rules().values():
        assert rule.says in page.text
    for each in comparisons():
        for level in each.levels:
            assert level.tells_nothing or level.says in page.text


def test_the_page_is_made_alike_from_the_same_run(county, html):
    assert rendered(*county) == html


def test_nothing_on_the_page_is_a_value_of_a_record(county, html):
    """Neither a token, nor an id that linkage or an agency gave. Record numbers are counted afresh."""
    con, _ = county
    tokens = [
        column
        for column, kind in con.execute(
            "select column_name, data_type from duckdb_columns() where table_name = 'source_record'"
        ).fetchall()
        if kind == "BIGINT"
    ]
    long_numbers = set(re.findall(r"\d{9,}", html))
    for column in tokens:
        values = {
            str(value) for (value,) in con.execute(f"select distinct {column} from source_record").fetchall()
        }
        assert not {value for value in values if len(value) >= 9} & long_numbers, column
    clients = {client for (client,) in con.execute("select distinct client_id from source_record").fetchall()}
    assert not clients & set(re.findall(r"[0-9a-f]{32}", html))


def test_sampled_cases_show_every_comparison_in_words(county):
    con, linked = county
    facts = gather(con, linked.model, link_weight=linked.model.calibration.link_weight)
    assert len({case.chosen_because for case in facts.cases}) >= 4
    for case in facts.cases:
        assert [name for name, _, _ in case.findings] == [
            each.name.replace("_", " ") for each in comparisons()
        ]
        total = linked.model.parameters.prior_weight + sum(weight for _, _, weight in case.findings)
        # names that are rarer or commoner than most move the sum
        assert abs(total - case.unadjusted_match_weight) < 12


def test_a_browser_draws_every_chart_and_asks_for_nothing(html, tmp_path):
    file = tmp_path / "linkage_report.html"
    file.write_text(html, encoding="utf-8")
    with opened_page(file) as (page, asked_for, complaints):
        page.wait_for_function(
            f"document.querySelectorAll('[data-chart] svg').length >= {SPLINK_CHARTS}", timeout=20_000
        )
        assert asked_for == [file.as_uri()]
        assert complaints == []
        assert "could not be drawn" not in page.inner_text("main")
        assert page.evaluate("document.documentElement.scrollWidth") <= 1200


def test_truth_and_other_methods_are_shown_where_they_are_known(county):
    con, linked = county
    truth = Truth(
        evaluation=evaluate(con, linked.truth, groups=client_groups(con, as_of_year=AS_OF.year)), cohorts={}
    )
    weighed = weighed_clients(con)
    ours = Clustering(
        method="average linkage",
        threshold=1.0,
        labels=labels_of(weighed, con.sql("from cluster").pl(), "cluster_id"),
    )
    others = [against_truth(weighed, each, linked.truth) for each in connected(weighed, [0.0, 2.0, 4.0])]
    judged = against_truth(weighed, ours, linked.truth)
    methods = MethodComparison(
        measured_against="Against the truth.",
        ours=judged,
        others=((best_f1(others), at_precision([judged], best_f1(others).pairs.precision)),),
    )
    assert judged.pairs == truth.evaluation.pairs
    page = Reader(rendered(con, linked, truth=truth, methods=methods))
    assert "Against the truth" in page.text
    assert "connected components" in page.text
    assert f"{100 * judged.pairs.recall:.2f} %" in page.text
    assert page.tables == page.captions


def test_a_withheld_figure_is_said_to_be_withheld(county):
    con, linked = county
    link_weight = linked.model.calibration.link_weight
    nothing = pl.DataFrame(
        [("estimated_precision", "all", None, None, None, "Withheld.")],
        schema=["measure", "slice", "value", "numerator", "denominator", "note"],
        orient="row",
    )
    html = render(
        linked.model,
        gather(con, linked.model, link_weight=link_weight),
        nothing,
        title="Invented County",
        as_of=AS_OF,
        link_weight=link_weight,
    )
    assert "withheld" in Reader(html).text


def result(precision: float, recall: float, threshold: float) -> MethodResult:
    pairs = Agreement(right=1000 * recall, found=1000 * recall / precision, true=1000)
    return MethodResult(method="m", threshold=threshold, clusters=1, largest=1, pairs=pairs)


def test_methods_are_held_against_each_other_at_no_less_precision():
    results = [result(0.9, 0.99, 1), result(0.95, 0.9, 2), result(0.99, 0.7, 3)]
    assert best_f1(results).threshold == 1
    assert at_precision(results, 0.93).threshold == 2
    assert at_precision(results, 0.999) is None


def test_a_county_too_small_to_learn_from_has_a_page_that_says_so(con):
    load(con, invented_county(8))
    build_source_record(con, list(declared_sources().values()))
    model = train(con, seed=1)
    scoring = score(con, model, lower_weight=LEAST_WEIGHT_KEPT)
    linked = LinkedCounty(
        con=con, model=model, scoring=scoring, clustering=cluster(con, model), truth=pl.DataFrame()
    )
    con.execute(
        "create table person_crosswalk as select source, client_id, 'p' || cluster_id as person_id from cluster"
    ).fetchall()
    measures = measure_linkage(con, model, link_weight=model.calibration.link_weight, as_of_year=AS_OF.year)
    write_measures(con, measures)
    html = rendered(con, linked)
    assert model.learned_too_little
    assert "Too few records are of the same people to learn from" in html
    assert "chart-weight_histogram" not in html
