"""Mistakes that others made when they counted use, each told as the story of one person."""

import datetime as dt

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marts.invented import (
    AS_OF,
    Client,
    booking,
    build_up_to,
    encounter,
    night,
    response,
    ride,
    rows,
    stay,
    visit,
    warehouse,
)

MANY = settings(max_examples=40, deadline=None)


def use_of(encounters, *, source, window="12_months", kind=None):
    """(encounters, episodes, days) of the one person in one window, or None."""
    connection = warehouse(encounters)
    build_up_to(connection, "utilization", "utilization_kind")
    table, of_kind = ("utilization_kind", f"and kind = '{kind}'") if kind else ("utilization", "")
    found = rows(
        connection,
        f"select encounters, episodes, days from {table} "
        f"where source = '{source}' and window_name = '{window}' {of_kind}",
    )
    return found[0] if found else None


def reasons(encounters):
    connection = warehouse(encounters)
    build_up_to(connection, "encounter")
    return dict(rows(connection, "select encounter_id, why_not_counted from encounter"))


def episodes(encounters):
    """Encounter ids grouped by episode."""
    connection = warehouse(encounters)
    build_up_to(connection, "encounter")
    found = rows(
        connection,
        "select string_agg(encounter_id, ' ' order by started_at, source, encounter_id) "
        "from encounter group by episode_id",
    )
    return {text for (text,) in found}


def test_people_still_in_custody_do_not_vanish():
    held = [booking("a", "2023-06-01")]
    assert use_of(held, source="jail", window="30_days") == (0, 0, 30.0)
    assert use_of(held, source="jail", window="12_months") == (0, 0, 366.0)
    assert use_of(held, source="jail", window="24_months") == (1, 1, 580.0)


def test_a_release_after_the_as_of_date_is_not_known_yet():
    connection = warehouse([booking("a", "2024-12-31", "2025-01-20")])
    build_up_to(connection, "utilization")
    assert rows(connection, "select ended_at, is_open from encounter") == [(None, True)]
    assert rows(connection, "select distinct days from utilization") == [(1.0,)]


def test_days_are_clipped_to_the_window_at_both_ends():
    stays = [booking("a", "2023-12-25", "2024-01-04"), booking("b", "2024-12-30", "2025-01-09")]
    assert use_of(stays, source="jail", window="12_months") == (1, 1, 3.0 + 2.0)


def test_windows_are_half_open():
    at_start, at_end = booking("a", "2024-01-01", "2024-01-01"), booking("b", "2025-01-01")
    assert use_of([at_start, at_end], source="jail", window="12_months") == (1, 1, 0.0)
    assert use_of([booking("a", "2023-12-31T23:59:59", "2024-01-01")], source="jail") is None


def test_overlapping_stays_are_not_added_twice():
    stays = [
        visit("a", "2024-03-01", "2024-03-11", kind="inpatient"),
        visit("b", "2024-03-05", "2024-03-06", kind="ed"),
        visit("c", "2024-03-08", "2024-03-15", kind="psychiatric"),
    ]
    assert use_of(stays, source="hospital") == (3, 1, 14.0)
    assert use_of(stays, source="hospital", kind="ed") == (1, 1, 1.0)


@pytest.mark.parametrize(
    ("second", "bookings"),
    [
        pytest.param(("2024-03-04T10:00", "2024-03-09"), 1, id="moved at the hour the first location ended"),
        pytest.param(("2024-03-03T10:00", "2024-03-09"), 1, id="two locations overlap"),
        pytest.param(("2024-03-04T15:00", "2024-03-09"), 2, id="released and booked again in the afternoon"),
    ],
)
def test_a_location_change_is_not_a_booking(second, bookings):
    stays = [booking("a", "2024-03-01", "2024-03-04T10:00"), booking("b", *second)]
    assert use_of(stays, source="jail")[1] == bookings


def test_a_release_nobody_recorded_swallows_no_later_booking():
    stays = [booking("a", "2024-02-01"), booking("b", "2024-05-01", "2024-05-03"), booking("c", "2024-07-01")]
    assert use_of(stays, source="jail") == (3, 3, 335.0)


@pytest.mark.parametrize(
    ("run", "reason"),
    [
        pytest.param({"patient_contact": False}, "no_patient_contact", id="cancelled"),
        pytest.param({"patient_contact": None}, "no_patient_contact", id="no contact recorded"),
        pytest.param(
            {"service_requested": "interfacility_transfer"}, "routine_transport", id="between hospitals"
        ),
        pytest.param(
            {"service_requested": "other_transport"}, "routine_transport", id="other routine transport"
        ),
        pytest.param({"service_requested": None}, None, id="service not recorded"),
        pytest.param({}, None, id="an emergency"),
    ],
)
def test_cancelled_ambulance_runs_and_transfers_do_not_count(run, reason):
    assert reasons([response("a", "2024-03-01T10:00", **run)]) == {"a": reason}


def test_several_units_on_one_incident_are_one_response():
    units = [response("engine", "2024-03-01T10:00"), ride("ambulance", "2024-03-01T10:06")]
    later = response("later", "2024-03-01T11:07")
    assert reasons([*units, later]) == {"engine": None, "ambulance": "further_unit", "later": None}
    assert use_of([*units, later], source="ems") == (2, 2, 0.0)


def test_the_unit_that_transports_need_not_be_the_first_on_scene():
    chain = [
        response("engine", "2024-03-01T10:00"),
        ride("ambulance", "2024-03-01T10:06"),
        visit("visit", "2024-03-01T10:40", "2024-03-01T15:00"),
    ]
    assert episodes(chain) == {"engine ambulance visit"}


def test_a_cancelled_unit_does_not_make_the_next_one_a_further_unit():
    assert reasons(
        [response("a", "2024-03-01T10:00", patient_contact=False), ride("b", "2024-03-01T10:05")]
    ) == {
        "a": "no_patient_contact",
        "b": None,
    }


def test_night_by_night_shelters_count_bed_nights_only():
    enrolled = stay("enrolled", "2024-01-01", "2024-12-01", project_type="es_night_by_night")
    nights = [night("n1", "2024-03-01"), night("n2", "2024-03-02"), night("n3", "2024-06-01")]
    assert use_of([enrolled, *nights], source="shelter") == (3, 2, 3.0)


@pytest.mark.parametrize(
    "recorded",
    [
        pytest.param({"day": "2024-03-01"}, id="by day"),
        pytest.param({"day": "2024-03-01", "ended_at": None}, id="without an end"),
        pytest.param({"day": "2024-03-01T20:00", "ended_at": "2024-03-02T06:30"}, id="by the hour"),
    ],
)
def test_a_bed_night_is_one_day_however_it_is_recorded(recorded):
    day = recorded["day"]
    bed = encounter(
        "n",
        "shelter",
        "bed_night",
        day,
        recorded.get("ended_at", "2024-03-02"),
        project_type="es_night_by_night",
    )
    assert use_of([bed], source="shelter") == (1, 1, 1.0)


@pytest.mark.parametrize(
    "project", ["permanent_supportive", "rapid_rehousing", "services_only", "street_outreach"]
)
def test_an_enrollment_that_is_no_shelter_counts_no_nights(project):
    assert use_of([stay("a", "2024-01-05", "2024-12-01", project_type=project)], source="shelter") is None


def test_seven_nights_away_make_a_new_occasion_of_homelessness():
    six_missed = [night("a", "2024-03-01"), night("b", "2024-03-08")]
    seven_missed = [night("a", "2024-03-01"), night("b", "2024-03-09")]
    assert episodes(six_missed) == {"a b"}
    assert episodes(seven_missed) == {"a", "b"}


def test_an_ambulance_ride_the_emergency_visit_and_the_admission_are_one_episode():
    chain = [
        ride("ride", "2024-03-01T10:00"),
        visit("visit", "2024-03-01T10:40", "2024-03-01T18:00", disposition="admitted"),
        visit("admission", "2024-03-01T19:00", "2024-03-06", kind="inpatient", disposition="home"),
        visit("next", "2024-03-06T12:00", "2024-03-06T14:00", disposition="home"),
    ]
    assert episodes(chain) == {"ride visit admission", "next"}
    assert use_of(chain, source="hospital")[1] == 2
    assert use_of(chain, source="hospital", kind="ed")[1] == 2
    assert use_of(chain, source="ems")[1] == 1


@pytest.mark.parametrize(
    ("first", "second", "together"),
    [
        pytest.param(
            {"disposition": "admitted"}, ("2024-03-02T12:00", "inpatient"), True, id="admitted within a day"
        ),
        pytest.param({"disposition": "admitted"}, ("2024-03-02T12:01", "inpatient"), False, id="after a day"),
        pytest.param(
            {"disposition": "home"}, ("2024-03-01T13:00", "inpatient"), False, id="sent home before"
        ),
        pytest.param(
            {"disposition": "admitted"}, ("2024-03-01T13:00", "ed"), False, id="another emergency visit"
        ),
        pytest.param({"disposition": "transferred"}, ("2024-03-01T13:00", "ed"), True, id="transferred"),
        pytest.param(
            {"disposition": None}, ("2024-03-01T13:00", "inpatient"), False, id="disposition not recorded"
        ),
        pytest.param(
            {"disposition": "home"}, ("2024-03-01T11:00", "observation"), True, id="began before it ended"
        ),
    ],
)
def test_a_hospital_stay_continues_a_visit_that_handed_the_patient_on(first, second, together):
    started, kind = second
    pair = [visit("a", "2024-03-01T08:00", "2024-03-01T12:00", **first), visit("b", started, kind=kind)]
    assert (episodes(pair) == {"a b"}) is together


@pytest.mark.parametrize(
    ("known", "arrived", "together"),
    [
        pytest.param({}, "2024-03-02T10:00", True, id="within 24 hours"),
        pytest.param({}, "2024-03-02T10:01", False, id="later than 24 hours"),
        pytest.param({"destination_type": "jail"}, "2024-03-01T10:40", False, id="taken to jail"),
        pytest.param({"transported": False}, "2024-03-01T10:40", False, id="not transported"),
    ],
)
def test_an_ambulance_ride_to_a_hospital_is_one_episode_with_the_visit(known, arrived, together):
    pair = [
        response("a", "2024-03-01T10:00", **{"transported": True, "destination_type": "hospital_ed"} | known)
    ]
    assert (episodes([*pair, visit("b", arrived)]) == {"a b"}) is together


def test_a_long_ambulance_report_does_not_join_two_visits():
    visits = [
        response("report", "2024-03-01T10:00", ended_at="2024-03-01T14:00"),
        visit("a", "2024-03-01T11:00", "2024-03-01T11:30", disposition="home"),
        visit("b", "2024-03-01T13:00", "2024-03-01T13:30", disposition="home"),
    ]
    assert episodes(visits) == {"report", "a", "b"}


def test_outpatient_visits_are_episodes_of_their_own():
    both = [
        visit("a", "2024-03-01T09:00", "2024-03-03"),
        visit("b", "2024-03-02T09:00", kind="outpatient_bh"),
    ]
    assert episodes(both) == {"a", "b"}


def test_an_encounter_delivered_in_several_months_counts_once_as_last_delivered():
    delivered = [
        booking("a", "2024-10-05", None, month="2024-10"),
        booking("a", "2024-10-05", None, month="2024-11"),
        booking("a", "2024-10-05", "2024-12-15", month="2024-12", release_reason="bond"),
    ]
    connection = warehouse(delivered)
    build_up_to(connection, "encounter")
    assert rows(connection, "select ended_at::date, is_open, release_reason from encounter") == [
        (dt.date(2024, 12, 15), False, "bond")
    ]


def test_a_version_that_a_later_delivery_corrected_never_counts_even_where_the_correction_drops_out():
    """The corrected start lies after the as-of date, or the corrected client is not linked: no old row steps in."""
    delivered = [
        booking("later", "2024-10-05", month="2024-10"),
        booking("later", f"{AS_OF}T08:00", month="2024-12"),
        booking("elsewhere", "2024-10-05", month="2024-10"),
        booking("elsewhere", "2024-10-05", month="2024-12", client_id="nobody known"),
        booking("kept", "2024-10-05", month="2024-10"),
    ]
    linked = [Client(source="jail", client_id="ann", person_id="ann")]
    connection = warehouse(delivered, clients=linked)
    build_up_to(connection, "encounter")
    assert rows(connection, "select encounter_id from encounter") == [("kept",)]


@MANY
@given(
    st.lists(
        st.tuples(st.sampled_from("abc"), st.integers(1, 12), st.integers(1, 30), st.booleans()),
        max_size=12,
        unique_by=lambda version: version[:2],
    )
)
def test_redeliveries_leave_one_version_each_as_in_boring_python(versions):
    delivered = [
        booking(
            name, f"2024-12-{day:02d}", f"2025-01-{day:02d}" if ended else None, month=f"2024-{month:02d}"
        )
        for name, month, day, ended in versions
    ]
    connection = warehouse(delivered, as_of=dt.date(2024, 12, 20))
    build_up_to(connection, "encounter")
    latest = {}
    for each in sorted(delivered, key=lambda one: one.month):
        latest[each.encounter_id] = each
    expected = {(name, each.started_at) for name, each in latest.items() if each.started_at.day < 20}
    assert set(rows(connection, "select encounter_id, started_at from encounter")) == expected


def test_the_same_encounter_id_at_two_sources_is_two_encounters():
    connection = warehouse([booking("a", "2024-03-01"), visit("a", "2024-04-01")])
    build_up_to(connection, "encounter")
    assert rows(connection, "select count(*) from encounter") == [(2,)]


def test_nothing_on_or_after_the_as_of_date_is_in():
    assert reasons([booking("a", "2024-12-31T23:59"), booking("b", f"{AS_OF}T00:00")]) == {"a": None}
