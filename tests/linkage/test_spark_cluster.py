"""A Spark cluster of two workers, each a process of its own: the same pairs and the same clusters as DuckDB's.

What `local[2]` leaves out is here: executors in other processes, tables sent to them and shuffled between them over
sockets, encrypted as docs/scale.md says. What is still not here is a second machine.
"""

import contextlib
import json
import os
import secrets
import signal
import socket
import subprocess
import time
import urllib.request
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import pytest

from linkage.clustering import cluster
from linkage.decisions import decisions_in
from tests.linkage.engines import (
    ONE_MACHINE,
    decide_against_the_records,
    differing_rows,
    same_pairs,
    skip_without_spark,
)
from tests.pipelines.commands import start

pytestmark = [pytest.mark.slow, pytest.mark.endurance]

_SECONDS_TO_START = 90
_SECONDS_TO_LINK = 420


@dataclass(frozen=True, kw_only=True)
class LinkedByWorkers:
    """DuckDB's connection, with the same decisions applied; where Spark wrote its tables, and its log of events."""

    con: duckdb.DuckDBPyConnection
    out: Path
    events: Path


def free_ports(count: int) -> list[int]:
    with contextlib.ExitStack() as stack:
        held = [stack.enter_context(socket.socket()) for _ in range(count)]
        for each in held:
            each.bind(("127.0.0.1", 0))
        return [each.getsockname()[1] for each in held]


@contextlib.contextmanager
def daemon(name: str, folder: Path, *arguments: object) -> Iterator[None]:
    """A process of Spark's own, in a group of its own, so that the executors it starts end with it."""
    import pyspark

    with (folder / f"{name}.log").open("wb") as log:
        process = subprocess.Popen(
            [Path(pyspark.__file__).parent / "bin" / "spark-class", *map(str, arguments)],
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )
        try:
            yield
        finally:
            for sent in (signal.SIGTERM, signal.SIGKILL):
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, sent)
                with contextlib.suppress(subprocess.TimeoutExpired):
                    process.wait(timeout=20)
            process.wait(timeout=20)


def wait_for_workers(port: int, workers: int, folder: Path) -> None:
    """Ask the master's page until so many workers live; fails with the end of its log."""
    until = time.monotonic() + _SECONDS_TO_START
    while time.monotonic() < until:
        with (
            contextlib.suppress(OSError),
            urllib.request.urlopen(f"http://127.0.0.1:{port}/json/", timeout=5) as page,
        ):
            if json.load(page)["aliveworkers"] == workers:
                return
        time.sleep(0.5)
    pytest.fail(f"{workers} workers did not start: {(folder / 'master.log').read_text()[-2000:]}")


@pytest.fixture(scope="module")
def by_workers(linked_county, tmp_path_factory):
    skip_without_spark()
    folder = tmp_path_factory.mktemp("cluster")
    stewardship, out, events = folder / "stewardship.sqlite", folder / "out", folder / "events"
    records, model_file = folder / "source_record.parquet", folder / "model.json"
    events.mkdir()
    linked_county.con.execute(f"copy source_record to '{records}'").fetchall()
    linked_county.model.save(model_file)
    decide_against_the_records(linked_county.con, stewardship)
    port, page_port = free_ports(2)
    configuration = folder / "configuration"
    configuration.mkdir(mode=0o700)
    settings = ONE_MACHINE | {
        "spark.master": f"spark://127.0.0.1:{port}",
        "spark.cores.max": "2",
        "spark.executor.cores": "1",
        "spark.executor.memory": "1g",
        "spark.driver.host": "127.0.0.1",
        "spark.driver.bindAddress": "127.0.0.1",
        "spark.authenticate": "true",
        "spark.authenticate.secret": secrets.token_hex(),
        "spark.network.crypto.enabled": "true",
        "spark.io.encryption.enabled": "true",
        "spark.eventLog.enabled": "true",
        "spark.eventLog.dir": str(events),
        "spark.eventLog.compress": "false",
        "spark.local.dir": str(folder / "spill"),
        "spark.sql.warehouse.dir": str(folder / "warehouse"),
    }
    (configuration / "spark-defaults.conf").write_text(
        "".join(f"{name} {value}\n" for name, value in settings.items()), encoding="utf-8"
    )
    with pytest.MonkeyPatch.context() as patch, contextlib.ExitStack() as stack:
        patch.setenv("SPARK_CONF_DIR", str(configuration))
        patch.setenv("SPARK_LOCAL_IP", "127.0.0.1")
        patch.delenv("PYSPARK_SUBMIT_ARGS", raising=False)
        deploy = "org.apache.spark.deploy"
        stack.enter_context(
            daemon(
                "master", folder, f"{deploy}.master.Master",
                "--host", "127.0.0.1", "--port", port, "--webui-port", page_port,
            )
        )  # fmt: skip
        for number in (1, 2):
            stack.enter_context(
                daemon(
                    f"worker{number}", folder, f"{deploy}.worker.Worker", "--host", "127.0.0.1", "--webui-port", 0,
                    "--cores", 1, "--memory", "1g", "--work-dir", folder / f"work{number}",
                    settings["spark.master"],
                )
            )  # fmt: skip
        wait_for_workers(page_port, 2, folder)
        linking = start(
            "link-on-spark",
            "--records",
            records,
            "--model",
            model_file,
            "--out",
            out,
            "--decisions",
            stewardship,
        )
        try:
            _, complaint = linking.communicate(timeout=_SECONDS_TO_LINK)
        finally:
            linking.kill()
        assert linking.returncode == 0, complaint
    with duckdb.connect() as con:
        for table in ("source_record", "scored_pair", "name_share"):
            con.register("rows", linked_county.con.table(table).to_arrow_table())
            con.execute(f"create table {table} as select * from rows").fetchall()
        cluster(con, linked_county.model, decisions=decisions_in(stewardship))
        yield LinkedByWorkers(con=con, out=out, events=events)


def test_both_workers_did_part_of_the_work(by_workers):
    lines = [
        json.loads(line)
        for file in by_workers.events.rglob("events_*")
        for line in file.read_text(encoding="utf-8").splitlines()
    ]
    tasks = [line["Task Info"]["Executor ID"] for line in lines if line["Event"] == "SparkListenerTaskEnd"]
    assert set(tasks) == {"0", "1"}
    assert min(tasks.count("0"), tasks.count("1")) > 20


def test_a_cluster_gives_the_same_scored_pairs(by_workers):
    assert same_pairs(by_workers.con, by_workers.out / "scored_pair", profile="standard") > 3_000


@pytest.mark.parametrize("table", ["cluster", "rejected_union"])
def test_a_cluster_gives_the_same_clusters_under_the_same_decisions(by_workers, table):
    assert differing_rows(by_workers.con, table, by_workers.out / table) == 0
    assert by_workers.con.execute(f"select count(*) from {table}").fetchall()[0][0] > 0
