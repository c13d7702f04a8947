"""Cases for stewards: what is asked, in which order, and that every weight shown is the weight there is."""

import datetime as dt
import math
import re

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.encoding.columns import FILTER_COLUMNS, TOKEN_COLUMNS, TOKEN_LIST_COLUMNS
from linkage.model import comparison
from linkage.review_cases import (
    IMPOSSIBLE_LIVES,
    LARGE_CLUSTER,
    LARGE_IN_ONE_SOURCE,
    PAIR,
    SHARES,
    CaseKind,
    ReviewCases,
    _room,
    find_review_cases,
)
from pipelines.relations import load_relations

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
    con.execute(
        "create or replace temp table encounter as "
        "select seen_frame.*, 'p' || cluster_id as person_id, true as is_countable "
        "from seen_frame inner join cluster using (source, client_id)"
    ).fetchall()
    con.unregister("seen_frame")
    # Both the desk and the published measure rest on this relation.
    impossible = load_relations()["impossible_pair"]
    con.execute(f"create or replace temp table impossible_pair as {impossible.query}").fetchall()
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
    other_source = {"booking": "jail", "bed_night": "shelter", "inpatient": "hospital", "response": "ems"}[
        of_other[0]
    ]
    jail_id, other_id = linked_county.con.execute(
        """
        select l.client_id, r.client_id
        from cluster as l inner join cluster as r using (cluster_id)
        where l.source = 'jail' and r.source = ? and (l.source <> r.source or l.client_id < r.client_id)
        order by all limit 1
        """,
        [other_source],
    ).fetchall()[0]
    jail, other = ("jail", jail_id), (other_source, other_id)

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


def test_every_contradiction_has_a_sentence_for_the_steward():
    query = load_relations()["impossible_pair"].query
    assert set(re.findall(r"'(\w+)' as contradiction", query)) == set(IMPOSSIBLE_LIVES)


def weakest_linked_pair(con, cluster_id):
    """By plain loops: of the scored pairs of clients inside a cluster, each by its strongest records, the weakest."""
    strongest = {}
    for l_source, l_client, r_source, r_client, weight in con.execute(
        """
        select l.source, l.client_id, r.source, r.client_id, match_weight
        from scored_pair
        inner join source_record as l on l.source_record_id = source_record_id_l
        inner join source_record as r on r.source_record_id = source_record_id_r
        """
    ).fetchall():
        pair = tuple(sorted([(l_source, l_client), (r_source, r_client)]))
        strongest[pair] = max(weight, strongest.get(pair, weight))
    members = set(
        con.execute("select source, client_id from cluster where cluster_id = ?", [cluster_id]).fetchall()
    )
    inside = {
        pair: weight for pair, weight in strongest.items() if set(pair) <= members and len(set(pair)) == 2
    }
    return min(inside, key=lambda pair: (inside[pair], pair))


@pytest.mark.parametrize(
    ("source", "clients", "is_large"),
    [
        pytest.param("jail", LARGE_IN_ONE_SOURCE + 1, True, id="too many of one register"),
        pytest.param("jail", LARGE_IN_ONE_SOURCE, False, id="as many as an agency may register"),
        pytest.param("ems", LARGE_IN_ONE_SOURCE + 1, False, id="ambulance rides"),
        pytest.param("ems", LARGE_CLUSTER + 1, True, id="too many ambulance rides"),
    ],
)
def test_a_cluster_larger_than_people_are_is_a_case_of_its_weakest_pair(
    linked_county, source, clients, is_large
):
    con = linked_county.con
    con.execute("create or replace temp table kept_cluster as from cluster").fetchall()
    try:
        # Every cluster is taken apart, and one is put together of clients that were compared with each other.
        con.execute(
            "update cluster set cluster_id = 1000000 + numbered.number from (select source, client_id, "
            "row_number() over (order by source, client_id) as number from cluster) as numbered "
            "where (cluster.source, cluster.client_id) = (numbered.source, numbered.client_id)"
        ).fetchall()
        for member_source, member in compared_clients(con, source, clients):
            con.execute(
                "update cluster set cluster_id = -1 where source = ? and client_id = ?",
                [member_source, member],
            ).fetchall()
        found = cases_of(linked_county, queue_size=100_000).cases.filter(
            pl.col("kind") == CaseKind.LARGE_CLUSTER
        )
        assert found.height == is_large
        if is_large:
            (case,) = found.iter_rows(named=True)
            shown = ((case["source_l"], case["client_id_l"]), (case["source_r"], case["client_id_r"]))
            assert tuple(sorted(shown)) == weakest_linked_pair(con, -1)
            assert "larger than people are" in case["reason"]
            assert case["linked"]
    finally:
        con.execute("delete from cluster").fetchall()
        con.execute("insert into cluster from kept_cluster").fetchall()


def compared_clients(con, source, clients):
    """So many clients of a source, two of them at least compared with each other."""
    ((first, second),) = con.execute(
        """
        select l.client_id, r.client_id
        from scored_pair
        inner join source_record as l on l.source_record_id = source_record_id_l
        inner join source_record as r on r.source_record_id = source_record_id_r
        where l.source = ? and r.source = ? and l.client_id <> r.client_id
        order by match_weight desc, l.client_id, r.client_id limit 1
        """,
        [source, source],
    ).fetchall()
    others = con.execute(
        "select client_id from cluster where source = ? and client_id not in (?, ?) order by client_id limit ?",
        [source, first, second, clients - 2],
    ).fetchall()
    return [(source, client) for client in (first, second, *(each for (each,) in others))]
