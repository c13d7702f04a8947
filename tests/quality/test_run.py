import datetime as dt
from pathlib import Path

import duckdb
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkage.errors import UsageError
from linkage.source import declared_sources
from quality.results import ExpectationResult, SuiteResult
from quality.run import run_suites
from quality.suite import Expectation, Suite, select_suites

JAIL = declared_sources()["jail"]
OF_JAIL = select_suites(stage="delivery", source="jail")


def run(warehouse, suites) -> list[SuiteResult]:
    return run_suites(warehouse.path, suites, run_label="test")


def found(results: list[SuiteResult]) -> dict[str, ExpectationResult]:
    return {
        f"{result.suite.name}.{each.expectation.expectation_id}": each
        for result in results
        for each in result.results
    }


def not_met(results: list[SuiteResult]) -> set[str]:
    return {name for name, result in found(results).items() if result.outcome != "met"}


def suite_of(*expectations: Expectation, relation: str = "candidate_jail_people") -> Suite:
    return Suite(
        name="own",
        title="Own",
        says="A suite of a test.",
        relation=relation,
        stage="delivery",
        source=None,
        expectations=expectations,
    )


def expectation(
    expect: str, expectation_id: str = "rule", severity: str = "stop", **parameters
) -> Expectation:
    return Expectation(
        expectation_id=expectation_id,
        expect=expect,
        parameters=parameters,
        says="It holds.",
        because="It must hold in this test.",
        severity=severity,
        owner="Tester",
    )


def test_faultless_deliveries_meet_every_expectation(warehouse):
    results = run(warehouse, select_suites(stage="delivery"))
    assert len(results) == 3 * len(declared_sources())
    assert not_met(results) == set()
    assert all(result.passed for result in results)


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        pytest.param(
            ["update candidate_jail_people set client_id = 'J-1001' where row_number = 3"],
            {
                "people.client_id_is_a_pseudonym",
                "people.people_have_a_contact",
                "encounter.few_encounters_without_client",
            },
            id="an agency's own client number",
        ),
        pytest.param(
            ["update candidate_jail_people set ssn_token = -1 where row_number = 3"],
            {"people.ssn_token_fits_60_bits"},
            id="a number that is no token",
        ),
        pytest.param(
            ["update candidate_jail_people set last_name_part_tokens = [-1] where row_number = 3"],
            {"people.last_name_part_tokens_are_tokens"},
            id="a list of numbers that are no tokens",
        ),
        pytest.param(
            ["update candidate_jail_people set last_name_part_tokens = [] where row_number = 3"],
            {"people.last_name_part_tokens_are_tokens"},
            id="an empty list of tokens",
        ),
        pytest.param(
            ["update candidate_jail_people set first_name_bits_count = null where row_number = 3"],
            {"people.first_name_bits_has_its_count"},
            id="a filter without its count",
        ),
        pytest.param(
            ["update candidate_jail_people set zip3 = '98101' where row_number = 3"],
            {"people.zip3_is_three_digits", "people.no_text_reads_as_identity"},
            id="a full ZIP code",
        ),
        pytest.param(
            ["update candidate_jail_people set ssn_quality = '123-45-6789' where row_number = 3"],
            {
                "people.ssn_quality_is_a_code",
                "people.ssn_quality_agrees_with_tokens",
                "people.no_text_reads_as_identity",
            },
            id="a Social Security number among codes",
        ),
        pytest.param(
            ["update candidate_jail_people set race_ethnicity = 'white;1990-04-05' where row_number = 3"],
            {"people.race_ethnicity_is_categories", "people.no_text_reads_as_identity"},
            id="a birth date among categories",
        ),
        pytest.param(
            ["update candidate_jail_people set birth_year = 1920 where row_number = 3"],
            {"people.birth_year_hides_great_age"},
            id="an age of 105",
        ),
        pytest.param(
            ["update candidate_jail_people set birth_year = 2031 where row_number = 3"],
            {"people.birth_year_is_not_in_the_future"},
            id="a birth to come",
        ),
        pytest.param(
            ["update candidate_jail_people set sex = 'male' where row_number = 3"],
            {"people.sex_is_a_code"},
            id="another code of sex",
        ),
        pytest.param(
            ["update candidate_jail_people set ssn_token = null where row_number = 3"],
            {"people.ssn_quality_agrees_with_tokens"},
            id="a whole number without its token",
        ),
        pytest.param(
            ["update candidate_jail_people set birth_date_token = null where row_number % 4 = 0"],
            {"people.birth_date_token_is_mostly_filled_in"},
            id="a quarter of birth dates missing",
        ),
        pytest.param(
            ["update candidate_jail_people set birth_date_token = 1900 where row_number <= 25"],
            {"people.birth_date_token_is_not_one_value_for_many"},
            id="a default birth date",
        ),
        pytest.param(
            ["update candidate_jail_people set last_name_token = 1 where row_number <= 25"],
            {"people.last_name_token_has_no_dominant_value"},
            id="a placeholder surname",
        ),
        pytest.param(
            [
                "insert into candidate_jail_people from candidate_jail_people where row_number = 3",
                "update candidate_jail_delivery set delivered_people = 41, accepted_people = 41",
            ],
            {"people.row_number_is_unique", "people.identity_is_delivered_once"},
            id="a row loaded twice",
        ),
        pytest.param(
            ["delete from candidate_jail_people where row_number = 3"],
            {"delivery.accepted_rows_are_in_the_tables", "encounter.few_encounters_without_client"},
            id="an accepted row that is not there",
        ),
        pytest.param(
            [
                "delete from candidate_jail_encounter",
                "update candidate_jail_delivery set accepted_encounters = 0",
            ],
            {"encounter.has_rows", "delivery.every_row_is_accounted_for", "people.people_have_a_contact"},
            id="no encounters",
        ),
        pytest.param(
            ["update candidate_jail_encounter set client_id = md5('nobody') where row_number <= 20"],
            {"encounter.client_was_delivered", "encounter.few_encounters_without_client"},
            id="encounters of nobody",
        ),
        pytest.param(
            ["update candidate_jail_encounter set encounter_id = md5('same') where row_number <= 2"],
            {"encounter.encounter_is_delivered_once"},
            id="an encounter delivered twice",
        ),
        pytest.param(
            ["update candidate_jail_encounter set kind = 'ed' where row_number = 2"],
            {"encounter.kind_is_declared"},
            id="a kind of another source",
        ),
        pytest.param(
            ["update candidate_jail_encounter set release_reason = 'escaped' where row_number = 2"],
            {"encounter.release_reason_is_a_declared_code"},
            id="an undeclared code",
        ),
        pytest.param(
            [
                "update candidate_jail_encounter set ended_at = started_at - interval 1 minute "
                "where row_number = 2"
            ],
            {"encounter.ends_after_it_starts"},
            id="an end before the start",
        ),
        pytest.param(
            [
                "update candidate_jail_encounter set started_at = '2025-04-01', ended_at = null, "
                "assessed_at = null "
                "where row_number = 2"
            ],
            {"encounter.starts_in_the_time_covered"},
            id="a start at the end of a half-open month",
        ),
        pytest.param(
            [
                "update candidate_jail_encounter set started_at = '2025-02-01', ended_at = '2025-02-27' "
                "where row_number = 2"
            ],
            {"encounter.nothing_comes_late"},
            id="a stay of an earlier month",
        ),
        pytest.param(
            [
                "update candidate_jail_encounter set started_at = '2025-02-01', ended_at = '2025-02-27' "
                "where row_number <= 60"
            ],
            {"encounter.nothing_comes_late", "encounter.few_encounters_of_earlier_months"},
            id="another month",
        ),
        pytest.param(
            [
                "update candidate_jail_encounter set started_at = '2024-12-01', ended_at = null "
                "where row_number = 2"
            ],
            set(),
            id="an old stay that is still open",
        ),
        pytest.param(
            ["update candidate_jail_encounter set ended_at = '2026-01-01' where row_number = 2"],
            {"encounter.does_not_know_the_future"},
            id="an end in the far future",
        ),
        pytest.param(
            [
                "update candidate_jail_encounter set started_at = '2020-01-01', ended_at = null "
                "where row_number <= 4"
            ],
            {"encounter.few_stays_have_no_end"},
            id="stays that nobody closed",
        ),
        pytest.param(
            ["update candidate_jail_encounter set part2 = null where row_number = 2"],
            {"encounter.part2_is_filled_in"},
            id="unknown protection",
        ),
        pytest.param(
            ["update candidate_jail_encounter set month = '2025-04' where row_number = 2"],
            {
                "encounter.month_is_a_pending_delivery",
                "encounter.few_encounters_without_client",
                "delivery.accepted_rows_are_in_the_tables",
            },
            id="a row of no delivery",
        ),
        pytest.param(
            [
                "update candidate_jail_delivery set delivered_encounters = 90, quarantined_encounters = 10, "
                "code_list_version = 'v'"
            ],
            {"delivery.few_rows_quarantined"},
            id="one row in thirteen quarantined",
        ),
        pytest.param(
            ["update candidate_jail_delivery set delivered_encounters = 480, quarantined_encounters = 400"],
            {"delivery.few_rows_quarantined", "delivery.not_mostly_quarantined"},
            id="mostly quarantined",
        ),
        pytest.param(
            [
                f"insert into delivery select * replace ('{month}' as month, 200 as delivered_encounters) "
                "from candidate_jail_delivery"
                for month in ("2024-11", "2024-12", "2025-01", "2025-02")
            ],
            {"delivery.volume_is_as_in_earlier_months"},
            id="fewer than half of the usual encounters",
        ),
        pytest.param(
            ["insert into delivery select * replace ('2025-01' as month) from candidate_jail_delivery"],
            {"delivery.no_month_is_missing"},
            id="a month never delivered",
        ),
    ],
)
def test_a_planted_fault_breaks_exactly_the_expectations_about_it(warehouse, spoil, broken):
    warehouse.change(*spoil)
    concerned = {f"jail_{name.partition('.')[0]}" for name in broken}
    suites = [suite for suite in OF_JAIL if suite.name in concerned or not broken]
    assert not_met(run(warehouse, suites)) == {f"jail_{name}" for name in broken}


@pytest.mark.parametrize(
    ("source", "spoil", "broken"),
    [
        pytest.param(
            "jail", "assessed_at = started_at - interval 1 hour", "assessed_after_booking", id="jail dates"
        ),
        pytest.param("jail", "release_reason = null", "release_has_a_reason", id="jail reasons"),
        pytest.param(
            "ems",
            "transported = true, patient_contact = false",
            "transport_implies_contact",
            id="ems contact",
        ),
        pytest.param(
            "ems",
            "transported = true, destination_type = null",
            "transport_has_a_destination",
            id="ems destination",
        ),
        pytest.param(
            "shelter",
            "kind = 'bed_night', ended_at = started_at + interval 2 day",
            "bed_night_is_one_night",
            id="shelter nights",
        ),
        pytest.param("shelter", "project_type = null", "project_type_is_filled_in", id="shelter projects"),
        pytest.param(
            "hospital",
            "disposition = 'still_patient', ended_at = started_at",
            "still_patient_has_not_left",
            id="hospital dispositions",
        ),
        pytest.param(
            "hospital",
            "kind = 'ed', ended_at = started_at + interval 8 day",
            "emergency_visit_is_short",
            id="hospital visits",
        ),
    ],
)
def test_a_source_is_asked_what_only_it_knows(warehouse, source, spoil, broken):
    warehouse.change(f"update candidate_{source}_encounter set {spoil}")
    results = run(warehouse, select_suites(stage="delivery", relation=f"candidate_{source}_encounter"))
    assert not_met(results) == {f"{source}_encounter.{broken}"}


def test_faults_of_one_source_do_not_touch_another(warehouse):
    warehouse.change("update candidate_jail_people set sex = 'male'")
    assert not_met(run(warehouse, select_suites(stage="delivery"))) == {"jail_people.sex_is_a_code"}


def test_a_stop_stops_and_a_warning_does_not(warehouse):
    stop = expectation("no_rows_where", where="row_number = 1")
    warn = expectation("no_rows_where", where="row_number = 1", severity="warn")
    (stopping,) = run(warehouse, [suite_of(stop)])
    (warning,) = run(warehouse, [suite_of(warn)])
    assert not stopping.passed
    assert stopping.sentences() == ("Own: It holds. 1 of 40 rows (2.50 %) break it.",)
    assert warning.passed
    assert [result.outcome for result in warning.warnings] == ["not met"]


@settings(max_examples=15, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    values=st.lists(st.sampled_from([None, -1, 0, 1, 2, 3]), max_size=12),
    mostly=st.sampled_from([0.25, 0.5, 1.0]),
)
def test_counts_are_what_boring_python_counts(tmp_path, values, mostly):
    path = tmp_path / "numbers.duckdb"
    path.unlink(missing_ok=True)
    with duckdb.connect(path) as connection:
        connection.execute("create table number (value integer)").fetchall()
        for value in values:
            connection.execute("insert into number values (?)", [value]).fetchall()
    own = suite_of(
        expectation("column_values_to_not_be_null", "filled", column="value", mostly=mostly),
        expectation("column_values_to_be_in_set", "in_set", column="value", value_set=[0, 1], mostly=mostly),
        expectation(
            "column_values_to_be_between", "between", column="value", min_value=0, max_value=2, mostly=mostly
        ),
        expectation("no_rows_where", "where", where="value > 1", mostly=mostly),
        expectation("columns_to_be_unique", "unique", columns=["value"]),
        expectation("row_count_to_be_at_least", "rows", min_value=3),
        expectation("no_rows_from", "from", sql="select value from {batch} where value < 0"),
        relation="number",
    )
    (result,) = run_suites(path, [own], run_label="test")
    counts = {each.expectation.expectation_id: each for each in result.results}
    filled = [value for value in values if value is not None]
    empty = len(values) - len(filled)
    expected = {
        "filled": (empty, len(values)),
        "in_set": (sum(value not in (0, 1) for value in filled), len(filled)),
        "between": (sum(not 0 <= value <= 2 for value in filled), len(filled)),
        "where": (sum(value > 1 for value in filled), len(values)),
    }
    for name, (broken, judged) in expected.items():
        assert counts[name].unexpected_count == broken
        assert counts[name].element_count == len(values)
        assert counts[name].success == (judged == 0 or (judged - broken) / judged >= mostly)
    assert counts["unique"].unexpected_count == sum(values.count(value) > 1 for value in set(values))
    assert counts["from"].unexpected_count == values.count(-1)
    assert counts["rows"].success == (len(values) >= 3)
    assert counts["in_set"].missing_count == empty


@pytest.mark.parametrize(
    ("rule", "reason"),
    [
        pytest.param(
            expectation("column_values_to_not_be_null", column="shoe_size"),
            "candidate_jail_people has no column shoe_size.",
            id="a column that is missing",
        ),
        pytest.param(
            expectation("no_rows_from", sql="select 1 from shoe"),
            "a table that the expectation reads does not exist.",
            id="a table that is missing",
        ),
        pytest.param(
            expectation("no_rows_where", where="client_id ="),
            "the expectation's SQL is not valid.",
            id="broken SQL",
        ),
        pytest.param(
            expectation("no_rows_where", where="shoe_size > 1"),
            "the relation lacks a column that the expectation names, or has it with another type.",
            id="a column named in SQL that is missing",
        ),
        pytest.param(
            expectation("no_rows_where", where="cast(client_id as integer) > 1"),
            "a value could not be read as the type that the expectation compares it with.",
            id="a value of another type",
        ),
    ],
)
def test_what_could_not_run_is_told_apart_from_what_failed(warehouse, rule, reason):
    healthy = expectation("no_rows_where", "healthy", where="row_number < 1")
    broken = expectation("no_rows_where", "broken", where="row_number = 1")
    (result,) = run(warehouse, [suite_of(rule, healthy, broken)])
    outcomes = [each.outcome for each in result.results]
    assert outcomes == ["could not run", "met", "not met"]
    assert result.results[0].because_not_run == reason
    assert result.results[0].unexpected_count is None


def test_what_could_not_run_stops_even_as_a_warning(warehouse):
    (result,) = run(
        warehouse, [suite_of(expectation("no_rows_from", sql="select 1 from shoe", severity="warn"))]
    )
    assert not result.passed


def test_a_missing_relation_means_that_nothing_could_run(warehouse):
    warehouse.change("drop table candidate_jail_people")
    (result,) = run(warehouse, select_suites(stage="delivery", relation="candidate_jail_people"))
    assert {each.outcome for each in result.results} == {"could not run"}
    assert {each.because_not_run for each in result.results} == {
        "the table candidate_jail_people does not exist."
    }


def test_an_empty_relation_breaks_no_rule_about_rows(warehouse):
    warehouse.change("delete from candidate_jail_people")
    (result,) = run(warehouse, select_suites(stage="delivery", relation="candidate_jail_people"))
    assert not_met([result]) == {"jail_people.has_rows"}


def test_braces_in_a_pattern_stand_for_themselves(warehouse):
    rule = expectation("no_rows_where", where="not regexp_full_match(client_id, '[0-9a-f]{32}')")
    (result,) = run(warehouse, [suite_of(rule)])
    assert result.passed


def test_checking_leaves_the_warehouse_free_and_unchanged(warehouse):
    before = warehouse.path.read_bytes()
    run(warehouse, OF_JAIL)
    assert warehouse.path.read_bytes() == before
    warehouse.change("create table later (number integer)")


def test_a_warehouse_open_for_writing_is_one_sentence(warehouse):
    with (
        duckdb.connect(warehouse.path),
        pytest.raises(UsageError, match="still open for writing in this process"),
    ):
        run(warehouse, OF_JAIL)


@pytest.mark.parametrize(
    "content", [pytest.param(None, id="missing"), pytest.param(b"names", id="not a database")]
)
def test_a_warehouse_that_cannot_be_opened_is_one_sentence(tmp_path, content):
    path = tmp_path / "warehouse.duckdb"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(UsageError, match=str(path)):
        run_suites(path, OF_JAIL, run_label="test")


def test_running_twice_finds_the_same(warehouse):
    first, second = (run(warehouse, OF_JAIL) for _ in range(2))
    assert first == second


def test_the_run_is_dated_by_its_caller(warehouse, tmp_path: Path):
    docs = tmp_path / "docs"
    run_at = dt.datetime(2025, 4, 2, 6, 30, tzinfo=dt.UTC)
    run_suites(
        warehouse.path,
        OF_JAIL,
        run_label="2025-03",
        docs=docs,
        run_at=run_at,
    )
    assert "2 Apr 2025, 06:30 UTC (2025-03)" in (docs / "index.html").read_text(encoding="utf-8")
