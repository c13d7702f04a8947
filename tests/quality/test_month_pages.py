"""The pages by month: every figure is that of the table, marks are those of the suites, and few people are withheld."""

import re

import duckdb
import pytest

from linkage.errors import CheckFailedError
from pipelines.relations import create_encounter_kind
from quality.month_pages import month_page_name, month_pages
from quality.run import run_suites
from quality.suite import select_suites
from tests.browser import opened_page
from tests.quality.test_data_docs import Page
from tests.quality.test_drift import A_STEADY_YEAR, LAST, OF_SOURCES, build_drift


@pytest.fixture
def site(empty_warehouse, tmp_path):
    with duckdb.connect(empty_warehouse.path) as connection:
        create_encounter_kind(connection)
    empty_warehouse.change(*A_STEADY_YEAR.split(";"))

    def made(*spoil):
        empty_warehouse.change(*spoil)
        with duckdb.connect(empty_warehouse.path) as connection:
            build_drift(connection)
        docs = tmp_path / "quality_docs"
        run_suites(empty_warehouse.path, OF_SOURCES, run_label="2024-12", docs=docs)
        return docs

    return made


def rows_of(page: Page) -> list[str]:
    return [re.sub(r"\s+", " ", row).strip() for row in re.findall(r"<tr.*?</tr>", page.html, re.DOTALL)]


def test_a_page_shows_each_month_what_is_usual_and_what_is_off(site):
    docs = site(f"update delivery set delivered_encounters = 300 where source = 'jail' and month = '{LAST}'")
    page = Page(docs / month_page_name("jail"))
    assert page.is_well_formed
    newest, usual = rows_of(page)[1:3]
    assert LAST in newest
    assert "! </span>9.7" in newest
    assert "not as usual" in newest
    assert "26.2" in usual
    other = Page(docs / month_page_name("ems"))
    assert "not as usual" not in other.text
    assert page.text.count("2024-") == 3 * 12


def test_pages_are_linked_from_the_summary_and_from_the_suite(site):
    docs = site()
    for suite in OF_SOURCES:
        assert month_page_name(suite.source) in Page(docs / "index.html").links
        assert month_page_name(suite.source) in Page(docs / f"{suite.name}.html").links
        page = Page(docs / month_page_name(suite.source))
        assert f"{suite.name}.html" in page.links
        assert page.loads == []
        assert "script" not in page.tags


def test_figures_of_few_people_are_withheld(site):
    docs = site(
        "update person_crosswalk set person_id = source || client_id where source = 'jail' "
        "and regexp_extract(client_id, '[0-9]+')::integer > 19"
    )
    page = Page(docs / month_page_name("jail"))
    of_links = page.html.partition("How it linked")[2].partition("</table>")[0]
    assert set(re.findall(r'<td class="n">([^<]*)</td>', of_links)) == {"few", "0.0 %"}


def test_names_that_are_not_declared_are_left_out(empty_warehouse):
    empty_warehouse.change(
        "create table run_parameter as select 11 as small_cell_threshold",
        "create table drift_measure as select * from (values "
        "('filled_in', 'jail', 'Zebulon', '2024-12'), ('filled_in', 'Zebulon', 'ssn', '2024-12'), "
        "('Zebulon', 'jail', '', '2024-12'), ('filled_in', 'jail', 'ssn', 'Zebulon'), "
        "('filled_in', 'jail', 'ssn', '2024-12')) as planted (measure, source, part, month), "
        "(select 1 as numerator, 2 as denominator, 0.5 as value, 0.5 as usual)",
    )
    with duckdb.connect(empty_warehouse.path, read_only=True) as connection:
        pages = month_pages(connection, [])
    assert [page.source for page in pages] == ["jail"]
    assert "Zebulon" not in repr(pages)


def test_a_table_that_cannot_be_read_is_one_sentence_without_the_words_of_the_database(empty_warehouse):
    empty_warehouse.change("create table drift_measure as select 1 as one")
    with (
        duckdb.connect(empty_warehouse.path, read_only=True) as connection,
        pytest.raises(CheckFailedError, match=r"drift_measure \(CatalogException\)"),
    ):
        month_pages(connection, select_suites(stage="drift"))


def test_pages_fit_a_narrow_window_and_ask_for_nothing(site):
    docs = site(f"update delivery set delivered_encounters = 300 where source = 'jail' and month = '{LAST}'")
    for name in ("index", "jail_drift", "jail_by_month"):
        with opened_page(docs / f"{name}.html") as (page, asked_for, complaints):
            for width in (1200, 640, 340):
                page.set_viewport_size({"width": width, "height": 800})
                too_wide = page.evaluate(
                    "document.documentElement.scrollWidth - document.documentElement.clientWidth"
                )
                assert too_wide == 0, (name, width)
            assert [address for address in asked_for if not address.startswith("file:")] == []
            assert complaints == []
