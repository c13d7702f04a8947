"""Handovers: which runs and visits go together, by the times of both, once those who are recognised are told apart."""

import random
from dataclasses import dataclass, replace
from datetime import timedelta

import duckdb
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.handover import HANDOVER_COLUMNS, find_trials
from linkage.records import build_source_record
from linkage.source import declared_sources
from tests.linkage.invented import (
    NEW_YEAR,
    Delivered,
    Encounter,
    Identity,
    load,
    load_encounters,
    write_encounters,
)

SOURCES = list(declared_sources().values())
NAMELESS = Identity(first_name=None, last_name=None, birth_date=None, sex="U")
MARIA = Identity(first_name="maria", last_name="okafor", birth_date="1971-03-09", sex="F")
ROBERT = Identity(first_name="robert", last_name="montgomery", birth_date="1980-04-05", sex="M")


@dataclass(frozen=True)
class Contact:
    """A client of one encounter: a run that ends or a visit that begins so many minutes into the year."""

    client_id: str
    minute: int
    who: Identity = NAMELESS
    told: bool = True

    def encounter(self) -> Encounter:
        return Encounter(
            client_id=self.client_id, at=NEW_YEAR + timedelta(minutes=self.minute), told=self.told
        )


def handovers(con, runs, visits):
    """By kind, the pairs (run's client, visit's client) that share a token, and the trials."""
    rows = [Delivered(source="ems", client_id=each.client_id, identity=each.who) for each in runs]
    rows += [Delivered(source="hospital", client_id=each.client_id, identity=each.who) for each in visits]
    load(con, rows)
    write_encounters(con, [each.encounter() for each in runs], [each.encounter() for each in visits])
    build_source_record(con, SOURCES)
    known = {
        (row[0], row[1]): name
        for name, row in zip(
            [row.client_id for row in rows],
            [
                con.execute("select ?, md5(?)", [row.source, f"{row.source}|{row.client_id}"]).fetchall()[0]
                for row in rows
            ],
            strict=True,
        )
    }
    find_trials(con, SOURCES, "standard")
    trials = con.execute("select client_id_l, client_id_r, is_alone from handover_trial").fetchall()
    found = {
        "trial": {(known["ems", left], known["hospital", right]) for left, right, _ in trials},
        "trial_alone": {
            (known["ems", left], known["hospital", right]) for left, right, alone in trials if alone
        },
    }
    for column in HANDOVER_COLUMNS:
        pairs = con.execute(
            f"""
            with told as (select distinct source, client_id, unnest({column}) as token from source_record)
            select l.client_id, r.client_id from told as l inner join told as r using (token)
            where l.source = 'ems' and r.source = 'hospital'
            """
        ).fetchall()
        found[column.removeprefix("handover_").removesuffix("tokens").strip("_") or "all"] = {
            (known["ems", left], known["hospital", right]) for left, right in pairs
        }
    return found


def test_a_run_that_ends_as_somebody_arrives_is_a_handover(con):
    found = handovers(con, [Contact("run", 60)], [Contact("visit", 48, MARIA)])
    assert found["all"] == found["alone"] == {("run", "visit")}


@pytest.mark.parametrize(
    ("run", "visit"),
    [
        pytest.param(Contact("run", 60), Contact("visit", 19, MARIA), id="the visit began long before"),
        pytest.param(Contact("run", 60), Contact("visit", 71, MARIA), id="the visit began long after"),
        pytest.param(Contact("run", 60, told=False), Contact("visit", 50, MARIA), id="the run took nobody"),
        pytest.param(Contact("run", 60), Contact("visit", 50, MARIA, told=False), id="who came by foot"),
        pytest.param(
            Contact("run", 60, replace(NAMELESS, sex="M")), Contact("visit", 50, MARIA), id="another sex"
        ),
    ],
)
def test_what_is_no_handover(con, run, visit):
    assert handovers(con, [run], [visit])["all"] == set()


def test_two_who_arrive_at_once_are_among_several(con):
    found = handovers(con, [Contact("run", 60)], [Contact("a", 48, MARIA), Contact("b", 50, ROBERT)])
    assert found["all"] == {("run", "a"), ("run", "b")}
    assert found["alone"] == set()


def test_who_is_recognised_leaves_the_other_to_the_nameless(con):
    runs = [Contact("of maria", 61, MARIA), Contact("nameless", 60)]
    found = handovers(con, runs, [Contact("a", 48, MARIA), Contact("b", 50, ROBERT)])
    assert found["all"] == found["alone"] == {("of maria", "a"), ("nameless", "b")}


def test_the_latest_version_of_an_encounter_counts(con):
    load(
        con,
        [
            Delivered(source="ems", client_id="run", identity=NAMELESS),
            Delivered(source="hospital", client_id="visit", identity=MARIA),
        ],
    )
    at = NEW_YEAR + timedelta(hours=1)
    first = Encounter(client_id="run", at=at, encounter_id="e")
    visit = Encounter(client_id="visit", at=at)
    for runs, expected in (
        ([first], True),
        ([first, replace(first, told=False, month="2024-02")], False),
        ([replace(first, told=False), replace(first, month="2024-02")], True),
    ):
        write_encounters(con, runs, [visit])
        build_source_record(con, SOURCES)
        told = con.execute("select count(handover_tokens) from source_record").fetchall()[0][0]
        assert told == (2 if expected else 0)


def test_without_encounters_nobody_is_handed_over(con):
    load(con, [Delivered(source="ems", client_id="run", identity=NAMELESS)])
    build_source_record(con, SOURCES)
    columns = ", ".join(f"count({column})" for column in HANDOVER_COLUMNS)
    assert con.execute(f"select {columns} from source_record").fetchall() == [(0, 0)]
    find_trials(con, SOURCES, "standard")
    assert con.execute("select count(*) from handover_trial").fetchall() == [(0,)]


def in_plain_python(runs, visits):
    """The four sets, as the module's sentences have them."""

    def recognised(run, visit):
        return run.who.birth_date is not None and run.who.birth_date == visit.who.birth_date

    pairs = [
        (run, visit)
        for run in runs
        for visit in visits
        if -40 <= visit.minute - run.minute <= 10
        and ("U" in (run.who.sex, visit.who.sex) or run.who.sex == visit.who.sex)
    ]

    def fitting(claims):
        left = [
            (run, visit)
            for run, visit in pairs
            if (run, visit) in claims or not any(run is claim[0] or visit is claim[1] for claim in claims)
        ]
        alone = [
            (run, visit)
            for run, visit in left
            if sum(run is other for other, _ in left) == 1 and sum(visit is other for _, other in left) == 1
        ]
        return left, alone

    claims = [pair for pair in pairs if recognised(*pair)]
    found, alone = fitting(claims)
    trials, trials_alone = [], []
    for run in runs:
        if run.who.birth_date is None:
            continue
        # As if this run had said nothing, and nobody else's run were any less known.
        left, _ = fitting([claim for claim in claims if claim[0] is not run])
        of_run = [pair for pair in left if pair[0] is run]
        trials += of_run
        rivals = [
            other for other, visit in left if other is not run and any(visit is mine for _, mine in of_run)
        ]
        if len(of_run) == 1 and not rivals:
            trials_alone += of_run
    names = [
        [(run.client_id, visit.client_id) for run, visit in each]
        for each in (found, alone, trials, trials_alone)
    ]
    return dict(zip(("all", "alone", "trial", "trial_alone"), map(set, names), strict=True))


whoever = st.builds(
    lambda birth_date, sex: replace(NAMELESS, birth_date=birth_date, sex=sex),
    st.sampled_from([None, None, "1971-03-09", "1980-04-05", "1990-06-07", "1955-12-30"]),
    st.sampled_from(["U", "F", "M"]),
)
connection = duckdb.connect(config={"threads": 1})


@given(
    st.lists(st.tuples(st.integers(0, 150), whoever), min_size=1, max_size=6),
    st.lists(st.tuples(st.integers(0, 150), whoever), min_size=1, max_size=6),
)
@settings(max_examples=60, deadline=None)
def test_handovers_are_those_of_plain_python(runs, visits):
    runs = [Contact(f"run {number}", *each) for number, each in enumerate(runs)]
    visits = [Contact(f"visit {number}", *each) for number, each in enumerate(visits)]
    assert handovers(connection, runs, visits) == in_plain_python(runs, visits)


def test_the_order_of_rows_changes_nothing(con):
    dice = random.Random(3)
    people = [
        Identity(first_name=None, last_name=None, birth_date=f"19{50 + number}-03-04", sex="U")
        for number in range(30)
    ]
    rows = [
        Delivered(source=source, client_id=f"{number}", identity=who, truth_id=number)
        for number, who in enumerate(people)
        for source in ("ems", "hospital")
    ]
    columns = ", ".join(("source_record_id", *HANDOVER_COLUMNS))
    made = []
    for _ in range(2):
        load(con, rows)
        load_encounters(con, rows)
        build_source_record(con, SOURCES)
        made.append(con.execute(f"select {columns} from source_record order by all").fetchall())
        dice.shuffle(rows)
    assert made[0] == made[1]
    assert any(row[1] for row in made[0])
