"""The page on which a steward records what must no longer be anywhere, and sees what became of it."""

import datetime as dt
from collections.abc import Mapping

from starlette.responses import Response

from linkage.errors import FamiliarFacesError, UsageError
from linkage.source import declared_sources
from linkage.tombstones import Tombstone, every_tombstone, record_tombstones
from quality.desk.visit import Visit, redirect

_ROWS_SHOWN = 500


def show_retractions(visit: Visit, *, problem: str | None = None) -> Response:
    """What was retracted, whether a run has carried it out, which releases to recall, and the form."""
    desk = visit.desk
    recorded = every_tombstone(desk.stewardship)
    visit.log("look at retractions")
    return visit.page(
        "retractions.html.j2",
        status_code=409 if problem else 200,
        problem=problem,
        sources={source.name: source.label for source in declared_sources().values()},
        today=desk.clock().date().isoformat(),
        recorded=recorded.reverse().head(_ROWS_SHOWN).to_dicts(),
        total=recorded.height,
        waiting=recorded["erased_at"].null_count(),
        to_recall=desk.to_recall(),
        given=visit.form,
    )


def record_retractions(visit: Visit) -> Response:
    """Record the ids of the form, all of them or none."""
    desk = visit.desk
    try:
        tombstones = _read_form(visit.form)
        record_tombstones(desk.stewardship, tombstones, recorded_by=visit.steward, now=desk.clock())
    except FamiliarFacesError as error:
        return show_retractions(visit, problem=str(error))
    visit.log("record retractions")
    return redirect("/retractions")


def _read_form(form: Mapping[str, str]) -> list[Tombstone]:
    if form.get("sure") != "yes":
        raise UsageError("Say that you are sure: a retraction cannot be taken back. Nothing was recorded.")
    try:
        effective_on = dt.date.fromisoformat(form.get("effective_on", ""))
    except ValueError:
        raise UsageError("The day from which it holds is written YYYY-MM-DD. Nothing was recorded.") from None
    column = {"clients": "client_id", "encounters": "encounter_id"}.get(form.get("what", ""))
    if column is None:
        raise UsageError("Choose whether these are clients or encounters. Nothing was recorded.")
    tombstones = []
    for number, line in enumerate(form.get("ids", "").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            tombstones.append(
                Tombstone(source=form.get("source", ""), effective_on=effective_on, **{column: line.strip()})
            )
        except UsageError as error:
            raise UsageError(f"Line {number}: {error} Nothing was recorded.") from None
    if not tombstones:
        raise UsageError("Give at least one id, one in each line. Nothing was recorded.")
    return tombstones
