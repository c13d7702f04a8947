"""Both engines on the same source records and the same model: `python -m benchmarks.engines compare FOLDER`.

Everything stays in FOLDER, which is made: a simulated county, its encoded deliveries, a workspace, its source records
as Parquet, and what each engine made of them. Spark runs on this machine, as `local[cores]`, so that the figure is
what its machinery costs, not what a cluster saves. The figures go to `results/engines-<people rows>.json`.
"""

import argparse
import json
import os
from pathlib import Path

from benchmarks.measure import Stopwatch, machine, measure_module, print_report

RESULTS = Path(__file__).parent / "results"
_FOR_ONE_MACHINE = "--conf spark.ui.enabled=false --conf spark.sql.shuffle.partitions=8"
"""Two hundred partitions, as Spark has by default, are for clusters: on two cores they are what takes the time."""

_CLOCK_TICKS = os.sysconf("SC_CLK_TCK")


def compare(folder: Path, people_rows: int) -> None:
    """Prepare the county, measure both engines, one after another, and write the figures down."""
    county, workspace = folder / "county", folder / "workspace"
    simulated = measure_module("benchmarks.county", "simulate", county, str(people_rows))
    measure_module("benchmarks.county", "encode", county, workspace / "landing")
    measure_module("benchmarks.encoded", "ingest", workspace)
    measure_module("benchmarks.encoded", "train", workspace)
    on_duckdb = measure_module("benchmarks.engines", "duckdb", folder)
    on_spark = measure_module("benchmarks.engines", "spark", folder)
    figures = {
        "people_rows": simulated.report["people_rows"],
        "machine": machine(),
        "duckdb": on_duckdb.as_json(),
        "spark": on_spark.as_json(),
    }
    (RESULTS / f"engines-{people_rows}.json").write_text(
        json.dumps(figures, indent=2) + "\n", encoding="utf-8"
    )
    print(json.dumps(figures, indent=2))


def link_on_duckdb(folder: Path) -> None:
    """Score and cluster in a warehouse of its own; also leave the source records as Parquet for Spark."""
    import duckdb

    from linkage.clustering import cluster
    from linkage.scoring import LEAST_WEIGHT_KEPT, score
    from pipelines.models import chosen_model
    from pipelines.workspace import Workspace

    workspace = Workspace(folder / "workspace")
    model = chosen_model(workspace, "newest")
    assert model is not None
    records = folder / "source_record.parquet"
    with workspace.connect(read_only=True) as connection:
        connection.table("source_record").write_parquet(str(records))
    watch = Stopwatch()
    with duckdb.connect(folder / "on_duckdb.duckdb") as con:
        with watch.part("read"):
            con.execute(
                "create table source_record as select * from read_parquet(?)", [str(records)]
            ).fetchall()
        with watch.part("score"):
            scored = score(con, model, lower_weight=LEAST_WEIGHT_KEPT)
        with watch.part("cluster"):
            clustered = cluster(con, model)
    print_report(
        {
            **watch.report(),
            "records": scored.records,
            "candidate_pairs": scored.candidate_pairs,
            "scored_pairs": scored.scored_pairs,
            "clusters": clustered.clusters,
        }
    )


def link_with_spark(folder: Path) -> None:
    """The same on Spark, with the processor time and peak memory of its Java process beside those of the driver."""
    from linkage.spark import link_on_spark, spark_session
    from pipelines.models import chosen_model
    from pipelines.workspace import Workspace

    model = chosen_model(Workspace(folder / "workspace"), "newest")
    assert model is not None
    os.environ["PYSPARK_SUBMIT_ARGS"] = f"--driver-memory 4g {_FOR_ONE_MACHINE} pyspark-shell"
    watch = Stopwatch()
    with watch.part("start Spark"):
        session = spark_session(f"local[{os.cpu_count()}]")
        spark = session.__enter__()
    with watch.part("link"):
        scored, clustered = link_on_spark(
            spark, model, records=str(folder / "source_record.parquet"), out=str(folder / "on_spark")
        )
    java_seconds, java_peak_gb = _used_by_java()
    session.__exit__(None, None, None)
    print_report(
        {
            **watch.report(),
            "java_cpu_seconds": round(java_seconds, 2),
            "java_peak_gb": round(java_peak_gb, 3),
            "records": scored.records,
            "candidate_pairs": scored.candidate_pairs,
            "scored_pairs": scored.scored_pairs,
            "clusters": clustered.clusters,
        }
    )


def _used_by_java() -> tuple[float, float]:
    """Processor time (seconds) and peak resident memory (GiB) of this process's Java child, as Linux tells them."""
    for child in Path(f"/proc/self/task/{os.getpid()}/children").read_text().split():
        if (Path("/proc") / child / "comm").read_text().strip() == "java":
            fields = (Path("/proc") / child / "stat").read_text().rpartition(") ")[2].split()
            status = dict(
                line.split(":", 1) for line in (Path("/proc") / child / "status").read_text().splitlines()
            )
            return (int(fields[11]) + int(fields[12])) / _CLOCK_TICKS, int(status["VmHWM"].split()[0]) / 2**20
    raise RuntimeError("Spark started no Java process of this one.")


def _main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawTextHelpFormatter)
    parser.add_argument("part", choices=("compare", "duckdb", "spark"))
    parser.add_argument("folder", type=Path)
    parser.add_argument("--people-rows", type=int, default=100_000, metavar="N")
    chosen = parser.parse_args()
    if chosen.part == "duckdb":
        link_on_duckdb(chosen.folder)
    elif chosen.part == "spark":
        link_with_spark(chosen.folder)
    else:
        compare(chosen.folder, chosen.people_rows)


if __name__ == "__main__":
    _main()
