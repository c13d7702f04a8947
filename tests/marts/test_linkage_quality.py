"""Impossible lives as a plain reader would count them, and small cells that nobody can work out."""

import datetime as dt

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from pipelines.cohorts import build_cohort_inputs
from pipelines.relations import build, load_relations
from tests.marts.invented import booking, build_up_to, cohort, night, rows, visit, warehouse, withhold_for

THRESHOLD = 11


@pytest.mark.parametrize(
    ("elsewhere", "impossible"),
    [
        pytest.param(night("n", "2024-03-05"), 1, id="a bed night in the midst of a booking"),
        pytest.param(night("n", "2024-03-01"), 0, id="the night of the booking"),
        pytest.param(night("n", "2024-03-10"), 0, id="the night of the release"),
        pytest.param(night("n", "2024-03-11"), 0, id="the night after"),
        pytest.param(
            visit("v", "2024-03-03T08:00", "2024-03-05T08:00", kind="inpatient"),
            1,
            id="admitted while in jail",
        ),
        pytest.param(
            visit("v", "2024-03-03T08:00", "2024-03-04T08:00", kind="inpatient"), 0, id="admitted for one day"
        ),
        pytest.param(
            visit("v", "2024-03-09T20:00", "2024-03-20T08:00", kind="inpatient"), 0, id="admitted on release"
        ),
        pytest.param(
            visit(
                "v", "2024-03-03T08:00", "2024-03-05T08:00", kind="inpatient", admit_origin="law_enforcement"
            ),
            0,
            id="brought from jail",
        ),
        pytest.param(
            visit(
                "v", "2024-03-03T08:00", "2024-03-05T08:00", kind="inpatient", disposition="law_enforcement"
            ),
            0,
            id="brought back to jail",
        ),
    ],
)
def test_in_two_places_at_once(elsewhere, impossible):
    connection = warehouse([booking("b", "2024-03-01T10:00", "2024-03-10T10:00"), elsewhere])
    build_up_to(connection, "impossible_life")
    assert rows(connection, "select sum(encounters), sum(impossible_encounters) from impossible_life") == [
        (1, impossible)
    ]


def test_a_release_nobody_recorded_makes_no_contradiction():
    connection = warehouse([booking("b", "2024-03-01"), night("n", "2024-03-05")])
    build_up_to(connection, "impossible_life")
    assert rows(connection, "from impossible_life") == []


days = st.integers(0, 40).map(lambda day: dt.date(2024, 3, 1) + dt.timedelta(days=day))


@settings(max_examples=25, deadline=None)
@given(
    st.lists(st.tuples(days, st.integers(0, 12)), min_size=1, max_size=4),
    st.lists(days, min_size=1, max_size=12, unique=True),
)
def test_sql_counts_the_nights_that_a_plain_reader_counts(stays, nights):
    bookings = [
        booking(f"b{number}", f"{start}T10:00", f"{start + dt.timedelta(days=length)}T18:00")
        for number, (start, length) in enumerate(stays)
    ]
    connection = warehouse([*bookings, *(night(f"n{day}", str(day)) for day in nights)])
    build_up_to(connection, "impossible_life")
    clashing = {
        day for day in nights for start, length in stays if start < day < start + dt.timedelta(days=length)
    }
    assert rows(connection, "select encounters, impossible_encounters from impossible_life") == [
        (len(nights), len(clashing))
    ]


def published(measures, encounters=None, earlier=()):
    """linkage_quality of these measures: measure, family, slice, numerator, denominator, counts_people."""
    filled = [
        (measure, family, slice_, part / whole if whole else None, part, whole, "A note.", counts)
        for measure, family, slice_, part, whole, counts in measures
    ]
    bookings = [
        booking(f"b{number}", f"2024-0{number}-05", f"2024-0{number}-09", smi=True) for number in range(1, 6)
    ]
    connection = warehouse(encounters or [*bookings, night("n", "2024-06-01")], linkage_measures=filled)
    for name, relation in load_relations().items():
        if name == "cohort_membership":
            build_cohort_inputs(
                connection, [cohort({"count": ["booking"], "at_least": 4, "within_months": 12}, "often")]
            )
        withhold_for(connection, name, earlier)
        build(connection, relation)
    return {
        (measure, slice_): (value, numerator, denominator)
        for measure, slice_, value, numerator, denominator in rows(
            connection, "select measure, slice, value, numerator, denominator from linkage_quality"
        )
    }


NOTHING = (None, None, None)


def test_a_share_of_few_is_withheld_and_a_share_of_enough_is_not():
    found = published(
        [("m", "race_ethnicity", "few", 3, 10, False), ("m", "race_ethnicity", "enough", 3, 11, False)]
    )
    assert found["m", "few"] == NOTHING
    assert found["m", "enough"] == (pytest.approx(3 / 11), 3, 11)


@pytest.mark.parametrize(
    ("people", "withheld"), [(0, False), (1, True), (10, True), (11, False), (90, True), (100, False)]
)
def test_few_people_are_withheld_and_so_are_those_they_leave(people, withheld):
    found = published([("m", "all", "all", people, 100, True)])
    assert (found["m", "all"] == NOTHING) is withheld


def released(folder, shown):
    """The database of a release that showed these rows of linkage_quality: measure, slice, numerator, denominator."""
    database = folder / "familiar_faces.duckdb"
    with duckdb.connect(database) as release:
        release.execute(
            "create table linkage_quality "
            "(measure varchar, slice varchar, value double, numerator double, denominator double)"
        ).fetchall()
        release.executemany("insert into linkage_quality values (?, ?, null, ?, ?)", shown).fetchall()
    return database


@pytest.mark.parametrize(
    ("numerator", "denominator", "withheld"),
    [(50, 100, False), (51, 100, True), (40, 99, True), (50, 110, True), (39, 89, False), (61, 121, True),
     (61, 122, False), (None, None, False)],
)  # fmt: skip
def test_people_who_differ_by_few_from_what_a_release_of_the_same_day_shows_are_withheld(
    numerator, denominator, withheld, tmp_path
):
    before = [
        released(tmp_path, [("m", "all", numerator, denominator), ("n", "all", numerator, denominator)])
    ]
    found = published(
        [("m", "all", "all", 50, 100, True), ("n", "all", "all", 50, 100, False)], earlier=before
    )
    assert (found["m", "all"] == NOTHING) is withheld
    assert found["n", "all"] != NOTHING, "an estimate tells of no person"


def test_what_subtraction_would_tell_is_withheld_as_well():
    found = published(
        [
            ("m", "sex", "sex: F", 30, 40, False),
            ("m", "sex", "sex: M", 40, 60, False),
            ("m", "sex", "sex: X", 2, 4, False),
        ]
    )
    assert {
        slice_ for (measure, slice_), values in found.items() if measure == "m" and values == NOTHING
    } == {
        "sex: F",
        "sex: X",
    }


def test_cohort_counts_are_withheld_together():
    found = published([])
    for measure in ("cohort_members", "cohort_members_entering", "cohort_members_leaving"):
        assert found[measure, "often at 0.80"] == NOTHING


@settings(max_examples=15, deadline=None)
@given(st.lists(st.integers(0, 40), min_size=2, max_size=6))
def test_no_withheld_part_of_a_division_can_be_worked_out(parts):
    found = published([("m", "sex", f"sex: {number}", 0, part, False) for number, part in enumerate(parts)])
    withheld = [part for number, part in enumerate(parts) if found["m", f"sex: {number}"] == NOTHING]
    small = [part for part in parts if 0 < part < THRESHOLD]
    assert all(found["m", f"sex: {number}"] == NOTHING for number, part in enumerate(parts) if part in small)
    others = [part for part in parts if part >= THRESHOLD]
    if small and others:
        assert len(withheld) >= 2
        assert sum(withheld) >= THRESHOLD
    if not small:
        assert withheld == []
