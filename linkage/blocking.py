"""The table that linkage compares, and the pairs in it that share enough to be compared.

Intermediate tables live in a database of their own, in memory, under the connection's memory limit (DuckDB
spills to its temporary directory), so that the warehouse file never holds them.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

from duckdb import DuckDBPyConnection

from linkage.encoding.columns import FILTER_COLUMNS
from linkage.errors import UsageError
from linkage.model import (
    TOKEN_LIST_COLUMNS,
    BlockingRule,
    blocking_rules,
    comparisons,
    linkage_model,
    rarity_columns,
)
from linkage.progress import track
from linkage.records import FILTER_WORDS, recorded_profile
from linkage.source import declared_sources

_WORKBENCH = "linkage_workbench"

LARGEST_BLOCK = 2_000
"""Records. A block of this many already makes two million pairs; one that makes more is a placeholder that
slipped through, a shared number, or a rule too weak for the county's size. It is left out and reported."""


@dataclass(frozen=True, kw_only=True)
class RuleCount:
    """What one blocking rule brought: pairs that no earlier rule brought (`new_pairs`), blocks that were
    too large and left out, the records in them and the pairs lost (of which other rules may have brought
    some). `seconds` is None where all rules were looked up at once.
    """

    rule: str
    pairs: int
    new_pairs: int
    seconds: float | None
    dropped_blocks: int
    dropped_records: int
    dropped_pairs: int


@contextmanager
def workbench(con: DuckDBPyConnection) -> Iterator[str]:
    """Make an empty in-memory database the current one; yields the qualified name of the warehouse's
    schema.

    The database is detached at the end, whatever happens. The connection must not be inside a transaction.
    """
    where = con.execute("select current_database(), current_schema()").fetchall()[0]
    con.execute(f"attach ':memory:' as {_WORKBENCH}").fetchall()
    con.execute(f"use {_WORKBENCH}").fetchall()
    try:
        yield f'"{where[0]}"."{where[1]}"'
    finally:
        con.execute(f'use "{where[0]}"."{where[1]}"').fetchall()
        con.execute(f"detach {_WORKBENCH}").fetchall()


def build_compared_record(con: DuckDBPyConnection, warehouse: str) -> int:
    """Create `compared_record` in the workbench from `source_record` in the warehouse; returns how many
    records there are.

    Beside the columns that comparisons and blocking rules of the records' profile name
    (`LinkageModel.compared_columns`) it has:

    - record_number INTEGER: 1 to n in the order of source_record_id.
    - client_number INTEGER: the smallest record_number of the record's client.
    - under `standard`, names_in_order, names_in_reverse: both names as one number, as given and exchanged;
      first_name_sound_1, _2 and last_name_sound_1, _2: primary and alternate sound; name_sounds_either_way: both
      primary sounds as one number, in either order; birth_date_either_way_token likewise for day and month;
      name_sound_tokens: the sounds of all names.
    - under `high`, first_name_rarity and last_name_rarity 0 to 2 from common to rare, last_name_birth_date_1:
      the first of its list, birth_date_known, and ssn_digits: 9, 4 or null.
    - known_sex, known_zip3 INTEGER: null where sex is U and where the area is withheld (000).
    - tf_<token>: the token's share among clients. Clients are counted, not records: someone often seen must
      not make a name look common. Where client ids do not last (EMS) distinct identities are counted.
    """
    records = int(con.execute(f"select count(*) from {warehouse}.source_record").fetchall()[0][0])
    if records < 2:
        raise UsageError("Table source_record has fewer than two rows: there is nothing to link.")
    profile = recorded_profile(con, f"{warehouse}.source_record").name
    con.execute(
        f"""
        create or replace table numbered_record as
        select
            source_record_id,
            record_number,
            min(record_number) over (partition by source, client_id)::integer as client_number
        from (
            select source_record_id, source, client_id,
                row_number() over (order by source_record_id)::integer as record_number
            from {warehouse}.source_record
        )
        """
    ).fetchall()
    con.execute(
        f"""
        create or replace table unrated_record as
        select record_number, client_number, {record_columns_sql(profile)}
        from {warehouse}.source_record
        inner join numbered_record using (source_record_id)
        """
    ).fetchall()
    con.execute("drop table numbered_record").fetchall()
    for column in rarity_columns(profile):
        con.execute(_token_share(column)).fetchall()
    shares = ", ".join(f"{column}_share.tf_{column}" for column in rarity_columns(profile))
    joins = " ".join(f"left join {column}_share using ({column})" for column in rarity_columns(profile))
    con.execute(
        f"""
        create or replace table compared_record as
        select unrated_record.* exclude (source, identity_number), {shares}
        from unrated_record {joins}
        """
    ).fetchall()
    con.execute("drop table unrated_record").fetchall()
    return records


def build_compared_record_of(con: DuckDBPyConnection, warehouse: str, chosen: str) -> None:
    """Create `compared_record` in the workbench with no more than weighing pairs takes: the records that the table
    `chosen` names (source_record_id, each once), and the columns that comparisons read.

    record_number counts the chosen records; source and client_id stand in place of client_number. Names have the
    shares that the last scoring of all records counted (`keep_name_shares`); one that nobody had then is the rarest.
    """
    profile = recorded_profile(con, f"{warehouse}.source_record").name
    rated = rarity_columns(profile)
    compared = {column for each in comparisons(profile) for column in each.columns_compared()}
    shares = ", ".join(
        f"if({column} is not null, coalesce(tf_{column}, 0), null) as tf_{column}" for column in rated
    )
    joins = " ".join(
        f"left join (select token as {column}, share as tf_{column} from {warehouse}.name_share"
        f" where rated_column = '{column}') using ({column})"
        for column in rated
    )
    con.execute(
        f"""
        create or replace table compared_record as
        select record_number, source_record_id, source, client_id, {", ".join(sorted(compared | set(rated)))}, {shares}
        from (
            select record_number, client_id, {record_columns_sql(profile)}
            from {warehouse}.source_record
            inner join (
                select source_record_id, row_number() over (order by source_record_id)::integer as record_number
                from {chosen}
            ) using (source_record_id)
        )
        {joins}
        """
    ).fetchall()


def count_name_shares(con: DuckDBPyConnection) -> None:
    """Create or replace `name_share`, where another engine than this one weighed the pairs."""
    with workbench(con) as warehouse:
        build_compared_record(con, warehouse)
        keep_name_shares(con, warehouse)


def keep_name_shares(con: DuckDBPyConnection, warehouse: str) -> None:
    """Create or replace `name_share` in the warehouse: rated_column, token BIGINT and the share of clients
    that have it, as counted for the workbench's `compared_record`.
    """
    profile = recorded_profile(con, f"{warehouse}.source_record").name
    counted = " union all ".join(
        f"select '{column}' as rated_column, {column} as token, tf_{column} as share from {column}_share"
        for column in rarity_columns(profile)
    )
    con.execute(f"create or replace table {warehouse}.name_share as {counted}").fetchall()


def record_columns_sql(profile: str = "standard") -> str:
    """SQL: the columns of `compared_record` but for the record's two numbers and the shares of names, from those of
    `source_record`. Spark's engine reads it too (`linkage.spark`).
    """
    words = ", ".join(f"{bits}_{word}" for bits in FILTER_COLUMNS for word in range(1, FILTER_WORDS + 1))
    return f"""
        source_record_id,
        {", ".join(linkage_model(profile).compared_columns)},
        {words}, first_name_bits_count, last_name_bits_count,
        coalesce(birth_date_suspect, false) as birth_date_suspect, birth_year::integer as birth_year,
        case sex when 'F' then 1 when 'M' then 2 when 'X' then 3 end as known_sex,
        nullif(try_cast(zip3 as integer), 0) as known_zip3,
        source, identity_number
    """


def counted_once_sql() -> str:
    """SQL: what is counted when names are rated: the client, or the identity where client ids do not last."""
    lasting = [f"'{source.name}'" for source in declared_sources().values() if source.client_id_is_stable]
    return f"if(source in ({', '.join(lasting)}), client_number::bigint, -identity_number)"


def _token_share(column: str) -> str:
    """SQL: a lookup table of a token's share among clients (distinct identities where client ids do not
    last).
    """
    return f"""
        create or replace table {column}_share as
        select {column}, count(*) / sum(count(*)) over () as tf_{column}
        from (select distinct {counted_once_sql()} as counted_once, {column} from unrated_record
            where {column} is not null)
        group by {column}
        """


def find_candidate_pairs(
    con: DuckDBPyConnection, *, largest_block: int = LARGEST_BLOCK, profile: str = "standard"
) -> list[RuleCount]:
    """Create `candidate_pair` in the workbench: every pair that a blocking rule brings, once.

    Columns: record_number_l < record_number_r, rule UTINYINT (position of the first rule that brought the
    pair). Beside it `dropped_block` (rule, block): the blocks that were too large. Records of one client are
    never paired: that they belong together is certain. Returns one count per rule.
    """
    con.execute("create or replace table brought_pair (pair ubigint, rule utinyint)").fetchall()
    con.execute("create or replace table dropped_block (rule utinyint, block ubigint)").fetchall()
    found: list[dict[str, float]] = []
    for position, rule in enumerate(track(list(blocking_rules(profile).values()), "blocking")):
        found.append(_bring_pairs(con, position, rule, largest_block))
    con.execute(
        """
        create or replace table candidate_pair as
        select (pair >> 32)::integer as record_number_l, (pair & 4294967295)::integer as record_number_r,
            min(rule) as rule
        from brought_pair group by pair
        """
    ).fetchall()
    con.execute("drop table brought_pair").fetchall()
    new = dict(con.execute("select rule, count(*) from candidate_pair group by rule").fetchall())
    return rule_counts(list(blocking_rules(profile)), found, new)


def rule_counts(
    rules: Sequence[str], found: Sequence[Mapping[str, Any]], new_pairs: Mapping[int, int]
) -> list[RuleCount]:
    """One count per rule, from what was `found` for each (the other fields of `RuleCount`) and the pairs that no
    earlier rule brought, by the rule's position.
    """
    return [
        RuleCount(
            rule=name,
            pairs=int(counts["pairs"]),
            new_pairs=int(new_pairs.get(position, 0)),
            seconds=counts["seconds"],
            dropped_blocks=int(counts["dropped_blocks"]),
            dropped_records=int(counts["dropped_records"]),
            dropped_pairs=int(counts["dropped_pairs"]),
        )
        for position, (name, counts) in enumerate(zip(rules, found, strict=True))
    ]


def blocked_records_sql(
    rule: BlockingRule, *, of: str, record: str, only_blocks: str | None = None, like: str | None = None
) -> str:
    """SQL: the blocks of one rule that each row of `of` is in: block UBIGINT, the columns `record`, and
    lacking, whether it lacks what one side of a pair must lack.

    `only_blocks` names a table of blocks to which the result is restricted, `like` a table of the records that are in
    them, so that others can be left out before their lists are exploded.
    """
    lists = [column for column in rule.columns if column in TOKEN_LIST_COLUMNS]
    single = [column for column in rule.columns if column not in lists]
    columns = [f"unnest({column}) as {column}" if column in lists else column for column in rule.columns]
    # Conditions on single columns stand before the lists are exploded, and the blocks asked for before repeated
    # tokens of one list are taken out: both leave few rows for what is slow.
    has_single = " and ".join(f"{column} is not null" for column in single) or "true"
    has_lists = " and ".join(f"{column} is not null" for column in lists) or "true"
    lacking = f"{rule.one_lacks} is null" if rule.one_lacks else "true"
    # One column alone, a birth date or four digits, has hardly a value that no changed record has.
    if like and lists and len(single) > 1:
        whole = f"hash({', '.join(single)})"
        has_single = f"({has_single}) and {whole} in (select {whole} from {like})"
    return f"""
        select {"distinct" if lists else ""} block, {record}, lacking
        from (
            select hash({", ".join(rule.columns)}) as block, {record}, lacking
            from (select {record}, {lacking} as lacking, {", ".join(columns)} from {of} where {has_single})
            where {has_lists}
        )
        {f"semi join {only_blocks} using (block)" if only_blocks else ""}
        """


def blocks_sql(blocked_records: str, *, by: str = "block") -> str:
    """SQL: block, records and pairs of every block that makes pairs; `by` names the columns that make a block."""
    return f"""
        select {by}, records, lacking * (lacking - 1) // 2 + lacking * (records - lacking) as pairs
        from (select {by}, count(*) as records, count(*) filter (lacking) as lacking
            from {blocked_records} group by {by})
        where records > 1 and lacking > 0
        """


def most_pairs_of(largest_block: int) -> int:
    """Pairs of the largest block that is compared."""
    return largest_block * (largest_block - 1) // 2


def _bring_pairs(
    con: DuckDBPyConnection, position: int, rule: BlockingRule, largest_block: int
) -> dict[str, float]:
    """Add the pairs of one rule to `brought_pair`: join on one number per block, and count the blocks
    first.

    Where a rule asks that one side lacks something, those that lack it (few) are joined with all.
    """
    started = time.monotonic()
    con.execute(
        "create or replace table blocked_record as "
        + blocked_records_sql(rule, of="compared_record", record="record_number, client_number")
    ).fetchall()
    con.execute(f"create or replace table block as {blocks_sql('blocked_record')}").fetchall()
    most_pairs = most_pairs_of(largest_block)
    con.execute(
        f"insert into dropped_block select {position}, block from block where pairs > {most_pairs}"
    ).fetchall()
    dropped = con.execute(
        f"""
        select count(*), coalesce(sum(records), 0), coalesce(sum(pairs), 0)
        from block where pairs > {most_pairs}
        """
    ).fetchall()[0]
    con.execute(
        f"""
        create or replace table kept_record as
        select blocked_record.* from blocked_record
        semi join (select block from block where pairs <= {most_pairs}) as kept using (block)
        """
    ).fetchall()
    pairs = con.execute(
        f"""
        insert into brought_pair
        select
            (least(l.record_number, r.record_number)::ubigint << 32)
                | greatest(l.record_number, r.record_number)::ubigint,
            {position}
        from kept_record as l inner join kept_record as r using (block)
        where l.lacking and l.client_number <> r.client_number
            and (l.record_number < r.record_number or not r.lacking)
        """
    ).fetchall()[0][0]
    con.execute("drop table blocked_record; drop table kept_record; drop table block").fetchall()
    return {
        "pairs": pairs,
        "seconds": time.monotonic() - started,
        "dropped_blocks": dropped[0],
        "dropped_records": dropped[1],
        "dropped_pairs": dropped[2],
    }
