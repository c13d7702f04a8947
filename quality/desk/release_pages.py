"""The page on which a steward approves or refuses what would be released."""

import json
from typing import Any

from starlette.responses import Response

from linkage.decisions import decisions_fingerprint
from linkage.errors import FamiliarFacesError
from quality.desk.reviews import NOTE_LENGTH
from quality.desk.visit import Desk, Visit, redirect
from quality.sign_off import Verdict, record_sign_off, sign_offs


def show_release(visit: Visit, *, problem: str | None = None) -> Response:
    """What would be released, how it differs from the current release, and the form to sign or refuse it."""
    desk = visit.desk
    prepared = _prepared(desk)
    if prepared is None:
        return visit.page(
            "message.html.j2",
            title="Nothing to sign",
            says="No run has prepared a release yet. Run `familiar-faces run`, then come back.",
        )
    signed = [each for each in sign_offs(desk.stewardship) if each.fingerprint == prepared["fingerprint"]]
    visit.log("look at what would be released", prepared["release_id"])
    days = prepared["sign_off_good_for_days"]
    return visit.page(
        "release.html.j2",
        status_code=409 if problem else 200,
        problem=problem,
        prepared=prepared,
        is_current=desk.current_release.is_symlink()
        and desk.current_release.readlink().name == prepared["release_id"],
        decided_since=prepared["decisions"] != decisions_fingerprint(desk.stewardship),
        signed=signed[::-1],
        expired=bool(signed) and signed[-1].good_until(days) <= desk.clock(),
        stopped=any(check["stops"] for check in prepared["checks"]["not_met"]),
        note_length=NOTE_LENGTH,
    )


def sign_release(visit: Visit) -> Response:
    """Record an approval or a refusal of exactly what was on the page."""
    desk = visit.desk
    prepared = _prepared(desk)
    if prepared is None or visit.form.get("fingerprint") != prepared["fingerprint"]:
        return show_release(visit, problem="A run has prepared something else since. Look again, then sign.")
    try:
        record_sign_off(
            desk.stewardship,
            prepared["fingerprint"],
            visit.steward,
            desk.clock(),
            verdict=Verdict(visit.form.get("verdict", "")),
            reason=visit.form.get("reason", "")[:NOTE_LENGTH],
        )
    except ValueError:
        return show_release(visit, problem="Choose to approve or to refuse.")
    except FamiliarFacesError as error:
        return show_release(visit, problem=str(error))
    visit.log("sign", prepared["release_id"])
    return redirect("/release")


def _prepared(desk: Desk) -> dict[str, Any] | None:
    if not desk.prepared.is_file():
        return None
    account: dict[str, Any] = json.loads(desk.prepared.read_text(encoding="utf-8"))
    return account
