"""Every file of sql/ is what its header says, and a file that is not is refused with a sentence."""

import re
from dataclasses import replace
from importlib import resources

import duckdb
import pytest

from linkage.errors import UsageError
from pipelines.cohorts import build_cohort_inputs
from pipelines.relations import (
    build,
    column_lineage,
    describe,
    described_inputs,
    load_relations,
    parse_relation,
    tables_read,
)
from tests.marts.invented import booking, call, cohort, night, ride, rows, visit, warehouse, withhold_for

ANALYSES = sorted(
    file.name.removesuffix(".sql")
    for file in (resources.files("sql") / "analysis").iterdir()
    if file.name.endswith(".sql")
)


@pytest.fixture(scope="module")
def built():
    """A small warehouse with every relation, and how many rows each has."""
    encounters = [
        *(
            booking(f"b{number}", f"2024-0{number}-05", f"2024-0{number}-09", smi=True)
            for number in range(1, 6)
        ),
        booking("still held", "2024-11-05", client_id="bob"),
        booking("let go", "2024-05-01", "2024-05-03", client_id="bob"),
        *(night(f"n{day}", f"2024-06-0{day}", client_id="bob") for day in range(1, 4)),
        night("a night in custody", "2024-05-02", client_id="bob"),
        ride("r", "2024-07-01T10:00"),
        visit("v", "2024-07-01T10:30", "2024-07-01T18:00", disposition="admitted", sud=True),
        visit("w", "2024-07-01T19:00", "2024-07-04", kind="inpatient"),
        call("k", "2024-07-01T09:00", "ambulance"),
    ]
    connection = warehouse(encounters, further_sources="crisis_line")
    counts = {}
    for name, relation in load_relations().items():
        if name == "cohort_membership":
            familiar = {"count": ["booking"], "at_least": 4, "within_months": 12}
            build_cohort_inputs(connection, [cohort(familiar, "king_county_familiar_faces")])
        withhold_for(connection, name)
        made = build(connection, relation)
        ((counts[name],),) = rows(connection, f"select count(*) from {name}")
        assert made == (counts[name] if relation.is_kept else 0)
    yield connection, counts
    connection.close()


def test_every_relation_has_rows_in_the_small_warehouse(built):
    _, counts = built
    assert [name for name, count in counts.items() if not count] == []


@pytest.mark.parametrize("name", load_relations())
def test_grain_and_order_are_unique(built, name):
    connection, counts = built
    relation = load_relations()[name]
    (grain,) = re.findall(r"Grain: one row per (.+?)\.(?: |$)", relation.comment)
    for key in (grain.replace(" and ", ", "), relation.order):
        assert rows(connection, f"select count(*) from (select distinct {key} from {name})") == [
            (counts[name],)
        ]


@pytest.mark.parametrize("name", load_relations())
def test_every_table_and_column_has_a_comment(built, name):
    connection, _ = built
    assert rows(connection, f"select comment from duckdb_tables() where table_name = '{name}'") != [(None,)]
    silent = rows(
        connection,
        f"select column_name from duckdb_columns() where table_name = '{name}' and coalesce(comment, '') = ''",
    )
    assert silent == []


@pytest.mark.parametrize(
    "name",
    [
        "run_parameter", "person_crosswalk", "encounter_kind", "cohort_definition", "withheld_cell",
        "shown_linkage_quality",
    ],
)  # fmt: skip
def test_released_inputs_are_described_as_they_are_made(built, name):
    connection, _ = built
    describe(connection, described_inputs()[name])
    assert rows(
        connection, f"select count(*) from duckdb_columns() where table_name = '{name}' and comment is null"
    ) == [(0,)]


@pytest.mark.parametrize("name", load_relations())
def test_every_column_comes_from_inputs_of_the_header(built, name):
    connection, _ = built
    relation = load_relations()[name]
    origins = column_lineage(connection, relation)
    assert {table for columns in origins.values() for table, _ in columns} <= set(relation.inputs)


def test_lineage_names_the_columns_that_a_column_is_made_of(built):
    connection, _ = built
    lineage = column_lineage(connection, load_relations()["person"])
    assert ("source_record", "birth_year") in lineage["age"]
    assert ("encounter", "started_at") in lineage["first_seen"]


def test_lineage_follows_the_columns_that_the_inputs_have(built):
    relation = replace(
        load_relations()["person"], inputs=("one", "two"), columns={"a": ""}, query="select a from one, two"
    )
    found = []
    for holder, other in (("one", "two"), ("two", "one")):
        with duckdb.connect() as connection:
            connection.execute(
                f"create table {holder} (a integer); create table {other} (b integer)"
            ).fetchall()
            found.append(column_lineage(connection, relation))
    assert found == [{"a": [("one", "a")]}, {"a": [("two", "a")]}]


def test_inputs_come_before_what_is_made_from_them():
    seen = set()
    for name, relation in load_relations().items():
        assert set(relation.inputs) & set(load_relations()) <= seen
        seen.add(name)


@pytest.mark.parametrize("name", ANALYSES)
def test_an_analysis_runs_on_a_release_and_says_what_it_reads(built, name):
    connection, _ = built
    text = (resources.files("sql") / "analysis" / f"{name}.sql").read_text(encoding="utf-8")
    assert text.splitlines()[0] == f"-- {name}"
    (inputs,) = re.findall(r"^-- Inputs: (.+)$", text, re.MULTILINE)
    assert set(inputs.split(", ")) == tables_read(text)
    marts = {each for each, relation in load_relations().items() if relation.folder == "marts"}
    assert tables_read(text) <= marts | set(described_inputs())
    (grain,) = re.findall(r"^-- Grain: one row per (\w+)\.$", text, re.MULTILINE)
    query = text.strip()
    promised = re.findall(r"^--   (\w+): .+$", text, re.MULTILINE)
    assert [column for column, *_ in rows(connection, f"describe {query}")] == promised
    (count,), (distinct,) = (
        rows(connection, f"select count({what}) from ({query}\n)")[0] for what in ("*", f"distinct {grain}")
    )
    assert count == distinct > 0


GOOD = """-- tally
--
-- How many there are.
--
-- Grain: one row per n.
-- Inputs: number
-- Order: n
-- Columns:
--   n: The number.
select n
from number
"""


@pytest.mark.parametrize(
    ("wrong", "says"),
    [
        pytest.param(
            ("-- tally", "-- count"), "the first line must be the comment `-- tally`", id="another name"
        ),
        pytest.param(("-- Grain: one row per n.\n", ""), "lacks a line `-- Grain: ...`", id="no grain"),
        pytest.param(("-- Inputs: number\n", ""), "lacks a line `-- Inputs: ...`", id="no inputs"),
        pytest.param(("-- Order: n\n", ""), "lacks a line `-- Order: ...`", id="no order"),
        pytest.param(("-- Columns:\n--   n: The number.\n", ""), "lacks `-- Columns:`", id="no columns"),
        pytest.param(
            ("from number", "from letter"),
            "Inputs are number, but the query reads letter",
            id="reads another",
        ),
        pytest.param(
            ("Inputs: number", "Inputs: number, letter"), "are letter, number, but", id="reads fewer"
        ),
        pytest.param(("select n", "create table x as select n"), "one select", id="makes a table itself"),
        pytest.param(("from number", "from number; drop table number"), "one select", id="two statements"),
        pytest.param(("select n", "select from where"), "cannot be read as SQL", id="not SQL"),
    ],
)
def test_a_file_that_breaks_its_contract_is_refused_with_a_sentence(wrong, says):
    assert parse_relation("marts", "tally", GOOD).inputs == ("number",)
    with pytest.raises(UsageError, match=re.escape(says)) as raised:
        parse_relation("marts", "tally", GOOD.replace(*wrong))
    assert str(raised.value).startswith("sql/marts/tally.sql: ")


def test_a_file_whose_columns_are_not_those_made_leaves_the_table_as_it_was():
    connection = duckdb.connect()
    connection.execute("create table number as select 1 as n").fetchall()
    assert build(connection, parse_relation("marts", "tally", GOOD)) == 1
    connection.execute("insert into number values (2)").fetchall()
    undescribed = parse_relation("marts", "tally", GOOD.replace("select n\n", "select n, n + 1 as further\n"))
    with pytest.raises(UsageError, match="the described columns are not those made: further"):
        build(connection, undescribed)
    assert rows(connection, "select * from tally") == [(1,)]
    assert build(connection, parse_relation("marts", "tally", GOOD)) == 2
