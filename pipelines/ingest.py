"""From landing to the warehouse: every delivered row is accepted or quarantined, and the counts add up.

A delivery is written to candidate tables, judged there, and promoted in one transaction, so that a delivery that
fails leaves what was accepted before as it was. Delivering a month again replaces that month.
"""

import datetime as dt
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from linkage.encoding.columns import (
    ENCOUNTERS_FILE,
    MANIFEST_FILE,
    PEOPLE_FILE,
    PolarsType,
    delivered_encounter_columns,
)
from linkage.encoding.contract import Delivery, check_delivery, judge
from linkage.encoding.manifest import read_manifest
from linkage.encoding.profiles import STANDARD, Profile
from linkage.errors import CheckFailedError, DeliveryRefusedError, PolicyError
from linkage.progress import track
from linkage.records import recorded_profile, stored_people, stored_people_columns
from linkage.source import Source, declared_sources
from pipelines.delivered_identity import create_delivered_identity
from pipelines.relations import create_encounter_kind
from pipelines.settings import CountySettings

_BOOKKEEPING = """
create table if not exists delivery (
    source varchar not null,
    month varchar not null,
    covers_from date not null,
    covers_to date not null,
    delivered_people bigint not null,
    accepted_people bigint not null,
    quarantined_people bigint not null,
    delivered_encounters bigint not null,
    accepted_encounters bigint not null,
    quarantined_encounters bigint not null,
    key_check varchar not null,
    code_list_version varchar not null,
    content_sha256 varchar not null,
    primary key (source, month),
    check (delivered_people = accepted_people + quarantined_people),
    check (delivered_encounters = accepted_encounters + quarantined_encounters)
);
create table if not exists quarantined_row (
    source varchar not null,
    month varchar not null,
    file varchar not null,
    row_number bigint not null,
    rules varchar[] not null,
    primary key (source, month, file, row_number)
);
"""

_CLOCKS_DIFFER_BY = dt.timedelta(days=31)
_FILES = {"people": PEOPLE_FILE, "encounter": ENCOUNTERS_FILE}


@dataclass(frozen=True, kw_only=True)
class CandidateCounts:
    """What is waiting in the candidate tables of one source."""

    months: tuple[str, ...]
    delivered: int
    accepted: int
    quarantined: int


def prepare_warehouse(connection: duckdb.DuckDBPyConnection, profile: Profile = STANDARD) -> None:
    """Make the bookkeeping tables, the delivered tables of every declared source and the views over them.

    People have the columns of the encoding profile that the county takes. Raises PolicyError when the warehouse
    holds people of another one.

    A source that was declared since the last run gets its tables here, and nowhere else.
    """
    connection.execute(_BOOKKEEPING).fetchall()
    for source in declared_sources().values():
        for part, columns in _stored_columns(source, profile).items():
            _create_empty(connection, f"{source.name}_{part}", columns, replace=False)
        _keep_to_profile(connection, source, profile)
    parts = "\nunion all by name\n".join(map(_delivered_encounters, declared_sources().values()))
    connection.execute(f"create or replace view delivered_encounter as {parts}").fetchall()
    create_delivered_identity(connection, profile)
    create_encounter_kind(connection)


def _delivered_encounters(source: Source) -> str:
    """A select of a source's delivered encounters; what only an added source has is in the map `further`, as text."""
    own = [column.name for column in source.delivered_columns] if source.is_added else []
    keys, values = (
        ", ".join(each) for each in ([f"'{name}'" for name in own], [f"{n}::varchar" for n in own])
    )
    others = f"* exclude ({', '.join(own)})" if own else "*"
    return (
        f"select '{source.name}' as source, {others}, map([{keys}]::varchar[], [{values}]::varchar[]) as further "
        f"from {source.name}_encounter"
    )


def landed_months(landing: Path, source: Source) -> list[str]:
    """Months that have a delivery of `source` in landing, in order."""
    return sorted(path.parent.name for path in (landing / source.name).glob(f"[!.]*/{MANIFEST_FILE}"))


def pending_months(connection: duckdb.DuckDBPyConnection, landing: Path, source: Source) -> list[str]:
    """Landed months whose delivery is new or differs from the one accepted before.

    A manifest that cannot be read is pending too, so that `load_candidate` refuses it with a sentence.
    """
    accepted = dict(
        connection.execute(
            "select month, content_sha256 from delivery where source = ?", [source.name]
        ).fetchall()
    )
    return [
        month
        for month in landed_months(landing, source)
        if month not in accepted or _content_sha256(landing / source.name / month) != accepted[month]
    ]


def load_candidate(
    connection: duckdb.DuckDBPyConnection,
    landing: Path,
    source: Source,
    months: Sequence[str],
    settings: CountySettings,
    today: dt.date,
) -> CandidateCounts:
    """Check and judge the deliveries of `months` and write them to the candidate tables of `source`.

    Raises PolicyError when no valid agreement covers the source, and DeliveryRefusedError naming the first
    delivery that breaks the contract; the tables of accepted deliveries are not touched.
    """
    settings.agreement_for(source.name, today)
    expected_key_check = settings.key_check or _key_check_in_use(connection)
    # Committed before the rows come: DuckDB 2.0 loses sight of rows that are inserted, in one transaction, into a
    # table that an empty `create table as` of the same transaction made, once they fill a row group.
    for part, columns in _stored_columns(source, settings.profile).items():
        _create_empty(connection, f"candidate_{source.name}_{part}", columns, replace=True)
    for table in ("delivery", "quarantined_row"):
        connection.execute(
            f"create or replace table candidate_{source.name}_{table} as from {table} limit 0"
        ).fetchall()
    connection.execute("begin").fetchall()
    try:
        for month in track(months, f"{source.label}: reading deliveries"):
            delivery = check_delivery(
                landing / source.name / month,
                expected_key_check=expected_key_check,
                expected_profile=settings.profile.name,
            )
            _check_belongs(delivery, settings)
            _check_has_begun(delivery, today)
            expected_key_check = delivery.manifest.key_check
            _write_candidate(connection, source, delivery)
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise
    _check_nothing_was_lost(connection, source, "candidate_")
    delivered, accepted = connection.execute(
        "select coalesce(sum(delivered_people + delivered_encounters), 0)::bigint, "
        f"coalesce(sum(accepted_people + accepted_encounters), 0)::bigint from candidate_{source.name}_delivery"
    ).fetchall()[0]
    return CandidateCounts(
        months=tuple(months), delivered=delivered, accepted=accepted, quarantined=delivered - accepted
    )


def promote(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """Replace the accepted months of `source` by its candidate, in one transaction, and drop the candidate.

    Raises CheckFailedError when the tables do not hold the rows that the counts promise.
    """
    tables = {
        f"{source.name}_people": f"candidate_{source.name}_people",
        f"{source.name}_encounter": f"candidate_{source.name}_encounter",
        "delivery": f"candidate_{source.name}_delivery",
        "quarantined_row": f"candidate_{source.name}_quarantined_row",
    }
    connection.execute("begin").fetchall()
    try:
        for accepted, candidate in tables.items():
            of_source = (
                f"source = '{source.name}' and " if accepted in ("delivery", "quarantined_row") else ""
            )
            replaced = f"{of_source}month in (select month from candidate_{source.name}_delivery)"
            kept = connection.execute(
                f"select exists (from {accepted} where not coalesce({replaced}, false))"
            ).fetchall()[0][0]
            if kept or of_source:
                connection.execute(f"delete from {accepted} where {replaced}").fetchall()
                connection.execute(f"insert into {accepted} by name from {candidate}").fetchall()
            else:
                # Nothing accepted before remains, so the candidate takes the place without being copied.
                connection.execute(f"drop table {accepted}").fetchall()
                connection.execute(f"alter table {candidate} rename to {accepted}").fetchall()
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise
    _check_nothing_was_lost(connection, source, "")
    discard_candidate(connection, source)


def discard_candidate(connection: duckdb.DuckDBPyConnection, source: Source) -> None:
    """Drop the candidate tables of `source`, where there are any: a run that was killed, or a delivery that a check
    stopped, left them, and they hold rows.
    """
    for table in ("people", "encounter", "delivery", "quarantined_row"):
        connection.execute(f"drop table if exists candidate_{source.name}_{table}").fetchall()


def _content_sha256(folder: Path) -> str | None:
    try:
        return read_manifest((folder / MANIFEST_FILE).read_text(encoding="utf-8")).content_sha256
    except (OSError, ValueError):
        return None


def _check_nothing_was_lost(connection: duckdb.DuckDBPyConnection, source: Source, prefix: str) -> None:
    """Read back what was written and hold it against the counts.

    DuckDB 2.0 has been seen to lose rows of a table that was filled by several inserts in one transaction while it
    preserves insertion order (the warehouse does not); a count is cheap, a lost row is not.
    """
    of_source = f"where source = '{source.name}'"
    quarantined = f"{prefix}{source.name}_quarantined_row" if prefix else "quarantined_row"
    delivery = f"{prefix}{source.name}_delivery" if prefix else "delivery"
    promised = connection.execute(
        "select coalesce(sum(accepted_people), 0), coalesce(sum(accepted_encounters), 0), "
        f"coalesce(sum(quarantined_people + quarantined_encounters), 0) from {delivery} {of_source}"
    ).fetchall()[0]
    # The column is counted, not the rows, because the number of rows is not read from them.
    held = tuple(
        connection.execute(f"select count(row_number) from {table} {where}").fetchall()[0][0]
        for table, where in (
            (f"{prefix}{source.name}_people", ""),
            (f"{prefix}{source.name}_encounter", ""),
            (quarantined, of_source),
        )
    )
    if tuple(promised) != held:
        raise CheckFailedError(
            f"{source.label}: the database holds {sum(held):,} of {sum(promised):,} delivered rows after writing them. "
            "Nothing further was done with them. Run again; if it happens twice, report it."
        )


def _stored_columns(source: Source, profile: Profile) -> dict[str, dict[str, PolarsType]]:
    bookkeeping = {"month": pl.String(), "row_number": pl.Int32()}
    return {
        "people": {**stored_people_columns(profile), **bookkeeping},
        "encounter": {**delivered_encounter_columns(source), **bookkeeping},
    }


def _keep_to_profile(connection: duckdb.DuckDBPyConnection, source: Source, profile: Profile) -> None:
    """Records of two profiles never meet, so a warehouse keeps to the one it began with."""
    people = f"{source.name}_people"
    held = recorded_profile(connection, people)
    if held is profile:
        return
    if connection.execute(f"select count(*) from {people}").fetchall()[0][0]:
        raise PolicyError(
            f"The warehouse holds people of {source.name} under the encoding profile {held.name}, but county.toml "
            f"takes {profile.name}, and the two never meet: set [encoding] profile back, or begin a new workspace "
            "and have every agency encode again."
        )
    _create_empty(connection, people, _stored_columns(source, profile)["people"], replace=True)


def _create_empty(
    connection: duckdb.DuckDBPyConnection, table: str, columns: dict[str, PolarsType], *, replace: bool
) -> None:
    connection.register("empty_frame", pl.DataFrame(schema=columns))
    how = "create or replace table" if replace else "create table if not exists"
    connection.execute(f"{how} {table} as from empty_frame limit 0").fetchall()
    connection.unregister("empty_frame")


def _key_check_in_use(connection: duckdb.DuckDBPyConnection) -> str | None:
    values = connection.execute("select distinct key_check from delivery order by all").fetchall()
    return values[0][0] if values else None


def _check_belongs(delivery: Delivery, settings: CountySettings) -> None:
    for flag, code_list in settings.code_lists.items():
        # What the manifest names instead is not repeated: nothing keeps an agency's software from writing a name there.
        if delivery.manifest.code_lists[flag] != code_list:
            raise DeliveryRefusedError(
                f"{delivery.folder / MANIFEST_FILE}: the flag {flag} was made from another code list, "
                f"but county.toml asks for {code_list}. Encode the extract again with the county file."
            )


def _check_has_begun(delivery: Delivery, today: dt.date) -> None:
    """Everything is counted up to the last day that any delivery covers, so one month far ahead would empty every
    window."""
    if delivery.manifest.covers_from > today + _CLOCKS_DIFFER_BY:
        raise DeliveryRefusedError(
            f"{delivery.folder}: this month begins after today ({today}). Correct the month and deliver again; if "
            "the month is right, correct the clock of this machine."
        )


def _write_candidate(connection: duckdb.DuckDBPyConnection, source: Source, delivery: Delivery) -> None:
    judged = judge(delivery)
    accepted = {}
    for part, rows in (("people", judged.people), ("encounter", judged.encounters)):
        is_accepted = pl.col("broken_rules").list.len() == 0
        good_rows = rows.filter(is_accepted).drop("broken_rules").with_columns(month=pl.lit(delivery.month))
        quarantined_rows = rows.filter(~is_accepted).select(
            source=pl.lit(source.name),
            month=pl.lit(delivery.month),
            file=pl.lit(_FILES[part]),
            row_number="row_number",
            rules="broken_rules",
        )
        stored_rows = stored_people(good_rows, delivery.profile) if part == "people" else good_rows
        _insert(connection, f"candidate_{source.name}_{part}", stored_rows)
        _insert(connection, f"candidate_{source.name}_quarantined_row", quarantined_rows)
        accepted[part] = good_rows.height
    counts = pl.DataFrame(
        {
            "source": source.name,
            "month": delivery.month,
            "covers_from": delivery.manifest.covers_from,
            "covers_to": delivery.manifest.covers_to,
            "delivered_people": judged.people.height,
            "accepted_people": accepted["people"],
            "quarantined_people": judged.people.height - accepted["people"],
            "delivered_encounters": judged.encounters.height,
            "accepted_encounters": accepted["encounter"],
            "quarantined_encounters": judged.encounters.height - accepted["encounter"],
            "key_check": delivery.manifest.key_check,
            "code_list_version": delivery.manifest.code_lists["version"],
            "content_sha256": delivery.content_sha256,
        }
    )
    _insert(connection, f"candidate_{source.name}_delivery", counts)


def _insert(connection: duckdb.DuckDBPyConnection, table: str, rows: pl.DataFrame) -> None:
    connection.register("incoming_rows", rows)
    connection.execute(f"insert into {table} by name from incoming_rows").fetchall()
    connection.unregister("incoming_rows")
