"""Every mart says what boring Python says, for any encounters."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cohorts import build_cohort_inputs
from tests.marts import oracle
from tests.marts.invented import Client, Encounter, build_up_to, cohort, rows, warehouse

MANY = settings(max_examples=40, deadline=None)
FEW = settings(max_examples=20, deadline=None)
DAY_BEFORE = [
    *range(-1, 12),
    29,
    30,
    31,
    59,
    89,
    180,
    181,
    182,
    183,
    184,
    185,
    360,
    364,
    365,
    366,
    367,
    400,
    729,
    731,
]
LASTING = [0, 1, 8, 23, 24, 25, 48, 7 * 24 - 1, 7 * 24, 30 * 24, 200 * 24, 400 * 24]
AS_OF = st.sampled_from(
    [
        dt.date(2025, 1, 1),
        dt.date(2024, 2, 29),
        dt.date(2024, 8, 31),
        dt.date(2023, 3, 1),
        dt.date(2024, 3, 15),
    ]
)
CLIENTS = ("ann", "bob", "cal")
OWN = {
    "jail": st.fixed_dictionaries({"smi_screen": st.sampled_from(["positive", "negative", None])}),
    "shelter": st.fixed_dictionaries(
        {
            "project_type": st.sampled_from(["es_entry_exit", "es_night_by_night", "rapid_rehousing", None]),
            "disabling_condition": st.sampled_from([True, False, None]),
        }
    ),
    "ems": st.fixed_dictionaries(
        {
            "patient_contact": st.sampled_from([True, True, True, False, None]),
            "service_requested": st.sampled_from(["emergency", "emergency", "interfacility_transfer", None]),
            "transported": st.sampled_from([True, True, False, None]),
            "destination_type": st.sampled_from(["hospital_ed", "hospital_ed", "jail", None]),
        }
    ),
    "hospital": st.fixed_dictionaries(
        {"disposition": st.sampled_from(["admitted", "transferred", "home", "still_patient", None])}
    ),
}
KINDS = [
    ("jail", "booking"),
    ("shelter", "bed_night"),
    ("shelter", "stay"),
    ("shelter", "outreach_contact"),
    ("ems", "response"),
    ("hospital", "ed"),
    ("hospital", "ed"),
    ("hospital", "inpatient"),
    ("hospital", "outpatient_bh"),
]


@st.composite
def worlds(draw, most=22):
    """An as-of date and encounters around it: chains, overlaps, open stays, both ends of every window."""
    as_of = draw(AS_OF)
    midnight = dt.datetime.combine(as_of, dt.time())
    encounters = []
    for number in range(draw(st.integers(1, most))):
        source, kind = draw(st.sampled_from(KINDS))
        near = draw(st.booleans()) if encounters else False
        if near:
            close_to = draw(st.sampled_from(encounters))
            started = (close_to.ended_at or close_to.started_at) + draw(
                st.sampled_from([-HOUR, 0 * HOUR, HOUR / 2, HOUR, 24 * HOUR, 25 * HOUR, 7 * 24 * HOUR])
            )
        else:
            started = (
                midnight
                - draw(st.sampled_from(DAY_BEFORE)) * 24 * HOUR
                + draw(st.sampled_from([0, 0, 9, 20])) * HOUR
            )
        hours = draw(st.sampled_from([*LASTING, None]))
        encounters.append(
            Encounter(
                encounter_id=f"{number:02}",
                source=source,
                kind=kind,
                started_at=started,
                ended_at=None if hours is None else started + hours * HOUR,
                client_id=draw(st.sampled_from(CLIENTS[:2])) if not near else close_to.client_id,
                smi=draw(st.sampled_from([True, False, None])),
                own=draw(OWN[source]),
            )
        )
    return as_of, encounters


HOUR = dt.timedelta(hours=1)
PERSON_OF = {(source, client): client for source in OWN for client in CLIENTS}


@MANY
@given(worlds())
def test_encounters_count_and_chain_as_in_boring_python(world):
    as_of, encounters = world
    connection = warehouse(encounters, as_of=as_of)
    build_up_to(connection, "encounter")
    found = rows(
        connection,
        "select encounter_id, person_id, ended_at, is_open, why_not_counted, episode_id from encounter",
    )
    expected = {
        (
            each.given.encounter_id,
            each.person,
            each.ended_at,
            each.given.kind in oracle.STAYS - {"bed_night"} and each.ended_at is None,
            each.reason,
            each.episode_id,
        )
        for each in oracle.judged_encounters(encounters, PERSON_OF, as_of)
    }
    assert set(found) == expected
    assert len(found) == len(expected)


@MANY
@given(worlds())
def test_utilization_adds_up_as_in_boring_python(world):
    as_of, encounters = world
    connection = warehouse(encounters, as_of=as_of)
    build_up_to(connection, "utilization", "utilization_kind")
    found = {
        row[:4]: row[4:]
        for row in rows(
            connection,
            "select person_id, source, kind, window_name, encounters, episodes, days from utilization_kind union all "
            "select person_id, source, 'any', window_name, encounters, episodes, days from utilization",
        )
    }
    expected = oracle.used(oracle.judged_encounters(encounters, PERSON_OF, as_of), as_of)
    assert found.keys() == expected.keys()
    for key, (count, episodes, days) in expected.items():
        assert found[key][:2] == (count, episodes)
        assert found[key][2] == pytest.approx(days, abs=1e-4)


ACUTE = ["booking", "bed_night", "stay", "outreach_contact", "response", "ed", "inpatient"]
RULES = [
    {"count": ["booking"], "at_least": 2, "within_months": 12},
    {"count": ["ed", "inpatient"], "at_least": 3, "within_months": 1},
    {"count": ["bed_night", "stay"], "at_least": 1, "within_months": 6},
    {"any_flag": ["smi", "screened_positive"], "within_months": 6},
    {"systems_with": ACUTE, "at_least": 2, "within_months": 12},
    {"count": ["ed"], "at_least": 1, "within_days": 30},
    {"count": ["booking"], "at_least": 1, "at_most": 1, "within_months": 6},
    {"count": ["response"], "at_least": 1, "at_most": 2, "only": ["transported"], "within": "calendar_year"},
    {"count": ["ed", "response"], "at_least": 2, "within": "calendar_year"},
    {"days": ["booking"], "at_least": 20, "within_months": 1},
    {"days": ["bed_night", "stay"], "at_least": 2, "within_days": 10},
    {"first": ["booking"], "then": ["ed"], "gap_days": 1, "at_least": 1, "within_months": 12},
    {
        "first": ["ed", "booking"],
        "then": ["booking", "response"],
        "gap_days": 7,
        "at_least": 2,
        "within_days": 400,
    },
    {
        "of": [
            {"count": ["booking"], "at_least": 1, "within_months": 6},
            {"any_flag": ["disabling_condition"]},
            {"count": ["ed"], "at_least": 1, "within_months": 6},
        ],
        "at_least": 2,
    },
    {"systems_with": ACUTE, "at_least": 3, "within_months": 6},
    {
        "all": [
            {"count": ["booking"], "at_least": 1, "within_months": 6},
            {"any_flag": ["smi", "screened_positive"]},
        ]
    },
    {
        "any": [
            {"count": ["ed"], "at_least": 2, "within_months": 1},
            {
                "all": [
                    {"count": ["ed"], "at_least": 3, "within_months": 12},
                    {"systems_with": ["booking", "response"], "at_least": 1, "within_months": 6},
                ]
            },
        ]
    },
]


def memberships(connection, rule):
    build_up_to(connection, "encounter", "person", "source_coverage")
    build_cohort_inputs(connection, [cohort(rule)])
    build_up_to(connection, "cohort_membership")
    found = rows(
        connection,
        "select person_id, is_member, entered_on, left_on, member_080, member_095, member_099 from cohort_membership",
    )
    return {person: rest for person, *rest in found}


@MANY
@given(worlds(), st.sampled_from(RULES))
def test_cohorts_are_entered_and_left_as_in_boring_python(world, rule):
    as_of, encounters = world
    found = memberships(warehouse(encounters, as_of=as_of), rule)
    judged = oracle.judged_encounters(encounters, PERSON_OF, as_of)
    expected = {}
    for person in CLIENTS:
        standing = oracle.membership(rule, [each for each in judged if each.person == person], as_of)
        if standing:
            expected[person] = list(standing)
    assert {person: rest[:3] for person, rest in found.items()} == expected
    assert all(rest[3:] == [rest[0]] * 3 for rest in found.values())


CLIENTS_BY_SOURCE = [(source, client) for source in OWN for client in CLIENTS[:2]]
GROUPING = st.lists(
    st.sampled_from(["p1", "p2", "p3"]), min_size=len(CLIENTS_BY_SOURCE), max_size=len(CLIENTS_BY_SOURCE)
)


@FEW
@given(worlds(most=14), GROUPING, GROUPING, st.sampled_from(RULES[:15]))
def test_membership_at_another_threshold_is_the_rule_on_the_persons_it_makes(world, chosen, other, rule):
    as_of, encounters = world
    clients = [
        Client(source=source, client_id=client, person_id=here, person_id_080=there)
        for (source, client), here, there in zip(CLIENTS_BY_SOURCE, chosen, other, strict=True)
    ]
    found = memberships(warehouse(encounters, clients=clients, as_of=as_of), rule)
    person_of = {(each.source, each.client_id): each.person_id for each in clients}
    subject_of = {(each.source, each.client_id): each.person_id_080 for each in clients}
    judged = oracle.judged_encounters(encounters, person_of, as_of)
    members = {
        subject
        for subject in set(other)
        if oracle.holds(
            rule,
            [each for each in judged if subject_of[each.given.source, each.given.client_id] == subject],
            as_of,
            as_of,
        )
    }
    expected = {person_of[client] for client, subject in subject_of.items() if subject in members}
    assert {person for person, rest in found.items() if rest[3]} == expected


@FEW
@given(worlds(), st.sampled_from([10, 25, 34, 50]), st.sampled_from(["within_months", "within"]))
def test_the_top_share_is_those_with_most_and_ties_stand_or_fall_together(world, percent, window):
    as_of, encounters = world
    rule = {
        "top_percent": percent,
        "of_count": ["ed", "booking"],
        window: 12 if window == "within_months" else "calendar_year",
    }
    found = memberships(warehouse(encounters, as_of=as_of), rule)
    judged = [each for each in oracle.judged_encounters(encounters, PERSON_OF, as_of) if each.reason is None]
    counts = {
        person: oracle.counted(
            rule["of_count"],
            [],
            [each for each in judged if each.person == person],
            oracle.window_begins(rule, as_of),
            as_of,
        )
        for person in CLIENTS
    }
    users = [count for count in counts.values() if count]
    enough = [
        count for count in users if sum(other >= count for other in users) * 100 <= len(users) * percent
    ]
    expected = {person for person, count in counts.items() if enough and count >= min(enough)}
    assert {person for person, rest in found.items() if rest[0]} == expected


@FEW
@given(worlds(), st.randoms(use_true_random=False))
def test_the_order_of_delivered_rows_changes_nothing(world, random):
    as_of, encounters = world
    shuffled = random.sample(encounters, len(encounters))
    results = []
    for each in (encounters, shuffled):
        connection = warehouse(each, as_of=as_of)
        build_up_to(connection, "encounter")
        results.append(rows(connection, "select * from encounter order by source, encounter_id"))
    assert results[0] == results[1]
