"""Screens for outreach review: each published rule as a story of one person; homelessness against boring Python."""

import datetime as dt

from hypothesis import given, settings
from hypothesis import strategies as st

from tests.marts.invented import booking, build_up_to, night, rows, stay, visit, warehouse

DAY = dt.timedelta(days=1)
AS_OF = dt.date(2025, 1, 1)


def screened(encounters, **options):
    """The one person's programs and reasons."""
    connection = warehouse(encounters, **options)
    build_up_to(connection, "program_screen")
    return dict(rows(connection, "select program, reasons from program_screen"))


def on(days_before):
    return (AS_OF - days_before * DAY).isoformat()


def test_two_admissions_with_smi_in_a_year_screen_for_act():
    twice = [visit(f"{day}", on(day), on(day - 3), kind="inpatient", smi=True) for day in (300, 100)]
    assert screened(twice) == {
        "act": "serious mental illness recorded in 24 months; 2 admissions with it in 12 months"
    }
    assert screened(twice[1:]) == {}


def test_a_transfer_between_hospitals_is_one_admission():
    moved = [
        visit("a", on(100), on(97), kind="inpatient", smi=True, disposition="transferred"),
        visit("b", on(97), on(90), kind="psychiatric", smi=True),
    ]
    assert screened(moved) == {}


def test_three_bookings_in_a_year_with_smi_screen_for_fact():
    bookings = [booking(f"{day}", on(day), on(day - 3)) for day in (350, 300, 250)]
    assert screened(bookings) == {}
    with_smi = [*bookings, visit("v", on(600), smi=True)]
    assert (
        screened(with_smi)["fact"] == "serious mental illness recorded in 24 months; 3 bookings in 12 months"
    )
    long_ago = [*bookings, visit("v", on(800), smi=True)]
    assert screened(long_ago) == {}


def test_a_year_in_shelter_with_a_disabling_condition_screens_for_supportive_housing():
    year = stay("s", on(380), None, disabling_condition=True)
    assert screened([year]) == {
        "supportive_housing": "disabling condition recorded by a shelter; "
        "homeless for 380 days without a break of seven nights"
    }
    assert screened([stay("s", on(380), None)]) == {}
    assert screened([stay("s", on(360), None, disabling_condition=True)]) == {}
    assert screened([stay("s", on(500), on(100), disabling_condition=True)]) == {}


def test_a_short_stay_in_jail_does_not_break_homelessness_and_a_long_one_does():
    def life(jailed):
        return [
            stay("s", on(400), on(200), disabling_condition=True),
            booking("j", on(200), on(200 - jailed)),
            stay("t", on(200 - jailed), None, disabling_condition=True),
        ]

    assert "homeless for 400 days" in screened(life(60))["supportive_housing"]
    assert screened(life(95)) == {}


def test_four_occasions_of_a_year_in_all_screen_for_supportive_housing():
    occasions = [
        stay(f"{day}", on(day), on(day - 95), disabling_condition=True) for day in (900, 700, 500, 120)
    ]
    assert "4 occasions in 36 months, 380 days" in screened(occasions)["supportive_housing"]
    assert screened(occasions[1:]) == {}


def test_a_release_without_care_screens_for_reentry_until_care_is_seen():
    released = booking("a", on(60), on(50), smi_assessed=True, smi=True)
    assert list(screened([released])) == ["reentry"]
    assert screened([released, visit("v", on(21), kind="outpatient_bh")]) == {}
    assert "reentry" in screened([released, visit("v", on(19), kind="outpatient_bh")])
    assert "reentry" not in screened([released, booking("b", on(5))])
    assert screened([booking("a", on(60), on(20), smi_assessed=True, smi=True)]) == {}


def test_no_care_is_said_of_nobody_while_a_source_of_care_is_missing():
    released = booking("a", on(60), on(50), smi_assessed=True, smi=True)
    assert list(screened([released])) == ["reentry"]
    assert screened([released], not_covered=[("hospital", "2024-11")]) == {}
    assert screened([released], not_covered=[("hospital", "2024-12")]) == {}
    assert list(screened([released], not_covered=[("hospital", "2024-10"), ("ems", "2024-12")])) == [
        "reentry"
    ]


def test_both_illnesses_screen_for_integrated_treatment_and_the_row_says_what_it_rests_on():
    connection = warehouse([visit("v", on(300), smi=True), visit("w", on(200), sud=True)])
    build_up_to(connection, "program_screen")
    assert rows(connection, "select program, rests_on_sud from program_screen") == [
        ("integrated_treatment", True)
    ]


def test_minors_are_in_no_screen():
    lives = [visit("v", on(300), smi=True, sud=True)]
    assert screened(lives, birth_year=2010) == {}
    assert screened(lives, birth_year=2010, include_minors=True).keys() == {"integrated_treatment"}


@st.composite
def homeless_lives(draw):
    """Nights, shelter stays, and stays in jail and hospital of one person, on whole days."""
    encounters, at = [], 1100
    for number in range(draw(st.integers(1, 12))):
        at -= draw(st.sampled_from([-3, 0, 1, 5, 6, 7, 8, 30, 200]))
        lasting = draw(st.sampled_from([1, 3, 30, 89, 90, 120, None]))
        kind = draw(st.sampled_from(["night", "shelter", "shelter", "jail", "hospital"]))
        day = min(max(at, 1), 1100)
        end = None if lasting is None else on(max(day - lasting, 0))
        name = f"{number:02}"
        encounters.append(
            night(name, on(day))
            if kind == "night"
            else stay(name, on(day), end)
            if kind == "shelter"
            else booking(name, on(day), end)
            if kind == "jail"
            else visit(name, on(day), end, kind="psychiatric")
        )
        at -= (lasting or 1) if kind != "night" else 1
    return encounters


@settings(max_examples=80, deadline=None)
@given(homeless_lives())
def test_occasions_of_homelessness_are_those_of_boring_python(encounters):
    connection = warehouse(encounters)
    build_up_to(connection, "homeless_spell")
    found = rows(
        connection,
        "select started_at, ended_at, round(days, 4), round(days_in_last_36_months, 4) from homeless_spell",
    )
    assert sorted(found) == sorted(boring_spells(encounters))


def boring_spells(encounters):
    midnight = dt.datetime.combine(AS_OF, dt.time())
    shelter_days, other = set(), []
    for each in encounters:
        end = each.ended_at if each.ended_at is not None else midnight
        days = {each.started_at + number * DAY for number in range(max((end - each.started_at).days, 0))}
        if each.source == "shelter":
            shelter_days |= days
        elif (end - each.started_at).days < 90:
            other.append((each.started_at, end))
    if not shelter_days:
        return []
    # Intervals in order of their start; a place is reached from what ended less than seven days before.
    intervals = []
    for day in sorted(shelter_days):
        if intervals and intervals[-1][1] == day:
            intervals[-1][1] = day + DAY
        else:
            intervals.append([day, day + DAY])
    places = {}
    for start, end, is_shelter in [(*i, True) for i in intervals] + [(*i, False) for i in other]:
        known = places.get(start, (start, False))
        places[start] = (max(known[0], end), known[1] or is_shelter)
    spells, reached = [], None
    for start in sorted(places):
        end, is_shelter = places[start]
        if reached is None or start >= reached + 7 * DAY:
            spells.append([])
        spells[-1].append((start, end, is_shelter))
        reached = end if reached is None else max(reached, end)
    window = dt.datetime.combine(dt.date(2022, 1, 1), dt.time())
    found = []
    for spell in spells:
        begins = [start for start, _, is_shelter in spell if is_shelter]
        if not begins:
            continue
        kept = [(start, end) for start, end, _ in spell if start >= begins[0]]
        covered = {
            start + number * DAY for start, end in kept for number in range(max((end - start).days, 0))
        }
        # what an earlier place of the spell already covers is not added again
        before = {
            start + number * DAY
            for start, end, _ in spell
            if start < begins[0]
            for number in range(max((end - start).days, 0))
        }
        days = covered - before
        found.append(
            (
                begins[0],
                max(end for _, end in kept),
                float(len(days)),
                float(len([day for day in days if day >= window])),
            )
        )
    return found
