"""Measures of diversion, against boring Python and as the stories of single people."""

import datetime as dt
from collections import defaultdict

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marts.invented import (
    AS_OF,
    booking,
    build_up_to,
    call,
    encounter,
    response,
    rows,
    visit,
    warehouse,
)

FURTHER = "crisis_line,mobile_crisis,crisis_stabilization"
HOUR = dt.timedelta(hours=1)
WITHIN = {"24_hours": 24 * HOUR, "72_hours": 72 * HOUR, "7_days": 168 * HOUR}
TARGETS = {"ems": ("ems", "response"), "ed": ("hospital", "ed"), "booking": ("jail", "booking")}
OUTCOMES = {
    "resolved_by_phone": "call_resolved_without_dispatch",
    "mobile_crisis": "call_sent_mobile_crisis",
    "ambulance": "call_handed_to_ems",
    "police": "call_sent_police",
}
NAMELESS = "cyd"
MIDNIGHT = dt.datetime.combine(AS_OF, dt.time())
FIRST_HOUR = dt.datetime.combine(dt.date(2024, 11, 20), dt.time())


def counted(encounters, **options):
    connection = warehouse(encounters, **({"further_sources": FURTHER} | options))
    build_up_to(connection, "diversion_count")
    return {
        (measure, month): tuple(counts)
        for measure, month, *counts in rows(
            connection,
            "select measure, month, people, people_of_whom, people_beside, numerator, denominator, left_out "
            "from diversion_count",
        )
    }


@st.composite
def lives(draw):
    """Calls, responses, visits and bookings of three people at full hours over the last six weeks."""
    times = st.integers(0, 41 * 24).map(lambda hours: (FIRST_HOUR + hours * HOUR).isoformat())
    people = st.sampled_from(["ann", "bob", NAMELESS])
    made = []
    for number in range(draw(st.integers(1, 6))):
        outcome = draw(st.sampled_from([*OUTCOMES, "other", None]))
        made.append(call(f"k{number}", draw(times), outcome, client_id=draw(people)))
    for number in range(draw(st.integers(0, 8))):
        make = draw(st.sampled_from([response, visit, booking]))
        made.append(make(f"e{number}", draw(times), client_id=draw(people)))
    return made


@settings(max_examples=60, deadline=None)
@given(lives(), st.sets(st.tuples(st.sampled_from(["ems", "hospital", "jail"]), st.just("2024-12"))))
def test_what_follows_calls_is_what_boring_python_counts(encounters, not_covered):
    assert counted(encounters, not_covered=not_covered, nameless=[NAMELESS]) == boring_counts(
        encounters, not_covered
    )


def boring_counts(encounters, not_covered):
    judged = defaultdict(list)
    for each in encounters:
        if each.kind != "call":
            continue
        month, outcome = f"{each.started_at:%Y-%m}", each.own["outcome"]
        for code, measure in OUTCOMES.items():
            judged[measure, month].append((each.client_id, outcome is not None, outcome == code))
        for target, (source, kind) in TARGETS.items():
            gap = (source, "2024-12") in not_covered
            until = dt.datetime.combine(dt.date(2024, 12, 1), dt.time()) if gap else MIDNIGHT
            followed_by = [
                other.started_at
                for other in encounters
                if (other.client_id, other.kind) == (each.client_id, kind) and counts(other, encounters)
            ]
            for name, lasting in WITHIN.items():
                end = each.started_at + lasting
                judged[f"call_then_{target}_{name}", month].append(
                    (
                        each.client_id,
                        each.client_id != NAMELESS and end <= until,
                        any(each.started_at <= at < end for at in followed_by),
                    )
                )
    return {key: tally(contacts) for key, contacts in judged.items()}


def counts(event, encounters):
    """A further ambulance within an hour of the one before is the same incident."""
    return event.kind != "response" or not any(
        other.kind == "response"
        and other.client_id == event.client_id
        and other.encounter_id != event.encounter_id
        and (other.started_at, other.encounter_id) < (event.started_at, event.encounter_id)
        and event.started_at <= other.started_at + HOUR
        for other in encounters
    )


def tally(contacts):
    yes = [person for person, is_followed, is_true in contacts if is_followed and is_true]
    no = [person for person, is_followed, is_true in contacts if is_followed and not is_true]
    return (
        len({*yes, *no}), len(set(yes)), len(set(no)), len(yes), len(yes) + len(no),
        len(contacts) - len(yes) - len(no),
    )  # fmt: skip


def test_a_county_without_crisis_sources_has_no_measures_rather_than_zeros():
    assert counted([visit("v", "2024-05-01", admit_origin="law_enforcement")], further_sources="") == {}


def test_a_declared_source_says_nothing_of_one_that_is_not():
    found = counted([call("k", "2024-05-01")], further_sources="crisis_line")
    assert {measure.split("_")[0] for measure, _ in found} == {"call"}


def test_an_ambulance_at_the_end_of_the_time_is_outside_it():
    for at, seen in (("2024-05-02T07:59", 1), ("2024-05-02T08:00", 0)):
        found = counted([call("k", "2024-05-01T08:00"), response("r", at)])
        assert found["call_then_ems_24_hours", "2024-05"][3:] == (seen, 1, 0)


def test_who_gave_no_name_cannot_be_followed_but_is_counted_by_outcome():
    found = counted([call("k", "2024-05-01", "police")], nameless=["ann"])
    assert found["call_then_booking_7_days", "2024-05"][3:] == (0, 0, 1)
    assert found["call_sent_police", "2024-05"][3:] == (1, 1, 0)


def test_a_mobile_team_and_stabilization_are_judged_by_their_own_columns_and_ends():
    stay = encounter(
        "s", "crisis_stabilization", "stabilization_stay", "2024-05-01", "2024-05-03", brought_by="police"
    )
    still = encounter("t", "crisis_stabilization", "stabilization_stay", "2024-05-09", client_id="bob")
    team = encounter("m", "mobile_crisis", "mobile_response", "2024-05-01", outcome="stabilization")
    found = counted(
        [
            team,
            stay,
            still,
            visit("v", "2024-05-20", admit_origin="law_enforcement"),
            booking("b", "2024-05-03T10:00"),
        ]
    )
    assert found["mobile_response_taken_to_stabilization", "2024-05"][3:] == (1, 1, 0)
    assert found["stabilization_stay_then_booking_24_hours", "2024-05"][3:] == (1, 1, 1)
    assert found["police_dropoff_at_stabilization", "2024-05"][3:] == (1, 2, 0)


def shown(resolved, ambulance):
    calls = [call(f"k{number}", "2024-05-01", client_id=f"c{number}") for number in range(resolved)]
    calls += [
        call(f"a{number}", "2024-05-02", "ambulance", client_id=f"d{number}") for number in range(ambulance)
    ]
    connection = warehouse(calls, further_sources=FURTHER)
    build_up_to(connection, "diversion_measure")
    return dict(
        rows(
            connection,
            "select measure, numerator from diversion_measure "
            "where measure in ('call_resolved_without_dispatch', 'call_handed_to_ems')",
        )
    )


def test_few_of_one_ending_withhold_the_others_of_the_month():
    assert shown(40, 12) == {"call_resolved_without_dispatch": 40, "call_handed_to_ems": 12}
    assert set(shown(40, 5).values()) == {None}


def test_values_of_own_columns_are_details_a_row_each():
    connection = warehouse(
        [call("k", "2024-05-01", channel="text"), visit("v", "2024-05-01")], further_sources=FURTHER
    )
    build_up_to(connection, "encounter_detail")
    assert rows(connection, "select encounter_id, column_name, value from encounter_detail order by all") == [
        ("k", "channel", "text"),
        ("k", "outcome", "resolved_by_phone"),
    ]
