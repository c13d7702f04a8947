"""Steward decisions: append-only, last one holds, contradictions refused."""

import sqlite3
import tempfile
from datetime import UTC, datetime
from pathlib import Path

import duckdb
import networkx
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.decisions import (
    Decision,
    Judgement,
    append_decisions,
    broken_decisions,
    decisions_fingerprint,
    effective_decisions,
    every_decision,
    waiting_decisions,
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
    with pytest.raises(UsageError, match=r"contradict each other.*already recorded: 1, 2"):
        append_decisions(path, [apart])
    assert effective_decisions(path).height == 2
    assert every_decision(path).height == 2


def test_a_withdrawal_makes_room_for_what_it_forbade(tmp_path):
    path = tmp_path / "stewardship.sqlite"
    append_decisions(path, [decided("a", "b"), decided("c", "b")])
    apart = decided("a", "c", "do_not_link", source_r="jail")
    append_decisions(path, [decided("a", "b", "withdrawn"), apart])
    assert effective_decisions(path)["decision"].to_list() == ["link", "do_not_link"]
    assert every_decision(path)["decision"].to_list() == ["link", "link", "withdrawn", "do_not_link"]


def test_a_file_from_before_notes_gets_them(tmp_path):
    path = tmp_path / "stewardship.sqlite"
    append_decisions(path, [decided("a", "b")])
    with sqlite3.connect(path) as store:
        store.execute("alter table decision drop column note")
    append_decisions(path, [decided("c", "d", note="same tattoo in both reports")])
    assert effective_decisions(path)["note"].to_list() == ["", "same tattoo in both reports"]


@given(
    st.lists(
        st.tuples(
            st.sampled_from("abcdef"), st.sampled_from("abcdef"), st.sampled_from(list(Judgement))
        ).filter(lambda said: said[0] != said[1]),
        max_size=8,
    )
)
@settings(max_examples=40, deadline=None)
def test_decisions_are_refused_exactly_when_plain_python_finds_a_contradiction(said):
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "stewardship.sqlite"
        accepted = {}
        for left, right, judgement in said:
            would_hold = {**accepted, frozenset((left, right)): judgement}
            linked = networkx.Graph([tuple(pair) for pair, says in would_hold.items() if says == "link"])
            contradicted = any(
                says == "do_not_link"
                and all(client in linked for client in pair)
                and networkx.has_path(linked, *pair)
                for pair, says in would_hold.items()
            )
            decision = decided(left, right, judgement, source_l="jail", source_r="jail")
            if contradicted:
                with pytest.raises(UsageError, match="contradict each other"):
                    append_decisions(path, [decision])
            else:
                append_decisions(path, [decision])
                accepted = would_hold
        holding = {
            frozenset(row[:2]): row[2]
            for row in effective_decisions(path).select("client_id_l", "client_id_r", "decision").iter_rows()
        }
        assert holding == {pair: says for pair, says in accepted.items() if says != "withdrawn"}


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
        path,
        [
            decided("a", "b", "do_not_link"),
            decided("c", "d"),
            decided("gone", "b"),
            decided("e", "f"),
            decided("g", "h", "do_not_link"),
        ],
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
            ("jail", "g", "P5"),
            ("ems", "h", "P6"),
        ],
        schema=["source", "client_id", "person_id"],
        orient="row",
    ).with_columns(
        person_id_080=pl.col("person_id").replace({"P6": "P5"}),
        person_id_095=pl.col("person_id"),
        person_id_099=pl.col("person_id"),
    )
    con.register("frame", crosswalk.to_arrow())
    con.execute("create table person_crosswalk as select * from frame").fetchall()
    broken = broken_decisions(con, effective_decisions(path))
    # g and h share a person only at 0.80: an analyst who chooses that threshold relies on the decision as well.
    assert sorted(broken.select("client_id_l", "client_id_r").rows()) == [("b", "a"), ("d", "c"), ("h", "g")]
    assert waiting_decisions(con, effective_decisions(path)) == 1
