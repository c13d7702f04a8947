import itertools
import math
import re

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.optimize import linprog

from pipelines.disclosure import shown_parts
from pipelines.releases.brief import render_brief
from pipelines.releases.brief_figures import Counted, count_exactly, figures
from tests.browser import opened_page

LEAST = 11


@given(st.lists(st.integers(min_value=0, max_value=40), max_size=12), st.integers(min_value=2, max_value=20))
def test_nothing_small_is_shown_or_left_by_subtraction(parts, least):
    shown = shown_parts(parts, least)
    hidden = [part for part, is_shown in zip(parts, shown, strict=True) if not is_shown]
    assert all(part == 0 or part >= least for part, is_shown in zip(parts, shown, strict=True) if is_shown)
    if hidden and any(shown[at] and parts[at] for at in range(len(parts))):
        assert len(hidden) > 1
        assert sum(hidden) >= least


def small_release(people_by_systems):
    """A release of invented people in memory: by systems, how many people met exactly those."""
    con = duckdb.connect()
    con.execute(
        f"""
        create table run_parameter as select date '2026-01-01' as as_of, 'Test County' as county,
            {LEAST} as small_cell_threshold, false as include_minors;
        create table person (person_id varchar, is_minor boolean);
        create table person_crosswalk as
            select source, 'C' || range as client_id, 'P' || range // persons_of as person_id
            from (values ('jail', 2), ('ems', 1)) as clients (source, persons_of), range(40);
        create table utilization (person_id varchar, source varchar, window_name varchar, episodes integer);
        create table cohort_definition as select 'few' as cohort, 'Few' as label, true as coverage_ok
            union all select 'many', 'Many', true union all select 'nearly', 'Nearly as many', true
            union all select 'half', 'Half as many', true;
        create table cohort_membership as
            select 'few' as cohort, true as is_member, 'P' || range as person_id, true as coverage_ok from range(5)
            union all select 'many', true, 'P' || range, true from range(40)
            union all select 'nearly', true, 'P' || range, true from range(36)
            union all select 'half', true, 'P' || range, true from range(20);
        create table encounter_kind as
            select unnest(['booking', 'ed']) as kind, unnest(['jail booking', 'ED visit']) as label;
        create table crisis_transition as
            select 'episodes' as counting, 'booking' as from_kind, 'ed' as to_kind, '3-7 d' as gap, 30 as transitions
            union all select 'episodes', 'booking', 'ed', '7-30 d', 12
            union all select 'episodes', 'ed', 'booking', '7-30 d', null;
        create table stepping_up_measure as
            select 'length_of_stay' as measure, (2021 + month)::varchar as period, 'smi' as smi, 'all' as charge_class,
                if(month = 2, null, 5.5 + month) as value from range(1, 4) as months (month);
        create table linkage_quality as
            select 'estimated_precision' as measure, 'all' as slice, 0.98::double as value, 98.0 as numerator,
                100.0 as denominator
            union all select 'cohort_members', 'many at 0.80', 1.05, 42.0, 40.0;
        """
    ).fetchall()
    number = 0
    for systems, people in people_by_systems.items():
        con.execute(
            f"insert into person select 'P' || range, false from range({number + 1}, {number + people + 1})"
        ).fetchall()
        con.execute(
            "insert into utilization select 'P' || range, unnest(?), '12_months', 1 + range % 7 "
            f"from range({number + 1}, {number + people + 1})",
            [list(systems)],
        ).fetchall()
        number += people
    con.execute("insert into person values ('child', true)").fetchall()
    con.execute("insert into utilization values ('child', 'jail', '12_months', 99)").fetchall()
    return con


PEOPLE = {("jail",): 60, ("ems",): 45, ("ems", "jail"): 20, ("jail", "shelter"): 4, ("ems", "shelter"): 12}


def test_figures_are_what_sql_counts_of_adults():
    con = small_release(PEOPLE)
    found = figures(con)
    assert found["people"] == sum(PEOPLE.values())
    assert {tuple(each["systems"]): each["people"] for each in found["combinations"]} == {
        ("jail",): 60,
        ("ems",): 45,
        ("ems", "jail"): 20,
    }
    assert found["unshown_people"] == 16
    top, share = next(
        (each["people"], each["share"]) for each in found["concentration"] if each["top"] == 0.1
    )
    ((expected,),) = con.execute(
        """
        select sum(contacts) filter (where place <= ?) / sum(contacts) from (
            select sum(episodes) as contacts, row_number() over (order by contacts desc) as place
            from utilization where person_id <> 'child' group by person_id)
        """,
        [top],
    ).fetchall()
    assert share == pytest.approx(expected, abs=0.0005)
    assert [(each["label"], each["members"]) for each in found["cohorts"]] == [
        ("Many", 40),
        ("Nearly as many", None),
        ("Half as many", 20),
        ("Few", None),
    ]
    assert [(each["steps"], each["gaps"]) for each in found["flows"]] == [(42, {"3-7 d": 30, "7-30 d": 12})]
    assert [each["period"] for each in found["trends"]] == ["2022", "2024"]
    assert found["linkage"]["precision"] == 0.98


SYSTEMS = ("ed", "ems", "jail", "shelter")
COMBINATIONS = [
    systems for size in range(1, len(SYSTEMS) + 1) for systems in itertools.combinations(SYSTEMS, size)
]
IN_SO_MANY = {"two_systems": 2, "three_systems": 3}


def release_of(people_by_systems):
    """A release of these people whose cohorts are those of two and of three or more systems."""
    con = small_release(people_by_systems)
    for table in ("cohort_definition", "cohort_membership"):
        con.execute(f"delete from {table}").fetchall()
    for cohort, systems in IN_SO_MANY.items():
        con.execute("insert into cohort_definition values (?, ?, true)", [cohort, cohort]).fetchall()
        con.execute(
            "insert into cohort_membership select ?, true, person_id, true from utilization "
            "where person_id <> 'child' group by person_id having count(*) >= ?",
            [cohort, systems],
        ).fetchall()
    return con


def told_by(number, found):
    """What one brief tells: sums of combinations, by the place of a combination of this brief, and their numbers."""
    places = {systems: (number, systems) for systems in COMBINATIONS}
    sums = [([places[tuple(each["systems"])]], each["people"]) for each in found["combinations"]]
    if found["people"] is not None:
        sums.append((list(places.values()), found["people"]))
    if found["unshown_people"] is not None:
        shown = {tuple(each["systems"]) for each in found["combinations"]}
        sums.append(([places[each] for each in COMBINATIONS if each not in shown], found["unshown_people"]))
    for each in found["cohorts"]:
        if each["members"] is not None:
            of = [places[one] for one in COMBINATIONS if len(one) >= IN_SO_MANY[each["cohort"]]]
            sums.append((of, each["members"]))
    return sums


def learned(briefs, wanted):
    """The least and the most that a sum of combinations can be, by linear programs over what both briefs tell."""
    at = {place: column for column, place in enumerate(itertools.product((0, 1), COMBINATIONS))}
    sums = [each for number, found in enumerate(briefs) for each in told_by(number, found)]
    matrix = [[float(place in of) for place in at] for of, _ in sums]
    goal = [float(wanted.get(place, 0)) for place in at]
    ends = []
    for sign in (1, -1):
        solved = linprog(
            [sign * each for each in goal], A_eq=matrix or None, b_eq=[people for _, people in sums] or None
        )
        assert solved.status in (0, 3), solved.message
        ends.append(sign * solved.fun if solved.status == 0 else -sign * math.inf)
    return ends


people_of = st.sampled_from([0, 0, 1, 5, 11, 12, 20, 40, 90])
changes = st.sampled_from([0, 0, 0, 1, -1, 3, -10, 11, 12, 25, -11])


@settings(max_examples=60, deadline=None)
@given(
    st.lists(people_of, min_size=len(COMBINATIONS), max_size=len(COMBINATIONS)),
    st.lists(changes, min_size=len(COMBINATIONS), max_size=len(COMBINATIONS)),
)
def test_two_briefs_of_one_day_tell_of_nobody_by_subtraction(before, change):
    then = dict(zip(COMBINATIONS, before, strict=True))
    now = {
        systems: max(0, then[systems] + moved) for systems, moved in zip(COMBINATIONS, change, strict=True)
    }
    first, second = release_of(then), release_of(now)
    briefs = [figures(first), figures(second, [count_exactly(first)])]
    for systems in COMBINATIONS:
        for number, counts in enumerate((then, now)):
            if 0 < counts[systems] < LEAST:
                least, most = learned(briefs, {(number, systems): 1})
                assert math.ceil(least - 1e-6) < 1 or most > LEAST - 1 + 1e-6
    listed = {tuple(each["systems"]) for each in briefs[1]["combinations"]}
    little = {systems for systems in COMBINATIONS if 0 < abs(now[systems] - then[systems]) < LEAST}
    hidden = little | {systems for systems in COMBINATIONS if now[systems] and systems not in listed}
    sums = [
        *([systems] for systems in little),
        *(
            [systems for systems in of if len(systems) in sizes]
            for of in (little, hidden)
            for sizes in ((1,), (2,), (3, 4), (2, 3, 4), (1, 2, 3, 4))
        ),
    ]
    for summed in sums:
        if 0 < abs(sum(now[systems] - then[systems] for systems in summed)) < LEAST:
            wanted = {(number, systems): sign for systems in summed for number, sign in ((0, -1), (1, 1))}
            least, most = learned(briefs, wanted)
            assert most - least > 1e-6, "a change by few is not told"


def test_without_the_earlier_brief_in_view_the_change_would_be_told():
    then = dict.fromkeys(COMBINATIONS, 30)
    first, second = release_of(then), release_of({**then, ("jail",): 31})
    wanted = {(1, ("jail",)): 1, (0, ("jail",)): -1}
    assert learned([figures(first), figures(second)], wanted) == pytest.approx([1, 1])
    least, most = learned([figures(first), figures(second, [count_exactly(first)])], wanted)
    assert least < 0 < 2 < most


def test_a_brief_that_withholds_for_another_says_so():
    first, second = release_of(dict.fromkeys(COMBINATIONS, 30)), release_of({("jail",): 30, ("ed",): 29})
    sentence = "another release up to this day shows a count that differs by few"
    assert sentence not in render_brief(second, release_id="2026-01-01-b", earlier=[count_exactly(first)])
    almost = release_of({**dict.fromkeys(COMBINATIONS, 30), ("ed",): 31})
    page = render_brief(almost, release_id="2026-01-01-c", earlier=[count_exactly(first)])
    assert sentence in page
    assert "<dd>withheld</dd>" in page


def test_a_cohort_that_has_changed_by_few_since_a_release_of_the_day_is_withheld():
    con = small_release(PEOPLE)

    def members(**earlier):
        counted = Counted(by_systems=count_exactly(con).by_systems, in_cohort=earlier)
        return {each["label"]: each["members"] for each in figures(con, [counted])["cohorts"]}

    assert members(many=40, half=20, nearly=36)["Many"] == 40
    assert members(many=39, half=20, nearly=36)["Many"] is None
    assert members(many=29, half=9, nearly=36)["Half as many"] == 20
    assert members(many=28, half=9, nearly=36)["Half as many"] is None, "they differ by one more than before"


def test_a_release_in_which_nobody_is_linked_says_so_and_not_that_it_withholds():
    con = small_release(PEOPLE)
    sentence = "No records of different clients could be linked"
    assert sentence not in render_brief(con, release_id="2026-01-01-test")
    con.execute("update person_crosswalk set person_id = source || client_id").fetchall()
    page = render_brief(con, release_id="2026-01-01-test")
    assert sentence in page
    assert "an estimated withheld" not in page


@pytest.mark.parametrize("few", [1, 5, 10])
def test_no_count_of_few_people_is_in_any_figure(few):
    found = figures(small_release({("jail",): 30, ("ems",): few, ("ems", "jail"): few}))
    assert all(each["people"] >= LEAST for each in found["combinations"])
    assert found["unshown_people"] is None or found["unshown_people"] >= LEAST
    steps = [0, *(each["people"] for each in found["concentration"])]
    assert all(after - before >= LEAST for before, after in itertools.pairwise(steps))


def test_the_page_opens_offline_and_prints_on_two_pages(tmp_path):
    file = tmp_path / "brief.html"
    file.write_text(render_brief(small_release(PEOPLE), release_id="2026-01-01-test"), encoding="utf-8")
    with opened_page(file) as (page, asked_for, complaints):
        page.wait_for_function("document.querySelectorAll('[data-chart] svg').length === 5")
        assert asked_for == [file.as_uri()]
        assert complaints == []
        assert page.locator("[src], link, a[href]").count() == 0
        assert "regression to the mean" in page.inner_text("main")
        printed = page.pdf(prefer_css_page_size=True)
    assert len(re.findall(rb"/Type\s*/Page\b", printed)) == 2


def test_a_release_in_which_nobody_can_be_shown_still_gives_a_page():
    assert "withheld" in render_brief(small_release({("jail",): 3}), release_id="2026-01-01-test")
