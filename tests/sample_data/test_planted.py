import shutil
from pathlib import Path

import polars as pl
import pytest

from linkage.source import declared_sources
from sample_data.planted import PLANTED, plant
from sample_data.tiny_county import TINY_COUNTY


@pytest.fixture
def raw(tmp_path: Path) -> Path:
    return Path(shutil.copytree(TINY_COUNTY / "raw", tmp_path / "raw"))


def test_every_source_holds_the_planted_people_in_every_identity_field(raw: Path) -> None:
    planted = plant(raw)
    for source in declared_sources():
        assert planted.rows[source] >= len(PLANTED)
        people = pl.read_csv(
            next((raw / source).iterdir()).parent / "2024-01" / "people.csv", infer_schema=False
        )
        for person in PLANTED:
            row = people.filter(pl.col("last_name") == person.last_name).row(0, named=True)
            assert (row["first_name"], row["middle_name"]) == (person.first_name, person.middle_name)
            assert (row["ssn"], row["birth_date"], row["zip"]) == (person.ssn, person.birth_date, person.zip)


def test_planted_clients_keep_their_encounters(raw: Path) -> None:
    plant(raw)
    for folder in raw.glob("*/*"):
        people = set(pl.read_csv(folder / "people.csv", infer_schema=False)["client_id"])
        encounters = pl.read_csv(folder / "encounters.csv", infer_schema=False)
        assert people == set(encounters["client_id"])
        assert not encounters["encounter_id"].is_duplicated().any()


def test_what_is_planted_is_found_in_any_written_form(raw: Path) -> None:
    assert plant(raw).found_in(b"nothing to see") == []
    planted = plant(raw)
    for text in ("ZZYZXQUON", "zzyzxquon", "617-58-2943", "19310723", "07/23/1931", "vlorbnatz", "qwyxholdt"):
        assert planted.found_in(f"... {text}, ..."), text
        assert planted.found_in(text.encode()), text
    assert planted.found_in("Vlörbnatz".encode())
    assert planted.found_in("abc19310723f") == []
    assert {"Zzyzxquon", "ZZYZXQUON", "zzyzxquon", "617-58-2943"} <= set(planted.forms)


def test_the_raw_extracts_show_every_planted_word(raw: Path) -> None:
    planted = plant(raw)
    content = b"".join(path.read_bytes() for path in raw.rglob("*.csv"))
    found = planted.found_in(content)
    assert {person.first_name for person in PLANTED} <= set(found)
    assert {person.ssn for person in PLANTED} <= set(found)
    assert {person.birth_date for person in PLANTED} <= set(found)
    assert {"ZQCLIENT", "ZQENCOUNTER"} <= set(found)


def test_nothing_planted_stands_in_the_unplanted_county(raw: Path) -> None:
    planted = plant(raw)
    content = b"".join(path.read_bytes() for path in TINY_COUNTY.rglob("*.csv"))
    assert planted.found_in(content) == []
