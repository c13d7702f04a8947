"""Levels and blocking rules: each has a sentence, and each does what its sentence says."""

from dataclasses import replace
from itertools import chain

import pytest

from linkage.blocking import build_compared_record, find_candidate_pairs, workbench
from linkage.model import adjustments, blocking_rules, comparisons, splink_settings
from linkage.records import build_source_record
from linkage.scoring import levels_sql
from linkage.source import declared_sources
from tests.linkage.invented import Delivered, Identity, load, token

ROBERT = Identity(
    first_name="robert", last_name="montgomery", middle_name="paul", birth_date="1980-04-05", ssn="212345678"
)
UNKNOWN = Identity(first_name=None, last_name=None, birth_date=None, sex="U", zip3="000")

LEVELS = [
    ("first_name", "equal", {}),
    ("first_name", "missing", {"first_name": None}),
    ("first_name", "swapped", {"first_name": "montgomery", "last_name": "robert"}),
    ("first_name", "nickname", {"first_name": "bob"}),
    ("first_name", "similar", {"first_name": "roberta"}),
    ("first_name", "different", {"first_name": "susan"}),
    ("last_name", "equal", {}),
    ("last_name", "missing", {"last_name": None}),
    ("last_name", "missing", {"first_name": "montgomery", "last_name": "robert"}),
    ("first_name", "swapped_with_a_slip", {"first_name": "montgomerie", "last_name": "robbert"}),
    ("last_name", "missing", {"first_name": "montgomerie", "last_name": "robbert"}),
    ("first_name", "one_name_crossed", {"first_name": "montgomerie", "last_name": "schmidt"}),
    ("last_name", "missing", {"first_name": "montgomerie", "last_name": "schmidt"}),
    ("last_name", "nearly_equal", {"last_name": "montgomerry"}),
    ("last_name", "shares_a_part", {"last_name": "villa montgomery"}),
    ("last_name", "different", {"last_name": "schmidt"}),
    ("middle_name", "equal", {}),
    ("middle_name", "same_initial", {"middle_name": "p"}),
    ("middle_name", "same_initial", {"middle_name": "peter"}),
    ("middle_name", "different", {"middle_name": "john"}),
    ("middle_name", "missing", {"middle_name": None}),
    ("suffix", "missing", {}),
    ("birth_date", "equal", {}),
    ("birth_date", "day_and_month_swapped", {"birth_date": "1980-05-04"}),
    ("birth_date", "two_parts_equal", {"birth_date": "1980-04-15"}),
    ("birth_date", "two_parts_equal", {"birth_date": "1980-10-05"}),
    ("birth_date", "two_parts_equal", {"birth_date": "1989-04-05"}),
    ("birth_date", "two_parts_equal", {"birth_date": "1980-04"}),
    ("birth_date", "year_equal_date_doubtful", {"birth_date": "1980-01-01"}),
    ("birth_date", "year_equal_date_doubtful", {"birth_date": "1980"}),
    ("birth_date", "years_close", {"birth_date": "1982-09-21"}),
    ("birth_date", "years_apart", {"birth_date": "2004-09-21"}),
    ("birth_date", "missing", {"birth_date": None}),
    ("ssn", "equal", {}),
    ("ssn", "last_four_equal_first_five_differ", {"ssn": "212315678"}),
    ("ssn", "first_five_equal_last_four_differ", {"ssn": "212345679"}),
    ("ssn", "last_four_equal", {"ssn": None, "ssn4": "5678"}),
    ("ssn", "last_four_differ", {"ssn": None, "ssn4": "5679"}),
    ("ssn", "conflict", {"ssn": "345678912"}),
    ("ssn", "missing", {"ssn": None}),
    ("sex", "equal", {}),
    ("sex", "different", {"sex": "F"}),
    ("sex", "missing", {"sex": "U"}),
    ("zip3", "equal", {}),
    ("zip3", "different", {"zip3": "100"}),
    ("zip3", "missing", {"zip3": "000"}),
]


def levels_of(con, pairs):
    """The level of each comparison for each pair of identities."""
    rows = [
        Delivered(source=source, client_id=str(number), identity=who)
        for number, pair in enumerate(pairs)
        for source, who in zip(("jail", "hospital"), pair, strict=True)
    ]
    load(con, rows)
    build_source_record(con, list(declared_sources().values()))
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        found = []
        for number in range(len(pairs)):
            jail, hospital = (encoded_id(con, warehouse, source, number) for source in ("jail", "hospital"))
            con.execute(
                f"create or replace table candidate_pair as select least({jail}, {hospital}) as record_number_l, "
                f"greatest({jail}, {hospital}) as record_number_r, 0::utinyint as rule"
            ).fetchall()
            row = con.sql(levels_sql()).pl().row(0, named=True)
            found.append(
                {each.name: each.level_names().get(row[each.column], "missing") for each in comparisons()}
            )
    return found


def encoded_id(con, warehouse, source, number):
    client = token(str(number), source)
    return con.execute(
        f"select record_number from compared_record inner join {warehouse}.source_record "
        "using (source_record_id) where source = ? and client_id = ?",
        [source, client],
    ).fetchall()[0][0]


def test_every_pair_falls_into_the_level_that_describes_it(con):
    found = levels_of(con, [(ROBERT, replace(ROBERT, **changed)) for _, _, changed in LEVELS])
    wrong = [
        (comparison, expected, levels[comparison], changed)
        for (comparison, expected, changed), levels in zip(LEVELS, found, strict=True)
        if levels[comparison] != expected
    ]
    assert wrong == []


def test_a_long_name_with_one_letter_too_many_is_nearly_equal(con):
    pair = [replace(ROBERT, first_name=name) for name in ("christopher", "christoopher")]
    assert levels_of(con, [pair])[0]["first_name"] == "nearly_equal"


def test_suffixes_of_father_and_son_differ(con):
    father, son = replace(ROBERT, suffix="sr"), replace(ROBERT, suffix="jr", birth_date="2004-09-21")
    levels = levels_of(con, [(father, son)])[0]
    assert (levels["suffix"], levels["birth_date"]) == ("different", "years_apart")


def test_a_default_birth_date_on_both_sides_is_not_full_agreement(con):
    born = replace(ROBERT, birth_date="1980-01-01")
    assert levels_of(con, [(born, born)])[0]["birth_date"] == "equal_but_suspect"


def test_records_without_anything_tell_nothing(con):
    assert set(levels_of(con, [(UNKNOWN, UNKNOWN)])[0].values()) == {"missing"}


BROUGHT_BY = [
    ("name_sound_and_birth_date", {"first_name": "susan", "ssn": None}),
    ("first_name_and_birth_date", {"last_name": "schmidt", "first_name": "bob", "ssn": None}),
    ("name_sound_and_birth_date", {"last_name": "schmidt", "first_name": "robbert", "ssn": None}),
    ("name_sound_and_birth_date", {"first_name": "montgomery", "last_name": "robert", "ssn": None}),
    ("name_sound_and_birth_date", {"first_name": "montgomerry", "last_name": "a", "ssn": None}),
    ("names_and_birth_year_month", {"birth_date": "1980-04-25", "last_name": "montgomerry", "ssn": None}),
    ("names_and_birth_year_day", {"birth_date": "1980-10-05", "last_name": "montgomerry", "ssn": None}),
    ("names_and_birth_month_day", {"birth_date": "1989-04-05", "ssn": None}),
    ("names_without_birth_date", {"first_name": "robbert", "birth_date": None, "ssn": None}),
    (
        "names_without_birth_date",
        {"first_name": "montgomery", "last_name": "robert", "birth_date": None, "ssn": None},
    ),
    ("nickname_and_birth_year", {"birth_date": "1980-01-01", "first_name": "bob", "ssn": None}),
    (
        "ssn4_and_birth_year",
        {"first_name": "a", "last_name": "b", "birth_date": "1980-09-09", "ssn": "312345678"},
    ),
    (
        "ssn4_and_birthday",
        {"first_name": "a", "last_name": "b", "birth_date": "1999-04-05", "ssn": "312345678"},
    ),
    ("ssn4_and_first_name", {"last_name": "b", "birth_date": "1999-09-09", "ssn": "312345678"}),
    ("ssn4_and_last_name", {"first_name": "a", "birth_date": "1999-09-09", "ssn": "312345678"}),
    ("ssn5_and_birth_date", {"first_name": "a", "last_name": "b", "ssn": "212340000"}),
    ("ssn5_and_names", {"first_name": "robbert", "birth_date": "1999-09-09", "ssn": "212340000"}),
    (
        "ssn5_and_names",
        {"first_name": "montgomery", "last_name": "robert", "birth_date": "1999-09-09", "ssn": "212340000"},
    ),
    ("ssn", {"first_name": "a", "last_name": "b", "birth_date": "1999-09-09"}),
]


@pytest.mark.parametrize(("rule", "changed"), BROUGHT_BY)
def test_each_blocking_rule_brings_a_pair_that_no_other_brings(con, rule, changed):
    other = replace(ROBERT, **changed)
    load(
        con,
        [
            Delivered(source="jail", client_id="a", identity=ROBERT),
            Delivered(source="hospital", client_id="b", identity=other),
        ],
    )
    build_source_record(con, list(declared_sources().values()))
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        counts = find_candidate_pairs(con)
    assert [count.rule for count in counts if count.pairs] == [rule]


def test_no_blocking_rule_is_without_such_a_pair():
    """But for handovers, which have tests of their own."""
    assert {rule for rule, _ in BROUGHT_BY} | {"handover"} == set(blocking_rules())


def test_every_comparison_level_rule_and_adjustment_has_a_sentence():
    levels = chain.from_iterable(each.levels for each in comparisons())
    for each in (*comparisons(), *levels, *blocking_rules().values(), *adjustments()):
        assert each.says.endswith("."), each.name
        assert len(each.says) > 10, each.name
    assert all(each.because.endswith(".") for each in adjustments())


def test_levels_and_adjustments_name_each_other_rightly():
    known = {each.name: {level.name for level in each.levels} for each in comparisons()}
    for adjustment in adjustments():
        for comparison, levels in adjustment.when.items():
            assert levels <= known[comparison]


def test_rules_that_rest_on_the_social_security_number_come_last():
    rests = [rule.rests_on_ssn for rule in blocking_rules().values()]
    assert rests == sorted(rests)


def test_settings_are_made_anew_on_every_call():
    one, other = splink_settings(), splink_settings()
    assert all(a is not b for a, b in zip(one.comparisons, other.comparisons, strict=True))
