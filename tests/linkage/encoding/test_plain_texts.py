"""Names and dates read a column at a time read as they do one at a time."""

from datetime import date

import polars as pl
from hypothesis import example, given
from hypothesis import strategies as st

from linkage.encoding.names import (
    NormalisedName,
    normalise_first_name,
    normalise_last_name,
    whole_placeholders,
)
from linkage.encoding.normalise import normalise_birth_date
from linkage.encoding.plain_texts import DEFAULT_BIRTH_DATES, plain_birth_dates, plain_names

COVERS_TO = date(2024, 4, 1)

written_names = st.sampled_from(
    [
        "Smith",
        "SMITH-JONES",
        "o'neil",
        "Doe",
        "Unknown",
        "aaa",
        "Aa",
        "BBBB",
        "x",
        "Müller",
        "jr",
        "Mary J",
        "dr",
    ]
) | st.text(st.characters(codec="utf-8"), max_size=65)
written_dates = (
    st.dates(min_value=date(1890, 1, 1), max_value=date(2030, 1, 1)).map(str)
    | st.from_regex(r"\A[0-9]{4}-[0-9]{2}-[0-9]{2}\n?\Z")
    | st.sampled_from(
        [*sorted(DEFAULT_BIRTH_DATES), "1984", "1984-05", "1984-02-30", "1984-00-03", "١٩٨٤-05-03"]
    )
)


def distinct(texts: set[str]) -> pl.Series:
    return pl.Series("written", sorted(texts), dtype=pl.String)


@given(st.sets(written_names))
@example({"a" * 60, "ab" * 30, "ab" * 31})
def test_a_name_reads_alike_in_a_column_and_alone(names):
    for text, name in plain_names(distinct(names)).iter_rows():
        assert normalise_first_name(text) == normalise_last_name(text) == NormalisedName(name)


@given(st.sets(written_dates))
def test_a_birth_date_reads_alike_in_a_column_and_alone(dates):
    for text, *read in plain_birth_dates(distinct(dates), COVERS_TO).iter_rows():
        assert normalise_birth_date(text, covers_to=COVERS_TO) == tuple(read)


def test_what_is_plain_is_read_in_a_column():
    names = plain_names(distinct({"Wilhelmina", "SMITH", "Smith-Jones", "Doe"}))
    assert names.rows() == [("SMITH", "smith"), ("Wilhelmina", "wilhelmina")]
    dates = plain_birth_dates(distinct({"1984-05-03", "1984-05", "1900-01-01", "2024-04-01"}), COVERS_TO)
    assert dates.get_column("written").to_list() == ["1984-05-03"]


def test_no_placeholder_is_a_plain_name():
    assert plain_names(distinct(set(whole_placeholders()))).is_empty()
