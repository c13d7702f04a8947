"""The contract: each thing that refuses a delivery, each rule that quarantines a row, and the sum of both."""

import json
import shutil
from collections.abc import Callable
from datetime import datetime
from hashlib import md5, sha256
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkage.encoding.contract import check_delivery, judge, row_rules
from linkage.errors import DeliveryRefusedError
from linkage.source import declared_sources
from tests.linkage.encoding.extracts import BOOKING, PERSON, PLANTED, mutilated, rewrite

CLEAN_ROWS = {"delivered": 1, "accepted": 1, "quarantined": 0}


@pytest.fixture
def folder(encode) -> Path:
    return encode().folder


def test_what_the_encoder_writes_keeps_the_contract(folder, project_key):
    delivery = check_delivery(folder, expected_key_check=project_key.key_check)
    assert (delivery.source.name, delivery.month) == ("jail", "2024-03")
    assert judge(delivery).counts() == {"people": CLEAN_ROWS, "encounters": CLEAN_ROWS}


@pytest.mark.parametrize("source", list(declared_sources()))
def test_every_declared_source_can_be_delivered(encode, source):
    declared = declared_sources()[source]
    fields = {column.name: column.codes[0] for column in declared.columns if column.type == "code"}
    receipt = encode(encounters=[BOOKING | {"kind": declared.kind_names[0]} | fields], source=source)
    assert judge(check_delivery(receipt.folder)).broken_rule_counts() == {}


def test_the_content_hash_is_that_of_the_content(encode):
    one, two = (check_delivery(encode(landing=landing).folder) for landing in ("one", "two"))
    other = check_delivery(encode([PERSON | {"sex": "M"}], landing="three").folder)
    assert one.content_sha256 == two.content_sha256 != other.content_sha256


def edit_manifest(**entries: object) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        manifest = json.loads((folder / "manifest.json").read_text()) | entries
        (folder / "manifest.json").write_text(json.dumps({k: v for k, v in manifest.items() if v is not ...}))

    return edit


def edit_table(name: str, *columns: pl.Expr | pl.Series, drop: str | None = None) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        rows = pl.read_parquet(folder / f"{name}.parquet").with_columns(*columns)
        rewrite(folder, name, rows.drop(drop) if drop else rows)

    return edit


def write(name: str, content: bytes) -> Callable[[Path], None]:
    return lambda folder: (folder / name).write_bytes(content) and None


def rewrap(name: str, content: bytes) -> Callable[[Path], None]:
    def edit(folder: Path) -> None:
        (folder / name).write_bytes(content)
        manifest = json.loads((folder / "manifest.json").read_text())
        manifest["sha256"][name] = sha256(content).hexdigest()
        (folder / "manifest.json").write_text(json.dumps(manifest))

    return edit


def planted(name: str, column: str, value: object) -> Callable[[Path], None]:
    return edit_table(name, (value if isinstance(value, pl.Expr) else pl.lit(value)).alias(column))


def reorder_columns(folder: Path) -> None:
    rows = pl.read_parquet(folder / "people.parquet")
    rewrite(folder, "people", rows.select(sorted(rows.columns)))


HUD_HASH = sha256(b"W454").hexdigest()

REFUSALS = [
    ("no manifest", lambda folder: (folder / "manifest.json").unlink(), "has no manifest.json"),
    ("manifest not JSON", write("manifest.json", b"{Canary"), "is not JSON"),
    ("manifest not an object", write("manifest.json", b"[]"), "is not a JSON object"),
    ("manifest not UTF-8", write("manifest.json", b"\xff\xfe"), "cannot be read"),
    ("manifest entry missing", edit_manifest(key_check=...), "lacks key_check"),
    (
        "manifest entry unknown",
        edit_manifest(Canary="Wilhelmina"),
        "an entry that the contract does not know",
    ),
    ("manifest entry malformed", edit_manifest(rows={"people": "Canary"}), "malformed rows"),
    ("manifest date malformed", edit_manifest(covers_to="Canary"), "malformed covers_to"),
    ("manifest count negative", edit_manifest(rows={"people": -1, "encounters": 1}), "malformed rows"),
    ("contract version", edit_manifest(contract_version=2), "another contract version"),
    ("encoding version", edit_manifest(encoding={"version": 2, "profile": "standard"}), "another encoding"),
    ("encoding profile", edit_manifest(encoding={"version": 1, "profile": "higher"}), "another encoding"),
    ("unknown source", edit_manifest(source="morgue"), "not declared; declared are ems, hospital"),
    ("malformed month", edit_manifest(month="March"), "not written YYYY-MM"),
    ("another month", edit_manifest(month="2024-04"), "another source or month than its folder"),
    ("another source", edit_manifest(source="ems"), "another source or month than its folder"),
    ("window backwards", edit_manifest(covers_from="2024-05-01"), "covers_from must come before"),
    ("window beyond month", edit_manifest(covers_to="2024-06-01"), "covers_to must lie in the month"),
    ("key check", edit_manifest(key_check="0" * 64), "encoded with another key"),
    (
        "checksum",
        edit_manifest(sha256=dict.fromkeys(("people.parquet", "encounters.parquet"), "0" * 64)),
        "SHA-256 differs",
    ),
    ("row count", edit_manifest(rows={"people": 2, "encounters": 1}), "has 1 rows where the manifest says 2"),
    ("file missing", lambda folder: (folder / "people.parquet").unlink(), "has no people.parquet"),
    ("raw file beside", write("people.csv", b"Wilhelmina"), "no part of a delivery and may be a raw extract"),
    ("truncated Parquet", rewrap("people.parquet", b"PAR1Wilhelmina"), "not a whole Parquet file"),
    ("not Parquet at all", rewrap("encounters.parquet", b"Wilhelmina"), "not a whole Parquet file"),
    ("column missing", edit_table("people", drop="ssn5_token"), "lacks the column ssn5_token"),
    ("column unknown", planted("people", "Canary", "x"), "column 28 is no part of the contract"),
    (
        "column of names",
        planted("people", "first_name", "Wilhelmina"),
        "column first_name \\(column 28\\) is no part",
    ),
    (
        "column mistyped",
        edit_table("people", pl.col("birth_year").cast(pl.Int64)),
        "column birth_year: it must have the type",
    ),
    ("columns in another order", reorder_columns, "not in the contract's order"),
    (
        "name in a token column",
        planted("people", "last_name_token", "Canary"),
        "row 1, column last_name_token: a token has 32",
    ),
    (
        "capital token",
        edit_table("people", pl.col("ssn_token").str.to_uppercase()),
        "column ssn_token: a token has 32",
    ),
    (
        "name in a token list",
        edit_table("people", pl.lit(["Canary"]).cast(pl.List(pl.String)).alias("last_name_part_tokens")),
        "column last_name_part_tokens: a token has 32",
    ),
    ("raw id", planted("people", "client_id", "P-1"), "column client_id: a token has 32"),
    ("raw encounter id", planted("encounters", "encounter_id", "E-1"), "column encounter_id: a token has 32"),
    ("HUD hash", planted("people", "first_name_token", HUD_HASH), "column first_name_token: an unkeyed hash"),
    ("HUD SSN hash", planted("people", "ssn_token", "6780" + HUD_HASH), "column ssn_token: an unkeyed hash"),
    (
        "home-made hash",
        planted("people", "last_name_token", md5(b"SMITH").hexdigest()),
        "unkeyed hash of a common name",
    ),
    (
        "name in a filter column",
        planted("people", "last_name_bits", b"Canary"),
        "column last_name_bits: a filter has 64 bytes",
    ),
    ("five-digit ZIP", planted("people", "zip3", "98101"), "column zip3: only three digits"),
    ("sex in words", planted("people", "sex", "Canary"), "column sex: the codes are"),
    ("SSN quality", planted("people", "ssn_quality", "123-45-6780"), "column ssn_quality: the codes are"),
    ("race", planted("people", "race_ethnicity", "Canary"), "column race_ethnicity: it is a list"),
    (
        "age above ninety",
        planted("people", "birth_year", pl.lit(1920, pl.Int16)),
        "column birth_year: birth years run from 1934",
    ),
    ("birth in the future", planted("people", "birth_year", pl.lit(2030, pl.Int16)), "column birth_year"),
    ("name as a kind", planted("encounters", "kind", "Wilhelmina Canary"), "column kind: here is free text"),
    (
        "name as a code",
        planted("encounters", "charge_class", "Canary"),
        "column charge_class: here is free text",
    ),
    (
        "dashed SSN",
        planted("encounters", "charge_class", "123-45-6780"),
        "looks like a Social Security number",
    ),
    ("bare SSN", planted("encounters", "charge_class", "123456780"), "looks like a Social Security number"),
    ("birth date", planted("encounters", "booking_reason", "1984-05-03"), "looks like a full date"),
    ("American date", planted("encounters", "booking_reason", "5/3/1984"), "looks like a full date"),
    ("hash as a code", planted("encounters", "booking_reason", HUD_HASH), "looks like an unkeyed hash"),
]


@pytest.mark.parametrize(
    ("edit", "says"), [case[1:] for case in REFUSALS], ids=[case[0] for case in REFUSALS]
)
def test_a_delivery_is_refused_with_one_sentence_and_no_value(folder, project_key, tmp_path, edit, says):
    edit(folder)
    with pytest.raises(DeliveryRefusedError, match=says) as refused:
        check_delivery(folder, expected_key_check=project_key.key_check)
    message = str(refused.value).replace(str(tmp_path), "")
    assert "\n" not in message
    for value in (*PLANTED, "123456780", "5/3/1984", HUD_HASH, "morgue"):
        assert value not in message
    assert refused.value.__cause__ is None


def test_without_an_expected_key_check_any_key_passes(folder):
    edit_manifest(key_check="0" * 64)(folder)
    assert check_delivery(folder).manifest.key_check == "0" * 64


def test_a_folder_that_is_none_is_refused(tmp_path):
    with pytest.raises(DeliveryRefusedError, match=r"has no manifest.json"):
        check_delivery(tmp_path / "jail" / "2024-03")


NULL_TOKEN = pl.lit(None, pl.String)

BROKEN_ROWS = [
    ("PE01", "people", pl.lit(None, pl.String).alias("client_id")),
    ("PE02", "people", pl.lit([]).cast(pl.List(pl.String)).alias("first_name_sound_tokens")),
    ("PE03", "people", NULL_TOKEN.alias("first_name_token")),
    ("PE03", "people", pl.lit(None, pl.Binary).alias("last_name_bits")),
    ("PE04", "people", pl.lit("last4").alias("ssn_quality")),
    ("PE04", "people", NULL_TOKEN.alias("ssn_quality")),
    ("PE04", "people", NULL_TOKEN.alias("ssn5_token")),
    ("PE05", "people", NULL_TOKEN.alias("birth_year_day_token")),
    ("PE05", "people", pl.lit(None, pl.Int16).alias("birth_year")),
    ("PE06", "people", pl.lit(None, pl.Boolean).alias("name_placeholder")),
    ("EN01", "encounters", NULL_TOKEN.alias("encounter_id")),
    ("EN02", "encounters", NULL_TOKEN.alias("client_id")),
    ("EN03", "encounters", pl.lit("walk").alias("kind")),
    ("EN03", "encounters", NULL_TOKEN.alias("kind")),
    ("EN04", "encounters", pl.lit(None, pl.Datetime("us")).alias("started_at")),
    ("EN05", "encounters", pl.lit(datetime.fromisoformat("2024-03-01")).alias("ended_at")),
    ("EN06", "encounters", pl.lit(datetime.fromisoformat("2024-04-01")).alias("started_at")),
    ("EN07", "encounters", pl.lit("0" * 32).alias("client_id")),
    ("EN08", "encounters", pl.lit("perhaps").alias("charge_class")),
    ("EN10", "encounters", pl.lit(None, pl.Boolean).alias("part2")),
    ("EN11", "encounters", pl.lit(datetime.fromisoformat("1899-12-30")).alias("started_at")),
]


@pytest.mark.parametrize(("rule", "name", "change"), BROKEN_ROWS)
def test_a_broken_row_is_quarantined_by_its_rule(folder, rule, name, change):
    edit_table(name, change)(folder)
    judged = judge(check_delivery(folder))
    broken = getattr(judged, name).get_column("broken_rules").to_list()[0]
    allowed = {rule} | (
        {"EN05"} if rule == "EN06" else set()
    )  # moved past its end, it ends before it starts too
    assert rule in broken
    assert set(broken) <= allowed
    assert judged.counts()[name] == {"delivered": 1, "accepted": 0, "quarantined": 1}


def test_every_row_rule_is_tested_and_says_what_is_wrong_and_what_to_do():
    tested = {case[0] for case in BROKEN_ROWS} | {"EN09"}
    for source in declared_sources().values():
        rules = row_rules(source)
        assert set(rules["people"]) | set(rules["encounters"]) == tested
        assert all(rule.says and rule.to_do for each in rules.values() for rule in each.values())


def test_the_first_of_two_encounters_with_one_id_is_kept(encode):
    receipt = encode(encounters=[BOOKING, BOOKING | {"ended_at": ""}])
    judged = judge(check_delivery(receipt.folder))
    assert judged.encounters.get_column("broken_rules").to_list() == [[], ["EN09"]]
    assert judged.encounters.get_column("row_number").to_list() == [1, 2]


def test_an_unknown_patient_is_a_row_like_any_other(encode):
    receipt = encode(
        [PERSON | dict.fromkeys(("first_name", "last_name", "birth_date", "ssn", "zip", "sex"), "")]
    )
    assert judge(check_delivery(receipt.folder)).counts()["people"] == CLEAN_ROWS


def test_an_open_stay_breaks_no_rule(encode):
    receipt = encode(encounters=[BOOKING | {"ended_at": ""}])
    assert judge(check_delivery(receipt.folder)).counts()["encounters"] == CLEAN_ROWS


changes = st.sampled_from([change for _, name, change in BROKEN_ROWS if name == "encounters"])


@settings(max_examples=25, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.lists(st.lists(changes, max_size=3), min_size=1, max_size=6))
def test_delivered_is_accepted_plus_quarantined(folder, tmp_path, mutations):
    mutated = tmp_path / "mutated" / "jail" / "2024-03"
    shutil.rmtree(mutated, ignore_errors=True)
    shutil.copytree(folder, mutated)
    row = pl.read_parquet(mutated / "encounters.parquet")
    rows = pl.concat(
        [
            row.with_columns(*{change.meta.output_name(): change for change in each}.values())
            for each in mutations
        ]
    )
    rewrite(mutated, "encounters", rows)
    judged = judge(check_delivery(mutated))
    counts = judged.counts()["encounters"]
    assert counts["delivered"] == len(mutations) == counts["accepted"] + counts["quarantined"]
    known = set(row_rules(declared_sources()["jail"])["encounters"])
    assert set(judged.broken_rule_counts()) <= known
    assert counts["quarantined"] == sum(
        1 for broken in judged.encounters.get_column("broken_rules") if len(broken)
    )


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture], deadline=None)
@given(st.sampled_from(["manifest.json", "people.parquet", "encounters.parquet"]), st.booleans(), st.data())
def test_a_mutilated_delivery_is_refused_or_adds_up(folder, tmp_path, name, is_wrapped_again, data):
    mutated = tmp_path / "mutilated" / "jail" / "2024-03"
    shutil.rmtree(mutated, ignore_errors=True)
    shutil.copytree(folder, mutated)
    content = mutilated(data, (mutated / name).read_bytes())
    if is_wrapped_again and name != "manifest.json":
        rewrap(name, content)(mutated)
    else:
        write(name, content)(mutated)
    said, judged = "", None
    try:
        judged = judge(check_delivery(mutated))
    except DeliveryRefusedError as refused:
        said = str(refused).replace(str(tmp_path), "")
    assert "\n" not in said
    if judged is not None:
        for counts in judged.counts().values():
            assert counts["delivered"] == counts["accepted"] + counts["quarantined"]
