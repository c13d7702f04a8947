"""Steward decisions: append-only, last one holds, contradictions refused."""

import sqlite3
from datetime import UTC, datetime

import duckdb
import polars as pl
import pytest

from linkage.decisions import (
    Decision,
    Judgement,
    append_decisions,
    broken_decisions,
    decisions_fingerprint,
    effective_decisions,
)
from linkage.errors import UsageError


def decided(left: str, right: str, decision: str = "link", **changed) -> Decision:
    values = {
        "source_l": "jail",
        "client_id_l": left,
        "source_r": "ems",
        "client_id_r": right,
        "decision": Judgement(decision),
        "decided_by": "A. Steward",
        "decided_at": datetime(2026, 1, 2, tzinfo=UTC),
        "model_version": "v1-00000000",
    }
    return Decision(**{**values, **changed})


def test_the_last_decision_on_a_pair_holds_whichever_way_round_it_was_given(tmp_path):
    path = tmp_path / "stewardship.sqlite"
    append_decisions(path, [decided("a", "b", "link")])
    turned = decided(
        "x", "x", "do_not_link", source_l="ems", client_id_l="b", source_r="jail", client_id_r="a"
    )
    assert append_decisions(path, [turned]) == 2
    effective = effective_decisions(path)
    assert effective.select("source_l", "client_id_l", "source_r", "client_id_r", "decision").rows() == [
        ("ems", "b", "jail", "a", "do_not_link")
    ]


def test_a_withdrawn_decision_no_longer_holds(tmp_path):
    path = tmp_path / "stewardship.sqlite"
    append_decisions(path, [decided("a", "b", "link")])
    append_decisions(path, [decided("a", "b", "withdrawn")])
    assert effective_decisions(path).is_empty()


def test_before_the_first_decision_none_holds(tmp_path):
    assert effective_decisions(tmp_path / "none.sqlite").is_empty()


@pytest.mark.parametrize("statement", ["delete from decision", "update decision set decision = 'link'"])
def test_decisions_cannot_be_changed_or_deleted(tmp_path, statement):
    path = tmp_path / "stewardship.sqlite"
    append_decisions(path, [decided("a", "b", "do_not_link")])
    with sqlite3.connect(path) as store, pytest.raises(sqlite3.IntegrityError, match="only ever appended"):
        store.execute(statement)


def test_contradicting_decisions_are_refused_and_nothing_is_recorded(tmp_path):
    path = tmp_path / "stewardship.sqlite"
    append_decisions(path, [decided("a", "b"), decided("c", "b")])
    apart = decided("a", "c", "do_not_link", source_r="jail")
    with pytest.raises(UsageError, match="contradict each other"):
        append_decisions(path, [apart])
    assert effective_decisions(path).height == 2


@pytest.mark.parametrize(
    ("changed", "message"),
    [
        pytest.param({"source_r": "jail", "client_id_r": "a"}, "two different clients", id="one client"),
        pytest.param({"decided_at": datetime(2026, 1, 2)}, "time zone", id="no time zone"),  # noqa: DTZ001
        pytest.param({"decided_by": " "}, "name of the steward", id="nobody"),
    ],
)
def test_a_decision_that_says_too_little_is_refused(changed, message):
    with pytest.raises(UsageError, match=message):
        decided("a", "b", **changed)


def test_the_fingerprint_changes_only_with_what_linkage_is_told(tmp_path):
    path = tmp_path / "stewardship.sqlite"
    nothing = decisions_fingerprint(path)
    append_decisions(path, [decided("a", "b")])
    linked = decisions_fingerprint(path)
    append_decisions(path, [decided("a", "b", decided_by="B. Steward")])
    assert decisions_fingerprint(path) == linked != nothing
    append_decisions(path, [decided("a", "b", "withdrawn")])
    assert decisions_fingerprint(path) == nothing


def test_broken_decisions_are_found_and_absent_clients_break_none(tmp_path):
    path = tmp_path / "stewardship.sqlite"
    append_decisions(
        path, [decided("a", "b", "do_not_link"), decided("c", "d"), decided("gone", "b"), decided("e", "f")]
    )
    con = duckdb.connect()
    crosswalk = pl.DataFrame(
        [
            ("jail", "a", "P1"),
            ("ems", "b", "P1"),
            ("jail", "c", "P2"),
            ("ems", "d", "P3"),
            ("jail", "e", "P4"),
            ("ems", "f", "P4"),
        ],
        schema=["source", "client_id", "person_id"],
        orient="row",
    )
    con.register("frame", crosswalk.to_arrow())
    con.execute("create table person_crosswalk as select * from frame").fetchall()
    broken = broken_decisions(con, effective_decisions(path))
    assert broken.select("client_id_l", "client_id_r").rows() == [("b", "a"), ("d", "c")]
