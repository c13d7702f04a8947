"""What every page has in common that opens from disk: its templates, the charts inside it, and a policy by which it
loads nothing and runs no script but its own. Also how a private file is put in place whole.
"""

import base64
import hashlib
import json
import os
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import jinja2

DRAW_CHARTS = """
for (const place of document.querySelectorAll("[data-chart]")) {
  const text = document.getElementById("chart-" + place.dataset.chart).textContent;
  vegaEmbed(place, JSON.parse(text), {renderer: "svg", actions: false}).catch(() => {
    place.textContent = "The chart could not be drawn; the table beside it has the same numbers.";
  });
}
"""
"""Script that draws the Vega-Lite specification `chart-<name>` in the place with `data-chart="<name>"`."""


def page_templates(package: str, **filters: Callable[..., Any]) -> jinja2.Environment:
    """The templates in the folder `templates/` of a package; what they show is escaped, and a name that is not given
    is an error."""
    environment = jinja2.Environment(
        loader=jinja2.PackageLoader(package, "templates"),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters |= filters
    return environment


def json_for_page(value: Any) -> str:
    """JSON that may stand inside a script element: nothing in it ends the element."""
    text = json.dumps(value, default=float)
    for character, code in (("<", "\\u003c"), (">", "\\u003e"), ("&", "\\u0026")):
        text = text.replace(character, code)
    return text


def content_security_policy(scripts: Sequence[str]) -> str:
    """A policy that lets a page run these scripts, by their SHA-256, and load nothing; Vega needs `unsafe-eval`."""
    digests = " ".join(
        f"'sha256-{base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()}'"
        for script in scripts
    )
    return (
        f"default-src 'none'; script-src 'unsafe-eval' {digests}; style-src 'unsafe-inline'; img-src data:; "
        "connect-src 'none'; form-action 'none'; base-uri 'none'"
    )


def replace_file(path: Path, text: str) -> None:
    """Write a file that its owner alone may read; a reader sees the old one or the new one, never half of it."""
    draft = path.with_name(f".{path.name}.{os.getpid()}")
    draft.touch(mode=0o600)
    draft.write_text(text, encoding="utf-8")
    draft.replace(path)
