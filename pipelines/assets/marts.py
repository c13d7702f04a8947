"""One asset per SQL file: the relation's header gives its description and inputs, its text the columns.

Beside them what no query makes: what this run is made with and the cohorts, from the county file, what earlier releases
show and what is withheld.
"""

import datetime as dt
from collections.abc import Mapping
from typing import Any

import dagster as dg
from duckdb import DuckDBPyConnection
from pydantic import Field

from linkage.errors import UsageError
from linkage.source import declared_sources
from pipelines.cohorts import build_cohort_inputs
from pipelines.disclosure import AGGREGATES, build_shown_linkage_quality, build_withheld_cell
from pipelines.relations import Relation, build, column_lineage, describe, described_inputs, load_relations
from pipelines.releases.release import list_releases, release_id, releases_of_the_same_day
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace
from pipelines.state import default_as_of, run_state

_DELIVERIES = [f"{source}_delivery" for source in declared_sources()]

MADE_BY: Mapping[str, list[str]] = {
    "delivery": _DELIVERIES,
    "delivered_encounter": _DELIVERIES,
    "delivered_identity": _DELIVERIES,
    "encounter_kind": _DELIVERIES,
    "cohort_spell": ["cohort_definition"],
    "cohort_evidence": ["cohort_definition"],
}
"""Tables that assets of another name make."""


class AsOf(dg.Config):
    """The day at which everything is counted."""

    as_of: str | None = Field(
        default=None,
        pattern=r"^\d{4}-\d{2}-\d{2}$",
        description="ISO date; without it the first day that no delivery covers any more.",
    )


@dg.asset(
    deps=_DELIVERIES,
    group_name="staging",
    description="What this run is made with: as-of date and the county's release policy.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def run_parameter(county: CountyWorkspace, config: AsOf) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    settings = county.open().settings()
    with county.warehouse() as connection:
        as_of = dt.date.fromisoformat(config.as_of) if config.as_of else default_as_of(connection)
        if as_of is None:
            raise UsageError(
                "No delivery was ever accepted, so there is nothing to count. Land one and run again."
            )
        connection.execute(
            "create or replace table run_parameter as select ?::date as as_of, ?::varchar as county, "
            "?::integer as small_cell_threshold, ?::boolean as include_minors, ?::varchar[] as connected_by",
            [
                as_of,
                settings.name,
                settings.release.small_cell_threshold,
                settings.release.include_minors,
                list(settings.stepping_up.connected_by),
            ],
        ).fetchall()
        describe(connection, described_inputs()["run_parameter"])
    return dg.MaterializeResult(metadata={"as_of": str(as_of)})


@dg.asset(
    deps=["run_parameter", "encounter", "source_coverage", "person_crosswalk"],
    group_name="marts",
    description="The county's cohorts: what they say, the SQL they compile to, and when their rules held for whom.",
    kinds={"duckdb", "toml"},
    pool=WAREHOUSE_POOL,
)
def cohort_definition(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    cohorts = county.open().settings().cohorts
    with county.warehouse() as connection:
        build_cohort_inputs(connection, cohorts)
        describe(connection, described_inputs()["cohort_definition"])
    return dg.MaterializeResult(metadata={"cohorts": [cohort.name for cohort in cohorts]})


@dg.asset(
    deps=sorted(aggregate.counts for aggregate in AGGREGATES.values()),
    group_name="staging",
    description="Which cells of the published aggregates are withheld, so that nobody can tell that one is of few.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def withheld_cell(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    earlier = list_releases(county.open())
    with county.warehouse() as connection:
        withheld = build_withheld_cell(connection, earlier=[release.database for release in earlier])
        describe(connection, described_inputs()["withheld_cell"])
    return dg.MaterializeResult(metadata={"cells_withheld": withheld, "releases_compared": len(earlier)})


@dg.asset(
    deps=["run_parameter", "person_crosswalk"],
    group_name="staging",
    description="What releases of the same as-of date show of linkage quality, so that no change by few is told.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def shown_linkage_quality(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    with county.warehouse() as connection:
        # The release that this very run gives, when it is run again, is none to compare with.
        state = run_state(workspace, connection, workspace.settings())
        others = releases_of_the_same_day(workspace, as_of=str(state["as_of"]), beside=release_id(state))
        compared = build_shown_linkage_quality(connection, earlier=[each.database for each in others])
        describe(connection, described_inputs()["shown_linkage_quality"])
    return dg.MaterializeResult(metadata={"releases_compared": compared})


def relation_asset(relation: Relation) -> dg.AssetsDefinition:
    """The asset that makes one relation of sql/."""

    @dg.asset(
        name=relation.name,
        group_name=relation.folder,
        description=relation.comment,
        deps=sorted({asset for table in relation.inputs for asset in MADE_BY.get(table, [table])}),
        kinds={"duckdb", "sql"},
        pool=WAREHOUSE_POOL,
        code_version=relation.sha256[:12],
    )
    def _relation(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]
        with county.warehouse() as connection:
            rows = build(connection, relation)
            metadata = _table_metadata(connection, relation)
        counted = {"dagster/row_count": rows} if relation.is_kept else {}
        return dg.MaterializeResult(metadata={**counted, **metadata})

    return _relation


def _table_metadata(connection: DuckDBPyConnection, relation: Relation) -> dict[str, Any]:
    types = dict(
        connection.execute(
            "select column_name, data_type from duckdb_columns() where table_name = ? and not internal",
            [relation.name],
        ).fetchall()
    )
    schema = dg.TableSchema(
        [dg.TableColumn(name, types[name], description=says) for name, says in relation.columns.items()]
    )
    lineage = dg.TableColumnLineage(
        {
            column: [
                dg.TableColumnDep(dg.AssetKey(asset), of_column)
                # Two tables that one asset makes may have a column of the same name, and Dagster takes a pair once.
                for asset, of_column in sorted(
                    {(asset, each) for table, each in origins for asset in MADE_BY.get(table, [table])}
                )
            ]
            for column, origins in column_lineage(connection, relation).items()
        }
    )
    return {
        "dagster/table_name": relation.name,
        "dagster/column_schema": schema,
        "dagster/column_lineage": lineage,
    }


mart_assets = [
    run_parameter,
    cohort_definition,
    withheld_cell,
    shown_linkage_quality,
    *(relation_asset(relation) for relation in load_relations().values()),
]
