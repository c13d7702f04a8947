"""What stewards decided, held against the persons that a run made, and what they should look at next."""

import dagster as dg

from linkage.decisions import effective_decisions, waiting_decisions
from pipelines.assets.linkage import person_crosswalk
from pipelines.decide import broken_sentence
from pipelines.desk import prepare_cases
from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace


@dg.asset_check(
    asset=person_crosswalk,
    blocking=True,
    pool=WAREHOUSE_POOL,
    description="No two clients that a steward keeps apart share a person, and every two that a steward links do.",
)
def decisions_are_honoured(county: CountyWorkspace) -> dg.AssetCheckResult:  # noqa: D103
    workspace = county.open()
    decisions = effective_decisions(workspace.stewardship)
    with county.warehouse() as connection:
        broken = broken_sentence(connection, workspace.stewardship)
        waiting = waiting_decisions(connection, decisions)
    return dg.AssetCheckResult(
        passed=broken is None,
        severity=dg.AssetCheckSeverity.ERROR,
        metadata={
            "found": broken
            or f"{decisions.height} decisions hold; {waiting} wait for a client that is not delivered.",
            "decisions": decisions.height,
            "waiting": waiting,
        },
    )


@dg.asset(
    deps=[person_crosswalk, "encounter", "impossible_pair", "run_parameter"],
    group_name="linkage",
    description="Uncertain pairs for the review desk, in a file of its own that stewards can read at any time.",
    kinds={"sqlite"},
    pool=WAREHOUSE_POOL,
)
def review_case(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    workspace = county.open()
    with county.warehouse() as connection:
        kinds = prepare_cases(workspace, connection)
    return dg.MaterializeResult(
        metadata={"dagster/row_count": sum(kinds.values()), "kinds": dg.MetadataValue.json(kinds)}
    )


stewardship_assets = [review_case]
stewardship_checks = [decisions_are_honoured]
