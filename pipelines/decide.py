"""Steward decisions from the command line: checked against what was delivered, then appended."""

import csv
import datetime as dt
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from linkage.decisions import (
    Client,
    Decision,
    Judgement,
    append_decisions,
    broken_decisions,
    effective_decisions,
    every_decision,
)
from linkage.errors import CheckFailedError, UsageError
from linkage.source import declared_sources
from pipelines.models import chosen_model
from pipelines.releases.release import current_release
from pipelines.workspace import Workspace

FILE_COLUMNS = ("decision", "source_l", "client_id_l", "source_r", "client_id_r", "note")
"""Columns of a file of decisions."""

_NO_MODEL = "none"
_WORDS = {"link": Judgement.LINK, "do-not-link": Judgement.DO_NOT_LINK, "withdraw": Judgement.WITHDRAWN}
WORDS = tuple(_WORDS)
"""What can be said about two clients on the command line."""


@dataclass(frozen=True, kw_only=True)
class Statement:
    """One thing to record; `where` names its place for an error: the command, or a file's row."""

    judgement: Judgement
    left: Client
    right: Client
    note: str
    where: str


def statement(word: str, left: str, right: str, note: str) -> Statement:
    """What the command's arguments say. A client is written SOURCE:CLIENT_ID.

    Raises UsageError when a client is not written so or its source is not declared.
    """
    return Statement(
        judgement=_WORDS[word],
        left=_client(left, "The first client"),
        right=_client(right, "The second client"),
        note=note,
        where="this command",
    )


def read_statements(path: Path) -> list[Statement]:
    """What a CSV file with the columns `FILE_COLUMNS` says; `decision` is one of `WORDS`.

    Raises UsageError for a column that is missing or extra and for a row that says nothing known.
    """
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.reader(file)
        header = next(rows, [])
        if sorted(header) != sorted(FILE_COLUMNS):
            raise UsageError(f"{path}: the columns must be {', '.join(FILE_COLUMNS)}.")
        return [_row(path, number, header, row) for number, row in enumerate(rows, start=1)]


def record(workspace: Workspace, statements: Sequence[Statement], *, steward: str) -> int:
    """Append the statements as decisions, all or none; returns how many.

    Raises UsageError when a client was never delivered, a decision contradicts those that hold, or there is
    nothing to withdraw.
    """
    if not statements:
        raise UsageError("There is no decision to record: the file has no row.")
    _refuse_unknown_clients(workspace, statements)
    model = chosen_model(workspace, workspace.settings().linkage.model)
    now = dt.datetime.now(dt.UTC)
    decisions = [
        Decision(
            source_l=each.left[0],
            client_id_l=each.left[1],
            source_r=each.right[0],
            client_id_r=each.right[1],
            decision=each.judgement,
            decided_by=steward.strip(),
            decided_at=now,
            model_version=model.version if model else _NO_MODEL,
            note=each.note,
        )
        for each in statements
    ]
    holding = {
        ((row[0], row[1]), (row[2], row[3]))
        for row in effective_decisions(workspace.stewardship)
        .select("source_l", "client_id_l", "source_r", "client_id_r")
        .iter_rows()
    }
    for decision, each in zip(decisions, statements, strict=True):
        if decision.decision == Judgement.WITHDRAWN and decision.pair not in holding:
            raise UsageError(
                f"{each.where}: no decision on these two clients holds, so there is none to withdraw. "
                "`familiar-faces decide --list` shows those that do. Nothing was recorded."
            )
        (holding.discard if decision.decision == Judgement.WITHDRAWN else holding.add)(decision.pair)
    append_decisions(workspace.stewardship, decisions)
    return len(decisions)


def listed(workspace: Workspace, *, all_of_them: bool = False) -> pl.DataFrame:
    """The decisions that hold, or every one ever recorded; columns of `linkage.decisions`."""
    return (every_decision if all_of_them else effective_decisions)(workspace.stewardship)


def broken_sentence(connection: duckdb.DuckDBPyConnection, stewardship: Path) -> str | None:
    """What the persons in the warehouse do not honour, in one sentence without an id; None when all is well."""
    broken = broken_decisions(connection, effective_decisions(stewardship))
    if broken.is_empty():
        return None
    numbers = ", ".join(map(str, broken["decision_number"].sort().to_list()[:5]))
    return (
        f"{broken.height} steward decision{'' if broken.height == 1 else 's'} not honoured by the persons "
        f"(decision {numbers}{', ...' if broken.height > 5 else ''} of `familiar-faces decide --list`)."
    )


def refuse_broken_decisions(connection: duckdb.DuckDBPyConnection, stewardship: Path) -> None:
    """Raise CheckFailedError when the persons in the warehouse break a decision that holds."""
    sentence = broken_sentence(connection, stewardship)
    if sentence is not None:
        raise CheckFailedError(
            f"{sentence} Run `familiar-faces run`, which links again; nothing was released."
        )


def _client(text: str, what: str) -> Client:
    source, colon, client_id = text.partition(":")
    if not colon or not client_id:
        raise UsageError(f"{what} is not written SOURCE:CLIENT_ID, with the pseudonymous client id.")
    if source not in declared_sources():
        raise UsageError(
            f"{what} has no source of ours before the colon; the sources are {', '.join(declared_sources())}."
        )
    return source, client_id


def _row(path: Path, number: int, header: list[str], row: list[str]) -> Statement:
    where = f"{path}, row {number}"
    if len(row) != len(header):
        raise UsageError(f"{where}: expected {len(header)} fields. Nothing was recorded.")
    says = dict(zip(header, row, strict=True))
    word = says["decision"].replace("_", "-")
    if word not in _WORDS:
        raise UsageError(f"{where}, column decision: expected {', '.join(WORDS)}. Nothing was recorded.")
    for column in ("source_l", "source_r"):
        if says[column] not in declared_sources():
            raise UsageError(
                f"{where}, column {column}: no such source; the sources are {', '.join(declared_sources())}."
            )
    return Statement(
        judgement=_WORDS[word],
        left=(says["source_l"], says["client_id_l"]),
        right=(says["source_r"], says["client_id_r"]),
        note=says["note"],
        where=where,
    )


def _refuse_unknown_clients(workspace: Workspace, statements: Sequence[Statement]) -> None:
    """A mistyped id would otherwise be a decision that waits for ever."""
    named = {client for each in statements for client in (each.left, each.right)}
    known = _delivered(workspace, named)
    for each in statements:
        for which, client in (("first", each.left), ("second", each.right)):
            if client not in known:
                raise UsageError(
                    f"{each.where}: no delivery of {client[0]} holds the {which} client. Give the pseudonymous "
                    "client id as releases and the review desk show it. Nothing was recorded."
                )


def _delivered(workspace: Workspace, clients: Iterable[Client]) -> set[Client]:
    """Which of the clients were delivered. The warehouse is not asked: a run may be using it."""
    wanted = pl.DataFrame(sorted(clients), schema=["source", "client_id"], orient="row")
    found: set[Client] = set()
    for (source,), of_source in wanted.partition_by("source", as_dict=True).items():
        files = sorted((workspace.landing / str(source)).glob("*/people.parquet"))
        for file in files:
            present = pl.scan_parquet(file).select("client_id").filter(
                pl.col("client_id").is_in(of_source["client_id"].implode())
            )  # fmt: skip
            found |= {(str(source), client_id) for client_id in present.collect()["client_id"]}
    release = current_release(workspace)
    if release is not None:
        with duckdb.connect(release.database, read_only=True) as connection:
            connection.register("wanted", wanted.to_arrow())
            found |= set(
                connection.execute(
                    "select source, client_id from person_crosswalk semi join wanted using (source, client_id)"
                ).fetchall()
            )
    return found
