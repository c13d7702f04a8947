"""A month that does not look like the months before it warns, and says in which respect."""

import duckdb
import pytest

from pipelines.relations import load_relations
from quality.run import run_suites
from quality.suite import select_suites
from tests.marts.invented import booking, build_up_to, night, rows, visit, warehouse

USUAL = {
    ("volume", "jail"): 200.0,
    ("quarantined", "jail"): 0.01,
    ("known_name", "jail"): 0.99,
    ("known_number", "jail"): 0.6,
    ("open_stays", "jail"): 0.2,
    ("linked", "jail, hospital"): 0.3,
    ("large_persons", "jail"): 0.0,
}


def warned(path, newest, *, months=6, of_rows=200):
    """Expectations that are not met when the newest month is as given and those before are usual."""
    figures = [
        (
            measure,
            slice_,
            f"2024-{month:02}",
            newest.get((measure, slice_), value) if month == months else value,
        )
        for (measure, slice_), value in USUAL.items()
        for month in range(1, months + 1)
    ]
    with duckdb.connect(path) as connection:
        connection.execute(
            "create table monthly_measure (measure varchar, slice varchar, month varchar, value double, of_rows bigint)"
        )
        connection.executemany(f"insert into monthly_measure values (?, ?, ?, ?, {of_rows})", figures)
        query = load_relations()["drift_measure"].query
        connection.execute(f"create table drift_measure as {query}").fetchall()
    suites = [suite for suite in select_suites(stage="published") if suite.name == "drift_measure"]
    (result,) = run_suites(path, suites, run_label="test")
    return {each.expectation.expectation_id for each in result.results if each.outcome != "met"}


def test_a_month_like_those_before_warns_of_nothing(tmp_path):
    assert warned(tmp_path / "warehouse.duckdb", {}) == set()


@pytest.mark.parametrize(
    ("figure", "value", "expectation"),
    [
        (("volume", "jail"), 90.0, "volume_is_usual"),
        (("volume", "jail"), 410.0, "volume_is_usual"),
        (("quarantined", "jail"), 0.07, "few_rows_are_quarantined"),
        (("known_name", "jail"), 0.85, "identity_is_as_complete"),
        (("known_number", "jail"), 0.3, "identity_is_as_complete"),
        (("open_stays", "jail"), 0.5, "stays_end_as_usual"),
        (("open_stays", "jail"), 0.0 - 0.01, "stays_end_as_usual"),
        (("linked", "jail, hospital"), 0.1, "systems_link_as_usual"),
        (("large_persons", "jail"), 0.1, "persons_do_not_grow"),
    ],
)
def test_each_change_warns_of_itself_alone(tmp_path, figure, value, expectation):
    assert warned(tmp_path / "warehouse.duckdb", {figure: value}) == {expectation}


def test_nothing_is_judged_by_fewer_than_three_months(tmp_path):
    assert warned(tmp_path / "warehouse.duckdb", {("volume", "jail"): 1.0}, months=3) == set()


def test_shares_of_few_rows_are_not_judged(tmp_path):
    assert warned(tmp_path / "warehouse.duckdb", {("known_name", "jail"): 0.1}, of_rows=20) == set()


def test_every_drift_only_warns():
    (suite,) = (suite for suite in select_suites(stage="published") if suite.name == "drift_measure")
    assert {expectation.severity for expectation in suite.expectations} == {"warn"}


def measured(encounters, measure):
    identities = [("jail", "2024-12", True, True, False), ("jail", "2024-12", True, False, False)]
    connection = warehouse(encounters, identities=identities)
    build_up_to(connection, "monthly_measure")
    return {
        (slice_, month): (round(value, 4), of_rows)
        for slice_, month, value, of_rows in rows(
            connection,
            f"select slice, month, value, of_rows from monthly_measure where measure = '{measure}'",
        )
    }


def test_completeness_is_counted_by_source_and_month():
    lives = [booking("a", "2024-12-01")]
    assert measured(lives, "known_name") == {("jail", "2024-12"): (1.0, 2)}
    assert measured(lives, "known_birth_date") == {("jail", "2024-12"): (0.5, 2)}
    assert measured(lives, "known_number") == {("jail", "2024-12"): (0.0, 2)}


def test_open_stays_are_those_delivered_without_an_end():
    lives = [booking("a", "2024-12-01"), booking("b", "2024-12-01", "2024-12-02"), night("n", "2024-12-05")]
    found = measured(lives, "open_stays")
    assert found["jail", "2024-12"] == (0.5, 2)
    assert found["shelter", "2024-12"] == (0.0, 1)


def test_links_are_counted_from_the_side_of_those_seen():
    lives = [
        booking("a", "2024-11-01", client_id="ann"),
        booking("b", "2024-11-01", client_id="bob"),
        visit("v", "2024-12-01", client_id="ann"),
    ]
    found = measured(lives, "linked")
    assert found["jail, hospital", "2024-11"] == (0.5, 2)
    assert found["hospital, jail", "2024-12"] == (1.0, 1)
    assert found["jail, ems", "2024-11"] == (0.0, 2)
