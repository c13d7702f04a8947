"""Steps between systems and contacts around jail, against boring Python and as the stories of single people."""

import datetime as dt
import itertools
from collections import defaultdict

from hypothesis import given, settings

from tests.marts import oracle
from tests.marts.invented import booking, build_up_to, night, response, ride, rows, visit, warehouse
from tests.marts.test_marts_against_oracle import PERSON_OF, worlds

DAY = dt.timedelta(days=1)
HOUR = dt.timedelta(hours=1)
BY_DAY = {"bed_night", "stay"}
GAPS = [("0-24 h", 24 * HOUR), ("24-72 h", 72 * HOUR), ("3-7 d", 7 * DAY), ("7-30 d", 30 * DAY)]


@settings(max_examples=60, deadline=None)
@given(worlds())
def test_steps_are_those_of_boring_python(world):
    as_of, encounters = world
    connection = warehouse(encounters, as_of=as_of)
    build_up_to(connection, "crisis_step")
    found = rows(connection, "select counting, from_id, to_id, from_kind, to_kind, gap from crisis_step")
    assert sorted(found) == sorted(boring_steps(encounters, as_of))


def boring_steps(encounters, as_of):
    midnight = dt.datetime.combine(as_of, dt.time())
    begin = dt.datetime.combine(oracle.months_before(as_of, 12), dt.time())
    countable = [
        each for each in oracle.judged_encounters(encounters, PERSON_OF, as_of) if each.reason is None
    ]
    steps = []
    for person in {each.person for each in countable}:
        mine = sorted((each for each in countable if each.person == person), key=lambda each: each.order)
        events = [
            (each.given.encounter_id, each.given.kind, each.given.kind, each.given.started_at, done_at(each))
            for each in mine
        ]
        steps += steps_between("encounters", events, begin)
        of_episode = defaultdict(list)
        for each in mine:
            of_episode[each.episode_id].append(each)
        episodes = []
        for episode_id, parts in of_episode.items():
            ends = [done_at(each) for each in parts]
            ends_known = None if None in ends else max(ends)
            source = min(each.given.source for each in parts)
            begins = parts[0].given.started_at
            episodes.append(
                (begins, source, episode_id, parts[0].given.kind, parts[-1].given.kind, ends_known)
            )
        events = [
            (episode_id, first, last, begins, ends)
            for begins, _, episode_id, first, last, ends in sorted(episodes, key=lambda each: each[:3])
        ]
        steps += steps_between("episodes", events, begin)
    assert all(each.given.started_at < midnight for each in countable)
    return steps


def done_at(each):
    start = each.given.started_at
    if each.given.kind == "bed_night":
        return dt.datetime.combine(start.date(), dt.time()) + DAY
    if each.ended_at is None and each.given.kind in oracle.STAYS:
        return None
    return each.ended_at or start


def steps_between(counting, events, begin):
    steps = []
    for earlier, later in itertools.pairwise(events):
        from_id, _, from_kind, earlier_start, from_at = earlier
        to_id, to_kind, _, to_at, _ = later
        if from_at is None or to_at < begin:
            continue
        unordered = {from_kind, to_kind} & BY_DAY and to_at.date() in (from_at.date(), earlier_start.date())
        gap = next((name for name, most in GAPS if to_at < from_at + most), "over 30 d")
        if to_at < from_at:
            gap = "overlapping"
        steps.append(
            (counting, from_id, to_id, from_kind, to_kind, "same_day_unordered" if unordered else gap)
        )
    return steps


def gaps_of(encounters, counting="encounters"):
    connection = warehouse(encounters)
    build_up_to(connection, "crisis_step")
    return {
        (from_kind, to_kind): gap
        for from_kind, to_kind, gap in rows(
            connection, f"select from_kind, to_kind, gap from crisis_step where counting = '{counting}'"
        )
    }


def test_the_upper_end_of_a_gap_belongs_to_the_next():
    released = booking("a", "2024-05-01T08:00", "2024-05-02T08:00")
    assert gaps_of([released, visit("v", "2024-05-03T07:59")]) == {("booking", "ed"): "0-24 h"}
    assert gaps_of([released, visit("v", "2024-05-03T08:00")]) == {("booking", "ed"): "24-72 h"}
    assert gaps_of([released, visit("v", "2024-06-01T08:00")]) == {("booking", "ed"): "over 30 d"}


def test_a_ride_and_its_visit_are_a_step_of_encounters_and_none_of_episodes():
    lives = [ride("r", "2024-05-01T08:00"), visit("v", "2024-05-01T08:40", "2024-05-01T12:00")]
    assert gaps_of(lives) == {("response", "ed"): "0-24 h"}
    assert gaps_of(lives, "episodes") == {}


def test_nights_and_bookings_of_one_day_are_not_put_in_order():
    lives = [night("n", "2024-05-01"), booking("a", "2024-05-01T14:00", "2024-05-04")]
    assert gaps_of(lives) == {("bed_night", "booking"): "same_day_unordered"}


def test_someone_in_custody_has_gone_nowhere_yet():
    assert gaps_of([booking("a", "2024-05-01"), visit("v", "2024-06-01")]) == {}


def contact(encounters, measure, **options):
    """(numerator, denominator, left_out) of the months that have any."""
    connection = warehouse(encounters, **options)
    build_up_to(connection, "crisis_contact_count")
    return {
        month: tuple(counts)
        for month, *counts in rows(
            connection,
            "select month, numerator, denominator, left_out from crisis_contact_count "
            f"where measure = '{measure}' and denominator + left_out > 0",
        )
    }


def test_contact_after_release_is_counted_to_the_hour():
    released = booking("a", "2024-05-01T08:00", "2024-05-02T08:00")
    for at, seen in (("2024-05-05T07:59", 1), ("2024-05-05T08:00", 0)):
        lives = [released, response("r", at)]
        assert contact(lives, "released_then_ems_72_hours") == {"2024-05": (seen, 1, 0)}
        assert contact(lives, "released_then_either_72_hours") == {"2024-05": (seen, 1, 0)}
        assert contact(lives, "released_then_ed_72_hours") == {"2024-05": (0, 1, 0)}


def test_who_was_released_too_late_to_be_followed_is_left_out():
    assert contact([booking("a", "2024-12-20", "2024-12-25")], "released_then_ed_14_days") == {
        "2024-12": (0, 0, 1)
    }
    assert contact([booking("a", "2024-12-20", "2024-12-25")], "released_then_ed_72_hours") == {
        "2024-12": (0, 1, 0)
    }


def test_a_month_that_one_source_did_not_deliver_is_no_month_without_contact():
    released = booking("a", "2024-05-01", "2024-05-25")
    gap = [("ems", "2024-06")]
    assert contact([released], "released_then_either_14_days", not_covered=gap) == {"2024-05": (0, 0, 1)}
    assert contact([released], "released_then_either_72_hours", not_covered=gap) == {"2024-05": (0, 1, 0)}
    gap = [("hospital", "2024-04")]
    assert contact([released], "booked_after_either_7_days", not_covered=gap) == {"2024-05": (0, 0, 1)}
    assert contact([booking("a", "2024-05-08")], "booked_after_either_7_days", not_covered=gap) == {
        "2024-05": (0, 1, 0)
    }


def test_contact_before_booking_is_counted_back_to_the_hour():
    booked = booking("a", "2024-05-10T08:00")
    assert contact([booked, visit("v", "2024-05-03T08:00")], "booked_after_ed_7_days") == {
        "2024-05": (1, 1, 0)
    }
    assert contact([booked, visit("v", "2024-05-03T07:59")], "booked_after_ed_7_days") == {
        "2024-05": (0, 1, 0)
    }
    assert contact([booked, visit("v", "2024-05-03T07:59")], "booked_after_ed_30_days") == {
        "2024-05": (1, 1, 0)
    }
    assert contact([booked, visit("v", "2024-05-10T08:01")], "booked_after_ed_7_days") == {
        "2024-05": (0, 1, 0)
    }


def test_hand_overs_by_and_to_the_police_are_told_apart():
    lives = [
        visit("v", "2024-05-01", admit_origin="law_enforcement"),
        visit("w", "2024-05-09", disposition="law_enforcement"),
        response("r", "2024-05-20", released_to_law_enforcement=True),
        response("q", "2024-05-25", transported=True, destination_type="jail"),
    ]
    assert contact(lives, "ed_brought_by_police") == {"2024-05": (1, 2, 0)}
    assert contact(lives, "ed_left_to_police") == {"2024-05": (1, 2, 0)}
    assert contact(lives, "ems_handed_to_police") == {"2024-05": (1, 2, 0)}
    assert contact(lives, "ems_taken_to_jail") == {"2024-05": (1, 2, 0)}


def crowd(ems, ed):
    """Forty releases, of which so many are followed by a response and so many others by a visit."""
    lives = [
        booking(f"b{number}", "2024-05-01", "2024-05-02", client_id=f"c{number}") for number in range(40)
    ]
    lives += [response(f"r{number}", "2024-05-03", client_id=f"c{number}") for number in range(ems)]
    lives += [visit(f"v{number}", "2024-05-03", client_id=f"c{39 - number}") for number in range(ed)]
    connection = warehouse(lives)
    build_up_to(connection, "crisis_contact_measure", "crisis_transition")
    return connection


def test_few_of_one_withhold_what_would_give_them_away():
    shown = rows(
        crowd(ems=12, ed=5),
        "select measure, numerator from crisis_contact_measure where month = '2024-05' "
        "and measure like 'released_then%72_hours'",
    )
    assert dict(shown) == {
        "released_then_ems_72_hours": None,
        "released_then_ed_72_hours": None,
        "released_then_either_72_hours": 17,
    }
    shown = rows(
        crowd(ems=12, ed=13),
        "select measure, numerator from crisis_contact_measure where month = '2024-05' "
        "and measure like 'released_then%72_hours'",
    )
    assert dict(shown) == {
        "released_then_ems_72_hours": 12,
        "released_then_ed_72_hours": 13,
        "released_then_either_72_hours": 25,
    }


def test_transitions_of_few_people_are_withheld():
    shown = rows(
        crowd(ems=12, ed=5),
        "select from_kind, to_kind, transitions, people, note from crisis_transition "
        "where counting = 'encounters' order by to_kind",
    )
    assert shown == [
        ("booking", "ed", None, None, "Withheld: few people, or few since it was published."),
        ("booking", "response", 12, 12, None),
    ]


def test_one_person_met_many_times_is_still_one_person():
    lives = [visit(f"p{day}", f"2024-05-{day:02}", admit_origin="law_enforcement") for day in range(1, 15)]
    lives += [visit(f"v{number}", "2024-05-20", client_id=f"c{number}") for number in range(40)]
    connection = warehouse(lives)
    build_up_to(connection, "crisis_contact_measure")
    shown = rows(
        connection,
        "select numerator, denominator from crisis_contact_measure where measure = 'ed_brought_by_police'",
    )
    assert shown == [(None, None)]
