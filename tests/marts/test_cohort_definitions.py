"""Cohorts are data: what a county may write, what is refused, and what a release shows of it."""

import datetime as dt
import json
import re
import tomllib
from pathlib import Path

import pytest

from linkage.errors import UsageError
from pipelines.cohorts import build_cohort_inputs, parse_cohorts, preset_cohorts
from pipelines.cohorts.presets import shipped_presets
from pipelines.cohorts.written import rule_json
from tests.marts.invented import Client, booking, build_up_to, cohort, response, rows, stay, visit, warehouse

COUNTY = tomllib.loads(
    (Path(__file__).parents[2] / "sample_data" / "county.toml").read_text(encoding="utf-8")
)["cohorts"]
BOOKED = {"count": ["booking"], "at_least": 4, "within_months": 12}
WRITTEN = {"name": "tested", "label": "L", "says": "S.", "source": "X", "owner": "O", "rule": BOOKED}


def members(encounters, rule, columns="person_id, evidence", **known):
    connection = warehouse(encounters, **known)
    build_up_to(connection, "encounter", "person", "source_coverage")
    build_cohort_inputs(connection, [cohort(rule)])
    build_up_to(connection, "cohort_membership")
    return rows(connection, f"select {columns} from cohort_membership where is_member order by person_id")


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        pytest.param({"name": "Familiar Faces"}, "a name is lower-case letters", id="name"),
        pytest.param({"name": "x'; drop table person"}, "a name is lower-case letters", id="name with SQL"),
        pytest.param({"rule": None}, "a criterion is a table such as", id="no rule"),
        pytest.param({"owner": ""}, "owner must be a text", id="no owner"),
        pytest.param({"version": 2}, "the key version is not known", id="unknown key"),
        pytest.param(
            {"rule": BOOKED | {"count": ["arrest"]}}, "'arrest' is no kind of encounter", id="unknown kind"
        ),
        pytest.param({"rule": BOOKED | {"count": []}}, "at least one kind of encounter", id="no kind"),
        pytest.param({"rule": BOOKED | {"within_months": 0}}, "from 1 to 60", id="empty window"),
        pytest.param({"rule": BOOKED | {"within_months": 61}}, "from 1 to 60", id="window too long"),
        pytest.param(
            {"rule": BOOKED | {"at_least": 0}}, "at_least must be a whole number from 1", id="at least none"
        ),
        pytest.param(
            {"rule": BOOKED | {"at_least": True}}, "at_least must be a whole number", id="yes is no number"
        ),
        pytest.param(
            {"rule": {"count": ["ed"], "at_least": 32, "within_months": 1}},
            "from 1 to 31",
            id="more than one a day",
        ),
        pytest.param({"rule": {"any_flag": ["rich"]}}, "'rich' is no flag", id="unknown flag"),
        pytest.param(
            {"rule": {"systems_with": ["booking", "ed"], "at_least": 3, "within_months": 12}},
            "at_least must be a whole number from 1 to 2",
            id="more systems than named",
        ),
        pytest.param(
            {"rule": BOOKED | {"at_most": 3}},
            "at_most is less than at_least, so nobody",
            id="a tier upside down",
        ),
        pytest.param(
            {"rule": {"all": [BOOKED, BOOKED | {"at_least": 1, "at_most": 3}]}},
            "at most 3 and for at least 4 of the same, so nobody",
            id="a contradiction",
        ),
        pytest.param({"rule": BOOKED | {"within_days": 30}}, "of the last exactly one", id="two windows"),
        pytest.param(
            {"rule": {"count": ["booking"], "at_least": 1, "within": "fiscal_year"}},
            'within is "calendar_year"',
            id="an unknown year",
        ),
        pytest.param(
            {"rule": {"days": ["booking"], "at_least": 40, "within_days": 30}},
            "at_least must be a whole number from 1 to 30",
            id="more days than the window has",
        ),
        pytest.param(
            {"rule": {"days": ["response"], "at_least": 4, "within_days": 30}},
            "'response' is no kind of encounter that lasts",
            id="days of what does not last",
        ),
        pytest.param(
            {"rule": {"top_percent": 80, "of_count": ["ed"], "within_months": 12}},
            "top_percent must be a number above 0 and at most 50",
            id="a top that is most",
        ),
        pytest.param(
            {"rule": BOOKED | {"only": ["tall"]}}, "'tall' is no fact of an encounter", id="an unknown fact"
        ),
        pytest.param({"rule": {"all": [BOOKED]}}, "needs a list of two or more", id="all of one"),
        pytest.param(
            {"rule": {"any": [BOOKED, BOOKED]}}, "lists the same criterion twice", id="twice the same"
        ),
        pytest.param(
            {"rule": {"all": [BOOKED], "any": [BOOKED]}}, "a criterion has the keys", id="all and any"
        ),
        pytest.param({"rule": {"count": ["booking"]}}, "a criterion has the keys", id="count without number"),
    ],
)
def test_an_impossible_definition_is_refused_with_a_sentence(changed, says):
    with pytest.raises(UsageError, match=re.escape(says)) as raised:
        parse_cohorts([WRITTEN | changed])
    assert str(raised.value).startswith("county.toml, cohort")


def test_a_definition_without_a_name_and_a_name_given_twice_are_refused():
    with pytest.raises(UsageError, match="needs a name"):
        parse_cohorts([{"rule": BOOKED}])
    with pytest.raises(UsageError, match="cohort tested: it is defined twice"):
        parse_cohorts([WRITTEN, WRITTEN])


def test_every_preset_has_its_source_and_compiles_or_says_what_it_needs():
    for name, preset in shipped_presets().items():
        assert [preset[text][-1] for text in ("source", "says")] == [".", "."], name
        if "needs" in preset:
            with pytest.raises(UsageError, match=f"the preset {name} needs"):
                preset_cohorts([name], owner="O", where="county.toml")
        else:
            (made,) = preset_cohorts([name], owner="O", where="county.toml")
            assert made.owner == "O"
            assert parse_cohorts([{**preset, "owner": "O", "rule": json.loads(rule_json(made))}]) == (made,)


def test_a_preset_that_there_is_not_is_refused():
    with pytest.raises(UsageError, match="'gotham' is no preset; there are king_county"):
        preset_cohorts(["gotham"], owner="O", where="county.toml")


def test_the_documentation_lists_every_preset():
    page = (Path(__file__).parents[2] / "docs" / "cohorts.md").read_text(encoding="utf-8")
    assert [name for name in shipped_presets() if f"`{name}`" not in page] == []


def test_evidence_says_what_each_kind_of_criterion_saw():
    lives = [booking("b", "2024-12-01", "2024-12-03"), visit("v", "2024-12-04"), visit("w", "2024-12-20")]
    seen = {
        "days in jail booking: 2 in 60 days": {"days": ["booking"], "at_least": 1, "within_days": 60},
        "emergency department visit within 2 days of jail booking: 1 in 6 months": {
            "first": ["booking"], "then": ["ed"], "gap_days": 2, "at_least": 1, "within_months": 6,
        },
        "emergency department visit: 2 in the calendar year": {
            "count": ["ed"], "at_least": 1, "at_most": 3, "within": "calendar_year",
        },
    }  # fmt: skip
    for evidence, rule in seen.items():
        assert members(lives, rule) == [("ann", evidence)]


@pytest.mark.parametrize("names", [["booking"], ["jail"], ["jail.booking"], ["jail", "booking"]])
def test_kinds_may_be_named_by_themselves_by_source_or_all_of_a_source(names):
    assert cohort(BOOKED | {"count": names}).rule == cohort(BOOKED).rule


def test_the_rule_is_shown_as_written():
    rule = {
        "any": [
            {"any_flag": ["smi"]},
            {"all": [BOOKED | {"count": ["jail.booking"]}, {"any_flag": ["sud"], "within_months": 6}]},
        ]
    }
    assert json.loads(rule_json(cohort(rule))) == rule


def test_the_sql_in_a_release_runs_there_and_finds_the_members():
    encounters = [
        booking(f"b{month}", f"2024-0{month}-05", f"2024-0{month}-06", smi=True) for month in range(1, 6)
    ]
    encounters += [booking("once", "2024-05-05", client_id="bob"), visit("v", "2024-05-05", client_id="bob")]
    connection = warehouse(encounters)
    build_up_to(connection, "encounter", "person", "source_coverage")
    build_cohort_inputs(connection, parse_cohorts(COUNTY))
    build_up_to(connection, "cohort_membership")
    for name, sql_text in rows(connection, "select cohort, sql_text from cohort_definition"):
        shown = rows(
            connection,
            f"select distinct subject from ({sql_text}), run_parameter "
            "where true_after < as_of and true_until >= as_of",
        )
        released = rows(
            connection, f"select person_id from cohort_membership where is_member and cohort = '{name}'"
        )
        assert set(shown) == set(released)
    assert rows(
        connection, "select cohort, person_id from cohort_membership where is_member order by all"
    ) == [
        ("king_county_familiar_faces", "ann"),
        ("multi_system", "bob"),
    ]


FOUR_BOOKINGS = [booking(f"b{month}", f"2024-0{month}-05", f"2024-0{month}-06") for month in range(1, 5)]


@pytest.mark.parametrize(
    ("recorded", "is_member"),
    [
        pytest.param([visit("v", "2023-02-01", smi=True)], True, id="a diagnosis in hospital"),
        pytest.param([visit("v", "2022-12-31", smi=True)], False, id="more than 24 months ago"),
        pytest.param([visit("v", "2024-02-01", smi=False)], False, id="no condition"),
        pytest.param(
            [booking("s", "2023-02-01", "2023-02-02", smi_screen="positive")], True, id="a positive screen"
        ),
        pytest.param([], False, id="nothing recorded"),
    ],
)
def test_familiar_faces_need_a_condition_beside_four_bookings(recorded, is_member):
    rule = next(each["rule"] for each in COUNTY if each["name"] == "king_county_familiar_faces")
    assert bool(members([*FOUR_BOOKINGS, *recorded], rule)) is is_member
    assert members([*FOUR_BOOKINGS[:3], *recorded], rule) == []


def test_scheduled_outpatient_care_is_no_second_system():
    rule = next(each["rule"] for each in COUNTY if each["name"] == "multi_system")
    outpatient = visit("v", "2024-03-01", kind="outpatient_bh")
    assert members([FOUR_BOOKINGS[0], outpatient], rule) == []
    assert members([FOUR_BOOKINGS[0], visit("e", "2024-03-01")], rule) == [
        ("ann", "systems in 12 months: hospital, jail")
    ]


def test_a_visit_that_became_an_admission_is_one_emergency_visit():
    rule = next(each["rule"] for each in COUNTY if each["name"] == "frequent_ed")
    visits = [
        visit(f"v{month}", f"2024-0{month}-05T10:00", f"2024-0{month}-05T18:00", disposition="admitted")
        for month in range(1, 5)
    ]
    stays = [
        visit(f"i{month}", f"2024-0{month}-05T19:00", f"2024-0{month}-07", kind="inpatient")
        for month in range(1, 5)
    ]
    assert members([*visits[:3], *stays[:3]], rule) == []
    assert members([*visits, *stays], rule) == [("ann", "emergency department visit: 4 in 12 months")]


def test_people_still_in_custody_count_as_in_that_system():
    rule = {"systems_with": ["booking", "ed"], "at_least": 2, "within_months": 12}
    assert members([booking("held", "2022-01-01"), visit("v", "2024-06-01")], rule) == [
        ("ann", "systems in 12 months: hospital, jail")
    ]
    assert members([booking("gone", "2022-01-01", "2024-01-01"), visit("v", "2024-06-01")], rule) == []


@pytest.mark.parametrize(
    ("booked", "as_of", "is_member"),
    [
        pytest.param(
            "2024-02-29", dt.date(2024, 8, 31), True, id="28 or 29 February, six months before 31 August"
        ),
        pytest.param("2024-02-28", dt.date(2024, 8, 31), False, id="the day before"),
        pytest.param("2023-08-31", dt.date(2024, 2, 29), True, id="31 August, before 29 February"),
        pytest.param("2023-08-29", dt.date(2024, 2, 29), True, id="29 August, before 29 February"),
        pytest.param("2023-08-28", dt.date(2024, 2, 29), False, id="28 August, before 29 February"),
    ],
)
def test_a_window_of_months_holds_the_same_days_for_the_rule_as_for_utilization(booked, as_of, is_member):
    rule = {"count": ["booking"], "at_least": 1, "within_months": 6}
    encounters = [booking("b", booked, booked)]
    assert bool(members(encounters, rule, as_of=as_of)) is is_member
    connection = warehouse(encounters, as_of=as_of)
    build_up_to(connection, "utilization")
    found = rows(
        connection, "select count(*) from utilization where window_name = '6_months' and encounters = 1"
    )
    assert found == [(int(is_member),)]


def test_what_does_not_count_makes_no_member():
    rule = {"systems_with": ["response", "stay", "ed"], "at_least": 2, "within_months": 12}
    not_counted = [
        response("r", "2024-05-01", patient_contact=False),
        stay("s", "2024-05-01", project_type="rapid_rehousing"),
    ]
    assert members([visit("v", "2024-06-01"), *not_counted], rule) == []


@pytest.mark.parametrize(
    ("known", "found"),
    [
        pytest.param({"birth_year": 2007}, [], id="may be under 18"),
        pytest.param({"birth_year": 2007, "include_minors": True}, ["ann"], id="the county includes minors"),
        pytest.param({"birth_year": 2006}, ["ann"], id="an adult"),
        pytest.param({"birth_year": None}, ["ann"], id="age unknown"),
    ],
)
def test_minors_are_left_out_unless_the_county_includes_them(known, found):
    assert [person for person, _ in members(FOUR_BOOKINGS, BOOKED, **known)] == found


def test_who_left_within_the_year_stays_listed_and_who_left_before_does_not():
    connection = warehouse(
        [*FOUR_BOOKINGS, booking("x", "2022-01-01", client_id="bob")], as_of=dt.date(2025, 3, 1)
    )
    build_up_to(connection, "encounter", "person", "source_coverage")
    build_cohort_inputs(connection, [cohort(BOOKED), cohort(BOOKED | {"at_least": 1}, "booked")])
    build_up_to(connection, "cohort_membership")
    assert rows(
        connection,
        "select cohort, person_id, is_member, entered_on, left_on from cohort_membership order by all",
    ) == [
        ("booked", "ann", True, dt.date(2024, 1, 5), None),
        ("tested", "ann", False, dt.date(2024, 4, 5), dt.date(2025, 1, 5)),
    ]


def test_one_reason_that_takes_over_on_the_day_another_ends_is_no_new_entry():
    rule = {"count": ["booking"], "at_least": 1, "within_months": 12}
    relayed = [booking("a", "2023-06-05", "2023-06-05"), booking("b", "2024-06-05", "2024-06-05")]
    assert members(relayed, rule, "entered_on, person_id") == [(dt.date(2023, 6, 5), "ann")]
    a_day_late = [relayed[0], booking("b", "2024-06-06", "2024-06-06")]
    assert members(a_day_late, rule, "entered_on, person_id") == [(dt.date(2024, 6, 6), "ann")]


def test_looser_links_may_make_a_member_of_two_people():
    clients = [
        Client(source="jail", client_id=client, person_id=client, person_id_080="both")
        for client in ("ann", "bob")
    ]
    half = [
        booking(f"c{month}", f"2024-0{month}-15", f"2024-0{month}-16", client_id="bob") for month in (1, 2)
    ]
    found = members([*FOUR_BOOKINGS[:2], *half], BOOKED, clients=clients)
    assert found == []
    connection = warehouse([*FOUR_BOOKINGS[:2], *half], clients=clients)
    build_up_to(connection, "encounter", "person", "source_coverage")
    build_cohort_inputs(connection, [cohort(BOOKED)])
    build_up_to(connection, "cohort_membership")
    shown = rows(
        connection,
        "select person_id, is_member, entered_on, member_080, member_095, member_099 from cohort_membership",
    )
    assert sorted(shown) == [
        ("ann", False, None, True, False, False),
        ("bob", False, None, True, False, False),
    ]


def test_the_evidence_names_no_client_and_no_encounter():
    rule = {"all": [BOOKED, {"any_flag": ["smi", "sud"], "within_months": 24}]}
    encounters = [*FOUR_BOOKINGS, visit("a-visit", "2024-05-01", smi=True, sud=True)]
    assert members(encounters, rule) == [
        ("ann", "jail booking: 4 in 12 months; recorded in 24 months: smi, sud")
    ]
