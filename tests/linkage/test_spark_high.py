"""The profile high on both engines, with steward decisions: the same pairs, the same clusters, decisions honoured."""

from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from linkage.clustering import cluster
from linkage.decisions import decisions_in
from linkage.scoring import LEAST_WEIGHT_KEPT, score
from linkage.training import train
from tests.linkage.engines import (
    decide_against_the_records,
    differing_rows,
    same_pairs,
    skip_without_spark,
    start_spark_locally,
)
from tests.linkage.invented import invented_county
from tests.linkage.invented_high import load_high
from tests.pipelines.commands import familiar_faces

pytestmark = pytest.mark.slow


@dataclass(frozen=True, kw_only=True)
class BothEngines:
    """DuckDB's connection, with decisions applied; where Spark wrote its tables; the decisions; and what the command
    printed and said.
    """

    con: duckdb.DuckDBPyConnection
    out: Path
    stewardship: Path
    printed: str
    said: str


@pytest.fixture(scope="module")
def both(tmp_path_factory):
    skip_without_spark()
    folder = tmp_path_factory.mktemp("high")
    stewardship = folder / "stewardship.sqlite"
    with duckdb.connect() as con:
        con.execute("set threads = 1").fetchall()
        load_high(con, invented_county(1_200))
        model = train(con, seed=1, max_pairs=100_000)
        assert not model.learned_too_little
        model.save(folder / "model.json")
        con.execute(f"copy source_record to '{folder / 'source_record.parquet'}'").fetchall()
        score(con, model, lower_weight=LEAST_WEIGHT_KEPT)
        cluster(con, model)
        decide_against_the_records(con, stewardship)
        score(con, model, lower_weight=LEAST_WEIGHT_KEPT)
        cluster(con, model, decisions=decisions_in(stewardship))
        with pytest.MonkeyPatch.context() as patch:
            start_spark_locally(patch, folder)
            finished = familiar_faces(
                "link-on-spark", "--model", folder / "model.json", "--out", folder / "out", "--master", "local[2]",
                "--records", folder / "source_record.parquet", "--decisions", stewardship,
            )  # fmt: skip
        assert finished.code == 0, finished.err
        yield BothEngines(
            con=con, out=folder / "out", stewardship=stewardship, printed=finished.out, said=finished.err
        )


def test_both_engines_give_the_same_scored_pairs_of_filters(both):
    assert same_pairs(both.con, both.out / "scored_pair", profile="high") > 1_000


@pytest.mark.parametrize("table", ["cluster", "rejected_union"])
def test_both_engines_give_the_same_clusters_under_the_same_decisions(both, table):
    assert differing_rows(both.con, table, both.out / table) == 0
    assert both.con.execute(f"select count(*) from {table}").fetchall()[0][0] > 0


def test_spark_honours_what_stewards_decided_against_the_records(both):
    clusters = {
        (source, client): cluster_id
        for source, client, cluster_id in duckdb.sql(
            f"select source, client_id, cluster_id from read_parquet('{both.out}/cluster/*.parquet')"
        ).fetchall()
    }
    honoured = {"link": 0, "do_not_link": 0}
    for each in decisions_in(both.stewardship).iter_rows(named=True):
        left, right = (each["source_l"], each["client_id_l"]), (each["source_r"], each["client_id_r"])
        if left in clusters and right in clusters:
            assert (clusters[left] == clusters[right]) == (each["decision"] == "link")
            honoured[each["decision"]] += 1
    assert honoured == {"link": 3, "do_not_link": 3}


def test_the_command_tells_how_many_decisions_hold_and_how_many_wait(both):
    assert "7 steward decisions hold" in both.printed
    assert "1 of 7 steward decisions wait for a client that is not delivered" in both.said + both.printed
