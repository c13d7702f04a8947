"""The desk as a web application: pages made at the server, forms that need a token, nothing from elsewhere.

What protects it: it answers only to the host names it was started with (no DNS rebinding); every page but sign-in
needs a visit, whose cookie scripts cannot read and other sites cannot send; every form carries the visit's secret
and must come from the desk's own pages; the Content-Security-Policy allows the desk's own style sheet and script
and nothing else, inline or from afar; nothing is cached.
"""

import hmac
import secrets
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from urllib.parse import parse_qs, urlsplit

from starlette.applications import Starlette
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware import Middleware
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.requests import Request
from starlette.responses import Response
from starlette.routing import Mount, Route
from starlette.staticfiles import StaticFiles
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from linkage.decisions import effective_decisions, every_decision
from linkage.errors import FamiliarFacesError
from linkage.model import comparison
from linkage.source import declared_sources
from quality.access_log import accesses, log_access
from quality.desk.agreement import cohens_kappa
from quality.desk.pictures import timelines, waterfall
from quality.desk.queue import (
    Pair,
    Progress,
    progress_of,
    queue_for,
    wants_second_review,
)
from quality.desk.release_pages import show_release, sign_release
from quality.desk.retraction_pages import record_retractions, show_retractions
from quality.desk.reviews import (
    NOTE_LENGTH,
    Answer,
    Review,
    by_case,
    disagree,
    double_labels,
    every_review,
    latest_of_each,
    record_review,
    standing_reviews,
    undo_last,
)
from quality.desk.sessions import SESSION_LASTS
from quality.desk.snapshot import Case, Evidence, Snapshot, opened_snapshot
from quality.desk.stewards import is_revoked_since, steward_of
from quality.desk.visit import Desk, Visit, csv_download, redirect, rendered
from quality.sign_off import sign_offs

COOKIE = "familiar_faces_desk"

CONTENT_SECURITY_POLICY = (
    "default-src 'none'; style-src 'self'; script-src 'self'; form-action 'self'; base-uri 'none'; "
    "frame-ancestors 'none'"
)
_HEADERS = {
    "Content-Security-Policy": CONTENT_SECURITY_POLICY,
    "X-Content-Type-Options": "nosniff",
    # Not no-referrer: with it a browser sends forms with the origin "null", even to the page's own host.
    "Referrer-Policy": "same-origin",
    "Cross-Origin-Opener-Policy": "same-origin",
    "Cross-Origin-Resource-Policy": "same-origin",
    "Permissions-Policy": "camera=(), geolocation=(), microphone=()",
}
_BEFORE_SIGN_IN = "familiar_faces_sign_in"
_LARGEST_FORM = 16_384
_ROWS_PER_PAGE = 100

ANSWERS = {
    Answer.LINK: "One person",
    Answer.DO_NOT_LINK: "Two people",
    Answer.UNSURE: "Cannot say",
    Answer.SKIP: "Later",
}
"""Each answer in words."""

_COMPARISONS = {"ssn": "Social Security number", "zip3": "Area (ZIP code)", "birth_date": "Birth date"}


DIFFERING_LEVELS = {("ssn", "last_four_differ"), ("birth_date", "years_close")}
"""Levels that differ beside each comparison's weakest, which always does."""


def application(desk: Desk) -> Starlette:
    """The desk, ready to be served."""
    return Starlette(
        routes=[
            Route("/", _view(desk, overview)),
            Route("/next", _view(desk, next_case)),
            Route("/case/{case_id}", _view(desk, show_case)),
            Route("/case/{case_id}", _view(desk, answer_case), methods=["POST"]),
            Route("/undo", _view(desk, undo), methods=["POST"]),
            Route("/disagreements", _view(desk, disagreements)),
            Route("/release", _view(desk, show_release)),
            Route("/release", _view(desk, sign_release), methods=["POST"]),
            Route("/retractions", _view(desk, show_retractions)),
            Route("/retractions", _view(desk, record_retractions), methods=["POST"]),
            Route("/audit", _view(desk, audit)),
            Route("/access", _view(desk, show_accesses)),
            Route("/export/access.csv", _view(desk, export_accesses)),
            Route("/export/decisions.csv", _view(desk, export_decisions)),
            Route("/export/reviews.csv", _view(desk, export_reviews)),
            Route("/help", _view(desk, show_help)),
            Route("/sign-out", _view(desk, sign_out), methods=["POST"]),
            Route("/sign-in", _sign_in_page(desk)),
            Route("/sign-in", _sign_in(desk), methods=["POST"]),
            Mount("/static", StaticFiles(packages=[("quality.desk", "static")])),
        ],
        middleware=[
            Middleware(_SecureHeaders),
            Middleware(TrustedHostMiddleware, allowed_hosts=list(desk.hosts), www_redirect=False),
        ],
        exception_handlers={404: _not_found},
    )


def overview(visit: Visit) -> Response:
    """How far the stewards are, and the way to the next case."""
    with opened_snapshot(visit.desk.snapshot) as snapshot:
        cases, about = snapshot.cases(), snapshot.about
    work = _work(visit, cases)
    labels = double_labels(work.reviews)
    by_pair: dict[tuple[str, str], list[tuple[str, str]]] = {}
    for first, second in labels:
        in_order = sorted((first, second), key=lambda review: review.steward)
        names = (in_order[0].steward, in_order[1].steward)
        by_pair.setdefault(names, []).append((in_order[0].answer, in_order[1].answer))
    mine = [review for review in standing_reviews(visit.desk.stewardship) if review.steward == visit.steward]
    return visit.page(
        "overview.html.j2",
        about=about,
        progress=work.progress,
        mine_open=len(work.queue),
        mine=[(words, sum(review.answer == answer for review in mine)) for answer, words in ANSWERS.items()],
        agreement=cohens_kappa([(first.answer, second.answer) for first, second in labels]),
        agreement_by_pair=[(names, cohens_kappa(of_pair)) for names, of_pair in sorted(by_pair.items())],
        double_review_share=visit.desk.double_review_share,
        blind=visit.desk.blind,
    )


def next_case(visit: Visit) -> Response:
    """On to the case that the steward should label now."""
    with opened_snapshot(visit.desk.snapshot) as snapshot:
        queue = _work(visit, snapshot.cases()).queue
    return redirect(f"/case/{queue[0].case_id}" if queue else "/")


def show_case(visit: Visit, *, problem: str | None = None) -> Response:
    """One case: what agrees, when both were where, and the form."""
    desk = visit.desk
    with opened_snapshot(desk.snapshot) as snapshot:
        case = snapshot.case(visit.request.path_params["case_id"])
        if case is None:
            return visit.page(
                "message.html.j2",
                title="No such case",
                says="The last run no longer asks about this pair. What was answered before stays on record.",
                status_code=404,
            )
        work = _work(visit, snapshot.cases())
        desk.sessions.open_case(visit.steward, case.case_id)
        visit.log("look at a case", case.case_id)
        return _case_page(visit, snapshot, case, work, problem)


def answer_case(visit: Visit) -> Response:
    """Record what the steward says of a case, and go on to the next."""
    desk = visit.desk
    try:
        answer = Answer(visit.form.get("answer", ""))
    except ValueError:
        return show_case(visit, problem="Choose one of the four answers.")
    with opened_snapshot(desk.snapshot) as snapshot:
        case = snapshot.case(visit.request.path_params["case_id"])
        model_version = snapshot.about["model_version"]
    if case is None:
        return show_case(visit)
    of_case = by_case(standing_reviews(desk.stewardship)).get(case.case_id, [])
    try:
        record_review(
            desk.stewardship,
            case,
            answer,
            steward=visit.steward,
            now=desk.clock(),
            # The model whose evidence was on the page, should a run have ended since.
            model_version=visit.form.get("model_version") or model_version,
            note=visit.form.get("note", "").strip(),
            blind=not _scores_shown(desk, visit.steward, of_case),
        )
    except FamiliarFacesError as error:
        return show_case(visit, problem=str(error))
    return redirect("/next")


def undo(visit: Visit) -> Response:
    """Take back the steward's last answer, and go to its case."""
    undone = undo_last(visit.desk.stewardship, steward=visit.steward, now=visit.desk.clock())
    return redirect("/" if undone is None else f"/case/{undone.case_id}")


def disagreements(visit: Visit) -> Response:
    """Cases on which two stewards differ."""
    reviews = by_case(standing_reviews(visit.desk.stewardship))
    open_ones = [of_case for of_case in reviews.values() if disagree(of_case)]
    with opened_snapshot(visit.desk.snapshot) as snapshot:
        shown = [
            (of_case[0].case_id, latest_of_each(of_case), snapshot.case(of_case[0].case_id))
            for of_case in open_ones
        ]
    return visit.page("disagreements.html.j2", disagreements=shown, answers=ANSWERS)


def audit(visit: Visit) -> Response:
    """Everything that was answered and decided, the latest first."""
    rows = every_review(visit.desk.stewardship)
    undone = {row["undoes"] for row in rows if row["undoes"]}
    decisions = every_decision(visit.desk.stewardship).reverse()
    pages = max(1, -(-max(len(rows), decisions.height) // _ROWS_PER_PAGE))
    number = _asked_page(visit, pages)
    first = (number - 1) * _ROWS_PER_PAGE
    return visit.page(
        "audit.html.j2",
        reviews=rows[first : first + _ROWS_PER_PAGE],
        undone=undone,
        signed=sign_offs(visit.desk.stewardship)[::-1],
        decisions=decisions.slice(first, _ROWS_PER_PAGE).to_dicts(),
        answers={**{answer.value: words for answer, words in ANSWERS.items()}, "undone": "Undone"},
        number=number,
        pages=pages,
    )


def export_decisions(visit: Visit) -> Response:
    """Every decision ever recorded, as CSV."""
    visit.log("export decisions")
    return csv_download("decisions.csv", every_decision(visit.desk.stewardship).to_dicts())


def export_reviews(visit: Visit) -> Response:
    """Every answer ever given, as CSV, in order."""
    visit.log("export reviews")
    return csv_download("reviews.csv", every_review(visit.desk.stewardship)[::-1])


def show_accesses(visit: Visit) -> Response:
    """Who looked at what, signed, published, recalled or took back, the latest first."""
    logged = accesses(visit.desk.stewardship).reverse()
    pages = max(1, -(-logged.height // _ROWS_PER_PAGE))
    number = _asked_page(visit, pages)
    return visit.page(
        "access.html.j2",
        accesses=logged.slice((number - 1) * _ROWS_PER_PAGE, _ROWS_PER_PAGE).to_dicts(),
        number=number,
        pages=pages,
    )


def export_accesses(visit: Visit) -> Response:
    """The access log as CSV, in order."""
    visit.log("export access log")
    return csv_download("access.csv", accesses(visit.desk.stewardship).to_dicts())


def _asked_page(visit: Visit, pages: int) -> int:
    asked = visit.request.query_params.get("page", "1")
    return min(int(asked) if asked.isdecimal() and int(asked) > 0 else 1, pages)


def show_help(visit: Visit) -> Response:
    """What the answers mean, and the keys."""
    return visit.page("help.html.j2", share=visit.desk.double_review_share)


def sign_out(visit: Visit) -> Response:
    """End the visit."""
    visit.desk.sessions.end(visit.request.cookies.get(COOKIE))
    visit.log("sign out")
    response = redirect("/sign-in")
    response.delete_cookie(COOKIE)
    return response


@dataclass(frozen=True, kw_only=True)
class _Work:
    """Where one steward stands with the cases of a snapshot."""

    reviews: dict[str, list[Review]]
    decided: set[Pair]
    queue: list[Case]
    progress: Progress
    last: Review | None


def _work(visit: Visit, cases: list[Case]) -> _Work:
    desk = visit.desk
    standing = standing_reviews(desk.stewardship)
    reviews = by_case(standing)
    decided = {
        ((row[0], row[1]), (row[2], row[3]))
        for row in effective_decisions(desk.stewardship)
        .select("source_l", "client_id_l", "source_r", "client_id_r")
        .iter_rows()
    }
    share = desk.double_review_share
    mine = [review for review in standing if review.steward == visit.steward]
    return _Work(
        reviews=reviews,
        decided=decided,
        queue=queue_for(
            visit.steward,
            cases,
            reviews,
            decided=decided,
            taken=desk.sessions.taken_by_others(visit.steward),
            double_review_share=share,
        ),
        progress=progress_of(cases, reviews, decided=decided, double_review_share=share),
        last=mine[-1] if mine else None,
    )


def _scores_shown(desk: Desk, steward: str, of_case: list[Review]) -> bool:
    labelled = any(review.steward == steward for review in latest_of_each(of_case))
    return not desk.blind or labelled or disagree(of_case)


def _case_page(visit: Visit, snapshot: Snapshot, case: Case, work: _Work, problem: str | None) -> Response:
    desk, of_case = visit.desk, work.reviews.get(case.case_id, [])
    evidence = snapshot.evidence(case.case_id)
    about = snapshot.about
    labelled = latest_of_each(of_case)
    mine = next((review for review in labelled if review.steward == visit.steward), None)
    parts = [(_title(each.comparison), each.match_weight) for each in evidence]
    if case.adjustment is not None:
        parts.append(("Adjustment", case.match_weight - case.unadjusted_match_weight))
    encounters = snapshot.encounters(case.case_id)
    sides = {
        side: {
            "name": name,
            "source": declared_sources()[source].label,
            "client_id": client_id,
            "encounters": [each for each in encounters if each.side == side],
            "total": total,
            "companions": [
                (declared_sources()[of_source].label, clients)
                for of_source, clients in snapshot.companions(case.case_id)[side]
            ],
        }
        for side, name, source, client_id, total in (
            ("l", "A", case.source_l, case.client_id_l, case.encounters_l),
            ("r", "B", case.source_r, case.client_id_r, case.encounters_r),
        )
    }
    return visit.page(
        "case.html.j2",
        status_code=409 if problem else 200,
        problem=problem,
        case=case,
        about=about,
        progress=work.progress,
        mine_open=len(work.queue),
        last=work.last if work.last is not None and work.last.case_id != case.case_id else None,
        mine=mine,
        others=[review for review in labelled if review is not mine],
        disagreed=disagree(of_case),
        scores_shown=_scores_shown(desk, visit.steward, of_case),
        second=wants_second_review(case.case_id, desk.double_review_share),
        agreement=[(_title(each.comparison), each, _grade(each)) for each in evidence],
        picture=timelines(encounters),
        sides=sides,
        waterfall=waterfall(
            parts, prior=about["prior_weight"], total=case.match_weight, threshold=about["link_weight"]
        ),
        answers=ANSWERS,
        note=visit.form.get("note", ""),
        note_length=NOTE_LENGTH,
        kinds=_kind_labels(),
    )


def _title(name: str) -> str:
    return _COMPARISONS.get(name, name.replace("_", " ").capitalize())


def _grade(evidence: Evidence) -> str:
    """Whether a level agrees, agrees in part, differs, or tells nothing: what may be seen before deciding."""
    if evidence.tells_nothing:
        return "unknown"
    compared = comparison(evidence.comparison)
    number = compared.number_of(evidence.level)
    if number == 0 or (evidence.comparison, evidence.level) in DIFFERING_LEVELS:
        return "differs"
    return "agrees" if number == max(compared.level_names()) else "partly"


def _kind_labels() -> dict[tuple[str, str], str]:
    return {
        (source.name, kind.name): kind.label
        for source in declared_sources().values()
        for kind in source.kinds
    }


Endpoint = Callable[[Request], Awaitable[Response]]


def _view(desk: Desk, view: Callable[[Visit], Response]) -> Endpoint:
    """A page for signed-in stewards only; forms must be the visit's own."""

    async def endpoint(request: Request) -> Response:
        session = desk.sessions.of(request.cookies.get(COOKIE))
        if session is None or await run_in_threadpool(
            is_revoked_since, desk.stewardship, session.steward, session.began_at
        ):
            desk.sessions.end(request.cookies.get(COOKIE))
            return redirect("/sign-in")
        form = await _form(request)
        if request.method == "POST" and not (
            form is not None and _same_origin(request) and session.allows(form.get("csrf", ""))
        ):
            return _refused()
        visit = Visit(desk=desk, request=request, session=session, form=form or {})
        return await run_in_threadpool(_answered, visit, view)

    return endpoint


def _answered(visit: Visit, view: Callable[[Visit], Response]) -> Response:
    try:
        return view(visit)
    except FamiliarFacesError as error:
        return visit.page("message.html.j2", title="That did not work", says=str(error), status_code=409)


def _sign_in_page(desk: Desk) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        csrf = secrets.token_urlsafe()
        token = request.query_params.get("token", "")
        response = rendered("sign_in.html.j2", csrf=csrf, token=token, problem=None, county=desk.county)
        _set_cookie(response, _BEFORE_SIGN_IN, csrf, max_age=900)
        return response

    return endpoint


def _sign_in(desk: Desk) -> Endpoint:
    async def endpoint(request: Request) -> Response:
        form = await _form(request)
        expected = request.cookies.get(_BEFORE_SIGN_IN, "")
        if (
            form is None
            or not expected
            or not _same_origin(request)
            or not hmac.compare_digest(expected.encode(), form.get("csrf", "").encode())
        ):
            return _refused()
        token = form.get("token", "").strip()
        steward = await run_in_threadpool(steward_of, desk.stewardship, token, now=desk.clock())
        if steward is None:
            return rendered(
                "sign_in.html.j2",
                status_code=403,
                csrf=expected,
                token="",
                problem="This token is unknown, used up, expired or revoked. Ask for a new one.",
                county=desk.county,
            )
        await run_in_threadpool(log_access, desk.stewardship, steward, "sign in", now=desk.clock())
        response = redirect("/")
        cookie = desk.sessions.begin(steward)
        _set_cookie(response, COOKIE, cookie, max_age=int(SESSION_LASTS.total_seconds()))
        response.delete_cookie(_BEFORE_SIGN_IN)
        return response

    return endpoint


def _set_cookie(response: Response, name: str, value: str, *, max_age: int) -> None:
    response.set_cookie(name, value, max_age=max_age, path="/", httponly=True, samesite="strict")


async def _form(request: Request) -> dict[str, str] | None:
    """The fields of a posted form; None when it is too large or not one."""
    if request.method != "POST":
        return {}
    body = b""
    async for chunk in request.stream():
        body += chunk
        if len(body) > _LARGEST_FORM:
            return None
    try:
        fields = parse_qs(body.decode("ascii"), keep_blank_values=True, max_num_fields=20, errors="strict")
    except ValueError:
        return None
    return {name: values[-1] for name, values in fields.items()}


def _same_origin(request: Request) -> bool:
    """Whether a form was sent from a page of this host; browsers that say nothing leave it to the form's secret."""
    origin = request.headers.get("origin")
    if origin is not None and urlsplit(origin).netloc != request.headers.get("host"):
        return False
    return request.headers.get("sec-fetch-site", "same-origin") in ("same-origin", "none")


def _refused() -> Response:
    return rendered(
        "refused.html.j2",
        status_code=403,
        says="This form did not come from a page of this visit, so nothing was recorded. Go back and reload the page.",
    )


async def _not_found(request: Request, error: Exception) -> Response:
    return rendered("refused.html.j2", status_code=404, says="There is no such page.")


class _SecureHeaders:
    """Puts the security headers on every answer, refusals and errors included."""

    def __init__(self, app: ASGIApp) -> None:
        self.app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                headers = MutableHeaders(scope=message)
                headers.update(_HEADERS)
                if not scope["path"].startswith("/static/"):
                    headers["Cache-Control"] = "no-store"
            await send(message)

        await self.app(scope, receive, send_with_headers)
