"""The desk as a browser without scripts meets it: who gets in, what a page shows and hides, what a form may do."""

import csv
import datetime as dt
import io
import json
from dataclasses import replace
from html.parser import HTMLParser

import polars as pl
import pytest

from linkage.decisions import decisions_fingerprint, effective_decisions
from linkage.model import comparison
from quality.desk.app import CONTENT_SECURITY_POLICY, DIFFERING_LEVELS
from quality.desk.pictures import timelines, waterfall
from quality.desk.reviews import every_review
from quality.desk.snapshot import ShownEncounter, opened_snapshot, write_snapshot
from quality.desk.stewards import issue_token
from quality.sign_off import record_sign_off, sign_offs
from tests.quality.desk.invented_cases import NOW, Browser, invented_case, review_cases, served

PAGES = [
    "/",
    "/case/0000000000000001",
    "/disagreements",
    "/release",
    "/audit",
    "/help",
    "/retractions",
    "/access",
]


class Inspected(HTMLParser):
    """What a page holds that the policy forbids, and what assistive technology needs."""

    def __init__(self, text):
        super().__init__()
        self.inline, self.addresses, self.ids, self.labelled, self.inputs, self.landmarks = (
            [],
            [],
            [],
            [],
            [],
            [],
        )
        self.feed(text)

    def handle_starttag(self, tag, attributes):
        given = dict(attributes)
        self.inline += [name for name in given if name == "style" or name.startswith("on")]
        if tag == "style" or (tag == "script" and not given.get("src")):
            self.inline.append(tag)
        self.addresses += [given[name] for name in ("href", "src", "action") if given.get(name)]
        if "id" in given:
            self.ids.append(given["id"])
        if tag == "label" and "for" in given:
            self.labelled.append(given["for"])
        if tag in ("input", "select", "textarea") and given.get("type") not in (
            "hidden",
            "checkbox",
            "radio",
        ):
            self.inputs.append(given.get("id"))
        if tag in ("header", "nav", "main"):
            self.landmarks.append(tag)


def test_without_a_visit_every_page_leads_to_sign_in(desk):
    with served(desk) as port:
        browser = Browser(port)
        for page in [*PAGES, "/next", "/export/decisions.csv", "/export/reviews.csv", "/export/access.csv"]:
            browser.get(page)
            assert (browser.status, browser.headers["location"]) == (303, "/sign-in"), page
        browser.post("/case/0000000000000001", {"answer": "link"})
        assert browser.headers["location"] == "/sign-in"
        assert not every_review(desk.stewardship)


def test_a_wrong_token_is_refused_and_the_page_does_not_repeat_it(desk):
    with served(desk) as port:
        browser = Browser(port)
        browser.sign_in("not-a-token")
        assert browser.status == 403
        assert "not-a-token" not in browser.text
        browser.get("/sign-in")
        browser.post("/sign-in", {"token": issue_token(desk.stewardship, "A", now=NOW), "csrf": "guessed"})
        assert browser.status == 403


def test_the_cookie_is_out_of_reach_of_scripts_and_other_sites(desk, come_in):
    browser = come_in(desk)
    (cookie,) = [each for each in browser.set_cookies if each.startswith("familiar_faces_desk=")]
    assert "HttpOnly" in cookie
    assert "SameSite=strict" in cookie
    assert "Path=/" in cookie


@pytest.mark.parametrize("page", [*PAGES, "/sign-in", "/nowhere", "/case/ffff"])
def test_every_page_forbids_what_is_not_its_own_and_holds_nothing_inline(desk, come_in, page):
    browser = come_in(desk)
    browser.get(page)
    assert browser.headers["content-security-policy"] == CONTENT_SECURITY_POLICY
    assert "unsafe" not in CONTENT_SECURITY_POLICY
    assert browser.headers["x-content-type-options"] == "nosniff"
    assert browser.headers["cache-control"] == "no-store"
    inspected = Inspected(browser.text)
    assert inspected.inline == []
    assert all(address.startswith(("/", "#")) for address in inspected.addresses)


@pytest.mark.parametrize("page", PAGES)
def test_pages_have_landmarks_a_way_past_the_menu_and_a_label_on_every_field(desk, come_in, page):
    inspected = Inspected(come_in(desk).get(page))
    assert inspected.landmarks == ["header", "nav", "main"]
    assert "#main" in inspected.addresses
    assert "main" in inspected.ids
    assert len(inspected.ids) == len(set(inspected.ids))
    assert set(inspected.inputs) <= set(inspected.labelled)


def test_another_host_name_is_refused(desk, come_in):
    browser = come_in(desk)
    browser.get("/", Host="evil.example")
    assert browser.status == 400
    assert "Invented County" not in browser.text


@pytest.mark.parametrize(
    ("changed", "headers"),
    [
        pytest.param({"csrf": ""}, {}, id="no secret"),
        pytest.param({"csrf": "guessed"}, {}, id="a guessed secret"),
        pytest.param({}, {"Origin": "http://evil.example"}, id="from another site"),
        pytest.param({}, {"Sec_Fetch_Site": "cross-site"}, id="from across sites"),
        pytest.param({"note": "x" * 20_000}, {}, id="too large a form"),
    ],
)
def test_a_form_that_is_not_the_visits_own_records_nothing(desk, come_in, changed, headers):
    browser = come_in(desk)
    browser.get("/case/0000000000000001")
    fields = {"csrf": browser.hidden("csrf"), "answer": "link"}
    browser.post("/case/0000000000000001", {**fields, **changed}, **headers)
    assert browser.status == 403
    assert not every_review(desk.stewardship)


def test_another_stewards_secret_does_not_do(desk, come_in):
    mine, yours = come_in(desk, "A"), come_in(desk, "B")
    yours.get("/")
    mine.post("/case/0000000000000001", {"csrf": yours.hidden("csrf"), "answer": "link"})
    assert mine.status == 403


def test_a_visit_ends_at_sign_out(desk, come_in):
    browser = come_in(desk)
    cookies = dict(browser.cookies)
    browser.get("/")
    browser.post("/sign-out", {"csrf": browser.hidden("csrf")})
    browser.cookies = cookies
    browser.get("/")
    assert browser.status == 303


SCORES = [
    "73.9",
    "+1.5",
    "1.94",
    "1.9",
    "links from",
    "2.49",
    "two people</strong> since",
    "name_sound_and_birth_date",
]


def test_scores_stay_hidden_until_the_steward_has_answered(desk, come_in):
    browser = come_in(desk)
    before = browser.get("/case/0000000000000001")
    assert not [score for score in SCORES if score in before]
    assert "The same nine digits." in before
    assert "About 1 in 2,000 clients." in before
    browser.answer("unsure")
    after = browser.get("/case/0000000000000001")
    assert [
        score for score in ("73.9", "+1.5", "1.94", "name_sound_and_birth_date") if score not in after
    ] == []


@pytest.mark.parametrize(
    ("comparison_name", "level", "grade"),
    [
        ("first_name", "equal", "Agrees"),
        ("first_name", "nickname", "Agrees in part"),
        ("first_name", "different", "Differs"),
        ("ssn", "first_five_equal_last_four_differ", "Agrees in part"),
        ("ssn", "last_four_differ", "Differs"),
        ("birth_date", "years_close", "Differs"),
        ("birth_date", "missing", "Not known"),
    ],
)
def test_agreement_is_graded_as_its_words_say(desk, cases, come_in, comparison_name, level, grade):
    found = review_cases(cases)
    chosen = next(each for each in comparison(comparison_name).levels if each.name == level)
    evidence = found.evidence.with_columns(
        pl.when(pl.col("comparison") == comparison_name)
        .then(pl.lit(value))
        .otherwise(pl.col(name))
        .alias(name)
        for name, value in (("level", level), ("says", chosen.says), ("tells_nothing", chosen.tells_nothing))
    )
    write_snapshot(desk.snapshot, replace(found, evidence=evidence), as_of="2026-01-01")
    page = come_in(desk).get("/case/0000000000000001")
    row = page[: page.index(chosen.says)].rpartition("<tr")[2]
    assert f"</span> {grade}</span>" in row


def test_the_levels_that_differ_exist():
    for name, level in DIFFERING_LEVELS:
        assert comparison(name).number_of(level) > 0


def test_a_skip_does_not_lift_the_veil(desk, come_in):
    browser = come_in(desk)
    browser.get("/case/0000000000000001")
    browser.answer("skip")
    assert "73.9" not in browser.get("/case/0000000000000001")


def test_scores_are_shown_at_once_where_the_desk_is_not_blind(desk, come_in):
    assert "73.9" in come_in(replace(desk, blind=False)).get("/case/0000000000000001")


def test_a_steward_works_through_the_queue_without_scripts(desk, come_in):
    browser = come_in(desk)
    browser.get("/next")
    browser.follow()
    assert "Case 1 of 12" in browser.answer("link", "same rare name").replace("Case 2", "Case 1")
    assert "Case 3 of 12" in browser.answer("do_not_link")
    assert "<strong>Two people</strong> for the case before" in browser.text
    browser.post("/undo", {"csrf": browser.hidden("csrf")})
    assert "Case 2 of 12" in browser.follow()
    assert effective_decisions(desk.stewardship)["decision"].to_list() == ["link"]
    for _ in range(11):
        browser.answer("unsure")
    assert "Nothing is waiting for you" in browser.text


def test_an_answer_that_contradicts_is_refused_on_the_page(tmp_path, desk, come_in):
    cases = [
        invented_case(number, client_id_l=left, source_r="jail", client_id_r=right)
        for number, (left, right) in enumerate(("ab", "bc", "ac"), start=1)
    ]
    write_snapshot(desk.snapshot, review_cases(cases), as_of="2026-01-01")
    browser = come_in(desk)
    browser.get("/case/0000000000000001")
    browser.answer("link")
    browser.answer("link")
    refused = browser.answer("do_not_link", "kept & shown")
    assert browser.status == 409
    assert "contradict each other" in refused
    assert "kept &amp; shown" in refused


def test_two_stewards_at_once_see_different_cases(desk, come_in):
    first, second = come_in(desk, "A"), come_in(desk, "B")
    for browser in (first, second):
        browser.get("/next")
        browser.follow()
    assert "Case 1 of 12" in first.text
    assert "Case 2 of 12" in second.text


def test_a_second_steward_sees_no_answer_before_giving_one_and_a_disagreement_is_settled(desk, come_in):
    desk = replace(desk, double_review_share=1.0)
    first, second = come_in(desk, "Ada"), come_in(desk, "Ben")
    first.get("/case/0000000000000001")
    first.answer("link", "sure")
    assert "Ada" not in second.get("/case/0000000000000001")
    second.answer("do_not_link")
    assert effective_decisions(desk.stewardship).is_empty()
    listed = second.get("/disagreements")
    assert "Ada" in listed
    assert "Case 1" in listed
    assert "your answer settles it" in second.get("/case/0000000000000001")
    second.answer("link")
    assert effective_decisions(desk.stewardship)["decision"].to_list() == ["link"]
    overview = second.get("/")
    assert "Ada and Ben" in overview


def test_notes_are_text_in_pages_and_in_spreadsheets(desk, come_in):
    browser = come_in(desk)
    browser.get("/case/0000000000000001")
    browser.answer("link", "=1+1<script>alert(1)</script>")
    assert "<script>alert" not in browser.get("/audit")
    browser.get("/export/decisions.csv")
    assert browser.headers["content-type"].startswith("text/csv")
    (row,) = csv.DictReader(io.StringIO(browser.text))
    assert row["note"].startswith("'=1+1")
    assert (row["client_id_l"], row["decision"]) == ("j1", "link")
    browser.get("/export/reviews.csv")
    (row,) = csv.DictReader(io.StringIO(browser.text))
    assert (row["answer"], row["steward"], row["blind"]) == ("link", "A. Steward", "1")


def test_a_case_of_an_earlier_run_is_said_to_be_gone(desk, come_in):
    browser = come_in(desk)
    browser.get("/case/0000000000000001")
    write_snapshot(desk.snapshot, review_cases([invented_case(2)]), as_of="2026-02-01")
    assert "no longer asks" in browser.answer("link")
    assert browser.status == 404
    assert not every_review(desk.stewardship)


def test_before_the_first_run_the_desk_says_what_to_do(desk, come_in):
    desk.snapshot.unlink()
    browser = come_in(desk)
    browser.get("/")
    assert browser.status == 409
    assert "familiar-faces run" in browser.text


@pytest.fixture
def prepared(desk):
    account = {
        "fingerprint": "f" * 64,
        "release_id": "2026-01-01-ffffffffff",
        "as_of": "2026-01-01",
        "model": "v1-0123abcd",
        "decisions": decisions_fingerprint(desk.stewardship),
        "sign_off_required": True,
        "sign_off_good_for_days": 30,
        "small_cell_threshold": 11,
        "compared_with": "2025-12-01-eeeeeeeeee",
        "sizes": [{"what": "people", "before": 4711, "now": 4822}],
        "id_changes": {"minted": 111, "merged": 3},
        "cohorts": [
            {"cohort": "c", "label": "Frequent", "before": 40, "now": 45, "entered": None, "left": None}
        ],
        "checks": {
            "met": 99,
            "not_met": [
                {
                    "suite": "person",
                    "expectation": "e",
                    "says": "No person is enormous.",
                    "stops": False,
                    "outcome": "not met",
                    "rows": 2,
                }
            ],
        },
        "quality": [{"measure": "estimated_precision", "before": 0.991, "now": 0.9934, "note": "too high"}],
        "small_cells": [
            {"relation": "linkage_quality", "cells": 169, "withheld": 37, "withheld_before": 41},
        ],
    }
    desk.prepared.write_text(json.dumps(account), encoding="utf-8")
    return account


def test_a_steward_reads_what_changed_and_signs_exactly_that(desk, prepared, come_in):
    browser = come_in(desk)
    page = browser.get("/release")
    for shown in (
        "4,822",
        "4,711",
        "Frequent",
        "No person is enormous.",
        "0.9934",
        "Merged",
        "Linkage quality",
        "169",
        "37",
    ):
        assert shown in page
    assert Inspected(page).inline == []
    signing = {"csrf": browser.hidden("csrf"), "fingerprint": prepared["fingerprint"]}
    browser.post("/release", {**signing, "verdict": "refused", "reason": " "})
    assert browser.status == 409
    assert "needs a reason" in browser.text
    browser.post("/release", {**signing, "verdict": "perhaps", "reason": ""})
    assert browser.status == 409
    browser.post("/release", {**signing, "fingerprint": "e" * 64, "verdict": "approved"})
    assert "prepared something else since" in browser.text
    assert sign_offs(desk.stewardship) == []
    browser.post("/release", {**signing, "verdict": "refused", "reason": "a month is missing"})
    assert "Refused by <strong>A. Steward" in browser.follow()
    browser.post("/release", {**signing, "verdict": "approved", "reason": "it came"})
    assert "Now run <code>familiar-faces release" in browser.follow()
    assert [signed.verdict for signed in sign_offs(desk.stewardship)] == ["refused", "approved"]
    assert "a month is missing" in browser.get("/audit")


def test_the_sign_off_page_says_when_a_signature_would_not_count(desk, prepared, come_in):
    browser = come_in(desk)
    assert "would not count" not in browser.get("/release")
    browser.get("/case/0000000000000001")
    browser.answer("link")
    assert "would not count" in browser.get("/release")
    record_sign_off(desk.stewardship, prepared["fingerprint"], "A", NOW - dt.timedelta(days=31))
    assert "It has run out." in browser.get("/release")


def test_a_release_that_is_current_needs_no_verdict(desk, prepared, come_in):
    desk.current_release.parent.mkdir()
    desk.current_release.symlink_to(prepared["release_id"])
    page = come_in(desk).get("/release")
    assert "This is the current release." in page
    assert "Approve" not in page


def test_before_a_run_there_is_nothing_to_sign(desk, come_in):
    assert "No run has prepared a release yet" in come_in(desk).get("/release")


def test_a_snapshot_is_private_and_who_reads_the_old_one_keeps_it(desk, cases):
    assert desk.snapshot.stat().st_mode & 0o777 == 0o600
    with opened_snapshot(desk.snapshot) as before:
        write_snapshot(desk.snapshot, review_cases(cases[:2]), as_of="2026-02-01")
        assert len(before.cases()) == 12
        assert before.case(cases[5].case_id) == cases[5]
    with opened_snapshot(desk.snapshot) as after:
        assert [case.case_id for case in after.cases()] == [case.case_id for case in cases[:2]]


def test_the_waterfall_ends_where_the_sum_does():
    drawn = waterfall([("a", 20.0), ("b", -3.0)], prior=-14.0, total=3.0, threshold=2.0)
    prior, first, second, total = drawn.steps
    assert first.x == pytest.approx(prior.x, abs=0.2)
    assert second.x + second.width == pytest.approx(first.x + first.width, abs=0.2)
    assert total.x + total.width == pytest.approx(second.x, abs=0.2)
    assert total.x == pytest.approx(drawn.zero, abs=0.2)


@pytest.mark.parametrize(
    ("until", "labels"),
    [pytest.param("2025-01-05T00:00:00", 10, id="days"), pytest.param("2030-01-05T00:00:00", 7, id="years")],
)
def test_both_timelines_share_one_axis_with_a_few_dates_on_it(until, labels):
    def stay(side, started_at):
        return ShownEncounter(
            side=side,
            source="jail",
            kind="booking",
            started_at=started_at,
            ended_at=None,
            is_open=False,
            is_stay=True,
        )

    drawn = timelines([stay("l", "2025-01-02T00:00:00"), stay("r", until)])
    assert [lane.side for lane in drawn.lanes] == ["l", "r"]
    assert drawn.lanes[0].marks[0].x < drawn.lanes[1].marks[0].x
    assert 2 <= len(drawn.ticks) <= 10
    assert {len(label) for _, label in drawn.ticks} == {labels}
    assert timelines([]) is None
