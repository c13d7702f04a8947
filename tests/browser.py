"""A browser for tests of pages: skipped loudly where there is none, a failure where one is required."""

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

REQUIRED = "FAMILIAR_FACES_REQUIRE_BROWSER"
_CHROMIUM = Path("/usr/bin/chromium")


@contextmanager
def opened_page(file: Path) -> Iterator[tuple[Any, list[str], list[str]]]:
    """A page opened from disk: the page, the addresses it asked for, and what it complained of."""
    try:
        from playwright.sync_api import sync_playwright
    except ModuleNotFoundError:
        _without("playwright is not installed")
    if not _CHROMIUM.exists():
        _without(f"there is no {_CHROMIUM}")
    with sync_playwright() as driver:
        browser = driver.chromium.launch(
            executable_path=str(_CHROMIUM), args=["--headless", "--no-sandbox", "--disable-gpu"]
        )
        page = browser.new_page(viewport={"width": 1200, "height": 900})
        asked_for: list[str] = []
        complaints: list[str] = []
        page.on("request", lambda request: asked_for.append(request.url))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "console", lambda message: complaints.append(message.text) if message.type == "error" else None
        )
        page.goto(file.as_uri())
        yield page, asked_for, complaints
        browser.close()


def _without(reason: str) -> None:
    if os.environ.get(REQUIRED):
        pytest.fail(f"{REQUIRED} is set, but {reason}")
    pytest.skip(f"PAGES NOT LOOKED AT: {reason}; set {REQUIRED}=1 to make this a failure")
