"""The profile high: the committed vectors, what its tokens and noise hide, and its place in the contract."""

import hashlib
import json
from itertools import combinations
from pathlib import Path

import numpy as np
import polars as pl
import pytest

from linkage.encoding.contract import check_delivery, judge, row_rules
from linkage.encoding.delivery import encode_extract
from linkage.encoding.high_profile import HighProfileEncoder
from linkage.encoding.keys import Key
from linkage.encoding.name_rarity import first_name_rarity, last_name_rarity
from linkage.encoding.noise import FLIPPED_OF_256, with_noise
from linkage.encoding.normalise import PeopleNormaliser
from linkage.encoding.profiles import HIGH, PROFILES
from linkage.errors import DeliveryRefusedError
from linkage.source import declared_sources

VECTORS = json.loads((Path(__file__).parent / "vectors_high.json").read_text(encoding="utf-8"))
PROJECT_KEY = Key("project", bytes.fromhex(VECTORS["project_key"]))
AGENCY_KEY = Key("agency", bytes.fromhex(VECTORS["agency_key"]))
COVERS_TO = pl.Series([VECTORS["covers_to"]]).str.to_date().item()
RAW_COLUMNS = tuple(VECTORS["people"][0]["raw"])
TOKENS = HIGH.token_columns + HIGH.token_list_columns
SOMEBODY = {
    "client_id": "1", "first_name": "Ada", "last_name": "Rivera", "birth_date": "1980-02-03", "sex": "F",
    "ssn": "123-45-6780", "zip": "98101",
}  # fmt: skip


def encoded(*people: dict, project_key: Key = PROJECT_KEY, agency_key: Key = AGENCY_KEY) -> list[dict]:
    rows = [{column: person.get(column) for column in RAW_COLUMNS} for person in people]
    raw = pl.DataFrame(rows, schema=dict.fromkeys(RAW_COLUMNS, pl.String)).with_row_index(
        "row_number", offset=1
    )
    encoder = HighProfileEncoder(project_key=project_key, agency_key=agency_key)
    made = encoder.encode(PeopleNormaliser(COVERS_TO).normalise(raw).rows)
    assert dict(made.schema) == dict(HIGH.people_columns)
    return [
        {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
        for row in made.iter_rows(named=True)
    ]


def tokens_of_row(row: dict) -> set[tuple[str, str]]:
    """Every token of a row with its column."""
    listed = ((column, row[column] if column.endswith("_tokens") else [row[column]]) for column in TOKENS)
    return {(column, token) for column, tokens in listed for token in tokens or () if token}


@pytest.mark.parametrize("vector", VECTORS["people"], ids=lambda vector: vector["why"])
def test_the_encoder_gives_the_committed_vectors(vector):
    assert encoded(vector["raw"]) == [vector["delivered"]]


def test_the_data_that_the_encoding_rests_on_is_that_of_version_1():
    files = Path(__file__).parents[3] / "linkage" / "code_lists"
    for name, digest in VECTORS["data_sha256"].items():
        assert hashlib.sha256((files / name).read_bytes()).hexdigest() == digest, name


def test_people_who_share_one_attribute_share_no_token():
    alone = {
        "first name": {
            "first_name": "Ada",
            "last_name": "Okafor",
            "birth_date": "1991-11-21",
            "ssn": "222-33-4444",
        },
        "last name": {
            "first_name": "Bo",
            "last_name": "Rivera",
            "birth_date": "1990-10-20",
            "ssn": "222-33-4445",
        },
        "birth date": {
            "first_name": "Bo",
            "last_name": "Okafor",
            "birth_date": "1980-02-03",
            "ssn": "222-33-4446",
        },
        "last four digits": {
            "first_name": "Cy",
            "last_name": "Xu",
            "birth_date": "1972-07-09",
            "ssn": "666-45-6780",
        },
    }
    ada = tokens_of_row(encoded(SOMEBODY)[0])
    for attribute, other in alone.items():
        assert not ada & tokens_of_row(encoded(other | {"client_id": "2"})[0]), attribute


def test_no_column_of_the_standard_profile_but_the_whole_number_is_left():
    standard = PROFILES["standard"]
    shared = set(HIGH.token_columns + HIGH.token_list_columns) & set(
        standard.token_columns + standard.token_list_columns
    )
    assert shared == {"ssn_token"}


def test_a_nickname_a_sound_and_a_part_of_a_surname_still_meet_on_the_birth_date():
    bob, robert, part = encoded(
        {**SOMEBODY, "first_name": "Bob", "last_name": "García López"},
        {**SOMEBODY, "first_name": "Robert", "last_name": "Lopes"},
        {**SOMEBODY, "first_name": "Ann", "last_name": "Garcia"},
    )
    assert bob["first_name_birth_date_token"] == robert["first_name_birth_date_token"]
    assert set(bob["names_birth_year_tokens"]) & set(robert["names_birth_year_tokens"])
    assert set(bob["last_name_birth_date_tokens"]) & set(part["last_name_birth_date_tokens"])


def test_exchanged_names_and_exchanged_day_and_month_meet():
    one, other = encoded(
        {**SOMEBODY, "first_name": "Thomas", "last_name": "James", "birth_date": "1980-02-03"},
        {**SOMEBODY, "first_name": "James", "last_name": "Thomas", "birth_date": "1980-03-02"},
    )
    assert one["names_birth_date_token"] == other["names_birth_date_token"]


def test_the_same_person_sent_again_anywhere_has_the_same_noise():
    once, again = encoded(SOMEBODY, SOMEBODY | {"client_id": "9", "zip": "10001", "ssn": None, "sex": None})
    elsewhere = encoded(SOMEBODY, agency_key=Key("agency", bytes(32)))[0]
    for name in ("first_name_bits", "last_name_bits"):
        assert once[name] == again[name] == elsewhere[name]


def test_people_of_one_name_have_different_filters():
    people = [SOMEBODY | {"birth_date": f"1980-02-{day:02}"} for day in range(1, 11)]
    filters = [row["first_name_bits"] for row in encoded(*people)]
    assert len(set(filters)) == len(filters)


def test_a_name_without_anything_else_is_no_identity_and_its_noise_hangs_on_the_client():
    lone = [{"client_id": str(number), "first_name": "Ada"} for number in range(5)]
    assert len({row["first_name_bits"] for row in encoded(*lone)}) == 5
    assert encoded(lone[0]) == encoded(lone[0])


def test_noise_flips_about_one_bit_in_twenty():
    plain = [bytes(64)] * 2_000
    noisy = with_noise(plain, [str(number) for number in range(2_000)], b"k" * 32)
    flipped = np.unpackbits(np.frombuffer(b"".join(filter(None, noisy)), np.uint8)).reshape(-1, 512)
    assert abs(flipped.mean() - FLIPPED_OF_256 / 256) < 0.002
    assert abs(flipped.mean(axis=0) - FLIPPED_OF_256 / 256).max() < 0.03
    assert with_noise([None, b"\0" * 64], ["a", "b"], b"k" * 32)[0] is None


def test_another_project_key_changes_every_token_and_filter():
    ours, theirs = encoded(SOMEBODY)[0], encoded(SOMEBODY, project_key=Key("project", bytes(32)))[0]
    assert ours["client_id"] == theirs["client_id"]
    assert not tokens_of_row(ours) & tokens_of_row(theirs)
    assert ours["first_name_bits"] != theirs["first_name_bits"]


def test_what_a_row_becomes_depends_on_no_other_row_and_no_order():
    people = [vector["raw"] for vector in VECTORS["people"]]
    alone = [encoded(person)[0] for person in people]
    assert encoded(*people) == alone
    assert encoded(*reversed(people)) == alone[::-1]


def test_combinations_do_not_run_into_one_another():
    row = encoded(SOMEBODY | {"first_name": "Ann", "last_name": "Ann"})[0]
    by_column = {column: {t for c, t in tokens_of_row(row) if c == column} for column in TOKENS}
    assert all(not by_column[one] & by_column[other] for one, other in combinations(TOKENS, 2))


def test_a_name_is_common_fairly_common_or_rare_by_the_shipped_table():
    assert [first_name_rarity(name) for name in ("james", "aaron", "zyzzyva")] == [
        "common",
        "fairly_common",
        "rare",
    ]
    assert [last_name_rarity(name) for name in ("smith", "mullins", "okonjoiweala")] == [
        "common",
        "fairly_common",
        "rare",
    ]


@pytest.fixture
def delivery(tmp_path):
    source = declared_sources()["jail"]
    raw = tmp_path / "raw"
    raw.mkdir()
    people = [{column: person["raw"][column] for column in RAW_COLUMNS} for person in VECTORS["people"]]
    pl.DataFrame(people, schema=dict.fromkeys(RAW_COLUMNS, pl.String)).write_csv(raw / "people.csv")
    header = [
        "encounter_id",
        "client_id",
        "kind",
        "started_at",
        "ended_at",
        *(c.name for c in source.columns),
    ]
    (raw / "encounters.csv").write_text(",".join(header) + "\n")
    receipt = encode_extract(
        source, raw, "2024-03", PROJECT_KEY, AGENCY_KEY, tmp_path / "landing", profile=HIGH
    )
    assert "first_name_rarity" in receipt.as_text()
    assert "profile high" in receipt.as_text()
    return receipt.folder


def test_a_delivery_of_the_profile_keeps_the_contract(delivery):
    judged = judge(check_delivery(delivery, expected_profile="high"))
    assert judged.delivery.profile is HIGH
    assert judged.counts()["people"] == {
        "delivered": len(VECTORS["people"]),
        "accepted": len(VECTORS["people"]),
        "quarantined": 0,
    }


def test_a_delivery_of_another_profile_than_expected_is_refused_with_what_to_do(delivery):
    with pytest.raises(
        DeliveryRefusedError, match=r"profile high, but the county takes standard.*--profile standard"
    ):
        check_delivery(delivery, expected_profile="standard")


def test_columns_of_another_profile_are_refused_whatever_the_manifest_says(delivery):
    manifest = json.loads((delivery / "manifest.json").read_text())
    manifest["encoding"]["profile"] = "standard"
    (delivery / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(DeliveryRefusedError, match="lacks the column first_name_token"):
        check_delivery(delivery)


@pytest.mark.parametrize(
    ("rule", "edit"),
    [
        ("PE02", pl.lit([], pl.List(pl.String)).alias("last_name_birth_date_tokens")),
        ("PE03", pl.lit(None, pl.String).alias("first_name_rarity")),
        ("PE04", pl.lit("none").alias("ssn_quality")),
        ("PE05", pl.lit(None, pl.Int16).alias("birth_year")),
    ],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_a_row_that_contradicts_itself_breaks_its_rule(delivery, rule, edit):
    rules = row_rules(declared_sources()["jail"], HIGH)["people"]
    people = pl.read_parquet(delivery / "people.parquet")
    assert not people.select(rules[rule].breaks).to_series().any()
    assert people.with_columns(edit).select(rules[rule].breaks).to_series().any()
