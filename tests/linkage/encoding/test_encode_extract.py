"""The whole of encoding: what is written, what is left out, what is said, and what never leaves."""

import json
import os
import subprocess
import sys
from datetime import UTC, date, datetime
from pathlib import Path

import polars as pl
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from linkage.encoding import receipt as receipt_module
from linkage.encoding.columns import DELIVERED_PEOPLE_COLUMNS, delivered_encounter_columns
from linkage.encoding.contract import check_delivery, judge
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.encoding.rejoin import client_id_of, rejoin
from linkage.errors import UsageError
from linkage.source import declared_sources
from tests.linkage.encoding.extracts import BOOKING, PERSON, PLANTED, mutilated, write_raw

NOON = datetime(2024, 4, 2, 12, tzinfo=UTC)


JAIL = declared_sources()["jail"]


def test_a_delivery_has_the_columns_of_the_contract(encode):
    receipt = encode()
    assert dict(pl.read_parquet_schema(receipt.folder / "people.parquet")) == DELIVERED_PEOPLE_COLUMNS
    assert dict(pl.read_parquet_schema(receipt.folder / "encounters.parquet")) == delivered_encounter_columns(
        JAIL
    )


def test_a_delivery_is_its_owners_alone(encode):
    folder = encode().folder
    assert folder.stat().st_mode & 0o777 == 0o700
    assert {path.name: path.stat().st_mode & 0o777 for path in folder.iterdir()} == {
        "manifest.json": 0o600,
        "people.parquet": 0o600,
        "encounters.parquet": 0o600,
    }
    assert [path.name for path in folder.parent.iterdir()] == ["2024-03"]


def test_nothing_planted_is_in_any_byte_of_delivery_or_receipt(encode, tmp_path, capsys):
    receipt = encode(
        [PERSON | {"middle_name": "Wilhelmina", "name_suffix": "Canary"}],
        [
            BOOKING | {"booking_reason": "Planted", "release_reason": "Wilhelmina"},
            BOOKING | {"kind": "Canary"},
        ],
    )
    written = b"".join(path.read_bytes() for path in (tmp_path / "landing").rglob("*") if path.is_file())
    said = receipt.as_text() + receipt.problems_as_csv() + repr(receipt) + "".join(capsys.readouterr())
    for planted in PLANTED:
        for spelled in (planted, planted.lower(), planted.upper()):
            assert spelled.encode() not in written, planted
            assert spelled not in said.replace(str(tmp_path), ""), planted


def test_encoding_twice_gives_the_same_bytes(encode):
    first = encode(landing="one", created_at=NOON)
    second = encode(landing="two", created_at=NOON)
    for name in ("people.parquet", "encounters.parquet", "manifest.json"):
        assert (first.folder / name).read_bytes() == (second.folder / name).read_bytes()


def many(count: int) -> tuple[list[dict], list[dict]]:
    people = [
        PERSON | {"client_id": f"P-{n}", "last_name": "abcdefghij"[n % 10] * 2 + "son"} for n in range(count)
    ]
    encounters = [BOOKING | {"encounter_id": f"E-{n}", "client_id": f"P-{n}"} for n in range(count)]
    return people, encounters


def test_rows_of_a_delivery_stand_in_no_order_of_the_extract(encode):
    people, encounters = many(60)
    straight = encode(people, encounters, landing="one")
    backwards = encode(people[::-1], encounters[::-1], landing="two")
    for name in ("people.parquet", "encounters.parquet"):
        one, two = pl.read_parquet(straight.folder / name), pl.read_parquet(backwards.folder / name)
        assert one.equals(two)
        assert one.to_series().is_sorted()


@pytest.mark.parametrize("batch_rows", [7, 59, 60, 1000])
def test_batches_make_no_difference(encode, batch_rows):
    people, encounters = many(60)
    whole = encode(people, encounters, landing="whole")
    pieces = encode(people, encounters, landing="pieces", batch_rows=batch_rows)
    for name in ("people.parquet", "encounters.parquet"):
        assert pl.read_parquet(whole.folder / name).equals(pl.read_parquet(pieces.folder / name))
    assert sorted(path.name for path in pieces.folder.iterdir()) == [
        "encounters.parquet",
        "manifest.json",
        "people.parquet",
    ]
    again = encode(people, encounters, landing="again", batch_rows=batch_rows)
    assert again.manifest.sha256 == pieces.manifest.sha256


def test_a_month_encoded_again_replaces_the_month(encode):
    encode(*many(3))
    receipt = encode()
    assert pl.read_parquet(receipt.folder / "people.parquet").height == 1
    assert [path.name for path in receipt.folder.parent.iterdir()] == ["2024-03"]


def test_rows_read_are_rows_encoded_and_rows_left_out(encode):
    receipt = encode(
        [PERSON, PERSON | {"client_id": " "}],
        [
            BOOKING,
            BOOKING | {"encounter_id": ""},
            BOOKING | {"client_id": ""},
            BOOKING | {"kind": "walk"},
            BOOKING | {"kind": ""},
            BOOKING | {"started_at": ""},
            BOOKING | {"started_at": "yesterday"},
            BOOKING | {"ended_at": "yesterday"},
            BOOKING | {"ended_at": "2024-03-01"},
            BOOKING | {"kind": "walk", "started_at": ""},
            BOOKING | {"charge_class": "Z", "smi_assessed": "perhaps", "assessed_at": "soon"},
        ],
    )
    assert receipt.rows_read == {"people": 2, "encounters": 11}
    assert receipt.rows_encoded == {"people": 1, "encounters": 2}
    assert receipt.rows_left_out == {"people": 1, "encounters": 9}
    listed = {(each.file, each.row, each.column, each.rule, each.outcome) for each in receipt.problems}
    assert listed == {
        ("people.csv", 2, "client_id", "missing", "row left out"),
        ("encounters.csv", 2, "encounter_id", "missing", "row left out"),
        ("encounters.csv", 3, "client_id", "missing", "row left out"),
        ("encounters.csv", 4, "kind", "unknown_code", "row left out"),
        ("encounters.csv", 5, "kind", "missing", "row left out"),
        ("encounters.csv", 6, "started_at", "missing", "row left out"),
        ("encounters.csv", 7, "started_at", "unreadable", "row left out"),
        ("encounters.csv", 8, "ended_at", "unreadable", "row left out"),
        ("encounters.csv", 9, "ended_at", "before_start", "row left out"),
        ("encounters.csv", 10, "kind", "unknown_code", "row left out"),
        ("encounters.csv", 11, "charge_class", "unknown_code", "value left empty"),
        ("encounters.csv", 11, "smi_assessed", "unreadable", "value left empty"),
        ("encounters.csv", 11, "assessed_at", "unreadable", "value left empty"),
    }
    assert "encounters: 11 rows read, 2 encoded, 9 left out" in receipt.as_text()
    assert "encounters.csv,4,kind,unknown_code,row left out" in receipt.problems_as_csv()


def test_row_numbers_count_on_from_batch_to_batch(encode):
    people, encounters = many(10)
    encounters[8]["kind"] = "walk"
    receipt = encode(people, encounters, batch_rows=3)
    assert [each.row for each in receipt.problems] == [9]


def test_placeholders_are_counted_by_kind_in_manifest_and_receipt(encode):
    receipt = encode(
        [
            PERSON
            | {"first_name": "John", "last_name": "Doe", "birth_date": "1900-01-01", "ssn": "999-99-9999"}
        ]
    )
    assert receipt.manifest.nulled == {
        "birth_date": {"default": 1},
        "first_name": {"doe": 1},
        "last_name": {"doe": 1},
        "ssn": {"default": 1},
    }
    assert json.loads((receipt.folder / "manifest.json").read_text())["nulled"] == receipt.manifest.nulled
    assert "last_name: 1 doe" in receipt.as_text()


def test_an_extract_without_rows_is_a_delivery_without_rows(encode):
    receipt = encode([], [])
    assert receipt.manifest.rows == {"people": 0, "encounters": 0}
    assert pl.read_parquet(receipt.folder / "people.parquet").height == 0


def test_typed_parquet_reads_like_csv(encode, tmp_path, project_key, agency_key):
    from_csv = encode(landing="csv")
    raw = tmp_path / "typed"
    raw.mkdir()
    pl.read_csv(tmp_path / "raw" / "people.csv", infer_schema=False).with_columns(
        pl.col("birth_date").str.to_date(),
        pl.col("zip").cast(pl.Int64),
        pl.col("race_ethnicity").str.split(";"),
        pl.col("sex").cast(pl.Categorical),
    ).write_parquet(raw / "people.parquet")
    pl.read_csv(tmp_path / "raw" / "encounters.csv", infer_schema=False).with_columns(
        pl.col("started_at", "ended_at").str.to_datetime(), smi_assessed=pl.lit(None, pl.Boolean)
    ).write_parquet(raw / "encounters.parquet")
    from_parquet = encode_extract(JAIL, raw, "2024-03", project_key, agency_key, tmp_path / "parquet")
    for name in ("people.parquet", "encounters.parquet"):
        assert pl.read_parquet(from_csv.folder / name).equals(pl.read_parquet(from_parquet.folder / name))


def test_the_window_is_the_month_unless_said(encode):
    assert (encode().manifest.covers_from, encode().manifest.covers_to) == (
        date(2024, 3, 1),
        date(2024, 4, 1),
    )
    assert encode(covers_from=date(2019, 1, 1)).manifest.covers_from == date(2019, 1, 1)


@pytest.mark.parametrize(
    "window",
    [
        {"covers_from": date(2024, 5, 1)},
        {"covers_to": date(2024, 5, 1)},
        {"covers_to": date(2024, 3, 1)},
        {"covers_from": date(2024, 3, 9), "covers_to": date(2024, 3, 9)},
    ],
)
def test_a_window_that_does_not_end_in_its_month_is_refused(encode, window):
    with pytest.raises(UsageError, match="window"):
        encode(**window)


@pytest.mark.parametrize("month", ["2024-13", "2024-3", "March", "2024-03-01", "0024-03", "../2024"])
def test_a_month_is_written_in_one_way(tmp_path, project_key, agency_key, month):
    with pytest.raises(UsageError, match="YYYY-MM"):
        encode_extract(JAIL, tmp_path, month, project_key, agency_key, tmp_path)


def test_keys_in_each_others_place_are_refused(encode, project_key, agency_key):
    with pytest.raises(UsageError, match="in their places"):
        encode(project=agency_key, agency=project_key)


HEADER = b"client_id,first_name,middle_name,last_name,name_suffix,birth_date,sex,race_ethnicity,ssn,zip\n"


@pytest.mark.parametrize(
    ("content", "says"),
    [
        pytest.param(b"", "cannot be read", id="empty"),
        pytest.param(b"Wilhelmina,Canary,1984-05-03\n", "lacks the columns client_id", id="no header"),
        pytest.param(HEADER.replace(b",ssn", b""), "lacks the column ssn", id="a column missing"),
        pytest.param(HEADER + b"7,,,,,,,,,\n8,Wilhelmina,,Can", "row 2: the line has fewer", id="cut short"),
        pytest.param(
            HEADER + b"7,,,,,,,,,\r\n\r\n8,Canary\r\n9,,,,,,,,,\r\n",
            "fewer fields",
            id="a line broken in two",
        ),
        pytest.param(
            HEADER + b'7,"Wil,helmina",,,,,,,,\n8,"Canary"\n', "row 2: the line", id="short with quotes"
        ),
        pytest.param(HEADER + b"Wilhelmina" + b",Canary" * 20 + b"\n", "beyond row 0", id="too many fields"),
        pytest.param(HEADER + b'"Wilhelmina Canary,,,,,,,,,\n', "fewer fields", id="a quote left open"),
        pytest.param(HEADER + b"Wilhelmina\xff\xfe,,,,,,,,,\n", "beyond row", id="not UTF-8"),
        pytest.param(HEADER.decode().encode("utf-16"), "lacks|cannot", id="UTF-16"),
    ],
)
def test_an_unreadable_file_is_one_sentence_without_its_contents(
    encode, tmp_path, project_key, agency_key, content, says
):
    raw = write_raw(tmp_path / "bad", [PERSON], [BOOKING])
    (raw / "people.csv").write_bytes(content)
    with pytest.raises(UsageError, match=says) as refused:
        encode_extract(JAIL, raw, "2024-03", project_key, agency_key, tmp_path / "out")
    assert "people.csv" in str(refused.value)
    assert not any(planted in str(refused.value) for planted in PLANTED)
    assert refused.value.__context__ is None or refused.value.__suppress_context__
    assert not (tmp_path / "out" / "jail" / "2024-03").exists()


@pytest.mark.parametrize(
    ("column", "says"),
    [
        (pl.Series("zip", [b"98101"]), "column zip: it is not text"),
        (pl.Series("zip", [["98101", "98102"]]).cast(pl.List(pl.Categorical)), "column zip: it is not text"),
        (
            pl.Series("birth_date", [datetime(1984, 5, 3, tzinfo=UTC)]),
            "column birth_date: it has a time zone",
        ),
    ],
)
def test_a_parquet_column_of_an_unfit_type_is_named(tmp_path, project_key, agency_key, column, says):
    raw = write_raw(tmp_path / "raw", [PERSON], [BOOKING])
    pl.read_csv(raw / "people.csv", infer_schema=False).with_columns(column).write_parquet(
        raw / "people.parquet"
    )
    (raw / "people.csv").unlink()
    with pytest.raises(UsageError, match=says):
        encode_extract(JAIL, raw, "2024-03", project_key, agency_key, tmp_path / "out")


def test_a_truncated_parquet_file_is_a_sentence(tmp_path, project_key, agency_key):
    raw = write_raw(tmp_path / "raw", [PERSON], [BOOKING])
    (raw / "people.csv").unlink()
    (raw / "people.parquet").write_bytes(b"PAR1Wilhelmina")
    with pytest.raises(UsageError, match="whole Parquet file"):
        encode_extract(JAIL, raw, "2024-03", project_key, agency_key, tmp_path / "out")


def test_a_raw_folder_needs_each_file_once(tmp_path, project_key, agency_key):
    def attempt() -> None:
        encode_extract(JAIL, tmp_path / "raw", "2024-03", project_key, agency_key, tmp_path / "out")

    with pytest.raises(UsageError, match=r"neither people.csv nor people.parquet"):
        attempt()
    raw = write_raw(tmp_path / "raw", [PERSON], [BOOKING])
    (raw / "people.parquet").write_bytes(b"")
    with pytest.raises(UsageError, match=r"has both people.csv and people.parquet"):
        attempt()


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.sampled_from(["people", "encounters"]), st.data())
def test_a_mutilated_extract_is_a_sentence_or_adds_up(tmp_path, project_key, agency_key, name, data):
    raw = write_raw(tmp_path / "raw", [PERSON, PERSON | {"client_id": "P-2"}], [BOOKING, BOOKING])
    (raw / f"{name}.csv").write_bytes(mutilated(data, (raw / f"{name}.csv").read_bytes()))
    said, receipt = "", None
    try:
        receipt = encode_extract(JAIL, raw, "2024-03", project_key, agency_key, tmp_path / "out")
    except UsageError as refused:
        said = str(refused).replace(str(tmp_path), "")
    assert not any(planted in said for planted in PLANTED)
    if receipt is not None:
        for stem, read in receipt.rows_read.items():
            assert read == receipt.rows_encoded[stem] + receipt.rows_left_out[stem]
        judged = judge(check_delivery(receipt.folder))
        assert judged.people.height == receipt.rows_encoded["people"]


def test_columns_outside_the_template_are_counted_and_not_named(encode, tmp_path, project_key, agency_key):
    raw = write_raw(tmp_path / "raw", [PERSON], [BOOKING])
    people = pl.read_csv(raw / "people.csv", infer_schema=False).with_columns(Canary=pl.lit("Wilhelmina"))
    people.write_csv(raw / "people.csv")
    receipt = encode_extract(JAIL, raw, "2024-03", project_key, agency_key, tmp_path / "out")
    assert receipt.other_columns == {"people": 1, "encounters": 0}
    assert "Canary" not in receipt.as_text()


def test_a_failure_leaves_the_delivery_that_was_there(encode, monkeypatch):
    before = encode()
    kept = {path.name: path.read_bytes() for path in before.folder.iterdir()}

    def full(*_: object, **__: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(pl.LazyFrame, "sink_parquet", full)
    with pytest.raises(UsageError, match="cannot be written \\(No space left on device\\)"):
        encode()
    assert {path.name: path.read_bytes() for path in before.folder.iterdir()} == kept
    assert [path.name for path in before.folder.parent.iterdir()] == ["2024-03"]


def test_a_draft_left_by_a_killed_run_is_cleared(encode):
    folder = encode().folder
    draft = folder.with_name(".2024-03.draft")
    draft.mkdir()
    (draft / "people.parquet").write_bytes(b"half")
    encode()
    assert [path.name for path in folder.parent.iterdir()] == ["2024-03"]


def test_many_problems_are_counted_and_some_are_listed(encode, monkeypatch):
    monkeypatch.setattr(receipt_module, "MOST_PROBLEMS_LISTED", 5)
    people, encounters = many(20)
    receipt = encode(people, [each | {"kind": "walk"} for each in encounters], batch_rows=3)
    assert receipt.rows_left_out["encounters"] == 20
    assert len(receipt.problems) == 5
    assert "20 rows, row left out" in receipt.as_text()


def test_an_agency_gets_its_own_ids_back(encode, tmp_path, agency_key):
    people, encounters = many(5)
    encode(people, encounters)
    returned = pl.DataFrame(
        {
            "client_id": [client_id_of("P-3", agency_key), client_id_of("P-0", agency_key), "0" * 32],
            "band": [1, 2, 3],
        }
    )
    for name, write in (("return.parquet", returned.write_parquet), ("return.csv", returned.write_csv)):
        write(tmp_path / name)
        joined = rejoin(tmp_path / name, tmp_path / "raw", agency_key, source=JAIL)
        assert joined.rows.get_column("client_id").to_list() == ["P-3", "P-0", None]
        assert joined.unmatched == 1
    months = rejoin(tmp_path / "return.csv", tmp_path, agency_key, source=JAIL)
    assert months.unmatched == 1


@pytest.mark.parametrize(
    ("key", "says"),
    [
        pytest.param(Key("agency", bytes(32)), "none of its 1 rows", id="another agency's key"),
        pytest.param(
            Key("project", bytes(range(1, 33))), "agency key, not the project key", id="the project key"
        ),
    ],
)
def test_nobody_else_gets_them(encode, tmp_path, agency_key, key, says):
    encode()
    pl.DataFrame({"client_id": [client_id_of("P-1", agency_key)]}).write_csv(tmp_path / "return.csv")
    with pytest.raises(UsageError, match=says):
        rejoin(tmp_path / "return.csv", tmp_path / "raw", key, source=JAIL)


@pytest.mark.parametrize(
    ("name", "content", "says"),
    [
        ("absent.csv", None, "cannot be read"),
        ("other.csv", b"id\n1\n", "no column client_id"),
        ("bad.parquet", b"x", "cannot be read"),
    ],
)
def test_rejoin_says_what_a_return_file_is(tmp_path, agency_key, name, content, says):
    if content is not None:
        (tmp_path / name).write_bytes(content)
    with pytest.raises(UsageError, match=says):
        rejoin(tmp_path / name, tmp_path, agency_key, source=JAIL)


def test_rejoin_says_when_the_people_are_not_there(tmp_path, agency_key):
    pl.DataFrame({"client_id": ["0" * 32]}).write_csv(tmp_path / "return.csv")
    with pytest.raises(UsageError, match="no raw people file"):
        rejoin(tmp_path / "return.csv", tmp_path, agency_key, source=JAIL)


def test_encoding_imports_nothing_heavy(encode, tmp_path):
    encode()
    heavy = ("dagster", "duckdb", "splink", "great_expectations", "pandas", "pyarrow", "sqlalchemy", "scipy")
    script = (
        "import sys\n"
        "from pathlib import Path\n"
        "import linkage.encoding.contract, linkage.encoding.rejoin\n"
        "from linkage.encoding.delivery import encode_extract\n"
        "assert 'doublemetaphone' not in sys.modules\n"
        "from linkage.encoding.keys import Key\n"
        "from linkage.source import declared_sources\n"
        f"encode_extract(declared_sources()['jail'], Path({str(tmp_path / 'raw')!r}), '2024-03', "
        f"Key('project', bytes(32)), Key('agency', bytes(32)), Path({str(tmp_path / 'out')!r}))\n"
        f"loaded = [name for name in {heavy!r} if name in sys.modules]\n"
        "assert not loaded, loaded\n"
    )
    root = Path(__file__).parents[3]
    subprocess.run(
        [sys.executable, "-c", script], check=True, cwd=root, env=os.environ | {"PYTHONPATH": str(root)}
    )
