"""A snapshot of invented cases, and a desk that serves it."""

import contextlib
import datetime as dt
import html
import http.client
import re
import threading
import time
from collections.abc import Iterator
from urllib.parse import urlencode

import polars as pl

from linkage.model import comparisons
from linkage.review_cases import ReviewCases
from quality.desk.serve import listening_socket, server_of
from quality.desk.snapshot import Case
from quality.desk.visit import Desk

NOW = dt.datetime(2026, 3, 1, 12, tzinfo=dt.UTC)


def invented_case(number: int, **changed) -> Case:
    """Case `number`: a jail client and a shelter client of that number."""
    values = {
        "case_id": f"{number:016x}",
        "position": number,
        "kind": "borderline",
        "reason": "The evidence is neither clearly for nor clearly against one person.",
        "source_l": "jail",
        "client_id_l": f"j{number}",
        "source_r": "shelter",
        "client_id_r": f"s{number}",
        "match_weight": 1.5,
        "match_probability": 0.7388,
        "unadjusted_match_weight": 1.5,
        "adjustment": None,
        "blocking_rule": "name_sound_and_birth_date",
        "linked": False,
        "affected": 3,
        "information": 2.49,
        "encounters_l": 2,
        "encounters_r": 1,
    }
    return Case(**{**values, **changed})


def review_cases(cases: list[Case]) -> ReviewCases:
    """What linkage would have found."""
    evidence = [
        {
            "case_id": case.case_id,
            "position": position,
            "comparison": each.name,
            "level": each.levels[1].name,
            "says": each.levels[1].says,
            "tells_nothing": False,
            "share": 0.0004 if each.levels[1].rarity_of else None,
            "match_weight": 1.9371,
        }
        for case in cases
        for position, each in enumerate(comparisons(), start=1)
    ]
    encounters = [
        (case.case_id, side, source, kind, dt.datetime(2025, month, 3, 10), dt.datetime(2025, month, 5, 9))  # noqa: DTZ001
        for case in cases
        for side, source, kind, month in (
            ("l", "jail", "booking", 1),
            ("l", "jail", "booking", 4),
            ("r", "shelter", "bed_night", 2),
        )
    ]
    return ReviewCases(
        model_version="v1-0123abcd",
        link_weight=2.0,
        prior_weight=-14.0,
        cases=pl.DataFrame([vars(case) for case in cases], infer_schema_length=None),
        evidence=pl.DataFrame(evidence),
        encounters=pl.DataFrame(
            encounters,
            schema=["case_id", "side", "source", "kind", "started_at", "ended_at"],
            orient="row",
        ).with_columns(is_open=pl.lit(False), is_stay=pl.lit(True)),
        companions=pl.DataFrame(
            [(case.case_id, "l", "ems", 2) for case in cases],
            schema=["case_id", "side", "source", "clients"],
            orient="row",
        ),
    )


@contextlib.contextmanager
def served(desk: Desk) -> Iterator[int]:
    """Serve a desk from a thread; yields the port."""
    listener = listening_socket("127.0.0.1", 0)
    server = server_of(desk)
    thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
    thread.start()
    while not server.started:
        time.sleep(0.01)
    try:
        yield listener.getsockname()[1]
    finally:
        server.should_exit = True
        thread.join()


class Browser:
    """A browser without scripts: keeps cookies, follows one redirect when told to, reads forms."""

    def __init__(self, port: int) -> None:
        self.port = port
        self.cookies: dict[str, str] = {}
        self.status = 0
        self.headers: dict[str, str] = {}
        self.text = ""

    def get(self, path: str, **headers: str) -> str:
        return self._ask("GET", path, None, headers)

    def post(self, path: str, fields: dict[str, str], **headers: str) -> str:
        return self._ask("POST", path, urlencode(fields), headers)

    def follow(self) -> str:
        return self.get(self.headers["location"])

    def hidden(self, name: str) -> str:
        """The value of a hidden field of the page."""
        found = re.search(f'name="{name}" value="([^"]*)"', self.text)
        assert found, name
        return html.unescape(found[1])

    def sign_in(self, token: str) -> None:
        self.get("/sign-in")
        self.post("/sign-in", {"token": token, "csrf": self.hidden("csrf")})

    def answer(self, answer: str, note: str = "") -> str:
        """Answer the case on the page; returns the path of the case that comes next."""
        path = re.search(r'action="(/case/[0-9a-f]+)"', self.text)[1]
        fields = {"csrf": self.hidden("csrf"), "model_version": self.hidden("model_version")}
        self.post(path, {**fields, "answer": answer, "note": note})
        if self.status == 303:
            self.follow()
            if self.status == 303:
                self.follow()
        return self.text

    def _ask(self, method: str, path: str, body: str | None, headers: dict[str, str]) -> str:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=20)
        sent = {
            "Host": f"127.0.0.1:{self.port}",
            **{key.replace("_", "-"): value for key, value in headers.items()},
        }
        if self.cookies:
            sent["Cookie"] = "; ".join(f"{name}={value}" for name, value in self.cookies.items())
        if body is not None:
            sent["Content-Type"] = "application/x-www-form-urlencoded"
        connection.request(method, path, body, sent)
        answered = connection.getresponse()
        self.status, self.text = answered.status, answered.read().decode()
        self.headers = {name.lower(): value for name, value in answered.getheaders()}
        self.set_cookies = [value for name, value in answered.getheaders() if name.lower() == "set-cookie"]
        for cookie in self.set_cookies:
            name, _, rest = cookie.partition("=")
            self.cookies[name] = rest.partition(";")[0]
        connection.close()
        return self.text
