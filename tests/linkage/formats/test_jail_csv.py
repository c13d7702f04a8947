"""Jail CSV: bookings by location, aliases, charges, the screen, and a mapping file that has to be right."""

from pathlib import Path

import pytest

from linkage.encoding.formats import TemplateExtract, native_format
from linkage.errors import UsageError
from tests.linkage.formats.small_exports import WINDOW, rows_of, write_csv

ITEMS = tuple(f"q{item}" for item in range(1, 9))
BOOKING_COLUMNS = (
    "booking", "person", "in", "out", "name", "dob", "sex", "race", "eth", "ssn", "reason", "release", *ITEMS,
    "referred",
)  # fmt: skip
ALIAS_COLUMNS = ("person", "alias", "alias_dob")
CHARGE_COLUMNS = ("booking", "class")

MAPPING = """
[dates]
timestamp = ["%m/%d/%Y %H:%M"]
date = "%m/%d/%Y"

[bookings]
file = "bookings.csv"
[bookings.columns]
booking_id = "booking"
client_id = "person"
started_at = "in"
ended_at = "out"
full_name = "name"
birth_date = "dob"
sex = "sex"
race = "race"
ethnicity = "eth"
ssn = "ssn"
booking_reason = "reason"
release_reason = "release"
bjmhs_1 = "q1"
bjmhs_2 = "q2"
bjmhs_3 = "q3"
bjmhs_4 = "q4"
bjmhs_5 = "q5"
bjmhs_6 = "q6"
bjmhs_7 = "q7"
bjmhs_8 = "q8"
bjmhs_referral = "referred"

[aliases]
file = "aliases.csv"
[aliases.columns]
client_id = "person"
full_name = "alias"
birth_date = "alias_dob"

[charges]
file = "charges.csv"
[charges.columns]
booking_id = "booking"
charge_class = "class"

[codes.booking_reason]
"New" = "new_charge"
"FTA" = "warrant_fta"
"n/a" = ""
[codes.charge_class]
Felony = "F"
Misdemeanor = "M"
[codes.race]
W = "white"
B = "black_african_american"
[codes.ethnicity]
H = "hispanic_latino"
N = ""
"""

BOOKING = {
    "booking": "b1",
    "person": "p1",
    "in": "03/02/2026 08:15",
    "out": "03/04/2026 10:00",
    "name": "CANARY, Wilhelmina Q",
    "dob": "05/03/1984",
    "sex": "f",
    "race": "W",
    "eth": "H",
    "ssn": "123-45-6780",
    "reason": "New",
}


def read_jail(
    folder: Path,
    bookings: list[dict],
    *,
    aliases: list[dict] | None = None,
    charges: list[dict] | None = None,
    mapping: str = MAPPING,
) -> TemplateExtract:
    folder.mkdir(exist_ok=True)
    write_csv(folder / "bookings.csv", BOOKING_COLUMNS, bookings)
    write_csv(folder / "aliases.csv", ALIAS_COLUMNS, aliases or [])
    write_csv(folder / "charges.csv", CHARGE_COLUMNS, charges or [])
    (folder / "mapping.toml").write_text(mapping, encoding="utf-8")
    return native_format("jail-csv").read(folder, **WINDOW, mapping=folder / "mapping.toml")


def test_a_booking_becomes_the_template_row(tmp_path):
    extract = read_jail(tmp_path, [BOOKING])
    assert rows_of(extract.encounters) == [
        {
            "encounter_id": "b1",
            "client_id": "p1",
            "kind": "booking",
            "started_at": "2026-03-02T08:15:00",
            "ended_at": "2026-03-04T10:00:00",
            "booking_reason": "new_charge",
            "smi_screen": "not_screened",
        }
    ]
    assert rows_of(extract.people) == [
        {
            "client_id": "p1",
            "first_name": "Wilhelmina",
            "middle_name": "Q",
            "last_name": "CANARY",
            "birth_date": "1984-05-03",
            "sex": "F",
            "race_ethnicity": "white;hispanic_latino",
            "ssn": "123456780",
        }
    ]


@pytest.mark.parametrize(
    ("stays", "span", "why"),
    [
        ([("01 08:00", "02 08:00"), ("02 08:00", "05 09:00")], ("01T08", "05T09"), "first entry, last exit"),
        ([("02 08:00", "05 09:00"), ("01 08:00", "02 08:00")], ("01T08", "05T09"), "in any order"),
        ([("01 08:00", "02 08:00"), ("02 08:00", "")], ("01T08", None), "moved and still there"),
        ([("01 08:00", ""), ("01 08:00", "05 09:00")], ("01T08", "05T09"), "the exit stands on one row"),
        ([("01 08:00", ""), ("01 08:00", "")], ("01T08", None), "still there"),
        ([("01 08:00", "nonsense")], ("01T08", "unreadable"), "an unreadable end is no open end"),
    ],
)
def test_rows_by_location_are_one_booking(tmp_path, stays, span, why):
    rows = [
        BOOKING | {"in": f"03/{start[:2]}/2026{start[2:]}", "out": end and f"03/{end[:2]}/2026{end[2:]}"}
        for start, end in stays
    ]
    (booking,) = rows_of(read_jail(tmp_path, rows).encounters)
    start, end = booking["started_at"], booking.get("ended_at")
    assert start.startswith(f"2026-03-{span[0]}"), why
    if span[1] in (None, "unreadable"):
        assert end == span[1], why
    else:
        assert end.startswith(f"2026-03-{span[1]}"), why


def test_a_release_after_the_window_is_not_known_yet(tmp_path):
    rows = [
        BOOKING | {"out": "04/02/2026 08:00"},
        BOOKING | {"booking": "b2", "in": "04/01/2026 00:00", "name": "NEW, Name"},
    ]
    extract = read_jail(tmp_path, rows)
    (booking,) = rows_of(extract.encounters)
    assert (booking["encounter_id"], booking.get("ended_at")) == ("b1", None)
    assert [row["last_name"] for row in rows_of(extract.people)] == ["CANARY"]


@pytest.mark.parametrize(
    ("answers", "referral", "result", "why"),
    [
        ("YYNNNNNN", "", "positive", "two symptoms"),
        ("YNNNNNNN", "", "negative", "one symptom"),
        ("NNNNNNNN", "", "negative", "nothing"),
        ("NNNNNNYN", "", "positive", "ever in hospital for it"),
        ("NNNNNNNY", "", "positive", "medication now"),
        ("NNNNNNNN", "Y", "positive", "the officer referred"),
        ("YY      ", "", "positive", "whatever the rest is"),
        ("N NNNNNN", "", "negative", "the missing one could not reach two"),
        ("Y NNNNNN", "", None, "the missing one could be the second"),
        ("NNNNNN N", "", None, "the missing one decides"),
        ("        ", "", "not_screened", "no answer at all"),
    ],
)
def test_the_screen_follows_the_published_rule(tmp_path, answers, referral, result, why):
    row = BOOKING | dict(zip(ITEMS, answers.replace(" ", "\0"), strict=True)) | {"referred": referral}
    row = {column: value.replace("\0", "") for column, value in row.items()}
    (booking,) = rows_of(read_jail(tmp_path, [row]).encounters)
    assert booking.get("smi_screen") == result, why


def test_codes_without_a_meaning_are_listed_and_left_empty(tmp_path):
    rows = [
        BOOKING | {"booking": f"b{n}", "reason": reason} for n, reason in enumerate(["fta", "n/a", "Secret"])
    ]
    extract = read_jail(tmp_path, rows)
    assert [row.get("booking_reason") for row in rows_of(extract.encounters)] == ["warrant_fta", None, None]
    (problem,) = extract.problems.listed
    assert (problem.file, problem.row, problem.column) == ("bookings.csv", 3, "reason")


def test_the_most_serious_charge_counts(tmp_path):
    charges = [{"booking": "b1", "class": each} for each in ("Misdemeanor", "Felony", "Misdemeanor", "?")]
    extract = read_jail(tmp_path, [BOOKING], charges=charges)
    assert rows_of(extract.encounters)[0]["charge_class"] == "F"
    assert [each.row for each in extract.problems.listed] == [4]


def test_an_alias_keeps_what_it_does_not_say_from_its_client(tmp_path):
    aliases = [
        {"person": "p1", "alias": "PLANTED, Minnie"},
        {"person": "p1", "alias": "Willa Planted", "alias_dob": "05/04/1984"},
        {"person": "p9", "alias": "SOMEBODY, Else"},
    ]
    _, *known_as = rows_of(read_jail(tmp_path, [BOOKING], aliases=aliases).people)
    assert [(row["first_name"], row["last_name"], row["birth_date"], row["sex"]) for row in known_as] == [
        ("Minnie", "PLANTED", "1984-05-03", "F"),
        ("Willa", "Planted", "1984-05-04", "F"),
    ]


def test_a_booking_of_two_people_is_left_out(tmp_path):
    extract = read_jail(tmp_path, [BOOKING, BOOKING | {"person": "p2"}])
    assert rows_of(extract.encounters) == []
    assert {each.rule for each in extract.problems.listed} == {"several_clients"}


@pytest.mark.parametrize(
    ("old", "new", "names"),
    [
        ('booking_id = "booking"\nclient', "client", "lacks booking_id"),
        ('full_name = "name"', 'nickname = "name"', r"\[bookings.columns\] has an entry"),
        ('"New" = "new_charge"', '"New" = "fresh"', "entry 1 of .codes.booking_reason"),
        ('"%m/%d/%Y %H:%M"', '"%Q"', "format that cannot be used"),
        ('"%m/%d/%Y %H:%M"', '"%m/%d/%Y %I:%M"', "format that cannot be used"),
        ("[dates]", "[dates", "TOML"),
        ("[dates]", 'encoding = "ebcdic"\n[dates]', "encoding must be one of"),
        ('file = "bookings.csv"', "file = 7", "must say file"),
        ('full_name = "name"', 'full_name = "no such"', r"bookings.csv lacks the column"),
        ('file = "charges.csv"', 'file = "gone.csv"', "has no gone.csv"),
    ],
)
def test_a_mapping_that_is_wrong_is_refused(tmp_path, old, new, names):
    assert old in MAPPING
    with pytest.raises(UsageError, match=names):
        read_jail(tmp_path, [BOOKING], mapping=MAPPING.replace(old, new, 1))


def test_a_mapping_is_needed(tmp_path):
    with pytest.raises(UsageError, match="mapping file"):
        native_format("jail-csv").read(tmp_path, **WINDOW, mapping=None)


def test_windows_1252_is_read_when_the_mapping_says_so(tmp_path):
    read_jail(tmp_path, [BOOKING | {"name": "CANARY, Renée"}])
    path = tmp_path / "bookings.csv"
    path.write_bytes(path.read_text(encoding="utf-8").encode("cp1252"))
    mapping = tmp_path / "mapping.toml"
    with pytest.raises(UsageError, match=r"bookings\.csv cannot be read"):
        native_format("jail-csv").read(tmp_path, **WINDOW, mapping=mapping)
    mapping.write_text('encoding = "windows-1252"\n' + MAPPING, encoding="utf-8")
    extract = native_format("jail-csv").read(tmp_path, **WINDOW, mapping=mapping)
    assert rows_of(extract.people)[0]["first_name"] == "Renée"
