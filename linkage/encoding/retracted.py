"""What a delivery takes back: in the agency's own ids before it is encoded, pseudonymous in its file retracted.csv.

Two columns, client_id and encounter_id, and one of the two in each line. A delivery has the file only when there is
something to take back.
"""

import csv
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import polars as pl

from linkage.encoding.clear_identity import is_no_token
from linkage.encoding.keys import Key
from linkage.encoding.tokens import token_series
from linkage.errors import DeliveryRefusedError, UsageError

COLUMNS = ("client_id", "encounter_id")


@dataclass(frozen=True, kw_only=True)
class Retractions:
    """Clients and encounters that are taken back: in the agency's own ids, or in pseudonymous ones."""

    client_ids: tuple[str, ...] = ()
    encounter_ids: tuple[str, ...] = ()

    def __bool__(self) -> bool:
        return bool(self.client_ids or self.encounter_ids)


def read_own_retractions(path: Path) -> Retractions:
    """The agency's own ids in a CSV file that a person or a system at the agency wrote.

    Raises UsageError naming file and row, and no id, when a row has not exactly one of the ids.
    """
    with _readable(path, UsageError, "Save it as CSV in UTF-8"):
        return _read(path, UsageError, "correct it and encode again")


def pseudonymous(retractions: Retractions, agency_key: Key) -> Retractions:
    """The same in the ids that deliveries have: distinct and in order, so that they tell nothing of the list."""
    return Retractions(
        client_ids=_tokens(retractions.client_ids, agency_key, "client-id"),
        encounter_ids=_tokens(retractions.encounter_ids, agency_key, "encounter-id"),
    )


def write_retracted(path: Path, retractions: Retractions) -> None:
    """Write the file of a delivery; `retractions` are pseudonymous."""
    lines = [",".join(COLUMNS)]
    lines += [f"{client_id}," for client_id in retractions.client_ids]
    lines += [f",{encounter_id}" for encounter_id in retractions.encounter_ids]
    path.write_text("\n".join(lines) + "\n", encoding="ascii")


def read_retracted(path: Path) -> Retractions:
    """The pseudonymous ids that a delivery takes back.

    Raises DeliveryRefusedError naming file and row, and no value, when it holds anything but tokens.
    """
    with _readable(path, DeliveryRefusedError, "Send the delivery again"):
        read = _read(path, DeliveryRefusedError, "send the folder as encode wrote it")
    if pl.select(
        is_no_token(pl.lit(pl.Series((*read.client_ids, *read.encounter_ids), dtype=pl.String))).any()
    ).item():
        raise DeliveryRefusedError(
            f"{path} holds something else than pseudonymous ids, perhaps an agency's own: nothing was loaded; take "
            "the file away and encode again."
        )
    return read


def _tokens(ids: Sequence[str], agency_key: Key, purpose: str) -> tuple[str, ...]:
    stripped = pl.Series(ids, dtype=pl.String).str.strip_chars()
    tokens = token_series(stripped.filter(stripped != ""), agency_key.derive(purpose))
    return tuple(tokens.unique().sort())


def _read(path: Path, error: type[UsageError | DeliveryRefusedError], to_do: str) -> Retractions:
    ids: dict[str, list[str]] = {column: [] for column in COLUMNS}
    with path.open(encoding="utf-8-sig", newline="") as file:
        rows = csv.DictReader(file)
        if sorted(rows.fieldnames or ()) != sorted(COLUMNS):
            raise error(f"{path}: the columns must be {' and '.join(COLUMNS)}; {to_do}.")
        for number, row in enumerate(rows, start=1):
            given = {column: (row[column] or "").strip() for column in COLUMNS}
            named = [column for column in COLUMNS if given[column]]
            if len(named) != 1 or None in row:
                raise error(f"{path}, row {number}: it needs either a client_id or an encounter_id; {to_do}.")
            ids[named[0]].append(given[named[0]])
    return Retractions(client_ids=tuple(ids["client_id"]), encounter_ids=tuple(ids["encounter_id"]))


@contextmanager
def _readable(path: Path, error: type[UsageError | DeliveryRefusedError], to_do: str) -> Iterator[None]:
    try:
        yield
    except (OSError, UnicodeError, csv.Error):
        raise error(f"{path} cannot be read. {to_do}.") from None
