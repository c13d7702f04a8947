"""Both engines give the same pairs and the same clusters, from the same model file and the same records."""

import sys
from dataclasses import dataclass, replace
from pathlib import Path

import duckdb
import polars as pl
import pytest

from linkage.decisions import decisions_in
from linkage.errors import CheckFailedError, UsageError
from linkage.scoring import LEAST_WEIGHT_KEPT, levels_sql, score, scored_pairs_sql
from linkage.spark import (
    SparkScoring,
    _refuse_broken,
    score_on_spark,
    score_through_spark,
    spark_session,
    spark_sql,
)
from tests.linkage.engines import (
    decide_against_the_records,
    differing_rows,
    of_spark,
    same_pairs,
    skip_without_spark,
    start_spark_locally,
)
from tests.pipelines.commands import familiar_faces

SMALL_BLOCK = 5


@dataclass(frozen=True, kw_only=True)
class LinkedOnSpark:
    """Where the command left its tables, what it printed, what it said to records that are not there, and a
    second scoring with small blocks.
    """

    out: Path
    printed: str
    complaint: str
    small_blocks: SparkScoring
    small_block_pairs: pl.DataFrame


@pytest.fixture(scope="module")
def on_spark(linked_county, tmp_path_factory) -> LinkedOnSpark:
    skip_without_spark()
    folder = tmp_path_factory.mktemp("spark")
    records, out = folder / "source_record.parquet", folder / "out"
    linked_county.con.execute(f"copy source_record to '{records}'").fetchall()
    linked_county.model.save(folder / "model.json")
    with pytest.MonkeyPatch.context() as patch:
        start_spark_locally(patch, folder)
        command = ("link-on-spark", "--model", folder / "model.json", "--out", out, "--master", "local[2]")
        finished = familiar_faces(*command, "--records", records)
        assert finished.code == 0, finished.err
        refused = familiar_faces(*command, "--records", folder / "nowhere")
        assert refused.code == UsageError.exit_code
        with duckdb.connect() as con:
            copy_of_source_record(linked_county.con, con)
            small_blocks = score_through_spark(
                con, linked_county.model, folder=folder, largest_block=SMALL_BLOCK
            )
            small_block_pairs = con.table("scored_pair").pl()
    assert not list(folder.glob(".spark-*")), "records were left lying about"
    return LinkedOnSpark(
        out=out,
        printed=finished.out,
        complaint=refused.complaint,
        small_blocks=small_blocks,
        small_block_pairs=small_block_pairs,
    )


def copy_of_source_record(county: duckdb.DuckDBPyConnection, con: duckdb.DuckDBPyConnection) -> None:
    con.register("rows", county.table("source_record").to_arrow_table())
    con.execute("create table source_record as select * from rows").fetchall()


@pytest.mark.slow
def test_both_engines_give_the_same_scored_pairs(linked_county, on_spark):
    assert same_pairs(linked_county.con, on_spark.out / "scored_pair", profile="standard") > 3_000


@pytest.mark.slow
@pytest.mark.parametrize("table", ["scored_pair", "cluster", "rejected_union"])
def test_the_tables_of_spark_have_the_columns_of_the_warehouse(linked_county, on_spark, table):
    con = linked_county.con
    described = [
        con.execute(f"select column_name, column_type from (describe select * from {made})").fetchall()
        for made in (table, of_spark(on_spark.out / table))
    ]
    assert described[0] == described[1]


@pytest.mark.slow
@pytest.mark.parametrize("table", ["cluster", "rejected_union"])
def test_both_engines_give_the_same_clusters(linked_county, on_spark, table):
    con = linked_county.con
    assert differing_rows(con, table, on_spark.out / table) == 0
    assert con.execute(f"select count(*) from {table}").fetchall()[0][0] > 0


@pytest.mark.slow
def test_the_command_tells_what_it_did(linked_county, on_spark):
    assert f"{linked_county.scoring.records:,} source records" in on_spark.printed
    assert f"{linked_county.clustering.clusters:,} clusters" in on_spark.printed
    assert linked_county.model.version in on_spark.printed


@pytest.mark.slow
def test_records_that_are_not_there_are_said_in_a_sentence(on_spark):
    assert "nowhere is not the table source_record as Parquet" in on_spark.complaint


@pytest.mark.slow
def test_both_engines_leave_out_the_same_large_blocks(linked_county, on_spark):
    with duckdb.connect() as con:
        copy_of_source_record(linked_county.con, con)
        report = score(con, linked_county.model, lower_weight=LEAST_WEIGHT_KEPT, largest_block=SMALL_BLOCK)
        pairs = con.table("scored_pair").pl()
    small = on_spark.small_blocks
    assert small.dropped_blocks == {count.rule: count.dropped_blocks for count in report.rules}
    assert small.dropped_pairs == {count.rule: count.dropped_pairs for count in report.rules}
    assert small.new_pairs == {count.rule: count.new_pairs for count in report.rules}
    assert sum(small.dropped_blocks.values()) > 10
    ids = ["source_record_id_l", "source_record_id_r"]
    assert pairs.select(ids).sort(ids).equals(on_spark.small_block_pairs.select(ids).sort(ids))


@pytest.mark.parametrize(
    ("duckdb_says", "spark_says"),
    [
        pytest.param("hash(a, b)", "XXHASH64(a, b)", id="a hash of 64 bits, not of 32"),
        pytest.param("len(a)", "ARRAY_SIZE(a)", id="the length of a list"),
        pytest.param("a[2]", "GET(a, 1)", id="a position past the end is null, not an error"),
        pytest.param("list_has_any(a, b)", "ARRAYS_OVERLAP(a, b)", id="lists that share a token"),
        pytest.param("a::double", "CAST(a AS DOUBLE)", id="a cast"),
        pytest.param("a // b", "a DIV b", id="whole division"),
    ],
)
def test_what_the_engines_say_differently(duckdb_says, spark_says):
    assert spark_sql(f"select {duckdb_says}").upper() == f"SELECT {spark_says}".upper()


def test_the_weighing_statement_holds_the_levels_word_for_word(linked_county):
    """Spark's engine puts a cached table in their place; without it the statement is right, but far too long."""
    model = linked_county.model
    assert f"({levels_sql()})" in scored_pairs_sql(model.parameters, model.calibration, lower_weight=0)


def test_a_file_without_decisions_is_not_taken_for_one_without_a_decision(linked_county, tmp_path):
    linked_county.model.save(tmp_path / "model.json")
    (tmp_path / "other.sqlite").write_bytes(b"")
    command = ("link-on-spark", "--model", tmp_path / "model.json", "--records", "r", "--out", "o")
    refused = familiar_faces(*command, "--decisions", tmp_path / "other.sqlite")
    assert refused.code == UsageError.exit_code
    assert "is not a readable stewardship file" in refused.complaint
    assert (tmp_path / "other.sqlite").read_bytes() == b""


def test_clusters_that_break_a_decision_are_not_written(linked_county, county_copy, tmp_path):
    decide_against_the_records(county_copy, tmp_path / "stewardship.sqlite")
    county_copy.execute("drop table person_crosswalk").fetchall()
    with pytest.raises(CheckFailedError, match=r"do not honour 6 of 7 steward decisions"):
        _refuse_broken(county_copy, decisions_in(tmp_path / "stewardship.sqlite"))


def test_a_missing_pyspark_is_said_in_a_sentence(monkeypatch):
    monkeypatch.setitem(sys.modules, "pyspark.errors", None)
    with pytest.raises(UsageError, match=r"install familiar-faces\[pipeline,spark\]"), spark_session():
        pass


def test_a_half_trained_model_is_refused_before_spark_is_asked(linked_county, tmp_path):
    training = {**linked_county.model.training, "complete": False, "incomplete_because": "too few pairs."}
    half = replace(linked_county.model, training=training)
    with pytest.raises(UsageError, match="half trained: too few pairs"):
        score_on_spark(None, half, records="records", out="out")
    with pytest.raises(UsageError, match="half trained: too few pairs"):
        score_through_spark(linked_county.con, half, folder=tmp_path)
