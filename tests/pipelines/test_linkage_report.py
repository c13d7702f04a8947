"""The linkage report as a run leaves it: where it is, who may read it, and that it names nobody."""

import re

import polars as pl
import pytest

from pipelines.evaluate import evaluate_workspace
from pipelines.linkage_report import REPORT_WITH_TRUTH_NAME
from pipelines.operations.history import open_history
from quality.data_docs import LINKAGE_REPORT_NAME
from tests.browser import opened_page
from tests.pipelines.simulated_county import open_release

pytestmark = pytest.mark.slow


def test_a_run_leaves_the_report_beside_the_quality_pages(finished_county):
    page = finished_county.workspace.quality_docs / LINKAGE_REPORT_NAME
    assert page.stat().st_mode & 0o077 == 0
    assert "How good are the links?" in page.read_text(encoding="utf-8")


def test_dagster_links_to_the_report(finished_county):
    import dagster as dg

    with open_history(finished_county.workspace) as instance:
        event = instance.get_latest_materialization_event(dg.AssetKey("linkage_report"))
    metadata = event.asset_materialization.metadata
    assert metadata["linkage_report"].url.startswith("file:///")
    assert metadata["linkage_report"].url.endswith(LINKAGE_REPORT_NAME)


def test_the_report_names_nobody(finished_county):
    page = (finished_county.workspace.quality_docs / LINKAGE_REPORT_NAME).read_text(encoding="utf-8")
    text = re.sub(r"<script>.*?</script>", "", page, flags=re.DOTALL)  # the libraries; charts' figures stay
    ids = {
        value
        for row in finished_county.rows("select client_id, person_id from person_crosswalk")
        for value in row
    }
    assert [value for value in ids if value in text] == []
    raw = pl.concat(
        pl.read_csv(file, infer_schema=False).select("ssn")
        for file in sorted(finished_county.agencies.glob("raw/*/*/people.csv"))
    )
    numbers = {value for value in raw["ssn"].drop_nulls() if len(value) == 9}
    alone = set(re.findall(r"(?<![\d.])\d{9}(?!\d)", text))  # not the decimals of a figure
    assert numbers & alone == set()


def test_the_release_says_how_good_its_links_are(finished_county):
    with open_release(finished_county.workspace) as release:
        found = dict(
            release.execute("select measure, value from linkage_quality where slice = 'all'").fetchall()
        )
        ((small,),) = release.execute(
            "select count(*) from linkage_quality, run_parameter "
            "where denominator > 0 and denominator < small_cell_threshold"
        ).fetchall()
    assert found["estimated_precision"] > 0.98
    assert 0 < found["blocking_loss"] < 0.1
    assert small == 0


def test_evaluation_adds_a_page_with_the_truth(finished_county, tmp_path):
    county = finished_county.copy(tmp_path / "workspace")
    truth = tmp_path / "truth.parquet"
    county.truth().write_parquet(truth)
    said = evaluate_workspace(county.workspace, truth)
    page = county.workspace.quality_docs / REPORT_WITH_TRUTH_NAME
    assert str(page) in said
    assert "race_ethnicity: white" in said
    with opened_page(page) as (opened, asked_for, complaints):
        assert "connected components" in opened.inner_text("main")
        assert "single best links" in opened.inner_text("main")
        assert asked_for == [page.as_uri()]
        assert complaints == []
