"""What an agency takes back leaves with its delivery, by pseudonymous id, and nothing else does."""

import json
from hashlib import sha256

import pytest

from linkage.encoding.contract import check_delivery, delivered_retractions, judge
from linkage.errors import DeliveryRefusedError, UsageError
from tests.linkage.encoding.extracts import BOOKING


@pytest.fixture
def taken_back(tmp_path, encode):
    """A delivery of somebody's bookings that takes that client and another one's booking back."""
    listed = tmp_path / "back.csv"
    listed.write_text("client_id,encounter_id\n P-1 ,\n,E-9\n,E-9\n", encoding="utf-8")
    return encode(retracted_file=listed)


def replaced(folder, text):
    """Another list in the delivery, and a manifest that agrees with it."""
    (folder / "retracted.csv").write_text(text, encoding="utf-8")
    manifest = json.loads((folder / "manifest.json").read_text())
    manifest["sha256"]["retracted.csv"] = sha256((folder / "retracted.csv").read_bytes()).hexdigest()
    (folder / "manifest.json").write_text(json.dumps(manifest))
    return folder


def test_it_names_clients_and_encounters_as_deliveries_do(taken_back, encode):
    delivery = check_delivery(taken_back.folder)
    retractions = delivered_retractions(delivery.folder, delivery.manifest)
    others = judge(
        check_delivery(encode(encounters=[BOOKING | {"encounter_id": "E-9"}], landing="other").folder)
    )
    assert retractions.client_ids == tuple(others.people["client_id"])
    assert retractions.encounter_ids == tuple(others.encounters["encounter_id"])
    assert "Taken back: 1 clients and 1 encounters" in taken_back.as_text()


def test_no_id_of_the_agencys_own_leaves(taken_back):
    assert b"P-1" not in (taken_back.folder / "retracted.csv").read_bytes()
    assert "P-1" not in taken_back.as_text()


def test_a_delivery_that_takes_nothing_back_has_no_such_file(encode):
    folder = encode().folder
    assert not (folder / "retracted.csv").exists()
    delivery = check_delivery(folder)
    assert not delivered_retractions(delivery.folder, delivery.manifest)


@pytest.mark.parametrize(
    ("text", "says"),
    [
        pytest.param("client_id\nP-1\n", "the columns must be", id="a column is missing"),
        pytest.param("client_id,encounter_id\nP-1,E-1\n", "row 1", id="both ids"),
        pytest.param("client_id,encounter_id\nP-1,\n,\n", "row 2", id="neither id"),
        pytest.param("client_id,encounter_id\nP-1,,Planted\n", "row 1", id="a third value"),
    ],
)
def test_an_agencys_list_that_is_none_is_refused_with_its_row_and_no_value(tmp_path, encode, text, says):
    listed = tmp_path / "back.csv"
    listed.write_text(text, encoding="utf-8")
    with pytest.raises(UsageError, match=says) as raised:
        encode(retracted_file=listed)
    assert "P-1" not in str(raised.value)
    assert not (tmp_path / "landing" / "jail" / "2024-03").exists()


def test_a_list_that_is_no_text_is_refused(tmp_path, encode):
    listed = tmp_path / "back.csv"
    listed.write_bytes(b"client_id,encounter_id\n\xff\xfe,\n")
    with pytest.raises(UsageError, match="cannot be read"):
        encode(retracted_file=listed)


@pytest.mark.parametrize("written", ["P-1", "Wilhelmina Planted-Canary", "0A" * 16])
def test_a_delivery_whose_list_holds_anything_but_tokens_is_refused(taken_back, written):
    folder = replaced(taken_back.folder, f"client_id,encounter_id\n{written},\n")
    with pytest.raises(DeliveryRefusedError, match="something else than pseudonymous ids") as raised:
        check_delivery(folder)
    assert written not in str(raised.value)


def test_a_delivery_whose_list_is_not_the_manifests_is_refused(taken_back):
    with (taken_back.folder / "retracted.csv").open("a") as file:
        file.write(f",{'0a' * 16}\n")
    with pytest.raises(DeliveryRefusedError, match="SHA-256 differs"):
        check_delivery(taken_back.folder)


def test_a_list_that_the_manifest_does_not_know_is_no_part_of_the_delivery(encode):
    folder = encode().folder
    (folder / "retracted.csv").write_text("client_id,encounter_id\n")
    with pytest.raises(DeliveryRefusedError, match="no part of a delivery"):
        check_delivery(folder)
