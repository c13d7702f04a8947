"""The simulated county's native exports say what its template extracts say."""

import subprocess
import sys
from pathlib import Path

import polars as pl
import pytest

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.source import declared_sources
from sample_data.native import native_writers, write_native
from sample_data.native.tiny import MONTH, TINY_NATIVE, write_tiny_native
from sample_data.tiny_county import TINY_COUNTY
from tests.linkage.formats.small_exports import read_template

PROJECT, AGENCY = Key("project", bytes(range(32))), Key("agency", bytes(range(1, 33)))
PREFIXES = {"stay": "enrollment-", "bed_night": "service-", "outreach_contact": "contact-"}


def encode(source: str, folder: Path, landing: Path, **options):
    encode_extract(declared_sources()[source], folder, MONTH, PROJECT, AGENCY, landing, **options)
    delivered = landing / source / MONTH
    return pl.read_parquet(delivered / "people.parquet"), pl.read_parquet(delivered / "encounters.parquet")


def test_the_committed_exports_are_what_the_simulator_writes(tmp_path):
    write_tiny_native(tmp_path)
    written = {
        path.relative_to(tmp_path): path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()
    }
    committed = {
        path.relative_to(TINY_NATIVE): path.read_bytes() for path in TINY_NATIVE.rglob("*") if path.is_file()
    }
    assert written == committed
    assert sum(map(len, committed.values())) < 300_000


def test_jail_csv_encodes_to_the_same_delivery_as_the_template(tmp_path):
    folder = TINY_NATIVE / "jail-csv" / MONTH
    native = encode(
        "jail", folder, tmp_path / "native", extract_format="jail-csv", mapping=folder / "mapping.toml"
    )
    template = encode("jail", TINY_COUNTY / "raw" / "jail" / MONTH, tmp_path / "template")
    for ours, theirs in zip(native, template, strict=True):
        assert ours.equals(theirs)


def hmis_as_template(folder: Path) -> Path:
    """The template extract, told with what HMIS does not say left out."""
    people, encounters = read_template(TINY_COUNTY / "raw" / "shelter" / MONTH)
    is_contact = pl.col("kind") == "outreach_contact"
    encounters = encounters.filter(~pl.col("project_type").is_in(["services_only", "other"])).with_columns(
        encounter_id=pl.col("kind").replace_strict(PREFIXES) + pl.col("encounter_id"),
        # a contact has a day and no hour
        started_at=pl.col("started_at").str.slice(0, 10),
        ended_at=pl.when(is_contact).then(pl.col("started_at").str.slice(0, 10)).otherwise("ended_at"),
    )
    people = people.join(encounters, on="client_id", how="semi").unique(
        "client_id", keep="last", maintain_order=True
    )
    folder.mkdir()
    people.select(RAW_PEOPLE_COLUMNS).write_csv(folder / "people.csv")
    encounters.write_csv(folder / "encounters.csv")
    return folder


@pytest.mark.parametrize("year", ["2024", "2026"])
def test_hmis_csv_encodes_to_the_same_encounters_as_the_template(tmp_path, year):
    _, native = encode(
        "shelter", TINY_NATIVE / f"hmis-csv-fy{year}" / MONTH, tmp_path / "native", extract_format="hmis-csv"
    )
    _, template = encode("shelter", hmis_as_template(tmp_path / "raw"), tmp_path / "template")
    # a client has one enrollment in an outreach project, so contacts share what it says
    apart = [column for column in template.columns if column != "disabling_condition"]
    assert native.height > 0
    assert native.select(apart).equals(template.select(apart))


def test_hmis_csv_encodes_the_latest_identity_of_each_client(tmp_path):
    native, _ = encode(
        "shelter", TINY_NATIVE / "hmis-csv-fy2024" / MONTH, tmp_path / "native", extract_format="hmis-csv"
    )
    template, _ = encode("shelter", hmis_as_template(tmp_path / "raw"), tmp_path / "template")
    # HMIS has no zip, completes partial birth dates, and does not keep the order of races
    compared = [column for column in template.columns if "birth" not in column and column != "zip3"]
    assert native.select(compared).equals(template.select(compared))


def test_every_month_of_a_county_is_written_in_every_format(tmp_path):
    written = write_native(TINY_COUNTY / "raw", tmp_path)
    months = ("2024-01", "2024-02", "2024-03")
    assert set(written) == {tmp_path / name / month for name in native_writers() for month in months}


def test_naming_the_formats_imports_none_of_them():
    said = subprocess.run(
        [
            sys.executable,
            "-c",
            "import sys; from linkage.encoding.formats import format_names; print(format_names());"
            "print([name for name in sys.modules if name.startswith('linkage.encoding.formats.')])",
        ],
        capture_output=True,
        text=True,
        check=True,
    ).stdout
    assert said.splitlines()[:2] == ["('fhir-ndjson', 'hmis-csv', 'jail-csv', 'nemsis-csv')", "[]"]


def test_every_writer_names_a_format_that_reads_its_source():
    from linkage.encoding.formats import native_format

    for writer in native_writers().values():
        assert native_format(writer.format).source == writer.source
