"""Assets that say how good the links are: the measures, and the page that shows them."""

import dagster as dg
from pydantic import Field

from linkage.decisions import effective_decisions
from linkage.errors import CheckFailedError
from linkage.measures import measure_linkage, write_measures
from pipelines.assets.linkage import linkage_model, person_crosswalk, scored_pair
from pipelines.linkage_report import write_linkage_report
from pipelines.models import chosen_model
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace

_GROUP = "linkage"


@dg.asset(
    deps=[person_crosswalk, scored_pair, linkage_model, "run_parameter"],
    group_name=_GROUP,
    description="How good this run's links are, told without the truth, before small cells are withheld.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def linkage_measure(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    with county.warehouse() as connection:
        ((version, link_weight, year),) = connection.execute(
            "select model_version, link_weight, year(as_of) from linkage_run cross join run_parameter"
        ).fetchall()
        model = chosen_model(workspace, version)
        if model is None:
            raise CheckFailedError(
                f"{workspace.models} holds no linkage model. Run `familiar-faces run` first."
            )
        measures = measure_linkage(
            connection,
            model,
            link_weight=link_weight,
            as_of_year=year,
            decisions=effective_decisions(workspace.stewardship),
        )
        rows = write_measures(connection, measures)
    overall = {
        each.measure: each.value for each in measures if each.family == "all" and each.value is not None
    }
    return dg.MaterializeResult(metadata={"dagster/row_count": rows, **overall})


class Page(dg.Config):
    """What the page shows beside the run's own figures."""

    compare_methods: bool = Field(
        default=False,
        description="Other ways to cluster the same pairs, side by side; takes seconds a threshold.",
    )


@dg.asset(
    deps=[linkage_measure, "linkage_quality"],
    group_name=_GROUP,
    description="The page on which stewards read how good the links are; it opens from disk, without a network.",
    kinds={"html"},
    pool=WAREHOUSE_POOL,
)
def linkage_report(county: CountyWorkspace, config: Page) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    with county.warehouse() as connection:
        page = write_linkage_report(workspace, connection, compare_methods=config.compare_methods)
    return dg.MaterializeResult(
        metadata={
            "linkage_report": dg.MetadataValue.url(page.absolute().as_uri()),
            "path": dg.MetadataValue.path(str(page)),
        }
    )


quality_assets = [linkage_measure, linkage_report]
