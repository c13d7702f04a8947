"""Damaged exports: a sentence or a delivery, never another exception, never a value in the message."""

import gzip
import re
import shutil
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.encoding.contract import check_delivery
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.encoding.receipt import EncodingReceipt
from linkage.errors import DeliveryRefusedError, UsageError
from linkage.source import declared_sources
from tests.linkage.encoding.extracts import mutilated
from tests.linkage.formats.small_exports import CLIENT, EXPORT, write_hmis
from tests.linkage.formats.test_fhir_ndjson import FULL, write_export
from tests.linkage.formats.test_jail_csv import BOOKING, read_jail
from tests.linkage.formats.test_nemsis_csv import write_reports

PROJECT, AGENCY = Key("project", bytes(range(32))), Key("agency", bytes(range(1, 33)))
PLANTED = ("wilhelmina", "planted", "canary", "1984", "6780", "05/03")


def hmis(folder: Path) -> None:
    night = {"EnrollmentID": "e2", "DateProvided": "2026-03-05", "RecordType": "200", "ServicesID": "s1"}
    stay = {"EnrollmentID": "e1", "PersonalID": "c1", "ProjectID": "p0", "EntryDate": "2026-03-02"}
    write_hmis(
        folder,
        Client=[CLIENT, CLIENT | {"PersonalID": "c2", "DateDeleted": "2026-03-04"}],
        Enrollment=[stay, stay | {"EnrollmentID": "e2", "ProjectID": "p1"}],
        Exit=[{"EnrollmentID": "e1", "ExitDate": "2026-03-09", "Destination": "207"}],
        Services=[night],
        Disabilities=[{"EnrollmentID": "e1", "DisabilityType": "9", "DisabilityResponse": "1"}],
    )


def jail(folder: Path) -> None:
    read_jail(
        folder,
        [BOOKING, BOOKING | {"in": "03/01/2026 07:00"}, BOOKING | {"booking": "b2", "q1": "Y"}],
        aliases=[{"person": "p1", "alias": "PLANTED, Minnie"}],
        charges=[{"booking": "b1", "class": "Felony"}],
    )


def nemsis(folder: Path) -> None:
    write_reports(
        folder,
        {"eRecord.01": "R1", "ePatient.22": "2522001"},
        {"eRecord.01": "R2", "eDisposition.30": "4230005"},
        {"eRecord.01": "R3", "eResponse.03": "I3", "eSituation.11": "F20.9"},
    )


def fhir(folder: Path) -> None:
    write_export(folder, FULL["Patient"], FULL["Encounter"], FULL["Condition"])


@dataclass(frozen=True)
class Format:
    """A format: its source, the month of its small export, and what writes that."""

    source: str
    month: str
    write: Callable[[Path], None]


FORMATS = {
    "hmis-csv": Format("shelter", "2026-03", hmis),
    "jail-csv": Format("jail", "2026-03", jail),
    "nemsis-csv": Format("ems", "2024-03", nemsis),
    "fhir-ndjson": Format("hospital", "2024-03", fhir),
}


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in FORMATS}
    for name, each in FORMATS.items():
        each.write(folders[name])
    return folders


def encoded(name: str, export: Path, landing: Path, source: str = "") -> EncodingReceipt:
    return encode_extract(
        declared_sources()[source or FORMATS[name].source],
        export,
        FORMATS[name].month,
        PROJECT,
        AGENCY,
        landing,
        extract_format=name,
        mapping=export / "mapping.toml" if name == "jail-csv" else None,
    )


def encode_or_sentence(name: str, export: Path, landing: Path) -> str:
    """The sentence with which the export was refused; empty when its delivery keeps the contract."""
    try:
        receipt = encoded(name, export, landing)
    except UsageError as error:
        return str(error)
    said = receipt.as_text() + receipt.problems_as_csv()
    said = re.sub(r"\b[0-9a-f]{32,}\b", "", said.replace(str(export), ""))  # checksums may look like anything
    assert not any(planted in said.lower() for planted in PLANTED)
    try:
        check_delivery(receipt.folder)
    except DeliveryRefusedError as error:
        pytest.fail(str(error))
    return ""


def assert_says_no_value(sentence: str, export: Path) -> None:
    assert not any(planted in sentence.replace(str(export), "").lower() for planted in PLANTED), sentence
    assert "\n" not in sentence


def tables_of(export: Path) -> list[Path]:
    """The files of rows, those with people first."""
    files = [path for path in sorted(export.iterdir()) if path.suffix in (".csv", ".ndjson")]
    return sorted(
        files, key=lambda path: not path.name.startswith(("Client", "bookings", "export", "Patient"))
    )


def with_line_ends(content: bytes) -> bytes:
    return content.replace(b"\r\n", b"\n").replace(b"\n", b"\r\n")


def with_its_first_column_twice(content: bytes) -> bytes:
    lines = content.splitlines()
    return b"\n".join(line + b"," + line.split(b",")[0] for line in lines) + b"\n"


def with_its_first_line_twice(content: bytes) -> bytes:
    return content.split(b"\n", 1)[0] + b"\n" + content


def accented(content: bytes, encoding: str) -> bytes:
    return content.decode().replace("Canary", "Cànary").replace("CANARY", "CÀNARY").encode(encoding)


DAMAGES: dict[str, Callable[[bytes], bytes]] = {
    "a byte order mark": lambda content: b"\xef\xbb\xbf" + content,
    "Windows line ends": with_line_ends,
    "no last line end": lambda content: content.rstrip(),
    "cut in its last line": lambda content: content.rstrip()[:-5],
    "latin-1": lambda content: accented(content, "latin-1"),
    "utf-16": lambda content: accented(content, "utf-16"),
    "a NUL byte in a name": lambda content: content.replace(b"anary", b"an\x00ted").replace(
        b"ANARY", b"AN\x00ED"
    ),
    "NUL bytes at its end": lambda content: content + bytes(4096),
    "a huge name": lambda content: content.replace(b"anary", b"anary" * 60_000).replace(
        b"ANARY", b"ANARY" * 60_000
    ),
    "a column twice": with_its_first_column_twice,
    "its first line twice": with_its_first_line_twice,
    "compressed": gzip.compress,
    "compressed and cut": lambda content: gzip.compress(content)[:-12],
    "empty": lambda content: b"",
    "blank lines": lambda content: content.replace(b"\n", b"\n\n"),
}
HARMLESS = {"a byte order mark", "Windows line ends", "no last line end", "blank lines"}
REFUSED = {"utf-16", "compressed", "compressed and cut"}
REFUSED_AS_CSV = {"latin-1", "a column twice", "empty", "cut in its last line"}


@pytest.mark.parametrize("damage", DAMAGES)
@pytest.mark.parametrize("name", FORMATS)
def test_a_known_damage_ends_in_a_sentence_or_a_delivery(exports, tmp_path, name, damage):
    export = tmp_path / "export"
    shutil.copytree(exports[name], export)
    path = tables_of(export)[0]
    path.write_bytes(DAMAGES[damage](path.read_bytes()))
    sentence = encode_or_sentence(name, export, tmp_path / "landing")
    assert_says_no_value(sentence, export)
    if damage in HARMLESS:
        assert sentence == ""
    if damage in REFUSED or (damage in REFUSED_AS_CSV and path.suffix == ".csv"):
        assert path.name in sentence


@pytest.mark.parametrize("name", FORMATS)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_mutilated_files_end_in_a_sentence_or_a_delivery(exports, name, data):
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "export"
        shutil.copytree(exports[name], export)
        names = sorted(path.name for path in export.iterdir())
        path = export / data.draw(st.sampled_from(names))
        damage = data.draw(st.sampled_from(["mutilate", "mutilate", "cut", "swap", "remove", *DAMAGES]))
        content = path.read_bytes()
        if damage == "mutilate":
            path.write_bytes(mutilated(data, content))
        elif damage == "cut":
            path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        elif damage == "swap":
            path.write_bytes((export / data.draw(st.sampled_from(names))).read_bytes())
        elif damage == "remove":
            path.unlink()
        else:
            path.write_bytes(DAMAGES[damage](content))
        assert_says_no_value(encode_or_sentence(name, export, Path(folder) / "landing"), export)


@pytest.mark.parametrize("name", ["hmis-csv", "jail-csv", "nemsis-csv"])
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_garbage_in_any_cell_ends_in_a_sentence_or_a_delivery(exports, name, data):
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "export"
        shutil.copytree(exports[name], export)
        path = data.draw(st.sampled_from(sorted(export.glob("*.csv"))))
        lines = [line.split(",") for line in path.read_text(encoding="utf-8").splitlines()]
        for _ in range(data.draw(st.integers(1, 3))):
            row = data.draw(st.sampled_from(lines))
            row[data.draw(st.integers(0, len(row) - 1))] = data.draw(
                st.text(st.characters(exclude_characters='",\n\r', codec="utf-8"), max_size=12)
                | st.sampled_from(
                    ["99999999999999999999", "0000-00-00", "2026-13-45", "13/32/2026 25:61", "é", "-"]
                )
            )
        path.write_text("\n".join(",".join(line) for line in lines) + "\n", encoding="utf-8")
        assert_says_no_value(encode_or_sentence(name, export, Path(folder) / "landing"), export)


@pytest.mark.parametrize("name", FORMATS)
def test_the_undamaged_exports_encode(exports, tmp_path, name):
    assert encode_or_sentence(name, exports[name], tmp_path) == ""


@settings(max_examples=40, deadline=None)
@given(data=st.data())
def test_a_mutilated_archive_ends_in_a_sentence_or_a_delivery(exports, data):
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(shutil.make_archive(f"{folder}/export", "zip", exports["hmis-csv"]))
        archive.write_bytes(mutilated(data, archive.read_bytes()))
        assert_says_no_value(encode_or_sentence("hmis-csv", archive, Path(folder) / "landing"), archive)


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_file_in_an_archive_ends_in_a_sentence_or_a_delivery(exports, tmp_path, damage):
    shutil.copytree(exports["hmis-csv"], tmp_path / "export")
    client = tmp_path / "export" / "Client.csv"
    client.write_bytes(DAMAGES[damage](client.read_bytes()))
    archive = Path(shutil.make_archive(str(tmp_path / "zipped"), "zip", tmp_path / "export"))
    sentence = encode_or_sentence("hmis-csv", archive, tmp_path / "landing")
    assert_says_no_value(sentence, archive)
    assert (sentence == "") == (
        encode_or_sentence("hmis-csv", tmp_path / "export", tmp_path / "beside") == ""
    )


def test_a_format_of_another_source_is_refused(exports, tmp_path):
    with pytest.raises(UsageError, match="is of the source shelter"):
        encoded("hmis-csv", exports["hmis-csv"], tmp_path, source="jail")


def test_the_receipt_tells_what_was_dropped_and_what_must_be_retracted(exports, tmp_path):
    receipt = encoded("hmis-csv", exports["hmis-csv"], tmp_path)
    assert "enrollments in night-by-night shelters (their bed nights count): 1" in receipt.as_text()
    assert "1 clients and 0 encounters" in receipt.as_text()
    assert receipt.folder.joinpath("retracted.csv").read_text() == (
        f"client_id,encounter_id\n{receipt.retracted.client_ids[0]},\n"
    )


def test_an_export_without_its_period_is_named(tmp_path):
    write_hmis(tmp_path, Export=[EXPORT | {"ExportStartDate": ""}])
    assert "ExportStartDate" in encode_or_sentence("hmis-csv", tmp_path, tmp_path / "landing")
