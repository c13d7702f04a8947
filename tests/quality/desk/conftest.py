"""One desk with twelve invented cases."""

import pytest

from quality.desk.snapshot import write_snapshot
from quality.desk.stewards import issue_token
from quality.desk.visit import Desk
from tests.quality.desk.invented_cases import NOW, Browser, invented_case, review_cases, served


@pytest.fixture
def cases():
    return [invented_case(number) for number in range(1, 13)]


@pytest.fixture
def desk(tmp_path, cases):
    """No case is double reviewed unless a test says so."""
    write_snapshot(tmp_path / "review" / "cases.sqlite", review_cases(cases), as_of="2026-01-01")
    return Desk(
        stewardship=tmp_path / "stewardship.sqlite",
        snapshot=tmp_path / "review" / "cases.sqlite",
        county="Invented County",
        double_review_share=0.0,
        prepared=tmp_path / "review" / "prepared.json",
        current_release=tmp_path / "releases" / "current",
        to_recall=list,
        clock=lambda: NOW,
    )


@pytest.fixture
def come_in(request):
    """Open a desk as a steward; all share one server per desk."""
    ports = {}
    servers = []

    def come(desk, steward="A. Steward"):
        if id(desk) not in ports:
            server = served(desk)
            ports[id(desk)] = server.__enter__()
            servers.append(server)
        browser = Browser(ports[id(desk)])
        browser.sign_in(issue_token(desk.stewardship, steward, now=NOW))
        assert browser.status == 303
        return browser

    yield come
    for server in servers:
        server.__exit__(None, None, None)
