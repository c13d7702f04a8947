"""Damaged exports: a sentence or a delivery, never another exception, never a value in the message."""

import shutil
import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkage.encoding.contract import check_delivery
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.errors import DeliveryRefusedError, UsageError
from linkage.source import declared_sources
from tests.linkage.encoding.extracts import mutilated
from tests.linkage.formats.small_exports import CLIENT, EXPORT, MONTH, write_hmis
from tests.linkage.formats.test_jail_csv import BOOKING, read_jail

PROJECT, AGENCY = Key("project", bytes(range(32))), Key("agency", bytes(range(1, 33)))
PLANTED = ("wilhelmina", "planted", "canary", "1984", "6780", "05/03")
SOURCES = {"hmis-csv": "shelter", "jail-csv": "jail"}


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


@pytest.fixture(scope="module")
def exports(tmp_path_factory) -> dict[str, Path]:
    folders = {name: tmp_path_factory.mktemp(name) for name in SOURCES}
    hmis(folders["hmis-csv"])
    jail(folders["jail-csv"])
    return folders


def encode_or_sentence(name: str, export: Path, landing: Path) -> str:
    """The sentence with which the export was refused; empty when its delivery keeps the contract."""
    mapping = export / "mapping.toml" if name == "jail-csv" else None
    source = declared_sources()[SOURCES[name]]
    try:
        receipt = encode_extract(
            source, export, MONTH, PROJECT, AGENCY, landing, extract_format=name, mapping=mapping
        )
    except UsageError as error:
        return str(error)
    said = receipt.as_text() + receipt.problems_as_csv() + receipt.retractions_as_csv()
    assert not any(planted in said.lower().replace(str(export), "") for planted in PLANTED)
    try:
        check_delivery(receipt.folder)
    except DeliveryRefusedError as error:
        pytest.fail(str(error))
    return ""


def assert_says_no_value(sentence: str, export: Path) -> None:
    assert not any(planted in sentence.replace(str(export), "").lower() for planted in PLANTED), sentence


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mutilated_files_end_in_a_sentence_or_a_delivery(exports, name, data):
    with tempfile.TemporaryDirectory() as folder:
        export = Path(folder) / "export"
        shutil.copytree(exports[name], export)
        names = sorted(path.name for path in export.iterdir())
        path = export / data.draw(st.sampled_from(names))
        damage = data.draw(st.sampled_from(["mutilate", "cut", "swap", "recode", "remove"]))
        content = path.read_bytes()
        if damage == "mutilate":
            path.write_bytes(mutilated(data, content))
        elif damage == "cut":
            path.write_bytes(content[: data.draw(st.integers(0, len(content)))])
        elif damage == "swap":
            path.write_bytes((export / data.draw(st.sampled_from(names))).read_bytes())
        elif damage == "recode":
            path.write_bytes(
                content.decode().encode(data.draw(st.sampled_from(["utf-16", "utf-32", "utf-8-sig"])))
            )
        else:
            path.unlink()
        assert_says_no_value(encode_or_sentence(name, export, Path(folder) / "landing"), export)


@pytest.mark.parametrize("name", SOURCES)
@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
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


@pytest.mark.parametrize("name", SOURCES)
def test_the_undamaged_exports_encode(exports, tmp_path, name):
    assert encode_or_sentence(name, exports[name], tmp_path) == ""


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_a_mutilated_archive_ends_in_a_sentence_or_a_delivery(exports, data):
    with tempfile.TemporaryDirectory() as folder:
        archive = Path(shutil.make_archive(f"{folder}/export", "zip", exports["hmis-csv"]))
        archive.write_bytes(mutilated(data, archive.read_bytes()))
        assert_says_no_value(encode_or_sentence("hmis-csv", archive, Path(folder) / "landing"), archive)


def test_a_format_of_another_source_is_refused(exports, tmp_path):
    with pytest.raises(UsageError, match="is of the source shelter"):
        encode_extract(
            declared_sources()["jail"], exports["hmis-csv"], MONTH, PROJECT, AGENCY, tmp_path, extract_format="hmis-csv"
        )  # fmt: skip


def test_the_receipt_tells_what_was_dropped_and_what_must_be_retracted(exports, tmp_path):
    receipt = encode_extract(
        declared_sources()["shelter"], exports["hmis-csv"], MONTH, PROJECT, AGENCY, tmp_path, extract_format="hmis-csv"
    )  # fmt: skip
    assert "enrollments in night-by-night shelters (their bed nights count): 1" in receipt.as_text()
    assert "1 clients and 0 encounters" in receipt.as_text()
    (line,) = receipt.retractions_as_csv().splitlines()[1:]
    source, client_id, encounter_id = line.split(",")
    assert (source, len(client_id), encounter_id) == ("shelter", 32, "")


def test_an_export_without_its_period_is_named(tmp_path):
    write_hmis(tmp_path, Export=[EXPORT | {"ExportStartDate": ""}])
    assert "ExportStartDate" in encode_or_sentence("hmis-csv", tmp_path, tmp_path / "landing")
