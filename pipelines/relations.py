"""Relations as files: `sql/<folder>/<relation>.sql` is one relation, its header is its contract.

The header is a comment: the relation's name, what it says, then `Grain:`, `Inputs:` and further labelled lines,
and `Columns:` with one line per column. Behind it stands one `select`. The header becomes the comments of the table
and its columns; its inputs draw the graph, and a file whose header does not fit its text is refused.
"""

import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cache, lru_cache
from graphlib import TopologicalSorter
from importlib import resources

import sqlglot
from duckdb import DuckDBPyConnection
from sqlglot import exp
from sqlglot.lineage import Node, lineage

from linkage.errors import UsageError
from linkage.source import declared_sources

FOLDERS = ("staging", "marts")
"""Folders of relations that are built; `analysis` holds queries to copy."""

_LABEL = re.compile(r"^(Grain|Inputs|Window|Counts|Order|Source|Kept): (.*)$")
_COLUMN = re.compile(r"^  (\w+): (.+)$")


@dataclass(frozen=True, kw_only=True)
class Relation:
    """One SQL file: what it makes, from what, and what each column means.

    `order` is the ordering by which the relation is released; it is a total one. `is_kept` is false for a query that
    is worked out where it is read and never written down (the header then says `Kept: no`, and why).
    """

    name: str
    folder: str
    comment: str
    inputs: tuple[str, ...]
    order: str
    columns: Mapping[str, str]
    query: str
    sha256: str
    is_kept: bool = True


def parse_relation(folder: str, name: str, text: str) -> Relation:
    """Read one file. Raises UsageError naming the file where the header is not as described above."""
    where = f"sql/{folder}/{name}.sql"
    lines = text.splitlines()
    header = [line.removeprefix("--").removeprefix(" ") for line in _leading_comment(lines)]
    if not header or header[0] != name:
        raise UsageError(f"{where}: the first line must be the comment `-- {name}`, the relation's name.")
    labels: dict[str, str] = {}
    columns: dict[str, str] = {}
    prose: list[str] = []
    current: dict[str, str] | None = None
    key = ""
    for line in header[1:]:
        label, column = _LABEL.match(line), _COLUMN.match(line)
        if line == "Columns:":
            current, key = columns, ""
        elif label:
            current, key = labels, label[1]
            labels[key] = label[2].strip()
        elif column and current is columns:
            key = column[1]
            columns[key] = column[2].strip()
        elif current is not None and key and line.strip():
            current[key] += f" {line.strip()}"
        elif line.strip():
            prose.append(line.strip())
    query = "\n".join(lines[len(header) :]).strip().removesuffix(";")
    for needed in ("Grain", "Inputs", "Order"):
        if needed not in labels:
            raise UsageError(f"{where}: the header lacks a line `-- {needed}: ...`.")
    if not columns:
        raise UsageError(f"{where}: the header lacks `-- Columns:` and a line for each column.")
    inputs = tuple(sorted(filter(None, (part.strip() for part in labels["Inputs"].split(",")))))
    _require_one_select(query, where)
    read = tables_read(query)
    if set(inputs) != read:
        raise UsageError(
            f"{where}: the header's Inputs are {', '.join(inputs)}, but the query reads {', '.join(sorted(read))}."
        )
    comment = " ".join(
        [*prose, *(f"{label}: {says}" for label, says in labels.items() if label not in ("Inputs", "Order"))]
    )
    return Relation(
        name=name,
        folder=folder,
        comment=comment,
        inputs=inputs,
        order=labels["Order"],
        columns=columns,
        query=query,
        sha256=hashlib.sha256(text.encode()).hexdigest(),
        is_kept=not labels.get("Kept", "").startswith("no"),
    )


def tables_read(query: str) -> set[str]:
    """Names of the tables that a query reads, without its own common table expressions."""
    tree = sqlglot.parse_one(query, dialect="duckdb")
    own = {expression.alias_or_name for expression in tree.find_all(exp.CTE)}
    return {table.name for table in tree.find_all(exp.Table) if table.name and table.name not in own}


def _require_one_select(query: str, where: str) -> None:
    try:
        statements = sqlglot.parse(query, dialect="duckdb")
    except sqlglot.errors.SqlglotError:
        raise UsageError(f"{where}: the text below the header cannot be read as SQL.") from None
    if len(statements) != 1 or not isinstance(statements[0], exp.Query):
        raise UsageError(
            f"{where}: below the header stands one select and nothing else; see the other files."
        )


@cache
def load_relations() -> dict[str, Relation]:
    """Every relation of sql/ by name, inputs before what is made from them."""
    relations = {}
    for folder in FOLDERS:
        for file in sorted((resources.files("sql") / folder).iterdir(), key=lambda file: file.name):
            if file.name.endswith(".sql"):
                relation = parse_relation(
                    folder, file.name.removesuffix(".sql"), file.read_text(encoding="utf-8")
                )
                relations[relation.name] = relation
    graph = {
        name: sorted(set(relation.inputs) & set(relations)) for name, relation in sorted(relations.items())
    }
    return {name: relations[name] for name in TopologicalSorter(graph).static_order()}


@cache
def described_inputs() -> dict[str, Relation]:
    """Released relations that are made outside sql/, described in `sql/inputs.toml`."""
    text = (resources.files("sql") / "inputs.toml").read_text(encoding="utf-8")
    return {
        name: Relation(
            name=name,
            folder="inputs",
            comment=described["says"],
            inputs=(),
            order=described["order"],
            columns=described["columns"],
            query="",
            sha256=hashlib.sha256(repr(described).encode()).hexdigest(),
        )
        for name, described in tomllib.loads(text).items()
    }


def build(connection: DuckDBPyConnection, relation: Relation) -> int:
    """Make the relation's table and its comments in one transaction; returns its number of rows, 0 for a query that is
    not kept.

    Raises UsageError when the columns made are not those that the header describes.
    """
    connection.execute("begin").fetchall()
    try:
        for (kind,) in connection.execute(
            "select table_type from information_schema.tables where table_name = ? and table_schema = 'main' "
            "and table_catalog = current_database()",
            [relation.name],
        ).fetchall():
            connection.execute(f"drop {'view' if kind == 'VIEW' else 'table'} {relation.name}").fetchall()
        connection.execute(
            f"create {'table' if relation.is_kept else 'view'} {relation.name} as {relation.query}"
        ).fetchall()
        describe(connection, relation)
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise
    if not relation.is_kept:
        return 0
    return int(connection.execute(f"select count(*) from {relation.name}").fetchall()[0][0])


def describe(connection: DuckDBPyConnection, relation: Relation) -> None:
    """Put a relation's comments on its table. Raises UsageError when its columns are not those described."""
    made = [
        name
        for (name,) in connection.execute(
            "select column_name from duckdb_columns() where database_name = current_database() "
            "and schema_name = 'main' and table_name = ? order by column_index",
            [relation.name],
        ).fetchall()
    ]
    if made != list(relation.columns):
        differing = sorted(set(made) ^ set(relation.columns)) or ["their order"]
        raise UsageError(
            f"sql/{relation.folder}, {relation.name}: the described columns are not those made: {', '.join(differing)}."
        )
    what = "table" if relation.is_kept else "view"
    connection.execute(f"comment on {what} {relation.name} is {_quoted(relation.comment)}").fetchall()
    for column, says in relation.columns.items():
        connection.execute(f"comment on column {relation.name}.{column} is {_quoted(says)}").fetchall()


def column_lineage(connection: DuckDBPyConnection, relation: Relation) -> dict[str, list[tuple[str, str]]]:
    """For each column of a relation, the (table, column) pairs of its inputs that it comes from."""
    known = connection.execute(
        "select table_name, column_name, data_type from duckdb_columns() "
        "where not internal and table_name in (select unnest(?)) order by all",
        [relation.inputs],
    ).fetchall()
    origins = _origins_by_column(relation.query, tuple(known))
    return {column: list(origins[column]) for column in relation.columns if column in origins}


@lru_cache(maxsize=128)
def _origins_by_column(
    query: str, known: tuple[tuple[str, str, str], ...]
) -> dict[str, list[tuple[str, str]]]:
    """Where the columns of a query come from; known are (table, column, type). Takes longer than many a query."""
    schema: dict[str, dict[str, str]] = {}
    for table, column, data_type in known:
        schema.setdefault(table, {})[column] = data_type
    try:
        roots = lineage(None, query, schema=schema, dialect="duckdb", trim_selects=False)
    except sqlglot.errors.SqlglotError:
        return {}
    return {column: sorted(_origins(root)) for column, root in roots.items()}


def _origins(root: Node) -> set[tuple[str, str]]:
    """The tables' columns below a column; each node is seen once, however many paths lead to it."""
    found, seen, waiting = set(), set(), [root]
    while waiting:
        node = waiting.pop()
        if id(node) in seen:
            continue
        seen.add(id(node))
        waiting += node.downstream
        if isinstance(node.expression, exp.Table):
            found.add((node.expression.name, node.name.rpartition(".")[2].strip('"')))
    return found


def create_encounter_kind(connection: DuckDBPyConnection) -> None:
    """Make the table `encounter_kind` from the declared sources: source, kind, label, is_stay, sim_intercept,
    by_day."""
    connection.execute(
        "create or replace table encounter_kind "
        "(source varchar, kind varchar, label varchar, is_stay boolean, sim_intercept integer, by_day boolean)"
    ).fetchall()
    kinds = [
        (source.name, kind.name, kind.label, kind.is_stay, kind.sim_intercept, kind.by_day)
        for source in declared_sources().values()
        for kind in source.kinds
    ]
    marks = ", ".join("(?, ?, ?, ?, ?, ?)" for _ in kinds)
    connection.execute(
        f"insert into encounter_kind values {marks}", [value for kind in kinds for value in kind]
    ).fetchall()


def _leading_comment(lines: list[str]) -> list[str]:
    header = []
    for line in lines:
        if not line.startswith("--"):
            break
        header.append(line)
    return header


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"
