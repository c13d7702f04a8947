"""From a checked warehouse to a release: which relations, under which conditions."""

import datetime as dt
from collections.abc import Iterable, Mapping
from typing import Any

import duckdb

from linkage.errors import PolicyError
from pipelines.decide import refuse_broken_decisions
from pipelines.relations import describe, described_inputs, load_relations
from pipelines.releases.release import Release, current_release, publish, release_id
from pipelines.settings import CountySettings
from pipelines.state import fingerprint, require_checks, run_state
from pipelines.workspace import Workspace
from quality.sign_off import SignOff, Verdict, sign_off_for

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
    is not honoured, and PolicyError when an agreement has expired since, a steward refused this state, or the
    sign-off is missing or has run out.
    """
    settings = workspace.settings()
    state = run_state(workspace, connection, settings)
    checks = require_checks(connection, state, suites)
    refuse_broken_decisions(connection, workspace.stewardship)
    for source in sorted({source for source, *_ in state["deliveries"]}):
        settings.agreement_for(source, today)
    signed = _sign_off(workspace, settings, state, dt.datetime.now(dt.UTC))
    for name in _RELEASED_INPUTS:
        describe(connection, described_inputs()[name])
    return publish(
        workspace,
        connection,
        relations=released_relations(),
        state=state,
        details={"county": settings.name, "checks": checks, "signed_by": signed.signer if signed else None},
        readers_group=settings.release.readers_group,
    )


def _sign_off(
    workspace: Workspace, settings: CountySettings, state: Mapping[str, Any], now: dt.datetime
) -> SignOff | None:
    """The approval under which this state may be published, where there is one.

    An approval that has run out no longer counts, but a release that became current under it stays so.
    """
    signed = sign_off_for(workspace.stewardship, fingerprint(state))
    if signed is not None and signed.verdict == Verdict.REFUSED:
        raise PolicyError(
            f"{signed.signer} refused this state at {signed.signed_at}, so it is not released. Read the reason with "
            f"`familiar-faces release changes --workspace {workspace.root}`, correct the cause and run again."
        )
    if signed is not None and signed.good_until(settings.release.sign_off_good_for_days) > now:
        return signed
    current = current_release(workspace)
    if not settings.release.sign_off_required or (current and current.release_id == release_id(state)):
        return None
    expired = "the sign-off has run out: " if signed else ""
    raise PolicyError(
        f"Everything is prepared and checked, but {expired}{settings.name} releases nothing without a steward's "
        f"sign-off. Read {workspace.quality_docs / 'index.html'} and `familiar-faces release changes`, then run "
        f"`familiar-faces release --workspace {workspace.root} --sign-off NAME`."
    )
