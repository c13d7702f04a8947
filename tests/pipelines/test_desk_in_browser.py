"""A steward at the desk, in a real browser, by keyboard alone; and the run after."""

import csv
import datetime as dt
import os
import shutil
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path

import pytest

from linkage.decisions import broken_decisions, effective_decisions
from pipelines.desk import desk_of
from pipelines.run import refresh
from quality.desk.queue import wants_second_review
from quality.desk.snapshot import opened_snapshot
from quality.desk.stewards import issue_token
from tests.quality.desk.invented_cases import served

pytestmark = pytest.mark.slow

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
FLAGS = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]


@pytest.fixture
def page(tmp_path):
    """A page of a headless browser that reports every complaint of its console, and may reach this machine only."""
    found = next(filter(None, map(shutil.which, NAMES)), None)
    if found is None or find_spec("playwright") is None:
        said = f"no browser ({', '.join(NAMES)}) or no Playwright here, so the desk was not tried in one"
        if os.environ.get("FAMILIAR_FACES_REQUIRE_BROWSER") == "1":
            pytest.fail(said)
        pytest.skip(f"NOT TESTED: {said}; FAMILIAR_FACES_REQUIRE_BROWSER=1 makes this a failure")
    playwright = import_module("playwright.sync_api")
    with playwright.sync_playwright() as started:
        browser = started.chromium.launch(executable_path=found, args=FLAGS, downloads_path=tmp_path)
        page = browser.new_context(viewport={"width": 1280, "height": 860}).new_page()
        complaints = []
        asked_elsewhere = []
        page.on("console", lambda message: complaints.append(message.text))
        page.on("pageerror", lambda error: complaints.append(str(error)))
        page.on(
            "request",
            lambda request: (
                None if request.url.startswith("http://127.0.0.1:") else asked_elsewhere.append(request.url)
            ),
        )
        yield page
        browser.close()
    assert complaints == []
    assert asked_elsewhere == []


def tab_to(page, address):
    """Press Tab until a link or button has the focus, as one does without a mouse."""
    for _ in range(40):
        page.keyboard.press("Tab")
        where = page.evaluate(
            "document.activeElement.getAttribute('href') || document.activeElement.textContent"
        )
        if address in where:
            assert page.evaluate("getComputedStyle(document.activeElement).outlineStyle") != "none"
            return
    raise AssertionError(f"Tab never reached {address}")


def press_and_go(page, key):
    """Press a key that answers, and wait for the page that follows."""
    with page.expect_navigation(url="**/case/*"):
        page.keyboard.press(key)
    return page.url.rpartition("/")[2]


def test_a_steward_labels_ten_cases_by_keyboard_and_the_next_run_keeps_to_them(
    finished_county, tmp_path, page
):
    county = finished_county.copy(tmp_path / "workspace")
    workspace = county.workspace
    desk = desk_of(workspace, host="127.0.0.1", blind=True)
    with opened_snapshot(desk.snapshot) as snapshot:
        cases = {case.case_id: case for case in snapshot.cases()}
    assert len(cases) >= 12
    token = issue_token(workspace.stewardship, "K. Board", now=dt.datetime.now(dt.UTC), one_time=True)
    labelled = []
    # A run is under way: it holds the workspace and the warehouse, and the desk needs neither.
    with served(desk) as port, workspace.only_run(), workspace.connect():
        page.goto(f"http://127.0.0.1:{port}/sign-in?token={token}")
        tab_to(page, "Open the desk")
        page.keyboard.press("Enter")
        page.wait_for_url("**/")
        tab_to(page, "/next")
        page.keyboard.press("Enter")
        page.wait_for_url("**/case/*")
        page.keyboard.press("?")
        assert page.locator("dialog").is_visible()
        page.keyboard.press("Escape")
        while len(labelled) < 10:
            case = cases[page.url.rpartition("/")[2]]
            assert f"{case.match_weight:+.2f}" not in page.content()
            # Always the other way than the model, so that only the decision can have done it.
            key = "d" if case.linked else "l"
            if len(labelled) == 3:
                page.keyboard.press("n")
                page.keyboard.type("udls: letters in a note are letters")
                page.keyboard.press("Escape")
            press_and_go(page, key)
            if page.locator(".problem").count():
                press_and_go(page, "u")
                continue
            labelled.append((case, "do_not_link" if key == "d" else "link"))
        undone = press_and_go(page, "z")
        assert undone == labelled[-1][0].case_id
        page.goto(f"http://127.0.0.1:{port}/")
        with page.expect_download() as download:
            tab_to(page, "/export/decisions.csv")
            page.keyboard.press("Enter")
        exported = list(csv.DictReader(Path(download.value.path()).read_text(encoding="utf-8").splitlines()))
    assert [row["decision"] for row in exported] == [*(said for _, said in labelled), "withdrawn"]
    assert exported[3]["note"] == "udls: letters in a note are letters"
    assert {row["decided_by"] for row in exported} == {"K. Board"}

    refresh(workspace)
    person = {(source, client): who for source, client, who in county.rows(
        "select source, client_id, person_id from person_crosswalk"
    )}  # fmt: skip
    for case, said in labelled[:-1]:
        together = person[case.source_l, case.client_id_l] == person[case.source_r, case.client_id_r]
        assert together == (said == "link"), case.kind
    with workspace.connect(read_only=True) as connection:
        assert broken_decisions(connection, effective_decisions(workspace.stewardship)).is_empty()
    with opened_snapshot(desk.snapshot) as snapshot:
        asked_again = {case.case_id for case in snapshot.cases()}
    # Only the sampled share comes back, for a second steward.
    share = workspace.settings().review.double_review_share
    for case, _ in labelled[:-1]:
        assert (case.case_id in asked_again) == wants_second_review(case.case_id, share)


@pytest.mark.parametrize("script", [True, False], ids=["with scripts", "without scripts"])
def test_the_case_page_works_enlarged_to_twice_its_size(finished_county, tmp_path, page, script):
    workspace = finished_county.copy(tmp_path / "workspace").workspace
    desk = desk_of(workspace, host="127.0.0.1", blind=True)
    token = issue_token(workspace.stewardship, "Z. Oom", now=dt.datetime.now(dt.UTC), one_time=True)
    # Twice the size on a screen of 1280 by 860 leaves this much room.
    context = page.context.browser.new_context(
        viewport={"width": 640, "height": 430}, java_script_enabled=script
    )
    enlarged = context.new_page()
    with served(desk) as port:
        enlarged.goto(f"http://127.0.0.1:{port}/sign-in?token={token}")
        enlarged.get_by_role("button", name="Open the desk").click()
        enlarged.goto(f"http://127.0.0.1:{port}/next")
        before = enlarged.url
        if script:
            assert enlarged.evaluate("document.documentElement.scrollWidth") <= 640
        enlarged.get_by_label("Note").fill("seen enlarged")
        enlarged.get_by_role("button", name="Cannot say").click()
        enlarged.wait_for_url(lambda address: address != before)
        assert "Recorded" in enlarged.content()
    context.close()
