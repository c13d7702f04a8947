"""Invented identities as the encoder of the profile high sends them."""

import datetime as dt

import polars as pl

from linkage.encoding.high_profile import HighProfileEncoder
from linkage.encoding.keys import Key
from linkage.encoding.normalise import PeopleNormaliser
from linkage.encoding.profiles import HIGH
from linkage.encoding.rejoin import client_id_of
from linkage.records import build_source_record, stored_people
from linkage.source import declared_sources
from tests.linkage.invented import SOURCES


def load_high(con, rows):
    """The `<source>_people` tables of rows as the encoder of the profile high makes them."""
    encoder = HighProfileEncoder(project_key=Key("project", bytes(32)), agency_key=Key("agency", bytes(32)))
    normaliser = PeopleNormaliser(dt.date(2025, 1, 1))
    for source in SOURCES:
        of_source = [row for row in rows if row.source == source]
        raw = pl.DataFrame(
            [
                {
                    "client_id": row.client_id,
                    "first_name": row.identity.first_name,
                    "middle_name": row.identity.middle_name,
                    "last_name": row.identity.last_name,
                    "name_suffix": row.identity.suffix,
                    "birth_date": row.identity.birth_date,
                    "sex": row.identity.sex,
                    "race_ethnicity": None,
                    "ssn": row.identity.ssn or row.identity.ssn4,
                    "zip": row.identity.zip3 and f"{row.identity.zip3}01",
                }
                for row in of_source
            ],
            schema=dict.fromkeys(
                (
                    "client_id", "first_name", "middle_name", "last_name", "name_suffix", "birth_date", "sex",
                    "race_ethnicity", "ssn", "zip",
                ),
                pl.String,
            ),
        ).with_row_index("row_number", offset=1)  # fmt: skip
        made = encoder.encode(normaliser.normalise(raw).rows)
        kept = stored_people(made, HIGH).with_columns(
            month=pl.Series([row.month for row in of_source], dtype=pl.String),
            row_number=pl.int_range(1, pl.len() + 1, dtype=pl.Int32),
        )
        con.register("delivered_frame", kept.to_arrow())
        con.execute(f"create or replace table {source}_people as select * from delivered_frame").fetchall()
        con.unregister("delivered_frame")
    return build_source_record(con, list(declared_sources().values()))


def truth_of(con, rows):
    """Columns source, client_id (as delivered) and truth_id."""
    key = Key("agency", bytes(32))
    known = {(row.source, client_id_of(row.client_id, key)): row.truth_id for row in rows}
    return pl.DataFrame(
        [(source, client, who) for (source, client), who in known.items()],
        schema={"source": pl.String, "client_id": pl.String, "truth_id": pl.Int64},
        orient="row",
    )
