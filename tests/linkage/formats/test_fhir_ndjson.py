"""FHIR NDJSON: which resources become what, what becomes of an ED visit, and merged patients."""

import json
import tempfile
from pathlib import Path

import polars as pl
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.encoding.delivery import encode_extract
from linkage.encoding.formats import TemplateExtract, native_format
from linkage.encoding.keys import Key
from linkage.encoding.months import month_window
from linkage.errors import UsageError
from linkage.source import declared_sources
from sample_data.native.fhir_ndjson import write_fhir_ndjson
from sample_data.tiny_county import TINY_COUNTY

MARCH = month_window("2024-03")
TERMINOLOGY = "http://terminology.hl7.org/CodeSystem"
NUBC = "https://www.nubc.org/CodeSystem/PatDischargeStatus"
US_CORE = "http://hl7.org/fhir/us/core/StructureDefinition"
ICD10 = "http://hl7.org/fhir/sid/icd-10-cm"


def concept(system: str, code: str) -> dict:
    return {"coding": [{"system": system, "code": code}]}


def omb(name: str, *codes: str) -> dict:
    parts = [{"url": "ombCategory", "valueCoding": {"code": code}} for code in codes]
    return {
        "url": f"{US_CORE}/us-core-{name}",
        "extension": [*parts, {"url": "text", "valueString": "Canary"}],
    }


PATIENT = {
    "resourceType": "Patient",
    "id": "p1",
    "name": [{"use": "official", "family": "Planted-Canary", "given": ["Wilhelmina", "Q"], "suffix": ["Jr"]}],
    "gender": "female",
    "birthDate": "1984-05-03",
    "identifier": [
        {"system": "urn:mrn", "value": "000111222"},
        {"system": "http://hl7.org/fhir/sid/us-ssn", "value": "123-45-6780"},
    ],
    "address": [{"use": "old", "postalCode": "10001"}, {"use": "home", "postalCode": "98101-1234"}],
    "extension": [omb("race", "2106-3", "2028-9"), omb("ethnicity", "2135-2")],
}
VISIT = {
    "resourceType": "Encounter",
    "id": "e1",
    "status": "finished",
    "class": {"system": f"{TERMINOLOGY}/v3-ActCode", "code": "EMER"},
    "subject": {"reference": "Patient/p1"},
    "period": {"start": "2024-03-02T10:00:00-08:00", "end": "2024-03-02T15:00:00-08:00"},
}
STAY = VISIT | {
    "id": "e2",
    "class": {"code": "IMP"},
    "period": {"start": "2024-03-02T15:30:00-08:00", "end": "2024-03-05T11:00:00-08:00"},
}
CONDITION = {
    "resourceType": "Condition",
    "encounter": {"reference": "Encounter/e1"},
    "code": concept(ICD10, "F20.9"),
}
PLANTED = ("Wilhelmina", "Planted", "Canary", "1984-05-03", "123-45-6780", "F20.9", "98101")


def write_export(folder: Path, patients=(PATIENT,), encounters=(VISIT,), conditions=(CONDITION,)) -> Path:
    """A bulk export, one file per type."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, resources in (("Patient", patients), ("Encounter", encounters), ("Condition", conditions)):
        (folder / f"{name}.000.ndjson").write_text("".join(json.dumps(each) + "\n" for each in resources))
    return folder


def read(folder: Path, mapping: Path | None = None) -> TemplateExtract:
    return native_format("fhir-ndjson").read(
        folder, covers_from=MARCH[0], covers_to=MARCH[1], mapping=mapping
    )


def rows(tables) -> list[dict]:
    return [row for table in tables for batch in table.batches() for row in batch.iter_rows(named=True)]


def encounters(tmp_path: Path, *resources: dict, **others) -> dict[str, dict]:
    """The encounters that resources become, by id."""
    extract = read(write_export(tmp_path, encounters=resources, **others))
    return {row["encounter_id"]: row for row in rows(extract.encounters)}


def test_a_visit_becomes_one_person_and_one_encounter(tmp_path):
    extract = read(write_export(tmp_path))
    (person,), (visit,) = rows(extract.people), rows(extract.encounters)
    assert tuple(person) == ("row_number", *RAW_PEOPLE_COLUMNS)
    assert tuple(visit) == ("row_number", *raw_encounter_columns(declared_sources()["hospital"]))
    assert person == {
        "row_number": 1,
        "client_id": "p1",
        "first_name": "Wilhelmina",
        "middle_name": "Q",
        "last_name": "Planted-Canary",
        "name_suffix": "Jr",
        "birth_date": "1984-05-03",
        "sex": "F",
        "race_ethnicity": "asian;hispanic_latino;white",
        "ssn": "123-45-6780",
        "zip": "98101-1234",
    }
    assert visit == {
        "row_number": 1,
        "encounter_id": "e1",
        "client_id": "p1",
        "kind": "ed",
        "started_at": "2024-03-02T10:00:00",
        "ended_at": "2024-03-02T15:00:00",
        "diagnosis_codes": "F20.9",
        "disposition": None,
        "admit_origin": None,
    }
    assert not extract.dropped
    assert not extract.problems.counts


@pytest.mark.parametrize(
    ("code", "service", "kind"),
    [
        pytest.param("EMER", None, "ed", id="emergency"),
        pytest.param("IMP", None, "inpatient", id="inpatient"),
        pytest.param("ACUTE", None, "inpatient", id="acute"),
        pytest.param(
            "NONAC", concept("http://snomed.info/sct", "310116000"), "psychiatric", id="psychiatry service"
        ),
        pytest.param(
            "IMP", concept("https://www.nubc.org/CodeSystem/RevenueCodes", "0124"), "psychiatric", id="room"
        ),
        pytest.param(
            "IMP", concept(f"{TERMINOLOGY}/service-category", "12"), "inpatient", id="detoxification"
        ),
        pytest.param("OBSENC", None, "observation", id="observation"),
        pytest.param(
            "AMB", concept(f"{TERMINOLOGY}/service-category", "12"), "outpatient_bh", id="drug and alcohol"
        ),
        pytest.param(
            "AMB", concept("http://www.ama-assn.org/go/cpt", "90837"), "outpatient_bh", id="psychotherapy"
        ),
        pytest.param(
            "VR", concept("urn:oid:2.16.840.1.113883.6.285", "H0004"), "outpatient_bh", id="counseling"
        ),
        pytest.param("AMB", concept("http://www.ama-assn.org/go/cpt", "99213"), None, id="office visit"),
        pytest.param("AMB", None, None, id="outpatient"),
        pytest.param("PRENC", None, None, id="pre-admission"),
    ],
)
def test_which_kind_a_class_becomes(tmp_path, code, service, kind):
    resource = VISIT | {"class": {"code": code}} | ({"serviceType": service} if service else {})
    extract = read(write_export(tmp_path, encounters=[resource]))
    assert [row["kind"] for row in rows(extract.encounters)] == ([kind] if kind else [])
    assert sum(extract.dropped.values()) == (0 if kind else 1)
    assert len(rows(extract.people)) == (1 if kind else 0)


def test_the_hospitals_own_codes_come_from_the_mapping_file(tmp_path):
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('behavioral_health_types = ["urn:ours|BHU"]')
    resource = STAY | {"type": [concept("urn:ours", "BHU")]}
    (stay,) = rows(read(write_export(tmp_path / "in", encounters=[resource]), mapping).encounters)
    assert stay["kind"] == "psychiatric"


@pytest.mark.parametrize(
    ("hospitalization", "column", "becomes"),
    [
        (
            {"dischargeDisposition": concept(f"{TERMINOLOGY}/discharge-disposition", "aadvice")},
            "disposition",
            "ama",
        ),
        ({"dischargeDisposition": concept(NUBC, "21")}, "disposition", "law_enforcement"),
        ({"dischargeDisposition": concept(NUBC, "1")}, "disposition", "home"),
        ({"dischargeDisposition": concept(f"{TERMINOLOGY}/v2-0112", "65")}, "disposition", "psychiatric"),
        ({"dischargeDisposition": concept(NUBC, "93")}, "disposition", "psychiatric"),
        ({"dischargeDisposition": concept("urn:ours", "gone")}, "disposition", None),
        (
            {"admitSource": concept("https://www.nubc.org/CodeSystem/PointOfOrigin", "8")},
            "admit_origin",
            "law_enforcement",
        ),
        ({"admitSource": concept(f"{TERMINOLOGY}/admit-source", "hosp-trans")}, "admit_origin", "transfer"),
        ({"admitSource": concept(f"{TERMINOLOGY}/admit-source", "gp")}, "admit_origin", "clinic"),
    ],
    ids=str,
)
def test_what_a_hospitalization_becomes(tmp_path, hospitalization, column, becomes):
    (visit,) = encounters(tmp_path, VISIT | {"hospitalization": hospitalization}).values()
    assert visit[column] == becomes


def test_the_police_tell_more_than_the_ambulance_and_the_ambulance_more_than_the_place(tmp_path):
    arrived = {
        "extension": [
            {
                "url": "http://hl7.org/fhir/StructureDefinition/encounter-modeOfArrival",
                "valueCoding": {"code": "A"},
            }
        ]
    }
    point = "https://www.nubc.org/CodeSystem/PointOfOrigin"
    found = encounters(
        tmp_path,
        VISIT | arrived | {"id": "home", "hospitalization": {"admitSource": concept(point, "1")}},
        VISIT | arrived | {"id": "police", "hospitalization": {"admitSource": concept(point, "8")}},
    )
    assert {name: row["admit_origin"] for name, row in found.items()} == {
        "home": "ambulance",
        "police": "law_enforcement",
    }


FROM_ED = {"hospitalization": {"admitSource": concept(f"{TERMINOLOGY}/admit-source", "emd")}}


@pytest.mark.parametrize(
    ("visit", "stay", "disposition"),
    [
        pytest.param(VISIT, STAY, None, id="nothing says that they belong together"),
        pytest.param(
            VISIT,
            STAY | {"partOf": {"reference": "Encounter/e1"}},
            "admitted",
            id="the stay is part of the visit",
        ),
        pytest.param(
            VISIT | {"partOf": {"reference": "Encounter/e2"}},
            STAY,
            "admitted",
            id="the visit is part of the stay",
        ),
        pytest.param(VISIT, STAY | FROM_ED, "admitted", id="the stay came from the ED"),
        pytest.param(VISIT, STAY | FROM_ED | {"class": {"code": "OBSENC"}}, "admitted", id="observation"),
        pytest.param(
            VISIT,
            STAY | FROM_ED | {"period": {"start": "2024-03-04T15:30:00", "end": "2024-03-05T11:00:00"}},
            None,
            id="from the ED, but two days later",
        ),
        pytest.param(
            VISIT, STAY | FROM_ED | {"subject": {"reference": "Patient/p2"}}, None, id="of somebody else"
        ),
    ],
)
def test_an_ed_visit_that_becomes_an_admission_is_admitted(tmp_path, visit, stay, disposition):
    found = encounters(tmp_path, visit, stay)
    assert found["e1"]["disposition"] == disposition
    assert len(found) == 2


def test_an_admission_after_the_window_is_not_told_but_how_the_visit_ended_is(tmp_path):
    late = VISIT | {"period": {"start": "2024-03-31T20:00:00-07:00", "end": "2024-03-31T23:50:00-07:00"}}
    after = STAY | {
        "status": "in-progress",
        "period": {"start": "2024-04-01T00:10:00-07:00"},
        "partOf": {"reference": "Encounter/e1"},
    }
    found = encounters(tmp_path, late, after)
    assert {name: row["disposition"] for name, row in found.items()} == {"e1": "admitted"}


def test_one_encounter_that_changed_class_is_a_visit_and_a_stay(tmp_path):
    history = [
        {
            "class": {"code": "EMER"},
            "period": {"start": "2024-03-02T10:00:00-08:00", "end": "2024-03-02T14:00:00-08:00"},
        },
        {"class": {"code": "IMP"}, "period": {"start": "2024-03-02T14:00:00-08:00"}},
    ]
    whole = STAY | {"period": {"start": "2024-03-02T10:00:00-08:00", "end": "2024-03-05T11:00:00-08:00"}}
    condition = CONDITION | {"encounter": {"reference": "https://ehr.example/fhir/Encounter/e2/_history/3"}}
    found = encounters(tmp_path, whole | {"classHistory": history}, conditions=[condition])
    told = ("kind", "started_at", "ended_at", "disposition", "diagnosis_codes")
    assert [tuple(row[column] for column in told) for row in found.values()] == [
        ("ed", "2024-03-02T10:00:00", "2024-03-02T14:00:00", "admitted", "F20.9"),
        ("inpatient", "2024-03-02T14:00:00", "2024-03-05T11:00:00", None, "F20.9"),
    ]


def test_units_of_a_stay_are_the_stay(tmp_path):
    unit = STAY | {"id": "unit", "partOf": {"reference": "Encounter/e2"}}
    unit |= {"period": {"start": "2024-03-03T00:00:00", "end": "2024-03-04T00:00:00"}}
    extract = read(write_export(tmp_path, encounters=[unit, STAY]))
    assert [row["encounter_id"] for row in rows(extract.encounters)] == ["e2"]
    assert extract.dropped == {"units of a stay that is an encounter of its own": 1}


@pytest.mark.parametrize("status", ["cancelled", "entered-in-error", "planned"])
def test_what_did_not_happen_is_dropped_and_counted(tmp_path, status):
    extract = read(write_export(tmp_path, encounters=[VISIT | {"status": status}]))
    assert not rows(extract.encounters)
    assert sum(extract.dropped.values()) == 1


def test_what_is_open_at_the_end_of_the_window_is_a_patient_still(tmp_path):
    discharged = {"hospitalization": {"dischargeDisposition": concept(NUBC, "21")}}
    found = encounters(
        tmp_path,
        STAY | {"id": "open", "status": "in-progress", "period": {"start": "2024-03-30T10:00:00-07:00"}},
        STAY
        | {"id": "future"}
        | discharged
        | {"period": {"start": "2024-03-30T10:00:00", "end": "2024-04-02"}},
        STAY | {"id": "past", "period": {"start": "2024-02-01T10:00:00", "end": "2024-02-29T23:00:00"}},
    )
    assert {name: (row["ended_at"], row["disposition"]) for name, row in found.items()} == {
        "open": (None, "still_patient"),
        "future": (None, "still_patient"),
    }


def test_a_finished_stay_without_an_end_is_left_out_and_listed(tmp_path):
    extract = read(write_export(tmp_path, encounters=[STAY | {"period": {"start": "2024-03-02"}}]))
    assert not rows(extract.encounters)
    assert list(extract.problems.counts) == [
        ("Encounter.000.ndjson", "period.end", "missing", "row left out"),
    ]


def merged(own: str, other: str, kind: str = "replaced-by", **changes) -> dict:
    return (
        PATIENT | {"id": own, "link": [{"other": {"reference": f"Patient/{other}"}, "type": kind}]} | changes
    )


@pytest.mark.parametrize(
    ("patients", "survivor"),
    [
        pytest.param([merged("p1", "p2"), PATIENT | {"id": "p2"}], "p2", id="replaced by"),
        pytest.param([PATIENT, merged("p2", "p1", "replaces")], "p2", id="replaces"),
        pytest.param([merged("p1", "p2"), merged("p2", "p3"), PATIENT | {"id": "p3"}], "p3", id="twice"),
        pytest.param([merged("p1", "p2"), merged("p2", "p1")], "p1", id="a circle is the smallest id's"),
        pytest.param(
            [merged("p1", "p2", "seealso"), PATIENT | {"id": "p2"}], "p1", id="see also merges nobody"
        ),
    ],
)
def test_encounters_of_a_merged_patient_follow_the_surviving_id(tmp_path, patients, survivor):
    extract = read(write_export(tmp_path, patients=patients))
    assert {row["client_id"] for row in rows(extract.encounters)} == {survivor}
    assert {row["client_id"] for row in rows(extract.people)} == {survivor}


def test_both_identities_of_a_merged_patient_are_people_rows_of_the_survivor(tmp_path):
    other = merged("p1", "p2", name=[{"family": "Canary"}], birthDate="1984-05")
    extract = read(write_export(tmp_path, patients=[other, PATIENT | {"id": "p2"}, PATIENT | {"id": "p3"}]))
    assert [(row["client_id"], row["last_name"], row["birth_date"]) for row in rows(extract.people)] == [
        ("p2", "Canary", "1984-05"),
        ("p2", "Planted-Canary", "1984-05-03"),
    ]


def test_older_names_and_nicknames_are_aliases(tmp_path):
    names = [
        {"use": "nickname", "given": ["Billie"]},
        {"use": "old", "family": "Maiden", "given": ["Wilhelmina"]},
        {"use": "official", "family": "Canary", "given": ["Wilhelmina"]},
    ]
    extract = read(write_export(tmp_path, patients=[PATIENT | {"name": names}]))
    assert [(row["first_name"], row["last_name"]) for row in rows(extract.people)] == [
        ("Wilhelmina", "Canary"),
        ("Wilhelmina", "Maiden"),
        ("Billie", "Canary"),
    ]


@pytest.mark.parametrize(
    ("condition", "codes", "dropped"),
    [
        ({"code": concept("urn:oid:2.16.840.1.113883.6.90", "F10.20")}, "F10.20", 0),
        ({"code": concept("http://snomed.info/sct", "58214004")}, None, 1),
        ({"verificationStatus": concept("urn:x", "entered-in-error")}, None, 1),
        ({"verificationStatus": concept("urn:x", "refuted")}, None, 1),
        ({"encounter": {"reference": "Encounter/other"}}, None, 0),
        ({"encounter": None}, None, 0),
    ],
    ids=str,
)
def test_which_conditions_are_diagnoses_of_an_encounter(tmp_path, condition, codes, dropped):
    extract = read(write_export(tmp_path, conditions=[CONDITION | condition]))
    assert [row["diagnosis_codes"] for row in rows(extract.encounters)] == [codes]
    assert sum(extract.dropped.values()) == dropped


def test_an_encounter_sent_twice_counts_once(tmp_path):
    newer = VISIT | {
        "meta": {"lastUpdated": "2024-03-09"},
        "hospitalization": {"dischargeDisposition": concept(NUBC, "7")},
    }
    older = VISIT | {"meta": {"lastUpdated": "2024-03-08"}}
    assert [row["disposition"] for row in encounters(tmp_path, newer, older).values()] == ["ama"]


def test_utc_is_refused_until_the_countys_zone_is_named(tmp_path):
    folder = write_export(
        tmp_path / "in",
        encounters=[VISIT | {"status": "in-progress", "period": {"start": "2024-03-02T18:00:00Z"}}],
    )
    with pytest.raises(UsageError, match=r"row 1, column period\.start: the time is in UTC"):
        read(folder)
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('time_zone = "America/Los_Angeles"')
    (found,) = rows(read(folder, mapping).encounters)
    assert found["started_at"] == "2024-03-02T10:00:00"


@pytest.mark.parametrize("name", ["Patient", "Encounter", "Condition"])
def test_a_missing_file_is_refused(tmp_path, name):
    write_export(tmp_path)
    (tmp_path / f"{name}.000.ndjson").unlink()
    with pytest.raises(UsageError, match=f"no {name}"):
        read(tmp_path)


def test_lines_that_are_no_resource_are_listed_and_the_rest_is_read(tmp_path):
    folder = write_export(tmp_path)
    path = folder / "Encounter.000.ndjson"
    path.write_bytes(b"{not json\n" + b"[" * 100_000 + b"\n\n\xff\n" + path.read_bytes())
    extract = read(folder)
    assert [row["row_number"] for row in rows(extract.encounters)] == [5]
    assert extract.problems.counts == {("Encounter.000.ndjson", "line", "unreadable", "row left out"): 3}


def test_a_file_of_something_else_is_refused(tmp_path):
    write_export(tmp_path, encounters=[PATIENT])
    with pytest.raises(UsageError, match="no Encounter of FHIR R4"):
        read(tmp_path)


def encoded(raw: Path, landing: Path, month: str, **options) -> pl.DataFrame:
    receipt = encode_extract(
        declared_sources()["hospital"],
        raw,
        month,
        Key("project", bytes(range(32))),
        Key("agency", bytes(range(1, 33))),
        landing,
        **options,
    )
    return pl.read_parquet(receipt.folder / "encounters.parquet")


@pytest.mark.parametrize("month", ["2024-01", "2024-02", "2024-03"])
def test_the_simulated_county_encodes_to_the_same_delivery(tmp_path, month):
    template = TINY_COUNTY / "raw" / "hospital" / month
    people, visits = (
        pl.read_csv(template / f"{name}.csv", infer_schema=False) for name in ("people", "encounters")
    )
    covers_from, covers_to = month_window(month)
    native = tmp_path / "native"
    native.mkdir()
    write_fhir_ndjson(people, visits, native, covers_from=covers_from, covers_to=covers_to)
    expected = encoded(template, tmp_path / "a", month)
    assert encoded(native, tmp_path / "b", month, extract_format="fhir-ndjson").equals(expected)
    clients = [pl.read_parquet(tmp_path / side / "hospital" / month / "people.parquet") for side in "ab"]
    assert clients[1].equals(clients[0])


_ANY_JSON = st.recursive(
    st.none()
    | st.booleans()
    | st.integers()
    | st.floats()
    | st.text(max_size=8)
    | st.just("2024-03-02T10:00:00Z"),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.dictionaries(st.sampled_from(["code", "coding", "id"]), inner, max_size=2)
    ),
    max_leaves=4,
)
FULL = {
    "Patient": [PATIENT | {"link": merged("p1", "p2")["link"]}, PATIENT | {"id": "p2"}],
    "Encounter": [
        VISIT | FROM_ED | {"meta": {"lastUpdated": "x"}, "partOf": {"reference": "Encounter/e2"}},
        STAY
        | {
            "type": [concept("http://www.ama-assn.org/go/cpt", "90837")],
            "classHistory": [{"class": {"code": "EMER"}, "period": VISIT["period"]}],
        },
    ],
    "Condition": [CONDITION | {"verificationStatus": concept("urn:x", "confirmed")}],
}


def paths_in(value, path=()):
    yield path
    parts = value.items() if isinstance(value, dict) else enumerate(value) if isinstance(value, list) else ()
    for key, part in parts:
        yield from paths_in(part, (*path, key))


def replaced(value, path, by):
    if not path:
        return by
    copy = dict(value) if isinstance(value, dict) else list(value)
    copy[path[0]] = replaced(value[path[0]], path[1:], by)
    return copy


@settings(max_examples=60, deadline=None)
@given(
    st.sampled_from([(name, path) for name, all_of in FULL.items() for path in paths_in(all_of) if path]),
    _ANY_JSON,
)
def test_any_value_in_any_place_is_a_sentence_or_a_delivery(place, value):
    name, path = place
    export = FULL | {name: replaced(FULL[name], path, value)}
    with tempfile.TemporaryDirectory() as folder:
        write_export(Path(folder), export["Patient"], export["Encounter"], export["Condition"])
        said = ""
        try:
            encoded(Path(folder), Path(folder) / "out", "2024-03", extract_format="fhir-ndjson")
        except UsageError as error:
            said = str(error)
    assert not [value for value in PLANTED if value in said]
