"""Clusters against plain Python, and the promises that clustering makes."""

import random
from dataclasses import replace
from itertools import combinations

import duckdb
import networkx
import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage import clustering
from linkage.calibration import Calibration
from linkage.clustering import average_linkage, cluster
from linkage.evaluation import compare
from linkage.model import Learned, Parameters, comparison, comparisons
from linkage.model_file import Model

LINK_WEIGHT = 4.0


def model_that_links_at(weight: float, *, conflicts_among_matches: float = 0.01) -> Model:
    calibration = Calibration(
        intercept=0.0, slope=1.0, method="none", because="", link_weight=weight, link_because=""
    )
    levels = {
        each.name: {name: Learned(m=0.5, u=0.5) for name in each.level_names().values()}
        for each in comparisons()
    }
    levels["ssn"]["conflict"] = Learned(m=conflicts_among_matches, u=0.9)
    return Model(
        splink_settings={},
        parameters=Parameters(prior=0.001, levels=levels, adjustments={}),
        calibration=calibration,
        training={"complete": True},
    )


def clustered(
    clients, links, *, decisions=None, conflicts=(), untold=(), shuffle_seed=0, model=None, **options
):
    """Clusters, as a set of frozensets, of one-letter clients (source and id at once); `links` maps pairs of
    letters to match weights, all others weigh -20. Of pairs in `untold` nothing but the sex can be compared."""
    ids = {client: number + 1 for number, client in enumerate(clients)}
    pairs = []
    for one in clients:
        for other in clients:
            if one < other:
                weight = links.get(one + other, -20.0)
                gamma = comparison("ssn").number_of("conflict") if one + other in conflicts else -1
                told = -1 if one + other in untold else 0
                pairs.append((ids[one], ids[other], weight, gamma, told))
    random.Random(shuffle_seed).shuffle(pairs)
    with duckdb.connect() as con:
        records = [(number, "jail", client) for client, number in ids.items()]
        random.Random(shuffle_seed).shuffle(records)
        frames = {
            "source_record": pl.DataFrame(
                records, schema=["source_record_id", "source", "client_id"], orient="row"
            ),
            "scored_pair": pl.DataFrame(
                pairs,
                schema=["source_record_id_l", "source_record_id_r", "match_weight", "gamma_ssn", "told"],
                orient="row",
                schema_overrides={"match_weight": pl.Float64},
            ).with_columns(
                pl.lit(0).alias(each.column) if each.name == "sex" else pl.col("told").alias(each.column)
                for each in comparisons()
                if each.name != "ssn"
            ),
        }
        for name, frame in frames.items():
            con.register("frame", frame.to_arrow())
            con.execute(f"create table {name} as select * from frame").fetchall()
            con.unregister("frame")
        decided = None
        if decisions is not None:
            decided = pl.DataFrame(
                [("jail", pair[0], "jail", pair[1], judgement) for pair, judgement in decisions.items()],
                schema=["source_l", "client_id_l", "source_r", "client_id_r", "decision"],
                orient="row",
            )
        report = cluster(con, model or model_that_links_at(LINK_WEIGHT), decisions=decided, **options)
        rows = con.sql("select * from cluster order by all").pl()
        rejected = con.execute(
            "select client_id_l || client_id_r, reason from rejected_union order by all"
        ).fetchall()
    found = {
        name: {frozenset(group.get_column("client_id")) for _, group in rows.group_by(name)}
        for name in ("cluster_id", "cluster_080", "cluster_095", "cluster_099")
    }
    return found, dict(rejected), report


def test_numbers_that_often_contradict_within_one_person_forbid_nothing():
    numbers_full_of_errors = model_that_links_at(LINK_WEIGHT, conflicts_among_matches=0.05)
    found, rejected, _ = clustered("ab", {"ab": 9}, conflicts={"ab"}, model=numbers_full_of_errors)
    assert found["cluster_id"] == {frozenset("ab")}
    assert rejected == {}


def sets(text: str) -> set[frozenset[str]]:
    return {frozenset(word) for word in text.split()}


@pytest.mark.parametrize(
    ("clients", "links", "options", "expected", "rejected"),
    [
        pytest.param("ab", {"ab": 9}, {}, "ab", {}, id="two that match are one person"),
        pytest.param("ab", {"ab": 3.9}, {}, "a b", {}, id="below the link weight nobody is linked"),
        pytest.param("abc", {}, {}, "a b c", {}, id="strangers stay apart"),
        pytest.param("abc", {"ab": 9, "bc": 9, "ac": 9}, {}, "abc", {}, id="a clique is one person"),
        pytest.param(
            "abc",
            {"ab": 9, "bc": 8, "ac": -20},
            {},
            "ab c",
            {"bc": "average_too_low"},
            id="a false bridge is cut",
        ),
        pytest.param(
            "abc", {"ab": 12, "bc": 9, "ac": 0}, {}, "abc", {}, id="a weak pair follows the company it keeps"
        ),
        pytest.param(
            "abc",
            {"ab": 9, "bc": 9},
            {"untold": {"ac"}},
            "abc",
            {},
            id="what cannot be compared speaks neither for nor against",
        ),
        pytest.param(
            "ab", {"ab": 9}, {"untold": {"ab"}}, "a b", {}, id="nobody is linked by what identifies nobody"
        ),
        pytest.param(
            "abcdef",
            {"ab": 12, "bc": 12, "ac": 12, "de": 12, "ef": 12, "df": 12, "cd": 7},
            {},
            "abc def",
            {"cd": "average_too_low"},
            id="one link does not join two lives",
        ),
        pytest.param(
            "abc",
            {"ab": 9, "bc": 8, "ac": 7},
            {"decisions": {"ac": "do_not_link"}},
            "ab c",
            {"bc": "steward_decision"},
            id="a steward keeps two apart and the weaker side yields",
        ),
        pytest.param(
            "ab", {}, {"decisions": {"ab": "link"}}, "ab", {}, id="a steward links whatever the records say"
        ),
        pytest.param(
            "abcd",
            {"ab": 9, "ac": 5, "cd": 9},
            {"decisions": {"bc": "link"}},
            "abc d",
            {"cd": "average_too_low"},
            id="what a steward links comes first and others must fit it",
        ),
        pytest.param(
            "ab",
            {"ab": 9},
            {"conflicts": {"ab"}},
            "a b",
            {"ab": "ssn_conflict"},
            id="two whole numbers contradict",
        ),
        pytest.param(
            "abc",
            {"ab": 9, "bc": 8, "ac": 7},
            {"conflicts": {"ac"}},
            "ab c",
            {"bc": "ssn_conflict"},
            id="a contradiction holds through a third",
        ),
        pytest.param(
            "abc",
            {"ab": 9, "bc": 8, "ac": 7},
            {"max_cluster_size": 2},
            "ab c",
            {"bc": "too_large"},
            id="nobody is more clients than the county allows",
        ),
    ],
)
def test_clusters(clients, links, options, expected, rejected):
    found, why, _ = clustered(clients, links, **options)
    assert found["cluster_id"] == sets(expected)
    assert why == rejected


def test_stricter_thresholds_only_split():
    links = {"ab": 12, "bc": 3, "ac": 3, "de": 5}
    found, _, _ = clustered("abcde", links)
    assert found["cluster_080"] == sets("abc de")  # 2 log2 odds
    assert found["cluster_095"] == sets("ab c de")  # 4.2
    assert found["cluster_099"] == sets("ab c d e")  # 6.6


weights_of_pairs = st.integers(2, 7).flatmap(
    lambda size: st.tuples(
        st.just(size),
        st.lists(
            st.integers(-24, 24) | st.none(), min_size=size * (size - 1) // 2, max_size=size * (size - 1) // 2
        ),
        st.sets(st.tuples(st.integers(0, size - 1), st.integers(0, size - 1)), max_size=3),
        st.integers(2, 8),
    )
)


def in_plain_python(size, weight, forbidden, largest, stop):
    """Average linkage as its docstring says it, one pair of clusters after the other."""
    clusters = [[member] for member in range(size)]
    while True:
        candidates = []
        for i, left in enumerate(clusters):
            for j in range(i + 1, len(clusters)):
                right = clusters[j]
                if len(left) + len(right) > largest or any((a, b) in forbidden for a in left for b in right):
                    continue
                told = [weight[a, b] for a in left for b in right if (a, b) in weight]
                if not told:
                    continue
                average = sum(told) / len(told)
                candidates.append((-average, left[0], right[0], i, j))
        if not candidates or -min(candidates)[0] < stop:
            return {frozenset(each) for each in clusters}
        *_, i, j = min(candidates)
        clusters[i] = sorted(clusters[i] + clusters.pop(j))
        clusters.sort()


@given(weights_of_pairs)
@settings(max_examples=150)
def test_average_linkage_is_that_of_plain_python(case):
    size, listed, barred, largest = case
    weights = np.zeros((1, size, size))
    weight, forbidden = {}, set()
    for (a, b), value in zip(combinations(range(size), 2), listed, strict=True):
        weights[0, a, b] = weights[0, b, a] = np.nan if value is None else value / 2
        if value is not None:
            weight[a, b] = weight[b, a] = value / 2
    bars = np.zeros((1, size, size), np.bool_)
    for a, b in barred:
        if a != b:
            bars[0, a, b] = bars[0, b, a] = True
            forbidden |= {(a, b), (b, a)}
    stops = [1.0, 4.0, -2.0]
    found = average_linkage(weights, np.zeros_like(bars), bars, stops, largest)
    for stop, labels in zip(stops, found, strict=True):
        expected = in_plain_python(size, weight, forbidden, largest, stop)
        assert {
            frozenset(np.flatnonzero(labels[0] == label).tolist()) for label in set(labels[0])
        } == expected


@given(st.integers(0, 2**32 - 1))
@settings(max_examples=15)
def test_the_order_of_rows_changes_nothing(seed):
    dice = random.Random(seed)
    links = {a + b: float(dice.randint(-6, 14)) for a in "abcdefgh" for b in "abcdefgh" if a < b}
    assert clustered("abcdefgh", links)[:2] == clustered("abcdefgh", links, shuffle_seed=seed)[:2]


@given(st.lists(st.sets(st.sampled_from("abcdefghijkl"), min_size=2, max_size=4), max_size=3))
@settings(max_examples=20)
def test_cliques_without_constraints_are_connected_components(cliques):
    graph = networkx.Graph()
    graph.add_nodes_from("abcdefghijkl")
    taken: set[str] = set()
    for clique in cliques:
        members = sorted(clique - taken)
        taken |= clique
        graph.add_edges_from((a, b) for a in members for b in members if a < b)
    found, rejected, _ = clustered("abcdefghijkl", {a + b: 9.0 for a, b in map(sorted, graph.edges)})
    assert found["cluster_id"] == {frozenset(each) for each in networkx.connected_components(graph)}
    assert rejected == {}


def test_a_component_that_is_too_large_is_cut_at_higher_weights_first_and_said_so(monkeypatch):
    monkeypatch.setattr(clustering, "LARGEST_COMPONENT", 3)
    links = {"ab": 9, "bc": 1, "ac": 1, "cd": 9, "de": 1}
    found, _, report = clustered("abcde", links, component_weight=0.0)
    assert found["cluster_id"] == sets("ab cd e")
    assert (report.cut_components, report.largest_component) == (1, 2)


def test_every_pair_inside_a_component_is_weighed(linked_county):
    con = linked_county.con
    unweighed = con.execute(
        """
        with member as (
            select source_record_id, cluster_id, source, client_id
            from source_record inner join cluster using (source, client_id)
        )
        select count(*) from member as l inner join member as r
            on l.cluster_id = r.cluster_id and l.source_record_id < r.source_record_id
        anti join scored_pair
            on source_record_id_l = l.source_record_id and source_record_id_r = r.source_record_id
        where (l.source, l.client_id) <> (r.source, r.client_id)
        """
    ).fetchall()[0][0]
    assert linked_county.clustering.weighed_pairs > 0
    assert unweighed == 0


def test_every_client_is_in_exactly_one_cluster(linked_county):
    clients, rows = linked_county.con.execute(
        "select (select count(*) from (select distinct source, client_id from source_record)), count(*) from cluster"
    ).fetchall()[0]
    assert clients == rows == linked_county.clustering.clients


def test_an_invented_county_is_linked_well(linked_county):
    """Nothing is tuned on this truth; the bars are below what is measured, to catch a broken model."""
    clusters = linked_county.con.sql("select source, client_id, cluster_id as person_id from cluster").pl()
    pairs = compare(clusters.join(linked_county.truth, on=["source", "client_id"])).pairs
    assert pairs.precision > 0.985
    assert pairs.recall > 0.85


def test_clustering_again_gives_the_same(linked_county):
    con = linked_county.con
    before = con.sql("select * from cluster order by all").pl()
    again = cluster(con, linked_county.model)
    assert con.sql("select * from cluster order by all").pl().equals(before)
    assert replace(again, weighed_pairs=0) == replace(linked_county.clustering, weighed_pairs=0)
