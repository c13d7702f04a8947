"""Source records: what linkage compares, made from the people that agencies delivered.

A *source record* is one distinct identity of one client of one source. Encounters never multiply records,
and neither does being delivered month after month. Everything here is SQL over the warehouse; nothing here
judges whether two records are the same person.
"""

from collections.abc import Sequence

from duckdb import DuckDBPyConnection

from linkage.encoding.profiles import HIGH, PROFILES, STANDARD, Profile
from linkage.errors import UsageError
from linkage.source import Source

FILTER_WORDS = 8

_TAKEN_AS_DELIVERED = (
    "birth_year",
    "sex",
    "zip3",
    "race_ethnicity",
    "birth_date_suspect",
    "name_placeholder",
    "ssn_quality",
)

# What makes two deliveries of a client the same identity. Roots, sounds, parts and filters are functions of the
# names. The birth year of people of 90 and more moves with the month of delivery, so it counts only where it is
# all that is known of the birth date.
_IDENTITY = (
    "first_name_token",
    "last_name_token",
    "suffix_token",
    "middle_name_token",
    "middle_initial_token",
    "birth_date_token",
    "birth_year_month_token",
    "birth_month_day_token",
    "birth_year_day_token",
    "ssn_token",
    "ssn5_token",
    "ssn4_token",
    "sex",
    "zip3",
    "birth_date_suspect::varchar",
    "if(birth_date_token is null and birth_year_month_token is null, birth_year, null)::varchar",
)


def build_source_record(con: DuckDBPyConnection, sources: Sequence[Source]) -> int:
    """Create or replace the table `source_record` from the `<source>_people` tables; returns its number of
    rows.

    One row per source, client_id and encoded identity:

    - source_record_id BIGINT: the low half of an MD5 over source, client_id and identity, without its last
      bit; the same in every run and in every order of delivery.
    - source, client_id; first_month, last_month 'YYYY-MM': first and last month in which the identity was
      delivered.
    - the fourteen tokens and the three token lists as (lists of) BIGINT: their first 60 bits.
    - first_name_bits_1 .. 8 and last_name_bits_1 .. 8 BIGINT: the filters' words; first_name_bits_count and
      last_name_bits_count SMALLINT: how many bits are set.
    - birth_year, sex, zip3, race_ethnicity, birth_date_suspect, name_placeholder, ssn_quality: as last
      delivered.
    - identity_number BIGINT: equal for equal identities of different clients.

    Raises UsageError when two different records get the same id.
    """
    if not sources:
        raise UsageError("No source to link: give at least one declared source with accepted deliveries.")
    rows = "\nunion all by name\n".join(_records_of(source) for source in sources)
    con.execute(f"create or replace table source_record as\n{rows}").fetchall()
    counted = con.execute("select count(*), count(distinct source_record_id) from source_record").fetchall()
    records, distinct_ids = counted[0]
    if records != distinct_ids:
        raise UsageError(
            f"Table source_record has {records - distinct_ids} source_record_id values that stand for two records. "
            "Load the deliveries again; if it happens again, tell the maintainers."
        )
    return int(records)


def _records_of(source: Source) -> str:
    """SQL: the source records of one source.

    The first step reads narrow columns only and finds each identity's last delivered row; the second
    converts just those rows.
    """
    people = f"{source.name}_people"
    identity = "concat_ws('|', " + ", ".join(f"coalesce({column}, '')" for column in _IDENTITY) + ")"
    tokens = ",\n        ".join(f"{_number(column)} as {column}" for column in TOKEN_COLUMNS)
    lists = ",\n        ".join(
        f"list_transform({column}, lambda token: {_number('token')}) as {column}"
        for column in TOKEN_LIST_COLUMNS
    )
    words = ",\n        ".join(
        f"{column}[{8 * word - 7}:{8 * word}]::bit::bigint as {column}_{word}"
        for column in FILTER_COLUMNS
        for word in range(1, FILTER_WORDS + 1)
    )
    counts = ",\n        ".join(
        f"bit_count({column}::bit)::smallint as {column}_count" for column in FILTER_COLUMNS
    )
    as_delivered = ", ".join(_TAKEN_AS_DELIVERED)
    return f"""
    select
        (md5_number_lower('{source.name}|' || client_id || '|' || identity) >> 1)::bigint as source_record_id,
        '{source.name}' as source,
        client_id,
        first_month,
        last_month,
        (md5_number_lower(identity) >> 1)::bigint as identity_number,
        {tokens},
        {lists},
        {words},
        {counts},
        {as_delivered}
    from (
        select
            client_id,
            {identity} as identity,
            min(month) as first_month,
            max(month) as last_month,
            arg_max(rowid, (month, row_number)) as last_row
        from {people}
        group by all
    ) as identities
    inner join (select * exclude (client_id), rowid as last_row from {people}) as delivered using (last_row)
    """


def _number(token: str) -> str:
    """SQL: the first 60 bits of a token of hexadecimal digits, as a BIGINT that is never negative."""
    return f"('0x' || left({token}, 15))::bigint"
