"""Cases for stewards: what is asked, in which order, and that every weight shown is the weight there is."""

import datetime as dt
import math

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.encoding.columns import FILTER_COLUMNS, TOKEN_COLUMNS, TOKEN_LIST_COLUMNS
from linkage.model import comparison
from linkage.review_cases import PAIR, SHARES, CaseKind, ReviewCases, _room, find_review_cases

QUEUE = 60
SEEN = {
    "source": pl.String,
    "client_id": pl.String,
    "encounter_id": pl.String,
    "kind": pl.String,
    "started_at": pl.Datetime,
    "ended_at": pl.Datetime,
    "is_open": pl.Boolean,
    "is_stay": pl.Boolean,
    "disposition": pl.String,
    "admit_origin": pl.String,
    "release_reason": pl.String,
}


def at(day, hour=12):
    return dt.datetime(2025, 3, 1, hour) + dt.timedelta(days=day)  # noqa: DTZ001  (local, no zone)


def seen(client, kind, started_at, ended_at, **known):
    source, client_id = client
    stays = {"bed_night", "booking", "inpatient"}
    return {
        "source": source,
        "client_id": client_id,
        "encounter_id": f"{client_id}-{kind}-{started_at}",
        "kind": kind,
        "started_at": started_at,
        "ended_at": ended_at,
        "is_open": False,
        "is_stay": kind in stays,
    } | known


def cases_of(linked_county, encounters=(), **options) -> ReviewCases:
    con = linked_county.con
    con.register("seen_frame", pl.DataFrame(list(encounters), schema=SEEN).to_arrow())
    con.execute("create or replace temp table encounter as select * from seen_frame").fetchall()
    con.unregister("seen_frame")
    asked = {"link_weight": linked_county.clustering.link_weight, "queue_size": QUEUE, **options}
    return find_review_cases(con, linked_county.model, **asked)


@pytest.fixture(scope="module")
def found(linked_county):
    return cases_of(linked_county)


def test_a_queue_has_its_size_and_no_pair_twice(found):
    assert found.cases.height == QUEUE
    assert found.cases["position"].to_list() == list(range(1, QUEUE + 1))
    assert found.cases.select(PAIR).is_unique().all()
    assert found.cases["case_id"].is_unique().all()
    for source_l, client_id_l, source_r, client_id_r in found.cases.select(PAIR).iter_rows():
        assert (source_l, client_id_l) < (source_r, client_id_r)


def test_the_same_tables_give_the_same_queue(linked_county, found):
    again = cases_of(linked_county)
    assert again.cases.equals(found.cases)
    assert again.evidence.equals(found.evidence)


def test_what_is_shown_adds_up_to_the_weight_that_linkage_used(linked_county, found):
    parts = found.evidence.group_by("case_id").agg(pl.col("match_weight").sum().alias("parts"))
    summed = found.cases.join(parts, on="case_id")
    assert summed.height == QUEUE
    off = (summed["parts"] + found.prior_weight - summed["unadjusted_match_weight"]).abs().max()
    assert off < 1e-9
    weights = {
        (row[0], row[1], row[2], row[3]): row[4]
        for row in linked_county.con.execute(
            """
            select l.source, l.client_id, r.source, r.client_id, max(match_weight)
            from scored_pair
            inner join source_record as l on l.source_record_id = source_record_id_l
            inner join source_record as r on r.source_record_id = source_record_id_r
            group by all
            """
        ).fetchall()
    }
    for *pair, weight in found.cases.select(*PAIR, "match_weight").iter_rows():
        either_way = [weights.get(tuple(pair)), weights.get((*pair[2:], *pair[:2]))]
        scored = max(each for each in either_way if each is not None)
        assert weight == pytest.approx(scored, abs=1e-9)


def test_rare_names_carry_their_share_and_levels_their_sentence(found):
    rated = found.evidence.filter(pl.col("share").is_not_null())
    assert set(rated["level"]) == {"equal"}
    assert rated["share"].is_between(0, 1, closed="right").all()
    for name, level, says in found.evidence.select("comparison", "level", "says").unique().iter_rows():
        assert says == next(each.says for each in comparison(name).levels if each.name == level)


def test_nothing_of_an_identity_is_among_what_is_shown(linked_county, found):
    columns = {
        column
        for frame in (found.cases, found.evidence, found.encounters, found.companions)
        for column in frame.columns
    }
    assert not columns & {*TOKEN_COLUMNS, *TOKEN_LIST_COLUMNS, *FILTER_COLUMNS, "birth_year", "sex", "zip3"}
    shown = {
        str(value) for frame in (found.cases, found.evidence) for row in frame.iter_rows() for value in row
    }
    tokens = {
        str(token)
        for column in ("first_name_token", "last_name_token", "birth_date_token", "ssn_token")
        for (token,) in linked_county.con.execute(f"select distinct {column} from source_record").fetchall()
        if token is not None
    }
    assert not shown & tokens


def test_information_is_doubt_times_what_another_answer_would_move(linked_county):
    clients = linked_county.con.execute("select source, client_id from cluster order by all").fetchall()
    encounters = [seen(clients[n % len(clients)], "response", at(n % 9), at(n % 9)) for n in range(4_000)]
    found = cases_of(linked_county, encounters)
    per_cluster = dict(
        linked_county.con.execute(
            "select cluster_id, count(*) from cluster join encounter using (source, client_id) group by all"
        ).fetchall()
    )
    cluster_of = {
        (source, client_id): cluster_id
        for source, client_id, cluster_id in linked_county.con.execute(
            "select source, client_id, cluster_id from cluster"
        ).fetchall()
    }
    apart = found.cases.filter((pl.col("kind") == "borderline") & ~pl.col("linked"))
    assert apart.height > 5
    for row in apart.iter_rows(named=True):
        sides = [
            per_cluster.get(cluster_of[row[f"source_{side}"], row[f"client_id_{side}"]], 0) for side in "lr"
        ]
        p = row["match_probability"]
        doubt = -p * math.log2(p) - (1 - p) * math.log2(1 - p)
        assert row["affected"] == max(1, min(sides))
        assert row["information"] == pytest.approx(doubt * max(1, min(sides)))


def test_settled_pairs_are_left_out_and_wanted_ones_come_first(linked_county, found):
    settled, wanted = found.cases.head(10).select(PAIR), found.cases.tail(2).select(PAIR)
    again = cases_of(linked_county, settled=settled, wanted=wanted)
    assert again.cases.join(settled, on=PAIR).is_empty()
    assert again.cases.head(2)["kind"].to_list() == [CaseKind.SECOND_REVIEW] * 2
    assert sorted(again.cases.head(2).select(PAIR).rows()) == sorted(wanted.rows())


@pytest.mark.parametrize(
    ("of_jail", "of_other", "says"),
    [
        pytest.param(
            ("booking", at(0), at(9), {}),
            ("bed_night", at(4, 0), None, {}),
            "slept in a shelter",
            id="bed night",
        ),
        pytest.param(
            ("booking", at(3), at(9), {}),
            ("inpatient", at(0), at(6), {}),
            "hospital bed",
            id="admitted in custody",
        ),
        pytest.param(
            ("booking", at(0), at(2), {"release_reason": "died"}),
            ("response", at(30), at(30), {}),
            "having died",
            id="seen after death",
        ),
        pytest.param(
            ("booking", at(0), at(9), {}), ("booking", at(4), at(12), {}), "in custody", id="two custodies"
        ),
        pytest.param(
            ("booking", at(0), at(4, 20), {}), ("bed_night", at(4, 0), None, {}), None, id="released that day"
        ),
        pytest.param(
            ("booking", at(3), at(9), {}),
            ("inpatient", at(4), at(6), {"admit_origin": "law_enforcement"}),
            None,
            id="taken from custody",
        ),
        pytest.param(
            ("booking", at(0), at(2), {}), ("booking", at(2), at(4), {}), None, id="one after the other"
        ),
    ],
)
def test_a_life_that_cannot_be_is_a_case(linked_county, of_jail, of_other, says):
    ((_, jail_id, source, other_id),) = linked_county.con.execute(
        """
        select cluster_id, any_value(l.client_id), any_value(r.source), any_value(r.client_id)
        from cluster as l inner join cluster as r using (cluster_id)
        where l.source = 'jail' and r.source = 'shelter' group by all having count(*) = 1 order by all limit 1
        """
    ).fetchall()
    jail, other = ("jail", jail_id), (source, other_id)

    def of(client, kind, started_at, ended_at, known):
        if kind == "bed_night":
            ended_at = started_at + dt.timedelta(hours=8)
        return seen(client, kind, started_at, ended_at, **known)

    encounters = [of(jail, *of_jail), of(other, *of_other)]
    found = cases_of(linked_county, encounters)
    impossible = found.cases.filter(pl.col("kind") == CaseKind.IMPOSSIBLE_LIFE)
    if says is None:
        assert impossible.is_empty()
        return
    (case,) = impossible.iter_rows(named=True)
    assert says in case["reason"]
    assert case["linked"]
    assert {(case["source_l"], case["client_id_l"]), (case["source_r"], case["client_id_r"])} == {jail, other}
    shown = found.encounters.filter(pl.col("case_id") == case["case_id"])
    assert sorted(shown["kind"]) == sorted(each["kind"] for each in encounters)


@given(
    st.fixed_dictionaries({kind: st.integers(0, 50) for kind in SHARES}),
    st.integers(min_value=1, max_value=80),
)
def test_a_queue_is_full_where_there_is_enough_and_no_kind_is_crowded_out(cases, queue_size):
    taken = _room(cases, queue_size)
    assert sum(taken.values()) == min(queue_size, sum(cases.values()))
    for kind, share in SHARES.items():
        assert min(cases[kind], int(share * queue_size)) <= taken[kind] <= cases[kind]
