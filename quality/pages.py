"""How pages of the quality room are rendered and put in place; what is on them is other modules' matter."""

import datetime as dt
import os
from functools import cache
from pathlib import Path
from typing import Any

import jinja2

_PRIVATE_FILE = 0o600


def day(moment: dt.datetime) -> str:
    """A day as the pages write it."""
    return f"{moment.day} {moment:%b %Y}"


def minute(moment: dt.datetime) -> str:
    """A moment as the pages write it."""
    return f"{day(moment)}, {moment:%H:%M} UTC"


def render(template: str, **shown: Any) -> str:
    """A page from one of the templates of `quality/templates/`."""
    return _environment().get_template(template).render(**shown)


def replace_page(path: Path, text: str) -> None:
    """Write a page so that a reader sees the old one or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.write_text(text, encoding="utf-8")
    draft.chmod(_PRIVATE_FILE)
    draft.replace(path)


@cache
def _environment() -> jinja2.Environment:
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader("quality", "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= {"day": day, "minute": minute, "number": lambda number: f"{number:,}"}
    return environment
