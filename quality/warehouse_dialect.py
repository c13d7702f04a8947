"""How Great Expectations reads the warehouse: one read-only DuckDB connection behind a SQLAlchemy dialect.

Great Expectations closes its SQLAlchemy connection before it fetches, and DuckDB drops a pending result on
close, so a cursor here takes all rows when it executes. The queries are aggregates: a few rows.

The dialect does not open files. `open_to_read` opens the warehouse once, read-only, and every SQLAlchemy
connection is a cursor of that one: the file's path stays out of Great Expectations' configuration, nothing
can be written, and no pooled connection outlives the block and keeps the next writer out.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from itertools import count
from pathlib import Path
from typing import Any

import duckdb
import duckdb_sqlalchemy
from sqlalchemy import URL, Pool, pool
from sqlalchemy.dialects import registry

from linkage.errors import UsageError

_SCHEME = "warehouse"
_open_connections: dict[str, duckdb.DuckDBPyConnection] = {}
_numbers = count(1)


class BufferedCursor:
    """A DB-API cursor that holds all rows of its last statement, whatever becomes of the connection."""

    arraysize = 1

    def __init__(self, cursor: Any) -> None:
        self._cursor = cursor
        self._rows: list[Any] = []
        self.description: Any = None

    def execute(self, statement: str, parameters: Any = None, context: Any = None) -> None:
        """Run one statement and take its rows."""
        self._cursor.execute(statement, parameters, context)
        self.description = self._cursor.description
        self._rows = list(self._cursor.fetchall()) if self.description else []

    @property
    def rowcount(self) -> int:
        """Rows not yet fetched, or -1 where the statement gave none."""
        return len(self._rows) if self.description else -1

    def fetchone(self) -> Any:
        """The next row, or None."""
        return self._rows.pop(0) if self._rows else None

    def fetchmany(self, size: int | None = None) -> list[Any]:
        """The next `size` rows."""
        wanted = size or self.arraysize
        taken, self._rows = self._rows[:wanted], self._rows[wanted:]
        return taken

    def fetchall(self) -> list[Any]:
        """The remaining rows."""
        taken, self._rows = self._rows, []
        return taken

    def close(self) -> None:
        """Keep the rows: SQLAlchemy closes before Great Expectations fetches."""

    def __getattr__(self, name: str) -> Any:
        return getattr(self._cursor, name)


class WarehouseDialect(duckdb_sqlalchemy.Dialect):  # type: ignore[misc]
    """duckdb-sqlalchemy's dialect, connected to what `open_to_read` opened."""

    supports_statement_cache = False

    @classmethod
    def get_pool_class(cls, url: URL) -> type[Pool]:
        """No pool: a connection that waits in one would keep the file open."""
        return pool.NullPool

    def create_connect_args(self, url: URL) -> tuple[list[Any], dict[str, Any]]:
        """The number under which `open_to_read` keeps its connection."""
        return [url.database], {}

    def connect(self, *arguments: Any, **_options: Any) -> Any:
        """A new cursor of the open connection, buffering."""
        connection = duckdb_sqlalchemy.ConnectionWrapper(_open_connections[arguments[0]].cursor())
        make_cursor = connection.cursor
        connection.cursor = lambda: BufferedCursor(make_cursor())
        return connection


registry.register(_SCHEME, __name__, WarehouseDialect.__name__)


@contextmanager
def open_to_read(warehouse: Path) -> Iterator[tuple[duckdb.DuckDBPyConnection, str]]:
    """Open the warehouse read-only; give the connection and the SQLAlchemy address of cursors of it.

    The caller must have closed its own connection: DuckDB lets nobody read a file that another process writes
    and, within one process, refuses to open a file twice with different settings. Raises UsageError for both,
    and for a file that does not exist.
    """
    if not warehouse.is_file():
        raise UsageError(f"{warehouse} does not exist, so there is nothing to check. Run the pipeline first.")
    try:
        connection = duckdb.connect(warehouse, read_only=True)
    except duckdb.IOException:
        raise UsageError(
            f"{warehouse} cannot be opened: it is in use by another process, or is not a DuckDB file. "
            "Wait for the other process to finish, or close it."
        ) from None
    except duckdb.ConnectionException:
        raise UsageError(
            f"{warehouse} is still open for writing in this process. Close it before running suites."
        ) from None
    number = str(next(_numbers))
    _open_connections[number] = connection
    try:
        yield connection, f"{_SCHEME}:///{number}"
    finally:
        del _open_connections[number]
        connection.close()
