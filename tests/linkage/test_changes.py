"""Scoring what changed gives what scoring everything gives."""

import math
import random
from dataclasses import replace
from datetime import timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.blocking import build_compared_record, find_candidate_pairs, workbench
from linkage.changes import MOST_GROWTH, score_changes
from linkage.clustering import cluster
from linkage.model import rarity_columns
from linkage.records import build_source_record
from linkage.scoring import LEAST_WEIGHT_KEPT, score, scored_pairs_sql
from linkage.source import declared_sources
from tests.linkage.invented import (
    NEW_YEAR,
    Delivered,
    Encounter,
    Identity,
    invented_county,
    load,
    load_encounters,
    write_encounters,
)

SOURCES = list(declared_sources().values())
COUNTY = invented_county(220, seed=5)
LARGEST_BLOCK = 2_000


def deliver(con, rows):
    load(con, rows)
    load_encounters(con, rows)
    build_source_record(con, SOURCES)


def pairs(con):
    """Everything known of each pair, weights to nine decimals."""
    return set(
        con.execute(
            "select * replace (round(match_weight, 9) as match_weight, round(match_probability, 9) as "
            "match_probability, round(unadjusted_match_weight, 9) as unadjusted_match_weight) from scored_pair"
        ).fetchall()
    )


def everything_with_the_same_shares(con, model, largest_block=LARGEST_BLOCK):
    """What full scoring makes when names have the shares that were counted before."""
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        for column in rarity_columns("standard"):
            con.execute(
                f"""
                update compared_record set tf_{column} = coalesce(
                    (select share from {warehouse}.name_share where rated_column = '{column}' and token = {column}), 0
                )
                where {column} is not null
                """
            ).fetchall()
        find_candidate_pairs(con, largest_block=largest_block)
        con.execute(
            f"create or replace table {warehouse}.scored_pair as "
            + scored_pairs_sql(model.parameters, model.calibration, lower_weight=LEAST_WEIGHT_KEPT)
        ).fetchall()
    return pairs(con)


def score_all(con, model, largest_block=LARGEST_BLOCK):
    return score(con, model, lower_weight=LEAST_WEIGHT_KEPT, largest_block=largest_block)


def score_new(con, model, largest_block=LARGEST_BLOCK):
    return score_changes(con, model, lower_weight=LEAST_WEIGHT_KEPT, largest_block=largest_block)


@pytest.fixture(autouse=True, scope="module")
def however_many_changed():
    """In a county so small any month is a large share of it."""
    with pytest.MonkeyPatch.context() as patched:
        patched.setattr("linkage.changes.MOST_GROWTH", math.inf)
        yield


@given(st.integers(0, 10_000), st.integers(0, 60), st.integers(0, 20))
@settings(max_examples=6, deadline=None)
def test_months_scored_one_after_another_are_what_scoring_everything_makes(linked_county, seed, new, gone):
    """New clients, new identities of known clients and withdrawn records, in any mixture."""
    dice = random.Random(seed)
    rows = dice.sample(COUNTY, len(COUNTY))
    with duckdb.connect(config={"threads": 1}) as con:
        deliver(con, rows[new:])
        score_all(con, linked_county.model)
        cluster(con, linked_county.model)
        alias = [replace(row, identity=replace(row.identity, last_name="smith")) for row in rows[-5:]]
        deliver(con, rows[: len(rows) - gone] + alias)
        score_new(con, linked_county.model)
        found = pairs(con)
        assert found == everything_with_the_same_shares(con, linked_county.model)


def test_nothing_new_changes_nothing_but_takes_out_what_clustering_added(con, linked_county):
    deliver(con, COUNTY)
    score_all(con, linked_county.model)
    once = pairs(con)
    cluster(con, linked_county.model)
    assert score_new(con, linked_county.model).candidate_pairs == 0
    assert pairs(con) == once


def crowd(size):
    """So many clients who share a Social Security number."""
    return [
        Delivered(
            source="hospital",
            client_id=str(number),
            identity=Identity(first_name=f"ann{chr(97 + number)}", last_name="li", ssn="123456788"),
        )
        for number in range(size)
    ]


def test_a_block_that_becomes_too_large_asks_for_everything_and_changes_nothing(con, linked_county):
    deliver(con, COUNTY + crowd(4))
    score_all(con, linked_county.model, largest_block=5)
    deliver(con, COUNTY + crowd(6))
    before = pairs(con)
    assert "too large" in score_new(con, linked_county.model, largest_block=5)
    assert pairs(con) == before


def test_a_record_that_changes_its_content_gives_its_old_pairs_up(con, linked_county):
    deliver(con, COUNTY)
    score_all(con, linked_county.model)
    changed = [replace(row, identity=replace(row.identity, last_name="smith")) for row in COUNTY[:9]]
    deliver(con, changed + COUNTY[9:])
    score_new(con, linked_county.model)
    assert pairs(con) == everything_with_the_same_shares(con, linked_county.model)


def test_a_record_changes_when_somebody_else_arrives_at_the_same_moment(con, linked_county):
    """The handover was alone and is one among several: its pair weighs less, though neither record changed."""
    nameless = Identity(first_name=None, last_name=None, birth_date=None)
    known = Identity(first_name="maria", last_name="okafor", birth_date="1971-03-09")
    rows = [
        Delivered(source="ems", client_id="run", identity=nameless),
        Delivered(source="hospital", client_id="visit", identity=known),
        Delivered(source="hospital", client_id="other visit", identity=replace(known, first_name="peter")),
    ]
    at = NEW_YEAR + timedelta(days=40)
    visits = [Encounter(client_id=who, at=at) for who in ("visit", "other visit")]
    weights = []
    for arrived in (visits[:1], visits):
        load(con, COUNTY + rows)
        write_encounters(con, [Encounter(client_id="run", at=at)], arrived)
        build_source_record(con, SOURCES)
        (score_all if arrived != visits else score_new)(con, linked_county.model)
        weights.append(
            con.execute("select round(match_weight, 6) from scored_pair where gamma_handover >= 0").fetchall()
        )
        assert pairs(con) == everything_with_the_same_shares(con, linked_county.model)
    assert len(weights[0]) == 1
    assert weights[1] != weights[0]


def test_a_record_that_goes_and_comes_back_has_its_pairs_again(con, linked_county):
    deliver(con, COUNTY)
    score_all(con, linked_county.model)
    once = pairs(con)
    deliver(con, COUNTY[9:])
    score_new(con, linked_county.model)
    assert pairs(con) == everything_with_the_same_shares(con, linked_county.model) != once
    deliver(con, COUNTY)
    score_new(con, linked_county.model)
    assert pairs(con) == everything_with_the_same_shares(con, linked_county.model)


def test_a_run_stopped_while_pairs_are_replaced_changes_nothing_and_can_be_repeated(
    con, linked_county, monkeypatch
):
    deliver(con, COUNTY[9:])
    score_all(con, linked_county.model)
    before = pairs(con)
    deliver(con, COUNTY)
    with monkeypatch.context() as broken:
        broken.setattr("linkage.changes.scored_pairs_sql", lambda *_, **__: "select * from stopped_here")
        with pytest.raises(duckdb.CatalogException):
            score_new(con, linked_county.model)
    assert pairs(con) == before
    score_new(con, linked_county.model)
    assert pairs(con) == everything_with_the_same_shares(con, linked_county.model)


def test_a_block_left_out_before_stays_left_out(con, linked_county):
    deliver(con, COUNTY + crowd(7))
    score_all(con, linked_county.model, largest_block=5)
    assert con.execute("select count(*) from dropped_block").fetchall()[0][0] > 0
    deliver(con, COUNTY + crowd(8))
    score_new(con, linked_county.model, largest_block=5)
    assert pairs(con) == everything_with_the_same_shares(con, linked_county.model, largest_block=5)


@pytest.mark.parametrize(
    ("prepare", "says"),
    [
        pytest.param(
            lambda con: con.execute("drop table scoring_run").fetchall(), "before", id="never scored"
        ),
        pytest.param(
            lambda con: con.execute("update scoring_run set model_version = 'other'").fetchall(),
            "another model",
            id="another model",
        ),
        pytest.param(
            lambda con: con.execute("update scoring_run set lower_weight = 0").fetchall(),
            "other settings",
            id="another weight",
        ),
        pytest.param(lambda con: deliver(con, COUNTY[: len(COUNTY) // 2]), "10%", id="half is gone"),
    ],
)
def test_everything_is_scored_where_changes_would_not_do(con, linked_county, monkeypatch, prepare, says):
    monkeypatch.setattr("linkage.changes.MOST_GROWTH", MOST_GROWTH)
    deliver(con, COUNTY)
    score_all(con, linked_county.model)
    prepare(con)
    before = pairs(con)
    assert says in score_new(con, linked_county.model)
    assert pairs(con) == before


def test_everything_is_scored_where_a_block_may_have_become_small_enough(con, linked_county):
    deliver(con, COUNTY + crowd(6))
    score_all(con, linked_county.model, largest_block=5)
    deliver(con, COUNTY + crowd(5))
    assert "small enough" in score_new(con, linked_county.model, largest_block=5)
