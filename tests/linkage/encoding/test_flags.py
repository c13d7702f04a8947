"""Code lists, and how an encounter's flags come about."""

from datetime import datetime

import polars as pl
import pytest

from linkage.encoding.code_lists import (
    CodeListChoice,
    is_icd10_code,
    load_code_list,
    load_code_lists,
    shipped_code_lists,
)
from linkage.encoding.columns import delivered_encounter_columns, raw_encounter_columns
from linkage.encoding.encounters import encode_encounters
from linkage.encoding.keys import Key
from linkage.errors import UsageError
from linkage.source import FLAGS, declared_sources

AGENCY_KEY = Key("agency", bytes(range(32)))


@pytest.mark.parametrize(
    ("name", "code", "is_in", "why"),
    [
        ("smi_strict", "F20.9", True, "schizophrenia"),
        ("smi_strict", "F209", True, "the dot is how somebody exported"),
        ("smi_strict", "f20.9", True, "so is the case"),
        ("smi_strict", "F21", False, "schizotypal is between the ranges"),
        ("smi_strict", "F31.81", True, "bipolar II"),
        ("smi_strict", "F32.2", True, "severe depression"),
        ("smi_strict", "F32.1", False, "moderate depression"),
        ("smi_strict", "F43.10", False, "post-traumatic stress is broad"),
        ("smi_broad", "F32.1", True, "all depression"),
        ("smi_broad", "F43.10", True, "post-traumatic stress"),
        ("smi_broad", "F43.20", False, "adjustment disorder"),
        ("sud", "F10.20", True, "alcohol dependence"),
        ("sud", "F17.210", False, "nicotine"),
        ("sud", "F11.21", True, "remission counts"),
        ("sud_strict", "F11.21", False, "remission does not count"),
        ("sud_strict", "F10.11", False, "remission does not count"),
        ("sud_strict", "F10.129", True, "abuse with intoxication"),
        ("sud_strict", "F10.221", True, "delirium is no remission"),
        ("sud_strict", "F10.920", False, "use, unspecified"),
        ("sud_with_nicotine", "F17.210", True, "nicotine"),
        ("sud", "F20.9", False, "the next block"),
        ("overdose", "T40.1X1A", True, "heroin, accidental"),
        ("overdose", "T40.2X5A", False, "an adverse effect"),
        ("overdose", "T40.2X6A", False, "underdosing"),
        ("overdose", "T36.91XA", True, "the intent is the fifth character here"),
        ("overdose", "T36.95XA", False, "an adverse effect, in the fifth character"),
        ("overdose", "T50.901A", True, "unspecified drugs"),
        ("overdose", "T51.0X1A", False, "alcohol poisoning is no drug overdose"),
        ("overdose", "T40", True, "the category alone, as ambulances write it"),
        ("overdose_opioid", "T40.411A", True, "fentanyl"),
        ("overdose_opioid", "T40.5X1A", False, "cocaine"),
        ("suicidality", "R45.851", True, "ideation"),
        ("suicidality", "R45.850", False, "homicidal ideation"),
        ("suicidality", "T14.91XA", True, "attempt"),
        ("suicidality", "T40.1X2A", True, "poisoning, self-harm"),
        ("suicidality", "T36.92XA", True, "self-harm in the fifth character"),
        ("suicidality", "T40.1X1A", False, "poisoning, accidental"),
        ("suicidality", "X78.9XXA", True, "sharp object"),
        ("suicidality", "X84", False, "beyond the range of ICD-10-CM"),
        ("suicidality", "T74.02XA", False, "neglect has a 2 there too"),
        ("homeless", "Z59.01", True, "sheltered"),
        ("homeless", "Z59.1", False, "inadequate housing"),
        ("homeless", "Z59.812", False, "housed now"),
        ("homeless_broad", "Z59.812", True, "homeless in the past year"),
    ],
)
def test_code_lists(name, code, is_in, why):
    assert load_code_list(name).has(code) is is_in, why


def test_every_shipped_list_is_dated_sourced_and_well_formed():
    for name in shipped_code_lists():
        each = load_code_list(name)
        assert not each.has("Q99.9")
        assert len(each.version) == 10
        assert each.source
        assert each.says.endswith(".")


def test_an_unknown_list_is_refused_by_name():
    with pytest.raises(UsageError, match="smi_strict"):
        load_code_lists(CodeListChoice(smi="smi_of_my_own"))


def test_another_choice_is_another_version():
    assert load_code_lists().version != load_code_lists(CodeListChoice(smi="smi_broad")).version
    assert load_code_lists().as_manifest().keys() == {"version", *FLAGS}


@pytest.mark.parametrize(
    ("text", "is_code"),
    [
        ("F20.9", True),
        ("F209", True),
        ("T40.1X1A", True),
        ("Z59.00", True),
        ("C4A.0", True),
        ("psychosis", False),
        ("295.30", False),
        ("F2", False),
        ("", False),
    ],
)
def test_the_shape_of_an_icd_10_code(text, is_code):
    assert is_icd10_code(text) is is_code


def flags_of(source: str, *, part2_program: bool = False, **fields: str) -> dict:
    declared = declared_sources()[source]
    row = {
        "encounter_id": "e",
        "client_id": "c",
        "kind": declared.kind_names[0],
        "started_at": "2024-03-01",
    } | fields
    columns = raw_encounter_columns(declared)
    raw = pl.DataFrame(
        {column: [row.get(column)] for column in columns}, schema=dict.fromkeys(columns, pl.String)
    )
    encoded = encode_encounters(
        raw.with_row_index("row_number", offset=1),
        source=declared,
        code_lists=load_code_lists(),
        agency_key=AGENCY_KEY,
        part2_program=part2_program,
    )
    assert encoded.rows.schema == pl.Schema(delivered_encounter_columns(declared))
    return encoded.rows.row(0, named=True)


@pytest.mark.parametrize(
    ("source", "fields", "said"),
    [
        pytest.param(
            "hospital",
            {"diagnosis_codes": "F20.9; T40.1X2A"},
            (True, False, True, False, True),
            id="codes raise flags",
        ),
        pytest.param(
            "hospital", {"diagnosis_codes": "I10"}, (False,) * 5, id="codes of something else say no"
        ),
        pytest.param("hospital", {"diagnosis_codes": ""}, (None,) * 5, id="no codes recorded say nothing"),
        pytest.param("hospital", {"diagnosis_codes": ";"}, (None,) * 5, id="an empty list says nothing"),
        pytest.param(
            "hospital", {"diagnosis_codes": "psychosis"}, (None,) * 5, id="no code at all says nothing"
        ),
        pytest.param(
            "hospital",
            {"diagnosis_codes": "psychosis;F10.20"},
            (False, True, False, False, False),
            id="what can be read counts",
        ),
        pytest.param(
            "jail", {"smi_assessed": "true"}, (True, None, None, None, None), id="an assessment is the flag"
        ),
        pytest.param(
            "jail", {"smi_assessed": "False"}, (False, None, None, None, None), id="an assessment says no"
        ),
        pytest.param("jail", {}, (None,) * 5, id="a jail cannot say more"),
        pytest.param(
            "shelter",
            {"project_type": "safe_haven"},
            (None, None, None, True, None),
            id="a shelter says homeless",
        ),
        pytest.param(
            "shelter",
            {"project_type": "rapid_rehousing"},
            (None, None, None, False, None),
            id="rehoused is not homeless",
        ),
        pytest.param(
            "shelter", {"project_type": "castle"}, (None,) * 5, id="an unknown project says nothing"
        ),
        pytest.param(
            "ems",
            {"impression_codes": "R45.851"},
            (False, False, True, False, False),
            id="impressions are diagnoses",
        ),
    ],
)
def test_flags(source, fields, said):
    row = flags_of(source, **fields)
    assert tuple(row[flag] for flag in FLAGS) == said


@pytest.mark.parametrize(
    ("codes", "part2_program", "part2"),
    [
        ("F10.20", True, True),
        ("", True, True),
        ("I10", True, False),
        ("F10.20", False, False),
        ("", False, False),
    ],
)
def test_a_part_2_program_marks_all_but_what_is_known_to_be_free_of_it(codes, part2_program, part2):
    assert flags_of("hospital", diagnosis_codes=codes, part2_program=part2_program)["part2"] is part2


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("2024-03-01", datetime.fromisoformat("2024-03-01")),
        ("2024-03-01T10:30:15", datetime.fromisoformat("2024-03-01T10:30:15")),
        ("2024-03-01 10:30", datetime.fromisoformat("2024-03-01T10:30:00")),
        ("2024-03-01T10:30:15.123456", datetime.fromisoformat("2024-03-01T10:30:15")),
        ("2024-03-01T10:30:15Z", None),
        ("2024-03-01T10:30:15-08:00", None),
        ("2024-02-30", None),
        ("2024-03-01T25:00:00", None),
        ("03/01/2024", None),
        ("20240301", None),
    ],
)
def test_timestamps_are_local_and_iso(written, read):
    assert flags_of("jail", assessed_at=written)["assessed_at"] == read
