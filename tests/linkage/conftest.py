"""One invented county, trained, scored and clustered once for all tests that only look at it."""

from collections.abc import Iterator
from dataclasses import dataclass

import duckdb
import polars as pl
import pytest

from linkage.clustering import ClusteringReport, cluster
from linkage.model_file import Model
from linkage.records import build_source_record
from linkage.scoring import LEAST_WEIGHT_KEPT, ScoringReport, score
from linkage.source import declared_sources
from linkage.training import train
from tests.linkage.invented import invented_county, load, load_encounters, truth


@dataclass(frozen=True, kw_only=True)
class LinkedCounty:
    con: duckdb.DuckDBPyConnection
    model: Model
    scoring: ScoringReport
    clustering: ClusteringReport
    truth: pl.DataFrame


@pytest.fixture(scope="session")
def linked_county() -> Iterator[LinkedCounty]:
    rows = invented_county(2_500)
    with duckdb.connect() as con:
        con.execute("set threads = 1").fetchall()
        load(con, rows)
        load_encounters(con, rows)
        build_source_record(con, list(declared_sources().values()))
        model = train(con, seed=1, max_pairs=200_000)
        scoring = score(con, model, lower_weight=LEAST_WEIGHT_KEPT)
        yield LinkedCounty(
            con=con, model=model, scoring=scoring, clustering=cluster(con, model), truth=truth(rows)
        )


@pytest.fixture(scope="module")
def county_copy(linked_county: LinkedCounty) -> Iterator[duckdb.DuckDBPyConnection]:
    """The invented county's tables in a database of its own, each cluster as a person."""
    with duckdb.connect() as con:
        con.execute("set threads = 1").fetchall()
        for table in ("source_record", "scored_pair", "name_share", "cluster"):
            con.register("frame", linked_county.con.sql(f"from {table}").pl().to_arrow())
            con.execute(f"create table {table} as from frame").fetchall()
            con.unregister("frame")
        con.execute(
            "create table person_crosswalk as "
            "select source, client_id, 'p' || cluster_id as person_id from cluster"
        ).fetchall()
        yield con


@pytest.fixture
def con() -> Iterator[duckdb.DuckDBPyConnection]:
    with duckdb.connect() as connection:
        connection.execute("set threads = 1").fetchall()
        yield connection
