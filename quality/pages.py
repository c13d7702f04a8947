"""How pages of the quality room are rendered; what is on them is other modules' matter."""

import datetime as dt
from functools import cache
from typing import Any

import jinja2

from linkage.pages import page_templates


def day(moment: dt.datetime) -> str:
    """A day as the pages write it."""
    return f"{moment.day} {moment:%b %Y}"


def minute(moment: dt.datetime) -> str:
    """A moment as the pages write it."""
    return f"{day(moment)}, {moment:%H:%M} UTC"


def render(template: str, **shown: Any) -> str:
    """A page from one of the templates of `quality/templates/`."""
    return _environment().get_template(template).render(**shown)


@cache
def _environment() -> jinja2.Environment:
    return page_templates("quality", day=day, minute=minute, number=lambda number: f"{number:,}")
