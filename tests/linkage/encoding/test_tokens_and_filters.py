"""Tokens and filters: the committed vectors, and the properties that linkage rests on."""

import functools
import hashlib
import hmac
import json
from pathlib import Path

import numpy as np
import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.encoding.code_lists import load_code_lists
from linkage.encoding.filters import bigram_positions, bigram_table, filters_of
from linkage.encoding.keys import Key
from linkage.encoding.nicknames import nickname_roots
from linkage.encoding.normalise import PeopleNormaliser, restricted_zip3
from linkage.encoding.people import NameEncoder, encode_people
from linkage.encoding.rejoin import client_id_of
from linkage.encoding.tokens import token_lists_of, token_series, tokens_of

VECTORS = json.loads((Path(__file__).parent / "vectors.json").read_text(encoding="utf-8"))
PROJECT_KEY = Key("project", bytes.fromhex(VECTORS["project_key"]))
AGENCY_KEY = Key("agency", bytes.fromhex(VECTORS["agency_key"]))
COVERS_TO = pl.Series([VECTORS["covers_to"]]).str.to_date().item()
FIELD_KEY = bytes(range(32))
TABLE = bigram_table(FIELD_KEY)

names = st.text("abcdefghijklmnopqrstuvwxyz", min_size=1, max_size=30)


name_encoder = functools.cache(NameEncoder)


def encoded(people: list[dict], project_key: Key = PROJECT_KEY) -> pl.DataFrame:
    raw = pl.DataFrame(people, schema=dict.fromkeys(people[0], pl.String)).with_row_index(
        "row_number", offset=1
    )
    normalised = PeopleNormaliser(COVERS_TO).normalise(raw)
    return encode_people(
        normalised.rows, names=name_encoder(project_key), project_key=project_key, agency_key=AGENCY_KEY
    )


def readable(rows: pl.DataFrame) -> list[dict]:
    return [
        {name: value.hex() if isinstance(value, bytes) else value for name, value in row.items()}
        for row in rows.iter_rows(named=True)
    ]


@pytest.mark.parametrize("vector", VECTORS["people"], ids=lambda vector: vector["why"])
def test_the_encoder_gives_the_committed_vectors(vector):
    assert readable(encoded([vector["raw"]])) == [vector["delivered"]]


def test_keys_give_the_committed_check_value_and_fingerprint():
    assert PROJECT_KEY.key_check == VECTORS["key_check"]
    assert PROJECT_KEY.fingerprint == VECTORS["fingerprint"]


def test_the_data_that_the_encoding_rests_on_is_that_of_version_1():
    # a changed table makes other tokens: then the encoding version must change, and these with it
    files = Path(__file__).parents[3] / "linkage" / "code_lists"
    for name, digest in VECTORS["data_sha256"].items():
        assert hashlib.sha256((files / name).read_bytes()).hexdigest() == digest, name
    assert nickname_roots()
    assert restricted_zip3()
    assert load_code_lists()


def test_tokens_are_hmac_sha256_cut_to_128_bits():
    expected = [hmac.new(FIELD_KEY, each.encode(), "sha256").hexdigest()[:32] for each in ("smith", "", "é")]
    assert tokens_of(["smith", "", "é"], FIELD_KEY) == expected


@given(st.lists(st.none() | st.text(max_size=5), max_size=40))
def test_a_column_of_tokens_is_the_token_of_each_value(values):
    made = token_series(pl.Series("v", values, dtype=pl.String), FIELD_KEY)
    assert made.to_list() == tokens_of(values, FIELD_KEY)
    assert made.name == "v"


@given(st.lists(st.lists(names, max_size=4), max_size=10))
def test_a_column_of_token_lists_is_the_tokens_of_each_list(lists):
    expected = [tokens_of(each, FIELD_KEY) or None for each in lists]
    assert token_lists_of(lists, FIELD_KEY).to_list() == expected


@given(st.text(max_size=20), st.binary(min_size=32, max_size=32), st.binary(min_size=32, max_size=32))
def test_another_key_gives_another_token(value, key, other):
    assert (tokens_of([value], key) == tokens_of([value], other)) == (key == other)


def slow_filter(name: str) -> bytes:
    """The filter as the docstring says it, bit by bit."""
    bits = [False] * 1024
    padded = f"_{name}_"
    for at in range(len(padded) - 1):
        for position in bigram_positions(padded[at : at + 2], FIELD_KEY):
            bits[position] = True
    folded = [bits[at] != bits[at + 512] for at in range(512)]
    return int("".join("01"[bit] for bit in folded), 2).to_bytes(64, "big")


@given(st.lists(names, min_size=1, max_size=8))
def test_the_fast_filter_is_the_slow_filter(some_names):
    assert filters_of(some_names, TABLE) == [slow_filter(name) for name in some_names]


def bits_of(packed: bytes) -> np.ndarray:
    return np.unpackbits(np.frombuffer(packed, np.uint8))


def dice(left: str, right: str) -> float:
    one, two = (bits_of(packed).astype(int) for packed in filters_of([left, right], TABLE))
    return 2 * int((one & two).sum()) / int(one.sum() + two.sum())


@given(names, names)
def test_dice_is_symmetric_and_one_for_equal_names(left, right):
    assert dice(left, left) == 1.0
    assert dice(left, right) == dice(right, left)
    assert 0.0 <= dice(left, right) <= 1.0


@given(names)
def test_the_count_of_set_bits_stays_within_what_the_bigrams_can_set(name):
    count = int(bits_of(filters_of([name], TABLE)[0]).sum())
    bigrams = len({f"_{name}_"[at : at + 2] for at in range(len(name) + 1)})
    assert 0 < count <= min(15 * bigrams, 512)


@pytest.mark.parametrize(
    ("left", "right"), [("johnson", "jonson"), ("catherine", "katherine"), ("rodriguez", "rodrigues")]
)
def test_a_slip_leaves_names_more_alike_than_strangers(left, right):
    assert dice(left, right) > 0.6 > dice(left, "okafor")


def test_positions_cover_the_filter_evenly():
    counts = np.bincount(
        [
            p
            for a in "abcdefghijklmnopqrstuvwxyz"
            for b in "abcdefghijklmnopqrstuvwxyz"
            for p in bigram_positions(a + b, FIELD_KEY)
        ],
        minlength=1024,
    )
    assert counts.sum() == 26 * 26 * 15
    assert counts.max() < 30  # mean 9.9; a biased generator piles up


def person(**fields: str | None) -> dict:
    columns = (
        "client_id",
        "first_name",
        "middle_name",
        "last_name",
        "name_suffix",
        "birth_date",
        "sex",
        "race_ethnicity",
        "ssn",
        "zip",
    )
    return {column: fields.get(column, "c" if column == "client_id" else None) for column in columns}


def test_exchanged_names_meet():
    one, two = readable(
        encoded(
            [person(first_name="Thomas", last_name="James"), person(first_name="James", last_name="Thomas")]
        )
    )
    for made in ("token", "bits", "sound_tokens"):
        assert one[f"first_name_{made}"] == two[f"last_name_{made}"]
        assert one[f"last_name_{made}"] == two[f"first_name_{made}"]


def test_exchanged_day_and_month_meet():
    one, two = readable(encoded([person(birth_date="1984-05-03"), person(birth_date="1984-03-05")]))
    assert one["birth_date_token"] == two["birth_date_swapped_token"]
    assert one["birth_date_swapped_token"] == two["birth_date_token"]
    assert one["birth_date_token"] != two["birth_date_token"]


def test_a_shared_surname_part_meets():
    one, two = readable(encoded([person(last_name="García López"), person(last_name="Lopez")]))
    assert set(two["last_name_part_tokens"]) < set(one["last_name_part_tokens"])
    assert set(two["last_name_sound_tokens"]) <= set(one["last_name_sound_tokens"])
    assert two["last_name_part_tokens"] == [two["last_name_token"]]


def test_a_nickname_meets_its_root():
    one, two = readable(encoded([person(first_name="Bob"), person(first_name="Robert")]))
    assert one["first_name_root_token"] == two["first_name_root_token"]
    assert one["first_name_token"] != two["first_name_token"]


def test_equal_values_of_different_fields_do_not_meet():
    row = readable(encoded([person(first_name="Ann", middle_name="Ann", last_name="A", ssn="1234")]))[0]
    assert (
        len(
            {
                row["first_name_token"],
                row["middle_name_token"],
                row["middle_initial_token"],
                row["last_name_token"],
                row["first_name_root_token"],
            }
        )
        == 5
    )
    tokens = [value for name, value in row.items() if name.endswith("_token") and value is not None]
    assert len(tokens) == len(set(tokens))


def test_an_initial_is_no_middle_name():
    one, two = readable(encoded([person(middle_name="Q"), person(middle_name="Quentin")]))
    assert one["middle_name_token"] is None
    assert one["middle_initial_token"] == two["middle_initial_token"]


def test_nobody_leaves_nulls_and_no_empty_list():
    row = readable(encoded([person()]))[0]
    assert {name for name, value in row.items() if value is not None} == {
        "client_id",
        "birth_date_suspect",
        "name_placeholder",
        "ssn_quality",
    }


people = st.fixed_dictionaries(
    {
        "client_id": st.sampled_from(["a", "b", "c"]),
        "first_name": st.sampled_from(["Ann", "Bob", "Doe", None, "Mary J"]),
        "middle_name": st.sampled_from(["Q", None]),
        "last_name": st.sampled_from(["Smith", "García López", "Doe", None]),
        "name_suffix": st.sampled_from(["Jr", None]),
        "birth_date": st.sampled_from(["1984-05-03", "1990-01-01", "1984", None]),
        "sex": st.sampled_from(["M", None]),
        "race_ethnicity": st.sampled_from(["white;asian", None]),
        "ssn": st.sampled_from(["123-45-6780", "XXXXX1234", None]),
        "zip": st.sampled_from(["98101", None]),
    }
)


@settings(max_examples=40)
@given(st.lists(people, min_size=1, max_size=8), st.randoms(use_true_random=False))
def test_what_a_row_becomes_depends_on_no_other_row(rows, shuffler):
    order = list(range(len(rows)))
    shuffler.shuffle(order)
    straight = readable(encoded(rows))
    assert readable(encoded([rows[at] for at in order])) == [straight[at] for at in order]
    assert readable(encoded(rows[:1])) == straight[:1]


@settings(max_examples=40)
@given(st.lists(people, min_size=1, max_size=5))
def test_another_project_key_changes_every_token_and_no_id(rows):
    ours, theirs = readable(encoded(rows)), readable(encoded(rows, Key("project", bytes(32))))
    for one, two in zip(ours, theirs, strict=True):
        assert one["client_id"] == two["client_id"]
        for name, value in one.items():
            if name.endswith(("_token", "_tokens", "_bits")) and value is not None:
                assert value != two[name]


def test_client_ids_hang_on_the_agency_key_alone():
    assert client_id_of(" c ", AGENCY_KEY) == encoded([person()])["client_id"].item()
    assert client_id_of("c", AGENCY_KEY) != client_id_of("c", Key("agency", bytes(32)))
