"""A tiny warehouse with faultless candidate deliveries of every declared source."""

import datetime as dt
import hashlib
import shutil
from pathlib import Path

import duckdb
import polars as pl
import pytest

from linkage.encoding.columns import (
    DELIVERED_PEOPLE_COLUMNS,
    FILTER_COLUMNS,
    TOKEN_COLUMNS,
    TOKEN_LIST_COLUMNS,
    delivered_encounter_columns,
)
from linkage.records import stored_people
from linkage.source import FLAGS, Source, declared_sources

CLIENTS = 40
MONTH = "2025-03"

_DELIVERY_COLUMNS = """
    source varchar, month varchar, covers_from date, covers_to date,
    delivered_people bigint, accepted_people bigint, quarantined_people bigint,
    delivered_encounters bigint, accepted_encounters bigint, quarantined_encounters bigint,
    key_check varchar, code_list_version varchar, content_sha256 varchar
"""


class Warehouse:
    """A warehouse file that tests may spoil."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def change(self, *statements: str) -> None:
        """Run statements that make something wrong (or right)."""
        with duckdb.connect(self.path) as connection:
            for statement in statements:
                connection.execute(statement).fetchall()

    def count(self, relation: str) -> int:
        with duckdb.connect(self.path, read_only=True) as connection:
            return connection.execute(f"select count(*) from {relation}").fetchall()[0][0]


def token(*parts: object) -> str:
    return hashlib.md5("|".join(str(part) for part in parts).encode(), usedforsecurity=False).hexdigest()


def _people(source: Source) -> pl.DataFrame:
    columns = {
        "client_id": [token(source.name, n) for n in range(CLIENTS)],
        **{name: [token(name, n) for n in range(CLIENTS)] for name in TOKEN_COLUMNS},
        **{name: [[token(name, n)] for n in range(CLIENTS)] for name in TOKEN_LIST_COLUMNS},
        **{name: [bytes([n % 256]) * 64 for n in range(CLIENTS)] for name in FILTER_COLUMNS},
        "birth_year": [1950 + n for n in range(CLIENTS)],
        "sex": ["M", "F", "X", "U"] * (CLIENTS // 4),
        "zip3": ["981"] * CLIENTS,
        "race_ethnicity": [None, "white", "asian;white", "hispanic_latino"] * (CLIENTS // 4),
        "birth_date_suspect": [False] * CLIENTS,
        "name_placeholder": [False] * CLIENTS,
        "ssn_quality": ["full"] * CLIENTS,
    }
    people = pl.DataFrame(
        {name: columns[name] for name in DELIVERED_PEOPLE_COLUMNS}, schema=DELIVERED_PEOPLE_COLUMNS
    )
    return people.with_columns(month=pl.lit(MONTH)).with_row_index("row_number", offset=1)


def _encounters(source: Source) -> pl.DataFrame:
    rows = range(2 * CLIENTS)
    started_at = [dt.datetime(2025, 3, 1 + n % 20, 8) for n in rows]  # noqa: DTZ001  (local, no zone)
    columns = {
        "encounter_id": [token("encounter", source.name, n) for n in rows],
        "client_id": [token(source.name, n % CLIENTS) for n in rows],
        "kind": [source.kind_names[n % len(source.kind_names)] for n in rows],
        "started_at": started_at,
        "ended_at": [None if n % 5 == 0 else started_at[n] + dt.timedelta(hours=n % 30) for n in rows],
        **dict.fromkeys(FLAGS, [True, None] * CLIENTS),
        "part2": [False] * len(rows),
        **{
            column.name: {
                "code": [column.codes[n % min(len(column.codes), 8)] if column.codes else None for n in rows],
                "boolean": [None] * len(rows),
                "timestamp": started_at,
            }[column.type]
            for column in source.delivered_columns
        },
    }
    schema = delivered_encounter_columns(source)
    encounters = pl.DataFrame({name: columns[name] for name in schema}, schema=schema)
    return encounters.with_columns(month=pl.lit(MONTH)).with_row_index("row_number", offset=1)


def add_candidate(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    for part, rows in (("people", stored_people(_people(source))), ("encounter", _encounters(source))):
        connection.register("rows_to_add", rows)
        connection.execute(f"create table candidate_{source.name}_{part} as from rows_to_add").fetchall()
        connection.unregister("rows_to_add")
    connection.execute(f"create table candidate_{source.name}_delivery ({_DELIVERY_COLUMNS})").fetchall()
    counts = [CLIENTS, CLIENTS, 0, 2 * CLIENTS, 2 * CLIENTS, 0]
    connection.execute(
        f"insert into candidate_{source.name}_delivery values (?, ?, '2025-03-01', '2025-04-01', "
        "?, ?, ?, ?, ?, ?, 'k', 'v', 'c')",
        [source.name, MONTH, *counts],
    ).fetchall()


@pytest.fixture(scope="session")
def faultless(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("faultless") / "warehouse.duckdb"
    with duckdb.connect(path) as connection:
        connection.execute(f"create table delivery ({_DELIVERY_COLUMNS})").fetchall()
        for source in declared_sources().values():
            add_candidate(connection, source)
    return path


@pytest.fixture
def warehouse(faultless: Path, tmp_path: Path) -> Warehouse:
    path = tmp_path / "warehouse.duckdb"
    shutil.copy(faultless, path)
    return Warehouse(path)


@pytest.fixture
def empty_warehouse(tmp_path: Path) -> Warehouse:
    return Warehouse(tmp_path / "warehouse.duckdb")
