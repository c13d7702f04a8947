"""Source records: what linkage compares, made from the people that agencies delivered.

A *source record* is one distinct identity of one client of one source. Encounters never multiply records,
and neither does being delivered month after month. Nothing here judges whether two records are the same
person.

The county keeps numbers: `stored_people` turns the tokens of a delivery into integers and its filters into
words once, when they are loaded. No column of identity in the warehouse can hold text.
"""

from collections.abc import Iterable, Sequence

import polars as pl
from duckdb import DuckDBPyConnection

from linkage.encoding.columns import PolarsType
from linkage.encoding.profiles import HIGH, PROFILES, STANDARD, Profile
from linkage.errors import UsageError
from linkage.handover import HANDOVER_COLUMNS, find_handovers
from linkage.source import Source

FILTER_WORDS = 8
"""A filter of 512 bits is eight words of 64, the most significant first."""

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
    "birth_date_suspect",
    "if(birth_date_token is null and birth_year_month_token is null, birth_year, null)",
)
_HIGH_IDENTITY = (
    *HIGH.token_columns,
    *HIGH.token_list_columns,
    *(f"{column}_{word}" for column in HIGH.filter_columns for word in range(1, FILTER_WORDS + 1)),
    "sex",
    "zip3",
    "birth_date_suspect",
    "if(names_birth_year_tokens is null and ssn4_birth_year_token is null, birth_year, null)",
)


def recorded_profile(con: DuckDBPyConnection, table: str) -> Profile:
    """The encoding profile of a table of people or of source records, which its columns tell."""
    columns = [row[0] for row in con.execute(f"describe {table}").fetchall()]
    return profile_of_columns(columns, table.split(".")[-1])


def profile_of_columns(columns: Iterable[str], table: str) -> Profile:
    """The encoding profile of a table that has these columns. Raises UsageError where they are of none."""
    names = set(columns)
    found = [profile for profile in PROFILES.values() if names.issuperset(profile.token_columns)]
    if not found:
        raise UsageError(f"Table {table} has the columns of no encoding profile. Load the deliveries again.")
    return found[0]


def stored_people_columns(profile: Profile = STANDARD) -> dict[str, PolarsType]:
    """Columns of people of one profile as the county keeps them, and their types.

    As delivered, but: a token is its first 60 bits as Int64, a list of tokens a list of such numbers, and a
    filter is the columns `<filter>_1` to `<filter>_8` (Int64, its words) and `<filter>_count` (Int16, how
    many bits are set).
    """
    stored: dict[str, PolarsType] = {}
    for column, delivered_type in profile.people_columns.items():
        if column in profile.token_columns:
            stored[column] = pl.Int64
        elif column in profile.token_list_columns:
            stored[column] = pl.List(pl.Int64)
        elif column in profile.filter_columns:
            stored |= dict.fromkeys(_words_of(column), pl.Int64)
            stored[f"{column}_count"] = pl.Int16
        else:
            stored[column] = delivered_type
    return stored


def stored_people(rows: pl.DataFrame, profile: Profile = STANDARD) -> pl.DataFrame:
    """People as delivered (accepted rows, with any further columns) in the columns that the county keeps."""
    words = {
        word: pl.col(column).bin.slice(8 * number, 8).bin.reinterpret(dtype=pl.Int64, endianness="big")
        for column in profile.filter_columns
        for number, word in enumerate(_words_of(column))
    }
    counts = {
        f"{column}_count": pl.sum_horizontal(
            pl.col(word).bitwise_count_ones() for word in _words_of(column)
        ).cast(pl.Int16)
        for column in profile.filter_columns
    }
    # The sum of no word at all is 0, but a missing filter has no count.
    present = {
        count: pl.when(pl.col(_words_of(column)[0]).is_not_null()).then(counting)
        for (count, counting), column in zip(counts.items(), profile.filter_columns, strict=True)
    }
    numbers = [_sixty_bits(pl.col(column)) for column in profile.token_columns]
    lists = [pl.col(column).list.eval(_sixty_bits(pl.element())) for column in profile.token_list_columns]
    others = [column for column in rows.columns if column not in profile.people_columns]
    return (
        rows.with_columns(*numbers, *lists, **words)
        .with_columns(**present)
        .select(*stored_people_columns(profile), *others)
    )


def _words_of(filter_column: str) -> list[str]:
    return [f"{filter_column}_{word}" for word in range(1, FILTER_WORDS + 1)]


def _sixty_bits(token: pl.Expr) -> pl.Expr:
    """The first fifteen of a token's hexadecimal digits as a number; never negative."""
    first_half = token.str.decode("hex").bin.slice(0, 8)
    return (first_half.bin.reinterpret(dtype=pl.UInt64, endianness="big") // 16).cast(pl.Int64)


def build_source_record(con: DuckDBPyConnection, sources: Sequence[Source]) -> int:
    """Create or replace the table `source_record` from the `<source>_people` tables; returns its number of
    rows.

    One row per source, client_id and encoded identity:

    - source_record_id BIGINT: the low half of an MD5 over source, client_id and identity, without its last
      bit; the same in every run and in every order of delivery.
    - source, client_id; first_month, last_month 'YYYY-MM': first and last month in which the identity was
      delivered.
    - the tokens, token lists and filters as stored (`stored_people_columns`).
    - birth_year, sex, zip3, race_ethnicity, birth_date_suspect, name_placeholder, ssn_quality: as last
      delivered.
    - identity_number BIGINT: equal for equal identities of different clients.
    - the client's handovers (`linkage.handover`), null where there is none.

    The columns of identity are those of the profile of the `<source>_people` tables, which must be one.

    Raises UsageError when two different records get the same id, or the profiles differ.
    """
    if not sources:
        raise UsageError("No source to link: give at least one declared source with accepted deliveries.")
    profile = _one_profile(con, sources)
    find_handovers(con, sources, profile.name)
    rows = "\nunion all by name\n".join(_records_of(source, profile) for source in sources)
    con.execute(
        f"""
        create or replace table source_record as
        select records.*, {", ".join(HANDOVER_COLUMNS)}
        from ({rows}) as records left join handover_of_client using (source, client_id)
        """
    ).fetchall()
    counted = con.execute("select count(*), count(distinct source_record_id) from source_record").fetchall()
    records, distinct_ids = counted[0]
    if records != distinct_ids:
        raise UsageError(
            f"Table source_record has {records - distinct_ids} source_record_id values that stand for two records. "
            "Load the deliveries again; if it happens again, tell the maintainers."
        )
    return int(records)


def _one_profile(con: DuckDBPyConnection, sources: Sequence[Source]) -> Profile:
    profiles = {recorded_profile(con, f"{source.name}_people").name for source in sources}
    if len(profiles) > 1:
        raise UsageError(
            f"The warehouse holds people of the profiles {' and '.join(sorted(profiles))}, which never meet. "
            "Encode every delivery again with one of them."
        )
    return PROFILES[profiles.pop()]


def _records_of(source: Source, profile: Profile) -> str:
    """SQL: the source records of one source.

    The first step reads narrow columns only and finds each identity's last delivered row; the second takes
    just those rows.
    """
    people = f"{source.name}_people"
    columns = _HIGH_IDENTITY if profile is HIGH else _IDENTITY
    identity = "concat_ws('|', " + ", ".join(f"coalesce({column}::varchar, '')" for column in columns) + ")"
    stored = ", ".join(column for column in stored_people_columns(profile) if column != "client_id")
    return f"""
    select
        (md5_number_lower('{source.name}|' || client_id || '|' || identity_number) >> 1)::bigint as source_record_id,
        '{source.name}' as source,
        client_id,
        first_month,
        last_month,
        identity_number,
        {stored}
    from (
        select
            client_id,
            (md5_number_lower({identity}) >> 1)::bigint as identity_number,
            min(month) as first_month,
            max(month) as last_month,
            arg_max(rowid, (month, row_number)) as last_row
        from {people}
        group by all
    ) as identities
    inner join (select {stored}, rowid as last_row from {people}) as delivered using (last_row)
    """
