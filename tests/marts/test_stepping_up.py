"""The measures of Stepping Up, against boring Python and as the stories of single people."""

import datetime as dt
import statistics
from collections import defaultdict

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marts import oracle
from tests.marts.invented import Encounter, booking, build_up_to, encounter, rows, visit, warehouse

DAY = dt.timedelta(days=1)
AS_OF = dt.date(2025, 1, 1)
REASONS = ["new_charge", "probation_violation", "parole_violation", "warrant_fta", "weekender", None]
CLIENTS = ("ann", "bob", "cal")
PERSON_OF = {(source, client): client for source in ("jail", "hospital", "ems") for client in CLIENTS}
NOT_RELEASED_TO_COMMUNITY = ("to_prison", "to_other_agency", "died")
COVERED_FROM = dt.date(2021, 1, 1)
YEARS = range(2021, 2025)
PERIODS = [f"{year}-{month:02}" for year in YEARS for month in range(1, 13)] + [f"{year}" for year in YEARS]
MEASURES = [
    *("bookings", "people_booked", "screened", "assessed", "length_of_stay"),
    *(f"connected_{days}_days" for days in (7, 14, 30)),
    *(
        f"rebooked_{months}_months_{kind}"
        for months in (12, 24, 36)
        for kind in ("any", "new_charge", "technical")
    ),
]


@st.composite
def jailed_lives(draw):
    """Bookings and visits of three people: chains, open stays, releases on the edge of every window."""
    encounters = []
    for number in range(draw(st.integers(1, 14))):
        if encounters and draw(st.booleans()):
            near = draw(st.sampled_from(encounters))
            started = (near.ended_at or near.started_at) + draw(
                st.sampled_from(
                    [-DAY, 0 * DAY, DAY / 24, 6 * DAY, 7 * DAY, 8 * DAY, 30 * DAY, 31 * DAY, 365 * DAY]
                )
            )
        else:
            started = (
                dt.datetime.combine(AS_OF, dt.time())
                - draw(st.integers(0, 1200)) * DAY
                + draw(st.sampled_from([0, 9])) * DAY / 24
            )
        hours = draw(st.sampled_from([None, 0, 5, 24, 40 * 24]))
        is_booking = draw(st.sampled_from([True, True, False]))
        assessed = draw(st.sampled_from([None, True, False]))
        encounters.append(
            Encounter(
                encounter_id=f"{number:02}",
                source="jail" if is_booking else "hospital",
                kind="booking" if is_booking else draw(st.sampled_from(["outpatient_bh", "ed"])),
                started_at=started,
                ended_at=None if hours is None else started + hours * DAY / 24,
                client_id=draw(st.sampled_from(CLIENTS)),
                smi=assessed if is_booking else None,
                own={
                    "booking_reason": draw(st.sampled_from(REASONS)),
                    "release_reason": draw(st.sampled_from(["ror", "to_prison", "died", None])),
                    "charge_class": draw(st.sampled_from(["F", "M", None])),
                    "smi_screen": draw(st.sampled_from(["positive", "negative", "not_screened", None])),
                    "smi_assessed": assessed,
                }
                if is_booking
                else {},
            )
        )
    return encounters


@settings(max_examples=60, deadline=None)
@given(jailed_lives(), st.sets(st.sampled_from(["2023-02", "2024-03", "2024-12"])))
def test_every_measure_counts_as_boring_python_does(encounters, not_delivered):
    gaps = [(source, month) for source in ("jail", "hospital") for month in not_delivered]
    connection = warehouse(encounters, as_of=AS_OF, covered_from=COVERED_FROM, not_covered=gaps)
    build_up_to(connection, "stepping_up_count")
    found = {
        row[:4]: row[4:]
        for row in rows(
            connection,
            "select measure, period, smi, charge_class, people, numerator, denominator, left_out, "
            "mean_days, median_days from stepping_up_count",
        )
    }
    assert found == expected_counts(encounters, not_delivered)


def stays_of(encounters):
    """Custody episodes in boring Python."""
    grouped = defaultdict(list)
    for each in oracle.judged_encounters(encounters, PERSON_OF, AS_OF):
        if each.given.kind == "booking":
            grouped[each.episode_id].append(each)
    stays = []
    for episode, parts in grouped.items():
        parts.sort(key=lambda each: each.order)
        own = [each.given.own for each in parts]
        reasons = [each["booking_reason"] for each in own if each["booking_reason"]]
        ends = [each["release_reason"] for each in own if each["release_reason"]]
        charges = {each["charge_class"] for each in own}
        stays.append(
            {
                "episode": episode,
                "person": parts[0].person,
                "booked": parts[0].given.started_at,
                "released": None
                if any(each.ended_at is None for each in parts)
                or max(each.ended_at for each in parts).date() >= AS_OF
                else max(each.ended_at for each in parts),
                "reason": reasons[0] if reasons else None,
                "ended": ends[-1] if ends else None,
                "charge": "F" if "F" in charges else "M" if "M" in charges else "unknown",
                "screened": any(each["smi_screen"] in ("positive", "negative") for each in own),
                "positive": any(each["smi_screen"] == "positive" for each in own),
                "assessed": any(each["smi_assessed"] is not None for each in own),
                "found": any(each["smi_assessed"] for each in own),
            }
        )
    for stay in stays:
        stay["smi"] = any(
            other["found"]
            for other in stays
            if other["person"] == stay["person"] and other["booked"] <= stay["booked"]
        )
    return stays


def expected_counts(encounters, not_delivered):
    def month_of(moment):
        return moment.strftime("%Y-%m")

    def followed(start, until):
        """Whether every month from the one of `start` to the day `until` is covered and past."""
        months = {month_of(start.date() + number * DAY) for number in range((until - start.date()).days)}
        return until <= AS_OF and not (months | {month_of(start)}) & not_delivered

    stays = stays_of(encounters)
    seen = []  # measure, period, smi, charge, person, followed, true, days

    def count(measure, month, stay, is_followed, is_true, days=None):
        if month not in not_delivered:
            for period in (month, month[:4]):
                count_in(period, measure, stay, is_followed, is_true, days)

    def count_in(period, measure, stay, is_followed, is_true, days=None):
        seen.append(
            (measure, period, stay["smi"], stay["charge"], stay["person"], is_followed, is_true, days)
        )

    def periods_of(moment):
        month = month_of(moment)
        return () if month in not_delivered else (month, month[:4])

    for stay in stays:
        booked = month_of(stay["booked"])
        count("bookings", booked, stay, True, stay["smi"])
        count("screened", booked, stay, True, stay["screened"])
        if stay["positive"]:
            count("assessed", booked, stay, True, stay["assessed"])
        if stay["released"] is None:
            count("length_of_stay", booked, stay, False, False)
        else:
            days = (stay["released"] - stay["booked"]).total_seconds() / 86400
            count("length_of_stay", month_of(stay["released"]), stay, True, True, days)
    booked_in = {(s["person"], period) for s in stays for period in periods_of(s["booked"])}
    for person, period in booked_in:
        of_period = [s for s in stays if s["person"] == person and period in periods_of(s["booked"])]
        latest = max(of_period, key=lambda s: s["booked"])
        count_in(period, "people_booked", latest, True, latest["smi"])
    out = [s for s in stays if s["released"] and s["ended"] not in NOT_RELEASED_TO_COMMUNITY]
    services = [e for e in encounters if e.kind == "outpatient_bh" and e.started_at.date() < AS_OF]
    for stay in out:
        for days in (7, 14, 30):
            until = stay["released"].date() + (days + 1) * DAY
            served = any(
                e.client_id == stay["person"]
                and stay["released"] <= e.started_at < dt.datetime.combine(until, dt.time())
                for e in services
            )
            count(
                f"connected_{days}_days",
                month_of(stay["released"]),
                stay,
                followed(stay["released"], until),
                served,
            )
    for person, period in {(s["person"], period) for s in out for period in periods_of(s["released"])}:
        first = min(
            (s for s in out if s["person"] == person and period in periods_of(s["released"])),
            key=lambda s: (s["released"], s["episode"]),
        )
        for months in (12, 24, 36):
            until = oracle.months_before(first["released"].date(), -months)
            for kind, wanted in (
                ("any", lambda reason: reason not in ("weekender", "transfer_in")),
                ("new_charge", lambda reason: reason == "new_charge"),
                ("technical", lambda reason: reason in ("probation_violation", "parole_violation")),
            ):
                again = any(
                    s["person"] == person
                    and first["released"] < s["booked"] < dt.datetime.combine(until, dt.time())
                    and wanted(s["reason"])
                    for s in stays
                )
                until_then = followed(first["released"], until)
                count_in(period, f"rebooked_{months}_months_{kind}", first, until_then, again)
    grouped = defaultdict(list)
    for each in seen:
        measure, period, smi, charge = each[:4]
        for key in (
            (measure, period, "all", "all"),
            (measure, period, "smi" if smi else "other", "all"),
            (measure, period, "all", charge),
        ):
            grouped[key].append(each)
    none = (0, 0, 0, 0, None, None)
    expected = {
        (measure, period, smi, "all"): (None,) * 6 if period in not_delivered else none
        for measure in MEASURES
        for period in PERIODS
        for smi in ("all", "smi", "other")
    }
    for key, members in grouped.items():
        if key[1] not in PERIODS:
            continue
        kept = [each for each in members if each[5]]
        days = [each[7] for each in kept if each[7] is not None]
        expected[key] = (
            len({each[4] for each in kept}),
            sum(each[6] for each in kept),
            len(kept),
            len(members) - len(kept),
            pytest.approx(statistics.fmean(days), abs=1e-4) if days else None,
            pytest.approx(statistics.median(days), abs=1e-4) if days else None,
        )
    return expected


def measure_of(encounters, measure, **options):
    """(numerator, denominator, left_out) over all people, by month; months with neither are left away."""
    connection = warehouse(encounters, **options)
    build_up_to(connection, "stepping_up_count")
    return {
        month: tuple(counts)
        for month, *counts in rows(
            connection,
            "select period, numerator, denominator, left_out from stepping_up_count where length(period) = 7 "
            f"and measure = '{measure}' and smi = 'all' and charge_class = 'all' and denominator + left_out > 0",
        )
    }


def test_an_emergency_visit_is_no_connection_to_care():
    released = booking("a", "2024-03-01", "2024-03-05")
    assert measure_of([released, visit("v", "2024-03-06")], "connected_7_days") == {"2024-03": (0, 1, 0)}
    seen = visit("v", "2024-03-12T23:59", kind="outpatient_bh")
    assert measure_of([released, seen], "connected_7_days") == {"2024-03": (1, 1, 0)}
    too_late = visit("v", "2024-03-13", kind="outpatient_bh")
    assert measure_of([released, too_late], "connected_7_days") == {"2024-03": (0, 1, 0)}


def test_a_month_without_hospital_data_is_not_taken_for_no_care():
    released = booking("a", "2024-03-01", "2024-03-29")
    gap = [("hospital", "2024-04")]
    assert measure_of([released], "connected_7_days", not_covered=gap) == {"2024-03": (0, 0, 1)}


def test_a_county_may_say_that_other_contacts_connect():
    lives = [booking("a", "2024-03-01", "2024-03-05"), visit("v", "2024-03-06", kind="psychiatric")]
    assert measure_of(lives, "connected_7_days") == {"2024-03": (0, 1, 0)}
    connected = measure_of(lives, "connected_7_days", connected_by=("outpatient_bh", "psychiatric"))
    assert connected == {"2024-03": (1, 1, 0)}


def test_a_clinic_that_is_declared_connects_where_the_county_says_so():
    seen = encounter("c", "behavioral_health_clinic", "clinic_visit", "2024-03-06", service="medication")
    lives = [booking("a", "2024-03-01", "2024-03-05"), seen]
    declared = {"further_sources": "behavioral_health_clinic,court"}
    assert measure_of(lives, "connected_7_days", **declared) == {"2024-03": (0, 1, 0)}
    connected = measure_of(
        lives, "connected_7_days", connected_by=("outpatient_bh", "clinic_visit"), **declared
    )
    assert connected == {"2024-03": (1, 1, 0)}


def test_people_still_in_custody_have_no_length_of_stay_yet():
    lives = [booking("a", "2024-03-01"), booking("b", "2024-03-02", "2024-03-12", client_id="bob")]
    assert measure_of(lives, "length_of_stay") == {"2024-03": (1, 1, 1)}


def test_a_violation_of_probation_is_no_new_charge():
    lives = [
        booking("a", "2023-03-01", "2023-03-05", booking_reason="new_charge"),
        booking("b", "2023-06-01", "2023-06-05", booking_reason="probation_violation"),
    ]
    assert measure_of(lives, "rebooked_12_months_any")["2023-03"] == (1, 1, 0)
    assert measure_of(lives, "rebooked_12_months_new_charge")["2023-03"] == (0, 1, 0)
    assert measure_of(lives, "rebooked_12_months_technical")["2023-03"] == (1, 1, 0)


def test_a_hospital_diagnosis_does_not_make_a_booking_one_of_a_person_with_smi():
    lives = [visit("v", "2024-02-01", kind="psychiatric", smi=True), booking("a", "2024-03-01", "2024-03-05")]
    assert measure_of(lives, "bookings") == {"2024-03": (0, 1, 0)}


@pytest.mark.parametrize("few", [1, 5, 10])
def test_a_few_people_with_smi_cannot_be_found_by_subtraction(few):
    lives = [
        booking(f"{number}", "2024-03-01", "2024-03-05", client_id=f"c{number}", smi_assessed=number < few)
        for number in range(40)
    ]
    connection = warehouse(lives)
    build_up_to(connection, "stepping_up_measure")
    shown = rows(
        connection,
        "select smi, numerator, denominator from stepping_up_measure "
        "where measure = 'length_of_stay' and period = '2024-03' and charge_class = 'all' order by smi",
    )
    assert shown == [("all", 40, 40), ("other", None, None), ("smi", None, None)]


def test_enough_people_are_shown():
    lives = [
        booking(f"{number}", "2024-03-01", "2024-03-05", client_id=f"c{number}", smi_assessed=number < 15)
        for number in range(40)
    ]
    connection = warehouse(lives)
    build_up_to(connection, "stepping_up_measure")
    shown = rows(
        connection,
        "select value, numerator, denominator, note from stepping_up_measure "
        "where measure = 'people_booked' and period = '2024-03' and smi = 'all' and charge_class = 'all'",
    )
    assert shown == [(0.375, 15, 40, None)]


def test_a_year_does_not_give_away_its_one_withheld_month():
    lives = [
        booking(
            f"{month}-{number}", f"2023-{month:02}-05", f"2023-{month:02}-06", client_id=f"c{month}-{number}"
        )
        for month in range(1, 13)
        for number in range(5 if month == 7 else 20)
    ]
    connection = warehouse(lives)
    build_up_to(connection, "stepping_up_measure")
    shown = dict(
        rows(
            connection,
            "select period, denominator from stepping_up_measure where measure = 'length_of_stay' and smi = 'all' "
            "and charge_class = 'all' and period like '2023%'",
        )
    )
    assert shown["2023-07"] is None
    assert shown["2023"] is None
    assert shown["2023-06"] == 20


def test_a_year_of_small_months_is_shown():
    lives = [
        booking(
            f"{month}-{number}", f"2023-{month:02}-05", f"2023-{month:02}-06", client_id=f"c{month}-{number}"
        )
        for month in range(1, 13)
        for number in range(5)
    ]
    connection = warehouse(lives)
    build_up_to(connection, "stepping_up_measure")
    shown = rows(
        connection,
        "select denominator, value, months, note from stepping_up_measure where measure = 'length_of_stay' "
        "and smi = 'all' and charge_class = 'all' and period = '2023'",
    )
    assert shown == [(60, 1.0, 12, None)]


def test_a_month_that_the_jail_did_not_deliver_is_marked_and_a_month_without_bookings_is_zero():
    connection = warehouse(
        [booking("a", "2024-03-01", "2024-03-05")],
        covered_from=dt.date(2024, 1, 1),
        not_covered=[("jail", "2024-02")],
    )
    build_up_to(connection, "stepping_up_measure")
    shown = rows(
        connection,
        "select period, months, denominator, left_out, note from stepping_up_measure "
        "where period in ('2024-01', '2024-02') "
        "and measure = 'length_of_stay' and smi = 'all' and charge_class = 'all' order by period",
    )
    assert shown == [
        ("2024-01", 1, 0, 0, None),
        ("2024-02", 0, None, None, "The jail delivered nothing of this period."),
    ]
    marked = "select count(*) from stepping_up_measure where period = '2024-02' and note is not null"
    assert rows(connection, marked) == [(3 * len(MEASURES),)]


def test_a_change_of_location_or_a_second_charge_is_no_second_booking():
    moved = [
        booking("a", "2024-03-01", "2024-03-05", charge_class="M"),
        booking("b", "2024-03-05", "2024-03-20", charge_class="F"),
    ]
    assert measure_of(moved, "bookings") == {"2024-03": (0, 1, 0)}
    assert measure_of(moved, "rebooked_12_months_any", as_of=dt.date(2025, 6, 1)) == {"2024-03": (0, 1, 0)}
    connection = warehouse(moved)
    build_up_to(connection, "stepping_up_count")
    lasting = (
        "select charge_class, mean_days, median_days from stepping_up_count "
        "where measure = 'length_of_stay' and denominator > 0 and smi = 'all' and period = '2024-03' order by all"
    )
    assert rows(connection, lasting) == [("F", 19.0, 19.0), ("all", 19.0, 19.0)]


@pytest.mark.parametrize("ended_at", ["2025-01-01", "2025-01-09", None])
def test_a_release_on_or_after_the_as_of_date_is_not_seen_yet(ended_at):
    held = [booking("a", "2024-12-20", ended_at, release_reason="ror")]
    assert measure_of(held, "length_of_stay") == {"2024-12": (0, 0, 1)}
    assert measure_of(held, "connected_7_days") == {}


@pytest.mark.parametrize("reason", NOT_RELEASED_TO_COMMUNITY)
def test_who_went_to_prison_or_another_agency_or_died_was_not_released_to_the_community(reason):
    lives = [booking("a", "2023-03-01", "2023-03-05", release_reason=reason)]
    assert measure_of(lives, "connected_30_days") == {}
    assert measure_of(lives, "rebooked_12_months_any") == {}
    assert measure_of(lives, "length_of_stay") == {"2023-03": (1, 1, 0)}


def test_a_weekender_does_not_return_to_jail_every_week():
    lives = [
        booking("a", "2023-03-01", "2023-03-05"),
        booking("b", "2023-03-10", "2023-03-12", booking_reason="weekender"),
    ]
    assert measure_of(lives, "rebooked_12_months_any") == {"2023-03": (0, 1, 0)}


def test_minors_are_in_no_measure_unless_the_county_includes_them():
    lives = [booking("a", "2024-03-01", "2024-03-05")]
    assert measure_of(lives, "bookings", birth_year=2010) == {}
    assert measure_of(lives, "bookings", birth_year=2010, include_minors=True) == {"2024-03": (0, 1, 0)}


def test_few_left_out_cannot_be_found_by_subtraction():
    lives = [
        booking(
            f"{number}",
            "2024-03-01",
            None if number % 10 == 0 else "2024-03-05",
            client_id=f"c{number}",
            smi_assessed=number < 40,
        )
        for number in range(160)
    ]
    connection = warehouse(lives)
    build_up_to(connection, "stepping_up_measure")
    shown = rows(
        connection,
        "select smi, denominator, left_out from stepping_up_measure "
        "where measure = 'length_of_stay' and period = '2024-03' and charge_class = 'all' order by smi",
    )
    assert shown == [("all", 144, 16), ("other", 108, None), ("smi", 36, None)]


def test_a_year_does_not_give_away_the_few_left_out_of_one_month():
    lives = [
        booking(
            f"{month}-{number}",
            f"2023-{month:02}-05",
            None if number < (3 if month == 7 else 12) else f"2023-{month:02}-06",
            client_id=f"c{month}-{number}",
        )
        for month in (6, 7, 8)
        for number in range(40)
    ]
    connection = warehouse(lives)
    build_up_to(connection, "stepping_up_measure")
    shown = dict(
        rows(
            connection,
            "select period, left_out from stepping_up_measure where measure = 'length_of_stay' and smi = 'all' "
            "and charge_class = 'all' and period in ('2023', '2023-06', '2023-07')",
        )
    )
    assert shown == {"2023": None, "2023-06": 12, "2023-07": None}
