"""The stewardship file: what people decided, signed, took back and looked at, apart from the warehouse, which is
rebuilt at will.

One SQLite file with the tables of whoever opens it. What is said to be only ever appended to is guarded by the file
itself. Nothing in it is identity in the clear; it is its owner's alone.
"""

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path


@contextmanager
def opened_stewardship(
    path: Path, schema: str = "", *, append_only: Sequence[str] = ()
) -> Iterator[sqlite3.Connection]:
    """The file with the tables of `schema` (`create table if not exists`), made if need be; every update and delete of
    the tables in `append_only` is refused. Statements are committed one by one unless the caller begins a transaction.
    """
    if not path.exists():
        path.touch(mode=0o600)
    store = sqlite3.connect(path, timeout=30, isolation_level=None)
    try:
        # So that stewards can decide while a run reads what was decided before.
        store.execute("pragma journal_mode = wal").fetchall()
        store.executescript(schema + _guards(append_only))
        yield store
    finally:
        store.close()


def _guards(tables: Sequence[str]) -> str:
    return "".join(
        f"create trigger if not exists {table}_is_never_{verb}d before {verb} on {table} "
        f"begin select raise(abort, '{table} is only ever appended to'); end;\n"
        for table in tables
        for verb in ("update", "delete")
    )
