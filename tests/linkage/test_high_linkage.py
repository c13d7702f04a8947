"""Records of the profile high are trained on, weighed and clustered; models and records of two profiles never mix."""

from dataclasses import replace

import duckdb
import numpy as np
import polars as pl
import pytest

from linkage.blocking import build_compared_record, workbench
from linkage.clustering import cluster
from linkage.encoding.filters import bigram_table, filters_of
from linkage.encoding.noise import with_noise
from linkage.encoding.profiles import HIGH
from linkage.errors import UsageError
from linkage.evaluation import client_groups, compare
from linkage.handover import HANDOVER_COLUMNS
from linkage.model import adjustments, blocking_rules, comparison, comparisons, linkage_model
from linkage.model.high import _dice_at_least
from linkage.model_file import Model
from linkage.records import build_source_record, recorded_profile
from linkage.scoring import LEAST_WEIGHT_KEPT, levels_sql, score
from linkage.source import declared_sources
from linkage.training import train
from tests.linkage.invented import Delivered, Identity, invented_county, load
from tests.linkage.invented_high import load_high, truth_of

SOMEONE = Identity(first_name="maria", last_name="garcia lopez", ssn="123456788")


@pytest.fixture(scope="module")
def high_county():
    rows = invented_county(2_000)
    with duckdb.connect() as connection:
        connection.execute("set threads = 1").fetchall()
        load_high(connection, rows)
        model = train(connection, seed=1, max_pairs=200_000)
        score(connection, model, lower_weight=LEAST_WEIGHT_KEPT)
        cluster(connection, model)
        yield connection, model, truth_of(connection, rows)


def level_of(con, left, right, name):
    """The level of a comparison for two identities."""
    rows = [Delivered(source="jail", client_id=str(n), identity=who) for n, who in enumerate((left, right))]
    load_high(con, rows)
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        con.execute(
            "create table candidate_pair as select 1 as record_number_l, 2 as record_number_r, 0::utinyint as rule"
        ).fetchall()
        row = con.sql(levels_sql(profile="high")).pl().row(0, named=True)
    compared = comparison(name, "high")
    return compared.level_names().get(row[compared.column], "nothing")


@pytest.mark.parametrize(
    ("change", "name", "level"),
    [
        ({}, "first_name", "equal_common"),
        ({}, "birth_date", "equal"),
        ({}, "ssn", "equal"),
        ({"first_name": "mary"}, "birth_date", "equal"),
        ({"first_name": None}, "first_name", "nothing"),
        ({"first_name": "lopez", "last_name": "maria"}, "first_name", "different"),
        ({"first_name": "garcialopez", "last_name": "maria"}, "first_name", "swapped"),
        ({"last_name": "garcia"}, "last_name", "sounds_alike_or_shares_a_part"),
        ({"last_name": "okafor"}, "last_name", "different"),
        ({"birth_date": "1980-04-15"}, "birth_date", "month_or_day_equal"),
        ({"birth_date": "1980-05-04"}, "birth_date", "equal"),
        ({"birth_date": "1971-04-05"}, "birth_date", "birthday_equal"),
        ({"birth_date": "1980-09-21"}, "birth_date", "year_alone_equal"),
        ({"birth_date": "1980-01-01"}, "birth_date", "year_equal_date_doubtful"),
        ({"first_name": "bo", "last_name": "xu", "birth_date": "1980-09-21"}, "birth_date", "nothing"),
        ({"first_name": "bo", "last_name": "xu", "birth_date": "1981-09-21"}, "birth_date", "years_close"),
        ({"birth_date": None}, "birth_date", "nothing"),
        ({"ssn": "555116788"}, "ssn", "last_four_equal_first_five_differ"),
        ({"ssn": None, "ssn4": "6788"}, "ssn", "last_four_equal"),
        ({"ssn": None, "ssn4": "1111"}, "ssn", "last_four_differ"),
        ({"ssn": None, "ssn4": "1111", "birth_date": "1970-09-09"}, "ssn", "nothing"),
        ({"ssn": "123451111"}, "ssn", "first_five_equal_last_four_differ"),
        ({"ssn": "555661111"}, "ssn", "conflict"),
        ({"ssn": None}, "ssn", "nothing"),
    ],
    ids=lambda value: str(value),
)  # fmt: skip
def test_a_pair_is_in_the_level_that_its_records_let_be_seen(con, change, name, level):
    assert level_of(con, SOMEONE, replace(SOMEONE, **change), name) == level


def test_dice_is_corrected_for_the_noise(con):
    names = ["christopher", "rodriguez", "katherine", "washington"]
    plain = filters_of(names * 200, bigram_table(b"k" * 32))
    sides = [with_noise(plain, [f"{n}{side}" for n in range(len(plain))], b"n" * 32) for side in "lr"]
    words = [np.frombuffer(b"".join(side), ">i8").reshape(-1, 8) for side in sides]
    counts = [np.bitwise_count(side.astype(np.uint64)).sum(axis=1) for side in words]
    columns = {
        f"bits_{word + 1}_{side}": words[number][:, word].astype(np.int64)
        for number, side in enumerate("lr")
        for word in range(8)
    } | {f"bits_count_{side}": counts[number].astype(np.int16) for number, side in enumerate("lr")}
    con.register("pair", pl.DataFrame(columns).to_arrow())
    shares = con.execute(
        "select "
        + ", ".join(f"avg(({_dice_at_least('bits', at)})::int)" for at in (80, 100, 120))
        + " from pair"
    ).fetchall()[0]
    # equal names have a Dice of 1 before the noise: half lie above it, few far from it
    assert shares[0] > 0.99
    assert 0.4 < shares[1] < 0.6
    assert shares[2] < 0.01


def test_people_are_found_again(high_county):
    con, model, truth = high_county
    found = con.sql("select source, client_id, cluster_id as person_id from cluster").pl()
    pairs = compare(found.join(truth, on=["source", "client_id"])).pairs
    assert model.training["complete"]
    assert pairs.precision > 0.98
    assert pairs.recall > 0.85


def test_what_is_known_of_clients_is_said_under_either_profile(high_county):
    con, _, _ = high_county
    groups = client_groups(con)
    assert {"nothing", "number", "name, birth date, number"} <= set(groups["missing"])


def test_levels_that_are_seen_through_others_are_not_counted_but_reckoned(high_county):
    _, model, _ = high_county
    born = model.parameters.levels["birth_date"]
    # 60 birth years: one pair of strangers in 60 has the year, and one in 365 of those the day
    assert born["equal"].u == pytest.approx(1 / 60 / 365.25, rel=0.1)
    assert born["month_or_day_equal"].u == pytest.approx(1 / 60 / 9, rel=0.1)
    assert sum(level.u for level in born.values()) == pytest.approx(1, abs=0.02)


def test_a_model_file_says_its_profile_and_comes_back_the_same(high_county, tmp_path):
    _, model, _ = high_county
    model.save(tmp_path / "model.json")
    read = Model.load(tmp_path / "model.json")
    assert read.parameters.profile == "high"
    assert read == model or read.version == model.version


def test_a_model_of_another_profile_weighs_nothing(high_county, linked_county, con):
    _, high_model, _ = high_county
    with pytest.raises(
        UsageError, match="of the encoding profile high, but the source records are of standard"
    ):
        score(linked_county.con, high_model, lower_weight=0.0)
    load_high(con, [Delivered(source="jail", client_id=str(n), identity=SOMEONE) for n in range(2)])
    with pytest.raises(
        UsageError, match="of the encoding profile standard, but the source records are of high"
    ):
        score(con, linked_county.model, lower_weight=0.0)


def test_a_warehouse_of_two_profiles_is_refused(con):
    load_high(con, [Delivered(source="jail", client_id="a", identity=SOMEONE)])
    con.execute("alter table jail_people rename to high_people").fetchall()
    load(con, [Delivered(source="ems", client_id="b", identity=SOMEONE)])
    con.execute("drop table jail_people; alter table high_people rename to jail_people").fetchall()
    with pytest.raises(UsageError, match="the profiles high and standard, which never meet"):
        build_source_record(con, list(declared_sources().values()))


def test_the_profile_of_a_table_is_told_by_its_columns(high_county, linked_county):
    assert recorded_profile(high_county[0], "source_record").name == "high"
    assert recorded_profile(linked_county.con, "source_record").name == "standard"
    with pytest.raises(UsageError, match="the columns of no encoding profile"):
        recorded_profile(linked_county.con, "scored_pair")


def test_being_the_same_identity_does_not_hang_on_the_month(con):
    rows = [
        Delivered(source="jail", client_id="a", identity=SOMEONE, month=month)
        for month in ("2024-02", "2024-01", "2024-03")
    ]
    assert load_high(con, rows) == 1


def test_the_model_speaks_english_and_rests_on_columns_that_are_delivered():
    model = linkage_model("high")
    levels = [level for each in comparisons("high") for level in each.levels]
    for each in (*model.comparisons, *levels, *model.blocking_rules, *model.adjustments):
        assert each.says.endswith("."), each.name
    assert [rule.rests_on_ssn for rule in model.blocking_rules] == sorted(
        rule.rests_on_ssn for rule in model.blocking_rules
    )
    known = {each.name: {level.name for level in each.levels} for each in comparisons("high")}
    for adjustment in adjustments("high"):
        assert all(names <= known[name] for name, names in adjustment.when.items())
    delivered = {*HIGH.people_columns, *HANDOVER_COLUMNS}
    assert set(chain_of_columns(blocking_rules("high").values())) <= delivered


def chain_of_columns(rules):
    return [column for rule in rules for column in rule.columns]
