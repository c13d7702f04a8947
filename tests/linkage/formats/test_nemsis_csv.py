"""NEMSIS CSV: which elements become what, which reports count once, and what no report may say in an error."""

import csv
from pathlib import Path

import polars as pl
import pytest

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS, raw_encounter_columns
from linkage.encoding.delivery import encode_extract
from linkage.encoding.formats import TemplateExtract, native_format
from linkage.encoding.keys import Key
from linkage.encoding.months import month_window
from linkage.errors import UsageError
from linkage.source import declared_sources
from sample_data.native.nemsis_csv import write_nemsis_csv
from sample_data.tiny_county import TINY_COUNTY

MARCH = month_window("2024-03")
REPORT = {
    "eRecord.01": "R1",
    "eResponse.03": "I1",
    "eResponse.05": "2205001",
    "eDispatch.01": "2301051",
    "ePatient.01": "",
    "ePatient.02": "Planted-Canary",
    "ePatient.03": "Wilhelmina",
    "ePatient.04": "Q",
    "ePatient.09": "98101",
    "ePatient.12": "123456780",
    "ePatient.13": "",
    "ePatient.14": "2514011",
    "ePatient.17": "1984-05-03",
    "ePatient.22": "",
    "ePatient.23": "",
    "ePatient.25": "9919001",
    "eTimes.01": "2024-03-02T09:58:00-08:00",
    "eTimes.03": "2024-03-02T10:00:00-08:00",
    "eTimes.12": "2024-03-02T10:40:00-08:00",
    "eTimes.13": "2024-03-02T11:00:00-08:00",
    "eSituation.08": "",
    "eSituation.11": "K70.30",
    "eSituation.12": "",
    "eSituation.20": "",
    "eProtocols.01": "",
    "eMedications.03": "",
    "eDisposition.21": "4221003",
    "eDisposition.27": "4227001",
    "eDisposition.30": "4230001",
    "eDisposition.31": "",
}
PLANTED = ("Wilhelmina", "Planted", "Canary", "1984-05-03", "123456780", "R1", "K70.30")


def write_reports(folder: Path, *reports: dict[str, str]) -> Path:
    """An export with one line per report; what a report leaves out is as in REPORT."""
    folder.mkdir(parents=True, exist_ok=True)
    columns = list(dict.fromkeys(element for report in (REPORT, *reports) for element in report))
    with (folder / "export.csv").open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns)
        writer.writeheader()
        writer.writerows(REPORT | report for report in reports)
    return folder


def read(folder: Path, mapping: Path | None = None) -> TemplateExtract:
    return native_format("nemsis-csv").read(folder, covers_from=MARCH[0], covers_to=MARCH[1], mapping=mapping)


def rows(tables) -> list[dict]:
    return [row for table in tables for batch in table.batches() for row in batch.iter_rows(named=True)]


def encounter(tmp_path: Path, **elements: str) -> dict:
    """The one encounter that a report becomes; elements written with an underscore."""
    report = {element.replace("_", "."): value for element, value in elements.items()}
    (found,) = rows(read(write_reports(tmp_path, report)).encounters)
    return found


def test_a_report_becomes_one_person_and_one_response(tmp_path):
    extract = read(write_reports(tmp_path, {}))
    (person,), (response,) = rows(extract.people), rows(extract.encounters)
    assert tuple(person) == ("row_number", *RAW_PEOPLE_COLUMNS)
    assert tuple(response) == ("row_number", *raw_encounter_columns(declared_sources()["ems"]))
    assert person == {
        "row_number": 1,
        "client_id": "R1",
        "first_name": "Wilhelmina",
        "middle_name": "Q",
        "last_name": "Planted-Canary",
        "name_suffix": None,
        "birth_date": "1984-05-03",
        "sex": "F",
        "race_ethnicity": "white",
        "ssn": "123456780",
        "zip": "98101",
    }
    assert response == {
        "row_number": 1,
        "encounter_id": "R1",
        "client_id": "R1",
        "kind": "response",
        "started_at": "2024-03-02T10:00:00",
        "ended_at": "2024-03-02T10:40:00",
        "service_requested": "emergency",
        "patient_contact": "true",
        "transported": "true",
        "destination_type": "hospital_ed",
        "impression_codes": "K70.30",
        "released_to_law_enforcement": "false",
    }
    assert not extract.dropped
    assert not extract.problems.counts


@pytest.mark.parametrize(
    ("element", "written", "column", "becomes"),
    [
        pytest.param(
            "eResponse_05",
            "2205005",
            "service_requested",
            "interfacility_transfer",
            id="hospital to hospital",
        ),
        pytest.param(
            "eResponse_05",
            "2205019",
            "service_requested",
            "interfacility_transfer",
            id="facility to hospital",
        ),
        pytest.param(
            "eResponse_05", "2205007", "service_requested", "other_transport", id="routine transport"
        ),
        pytest.param(
            "eResponse_05", "Mutual Aid (2205009)", "service_requested", "mutual_aid", id="label and code"
        ),
        pytest.param("eResponse_05", "2205031", "service_requested", "mobile_integrated_health", id="MIH"),
        pytest.param("eResponse_05", "7701003", "service_requested", None, id="service not recorded"),
        pytest.param("eDisposition_27", "4227005", "patient_contact", "false", id="cancelled"),
        pytest.param("eDisposition_27", "4227009", "patient_contact", "false", id="nobody found"),
        pytest.param("eDisposition_27", "", "patient_contact", None, id="contact unknown"),
        pytest.param("eDisposition_30", "4230007", "transported", "true", id="another unit, our medic"),
        pytest.param("eDisposition_30", "4230009", "transported", "false", id="refused transport"),
        pytest.param("eDisposition_30", "4230011", "transported", "false", id="non-patient transport"),
        pytest.param(
            "eDisposition_21", "4221023", "destination_type", "freestanding_ed", id="freestanding ED"
        ),
        pytest.param("eDisposition_21", "4221019", "destination_type", "jail", id="jail"),
        pytest.param(
            "eDisposition_21", "4221031", "destination_type", "mental_health_facility", id="mental health"
        ),
        pytest.param("eDisposition_21", "4221037", "destination_type", "other", id="physical rehabilitation"),
        pytest.param("eDisposition_21", "Not Applicable", "destination_type", None, id="NOT value in words"),
        pytest.param(
            "eDisposition_31", "4231001|4231007", "released_to_law_enforcement", "true", id="to the police"
        ),
        pytest.param(
            "eDisposition_31", "4231001", "released_to_law_enforcement", "false", id="against advice"
        ),
        pytest.param("eTimes_03", "", "started_at", "2024-03-02T09:58:00", id="no dispatch time: the call's"),
        pytest.param(
            "eTimes_12", "7701003", "ended_at", "2024-03-02T11:00:00", id="no handover: back in service"
        ),
        pytest.param("ePatient_01", "P9", "client_id", "P9", id="a patient id, if there is one"),
    ],
)
def test_what_an_element_becomes(tmp_path, element, written, column, becomes):
    assert encounter(tmp_path, **{element: written})[column] == becomes


@pytest.mark.parametrize(
    ("elements", "column", "becomes"),
    [
        ({"ePatient.25": "", "ePatient.13": "9906003"}, "sex", "M"),
        ({"ePatient.25": "9919005", "ePatient.13": "9906003"}, "sex", "U"),
        ({"ePatient.25": "8801019", "ePatient.13": "9906011"}, "sex", "X"),
        ({"ePatient.25": "7701003"}, "sex", None),
        ({"ePatient.14": "2514005;2514007"}, "race_ethnicity", "black_african_american;hispanic_latino"),
        ({"ePatient.14": "7701003"}, "race_ethnicity", None),
        ({"ePatient.02": "8801019"}, "last_name", None),
        ({"ePatient.03": "UnableToComplete"}, "first_name", None),
        ({"ePatient.03": "Refused"}, "first_name", None),
        ({"ePatient.03": "Not Recorded (7701003)"}, "first_name", None),
        ({"ePatient.02": "Refuse"}, "last_name", "Refuse"),
        ({"ePatient.17": "1984-05-03-08:00"}, "birth_date", "1984-05-03"),
        ({"ePatient.17": "7701001"}, "birth_date", None),
    ],
    ids=str,
)
def test_what_a_person_becomes(tmp_path, elements, column, becomes):
    (person,) = rows(read(write_reports(tmp_path, elements)).people)
    assert person[column] == becomes


@pytest.mark.parametrize(
    ("elements", "codes"),
    [
        pytest.param({"eSituation_12": "F20.9|r45.851"}, "K70.30;F20.9;R45.851", id="secondary impressions"),
        pytest.param(
            {"eSituation_11": "Alcohol dependence, uncomplicated (F10.20)"}, "F10.20", id="label and code"
        ),
        pytest.param({"eSituation_11": "F1020,F209"}, "F1020;F209", id="without dots"),
        pytest.param({"eMedications_03": "7242"}, "K70.30", id="naloxone alone is not an overdose"),
        pytest.param(
            {"eDispatch_01": "2301053"}, "K70.30", id="an overdose call: the crew's impression outranks it"
        ),
        pytest.param(
            {"eDispatch_01": "2301053", "eMedications_03": "313002, 7242"},
            "K70.30;T50.904A",
            id="and naloxone",
        ),
        pytest.param(
            {"eDispatch_01": "2301053", "eSituation_11": "7701003"}, "T50.904A", id="and no impression"
        ),
        pytest.param({"eProtocols_01": "9914075;9914219"}, "K70.30;T40.604A", id="opioid protocol"),
        pytest.param({"eProtocols_01": "9914225"}, "K70.30;T43.604A", id="stimulant protocol"),
        pytest.param(
            {"eProtocols_01": "9914219", "eSituation_11": "T40.1X1A"},
            "T40.1X1A",
            id="the crew said it better",
        ),
        pytest.param({"eDispatch_01": "2301059"}, "K70.30;R46.89", id="psychiatric call"),
        pytest.param({"eSituation_08": "2808001"}, "K70.30;R46.89", id="psychiatric organ system"),
        pytest.param({"eProtocols_01": "9914053"}, "K70.30;R46.89", id="behavioral protocol"),
        pytest.param({"eSituation_20": "2820023"}, "K70.30;R46.89", id="psychiatric transfer"),
        pytest.param({"ePatient_22": "2522001"}, "K70.30;Z59.00", id="homeless"),
        pytest.param({"ePatient_22": "2522001", "eSituation_11": "Z59.02"}, "Z59.02", id="homeless already"),
        pytest.param(
            {"eDispatch_01": "2301053", "eSituation_11": "", "eDisposition_27": "4227009"},
            None,
            id="nobody was met",
        ),
    ],
)
def test_which_codes_a_report_raises(tmp_path, elements, codes):
    assert encounter(tmp_path, **elements)["impression_codes"] == codes


def test_two_units_on_one_incident_are_one_response(tmp_path):
    extract = read(
        write_reports(
            tmp_path,
            {"eRecord.01": "engine", "eDisposition.30": "4230005", "eTimes.03": "2024-03-02T09:59:00-08:00"},
            {"eRecord.01": "ambulance"},
            {"eRecord.01": "another patient", "ePatient.03": "Bystander"},
            {"eRecord.01": "next year's number", "eTimes.03": "2024-03-09T09:59:00-08:00", "eTimes.12": ""},
        )
    )
    kept = ["ambulance", "another patient", "next year's number"]
    assert [row["encounter_id"] for row in rows(extract.encounters)] == kept
    assert {row["client_id"] for row in rows(extract.people)} == {
        "ambulance",
        "another patient",
        "next year's number",
    }
    assert extract.dropped == {"reports of further units on one response": 1}


def test_unnamed_patients_of_one_incident_stay_apart(tmp_path):
    unnamed = {"ePatient.02": "8801023", "ePatient.03": "8801023"}
    extract = read(write_reports(tmp_path, {"eRecord.01": "a"} | unnamed, {"eRecord.01": "b"} | unnamed))
    assert len(rows(extract.encounters)) == 2


def test_a_report_sent_again_counts_once(tmp_path):
    extract = read(write_reports(tmp_path, {"eDisposition.21": "4221001"}, {"eDisposition.21": "4221007"}))
    assert [row["destination_type"] for row in rows(extract.encounters)] == ["clinic"]
    assert extract.dropped == {"older versions of a patient care report": 1}


def test_services_without_a_patient_are_dropped_and_counted(tmp_path):
    extract = read(write_reports(tmp_path, {}, {"eRecord.01": "R2", "eResponse.05": "2205027"}))
    assert len(rows(extract.encounters)) == len(rows(extract.people)) == 1
    assert sum(extract.dropped.values()) == 1


@pytest.mark.parametrize(
    ("began", "over", "is_in", "ends"),
    [
        ("2024-02-29T23:50:00-08:00", "2024-03-01T00:10:00-08:00", True, "2024-03-01T00:10:00"),
        ("2024-02-29T22:00:00-08:00", "2024-02-29T23:00:00-08:00", False, None),
        ("2024-03-31T23:50:00-07:00", "2024-04-01T00:10:00-07:00", True, None),
        ("2024-04-01T00:00:00-07:00", "2024-04-01T00:10:00-07:00", False, None),
        ("2024-02-02T22:00:00-08:00", "", False, None),
    ],
)
def test_only_responses_that_touch_the_window_are_read(tmp_path, began, over, is_in, ends):
    found = rows(
        read(write_reports(tmp_path, {"eTimes.03": began, "eTimes.12": over, "eTimes.13": over})).encounters
    )
    assert [row["ended_at"] for row in found] == ([ends] if is_in else [])


def test_utc_is_refused_until_the_countys_zone_is_named(tmp_path):
    folder = write_reports(tmp_path / "in", {"eTimes.03": "2024-03-02T18:00:00Z"})
    with pytest.raises(UsageError, match=r"row 1, column eTimes\.03: the time is in UTC"):
        read(folder)
    mapping = tmp_path / "mapping.toml"
    mapping.write_text('time_zone = "America/Los_Angeles"')
    (found,) = rows(read(folder, mapping).encounters)
    assert found["started_at"] == "2024-03-02T10:00:00"


@pytest.mark.parametrize("text", ["time_zone = 7", 'time_zone = "Mars/Base"', 'zone = "x"', "not toml"])
def test_a_wrong_mapping_file_is_a_sentence(tmp_path, text):
    mapping = tmp_path / "mapping.toml"
    mapping.write_text(text)
    with pytest.raises(UsageError, match="mapping"):
        read(write_reports(tmp_path, {}), mapping)


def test_an_unknown_code_is_listed_by_its_element(tmp_path):
    extract = read(write_reports(tmp_path, {"eDisposition.21": "Planted-Canary", "ePatient.25": "1234567"}))
    assert set(extract.problems.counts) == {
        ("export.csv", "eDisposition.21", "unknown_code", "value left empty"),
        ("export.csv", "ePatient.25", "unknown_code", "value left empty"),
    }


@pytest.mark.parametrize(
    ("header", "says"),
    [
        ("eRecord.01,ePatient.02", "lacks the elements eResponse.05"),
        ("Name,Born", "lacks the elements eRecord.01"),
        ("eRecord.01,eDisposition.12", "NEMSIS 3.4"),
        (",".join([*REPORT, "ePatient_02"]), "ePatient.02 in two columns"),
        ("", "lacks the elements eRecord.01"),
    ],
)
def test_what_is_no_such_export_is_refused(tmp_path, header, says):
    (tmp_path / "export.csv").write_text(header)
    with pytest.raises(UsageError, match=says):
        read(tmp_path)


def test_an_empty_folder_is_refused(tmp_path):
    with pytest.raises(UsageError, match="no CSV file"):
        read(tmp_path)


def test_headings_may_carry_labels_and_other_columns_are_not_read(tmp_path):
    folder = write_reports(tmp_path, {})
    lines = (folder / "export.csv").read_text().splitlines()
    header = ",".join(f"Patient Care ({element})" for element in lines[0].split(","))
    (folder / "export.csv").write_text(
        f"{header},ePatient.02.PN,eNarrative.01\n{lines[1]},8801019,free text\n"
    )
    extract = read(folder / "export.csv")
    (person,) = rows(extract.people)
    assert person["last_name"] == "Planted-Canary"
    assert [table.other_columns for table in extract.people] == [2]


def encoded(raw: Path, landing: Path, month: str, **options) -> pl.DataFrame:
    receipt = encode_extract(
        declared_sources()["ems"],
        raw,
        month,
        Key("project", bytes(range(32))),
        Key("agency", bytes(range(1, 33))),
        landing,
        **options,
    )
    return pl.read_parquet(receipt.folder / "encounters.parquet")


@pytest.mark.parametrize("month", ["2024-01", "2024-02", "2024-03"])
def test_the_simulated_county_encodes_to_the_same_encounters(tmp_path, month):
    template = TINY_COUNTY / "raw" / "ems" / month
    people, encounters = (
        pl.read_csv(template / f"{name}.csv", infer_schema=False) for name in ("people", "encounters")
    )
    covers_from, covers_to = month_window(month)
    native = tmp_path / "native"
    native.mkdir()
    write_nemsis_csv(people, encounters, native, covers_from=covers_from, covers_to=covers_to)
    expected = encoded(template, tmp_path / "a", month)
    assert encoded(native, tmp_path / "b", month, extract_format="nemsis-csv").equals(expected)
