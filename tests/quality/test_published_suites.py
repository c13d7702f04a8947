"""Suites of the published tables, on a small release written by hand."""

import pytest

from quality.run import run_suites
from quality.suite import select_suites

A_SMALL_RELEASE = """
create table run_parameter as select date '2025-04-01' as as_of, false as include_minors, 11 as small_cell_threshold;
create table delivery as
    select source, '2025-03' as month, date '2025-03-01' as covers_from, date '2025-04-01' as covers_to
    from (values ('jail'), ('ems')) as delivering (source);
create table source_coverage as
    select source, month, true as is_covered, 12 as delivered_rows, 10 as accepted_rows, 2 as quarantined_rows
    from delivery;
create table person_crosswalk as
    select if(n % 2 = 0, 'jail', 'ems') as source, 'client' || n as client_id, 'person' || n % 5 as person_id
    from range(20) as numbers (n);
create table person as
    select distinct person_id, 40 as age, false as is_minor, 1985 as birth_year,
        date '2025-03-01' as first_seen, date '2025-03-20' as last_seen
    from person_crosswalk;
create table delivered_encounter as
    select source, client_id, 'encounter' || client_id as encounter_id,
        timestamp '2025-03-10 08:00' as started_at, timestamp '2025-03-12 08:00' as ended_at,
        '2025-03' as month, row_number() over (order by source, client_id) as row_number
    from person_crosswalk;
create table encounter as
    select delivered_encounter.*, person_id, 'booking' as kind, encounter_id as episode_id, false as is_open,
        true as is_countable, null::varchar as why_not_counted
    from delivered_encounter inner join person_crosswalk using (source, client_id);
create table time_window as
    select window_name, timestamp '2025-04-01' - lasting as window_start,
        timestamp '2025-04-01' as window_end
    from (values ('30_days', interval 30 day), ('12_months', interval 12 month))
        as lengths (window_name, lasting);
create table utilization as
    select person_id, source, window_name, 2 as encounters, 1 as episodes, 4.5::double as days
    from (select distinct person_id, source from person_crosswalk), time_window;
create table cohort_membership as
    select person_id, 'familiar_face' as cohort, date '2025-04-01' as as_of, true as is_member,
        date '2025-03-12' as entered_on, null::date as left_on, 'four bookings' as evidence,
        true as coverage_ok
    from person where person_id <> 'person0';
create table linkage_quality as
    select measure, 'all' as slice, value, value * 400 as numerator, 400.0 as denominator, 'How to read it.' as note
    from (values ('estimated_precision', 0.995), ('blocking_loss', 0.02), ('drift', 0.01), ('impossible_life', 0.0))
        as figure (measure, value);
create table stepping_up_count as
    select 'screened' as measure, '2025-03' as period, smi, 'all' as charge_class, people
    from (values ('all', 40), ('smi', 15), ('other', 25)) as counted (smi, people);
create table stepping_up_measure as
    select measure, period, 1 as months, smi, charge_class, 0.9 as value, people as numerator,
        people as denominator
    from stepping_up_count;
create table crisis_transition as
    select 'encounters' as counting, 'booking' as from_kind, 'ed' as to_kind, '0-24 h' as gap, 14 as transitions,
        12 as people;
create table crisis_contact_measure as
    select 'ed_brought_by_police' as measure, '2025-03' as month, 0.3 as value, 12 as numerator, 40 as denominator;
create or replace table encounter_kind as
    select 'crisis_line' as source, 'call' as kind, 'crisis call' as label, false as is_stay, 0 as sim_intercept,
        false as by_day;
create table diversion_measure as
    select 'call_resolved_without_dispatch' as measure, '2025-03' as month, 0.7 as value, 28 as numerator,
        40 as denominator;
create table encounter_detail as
    select source, encounter_id, 'outcome' as column_name, 'police' as value from encounter limit 1;
create table program_definition as
    select 'act' as program, 'ACT' as label, 'A rule.' as rule, 'A source.' as source, 'Much.' as cannot_see,
        false as rests_on_sud;
create table program_screen as
    select person_id, 'act' as program, 'two admissions' as reasons, false as rests_on_sud from person
"""


@pytest.fixture
def released(empty_warehouse):
    empty_warehouse.change(*A_SMALL_RELEASE.split(";"))
    return empty_warehouse


def not_met(warehouse, *suites: str) -> set[str]:
    chosen = [suite for suite in select_suites(stage="published") if suite.name in suites or suites == ()]
    results = run_suites(warehouse.path, chosen, run_label="test")
    return {
        f"{result.suite.name}.{each.expectation.expectation_id}"
        for result in results
        for each in result.results
        if each.outcome != "met"
    }


def test_a_faultless_release_meets_every_expectation(released):
    assert not_met(released) == set()


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        pytest.param(
            "insert into person from person limit 1", {"person.person_id_is_unique"}, id="a person twice"
        ),
        pytest.param(
            "delete from person where person_id = 'person0'",
            {
                "person.nobody_is_missing",
                "published_encounter.person_exists",
                "utilization.person_exists",
            },
            id="a person left out",
        ),
        pytest.param(
            "insert into person by name select * replace ('nobody' as person_id) from person limit 1",
            {"person.every_person_has_a_client"},
            id="a person without clients",
        ),
        pytest.param(
            "update stepping_up_count set people = 10 where smi = 'smi'",
            {"stepping_up_measure.small_cells_are_withheld"},
            id="a measure of ten people",
        ),
        pytest.param(
            "update stepping_up_measure set denominator = null, numerator = null, value = null where smi = 'smi'",
            {"stepping_up_measure.no_part_stands_alone_withheld"},
            id="a withheld part beside its complement",
        ),
        pytest.param(
            "update stepping_up_measure set months = 0",
            {"stepping_up_measure.a_period_not_delivered_has_no_figures"},
            id="figures of a month nobody delivered",
        ),
        pytest.param(
            "update stepping_up_measure set value = 0.5",
            {"stepping_up_measure.most_bookings_are_screened"},
            id="few bookings screened",
        ),
        pytest.param(
            "update crisis_transition set people = 9",
            {"crisis_transition.small_cells_are_withheld"},
            id="a step of nine people",
        ),
        pytest.param(
            "update crisis_contact_measure set numerator = 33",
            {"crisis_contact_measure.small_cells_are_withheld"},
            id="a figure that leaves seven",
        ),
        pytest.param(
            "update diversion_measure set numerator = 33",
            {"diversion_measure.small_cells_are_withheld"},
            id="calls of which seven were not resolved",
        ),
        pytest.param(
            "delete from encounter_kind where source = 'crisis_line'",
            {"diversion_measure.needs_a_declared_source"},
            id="figures of a source that nobody declared",
        ),
        pytest.param(
            "update encounter_detail set encounter_id = 'another'",
            {"encounter_detail.encounter_exists"},
            id="a detail of nothing",
        ),
        pytest.param(
            "update program_screen set program = 'unheard of' where person_id = 'person1'",
            {"program_screen.program_is_defined"},
            id="a screen without a rule",
        ),
        pytest.param(
            "update person set is_minor = true where person_id = 'person0'",
            {"program_screen.minors_are_left_out"},
            id="a minor on a list",
        ),
        pytest.param(
            "insert into linkage_quality from linkage_quality limit 1",
            {"linkage_quality.figure_is_given_once"},
            id="a figure twice",
        ),
        pytest.param(
            "update linkage_quality set denominator = 10 where measure = 'blocking_loss'",
            {"linkage_quality.small_cells_are_withheld"},
            id="a figure of ten",
        ),
        pytest.param(
            "update linkage_quality set value = 1.5 where measure = 'estimated_precision'",
            {"linkage_quality.shares_are_shares"},
            id="a share above one",
        ),
        pytest.param(
            "update linkage_quality set value = 0.9 where measure = 'estimated_precision'",
            {"linkage_quality.links_are_estimated_precise"},
            id="imprecise links",
        ),
        pytest.param(
            "update linkage_quality set value = 0.2 where measure = 'blocking_loss'",
            {"linkage_quality.blocking_loses_little"},
            id="blocking that loses much",
        ),
        pytest.param(
            "update linkage_quality set value = 0.4 where measure = 'drift'",
            {"linkage_quality.little_has_drifted"},
            id="records unlike those of the training",
        ),
        pytest.param(
            "update linkage_quality set value = 0.1 where measure = 'impossible_life'",
            {"linkage_quality.impossible_lives_are_rare"},
            id="persons in two places",
        ),
        pytest.param("update person set age = 93", {"person.no_great_age"}, id="a great age"),
        pytest.param("update person set age = -1", {"person.age_is_plausible"}, id="a birth to come"),
        pytest.param(
            "update person set birth_year = null",
            {"person.birth_year_is_mostly_known"},
            id="unknown birth years",
        ),
        pytest.param(
            "update person set last_seen = '2020-01-01'",
            {"person.seen_in_order"},
            id="seen last before first",
        ),
        pytest.param(
            "insert into encounter from encounter limit 1",
            {"published_encounter.encounter_is_unique"},
            id="an encounter twice",
        ),
        pytest.param(
            "delete from encounter where client_id = 'client3'",
            {"published_encounter.no_encounter_is_lost"},
            id="an encounter lost",
        ),
        pytest.param(
            "delete from delivered_encounter where client_id = 'client3'",
            {"published_encounter.no_encounter_is_invented"},
            id="an encounter that nobody delivered",
        ),
        pytest.param(
            "update encounter set person_id = 'person1' where client_id = 'client3'",
            {"published_encounter.belongs_to_the_person_of_its_client"},
            id="an encounter of another person",
        ),
        pytest.param(
            "update encounter set started_at = '2025-04-01', ended_at = null where client_id = 'client3'",
            {"published_encounter.nothing_starts_after_the_as_of_date"},
            id="an encounter on the as-of date",
        ),
        pytest.param(
            "update encounter set ended_at = started_at - interval 1 hour where client_id = 'client3'",
            {"published_encounter.ends_after_it_starts"},
            id="an end before the start",
        ),
        pytest.param(
            "update encounter set is_open = true where client_id = 'client3'",
            {"published_encounter.open_means_without_end"},
            id="open and ended",
        ),
        pytest.param(
            "update encounter set is_countable = false where client_id = 'client3'",
            {"published_encounter.what_does_not_count_says_why"},
            id="not counted without a reason",
        ),
        pytest.param(
            "update encounter set is_countable = false, why_not_counted = 'routine_transport'",
            {"published_encounter.most_encounters_count"},
            id="nothing counts",
        ),
        pytest.param(
            "insert into utilization from utilization limit 1", {"utilization.row_is_unique"}, id="use twice"
        ),
        pytest.param(
            "update utilization set days = 31 where window_name = '30_days'",
            {"utilization.days_fit_the_window", "utilization.longer_windows_hold_more"},
            id="31 days of 30",
        ),
        pytest.param(
            "update utilization set encounters = 1 where window_name = '12_months'",
            {"utilization.longer_windows_hold_more"},
            id="less in a longer window",
        ),
        pytest.param(
            "update utilization set episodes = 3",
            {"utilization.episodes_are_made_of_encounters"},
            id="episodes",
        ),
        pytest.param(
            "update utilization set days = -1", {"utilization.counts_are_not_negative"}, id="negative days"
        ),
        pytest.param(
            "update utilization set window_name = 'ever' where window_name = '12_months'",
            {"utilization.window_is_known"},
            id="an unknown window",
        ),
        pytest.param(
            "update person set is_minor = true where person_id = 'person1'",
            {"cohort_membership.no_minors"},
            id="a child in a cohort",
        ),
        pytest.param(
            "insert into cohort_membership from cohort_membership limit 1",
            {"cohort_membership.member_is_listed_once"},
            id="a member twice",
        ),
        pytest.param(
            "update cohort_membership set left_on = '2025-03-20'",
            {"cohort_membership.entry_and_exit_make_sense"},
            id="a member who left",
        ),
        pytest.param(
            "update cohort_membership set as_of = '2025-05-01'",
            {"cohort_membership.judged_at_the_as_of_date"},
            id="another day",
        ),
        pytest.param(
            "update cohort_membership set evidence = null",
            {"cohort_membership.members_have_evidence"},
            id="no evidence",
        ),
        pytest.param(
            "update cohort_membership set coverage_ok = false",
            {"cohort_membership.sources_cover_the_rules"},
            id="short coverage",
        ),
        pytest.param(
            "update source_coverage set accepted_rows = 9",
            {"source_coverage.every_row_is_accounted_for"},
            id="a row unaccounted for",
        ),
        pytest.param(
            "update source_coverage set month = '2025-02' where source = 'jail'",
            {"source_coverage.every_delivery_is_listed"},
            id="a delivery not listed",
        ),
        pytest.param(
            "update source_coverage set is_covered = false",
            {"source_coverage.months_are_covered"},
            id="a month not covered",
        ),
    ],
)
def test_a_planted_fault_breaks_exactly_the_expectations_about_it(released, spoil, broken):
    released.change(spoil)
    assert not_met(released, *{name.partition(".")[0] for name in broken}) == broken


def test_minors_are_allowed_where_the_county_includes_them(released):
    released.change("update person set is_minor = true", "update run_parameter set include_minors = true")
    assert not_met(released, "cohort_membership") == set()


def test_tables_that_only_further_sources_fill_may_be_empty(released):
    released.change("delete from diversion_measure", "delete from encounter_detail")
    assert not_met(released, "diversion_measure", "encounter_detail") == set()
