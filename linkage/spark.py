"""The same model on Spark, for more source records than one machine should weigh.

What is compared and what each level weighs is written once, in `linkage.model`, and compiled once, in
`linkage.scoring`; this module puts that SQL into Spark's dialect. Only how an engine finds its blocks is
written twice: DuckDB takes one rule after another, Spark all of them in one shuffle.

Workers run nothing but Spark's own SQL: neither Python nor this software has to be on them. The graph of
clients, which is small beside the pairs it is made of, is cut into clusters on the driver, by the code that
always does it.
"""

import math
import os
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import duckdb
import polars as pl
import sqlglot
from sqlglot import exp

from linkage.blocking import LARGEST_BLOCK, count_name_shares, counted_once_sql, record_columns_sql
from linkage.clustering import ClusteringReport, cluster
from linkage.decisions import broken_decisions, waiting_decisions
from linkage.errors import CheckFailedError, UsageError
from linkage.model import TOKEN_LIST_COLUMNS, BlockingRule, blocking_rules, comparisons, rarity_columns
from linkage.progress import say, step
from linkage.records import profile_of_columns
from linkage.registry import ALTERNATIVES
from linkage.scoring import LEAST_WEIGHT_KEPT, levels_sql, scored_pairs_sql

if TYPE_CHECKING:
    from pyspark.sql import DataFrame, SparkSession

    from linkage.model_file import Model

_NO_RULE = 255
_RECORD_FILE_BYTES = 128 * 2**20


@dataclass(frozen=True, kw_only=True)
class SparkScoring:
    """What scoring on Spark did: records compared, pairs brought by blocking, pairs kept.

    By blocking rule: `new_pairs`, the pairs that no earlier rule brought, and the blocks that were too large
    and left out, with the pairs lost (of which other rules may have brought some).
    """

    records: int
    candidate_pairs: int
    scored_pairs: int
    new_pairs: Mapping[str, int]
    dropped_blocks: Mapping[str, int]
    dropped_pairs: Mapping[str, int]


@contextmanager
def spark_session(master: str | None = None) -> Iterator["SparkSession"]:
    """A Spark session, stopped at the end; `master` as Spark writes it, else what Spark's configuration says.

    Raises UsageError where pyspark is not installed or Spark does not start.
    """
    try:
        from pyspark.errors import PySparkException
        from pyspark.sql import SparkSession
    except ImportError:
        raise UsageError(
            "Spark's engine needs pyspark, which is not installed: install familiar-faces[pipeline,spark]."
        ) from None
    builder = SparkSession.builder.appName("familiar-faces")
    try:
        spark = (builder.master(master) if master else builder).getOrCreate()
    except PySparkException as error:
        java = os.environ.get("JAVA_HOME") or "none"
        raise UsageError(
            f"Spark did not start ({error.getCondition()}): it needs Java 17 or newer (JAVA_HOME is {java}) "
            "and a master that answers."
        ) from None
    # Spark's warnings quote plans and paths at length; its own log files keep them.
    spark.sparkContext.setLogLevel("ERROR")
    try:
        yield spark
    finally:
        spark.stop()


def spark_sql(statement: str) -> str:
    """A statement of `linkage.model` or `linkage.scoring` in Spark's dialect.

    sqlglot translates; where the two engines have different functions, the small table below does. List
    positions past the end are null in DuckDB and an error in Spark, hence `get`.
    """
    return sqlglot.parse_one(statement, read="duckdb").transform(_in_spark).sql(dialect="spark")


def _in_spark(node: exp.Expr) -> exp.Expr:
    if isinstance(node, exp.Anonymous) and node.name.lower() == "hash":
        # Spark's own hash has 32 bits: too few to name a block by.
        return exp.Anonymous(this="xxhash64", expressions=node.expressions)
    if isinstance(node, exp.ArrayOverlaps):
        return exp.Anonymous(this="arrays_overlap", expressions=[node.this, node.expression])
    if isinstance(node, exp.Length):
        return exp.Anonymous(this="array_size", expressions=[node.this])
    if isinstance(node, exp.Bracket):
        return exp.Anonymous(this="get", expressions=[node.this, *node.expressions])
    return node


def link_on_spark(
    spark: "SparkSession",
    model: "Model",
    *,
    records: str,
    out: str,
    decisions: pl.DataFrame | None = None,
    lower_weight: float = LEAST_WEIGHT_KEPT,
    largest_block: int = LARGEST_BLOCK,
    max_cluster_size: int = 200,
    link_weight: float | None = None,
) -> tuple[SparkScoring, ClusteringReport]:
    """Weigh pairs on Spark, cluster their clients; write Parquet to `out`.

    `records` are the rows of the table `source_record` as Parquet; both are paths that Spark can read. Makes
    `<out>/scored_pair`, `<out>/cluster` and `<out>/rejected_union`: the tables that `linkage.scoring.score`
    and `linkage.clustering.cluster` make in a warehouse, with the same rows. The options are theirs; `decisions`
    (columns as `linkage.decisions.effective_decisions`) are respected and held against the clusters.

    Raises UsageError for a half-trained model and where there is nothing to link, and CheckFailedError, before
    any cluster is written, where clusters do not honour the decisions.
    """
    scoring = score_on_spark(
        spark,
        model,
        records=records,
        out=f"{out}/scored_pair",
        lower_weight=lower_weight,
        largest_block=largest_block,
    )
    with duckdb.connect() as con:
        # As in the warehouse: docs/decisions/duckdb-loses-rows.md.
        con.execute("set preserve_insertion_order = false").fetchall()
        _take(
            con,
            "source_record",
            spark.read.parquet(records).select("source_record_id", "source", "client_id"),
        )
        pairs = spark.read.parquet(f"{out}/scored_pair")
        seen = [
            "source_record_id_l",
            "source_record_id_r",
            "match_weight",
            *_level_columns(model.parameters.profile),
        ]
        _take(con, "scored_pair", pairs.select(*seen))

        def weigh(con: duckdb.DuckDBPyConnection, model: "Model") -> None:
            spark.createDataFrame(con.table("unweighed_pair").to_arrow_table()).createOrReplaceTempView(
                "unweighed_pair"
            )
            spark.sql(
                f"""
                select source_record_id_l as record_number_l, source_record_id_r as record_number_r,
                    cast({_NO_RULE} as smallint) as rule
                from unweighed_pair
                """
            ).createOrReplaceTempView("candidate_pair")
            weighed = _weighed(spark, model, lower_weight=-math.inf).persist()
            _write(weighed, f"{out}/scored_pair", mode="append")
            _take(con, "weighed_pair", weighed.select(*seen))
            con.execute("insert into scored_pair by name select * from weighed_pair").fetchall()
            weighed.unpersist()

        clustering = cluster(
            con,
            model,
            decisions=decisions,
            max_cluster_size=max_cluster_size,
            link_weight=link_weight,
            weigh=weigh,
        )
        if decisions is not None:
            _refuse_broken(con, decisions)
        for table in ("cluster", "rejected_union"):
            _write(spark.createDataFrame(con.table(table).to_arrow_table()), f"{out}/{table}")
    spark.catalog.clearCache()
    return scoring, clustering


def _refuse_broken(con: duckdb.DuckDBPyConnection, decisions: pl.DataFrame) -> None:
    """Hold the table `cluster` against the decisions, as a run holds the persons that it makes of it."""
    columns = ", ".join(f"{of_cluster} as {of_person}" for of_person, of_cluster in ALTERNATIVES.items())
    con.execute(
        f"create view person_crosswalk as select source, client_id, cluster_id as person_id, {columns} from cluster"
    ).fetchall()
    broken, waiting = broken_decisions(con, decisions).height, waiting_decisions(con, decisions)
    if broken:
        raise CheckFailedError(
            f"Clusters do not honour {broken} of {decisions.height} steward decisions, so none were written; "
            "please report this."
        )
    if waiting:
        say(f"{waiting} of {decisions.height} steward decisions wait for a client that is not delivered")


def score_on_spark(
    spark: "SparkSession",
    model: "Model",
    *,
    records: str,
    out: str,
    lower_weight: float = LEAST_WEIGHT_KEPT,
    largest_block: int = LARGEST_BLOCK,
) -> SparkScoring:
    """Write the rows of `scored_pair` as Parquet to `out`, from `source_record` as Parquet in `records`.

    The session keeps the view `compared_record`, cached, for the pairs that clustering still wants weighed.
    """
    profile = model.parameters.profile
    model.refuse_half_trained()
    with step("preparing source records"):
        compared = _build_compared_record(spark, records, model)
    if compared < 2:
        raise UsageError(f"{records} has fewer than two source records: there is nothing to link.")
    with step("blocking"):
        dropped = _find_candidate_pairs(spark, largest_block, profile)
        new = {
            row["rule"]: int(row["count"])
            for row in spark.table("candidate_pair").groupBy("rule").count().collect()
        }
    _forget(spark, "blocked_record", "block")
    with step("weighing pairs"):
        _write(_weighed(spark, model, lower_weight=lower_weight), out)
    _forget(spark, "candidate_pair", "pair_level")
    names = list(blocking_rules(profile))
    return SparkScoring(
        records=compared,
        candidate_pairs=sum(new.values()),
        scored_pairs=int(spark.read.parquet(out).count()),
        new_pairs={name: new.get(position, 0) for position, name in enumerate(names)},
        dropped_blocks={name: dropped.get(position, (0, 0))[0] for position, name in enumerate(names)},
        dropped_pairs={name: dropped.get(position, (0, 0))[1] for position, name in enumerate(names)},
    )


def score_through_spark(
    con: duckdb.DuckDBPyConnection,
    model: "Model",
    *,
    folder: Path,
    lower_weight: float = LEAST_WEIGHT_KEPT,
    largest_block: int = LARGEST_BLOCK,
) -> SparkScoring:
    """Create or replace the table `scored_pair` of a warehouse, its pairs weighed on Spark.

    Source records go and pairs come back as Parquet files in `folder`, which every worker must see under the
    same path; they are removed at the end, whatever happens. Spark's own configuration says where it runs.
    """
    model.refuse_half_trained()
    with spark_session() as spark, TemporaryDirectory(dir=folder, prefix=".spark-") as exchange:
        records, out = f"{exchange}/source_record", f"{exchange}/scored_pair"
        con.table("source_record").write_parquet(records, file_size_bytes=_RECORD_FILE_BYTES)
        scoring = score_on_spark(
            spark, model, records=records, out=out, lower_weight=lower_weight, largest_block=largest_block
        )
        con.execute(
            "create or replace table scored_pair as select * from read_parquet(?)", [f"{out}/*.parquet"]
        ).fetchall()
        # Clustering weighs the pairs that no rule brought here, and scoring changes must not build on these.
        con.execute("drop table if exists scoring_run").fetchall()
        count_name_shares(con)
    return scoring


def _build_compared_record(spark: "SparkSession", records: str, model: "Model") -> int:
    """The view `compared_record`, as `linkage.blocking` describes it, cached. Returns its number of rows.

    A record's number is its id here: equally ordered, and without the one partition that counting from 1 to
    n would need.
    """
    profile = model.parameters.profile
    from pyspark.errors import AnalysisException

    try:
        source_record = spark.read.parquet(records)
        model.refuse_other_profile(profile_of_columns(source_record.columns, "source_record").name)
        source_record.createOrReplaceTempView("source_record")
        spark.sql(
            """
            select *, source_record_id as record_number,
                min(source_record_id) over (partition by source, client_id) as client_number
            from source_record
            """
        ).createOrReplaceTempView("numbered_record")
        unrated = spark.sql(
            spark_sql(
                f"select record_number, client_number, {record_columns_sql(profile)} from numbered_record"
            )
        ).persist()
    except AnalysisException as error:
        raise UsageError(
            f"{records} is not the table source_record as Parquet, or Spark cannot read it ({error.getCondition()}). "
            "Name the exported table."
        ) from None
    unrated.createOrReplaceTempView("unrated_record")
    for column in rarity_columns(profile):
        _rate(spark, column)
    shares = " ".join(f"left join {column}_share using ({column})" for column in rarity_columns(profile))
    compared = spark.sql(f"select * from unrated_record {shares}").drop("source", "identity_number").persist()
    compared.createOrReplaceTempView("compared_record")
    rows = int(compared.count())
    unrated.unpersist()
    return rows


def _rate(spark: "SparkSession", column: str) -> None:
    """The view `<column>_share`: a token's share among clients, or among identities where client ids do not
    last.
    """
    spark.sql(
        f"""
        with counted_token as (
            select {column}, count(*) as clients
            from (select distinct {spark_sql(counted_once_sql())} as counted_once, {column} from unrated_record
                where {column} is not null)
            group by {column}
        )
        select {column}, clients / (select sum(clients) from counted_token) as tf_{column} from counted_token
        """
    ).createOrReplaceTempView(f"{column}_share")


def _find_candidate_pairs(
    spark: "SparkSession", largest_block: int, profile: str
) -> dict[int, tuple[int, int]]:
    """The view `candidate_pair`, cached: every pair that a blocking rule brings, once, with the first such
    rule. Returns, by rule, the blocks dropped for their size and the pairs lost with them.
    """
    most_pairs = largest_block * (largest_block - 1) // 2
    blocks = ", ".join(
        _blocks_sql(position, rule) for position, rule in enumerate(blocking_rules(profile).values())
    )
    spark.sql(
        f"""
        select record_number, client_number, inline(array_compact(flatten(array_compact(array({blocks})))))
        from compared_record
        """
    ).persist().createOrReplaceTempView("blocked_record")
    spark.sql(
        """
        select rule, block, lacking * (lacking - 1) div 2 + lacking * (records - lacking) as pairs
        from (
            select rule, block, count(*) as records, count_if(lacking) as lacking
            from blocked_record group by rule, block
        )
        where records > 1 and lacking > 0
        """
    ).persist().createOrReplaceTempView("block")
    dropped = spark.sql(
        f"select rule, count(*) as blocks, sum(pairs) as pairs from block where pairs > {most_pairs} group by rule"
    ).collect()
    spark.sql(
        f"""
        select blocked_record.* from blocked_record
        left semi join (select rule, block from block where pairs <= {most_pairs}) as kept
            on kept.rule = blocked_record.rule and kept.block = blocked_record.block
        """
    ).createOrReplaceTempView("kept_record")
    spark.sql(
        """
        select record_number_l, record_number_r, min(rule) as rule
        from (
            select l.rule, least(l.record_number, r.record_number) as record_number_l,
                greatest(l.record_number, r.record_number) as record_number_r
            from kept_record as l inner join kept_record as r on l.rule = r.rule and l.block = r.block
            where l.lacking and l.client_number <> r.client_number
                and (l.record_number < r.record_number or not r.lacking)
        )
        group by record_number_l, record_number_r
        """
    ).persist().createOrReplaceTempView("candidate_pair")
    return {row["rule"]: (int(row["blocks"]), int(row["pairs"])) for row in dropped}


def _blocks_sql(position: int, rule: BlockingRule) -> str:
    """Spark SQL: a record's blocks under one rule, an array: rule, block, and whether the record lacks what
    one side must lack. A rule on a token list gives a block for each token of it.
    """
    lists = [column for column in rule.columns if column in TOKEN_LIST_COLUMNS]
    parts = ["token" if column in lists else column for column in rule.columns]
    complete = " and ".join(f"{part} is not null" for part in parts)
    lacking = f"{rule.one_lacks} is null" if rule.one_lacks else "true"
    block = f"""
        if({complete}, named_struct('rule', cast({position} as smallint), 'block', xxhash64({", ".join(parts)}),
            'lacking', {lacking}), null)
    """
    return f"transform(array_distinct({lists[0]}), token -> {block})" if lists else f"array({block})"


def _weighed(spark: "SparkSession", model: "Model", *, lower_weight: float) -> "DataFrame":
    """The rows of `scored_pair` for the pairs of the view `candidate_pair`.

    The levels are cached on the way. Otherwise Spark writes each level's condition out again wherever its
    number is used, which makes more code than a Java method may have.
    """
    levels = levels_sql(profile=model.parameters.profile)
    spark.sql(spark_sql(levels)).persist().createOrReplaceTempView("pair_level")
    statement = scored_pairs_sql(model.parameters, model.calibration, lower_weight=lower_weight)
    return spark.sql(spark_sql(statement.replace(f"({levels})", "pair_level")))


def _level_columns(profile: str) -> list[str]:
    return [each.column for each in comparisons(profile)]


def _forget(spark: "SparkSession", *views: str) -> None:
    for view in views:
        spark.table(view).unpersist()


def _take(con: duckdb.DuckDBPyConnection, table: str, rows: "DataFrame") -> None:
    """Bring rows to the driver, as a DuckDB table."""
    fetched: Any = rows.toArrow()
    con.register("fetched", fetched)
    con.execute(f"create or replace table {table} as select * from fetched").fetchall()
    con.unregister("fetched")


def _write(rows: "DataFrame", to: str, mode: str = "overwrite") -> None:
    rows.write.mode(mode).parquet(to)
