"""A steward's visit: what the desk works on, who asks, and how an answer is made."""

import csv
import datetime as dt
import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import jinja2
from starlette.requests import Request
from starlette.responses import HTMLResponse, RedirectResponse, Response

from linkage.pages import page_templates
from quality.access_log import log_access
from quality.desk.sessions import Session, Sessions

_COMMON = 0.1


def _now() -> dt.datetime:
    return dt.datetime.now(dt.UTC)


@dataclass(frozen=True, kw_only=True)
class Desk:
    """What the application works on: the stewardship file, what the last run left (cases in `snapshot`, the account
    of what it would release in `prepared`) and the link to the current release, of which only the name is read.

    `to_recall` names the releases that hold what was retracted since; `hosts` are the host names it answers to; `clock`
    gives the time, with zone.
    """

    stewardship: Path
    snapshot: Path
    county: str
    double_review_share: float
    prepared: Path
    current_release: Path
    to_recall: Callable[[], Sequence[str]]
    blind: bool = True
    hosts: tuple[str, ...] = ("127.0.0.1", "localhost")
    clock: Callable[[], dt.datetime] = _now
    sessions: Sessions = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "sessions", Sessions(clock=self.clock))


@dataclass(frozen=True, kw_only=True)
class Visit:
    """One request of a signed-in steward."""

    desk: Desk
    request: Request
    session: Session
    form: Mapping[str, str]

    @property
    def steward(self) -> str:
        """Who asks."""
        return self.session.steward

    def page(self, template: str, *, status_code: int = 200, **shown: Any) -> Response:
        """A page of the desk."""
        return rendered(
            template,
            status_code=status_code,
            csrf=self.session.csrf,
            steward=self.steward,
            county=self.desk.county,
            **shown,
        )

    def log(self, what: str, about: str | None = None) -> None:
        """Append to the access log what the steward does here."""
        log_access(self.desk.stewardship, self.steward, what, now=self.desk.clock(), about=about)


def redirect(path: str) -> RedirectResponse:
    """Go on to another page of the desk."""
    return RedirectResponse(path, status_code=303)


def csv_download(name: str, rows: list[dict[str, Any]]) -> Response:
    """Rows as a CSV file to take away; the columns are the keys of the first."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    if rows:
        writer.writerow(rows[0])
        writer.writerows([_harmless(value) for value in row.values()] for row in rows)
    return Response(
        text.getvalue(),
        media_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}"'},
    )


def _harmless(value: Any) -> Any:
    """A spreadsheet takes a text that begins so for a formula; a note may be anything."""
    return f"'{value}" if isinstance(value, str) and value[:1] in ("=", "+", "-", "@", "\t", "\r") else value


def rendered(template: str, *, status_code: int = 200, **shown: Any) -> HTMLResponse:
    """A page made of a template of the desk."""
    return HTMLResponse(_templates().get_template(template).render(**shown), status_code=status_code)


@cache
def _templates() -> jinja2.Environment:
    return page_templates(
        "quality.desk",
        day=lambda text: text[:10],
        minute=lambda text: text[:16].replace("T", " "),
        likely=_likely,
        rarity=_rarity,
        signed=lambda weight: f"{weight:+.1f}".replace("-", "\N{MINUS SIGN}"),
    )


def _rarity(share: float) -> str:
    """How rare a shared value is, to one digit: enough to weigh it by, too little to tell it by."""
    if share >= _COMMON:
        return f"About {round(share * 100)} % of clients."
    clients = 1 / share
    digits = 10 ** (len(str(int(clients))) - 1)
    return f"About 1 in {round(clients / digits) * digits:,} clients."


def _likely(probability: float) -> str:
    """A probability in per cent; none is ever certain."""
    if probability > 0.999:
        return "more than 99.9 %"
    return "less than 0.1 %" if probability < 0.001 else f"{probability * 100:.1f} %"
