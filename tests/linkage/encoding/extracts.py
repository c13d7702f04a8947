"""Rows of a small raw extract, and ways to write them as an extract and to tamper with a delivery."""

import json
from hashlib import sha256
from pathlib import Path

import polars as pl
from hypothesis import strategies as st

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.source import declared_sources

PERSON = {
    "client_id": "P-1",
    "first_name": "Wilhelmina",
    "middle_name": "Q",
    "last_name": "Planted-Canary",
    "name_suffix": "",
    "birth_date": "1984-05-03",
    "sex": "F",
    "race_ethnicity": "white;asian",
    "ssn": "123-45-6780",
    "zip": "98101",
}
BOOKING = {
    "encounter_id": "E-1",
    "client_id": "P-1",
    "kind": "booking",
    "started_at": "2024-03-02T10:00:00",
    "ended_at": "2024-03-03T10:00:00",
}
PLANTED = ("Wilhelmina", "Planted", "Canary", "1984-05-03", "123-45-6780", "123456780", "P-1", "E-1")


def write_raw(folder: Path, people: list[dict], encounters: list[dict], source: str = "jail") -> Path:
    """A raw folder in the template format; columns that a row leaves out are empty."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, rows, columns in (
        ("people", people, RAW_PEOPLE_COLUMNS),
        ("encounters", encounters, raw_encounter_columns(declared_sources()[source])),
    ):
        filled = [{column: row.get(column, "") for column in columns} for row in rows]
        pl.DataFrame(filled, schema=dict.fromkeys(columns, pl.String)).write_csv(folder / f"{name}.csv")
    return folder


def rewrite(folder: Path, name: str, rows: pl.DataFrame) -> None:
    """Replace one file of a delivery and make the manifest agree: a mutated delivery, well wrapped."""
    path = folder / f"{name}.parquet"
    rows.write_parquet(path)
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"][path.name] = sha256(path.read_bytes()).hexdigest()
    manifest["rows"][name] = rows.height
    (folder / "manifest.json").write_text(json.dumps(manifest))


def mutilated(data: st.DataObject, content: bytes) -> bytes:
    """`content` with one to four places cut, overwritten or filled with something else."""
    signs = st.binary(max_size=3) | st.sampled_from([b'"', b",", b"\n", b"\r", b"{", b"null"])
    changed = bytearray(content)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, max(len(changed) - 1, 0)))
        changed[at : at + data.draw(st.integers(0, 3))] = data.draw(signs)
    return bytes(changed)
