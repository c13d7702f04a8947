"""Other ways to make clusters of the same weighed pairs, to hold ours against.

Connected components link whatever hangs together; Splink's single best links join two clusters that are each
other's best, with at most one record from each source that is said to hold no person twice. Both look only at
pairs that a blocking rule brought, as Splink does. Nothing here decides anything about a person: it makes the
columns of a table in the report and the benchmark.
"""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

import duckdb
import numpy as np
import numpy.typing as npt
import polars as pl
from duckdb import DuckDBPyConnection
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from linkage.calibration import Calibration
from linkage.evaluation import Agreement
from linkage.scoring import WITHIN_COMPONENT
from linkage.source import declared_sources

Integers = npt.NDArray[np.int64]
Weights = npt.NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class WeighedClients:
    """Clients numbered by source and client_id, and their weighed pairs: a < b, the strongest match weight of
    their records and whether a blocking rule brought them."""

    clients: pl.DataFrame
    a: Integers
    b: Integers
    weight: Weights
    brought: npt.NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class Clustering:
    """One way to cluster at one threshold: the clusters' numbers in the order of the clients."""

    method: str
    threshold: float
    labels: Integers


@dataclass(frozen=True, kw_only=True)
class MethodResult:
    """How one clustering does: pairs of clients right, found and true (or, without truth, expected to be)."""

    method: str
    threshold: float
    clusters: int
    largest: int
    pairs: Agreement


def weighed_clients(con: DuckDBPyConnection) -> WeighedClients:
    """The clients of `source_record` and their pairs in `scored_pair`."""
    numbered = "select source, client_id, row_number() over (order by source, client_id) - 1 as client"
    clients = con.sql(
        f"{numbered} from (select distinct source, client_id from source_record) order by client"
    ).pl()
    pairs = con.execute(
        f"""
        with numbered as ({numbered} from (select distinct source, client_id from source_record)),
        record as (select source_record_id, client from source_record inner join numbered using (source, client_id))
        select least(l.client, r.client) as a, greatest(l.client, r.client) as b, max(match_weight) as weight,
            bool_or(blocking_rule <> '{WITHIN_COMPONENT}') as brought
        from scored_pair
        inner join record as l on l.source_record_id = source_record_id_l
        inner join record as r on r.source_record_id = source_record_id_r
        where l.client <> r.client
        group by 1, 2 order by 1, 2
        """
    ).fetchnumpy()
    return WeighedClients(
        clients=clients,
        a=np.asarray(pairs["a"], np.int64),
        b=np.asarray(pairs["b"], np.int64),
        weight=np.asarray(pairs["weight"], np.float64),
        brought=np.asarray(pairs["brought"], np.bool_),
    )


def labels_of(weighed: WeighedClients, clusters: pl.DataFrame, column: str) -> Integers:
    """The clusters of a table of source, client_id and `column`, in the order of the clients."""
    joined = weighed.clients.join(clusters, on=["source", "client_id"], how="left", maintain_order="left")
    return joined.get_column(column).rank("dense").to_numpy().astype(np.int64)


def connected(weighed: WeighedClients, thresholds: Sequence[float]) -> list[Clustering]:
    """Connected components of the pairs that reach each threshold."""
    found = []
    nodes = weighed.clients.height
    for threshold in thresholds:
        kept = weighed.brought & (weighed.weight >= threshold)
        graph = coo_array(
            (np.ones(int(kept.sum()), np.int8), (weighed.a[kept], weighed.b[kept])), shape=(nodes, nodes)
        )
        _, labels = connected_components(graph, directed=False)
        found.append(
            Clustering(method="connected components", threshold=threshold, labels=labels.astype(np.int64))
        )
    return found


def single_best_links(
    weighed: WeighedClients, thresholds: Sequence[float], *, duplicate_free: Sequence[str] | None = None
) -> list[Clustering]:
    """Splink's `cluster_using_single_best_links` on the pairs that reach each threshold.

    `duplicate_free` are the sources said to hold each person once; by default those whose client ids last,
    which is what a user of Splink would say of them. The method knows no other constraint.
    """
    from splink import DuckDBAPI, Linker, SettingsCreator
    from splink.comparison_library import ExactMatch

    sources = weighed.clients.get_column("source").unique().sort().to_list()
    lasting = [
        name
        for name in sources
        if name not in declared_sources() or declared_sources()[name].client_id_is_stable
    ]
    once = list(lasting if duplicate_free is None else duplicate_free)
    source = weighed.clients.get_column("source").to_numpy()
    found = []
    kept = weighed.brought & (weighed.weight >= min(thresholds))
    paired = np.unique(np.concatenate([weighed.a[kept], weighed.b[kept]]))
    with duckdb.connect() as con:
        # Splink's time grows with the square of the clients, so those without a pair stay out: they stay alone.
        nodes = weighed.clients.filter(pl.col("client").is_in(paired.tolist())).select(
            "client", pl.col("source").alias("source_dataset"), pl.lit(1).alias("nothing")
        )
        con.register("node_frame", nodes.to_arrow())
        con.execute("create table node as from node_frame").fetchall()
        edges = pl.DataFrame(
            {
                "client_l": weighed.a[kept],
                "client_r": weighed.b[kept],
                "source_dataset_l": source[weighed.a[kept]],
                "source_dataset_r": source[weighed.b[kept]],
                "match_weight": weighed.weight[kept],
                "match_probability": 1 / (1 + np.exp2(-weighed.weight[kept])),
            }
        )
        con.register("edge_frame", edges.to_arrow())
        settings = SettingsCreator(
            link_type="link_and_dedupe", unique_id_column_name="client", comparisons=[ExactMatch("nothing")]
        )
        database = DuckDBAPI(con)
        linker = Linker(database.register("node"), settings, log_level=logging.ERROR)
        con.execute("create table edge as from edge_frame").fetchall()
        predicted = database.register("edge")
        for threshold in thresholds:
            clustered = linker.clustering.cluster_using_single_best_links(
                predicted, once, threshold_match_probability=float(1 / (1 + np.exp2(-threshold)))
            )
            rows = con.execute(
                f"select client, dense_rank() over (order by cluster_id) as label from {clustered.physical_name}"
            ).fetchnumpy()
            labels = -1 - np.arange(weighed.clients.height)
            labels[np.asarray(rows["client"], np.int64)] = rows["label"]
            found.append(Clustering(method="single best links", threshold=threshold, labels=labels))
    return found


def against_truth(weighed: WeighedClients, clustering: Clustering, truth: pl.DataFrame) -> MethodResult:
    """Pairs of clients right, found and true; `truth` has source, client_id and truth_id. Clients it does not
    know are left out."""
    known = weighed.clients.with_columns(label=pl.Series(clustering.labels)).join(
        truth, on=["source", "client_id"]
    )
    return _result(
        clustering,
        Agreement(
            right=_pairs(known, "label", "truth_id"),
            found=_pairs(known, "label"),
            true=_pairs(known, "truth_id"),
        ),
    )


def against_probabilities(
    weighed: WeighedClients, clustering: Clustering, calibration: Calibration
) -> MethodResult:
    """Expected right, found and expected true pairs of clients, each pair at the probability of its own weight.

    A linked pair that was never weighed counts as two people. So what is linked through others counts for less
    than it may be worth, for every method alike.
    """
    probability = calibration.probability(weighed.weight)
    linked = clustering.labels[weighed.a] == clustering.labels[weighed.b]
    frame = pl.DataFrame({"label": clustering.labels})
    return _result(
        clustering,
        Agreement(
            right=float(probability[linked].sum()),
            found=_pairs(frame, "label"),
            true=float(probability.sum()),
        ),
    )


def best_f1(results: Sequence[MethodResult]) -> MethodResult:
    """The result with the highest F1, the stricter threshold on a tie."""
    return max(results, key=lambda each: (each.pairs.f1, each.threshold))


def at_precision(results: Sequence[MethodResult], precision: float) -> MethodResult | None:
    """Of the results with at least this precision the one with the highest recall, None where there is none."""
    enough = [each for each in results if each.pairs.precision >= precision]
    return max(enough, key=lambda each: (each.pairs.recall, each.threshold), default=None)


def _result(clustering: Clustering, pairs: Agreement) -> MethodResult:
    _, sizes = np.unique(clustering.labels, return_counts=True)
    return MethodResult(
        method=clustering.method,
        threshold=clustering.threshold,
        clusters=len(sizes),
        largest=int(sizes.max(initial=0)),
        pairs=pairs,
    )


def _pairs(frame: pl.DataFrame, *columns: str) -> float:
    sizes = frame.group_by(columns).len().get_column("len").cast(pl.Float64)
    return float((sizes * (sizes - 1) / 2).sum())
