"""Measure a workspace's linkage and cohorts against the truth, by pair, by person and by cohort."""

from pathlib import Path

import duckdb
import polars as pl

from linkage.errors import UsageError
from linkage.evaluation import (
    CohortAgreement,
    Evaluation,
    client_groups,
    cohorts_as_text,
    compare_cohorts,
    evaluate,
)
from linkage.report.page import Truth
from pipelines.cohorts import build_cohort_inputs
from pipelines.linkage_report import KnownTruth, write_linkage_report
from pipelines.relations import build, load_relations
from pipelines.workspace import Workspace

_TAKEN_AS_THEY_ARE = (
    "run_parameter",
    "encounter_kind",
    "source_coverage",
    "source_record",
    "delivered_encounter",
)
_BUILT_WITH_TRUTH = ("latest_encounter", "encounter", "person")


def evaluate_workspace(workspace: Workspace, truth_file: Path) -> str:
    """Compare the last run with the truth and say how well it did, as text.

    `truth_file` (Parquet or CSV) has source, client_id as delivered, and truth_id.
    """
    truth = read_truth(truth_file)
    workspace.prepare()
    with workspace.only_run():
        evaluation, cohorts = measured_against_truth(workspace, truth)
        known = KnownTruth(clients=truth, measured=Truth(evaluation=evaluation, cohorts=cohorts))
        with workspace.connect() as connection:
            page = write_linkage_report(workspace, connection, known=known, compare_methods=True)
    return (
        f"{evaluation.as_text()}\n\nCohort membership\n{cohorts_as_text(cohorts)}\n\nSide by side with other methods, "
        f"and with charts: {page}"
    )


def read_truth(path: Path) -> pl.DataFrame:
    """Read a truth file. Raises UsageError when it is not one."""
    try:
        truth = pl.read_parquet(path) if path.suffix == ".parquet" else pl.read_csv(path, infer_schema=False)
        return truth.select("source", "client_id", "truth_id")
    except (pl.exceptions.PolarsError, OSError):
        raise UsageError(
            f"{path} is not a truth file; it needs the columns source, client_id (as delivered) and truth_id."
        ) from None


def measured_against_truth(
    workspace: Workspace, truth: pl.DataFrame
) -> tuple[Evaluation, dict[str, CohortAgreement]]:
    """Linkage and cohort membership of the last run, against the persons and cohorts of the truth.

    The true cohorts are made by the same SQL and the same rules, from the true persons.
    """
    try:
        with workspace.connect(read_only=True) as connection:
            ((year,),) = connection.execute("select year(as_of) from run_parameter").fetchall()
            evaluation = evaluate(connection, truth, groups=client_groups(connection, as_of_year=year))
            found = connection.sql("select cohort, person_id from cohort_membership where is_member").pl()
            clients = connection.sql("select source, client_id, person_id from person_crosswalk").pl()
    except duckdb.CatalogException:
        raise UsageError(f"{workspace.root} holds no finished run. Run `familiar-faces run` first.") from None
    known = clients.join(truth, on=["source", "client_id"])
    cohorts = compare_cohorts(found=found, true=_true_cohorts(workspace, truth), clients=known)
    return evaluation, cohorts


def _true_cohorts(workspace: Workspace, truth: pl.DataFrame) -> pl.DataFrame:
    with duckdb.connect(config={"preserve_insertion_order": False}) as connection:
        connection.execute(
            f"attach '{str(workspace.warehouse).replace(chr(39), chr(39) * 2)}' as warehouse (read_only)"
        ).fetchall()
        for table in _TAKEN_AS_THEY_ARE:
            connection.execute(f"create table {table} as from warehouse.{table}").fetchall()
        connection.register("truth", truth)
        connection.execute(
            "create table person_crosswalk as select source, client_id, truth_id::varchar as person_id, "
            "person_id as person_id_080, person_id as person_id_095, person_id as person_id_099 from truth"
        ).fetchall()
        relations = load_relations()
        for relation in _BUILT_WITH_TRUTH:
            build(connection, relations[relation])
        build_cohort_inputs(connection, workspace.settings().cohorts)
        build(connection, relations["cohort_membership"])
        true: pl.DataFrame = connection.sql(
            "select cohort, person_id as truth_id from cohort_membership where is_member"
        ).pl()
    return true.with_columns(pl.col("truth_id").cast(truth.schema["truth_id"]))
