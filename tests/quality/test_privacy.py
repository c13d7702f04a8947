import logging
from types import SimpleNamespace

import dagster as dg
import duckdb
import polars as pl
import pytest

from linkage.source import declared_sources
from pipelines.checks import check_results
from pipelines.relations import create_encounter_kind
from quality.run import run_suites
from quality.suite import REQUIREMENTS, Expectation, Suite, load_suites, select_suites
from tests.quality.test_drift import A_STEADY_YEAR, build_drift
from tests.quality.test_published_suites import A_SMALL_RELEASE

PLANTED = ("Zebulon", "Quackenbush", "900-55-1234", "1961-02-29", "Q7-PLANTED-ID", "zebulon@example.org")
JAIL = declared_sources()["jail"]


PLANTED_NUMBER = 900551234
TYPES = {"VARCHAR": "'{}'", "VARCHAR[]": "['{}']", "BLOB": "'{}'::blob"}


def plant_everywhere(warehouse) -> int:
    """Put identity in the clear into every text, list and blob column of every table there is; returns how many."""
    with duckdb.connect(warehouse.path, read_only=True) as connection:
        columns = connection.execute(
            "select table_name, column_name, data_type from duckdb_columns() where not internal order by all"
        ).fetchall()
    planted = [
        f"update {table} set {column} = {TYPES[kind].format(PLANTED[number % len(PLANTED)])}"
        for number, (table, column, kind) in enumerate(columns)
        if kind in TYPES
    ]
    warehouse.change(*planted)
    return len(planted)


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


def as_dagster_tells_it(results, docs) -> str:
    keys = {result.suite.name: dg.AssetKey(result.suite.relation) for result in results}
    return "\n".join(map(repr, check_results(results, keys, docs)))


def assert_nothing_planted(seen: dict[str, str]) -> None:
    for where, text in seen.items():
        for planted in PLANTED:
            assert planted.casefold() not in text.casefold(), where


def everything_that_is_told(results, docs, caplog, capfd) -> dict[str, str]:
    printed = capfd.readouterr()
    return {
        "results": repr(results),
        "sentences": repr([result.sentences() for result in results]),
        "dagster": as_dagster_tells_it(results, docs),
        "log": caplog.text,
        "stdout": printed.out,
        "stderr": printed.err,
        **{
            str(path): path.read_bytes().decode("utf-8", "replace")
            for path in docs.rglob("*")
            if path.is_file()
        },
    }


@pytest.mark.parametrize("stage", ["published", "drift"])
def test_no_planted_value_of_any_table_of_a_run_is_told(empty_warehouse, tmp_path, caplog, capfd, stage):
    if stage == "published":
        empty_warehouse.change(*A_SMALL_RELEASE.split(";"))
    else:
        with duckdb.connect(empty_warehouse.path) as connection:
            create_encounter_kind(connection)
        empty_warehouse.change(*A_STEADY_YEAR.split(";"))
        with duckdb.connect(empty_warehouse.path) as connection:
            build_drift(connection)
    assert plant_everywhere(empty_warehouse) > 10
    caplog.set_level(logging.DEBUG)
    docs = tmp_path / "quality_docs"
    results = run_suites(empty_warehouse.path, select_suites(stage=stage), run_label="planted", docs=docs)
    told = everything_that_is_told(results, docs, caplog, capfd)
    assert len(told) > 10
    assert_nothing_planted(told)


AN_ATTACK = {
    "column_values_to_not_be_null": {"column": "often_empty"},
    "column_values_to_be_in_set": {"column": "name", "value_set": ["a", "b"]},
    "column_values_to_be_between": {"column": "number", "min_value": 1, "max_value": 2},
    "column_values_to_match": {"column": "name", "pattern": "[0-9]"},
    "columns_to_be_unique": {"columns": ["name", "often_empty"]},
    "row_count_to_be_at_least": {"min_value": 1_000},
    "no_rows_where": {"where": "name is not null"},
    "no_rows_from": {"sql": "select * from {batch}"},
    "no_figure_off": {"among": "name is not null", "off": "name >= 'A'"},
}


@pytest.mark.parametrize("kind", REQUIREMENTS)
def test_no_kind_of_expectation_tells_the_values_that_break_it(
    empty_warehouse, tmp_path, caplog, capfd, monkeypatch, kind
):
    import quality.run as run_module
    from quality import warehouse_dialect

    values = ", ".join(f"('{value}')" for value in PLANTED)
    empty_warehouse.change(
        f"create table people as select name, {PLANTED_NUMBER} as number, "
        f"if(name > 'Z', name, null) as often_empty from (values {values}) "
        "as planted (name), range(9)"
    )
    engine_said, fetched = [], []
    cut, execute = run_module._cut, warehouse_dialect.BufferedCursor.execute

    def recording(self, statement, parameters=None, context=None):
        execute(self, statement, parameters, context)
        fetched.extend(self._rows)

    monkeypatch.setattr(warehouse_dialect.BufferedCursor, "execute", recording)
    monkeypatch.setattr(
        run_module, "_cut", lambda each, found: engine_said.append(repr(found)) or cut(each, found)
    )
    caplog.set_level(logging.DEBUG)
    attacked = hostile_suite()
    broken = Expectation(**{**vars(attacked.expectations[0]), "expect": kind, "parameters": AN_ATTACK[kind]})
    suite = Suite(**{**vars(attacked), "relation": "people", "expectations": (broken,)})
    docs = tmp_path / "quality_docs"
    results = run_suites(empty_warehouse.path, [suite], run_label="planted", docs=docs)

    assert [each.outcome for each in results[0].results] == ["not met"]
    assert engine_said
    assert fetched
    told = everything_that_is_told(results, docs, caplog, capfd)
    told |= {"engine": repr(engine_said), "fetched": repr(fetched)}
    assert_nothing_planted(told)
    assert not any(str(PLANTED_NUMBER) in text for text in told.values())


@pytest.mark.parametrize(
    "told",
    [
        {
            "element_count": 9,
            "unexpected_count": 1,
            "observed_value": list(PLANTED),
            "unexpected_rows": PLANTED,
        },
        {"element_count": 9, "partial_unexpected_index_list": [{"name": PLANTED[0]}], "details": PLANTED[1]},
        {"element_count": PLANTED[2], "unexpected_count": PLANTED[0]},
        {"element_count": str(PLANTED_NUMBER), "missing_count": [PLANTED[0]]},
    ],
)
def test_a_result_of_the_engine_is_cut_to_counts_whatever_it_holds(told):
    import quality.run as run_module

    engine_result = SimpleNamespace(
        success=False,
        result=told,
        exception_info={"raised_exception": False, "exception_message": PLANTED[0]},
    )
    kept = run_module._cut(hostile_suite().expectations[0], engine_result)
    assert_nothing_planted({"kept": repr(kept), "found": kept.found})
    assert str(PLANTED_NUMBER) not in repr(kept)
    assert all(count in (None, 9, 1) for count in (kept.element_count, kept.unexpected_count))


def test_loggers_that_the_engine_makes_while_it_runs_are_not_heard(warehouse, monkeypatch, caplog, capfd):
    import quality.run as run_module

    cut = run_module._cut

    def talkative(expectation, found):
        for name in (
            "great_expectations.made.late",
            "sqlalchemy.engine.Engine.late",
            "duckdb_sqlalchemy.late",
        ):
            logging.getLogger(name).setLevel(logging.DEBUG)
            logging.getLogger(name).error("found %s", PLANTED[0])
        return cut(expectation, found)

    monkeypatch.setattr(run_module, "_cut", talkative)
    caplog.set_level(logging.DEBUG)
    run_suites(warehouse.path, select_suites(stage="delivery", source="jail"), run_label="x")
    printed = capfd.readouterr()
    assert_nothing_planted({"log": caplog.text, "stdout": printed.out, "stderr": printed.err})
    logging.getLogger("great_expectations").warning("heard again")
    assert "heard again" in caplog.text


@pytest.mark.parametrize("library", ["duckdb", "polars"])
def test_what_a_library_says_of_a_value_does_not_reach_the_history_of_runs(tmp_path, library):
    from pipelines.resources import CountyWorkspace
    from sample_data.county import county_file_text

    (tmp_path / "county.toml").write_text(county_file_text(project_key_check="0" * 64), encoding="utf-8")

    @dg.asset
    def spoilt(county: CountyWorkspace) -> None:
        with county.warehouse() as connection:
            if library == "duckdb":
                connection.execute(f"select '{PLANTED[0]}'::integer").fetchall()
            pl.Series([PLANTED[0]]).cast(pl.Int64)

    with dg.DagsterInstance.ephemeral() as instance:
        result = dg.materialize(
            [spoilt],
            instance=instance,
            resources={"county": CountyWorkspace(root=str(tmp_path))},
            raise_on_error=False,
        )
        assert not result.success
        assert_nothing_planted({"events": "\n".join(map(repr, instance.all_logs(result.run_id)))})
