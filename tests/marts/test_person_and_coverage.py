"""One row per person, and what the numbers may rest on."""

import datetime as dt

import pytest

from pipelines.cohorts import build_cohort_inputs
from tests.marts.invented import Client, booking, build_up_to, cohort, rows, visit, warehouse


def persons(connection, columns):
    build_up_to(connection, "person")
    return rows(connection, f"select {columns} from person order by person_id")


def with_identities(*identities, encounters=()):
    """A warehouse of one person with these (birth_year, sex, race_ethnicity) versions."""
    connection = warehouse(
        encounters, clients=[Client(source="jail", client_id="ann", person_id="p")], birth_year=None
    )
    connection.execute("delete from source_record").fetchall()
    for number, identity in enumerate(identities):
        connection.execute(
            "insert into source_record values (?, 'jail', 'ann', ?, ?, ?)", [number, *identity]
        ).fetchall()
    return connection


def test_birth_year_and_sex_are_those_of_most_records_and_ties_are_settled():
    majority = with_identities((1980, "F", None), (1980, "M", None), (1979, "M", None))
    assert persons(majority, "birth_year, sex") == [(1980, "M")]
    tied = with_identities((1981, "M", None), (1979, "F", None))
    assert persons(tied, "birth_year, sex") == [(1979, "F")]


def test_an_unknown_sex_gives_way_to_a_known_one():
    assert persons(with_identities((1980, "U", None), (1980, "U", None), (1980, "X", None)), "sex") == [
        ("X",)
    ]


def test_race_and_ethnicity_are_all_that_was_ever_recorded():
    recorded = with_identities((1980, "F", "white"), (1980, "F", "asian;white"), (1980, "F", None))
    assert persons(recorded, "race_ethnicity") == [("asian;white",)]


@pytest.mark.parametrize(
    ("birth_year", "age", "is_minor"),
    [
        pytest.param(1900, 90, False, id="very old"),
        pytest.param(2006, 19, False, id="certainly 18"),
        pytest.param(2007, 18, True, id="17 until the birthday"),
        pytest.param(None, None, None, id="unknown"),
    ],
)
def test_age_is_capped_and_who_may_be_a_minor_is_one(birth_year, age, is_minor):
    assert persons(with_identities((birth_year, "F", None)), "age, is_minor") == [(age, is_minor)]


@pytest.mark.parametrize(("recorded", "released"), [(1900, 1935), (1935, 1935), (1936, 1936), (None, None)])
def test_no_birth_year_tells_an_age_above_ninety(recorded, released):
    assert persons(with_identities((recorded, "F", None)), "birth_year") == [(released,)]


def test_sources_clients_first_and_last_seen_and_flags_are_counted_over_all_clients():
    connection = warehouse(
        [
            booking("a", "2024-03-01T22:00", client_id="one", smi=True),
            visit("b", "2023-03-01", client_id="two", smi=False),
            visit("c", "2022-03-01", client_id="three"),
        ],
        clients=[
            Client(source="jail", client_id="one", person_id="p"),
            Client(source="hospital", client_id="two", person_id="p"),
            Client(source="hospital", client_id="three", person_id="p"),
            Client(source="ems", client_id="never met", person_id="q"),
        ],
    )
    columns = "person_id, sources, source_count, client_count, first_seen, last_seen, ever_smi, ever_sud"
    assert persons(connection, columns) == [
        ("p", ["hospital", "jail"], 2, 3, dt.date(2022, 3, 1), dt.date(2024, 3, 1), True, False),
        ("q", ["ems"], 1, 1, None, None, False, False),
    ]


def coverage(connection, source):
    build_up_to(connection, "source_coverage")
    return rows(
        connection, f"select month, is_covered from source_coverage where source = '{source}' order by month"
    )


def test_a_month_without_delivery_is_not_covered():
    connection = warehouse([], covered_from=dt.date(2024, 10, 1), not_covered=[("jail", "2024-11")])
    assert coverage(connection, "jail") == [("2024-10", True), ("2024-11", False), ("2024-12", True)]


def test_one_delivery_may_cover_many_months():
    connection = warehouse([], covered_from=dt.date(2024, 10, 1))
    connection.execute("delete from delivery where source = 'jail' and month < '2024-12'").fetchall()
    connection.execute("update delivery set covers_from = '2024-10-01' where source = 'jail'").fetchall()
    assert [covered for _, covered in coverage(connection, "jail")] == [True, True, True]


def test_the_last_month_is_covered_when_it_is_up_to_the_as_of_date():
    connection = warehouse([], covered_from=dt.date(2024, 12, 1), as_of=dt.date(2025, 1, 16))
    assert coverage(connection, "jail") == [("2024-12", True), ("2025-01", True)]


def coverage_of_rule(rule, **known):
    connection = warehouse([booking("a", "2024-06-01")], **known)
    build_up_to(connection, "encounter", "source_coverage")
    build_cohort_inputs(connection, [cohort(rule)])
    return rows(connection, "select coverage_ok, coverage_says from cohort_definition")[0]


BOOKED = {"count": ["booking"], "at_least": 4, "within_months": 12}


@pytest.mark.parametrize(
    ("known", "covered", "says"),
    [
        pytest.param({}, True, "every source it counts covers its window", id="covered"),
        pytest.param(
            {"not_covered": [("jail", "2024-02")]}, False, "jail covers 11 of 12 months", id="a gap"
        ),
        pytest.param(
            {"not_covered": [("ems", "2024-02")]}, True, "every source", id="a source it does not count"
        ),
        pytest.param({"not_covered": [("jail", "2023-12")]}, True, "every source", id="before the window"),
        pytest.param(
            {"covered_from": dt.date(2024, 8, 1)}, False, "jail covers 5 of 12 months", id="short history"
        ),
        pytest.param(
            {"as_of": dt.date(2025, 1, 16), "not_covered": [("jail", "2025-01")]},
            False,
            "jail covers 12 of 13 months",
            id="the month of the as-of date",
        ),
    ],
)
def test_a_rule_says_when_a_source_does_not_cover_its_window(known, covered, says):
    found, found_says = coverage_of_rule(BOOKED, **known)
    assert found is covered
    assert found_says.startswith(says)


def test_a_source_that_never_delivered_covers_nothing():
    never = {
        "not_covered": [
            ("jail", f"{year}-{month:02}") for year in range(2015, 2026) for month in range(1, 13)
        ]
    }
    assert coverage_of_rule(BOOKED, **never) == (False, "jail covers 0 of 12 months")
