"""Drift suites, on a year of invented deliveries: each planted change makes exactly its own expectation warn."""

import statistics

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.source import declared_sources
from pipelines.assets.drift import remember_linkage
from pipelines.relations import build, create_encounter_kind, load_relations
from quality.run import run_suites
from quality.suite import select_suites

CLIENTS = 400
LAST = "2024-12"
SUITES = select_suites(stage="drift")
OF_SOURCES = [suite for suite in SUITES if suite.source is not None]

A_STEADY_YEAR = f"""
create table run_parameter as select date '2025-01-01' as as_of, 11 as small_cell_threshold;
create table delivering as select unnest({list(declared_sources())}) as source;
create table delivery as
    select source, strftime(first_day, '%Y-%m') as month, first_day::date as covers_from,
        (first_day + interval 1 month)::date as covers_to,
        {CLIENTS} as delivered_people, {CLIENTS} as accepted_people, 0 as quarantined_people,
        2 * {CLIENTS} as delivered_encounters, 2 * {CLIENTS} as accepted_encounters, 0 as quarantined_encounters
    from delivering
    cross join generate_series(timestamp '2024-01-01', timestamp '2024-12-01', interval 1 month) as months (first_day);
create table delivered_identity as
    select source, month, source || n as client_id, true as has_first_name, true as has_last_name,
        true as has_birth_date, n % 10 < 6 as has_ssn, n % 10 < 8 as has_ssn_last_four, true as has_sex,
        true as has_zip3
    from delivery cross join range({CLIENTS}) as clients (n);
create table person_crosswalk as
    select source, source || n as client_id,
        'person' || n || if(n % 2 = 0, source, '') as person_id
    from delivering cross join range({CLIENTS}) as clients (n);
create table delivered_encounter as
    select delivery.source, month, kind, source || n as client_id, covers_from::timestamp as started_at,
        if(n % 10 < 2, null, covers_from + interval 5 day) as ended_at
    from delivery
    inner join (select source, any_value(kind order by kind) as kind from encounter_kind
        where is_stay and kind <> 'bed_night' group by source) using (source)
    cross join range({CLIENTS}) as clients (n)
"""


def build_drift(connection: duckdb.DuckDBPyConnection) -> None:
    for name in ("monthly_figure", "drift_measure"):
        build(connection, load_relations()[name])


@pytest.fixture
def year(empty_warehouse):
    with duckdb.connect(empty_warehouse.path) as connection:
        create_encounter_kind(connection)
    empty_warehouse.change(*A_STEADY_YEAR.split(";"))
    return empty_warehouse


def warnings(warehouse, *spoil: str) -> set[str]:
    warehouse.change(*spoil)
    with duckdb.connect(warehouse.path) as connection:
        build_drift(connection)
    results = run_suites(warehouse.path, OF_SOURCES, run_label="test")
    assert all(result.passed for result in results)
    return {
        f"{result.suite.name}.{each.expectation.expectation_id}"
        for result in results
        for each in result.results
        if each.outcome != "met"
    }


def test_a_steady_year_warns_of_nothing(year):
    assert warnings(year) == set()


@pytest.mark.parametrize(
    ("spoil", "warned"),
    [
        pytest.param(
            f"update delivery set delivered_encounters = 300 where source = 'jail' and month = '{LAST}'",
            {"jail_drift.encounters_are_as_many"},
            id="a drop of volume",
        ),
        pytest.param(
            f"update delivery set delivered_encounters = 2000 where source = 'jail' and month = '{LAST}'",
            {"jail_drift.encounters_are_as_many"},
            id="a rise of volume",
        ),
        pytest.param(
            f"update delivery set delivered_people = 150 where source = 'ems' and month = '{LAST}'",
            {"ems_drift.people_are_as_many"},
            id="half of the people",
        ),
        pytest.param(
            f"update delivered_identity set has_ssn = false where source = 'jail' and month = '{LAST}' "
            "and client_id not like '%1'",
            {"jail_drift.ssn_is_as_complete"},
            id="Social Security numbers that are no longer asked for in full",
        ),
        pytest.param(
            f"update delivered_identity set has_birth_date = false where source = 'hospital' and month = '{LAST}' "
            "and client_id like '%3'",
            {"hospital_drift.birth_date_is_as_complete"},
            id="a tenth of the birth dates",
        ),
        pytest.param(
            f"update delivery set quarantined_encounters = 40 where source = 'shelter' and month = '{LAST}'",
            {"shelter_drift.quarantine_is_as_small"},
            id="quarantine",
        ),
        pytest.param(
            f"update delivered_encounter set ended_at = null where source = 'jail' and month = '{LAST}'",
            {"jail_drift.open_stays_are_as_many"},
            id="releases that are not exported",
        ),
        pytest.param(
            f"update delivered_encounter set ended_at = started_at where source = 'jail' and month = '{LAST}'",
            {"jail_drift.open_stays_are_as_many"},
            id="stays that the export closes",
        ),
        pytest.param(
            f"delete from delivery where source = 'ems' and month = '{LAST}'",
            {"ems_drift.source_is_not_behind"},
            id="a source that is late",
        ),
        pytest.param(
            f"""
            insert into person_crosswalk select 'jail', 'new' || client_id, 'nobody' || client_id
                from person_crosswalk where source = 'jail';
            update delivered_identity set client_id = 'new' || client_id
                where source = 'jail' and month = '{LAST}'
            """,
            {f"jail_drift.linked_to_{other}_as_often" for other in declared_sources() if other != "jail"},
            id="a register whose people link to nobody",
        ),
        pytest.param(
            f"""
            insert into person_crosswalk select source, 'new' || client_id, 'person' || n % 10 || 'x'
                from person_crosswalk, lateral (select regexp_extract(client_id, '[0-9]+')::integer as n)
                where source = 'ems' and n < 100 and n % 2 = 0;
            update delivered_identity set client_id = 'new' || client_id
                where source = 'ems' and month = '{LAST}' and 'new' || client_id in
                (select client_id from person_crosswalk)
            """,
            {"ems_drift.large_persons_are_as_rare"},
            id="a placeholder that draws strangers together",
        ),
    ],
)
def test_a_planted_change_warns_of_itself_and_of_nothing_else(year, spoil, warned):
    assert warnings(year, *spoil.split(";")) == warned


def test_a_change_of_an_earlier_month_was_told_of_in_its_time(year):
    assert warnings(year, "update delivery set delivered_encounters = 300 where month = '2024-11'") == set()


def test_two_earlier_months_are_too_few_to_compare_with(year):
    warned = warnings(
        year,
        "delete from delivery where month < '2024-10'",
        f"update delivery set delivered_encounters = 100, delivered_people = 50 where month = '{LAST}'",
    )
    assert warned == set()
    (jail,) = run_suites(year.path, [suite for suite in SUITES if suite.source == "jail"], run_label="test")
    (volume,) = (each for each in jail.results if each.expectation.expectation_id == "people_are_as_many")
    assert volume.found == "Nothing to compare with yet."


def test_a_month_after_the_as_of_date_is_not_looked_at(year):
    assert warnings(year, "update run_parameter set as_of = date '2024-11-01'") == set()
    with duckdb.connect(year.path) as connection:
        assert connection.execute("select max(month) from drift_measure").fetchall() == [("2024-10",)]


def test_every_source_has_an_expectation_for_each_other_source():
    for suite in OF_SOURCES:
        asked = {each.expectation_id for each in suite.expectations}
        others = {f"linked_to_{other}_as_often" for other in declared_sources() if other != suite.source}
        assert others == {name for name in asked if name.startswith("linked_to_")}
        assert {each.severity for each in suite.expectations} == {"warn"}


@settings(max_examples=25, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 40), st.integers(0, 40)), min_size=1, max_size=12))
def test_usual_is_the_median_of_the_six_months_before(counts):
    months = [f"2024-{number:02}" for number in range(1, len(counts) + 1)]
    with duckdb.connect() as connection:
        connection.execute(
            "create table monthly_figure (measure varchar, source varchar, part varchar, month varchar, "
            "numerator bigint, denominator bigint, is_share boolean)"
        ).fetchall()
        for month, (part, rest) in zip(months, counts, strict=True):
            connection.execute(
                "insert into monthly_figure values ('quarantined', 'jail', '', ?, ?, ?, true)",
                [month, part, part + rest],
            ).fetchall()
        build(connection, load_relations()["drift_measure"])
        found = connection.execute(
            "select usual, earlier_months, is_latest from drift_measure order by month"
        ).fetchall()
    values = [part / (part + rest) if part + rest else None for part, rest in counts]
    for number, (usual, earlier_months, is_latest) in enumerate(found):
        before = [value for value in values[max(0, number - 6) : number] if value is not None]
        assert earlier_months == len(before)
        assert usual == (pytest.approx(statistics.median(before)) if before else None)
        assert is_latest == (number == len(found) - 1)


A_RUN = """
create table run_parameter as select date '2025-01-01' as as_of;
create table person_crosswalk as
    select source, source || n as client_id, 'person' || n || if(n % 2 = 0, source, '') as person_id
    from (select unnest(['ems', 'hospital', 'jail']) as source) cross join range(400) as clients (n)
"""


def run_of(warehouse, as_of: str, *spoil: str) -> set[str]:
    warehouse.change(f"update run_parameter set as_of = date '{as_of}'", *spoil)
    with duckdb.connect(warehouse.path) as connection:
        build(connection, load_relations()["linkage_figure"])
        remember_linkage(connection)
        build(connection, load_relations()["linkage_drift"])
    suites = [suite for suite in SUITES if suite.relation == "linkage_drift"]
    (result,) = run_suites(warehouse.path, suites, run_label="test")
    return {each.expectation.expectation_id for each in result.results if each.outcome != "met"}


@pytest.fixture
def runs(empty_warehouse):
    empty_warehouse.change(*A_RUN.split(";"))
    assert run_of(empty_warehouse, "2025-01-01") == set()
    return empty_warehouse


FEWER_LINKS = (
    "update person_crosswalk set person_id = client_id "
    "where source = 'jail' and regexp_matches(client_id, '[13]$')"
)
ONE_LARGE_PERSON = (
    "update person_crosswalk set person_id = 'large' where source = 'jail' and person_id like '%jail'"
)


def test_the_same_linkage_a_month_later_warns_of_nothing(runs):
    assert run_of(runs, "2025-02-01") == set()


def test_links_that_are_lost_from_one_run_to_the_next_are_told_of(runs):
    assert run_of(runs, "2025-02-01", FEWER_LINKS) == {"systems_share_as_many_persons"}
    assert run_of(runs, "2025-03-01") == set()


def test_a_person_that_swallows_others_is_told_of(runs):
    assert "large_persons_are_as_few" in run_of(runs, "2025-02-01", ONE_LARGE_PERSON)


def test_a_run_repeated_is_held_against_the_run_before_and_not_against_itself(runs):
    for _ in range(2):
        assert run_of(runs, "2025-02-01", FEWER_LINKS) == {"systems_share_as_many_persons"}
    assert runs.count("linkage_history") == 2 * runs.count("linkage_figure")


def test_a_run_at_an_earlier_date_is_not_held_against_a_later_one(runs):
    assert run_of(runs, "2024-12-01", FEWER_LINKS) == set()
