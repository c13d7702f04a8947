import logging

import duckdb
import pytest

from linkage.source import declared_sources
from quality.run import run_suites
from quality.suite import Expectation, Suite, load_suites, select_suites

PLANTED = ("Zebulon", "Quackenbush", "900-55-1234", "1961-02-29", "Q7-PLANTED-ID", "zebulon@example.org")
JAIL = declared_sources()["jail"]


def plant(warehouse) -> None:
    """Put identity in the clear into every text, list and filter column of every candidate table."""
    statements = []
    with duckdb.connect(warehouse.path, read_only=True) as connection:
        columns = connection.execute(
            "select table_name, column_name, data_type from information_schema.columns "
            "where table_name like 'candidate_%' and table_name not like '%_delivery' "
            "and column_name <> 'month'"
        ).fetchall()
    for number, (table, column, data_type) in enumerate(columns):
        text = PLANTED[number % len(PLANTED)]
        planted = {
            "VARCHAR": f"'{text}'",
            "VARCHAR[]": f"['{text}']",
            "BLOB": f"'{text}'::blob",
        }.get(data_type)
        if planted is not None:
            statements.append(f"update {table} set {column} = {planted} where row_number % 2 = 0")
    warehouse.change(*statements)


def hostile_suite() -> Suite:
    """Expectations that make the database quote values in its error messages."""
    rules = {
        "converts": {"where": "cast(client_id as integer) > 1"},
        "converts_to_date": {"where": "cast(ssn_quality as date) > current_date"},
        "raises": {"where": "error('found ' || client_id) is null"},
    }
    return Suite(
        name="hostile",
        title="Hostile",
        says="A suite of a test.",
        relation="candidate_jail_people",
        stage="delivery",
        source=None,
        expectations=tuple(
            Expectation(
                expectation_id=name,
                expect="no_rows_where",
                parameters=parameters,
                says="It holds.",
                because="It must hold in this test.",
                severity="stop",
                owner="Tester",
            )
            for name, parameters in rules.items()
        ),
    )


def test_no_planted_value_leaves_the_database(warehouse, tmp_path, caplog, capfd):
    plant(warehouse)
    caplog.set_level(logging.DEBUG)
    docs = tmp_path / "quality_docs"
    suites = [suite for suite in load_suites() if suite.stage == "delivery"] + [hostile_suite()]
    results = run_suites(warehouse.path, suites, run_label="planted", docs=docs)

    assert not any(result.passed for result in results if result.suite.name.endswith("_people"))
    assert {each.outcome for each in results[-1].results} == {"could not run"}
    printed = capfd.readouterr()
    seen = {
        "results": repr(results),
        "sentences": repr([result.sentences() for result in results]),
        "log": caplog.text,
        "stdout": printed.out,
        "stderr": printed.err,
        **{
            path.name: path.read_bytes().decode("utf-8", "replace")
            for path in docs.rglob("*")
            if path.is_file()
        },
    }
    assert len(seen) > 12
    for where, text in seen.items():
        for planted in PLANTED:
            assert planted.casefold() not in text.casefold(), where


def test_engine_results_hold_no_value_even_before_they_are_cut(warehouse, monkeypatch):
    import quality.run as run_module

    plant(warehouse)
    raw = []
    cut = run_module._cut
    monkeypatch.setattr(
        run_module, "_cut", lambda expectation, found: raw.append(repr(found)) or cut(expectation, found)
    )
    run_suites(warehouse.path, select_suites(stage="delivery", source="jail"), run_label="planted")
    assert len(raw) > 60
    for planted in PLANTED:
        assert not any(planted in text for text in raw)


def test_no_query_of_a_suite_fetches_more_than_counts(warehouse, monkeypatch):
    from quality import warehouse_dialect

    plant(warehouse)
    fetched = []
    execute = warehouse_dialect.BufferedCursor.execute

    def recording(self, statement, parameters=None, context=None):
        execute(self, statement, parameters, context)
        fetched.extend(self._rows)

    monkeypatch.setattr(warehouse_dialect.BufferedCursor, "execute", recording)
    run_suites(warehouse.path, select_suites(stage="delivery", source="jail"), run_label="planted")
    assert fetched
    for planted in PLANTED:
        assert planted not in repr(fetched)


def test_files_are_for_their_owner_only(warehouse, tmp_path):
    docs = tmp_path / "quality_docs"
    run_suites(warehouse.path, select_suites(stage="delivery", source="jail"), run_label="x", docs=docs)
    files = [path for path in docs.rglob("*") if path.is_file()]
    assert files
    assert {path.stat().st_mode & 0o777 for path in files} == {0o600}


@pytest.mark.parametrize("name", ["GX_ANALYTICS_ENABLED"])
def test_great_expectations_reports_to_nobody(warehouse, monkeypatch, name):
    import os
    import socket

    monkeypatch.delenv(name, raising=False)

    def refuse(*_args, **_kwargs):
        raise AssertionError("a connection was opened")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    run_suites(warehouse.path, select_suites(stage="delivery", source="jail"), run_label="x")
    assert os.environ[name] == "false"
