"""The agency's own ids come back from what it encoded, whatever its format."""

import shutil
from pathlib import Path

import polars as pl
import pytest

from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.encoding.rejoin import client_id_of, rejoin
from linkage.errors import UsageError
from linkage.source import declared_sources
from sample_data.native.tiny import MONTH, TINY_NATIVE
from tests.linkage.formats.small_exports import CLIENT, write_hmis

PROJECT, AGENCY = Key("project", bytes(range(32))), Key("agency", bytes(range(1, 33)))
EXPORTS = [
    pytest.param("shelter", "hmis-csv", "hmis-csv-fy2026", id="hmis-csv"),
    pytest.param("jail", "jail-csv", "jail-csv", id="jail-csv"),
    pytest.param("ems", "nemsis-csv", "nemsis-csv", id="nemsis-csv"),
    pytest.param("hospital", "fhir-ndjson", "fhir-ndjson", id="fhir-ndjson"),
]


def mapping_in(export: Path) -> Path | None:
    return next(iter(export.glob("mapping.toml")), None)


def return_file(folder: Path, client_ids) -> Path:
    pl.DataFrame({"client_id": list(client_ids)}, schema={"client_id": pl.String}).write_csv(
        folder / "return.csv"
    )
    return folder / "return.csv"


@pytest.mark.parametrize(("source_name", "extract_format", "fixture"), EXPORTS)
def test_every_delivered_client_is_found_in_the_export(tmp_path, source_name, extract_format, fixture):
    export, source = TINY_NATIVE / fixture / MONTH, declared_sources()[source_name]
    options = {"extract_format": extract_format, "mapping": mapping_in(export)}
    encode_extract(source, export, MONTH, PROJECT, AGENCY, tmp_path / "landing", **options)
    delivered = pl.read_parquet(tmp_path / "landing" / source_name / MONTH / "encounters.parquet")[
        "client_id"
    ]
    returned = return_file(tmp_path, delivered)
    rejoined = rejoin(returned, export, AGENCY, source=source, **options)
    assert rejoined.unmatched == 0
    own = rejoined.rows.get_column("client_id")
    assert [client_id_of(each, AGENCY) for each in own] == delivered.to_list()


@pytest.mark.parametrize(("source_name", "extract_format", "fixture"), EXPORTS)
def test_an_export_of_a_source_is_none_of_another(tmp_path, source_name, extract_format, fixture):
    other = declared_sources()["jail" if source_name != "jail" else "ems"]
    with pytest.raises(UsageError, match=f"is of the source {source_name}"):
        rejoin(
            return_file(tmp_path, ["0" * 32]),
            TINY_NATIVE / fixture / MONTH,
            AGENCY,
            source=other,
            extract_format=extract_format,
        )


def test_months_may_lie_side_by_side_as_folders_and_archives(tmp_path):
    write_hmis(tmp_path / "exports" / "2026-02", Client=[CLIENT | {"PersonalID": "c-of-february"}])
    march = write_hmis(tmp_path / "march")
    shutil.make_archive(str(tmp_path / "exports" / "2026-03"), "zip", march)
    (tmp_path / "exports" / ".hidden").write_text("")
    ids = ["c-of-february", "c1"]
    rejoined = rejoin(
        return_file(tmp_path, [client_id_of(each, AGENCY) for each in ids]),
        tmp_path / "exports",
        AGENCY,
        source=declared_sources()["shelter"],
        extract_format="hmis-csv",
    )
    assert rejoined.rows.get_column("client_id").to_list() == ids


def test_a_deleted_client_of_an_older_delivery_is_found(tmp_path):
    write_hmis(tmp_path / "export", Client=[CLIENT | {"DateDeleted": "2026-03-04"}])
    rejoined = rejoin(
        return_file(tmp_path, [client_id_of("c1", AGENCY)]),
        tmp_path / "export",
        AGENCY,
        source=declared_sources()["shelter"],
        extract_format="hmis-csv",
    )
    assert rejoined.unmatched == 0


def test_a_mapping_file_is_refused_where_there_is_no_use_for_one(tmp_path):
    with pytest.raises(UsageError, match="needs no mapping file"):
        rejoin(
            return_file(tmp_path, ["0" * 32]),
            tmp_path,
            AGENCY,
            source=declared_sources()["ems"],
            mapping=tmp_path,
        )
