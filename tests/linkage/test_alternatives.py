"""The ways to cluster that ours is held against do what their names say."""

import networkx
import numpy as np
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.alternatives import WeighedClients, against_probabilities, connected, single_best_links
from linkage.calibration import Calibration

CLIENTS = 8


def weighed(links: dict[tuple[int, int], float], sources: list[str] | None = None) -> WeighedClients:
    names = sources or ["jail"] * CLIENTS
    clients = pl.DataFrame(
        {"source": names, "client_id": [f"c{number}" for number in range(len(names))]}
    ).with_row_index("client")
    pairs = sorted(links)
    return WeighedClients(
        clients=clients.select("source", "client_id", pl.col("client").cast(pl.Int64)),
        a=np.array([a for a, _ in pairs], np.int64),
        b=np.array([b for _, b in pairs], np.int64),
        weight=np.array([links[pair] for pair in pairs], np.float64),
        brought=np.ones(len(pairs), np.bool_),
    )


def sets(labels) -> set[frozenset[int]]:
    return {frozenset(np.flatnonzero(labels == label).tolist()) for label in np.unique(labels)}


pairs_of = st.dictionaries(
    st.tuples(st.integers(0, CLIENTS - 2), st.integers(1, CLIENTS - 1)).filter(
        lambda pair: pair[0] < pair[1]
    ),
    st.integers(-5, 10).map(float),
    min_size=1,
)


@given(pairs_of, st.integers(-5, 10))
def test_connected_components_are_those_of_networkx(links, threshold):
    graph = networkx.Graph()
    graph.add_nodes_from(range(CLIENTS))
    graph.add_edges_from(pair for pair, weight in links.items() if weight >= threshold)
    (found,) = connected(weighed(links), [float(threshold)])
    assert sets(found.labels) == {frozenset(each) for each in networkx.connected_components(graph)}


def test_single_best_links_take_one_record_of_each_source_that_holds_a_person_once():
    links = {(0, 1): 9.0, (0, 2): 5.0, (1, 3): 7.0}
    (found,) = single_best_links(
        weighed(links, ["hospital", "jail", "jail", "shelter"]),
        [0.0],
        duplicate_free=["hospital", "jail", "shelter"],
    )
    assert sets(found.labels) == {frozenset({0, 1, 3}), frozenset({2})}


def test_without_truth_a_pair_counts_at_its_own_probability():
    calibration = Calibration(
        intercept=0.0, slope=1.0, method="none", because="", link_weight=0.0, link_because=""
    )
    everything = weighed({(0, 1): 0.0, (1, 2): 2.0})
    (found,) = connected(everything, [0.0])
    pairs = against_probabilities(everything, found, calibration).pairs
    assert pairs.right == pytest.approx(0.5 + 0.8)
    assert pairs.found == 3  # the pair that was never weighed counts as two people
    assert pairs.true == pytest.approx(1.3)
