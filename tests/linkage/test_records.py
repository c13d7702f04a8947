"""Source records: one per client and identity, however often and in whatever order it was delivered."""

from dataclasses import replace

import numpy as np
import pytest

from linkage.errors import UsageError
from linkage.records import build_source_record
from linkage.source import declared_sources
from tests.linkage.invented import Delivered, Identity, encoded, invented_county, load

SOURCES = list(declared_sources().values())
SOMEONE = Identity(first_name="maria", last_name="garcia lopez", ssn="123456788", middle_name="eva")


def built(con, rows):
    load(con, rows)
    build_source_record(con, SOURCES)
    return con.sql("select * from source_record order by source_record_id").pl()


def test_an_identity_delivered_again_and_again_is_one_record(con):
    months = ["2024-03", "2024-01", "2024-02"]
    rows = [Delivered(source="jail", client_id="a", identity=SOMEONE, month=month) for month in months]
    records = built(con, rows)
    assert records.select("source", "first_month", "last_month").rows() == [("jail", "2024-01", "2024-03")]


def test_an_alias_is_a_second_record_of_the_same_client(con):
    alias = replace(SOMEONE, last_name="smith")
    records = built(con, [Delivered(source="jail", client_id="a", identity=who) for who in (SOMEONE, alias)])
    assert records.height == 2
    assert records.get_column("client_id").n_unique() == 1


def test_the_same_identity_in_two_sources_is_two_records_with_one_identity_number(con):
    records = built(
        con, [Delivered(source=name, client_id="a", identity=SOMEONE) for name in ("jail", "ems")]
    )
    assert records.get_column("source_record_id").n_unique() == 2
    assert records.get_column("identity_number").n_unique() == 1


def test_what_changes_with_time_but_is_no_identity_is_taken_as_last_delivered(con):
    rows = [
        Delivered(source="jail", client_id="a", identity=SOMEONE, month=month)
        for month in ("2024-02", "2024-01")
    ]
    load(con, rows)
    con.execute(
        "update jail_people set birth_year = 1934, race_ethnicity = 'asian' where month = '2024-01'"
    ).fetchall()
    con.execute(
        "update jail_people set birth_year = 1935, race_ethnicity = 'white' where month = '2024-02'"
    ).fetchall()
    build_source_record(con, SOURCES)
    assert con.execute("select birth_year, race_ethnicity from source_record").fetchall() == [(1935, "white")]


def test_ids_and_contents_do_not_depend_on_the_order_of_delivery_or_on_earlier_runs(con):
    rows = invented_county(60)
    once = built(con, rows)
    assert built(con, rows).equals(once)
    assert built(con, rows[::-1]).equals(once)


def test_ids_are_positive_and_tokens_are_their_first_sixty_bits(con):
    rows = [Delivered(source="jail", client_id="a", identity=SOMEONE)]
    records, delivered = built(con, rows), encoded(rows)
    assert records.item(0, "source_record_id") > 0
    assert records.item(0, "ssn_token") == int(delivered.item(0, "ssn_token")[:15], 16)
    parts = [int(token[:15], 16) for token in delivered.item(0, "last_name_part_tokens")]
    assert records.item(0, "last_name_part_tokens").to_list() == parts


def test_filter_words_keep_every_bit_in_order(con):
    rows = [Delivered(source="jail", client_id="a", identity=SOMEONE)]
    records, delivered = built(con, rows), encoded(rows)
    words = [records.item(0, f"last_name_bits_{word}") for word in range(1, 9)]
    bits = delivered.item(0, "last_name_bits")
    assert np.array(words, dtype=">i8").tobytes() == bits
    assert records.item(0, "last_name_bits_count") == int.from_bytes(bits, "big").bit_count()


def test_no_source_at_all_is_said_in_a_sentence(con):
    with pytest.raises(UsageError, match="No source to link"):
        build_source_record(con, [])
