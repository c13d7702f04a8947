"""HUD HMIS CSV: what is read, what is dropped on purpose, and what is refused."""

import shutil
from pathlib import Path

import pytest

from linkage.errors import UsageError
from tests.linkage.formats.small_exports import (
    CLIENT,
    ENROLLMENT,
    EXPORT,
    PROJECTS,
    read_hmis,
    rows_of,
    write_hmis,
)


def only_person(folder: Path, version: str = "2026", **client: str) -> dict:
    export = EXPORT | {"CSVVersion": f"FY{version} v1"}
    write_hmis(folder, version, Client=[CLIENT | client], Export=[export])
    (person,) = rows_of(read_hmis(folder).people)
    return person


@pytest.mark.parametrize(
    ("given", "quality", "read", "why"),
    [
        ("123456780", "1", "123456780", "full"),
        ("123-45-6780", "1", "123456780", "hyphens are no part of it"),
        ("xxxxx6780", "2", "XXXXX6780", "PATH, CoC and ESG projects collect the last four"),
        ("123456780", "2", "XXXXX6780", "approximate: only the last four are trusted"),
        ("12345xxxx", "2", None, "the last four are not there"),
        ("123456780", "8", None, "client does not know"),
        ("123456780", "99", None, "not collected"),
        ("123456780", "", None, "no code says nothing"),
    ],
)
def test_ssn_by_its_data_quality(tmp_path, given, quality, read, why):
    assert only_person(tmp_path, SSN=given, SSNDataQuality=quality).get("ssn") == read, why


@pytest.mark.parametrize(
    ("quality", "read", "why"),
    [
        ("1", "1984-05-03", "full"),
        ("2", "1984", "approximate or partial: the year alone is meant"),
        ("9", None, "prefers not to answer"),
        ("", None, "no code says nothing"),
    ],
)
def test_birth_date_by_its_data_quality(tmp_path, quality, read, why):
    assert only_person(tmp_path, DOBDataQuality=quality).get("birth_date") == read, why


@pytest.mark.parametrize(("quality", "is_kept"), [("1", True), ("2", True), ("8", False), ("99", False)])
def test_names_by_their_data_quality(tmp_path, quality, is_kept):
    person = only_person(tmp_path, NameDataQuality=quality)
    assert ("first_name" in person, "last_name" in person) == (is_kept, is_kept)


@pytest.mark.parametrize(("code", "sex"), [("0", "F"), ("1", "M"), ("8", "U"), ("99", "U"), ("", "U")])
def test_sex_of_fy2026(tmp_path, code, sex):
    assert only_person(tmp_path, Sex=code)["sex"] == sex


@pytest.mark.parametrize(
    ("genders", "sex"),
    [
        (("Woman",), "F"),
        (("Man",), "M"),
        (("Man", "Transgender"), "M"),
        (("NonBinary",), "X"),
        (("Woman", "NonBinary"), "X"),
        (("Woman", "Man"), "X"),
        (("Questioning",), "U"),
        ((), "U"),
    ],
)
def test_sex_of_fy2024_comes_from_its_gender_columns(tmp_path, genders, sex):
    client = {column: value for column, value in CLIENT.items() if column != "Sex"}
    export = EXPORT | {"CSVVersion": "2024 v1.5"}
    write_hmis(tmp_path, "2024", Client=[client | dict.fromkeys(genders, "1")], Export=[export])
    assert rows_of(read_hmis(tmp_path).people)[0]["sex"] == sex


def test_race_flags_become_the_categories_of_omb(tmp_path):
    assert only_person(tmp_path, MidEastNAfrican="1", BlackAfAmerican="99")["race_ethnicity"] == (
        "asian;middle_eastern_north_african;white"
    )


@pytest.mark.parametrize(
    ("code", "group"),
    [
        ("101", "homeless"), ("116", "homeless"), ("118", "homeless"), ("204", "psychiatric_hospital"),
        ("205", "treatment"), ("206", "hospital"), ("207", "jail"), ("215", "institutional"),
        ("225", "institutional"), ("302", "temporary"), ("410", "permanent"), ("435", "permanent"),
        ("24", "deceased"), ("8", "unknown"), ("17", "unknown"), ("30", "unknown"), ("99", "unknown"), ("", None),
    ],
)  # fmt: skip
def test_destinations(tmp_path, code, group):
    leaving = {"EnrollmentID": "e1", "PersonalID": "c1", "ExitDate": "2026-03-09", "Destination": code}
    write_hmis(tmp_path, Exit=[leaving])
    (stay,) = rows_of(read_hmis(tmp_path).encounters)
    assert (stay["ended_at"], stay.get("destination")) == ("2026-03-09", group)


@pytest.mark.parametrize(
    ("project", "extra", "expected", "why"),
    [
        ("p0", {}, ("es_entry_exit", "2026-03-02"), "entry-exit shelter"),
        ("p2", {}, ("transitional", "2026-03-02"), "transitional housing"),
        ("p8", {}, ("safe_haven", "2026-03-02"), "safe haven"),
        ("p3", {"MoveInDate": "2026-03-20"}, ("permanent_supportive", "2026-03-20"), "housed from the move"),
        ("p13", {"MoveInDate": "2026-03-20"}, ("rapid_rehousing", "2026-03-20"), "housed from the move"),
        ("p3", {}, None, "enrolled and not yet housed"),
        ("p3", {"MoveInDate": "2026-04-20"}, None, "moves after the window"),
        ("p1", {}, None, "night by night: only bed nights count"),
        ("p4", {}, None, "street outreach: only contacts count"),
        ("p6", {}, None, "services only"),
        ("p11", {}, None, "day shelter"),
        ("p77", {}, None, "a project that the export does not have"),
    ],
)
def test_stays_by_project_type(tmp_path, project, extra, expected, why):
    write_hmis(tmp_path, Enrollment=[ENROLLMENT | {"ProjectID": project} | extra])
    read = [(row["project_type"], row["started_at"]) for row in rows_of(read_hmis(tmp_path).encounters)]
    assert read == ([expected] if expected else []), why


def test_night_by_night_shelters_count_bed_nights_alone(tmp_path):
    services = [
        {"ServicesID": "s1", "EnrollmentID": "e1", "DateProvided": "2026-03-05", "RecordType": "200"},
        {"ServicesID": "s2", "EnrollmentID": "e1", "DateProvided": "2026-03-06", "RecordType": "141"},
        {"ServicesID": "s3", "EnrollmentID": "e2", "DateProvided": "2026-03-05", "RecordType": "200"},
        {"ServicesID": "s4", "EnrollmentID": "e1", "DateProvided": "2026-03-31", "RecordType": "200"},
        {"ServicesID": "s5", "EnrollmentID": "e9", "DateProvided": "2026-03-31", "RecordType": "200"},
    ]
    enrollments = [
        ENROLLMENT | {"ProjectID": "p1"},
        ENROLLMENT | {"EnrollmentID": "e2", "EntryDate": "2026-02-01"},
    ]
    write_hmis(tmp_path, Enrollment=enrollments, Services=services)
    extract = read_hmis(tmp_path)
    read = [
        (row["encounter_id"], row["started_at"], row.get("ended_at")) for row in rows_of(extract.encounters)
    ]
    assert read == [
        ("enrollment-e2", "2026-02-01", None),
        ("service-s1", "2026-03-05", "2026-03-06"),
        ("service-s4", "2026-03-31", None),  # its end is the day after the window
    ]
    assert extract.dropped["Services: rows that are no bed nights"] == 1
    assert extract.dropped["Services: bed nights of projects that are not night-by-night shelters"] == 1


def test_outreach_contacts_come_from_current_living_situation(tmp_path):
    contacts = [
        {"CurrentLivingSitID": "k1", "EnrollmentID": "e1", "InformationDate": "2026-03-05"},
        {"CurrentLivingSitID": "k2", "EnrollmentID": "e1", "InformationDate": "2026-02-28"},
        {"CurrentLivingSitID": "k3", "EnrollmentID": "e2", "InformationDate": "2026-03-05"},
    ]
    enrollments = [
        ENROLLMENT | {"ProjectID": "p4"},
        ENROLLMENT | {"EnrollmentID": "e2", "ProjectID": "p6"},
    ]
    write_hmis(tmp_path, Enrollment=enrollments, CurrentLivingSituation=contacts)
    (contact,) = rows_of(read_hmis(tmp_path).encounters)
    assert (contact["encounter_id"], contact["kind"]) == ("contact-k1", "outreach_contact")


def test_what_is_deleted_at_the_source_becomes_a_retraction(tmp_path):
    gone = {"DateDeleted": "2026-03-30 10:00:00"}
    night = {"EnrollmentID": "e4", "DateProvided": "2026-03-05", "RecordType": "200"}
    write_hmis(
        tmp_path,
        Client=[CLIENT, CLIENT | {"PersonalID": "c2"} | gone],
        Enrollment=[
            ENROLLMENT,
            ENROLLMENT | {"EnrollmentID": "e2"} | gone,
            ENROLLMENT | {"EnrollmentID": "e3", "PersonalID": "c2"},
            ENROLLMENT | {"EnrollmentID": "e4", "ProjectID": "p1"},
        ],
        Exit=[{"EnrollmentID": "e1", "ExitDate": "2026-03-09", "Destination": "207"} | gone],
        Services=[night | {"ServicesID": "s1"} | gone, night | {"ServicesID": "s2"}],
    )
    extract = read_hmis(tmp_path)
    assert extract.retractions.client_ids == ("c2",)
    assert extract.retractions.encounter_ids == ("enrollment-e2", "service-s1")
    read = {row["encounter_id"]: row.get("ended_at") for row in rows_of(extract.encounters)}
    assert read == {"enrollment-e1": None, "service-s2": "2026-03-06"}, "a deleted exit is no exit"
    assert [row["client_id"] for row in rows_of(extract.people)] == ["c1"]


@pytest.mark.parametrize(
    ("condition", "disability", "read", "why"),
    [
        ("1", {}, "true", "as recorded"),
        ("0", {"DisabilityType": "9", "DisabilityResponse": "1"}, "false", "as recorded at entry"),
        ("99", {"DisabilityType": "9", "DisabilityResponse": "1"}, "true", "mental health that impairs"),
        ("99", {"DisabilityType": "10", "DisabilityResponse": "3"}, "true", "alcohol and drugs"),
        ("99", {"DisabilityType": "9", "DisabilityResponse": "1", "IndefiniteAndImpairs": "0"}, None, "for a while"),
        ("99", {"DisabilityType": "8", "DisabilityResponse": "1"}, None, "HIV is never read"),
        ("99", {}, None, "not collected"),
    ],
)  # fmt: skip
def test_disabling_condition_and_never_hiv(tmp_path, condition, disability, read, why):
    answer = {"EnrollmentID": "e1", "IndefiniteAndImpairs": "1"} | disability
    write_hmis(
        tmp_path,
        Enrollment=[ENROLLMENT | {"DisablingCondition": condition}],
        Disabilities=[answer] if disability else [],
    )
    (stay,) = rows_of(read_hmis(tmp_path).encounters)
    assert stay.get("disabling_condition") == read, why


def test_health_and_domestic_violence_is_never_opened(tmp_path):
    write_hmis(tmp_path)
    (tmp_path / "HealthAndDV.csv").write_bytes(b"\xff\xfe not even text \x00")
    assert len(rows_of(read_hmis(tmp_path).encounters)) == 1


def test_the_archive_reads_like_the_folder(tmp_path):
    folder = write_hmis(tmp_path / "export")
    archive = Path(shutil.make_archive(str(tmp_path / "export"), "zip", tmp_path, "export"))
    assert rows_of(read_hmis(archive).encounters) == rows_of(read_hmis(folder).encounters)


def test_rows_that_cannot_be_used_are_listed_by_row(tmp_path):
    write_hmis(
        tmp_path, Enrollment=[ENROLLMENT, ENROLLMENT, ENROLLMENT | {"EnrollmentID": "e2", "ProjectID": "x"}]
    )
    listed = {(each.file, each.row, each.column, each.rule) for each in read_hmis(tmp_path).problems.listed}
    assert listed == {
        ("Enrollment.csv", 2, "EnrollmentID", "repeated_id"),
        ("Enrollment.csv", 3, "ProjectID", "unknown_project"),
    }


@pytest.mark.parametrize(
    ("export", "names"),
    [
        ([EXPORT | {"HashStatus": "4"}], "HashStatus"),
        ([EXPORT | {"HashStatus": "2"}], "HashStatus"),
        ([EXPORT | {"HashStatus": ""}], "HashStatus"),
        ([EXPORT | {"CSVVersion": "FY2022 v1.3"}], "CSVVersion"),
        ([EXPORT | {"CSVVersion": ""}], "CSVVersion"),
        ([EXPORT | {"ExportStartDate": "2026-03-02"}], "does not cover"),
        ([EXPORT | {"ExportEndDate": "2026-03-30"}], "does not cover"),
        ([EXPORT | {"ExportEndDate": "soon"}], "ExportEndDate"),
        ([EXPORT, EXPORT], "exactly one row"),
        ([], "exactly one row"),
    ],
)
def test_an_export_that_cannot_be_meant_is_refused(tmp_path, export, names):
    write_hmis(tmp_path, Export=export)
    with pytest.raises(UsageError, match=names):
        read_hmis(tmp_path)


def test_a_hashed_export_is_refused_with_what_to_export_instead(tmp_path):
    write_hmis(tmp_path, Export=[EXPORT | {"HashStatus": "4"}])
    with pytest.raises(UsageError, match="export HashStatus 1"):
        read_hmis(tmp_path)


def test_files_of_two_exports_are_refused(tmp_path):
    write_hmis(tmp_path, Project=[project | {"ExportID": "E0"} for project in PROJECTS])
    with pytest.raises(UsageError, match=r"Project\.csv, row 1, column ExportID"):
        read_hmis(tmp_path)


def test_a_file_that_was_cut_short_is_refused(tmp_path):
    write_hmis(tmp_path)
    path = tmp_path / "Client.csv"
    path.write_text(path.read_text().rstrip()[:-4])
    with pytest.raises(UsageError, match=r"Client\.csv, row 1"):
        read_hmis(tmp_path)


@pytest.mark.parametrize("encoding", ["utf-16", "utf-16-le", "cp1252"])
def test_another_encoding_is_refused(tmp_path, encoding):
    write_hmis(tmp_path, Client=[CLIENT | {"FirstName": "Renée"}])
    path = tmp_path / "Client.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode(encoding))
    with pytest.raises(UsageError, match=r"Client\.csv"):
        read_hmis(tmp_path)


def test_a_byte_order_mark_is_no_part_of_the_first_column(tmp_path):
    write_hmis(tmp_path)
    path = tmp_path / "Client.csv"
    path.write_bytes(b"\xef\xbb\xbf" + path.read_bytes())
    assert len(rows_of(read_hmis(tmp_path).people)) == 1


@pytest.mark.parametrize(
    ("column", "code", "says"),
    [
        ("ExportDirective", "1", "only what changed since the one before it"),
        ("ExportPeriodType", "1", "only what was entered or changed in its period"),
    ],
)
def test_a_part_of_the_rows_is_refused(tmp_path, column, code, says):
    write_hmis(tmp_path, Export=[EXPORT | {column: code}])
    with pytest.raises(UsageError, match=says) as refused:
        read_hmis(tmp_path)
    assert f"row 1, column {column}" in str(refused.value)
    assert "full refresh (ExportDirective 2)" in str(refused.value)


@pytest.mark.parametrize("period_type", ["2", "3", "4", ""])
def test_a_full_refresh_is_read(tmp_path, period_type):
    write_hmis(tmp_path, Export=[EXPORT | {"ExportDirective": "2", "ExportPeriodType": period_type}])
    assert rows_of(read_hmis(tmp_path).encounters)


def test_a_bed_night_is_repeated_only_within_the_window(tmp_path):
    night = {"EnrollmentID": "e1", "RecordType": "200", "ServicesID": "s1"}
    write_hmis(
        tmp_path,
        Enrollment=[ENROLLMENT | {"ProjectID": "p1"}],
        Services=[night | {"DateProvided": day} for day in ("2026-01-05", "2026-03-05", "2026-03-06")],
    )
    extract = read_hmis(tmp_path)
    assert [row["started_at"] for row in rows_of(extract.encounters)] == ["2026-03-05"]
    assert list(extract.problems.counts) == [("Services.csv", "ServicesID", "repeated_id", "row left out")]
