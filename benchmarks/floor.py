"""The floor of a whole run: the same reading, joins and tables in bare SQL, with nothing around them.

python -m benchmarks.floor WORKSPACE SCRATCH    of a workspace whose run has finished

Read: every landed Parquet file into a table, unchecked. Relations: each query of sql/, into a table, without comments
or checks. Cohorts: the compiled SQL of each, once. Release: the released tables copied to another file and to Parquet,
in whatever order they are. Linkage has no SQL of its own here; it is measured by itself (`benchmarks.encoded link`).
"""

import argparse
from itertools import product
from pathlib import Path

import duckdb

from benchmarks.measure import Stopwatch, print_report
from linkage.source import declared_sources
from pipelines.relations import load_relations
from pipelines.releases.publication import released_relations
from pipelines.workspace import Workspace


def measure_floor(workspace: Workspace, scratch: Path) -> None:
    """Make the tables of the workspace's last run again in `scratch`, and print the seconds of each part."""
    scratch.mkdir(parents=True)
    watch = Stopwatch()
    with duckdb.connect(scratch / "floor.duckdb") as connection:
        connection.execute("set preserve_insertion_order = false").fetchall()
        with watch.part("read"):
            for source, file in product(declared_sources(), ("people", "encounters")):
                landed = _quoted(workspace.landing / source / "*" / f"{file}.parquet")
                connection.execute(
                    f"create table landed_{source}_{file} as from read_parquet({landed}, union_by_name = true)"
                ).fetchall()
        connection.execute(f"attach {_quoted(workspace.warehouse)} as county (read_only)").fetchall()
        # What is made here comes before what the run made.
        connection.execute("set search_path = 'floor.main,county.main'").fetchall()
        with watch.part("relations"):
            for relation in load_relations().values():
                if relation.is_kept:
                    connection.execute(
                        f"create table floor.main.{relation.name} as {relation.query}"
                    ).fetchall()
        rules = connection.execute(
            "select cohort, sql_text from cohort_definition order by cohort"
        ).fetchall()
        with watch.part("cohorts"):
            for cohort, sql_text in rules:
                connection.execute(f"create table floor.main.cohort_{cohort} as {sql_text}").fetchall()
        connection.execute(f"attach {_quoted(scratch / 'released.duckdb')} as released").fetchall()
        with watch.part("release"):
            for name in released_relations():
                connection.execute(f"create table released.{name} as from {name}").fetchall()
                parquet = _quoted(scratch / f"{name}.parquet")
                connection.execute(
                    f"copy released.{name} to {parquet} (format parquet, compression zstd)"
                ).fetchall()
            connection.execute("checkpoint released").fetchall()
    print_report(watch.report())


def _quoted(path: Path) -> str:
    return "'" + str(path).replace("'", "''") + "'"


def _main() -> None:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.floor", description=__doc__)
    parser.add_argument("workspace", type=Path)
    parser.add_argument("scratch", type=Path)
    chosen = parser.parse_args()
    measure_floor(Workspace(chosen.workspace), chosen.scratch)


if __name__ == "__main__":
    _main()
