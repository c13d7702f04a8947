"""Every normalisation rule as a row: in, out, why."""

from datetime import date

import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

from linkage.encoding.columns import RAW_PEOPLE_COLUMNS
from linkage.encoding.names import (
    NormalisedName,
    naming_parts,
    normalise_first_name,
    normalise_last_name,
    normalise_middle_name,
    normalise_suffix,
)
from linkage.encoding.nicknames import nickname_roots, root_of
from linkage.encoding.normalise import (
    PeopleNormaliser,
    normalise_birth_date,
    normalise_races,
    normalise_sex,
    normalise_zip,
    restricted_zip3,
)
from linkage.encoding.people import sounds_of

APRIL = date(2024, 4, 1)


@pytest.mark.parametrize(
    ("written", "name", "why"),
    [
        ("Smith", "smith", "case is how somebody typed"),
        ("  SMITH  ", "smith", "so is space around"),
        ("José", "jose", "marks are lost in most systems"),
        ("Jose\u0301", "jose", "a mark may be a letter of its own"),
        ("Nuñez", "nunez", "ñ is n with a mark"),
        ("Łukasz", "lukasz", "letters that Unicode does not take apart are spelled"),
        ("Sørensen", "sorensen", "letters that Unicode does not take apart are spelled"),
        ("Weiß", "weiss", "casefold spells the sharp s"),
        ("Æsop", "aesop", "ligatures are spelled"),
        ("O'Brien", "obrien", "an apostrophe joins"),
        ("O\u2019Brien", "obrien", "so does a curly one"),
        ("O`Brien", "obrien", "and one typed wrongly"),
        ("Hawai\u02bbi", "hawaii", "and the okina of Hawaii"),
        ("O Brien", "o brien", "a space parts"),
        ("Smith-Jones", "smith jones", "a hyphen parts"),
        ("Smith\u2013Jones", "smith jones", "so does a dash"),
        ("García  López", "garcia lopez", "any space parts once"),
        ("de la Cruz", "de la cruz", "particles stay in the name"),
        ("van der Berg", "van der berg", "particles stay in the name"),
        ("St. John", "st john", "a full stop parts"),
        ("Smith, Jr.", "smith", "the suffix is taken off"),
        ("SMITH III", "smith", "the suffix is taken off"),
        ("Smith 3rd", "smith", "the suffix is taken off"),
        ("Smith V", "smith v", "a lone V may be a name"),
        ("Junior", "junior", "a suffix alone is a name"),
        ("Robert (Bob)", "robert", "an aside is not the name"),
        ('Robert "Bob"', "robert", "an aside is not the name"),
        ("(Bob)", "bob", "unless it is all there is"),
        ("Sm1th", "smth", "a digit in a name is a slip"),
        ("Smith2", "smith", "a digit in a name is a slip"),
        ("X Æ A-12", "x ae a", "digits go, letters stay"),
        ("Ng", "ng", "short names are names"),
        ("Oo", "oo", "two letters alike are a name"),
        ("O", "o", "one letter may be a name"),
        ("Na", "na", "a surname; only n/a is a placeholder"),
        ("ﬁsher", "fisher", "compatibility forms are spelled"),
        ("Smith\x00", "smith", "control signs part"),
        ("a" * 60, None, "one letter sixty times is filler"),
        ("ab" * 30, "ab" * 30, "sixty letters is the longest name"),
    ],
)
def test_names_have_one_normal_form(written, name, why):
    assert normalise_last_name(written).name == name, why


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("", None),
        ("   ", None),
        ("Doe", "doe"),
        ("JOHN DOE", "doe"),
        ("Doe123", "doe"),
        ("Unknown", "unknown"),
        ("UNK", "unknown"),
        ("unknown male 3", "unknown"),
        ("N/A", "unknown"),
        ("n.a.", "unknown"),
        ("FNU", "unknown"),
        ("NMN", "unknown"),
        ("None", "unknown"),
        ("Refused", "refused"),
        ("declined to answer", "refused"),
        ("Client prefers not to answer", "refused"),
        ("Baby Boy", "baby"),
        ("BABYGIRL", "baby"),
        ("Baby Boy A", "baby"),
        ("Trauma", "alias"),
        ("Trauma Delta", "alias"),
        ("trauma 123", "alias"),
        ("Test", "test"),
        ("ZZTest", "test"),
        ("XXX", "filler"),
        ("xx", "filler"),
        ("asdf", "filler"),
        ("Иван", "other_script"),
        ("李", "other_script"),
        ("محمد", "other_script"),
        ("Ivan Иван", "other_script"),
        ("12345", "digits"),
        ("A12345", "digits"),
        ("---", "no_letters"),
        ("?", "no_letters"),
        ("\u00b7", "no_letters"),
        ("ab" * 31, "too_long"),
        ("the client said that he would rather not give his name to anybody here tonight", "too_long"),
        ("x" * 10_000, "too_long"),
    ],
)
def test_what_is_not_a_name_is_nothing_and_counted_by_kind(written, kind):
    assert normalise_last_name(written)[:2] == (None, kind)


def test_a_placeholder_is_no_trap_for_real_names():
    for name in (
        "Traumann",
        "Doerr",
        "Testa",
        "Unkel",
        "Nash",
        "Baby",
        "Newborne",
        "Null-Smith",
        "Knowles",
        "Refugio",
    ):
        assert normalise_last_name(name).name is not None, name


@pytest.mark.parametrize(
    ("written", "found"),
    [
        ("Mary J", NormalisedName("mary", None, None, "j")),
        ("Mary J.", NormalisedName("mary", None, None, "j")),
        ("J.", NormalisedName("j")),
        ("J R", NormalisedName("j r")),
        ("Mary Ann", NormalisedName("mary ann")),
        ("Mr. John", NormalisedName("john")),
        ("Dr", NormalisedName("dr")),
        ("John Jr", NormalisedName("john", None, "jr")),
    ],
)
def test_a_first_name_gives_up_its_title_suffix_and_middle_initial(written, found):
    assert normalise_first_name(written) == found


@pytest.mark.parametrize(
    ("written", "suffix"),
    [
        ("Jr.", "jr"),
        ("JR", "jr"),
        ("junior", "jr"),
        ("Sr", "sr"),
        ("II", "ii"),
        ("2nd", "ii"),
        ("III", "iii"),
        ("3", "iii"),
        ("IV", "iv"),
        ("V", "v"),
        ("MD", None),
        ("Esq.", None),
        ("", None),
    ],
)
def test_only_generational_suffixes_count(written, suffix):
    assert normalise_suffix(written) == suffix


@pytest.mark.parametrize(
    ("name", "parts"),
    [
        ("garcia lopez", ["garcia", "lopez"]),
        ("de la cruz", ["cruz"]),
        ("van der berg", ["berg"]),
        ("smith smith", ["smith"]),
        ("de la", ["dela"]),
        ("smith v", ["smith"]),
        ("smith", ["smith"]),
        ("o brien", ["brien"]),
    ],
)
def test_particles_name_no_family(name, parts):
    assert naming_parts(name) == parts


def test_a_compound_name_sounds_like_the_whole_first_and_like_its_parts_then():
    assert sounds_of("garcia lopez")[:1] == sounds_of("garcialopez")[:1]
    assert set(sounds_of("garcia")) | set(sounds_of("lopez")) <= set(sounds_of("garcia lopez"))


def test_middle_names_that_say_there_is_none_are_nothing():
    assert [normalise_middle_name(each).name for each in ("NMN", "none", "N/A", "Q", "Ann")] == [
        None,
        None,
        None,
        "q",
        "ann",
    ]


@pytest.mark.parametrize(
    ("written", "full", "why"),
    [
        ("1984-05-03", "1984-05-03", "as it should be"),
        ("1984-5-3", "1984-05-03", "zeros are how somebody exported"),
        ("1984-05-03T00:00:00", "1984-05-03", "a time is how somebody exported"),
        ("1984-05-03 00:00:00.000000", "1984-05-03", "a time is how somebody exported"),
        ("2024-02-29", "2024-02-29", "a leap day is a day"),
        ("2024-03-31", "2024-03-31", "the last day that the delivery covers"),
        ("1990-01-01", "1990-01-01", "1 January is a birthday"),
        ("1904-01-02", "1904-01-02", "as old as can be"),
    ],
)
def test_birth_dates_read(written, full, why):
    read = normalise_birth_date(written, covers_to=APRIL)
    assert (read.full, read.kind) == (full, None), why


@pytest.mark.parametrize(
    ("written", "kind"),
    [
        ("", None),
        ("1900-01-01", "default"),
        ("9999-12-31", "default"),
        ("1899-12-30", "default"),
        ("1111-11-11", "default"),
        ("0001-01-01", "default"),
        ("1984-02-30", "impossible"),
        ("1984-13-01", "impossible"),
        ("2023-02-29", "impossible"),
        ("0000-01-01", "impossible"),
        ("2024-04-01", "future"),
        ("2030", "future"),
        ("1903-12-31", "too_old"),
        ("05/03/1984", "unreadable"),
        ("May 3, 1984", "unreadable"),
        ("unknown", "unreadable"),
        ("19840503", "unreadable"),
        ("84-05-03", "unreadable"),
    ],
)
def test_birth_dates_that_are_none(written, kind):
    assert normalise_birth_date(written, covers_to=APRIL)._replace(is_suspect=False) == (
        *(None,) * 6,
        False,
        kind,
    )


@pytest.mark.parametrize(
    ("written", "year", "year_month"),
    [
        ("1984", 1984, None),
        ("1984-05", 1984, "1984-05"),
        ("1984-05-00", 1984, "1984-05"),
        ("1984-00-00", 1984, None),
        ("1984-00-03", 1984, None),
    ],
)
def test_partial_birth_dates_keep_what_they_have(written, year, year_month):
    read = normalise_birth_date(written, covers_to=APRIL)
    assert (read.full, read.year, read.year_month, read.month_day, read.kind) == (
        None,
        year,
        year_month,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("written", "swapped"),
    [("1984-05-03", "1984-03-05"), ("1984-05-12", "1984-12-05"), ("1984-05-13", None), ("1984-05-05", None)],
)
def test_day_and_month_swap_where_that_gives_another_date(written, swapped):
    assert normalise_birth_date(written, covers_to=APRIL).swapped == swapped


def test_only_the_first_of_january_is_suspect():
    suspect = [
        text
        for text in ("1990-01-01", "1990-01-02", "1990-02-01", "1990")
        if normalise_birth_date(text, covers_to=APRIL).is_suspect
    ]
    assert suspect == ["1990-01-01"]


@given(st.dates(min_value=date(1910, 1, 1), max_value=date(2024, 3, 31)))
def test_two_swapped_dates_meet(born):
    read = normalise_birth_date(born.isoformat(), covers_to=APRIL)
    if read.swapped is not None:
        back = normalise_birth_date(read.swapped, covers_to=date(2025, 1, 1))
        assert back.swapped == read.full


@given(st.text(max_size=80))
def test_any_text_normalises_to_letters_and_single_spaces_or_nothing(text):
    for reading in (normalise_first_name, normalise_middle_name, normalise_last_name):
        name = reading(text).name
        if name is not None:
            assert name == " ".join(name.split())
            assert set(name) <= set("abcdefghijklmnopqrstuvwxyz ")
    normalise_birth_date(text, covers_to=APRIL)


def normalised(**person) -> dict:
    raw = pl.DataFrame(
        {"row_number": [1]} | {column: [person.get(column)] for column in RAW_PEOPLE_COLUMNS},
        schema={"row_number": pl.Int64} | dict.fromkeys(RAW_PEOPLE_COLUMNS, pl.String),
    )
    return PeopleNormaliser(APRIL).normalise(raw).rows.row(0, named=True)


@pytest.mark.parametrize(
    ("written", "ssn", "ssn4", "quality", "why"),
    [
        ("123-45-6780", "123456780", "6780", "full", "dashes are how somebody typed"),
        ("123456780", "123456780", "6780", "full", "nine valid digits"),
        ("123 45 6780", "123456780", "6780", "full", "spaces are how somebody typed"),
        ("001-01-0001", "001010001", "0001", "full", "the lowest number there is"),
        ("XXXXX1234", None, "1234", "last4", "only the last four are known"),
        ("xxx-xx-1234", None, "1234", "last4", "in any writing"),
        ("***-**-1234", None, "1234", "last4", "in any writing"),
        ("1234", None, "1234", "last4", "in any writing"),
        (None, None, None, "none", "nothing was recorded"),
        ("XXXXXXXXX", None, None, "none", "all digits hidden"),
        ("XXXXX0000", None, None, "invalid", "serial 0000 is never assigned"),
        ("000-12-3456", None, None, "invalid", "area 000 is never assigned"),
        ("666-12-3456", None, None, "invalid", "area 666 is never assigned"),
        ("900-12-3456", None, None, "invalid", "areas from 900 are taxpayer numbers"),
        ("123-00-4567", None, None, "invalid", "group 00 is never assigned"),
        ("123-45-0000", None, None, "invalid", "serial 0000 is never assigned"),
        ("078-05-1120", None, None, "invalid", "the wallet card"),
        ("123456789", None, None, "invalid", "a keyboard row"),
        ("111111111", None, None, "invalid", "one digit nine times"),
        ("987-65-4321", None, None, "invalid", "for advertisements"),
        ("12345678", None, None, "invalid", "eight digits: which one is lost cannot be known"),
        ("1234567890", None, None, "invalid", "ten digits"),
        ("refused", None, None, "invalid", "a word"),
        ("12345678A", None, None, "invalid", "a letter"),
    ],
)
def test_ssns(written, ssn, ssn4, quality, why):
    row = normalised(ssn=written)
    assert (row["ssn"], row["ssn4"], row["ssn_quality"]) == (ssn, ssn4, quality), why
    assert row["ssn5"] == (ssn[:5] if ssn else None)


@pytest.mark.parametrize(
    ("person", "first", "last", "is_placeholder"),
    [
        (("John", "Doe"), None, None, True),
        (("Jane", "DOE"), None, None, True),
        (("Doe", "John"), None, None, True),
        (("Maria", "Doe"), "maria", None, True),
        (("John", "Doerr"), "john", "doerr", False),
        (("Unknown", "Male"), None, None, True),
        (("Patient", "Unknown"), None, None, True),
        (("Baby Boy", "Smith"), None, "smith", True),
        (("Trauma", "Zebra"), None, None, True),
        (("Pineapple", "Trauma"), None, None, True),
        (("Иван", "Petrov"), None, "petrov", False),
        ((None, "Smith"), None, "smith", False),
    ],
)
def test_a_placeholder_takes_the_invented_name_beside_it_along(person, first, last, is_placeholder):
    row = normalised(first_name=person[0], last_name=person[1])
    assert (row["first_name"], row["last_name"], row["name_placeholder"]) == (first, last, is_placeholder)


def test_a_suffix_column_goes_before_a_suffix_in_a_name():
    assert normalised(last_name="Smith Jr", name_suffix="III")["suffix"] == "iii"
    assert normalised(last_name="Smith Jr")["suffix"] == "jr"
    assert normalised(first_name="John Sr", last_name="Smith")["suffix"] == "sr"


def test_a_middle_name_goes_before_an_initial_in_the_first_name():
    assert normalised(first_name="Mary J", middle_name="Anne")["middle_name"] == "anne"
    assert normalised(first_name="Mary J")["middle_name"] == "j"


@pytest.mark.parametrize(
    ("born", "shown"),
    [("1984-05-03", 1984), ("1934-12-31", 1934), ("1933-06-01", 1934), ("1910", 1934), (None, None)],
)
def test_birth_years_stop_at_the_age_of_ninety(born, shown):
    assert normalised(birth_date=born)["birth_year"] == shown


@pytest.mark.parametrize(
    ("written", "zip3"),
    [
        ("98101", "981"),
        ("98101-1234", "981"),
        ("981011234", "981"),
        ("03601", "000"),
        ("20301", "000"),
        ("00000", None),
        ("99999", None),
        ("9810", None),
        ("abcde", None),
    ],
)
def test_only_three_digits_of_a_zip_and_none_of_a_small_area(written, zip3):
    assert normalise_zip(written)[0] == zip3


def test_every_restricted_area_has_three_digits():
    assert all(len(area) == 3 and area.isdigit() for area in restricted_zip3())
    assert len(restricted_zip3()) >= 17


@pytest.mark.parametrize(
    ("written", "read"), [("M", "M"), ("f", "F"), ("X", "X"), ("u", "U"), ("male", None), ("1", None)]
)
def test_sex_codes(written, read):
    assert normalise_sex(written)[0] == read


@pytest.mark.parametrize(
    ("written", "read"),
    [
        ("white;asian", ("asian;white", None)),
        (" White ; white", ("white", None)),
        ("white;martian", ("white", "unknown_code")),
        ("martian", (None, "unknown_code")),
        (";", (None, None)),
    ],
)
def test_races_are_a_sorted_list_of_known_categories(written, read):
    assert normalise_races(written) == read


def test_a_nickname_has_one_root_and_a_root_has_none():
    roots = nickname_roots()
    assert len(roots) > 500
    assert not set(roots.values()) & set(roots)
    for name, root in roots.items():
        assert normalise_first_name(name).name == name
        assert normalise_first_name(root).name == root


@pytest.mark.parametrize(
    ("name", "root"),
    [
        ("bob", "robert"),
        ("robert", "robert"),
        ("bill", "william"),
        ("peggy", "margaret"),
        ("chuy", "jesus"),
        ("lisa", "lisa"),
        ("zebulon", "zebulon"),
    ],
)
def test_roots(name, root):
    assert root_of(name) == root
