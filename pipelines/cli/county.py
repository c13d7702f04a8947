"""Commands of the data team: dagster, train, run, evaluate, link-on-spark."""

import datetime as dt
import os
import sys
from pathlib import Path

import click

from pipelines.cli.root import EXISTING_FILE, cli, example, workspace_option


@cli.command(epilog=example("familiar-faces dagster --workspace county"))
@workspace_option
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True)
@click.option(
    "--only", type=click.Choice(["daemon", "webserver"]), help="One of the two, under a supervisor."
)
def dagster(workspace: Path, port: int, only: str | None) -> None:
    """Open the Dagster UI on this computer, with the daemon that runs sensors and schedules."""
    from pipelines.operations.history import write_instance_settings
    from pipelines.workspace import WORKSPACE_VARIABLE, Workspace

    opened = Workspace(workspace)
    opened.prepare()
    environment = {
        **os.environ,
        **write_instance_settings(opened),
        WORKSPACE_VARIABLE: str(opened.root),
    }
    at = ["--host", "127.0.0.1", "--port", str(port)]
    module = ["-m", "pipelines.definitions"]
    command = {
        None: ["dagster", "dev", *at, *module],
        "daemon": ["dagster-daemon", "run", *module],
        "webserver": ["dagster-webserver", *at, *module],
    }[only]
    program = Path(sys.executable).with_name(command[0])
    os.execve(program, command, environment)  # noqa: S606


@cli.command(epilog=example("familiar-faces train --workspace county"))
@workspace_option
def train(workspace: Path) -> None:
    """Train a new linkage model on what has been accepted, and keep it beside the older ones."""
    from pipelines.run import train_model
    from pipelines.workspace import Workspace

    click.echo(train_model(Workspace(workspace)))


@cli.command(epilog=example("familiar-faces run --workspace county --as-of 2026-04-01"))
@workspace_option
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Count up to this day (default: the last day covered)."
)
def run(workspace: Path, as_of: dt.datetime | None) -> None:
    """Ingest what landed, check, link, build the tables and publish a release."""
    from pipelines.run import refresh
    from pipelines.workspace import Workspace

    click.echo(refresh(Workspace(workspace), as_of=as_of.date() if as_of else None))


@cli.command(epilog=example("familiar-faces evaluate --workspace county --truth truth.parquet"))
@workspace_option
@click.option(
    "--truth", type=EXISTING_FILE, required=True, help="Parquet or CSV: source, client_id, truth_id."
)
def evaluate(workspace: Path, truth: Path) -> None:
    """Measure linkage and cohorts against the truth (a simulated county's, or labelled pairs)."""
    from pipelines.evaluate import evaluate_workspace
    from pipelines.workspace import Workspace

    click.echo(evaluate_workspace(Workspace(workspace), truth))


@cli.command(
    "link-on-spark",
    epilog=example(
        "familiar-faces link-on-spark --records hdfs:///county/source_record --model models/v1-2bdad006.json "
        "--out hdfs:///county/linked --master yarn"
    ),
)
@click.option("--records", required=True, help="The table source_record as Parquet, where Spark can read it.")
@click.option(
    "--model", "model_file", type=EXISTING_FILE, required=True, help="A model file of the workspace."
)
@click.option("--out", required=True, help="Where Spark writes scored_pair, cluster and rejected_union.")
@click.option("--master", help="Spark's master (default: what Spark's own configuration says).")
def link_on_spark(records: str, model_file: Path, out: str, master: str | None) -> None:
    """Weigh and cluster source records on a Spark cluster, for more of them than one machine holds."""
    from linkage.model_file import Model
    from linkage.spark import link_on_spark as link
    from linkage.spark import spark_session

    model = Model.load(model_file)
    with spark_session(master) as spark:
        scoring, clustering = link(spark, model, records=records, out=out)
    click.echo(
        f"{out}: {scoring.records:,} source records, {scoring.scored_pairs + clustering.weighed_pairs:,} scored pairs, "
        f"{clustering.clients:,} clients in {clustering.clusters:,} clusters (model {model.version})"
    )
