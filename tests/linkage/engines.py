"""What the tests of both engines share: whether Spark is here, how it starts, and how its tables are held against
DuckDB's.
"""

import datetime as dt
import os
import shutil
from pathlib import Path

import duckdb
import pytest

from linkage.decisions import Decision, Judgement, append_decisions
from linkage.model import comparisons

ONE_MACHINE = {
    "spark.ui.enabled": "false",
    "spark.ui.showConsoleProgress": "false",
    "spark.sql.shuffle.partitions": "2",
    "spark.default.parallelism": "2",
    # So short a run never earns back what the second compiler costs.
    "spark.driver.extraJavaOptions": "-XX:TieredStopAtLevel=1",
}


def skip_without_spark() -> None:
    """Skip, or fail where FAMILIAR_FACES_REQUIRE_SPARK is 1, and say aloud that nothing was tested."""
    if missing := _missing_for_spark():
        message = f"SPARK WAS NOT TESTED: {missing}"
        if os.environ.get("FAMILIAR_FACES_REQUIRE_SPARK") == "1":
            pytest.fail(message)
        pytest.skip(message)


def _missing_for_spark() -> str | None:
    try:
        import pyspark  # noqa: F401
    except ImportError:
        return "pyspark is not installed (pip install '.[spark]')"
    java = Path(os.environ.get("JAVA_HOME", "/nowhere"), "bin", "java")
    return None if java.exists() or shutil.which("java") else "there is no Java (17 or newer) on this machine"


def start_spark_locally(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """Let Spark, when it starts in this process, keep to this machine and to `folder`."""
    settings = ONE_MACHINE | {
        "spark.local.dir": str(folder / "spill"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    options = " ".join(f"--conf {name}={value}" for name, value in settings.items())
    patch.setenv("PYSPARK_SUBMIT_ARGS", f"{options} pyspark-shell")


def of_spark(folder: Path) -> str:
    """A table that Spark wrote, for DuckDB's `from`."""
    return f"read_parquet('{folder}/*.parquet')"


def same_pairs(con: duckdb.DuckDBPyConnection, by_spark: Path, *, profile: str) -> int:
    """Fail unless `scored_pair` and what Spark wrote hold the same pairs, by the same rule and adjustment, in the same
    levels, with the same weights to 1e-9; returns how many there are.
    """
    same_levels = " and ".join(f"spark.{each.column} = duck.{each.column}" for each in comparisons(profile))
    pairs, by_duck, spark, furthest, furthest_probability, same, same_reasons = con.execute(
        f"""
        select count(*), count(duck.match_weight), count(spark.match_weight),
            max(abs(duck.match_weight - spark.match_weight)),
            max(abs(duck.match_probability - spark.match_probability)),
            bool_and({same_levels}),
            bool_and(duck.blocking_rule = spark.blocking_rule
                and duck.adjustment is not distinct from spark.adjustment)
        from scored_pair as duck
        full join {of_spark(by_spark)} as spark using (source_record_id_l, source_record_id_r)
        """
    ).fetchall()[0]
    assert pairs == by_duck == spark
    assert max(furthest, furthest_probability) < 1e-9
    assert same
    assert same_reasons
    return pairs


def differing_rows(con: duckdb.DuckDBPyConnection, table: str, by_spark: Path) -> int:
    """Rows of a table that only one of the engines has."""
    spark = of_spark(by_spark)
    return con.execute(
        f"""
        select count(*) from (
            (select * from {table} except all select * from {spark})
            union all (select * from {spark} except all select * from {table})
        )
        """
    ).fetchall()[0][0]


def decide_against_the_records(con: duckdb.DuckDBPyConnection, path: Path) -> None:
    """Record decisions that no record speaks for: three pairs kept apart that `cluster` has together, three linked
    that it has apart, and one of a client that is not delivered.
    """
    together = con.execute(
        """
        select min((source, client_id)), max((source, client_id)) from cluster
        group by cluster_id having count(*) > 1 order by cluster_id limit 3
        """
    ).fetchall()
    apart = con.execute(
        """
        select min((source, client_id)) from cluster
        group by cluster_id having count(*) = 1 order by cluster_id limit 6
        """
    ).fetchall()
    apart_pairs = [(left, right) for (left,), (right,) in zip(apart[::2], apart[1::2], strict=True)]
    judged = [
        *((Judgement.DO_NOT_LINK, pair) for pair in together),
        *((Judgement.LINK, pair) for pair in apart_pairs),
        (Judgement.LINK, (apart_pairs[0][0], ("jail", "nobody"))),
    ]
    append_decisions(
        path,
        [
            Decision(
                source_l=left[0],
                client_id_l=left[1],
                source_r=right[0],
                client_id_r=right[1],
                decision=judgement,
                decided_by="a steward",
                decided_at=dt.datetime(2026, 1, 1, tzinfo=dt.UTC),
                model_version="any",
            )
            for judgement, (left, right) in judged
        ],
    )
