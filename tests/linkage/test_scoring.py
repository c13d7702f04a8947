"""Scoring says what Splink says, pair for pair, and no more than the caller asked for."""

from dataclasses import replace

import pytest

from linkage.blocking import build_compared_record, find_candidate_pairs, workbench
from linkage.calibration import UNCALIBRATED
from linkage.errors import UsageError
from linkage.model import adjustments, blocking_rules, comparisons
from linkage.records import build_source_record
from linkage.scoring import (
    LEAST_WEIGHT_KEPT,
    READ_WITHOUT_NUMBERS,
    score,
    scored_pairs_sql,
    why_adjusted,
)
from linkage.source import declared_sources
from linkage.training import splink_linker
from tests.linkage.invented import Delivered, Identity, load

SOURCES = list(declared_sources().values())
SOMEONE = Identity(first_name="maria", last_name="okafor", birth_date="1971-03-09")


def test_match_weights_and_levels_are_those_of_splink(linked_county):
    """Without adjustments and calibration, which Splink does not know."""
    con, model = linked_county.con, linked_county.model
    unadjusted = replace(model.parameters, adjustments={})
    levels = [each.column for each in comparisons()]
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        find_candidate_pairs(con)
        con.execute(
            "create table ours as "
            + scored_pairs_sql(unadjusted, UNCALIBRATED, lower_weight=LEAST_WEIGHT_KEPT)
        ).fetchall()
        settings = {**model.splink_settings, "retain_matching_columns": True}
        predicted = splink_linker(con, settings).inference.predict(
            threshold_match_weight=LEAST_WEIGHT_KEPT, warning_mode="never"
        )
        same_levels = " and ".join(f"ours.{column} = splink.{column}" for column in levels)
        pairs, of_splink, of_ours, furthest, same = con.execute(
            f"""
            with splink as (
                select predicted.*,
                    l.source_record_id as source_record_id_l, r.source_record_id as source_record_id_r
                from {predicted.physical_name} as predicted
                inner join compared_record as l on l.record_number = record_number_l
                inner join compared_record as r on r.record_number = record_number_r
                where l.client_number <> r.client_number
            )
            select count(*), count(splink.match_weight), count(ours.match_weight),
                max(abs(splink.match_weight - ours.match_weight)), bool_and({same_levels})
            from splink full join ours using (source_record_id_l, source_record_id_r)
            """
        ).fetchall()[0]
    assert pairs == of_splink == of_ours > 3_000
    assert furthest < 1e-9
    assert same


def test_blocking_brings_the_pairs_that_splink_brings(linked_county):
    """And by the same rule; but of several Splink names the least as text, 10 before 7."""
    con = linked_county.con
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        find_candidate_pairs(con)
        linker = splink_linker(con, linked_county.model.splink_settings)
        blocked = linker.inference.compute_blocked_pairs_for_predict()
        missing, extra, other_rule, same = con.execute(
            f"""
            with splink as (
                select least(join_key_l, join_key_r) as record_number_l,
                    greatest(join_key_l, join_key_r) as record_number_r, min(match_key::varchar) as match_key
                from {blocked.physical_name}
                inner join compared_record as l on l.record_number = join_key_l
                inner join compared_record as r on r.record_number = join_key_r
                where l.client_number <> r.client_number
                group by all
            )
            select count(*) filter (rule is null), count(*) filter (match_key is null),
                count(*) filter (match_key <> least(rule::varchar, match_key)), count(*)
            from splink full join candidate_pair using (record_number_l, record_number_r)
            """
        ).fetchall()[0]
    assert (missing, extra, other_rule) == (0, 0, 0)
    assert same == linked_county.scoring.candidate_pairs


def test_pairs_are_unique_ordered_and_of_different_clients(linked_county):
    con = linked_county.con
    pairs, distinct, disordered, of_one_client = con.execute(
        """
        select count(*), count(distinct (source_record_id_l, source_record_id_r)),
            count(*) filter (source_record_id_l >= source_record_id_r),
            count(*) filter (l.source = r.source and l.client_id = r.client_id)
        from scored_pair
        inner join source_record as l on l.source_record_id = source_record_id_l
        inner join source_record as r on r.source_record_id = source_record_id_r
        """
    ).fetchall()[0]
    assert pairs == distinct > 0
    assert (disordered, of_one_client) == (0, 0)


def test_probabilities_are_those_of_the_calibration(linked_county):
    rows = linked_county.con.execute("select match_weight, match_probability from scored_pair").fetchnumpy()
    expected = linked_county.model.calibration.probability(rows["match_weight"])
    assert abs(expected - rows["match_probability"]).max() < 1e-9


def test_an_adjustment_shows_and_the_unadjusted_weight_stays_beside_it(linked_county):
    made = dict(
        linked_county.con.execute(
            """
            select distinct adjustment, round(match_weight - unadjusted_match_weight, 6) from scored_pair
            where gamma_ssn >= 0 order by all
            """
        ).fetchall()
    )
    assert made.pop(None) == 0
    assert "possible_twins" in made
    for name, weight in made.items():
        assert weight == pytest.approx(linked_county.model.parameters.adjustments[name])
    assert {each.name for each in adjustments()} >= set(made)


def test_a_pair_without_two_numbers_weighs_what_is_as_probable_with_them(linked_county):
    calibration, weights = linked_county.model.calibration, linked_county.model.parameters.adjustments
    assert calibration.reads_without_numbers
    rows = linked_county.con.execute(
        """
        select adjustment, unadjusted_match_weight, match_weight from scored_pair
        where gamma_ssn < 0 and blocking_rule <> 'within_component'
        """
    ).fetchall()
    assert len(rows) > 100
    for adjustment, unadjusted, weight in rows:
        assert weight == pytest.approx(float(calibration.comparable(unadjusted + weights.get(adjustment, 0))))


def test_every_reason_for_another_weight_is_said(linked_county):
    model = linked_county.model
    assert why_adjusted({"adjustment": None, "gamma_ssn": 2}, model) is None
    assert why_adjusted({"adjustment": None, "gamma_ssn": -1}, model) == READ_WITHOUT_NUMBERS
    both = why_adjusted({"adjustment": "possible_twins", "gamma_ssn": -1}, model)
    assert both is not None
    assert "siblings born together" in both
    assert both.endswith(READ_WITHOUT_NUMBERS)
    unread = replace(
        model, calibration=replace(model.calibration, stretch_without_numbers=1.0, shift_without_numbers=0.0)
    )
    assert why_adjusted({"adjustment": None, "gamma_ssn": -1}, unread) is None


def test_nothing_of_the_work_stays_in_the_warehouse(linked_county):
    tables = linked_county.con.execute(
        "select table_name from duckdb_tables() where not temporary and database_name <> 'temp'"
    ).fetchall()
    kept = {name for (name,) in tables if not name.endswith(("_people", "_encounter"))}
    for_changes = {"scored_record", "name_share", "dropped_block", "scoring_run"}
    assert kept == {"source_record", "scored_pair", "cluster", "rejected_union"} | for_changes


def test_a_block_that_is_too_large_is_left_out_and_reported(con):
    crowd = [
        Delivered(
            source="hospital", client_id=str(number), identity=replace(SOMEONE, first_name=f"a{'b' * number}")
        )
        for number in range(30)
    ]
    load(con, crowd)
    build_source_record(con, SOURCES)
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        dropped = {count.rule: count for count in find_candidate_pairs(con, largest_block=20)}
        assert dropped["name_sound_and_birth_date"].dropped_blocks >= 1
        assert dropped["name_sound_and_birth_date"].dropped_pairs >= 30 * 29 // 2
        kept = {count.rule: count for count in find_candidate_pairs(con, largest_block=30)}
        assert kept["name_sound_and_birth_date"].dropped_blocks == 0


def test_being_seen_often_does_not_make_a_name_common(con):
    seen_often = [
        Delivered(source="ems", client_id=str(number), identity=SOMEONE, month="2024-01")
        for number in range(40)
    ]
    aliases = [
        Delivered(source="jail", client_id="one", identity=replace(SOMEONE, zip3=f"{number}"))
        for number in range(101, 141)
    ]
    others = [
        Delivered(
            source="hospital",
            client_id=str(number),
            identity=replace(SOMEONE, last_name="smith", ssn=f"21234{number:04}"),
        )
        for number in range(1, 9)
    ]
    load(con, seen_often + aliases + others)
    build_source_record(con, SOURCES)
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        shares = con.execute("select tf_last_name_token from last_name_token_share order by all").fetchall()
    assert [share for (share,) in shares] == [
        pytest.approx(0.2),
        pytest.approx(0.8),
    ]  # two and eight, not eighty


def test_fewer_than_two_records_are_said_in_a_sentence(con, linked_county):
    load(con, [Delivered(source="jail", client_id="a", identity=SOMEONE)])
    build_source_record(con, SOURCES)
    with pytest.raises(UsageError, match="fewer than two rows"):
        score(con, linked_county.model, lower_weight=0)
    assert con.execute("select current_schema(), current_database()").fetchall() == [("main", "memory")]


def test_rule_counts_add_up_to_the_candidate_pairs(linked_county):
    report = linked_county.scoring
    assert [count.rule for count in report.rules] == list(blocking_rules())
    assert report.candidate_pairs == sum(count.new_pairs for count in report.rules)
    assert all(count.new_pairs <= count.pairs for count in report.rules)
