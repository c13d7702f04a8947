"""From a checked warehouse to a release: which relations, under which conditions."""

import datetime as dt
from collections.abc import Iterable

import duckdb

from linkage.errors import PolicyError
from pipelines.decide import refuse_broken_decisions
from pipelines.relations import describe, described_inputs, load_relations
from pipelines.release import Release, publish
from pipelines.settings import CountySettings
from pipelines.state import fingerprint, require_checks, run_state
from pipelines.workspace import Workspace
from quality.sign_off import sign_off_for

_RELEASED_INPUTS = (
    "run_parameter",
    "person_crosswalk",
    "encounter_kind",
    "cohort_definition",
    "person_id_change",
)


def released_relations() -> dict[str, str]:
    """Relations of a release, each with the ordering of its rows: every mart, and what marts refer to."""
    inputs = {name: described_inputs()[name].order for name in _RELEASED_INPUTS}
    marts = {
        name: relation.order for name, relation in load_relations().items() if relation.folder == "marts"
    }
    return dict(sorted({**inputs, **marts}.items()))


def publish_prepared(
    workspace: Workspace, connection: duckdb.DuckDBPyConnection, suites: Iterable[str], today: dt.date
) -> Release:
    """Publish the tables in the warehouse if they were checked, and signed where the county asks for it.

    Raises CheckFailedError when a check of `suites` was not run on this state or stops it, or a steward's decision
    is not honoured, and PolicyError when an agreement has expired since or the sign-off is missing.
    """
    settings = workspace.settings()
    state = run_state(workspace, connection, settings)
    checks = require_checks(connection, state, suites)
    refuse_broken_decisions(connection, workspace.stewardship)
    for source in sorted({source for source, *_ in state["deliveries"]}):
        settings.agreement_for(source, today)
    signer = _signer(workspace, settings, fingerprint(state))
    for name in _RELEASED_INPUTS:
        describe(connection, described_inputs()[name])
    return publish(
        workspace,
        connection,
        relations=released_relations(),
        state=state,
        details={"county": settings.name, "checks": checks, "signed_by": signer},
        readers_group=settings.release.readers_group,
    )


def _signer(workspace: Workspace, settings: CountySettings, of_state: str) -> str | None:
    sign_off = sign_off_for(workspace.stewardship, of_state)
    if sign_off is None and settings.release.sign_off_required:
        raise PolicyError(
            f"Everything is prepared and checked, but {settings.name} releases nothing without a steward's sign-off. "
            f"Read {workspace.quality_docs / 'index.html'}, then run "
            f"`familiar-faces release --workspace {workspace.root} --sign-off NAME`."
        )
    return sign_off.signer if sign_off else None
