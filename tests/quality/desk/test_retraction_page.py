"""The desk's page for retractions: recorded whole, under the steward's name, and only when it is meant."""

import dataclasses

import pytest

from linkage.tombstones import every_tombstone, mark_erased
from quality.access_log import accesses
from tests.quality.desk.invented_cases import NOW

FIRST, SECOND = "0a" * 16, "1b" * 16


def filled(browser, **changed):
    """The form as a steward sends it."""
    browser.get("/retractions")
    fields = {
        "csrf": browser.hidden("csrf"),
        "source": "jail",
        "what": "clients",
        "ids": f"{FIRST}\r\n\r\n {SECOND} \r\n",
        "effective_on": "2026-03-01",
        "sure": "yes",
    }
    browser.post("/retractions", {**fields, **changed})
    return browser


def test_a_steward_records_clients_and_sees_what_became_of_them(desk, come_in):
    browser = filled(come_in(desk))
    browser.follow()
    recorded = every_tombstone(desk.stewardship)
    assert recorded.select("source", "client_id", "effective_on", "recorded_by").rows() == [
        ("jail", FIRST, "2026-03-01", "A. Steward"),
        ("jail", SECOND, "2026-03-01", "A. Steward"),
    ]
    assert "2 in all, 2 of which no run has carried out yet" in browser.text
    mark_erased(desk.stewardship, NOW.date(), now=NOW)
    assert "waits for the next run" not in browser.get("/retractions")


def test_encounters_alone_can_be_retracted(desk, come_in):
    filled(come_in(desk), what="encounters", ids=FIRST)
    assert every_tombstone(desk.stewardship)["encounter_id"].to_list() == [FIRST]


@pytest.mark.parametrize(
    ("changed", "says"),
    [
        ({"sure": ""}, "Say that you are sure"),
        ({"ids": " \n"}, "at least one id"),
        ({"ids": f"{FIRST}\nMontgomery"}, "Line 2: A pseudonymous id has 32 hexadecimal digits"),
        ({"effective_on": "1 March"}, "written YYYY-MM-DD"),
        ({"what": "people"}, "clients or encounters"),
        ({"source": "library"}, "There is no such source"),
    ],
)
def test_a_form_that_is_not_whole_records_nothing_and_keeps_what_was_typed(desk, come_in, changed, says):
    browser = filled(come_in(desk), **changed)
    assert browser.status == 409
    assert says in browser.text
    assert every_tombstone(desk.stewardship).is_empty()
    if "ids" not in changed:
        assert FIRST in browser.text


def test_releases_that_hold_what_was_retracted_are_named(desk, come_in):
    told = dataclasses.replace(desk, to_recall=lambda: ["2026-01-01-0123456789"])
    assert "2026-01-01-0123456789" in come_in(told).get("/retractions")


def test_who_recorded_and_who_looked_is_in_the_access_log(desk, come_in):
    browser = filled(come_in(desk))
    assert accesses(desk.stewardship).select("who", "what").rows() == [
        ("A. Steward", "sign in"),
        ("A. Steward", "look at retractions"),
        ("A. Steward", "record retractions"),
    ]
    shown = browser.get("/access")
    assert shown.index("record retractions") < shown.index("sign in")
    browser.get("/export/access.csv")
    assert browser.text.splitlines()[0] == "accessed_at,who,what,about"
