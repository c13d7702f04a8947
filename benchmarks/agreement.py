"""F1 of both sides against the truth of the simulated county.

python -m benchmarks.agreement COUNTY WAREHOUSE PLAINTEXT_FOLDER

The unit is the client (source, client_id): records of one client count as one, and a pair of clients weighs what
the heaviest pair of their records weighs. Both sides are held against all true pairs of the county, whatever
blocking or quarantine lost.
"""

import argparse
from pathlib import Path
from typing import Any

import duckdb
import numpy as np
from scipy.sparse import coo_array
from scipy.sparse.csgraph import connected_components

from benchmarks.measure import print_report


def compare(county: Path, warehouse: Path, plaintext: Path) -> dict[str, Any]:
    """For both sides, the best F1 that any threshold on scored pairs gives, and the F1 of the clusters."""
    connection = duckdb.connect()
    connection.execute(f"attach '{warehouse}' as warehouse (read_only)").fetchall()
    for name, file in (("encoded", "truth_as_delivered"), ("plaintext", "truth")):
        connection.execute(f"create table {name}_truth as from '{county / file}.parquet'").fetchall()
    connection.execute(
        """
        create table encoded_client as
        select source, client_id, person_id as label, truth_id,
            row_number() over (order by source, client_id) as client
        from warehouse.person_crosswalk inner join encoded_truth using (source, client_id)
        """
    ).fetchall()
    # pairs that only clustering asked for are no part of what blocking brought
    connection.execute(
        """
        create table encoded_pair as
        select l.client as client_l, r.client as client_r, match_weight
        from warehouse.scored_pair
        inner join record_client as l on l.source_record_id = source_record_id_l
        inner join record_client as r on r.source_record_id = source_record_id_r
        where blocking_rule <> 'within_component'
        """.replace(
            "record_client",
            "(select source_record_id, client from warehouse.source_record "
            "inner join encoded_client using (source, client_id))",
        )
    ).fetchall()
    _take_plaintext(connection, plaintext)
    return {
        side: {"pairs": _best_pairs(connection, side), "clusters": _clusters(connection, side)}
        for side in ("encoded", "plaintext")
    }


def _take_plaintext(connection: duckdb.DuckDBPyConnection, plaintext: Path) -> None:
    """Create plaintext_pair, and plaintext_client with clusters that share a client made one."""
    connection.execute(
        f"create table plaintext_pair as select client_number_l as client_l, client_number_r as client_r, "
        f"match_weight from '{plaintext / 'pair.parquet'}'"
    ).fetchall()
    records = connection.execute(
        f"select client_number, dense_rank() over (order by cluster_id) as cluster "
        f"from '{plaintext / 'cluster.parquet'}'"
    ).fetchnumpy()
    client = np.asarray(records["client_number"], dtype=np.int64)
    cluster = np.asarray(records["cluster"], dtype=np.int64) + client.max() + 1
    nodes = int(cluster.max()) + 1
    graph = coo_array((np.ones(len(client), np.int8), (client, cluster)), shape=(nodes, nodes))
    _, label = connected_components(graph, directed=False)
    connection.register(
        "joined_client", {"client": np.arange(client.max() + 1), "label": label[: client.max() + 1]}
    )
    connection.execute(
        f"""
        create table plaintext_client as
        select distinct source, client_id, label, truth_id, client
        from '{plaintext / "cluster.parquet"}'
        inner join joined_client on client = client_number
        inner join plaintext_truth using (source, client_id)
        """
    ).fetchall()
    connection.unregister("joined_client")


def _true_pairs(connection: duckdb.DuckDBPyConnection, side: str) -> int:
    return _pairs_within(connection, f"{side}_truth", "truth_id")


def _pairs_within(connection: duckdb.DuckDBPyConnection, table: str, columns: str) -> int:
    """Pairs of rows of a table that agree on columns."""
    counted = f"select count(*) as n from {table} group by {columns}"
    return int(connection.execute(f"select sum(n * (n - 1) // 2) from ({counted})").fetchall()[0][0])


def _best_pairs(connection: duckdb.DuckDBPyConnection, side: str) -> dict[str, float]:
    """The threshold on match weight (in hundredths) of the highest F1 over pairs of clients."""
    found = connection.execute(
        f"""
        select round(weight, 2) as weight, count(*) as pairs, count(*) filter (same) as same
        from (
            select max(match_weight) as weight, any_value(l.truth_id = r.truth_id) as same
            from (select least(client_l, client_r) as a, greatest(client_l, client_r) as b, match_weight
                from {side}_pair)
            inner join {side}_client as l on l.client = a
            inner join {side}_client as r on r.client = b
            group by a, b
        )
        group by all order by weight desc
        """
    ).fetchnumpy()
    linked, right = np.cumsum(found["pairs"]), np.cumsum(found["same"])
    true = _true_pairs(connection, side)
    best = int(np.argmax(2 * right / (linked + true)))
    return {
        "client_pairs": int(linked[-1]),
        "reach": round(float(right[-1] / true), 5),
        "best_weight": float(found["weight"][best]),
        **_f1(right[best], linked[best], true),
    }


def _clusters(connection: duckdb.DuckDBPyConnection, side: str) -> dict[str, float]:
    clients = f"{side}_client"
    right = _pairs_within(connection, clients, "label, truth_id")
    linked = _pairs_within(connection, clients, "label")
    largest = connection.execute(
        f"select max(n) from (select count(*) as n from {clients} group by label)"
    ).fetchall()[0][0]
    return {"largest": int(largest), **_f1(right, linked, _true_pairs(connection, side))}


def _f1(right: float, linked: float, true: float) -> dict[str, float]:
    return {
        "precision": round(float(right / linked), 5),
        "recall": round(float(right / true), 5),
        "f1": round(float(2 * right / (linked + true)), 5),
    }


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    for name in ("county", "warehouse", "plaintext"):
        parser.add_argument(name, type=Path)
    chosen = parser.parse_args()
    print_report(compare(chosen.county, chosen.warehouse, chosen.plaintext))


if __name__ == "__main__":
    _main()
