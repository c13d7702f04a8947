"""An export read a few rows at a time gives what it gives read at once."""

import subprocess
import sys
from itertools import chain
from pathlib import Path

import polars as pl
import pytest

from linkage.encoding.formats import native_format, text_tables
from linkage.encoding.formats.fhir_ndjson import encounters as fhir_encounters
from linkage.encoding.formats.fhir_ndjson import patients as fhir_patients
from linkage.encoding.formats.fhir_ndjson import resources as fhir_resources
from linkage.encoding.months import month_window
from sample_data.native.tiny import MONTH, TINY_NATIVE

EXPORTS = {
    "hmis-csv-fy2024": "hmis-csv",
    "hmis-csv-fy2026": "hmis-csv",
    "jail-csv": "jail-csv",
    "nemsis-csv": "nemsis-csv",
    "fhir-ndjson": "fhir-ndjson",
}
ROWS_AT_A_TIME = 7
HEAVY = ("dagster", "duckdb", "splink", "great_expectations", "sqlalchemy")
CHECKOUT = Path(__file__).parents[3]


def everything_of(fixture: str) -> dict[str, object]:
    """All that a reader says of an export, tables as one frame each."""
    export = TINY_NATIVE / fixture / MONTH
    covers_from, covers_to = month_window(MONTH)
    mapping = next(iter(export.glob("mapping.toml")), None)
    extract = native_format(EXPORTS[fixture]).read(
        export, covers_from=covers_from, covers_to=covers_to, mapping=mapping
    )
    tables = {
        f"{kind} {number}": pl.concat(table.batches()).rows()
        for kind, each in (("people", extract.people), ("encounters", extract.encounters))
        for number, table in enumerate(each)
    }
    return tables | {
        "problems": extract.problems,
        "dropped": extract.dropped,
        "retractions": extract.retractions,
    }


def in_small_batches(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_tables, "FRAME_ROWS", ROWS_AT_A_TIME)
    for module in (fhir_resources, fhir_encounters, fhir_patients):
        monkeypatch.setattr(module, "LINES_PER_BATCH", ROWS_AT_A_TIME)


@pytest.mark.parametrize("fixture", EXPORTS)
def test_an_export_reads_the_same_in_small_batches(monkeypatch, fixture):
    at_once = everything_of(fixture)
    assert sum(len(rows) for name, rows in at_once.items() if name.startswith("encounters")) > ROWS_AT_A_TIME
    in_small_batches(monkeypatch)
    assert everything_of(fixture) == at_once


@pytest.mark.parametrize("fixture", EXPORTS)
def test_the_ids_of_an_export_hold_those_of_its_people(monkeypatch, fixture):
    export = TINY_NATIVE / fixture / MONTH
    mapping = next(iter(export.glob("mapping.toml")), None)
    own_format = native_format(EXPORTS[fixture])
    covers_from, covers_to = month_window(MONTH)
    extract = own_format.read(export, covers_from=covers_from, covers_to=covers_to, mapping=mapping)
    people = {
        client_id for table in extract.people for frame in table.batches() for client_id in frame["client_id"]
    }
    in_small_batches(monkeypatch)
    assert people <= set(chain.from_iterable(own_format.client_ids(export, mapping=mapping)))


@pytest.mark.parametrize("fixture", EXPORTS)
def test_reading_an_export_imports_nothing_heavy(fixture):
    program = (
        "import sys\n"
        "from tests.linkage.formats.test_batches import everything_of\n"
        f"everything_of({fixture!r})\n"
        f"loaded = [name for name in {HEAVY!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    subprocess.run([sys.executable, "-c", program], check=True, cwd=CHECKOUT)
