"""Person ids that stay: each run's clusters are matched with the persons that were known before.

A `person_id` is opaque and minted once: an HMAC, under a random seed private to the workspace, of the
client that founds the person. A run repeated after a crash mints the same ids, nobody outside can derive
one, and nothing about a person can be read off it.

Each cluster is matched with the known persons by the clients they share. The largest overlap keeps the id;
ties go to the older person, then to the smaller id, then to the cluster that holds the person's anchor. The
*anchor* is the client that founded the person or, once that one has left, the first of its clients; by it a
person who was gone entirely is known again (of several, the one who left last). What happens to ids is
recorded as events in `person_id_change`:

- minted: the id is new.
- merged: the id is gone; most of its clients are now in the person `into_person_id`.
- split: the id lives on (or was merged), but some of its clients are in the new person `into_person_id`.
- moved: some of its clients are in another person that was known before.
- retired: none of its clients is delivered any more.
- restored: its anchor came back, or was parted again from the person it had been merged into.
"""

from dataclasses import dataclass

import polars as pl
from duckdb import DuckDBPyConnection

ALTERNATIVES = {
    "person_id_080": "cluster_080",
    "person_id_095": "cluster_095",
    "person_id_099": "cluster_099",
}
"""Crosswalk columns with person ids at other thresholds, and the columns of `cluster` they come from."""

EVENTS = ("minted", "merged", "split", "moved", "retired", "restored")


@dataclass(frozen=True, kw_only=True)
class RegistryReport:
    """Persons there are now, and how many events of each kind this run recorded."""

    persons: int
    events: dict[str, int]


def update_registry(con: DuckDBPyConnection, seed: bytes, *, run: str = "") -> RegistryReport:
    """Give every cluster of the table `cluster` its person id, in one transaction; the same clusters again
    change nothing.

    Writes, from `cluster` and what earlier runs left in these tables:

    - person_crosswalk: source, client_id, person_id, person_id_080, person_id_095, person_id_099. At
      another threshold a cluster has the id of the (oldest) person whose anchor it holds; one that holds
      none has an id of its own, which is stable as long as its first client is.
    - person_registry: person_id, founded_number BIGINT (1 for the oldest), founded_in (label of the run),
      founded_source, founded_client_id, anchor_source, anchor_client_id, status (active, merged, retired),
      into_person_id (where merged), left_by_change BIGINT (where not active: the first change of the run in
      which it left).
    - person_id_change: change_number BIGINT, run, event, person_id, into_person_id, clients BIGINT (how
      many).

    `seed` is the workspace's secret, `run` a label for the events. The connection must not be inside a
    transaction.
    """
    con.execute("begin transaction").fetchall()
    try:
        _create_tables(con)
        _match_clusters(con)
        _name_new_clusters(con, seed, run)
        _record_changes(con, run)
        _write_crosswalk(con, seed)
        con.execute("commit").fetchall()
    except BaseException:
        con.execute("rollback").fetchall()
        raise
    persons = con.execute("select count(*) from person_registry where status = 'active'").fetchall()[0][0]
    counts = dict(
        con.execute(
            "select event, count(*) from person_id_change where run = ? group by event", [run]
        ).fetchall()
    )
    return RegistryReport(persons=int(persons), events={event: int(counts.get(event, 0)) for event in EVENTS})


def _create_tables(con: DuckDBPyConnection) -> None:
    alternatives = ", ".join(f"{column} varchar not null" for column in ALTERNATIVES)
    con.execute(
        f"""
        create table if not exists person_crosswalk (
            source varchar not null, client_id varchar not null, person_id varchar not null, {alternatives});
        create table if not exists person_registry (
            person_id varchar not null, founded_number bigint not null, founded_in varchar not null,
            founded_source varchar not null, founded_client_id varchar not null,
            anchor_source varchar not null, anchor_client_id varchar not null,
            status varchar not null, into_person_id varchar, left_by_change bigint);
        create table if not exists person_id_change (
            change_number bigint not null, run varchar not null, event varchar not null,
            person_id varchar not null, into_person_id varchar, clients bigint not null);
        """
    ).fetchall()


def _match_clusters(con: DuckDBPyConnection) -> None:
    """Create the temporary table `kept_cluster` (cluster_id, person_id): clusters that keep a known id.

    Where a cluster and a person share clients with nobody else the match is plain; the rest is settled one
    by one, the largest overlap first.
    """
    con.execute(
        """
        create or replace temp table numbered_client as
        select row_number() over (order by source, client_id) as client, * from cluster;

        create or replace temp table cluster_first as
        select cluster_id, min(client) as client from numbered_client group by cluster_id;

        create or replace temp table overlap as
        select cluster_id, person_id, count(*) as clients,
            bool_or(source = anchor_source and client_id = anchor_client_id) as holds_anchor,
            any_value(founded_number) as founded_number,
            count(*) over (partition by cluster_id) as of_cluster,
            count(*) over (partition by person_id) as of_person
        from cluster
        inner join person_crosswalk using (source, client_id)
        inner join person_registry using (person_id)
        group by cluster_id, person_id;
        """
    ).fetchall()
    contested = con.execute(
        """
        select cluster_id, person_id from overlap inner join cluster_first using (cluster_id)
        where of_cluster > 1 or of_person > 1
        order by clients desc, founded_number, person_id, holds_anchor desc, client
        """
    ).fetchall()
    named: dict[int, str] = {}
    taken: set[str] = set()
    for cluster_id, person_id in contested:
        if cluster_id not in named and person_id not in taken:
            named[cluster_id] = person_id
            taken.add(person_id)
    _put(
        con,
        "settled_cluster",
        pl.DataFrame(
            {"cluster_id": list(named), "person_id": list(named.values())},
            schema={"cluster_id": pl.Int64, "person_id": pl.String},
        ),
    )
    con.execute(
        """
        create or replace temp table kept_cluster as
        select cluster_id, person_id from overlap where of_cluster = 1 and of_person = 1
        union all select cluster_id, person_id from settled_cluster
        """
    ).fetchall()


def _name_new_clusters(con: DuckDBPyConnection, seed: bytes, run: str) -> None:
    """Create the temporary table `named_cluster` (cluster_id, person_id): every cluster.

    Those that share no client with an active person, or lost the contest, have the id of a person they bring back
    (`restored_person`), otherwise a new one (`minted_person`).
    """
    con.execute(
        """
        create or replace temp table restored_person as
        select cluster_id, arg_min(person_id, (-left_by_change, founded_number)) as person_id
        from person_registry
        inner join cluster on source = anchor_source and client_id = anchor_client_id
        anti join kept_cluster using (cluster_id)
        where status <> 'active'
        group by cluster_id;

        update person_registry set status = 'active', into_person_id = null, left_by_change = null
        where person_id in (select person_id from restored_person);
        """
    ).fetchall()
    con.execute(
        f"""
        create or replace temp table minted_person as
        select
            cluster_id,
            {_ID_SQL.format(founder="source || '|' || client_id || '|' || founded_before")} as person_id,
            source,
            client_id,
            (select coalesce(max(founded_number), 0) from person_registry)
                + row_number() over (order by client) as founded_number
        from (
            select cluster_id, client, source, client_id, count(person_id) as founded_before
            from cluster_first
            inner join numbered_client using (cluster_id, client)
            left join person_registry on founded_source = source and founded_client_id = client_id
            anti join kept_cluster using (cluster_id)
            anti join restored_person using (cluster_id)
            group by all
        )
        """,
        _id_parameters(seed),
    ).fetchall()
    con.execute(
        """
        create or replace temp table named_cluster as
        select cluster_id, person_id from kept_cluster
        union all select cluster_id, person_id from restored_person
        union all select cluster_id, person_id from minted_person
        """
    ).fetchall()
    con.execute(
        """
        insert into person_registry
        select person_id, founded_number, ?, source, client_id, source, client_id, 'active', null, null
        from minted_person
        """,
        [run],
    ).fetchall()


def _record_changes(con: DuckDBPyConnection, run: str) -> None:
    """Append this run's events and bring status and anchors of the registry up to date."""
    con.execute(
        """
        create or replace temp table now_in as
        select client, source, client_id, person_id
        from numbered_client inner join named_cluster using (cluster_id);

        create or replace temp table transfer as
        select was.person_id, now_in.person_id as into_person_id, count(*) as clients
        from person_crosswalk as was inner join now_in using (source, client_id)
        where was.person_id <> now_in.person_id
        group by all;

        create or replace temp table gone_person as
        select person_id, count(*) as clients
        from person_crosswalk anti join named_cluster using (person_id) group by person_id;

        create or replace temp table merged_person as
        select person_id, into_person_id, clients from transfer
        semi join gone_person using (person_id)
        inner join (select person_id as into_person_id, founded_number from person_registry) using
        (into_person_id) qualify row_number() over (partition by person_id order by clients desc,
        founded_number) = 1;

        create or replace temp table new_person as
        select person_id from minted_person union all select person_id from restored_person;

        create or replace temp table change as
        select 1 as kind, 'minted' as event, person_id, null::varchar as into_person_id, count(*) as clients
        from minted_person inner join now_in using (person_id) group by person_id
        union all
        select 2, 'restored', person_id, null, count(*)
        from restored_person inner join now_in using (person_id) group by person_id
        union all
        select 3, 'merged', person_id, into_person_id, clients from merged_person
        union all
        select 4, if(into_person_id in (select person_id from new_person), 'split', 'moved'),
            person_id, into_person_id, clients
        from transfer anti join merged_person using (person_id, into_person_id)
        union all
        select 5, 'retired', person_id, null, clients from gone_person anti join merged_person using
        (person_id);
        """
    ).fetchall()
    con.execute(
        """
        create or replace temp table numbered_change as
        select (select coalesce(max(change_number), 0) from person_id_change)
                + row_number() over (order by kind, person_id, into_person_id) as change_number,
            event, person_id, into_person_id, clients
        from change;
        """
    ).fetchall()
    con.execute(
        """
        insert into person_id_change
        select change_number, ?, event, person_id, into_person_id, clients from numbered_change
        """,
        [run],
    ).fetchall()
    con.execute(
        """
        update person_registry set status = event, into_person_id = gone.into_person_id,
            left_by_change = (select min(change_number) from numbered_change)
        from numbered_change as gone
        where event in ('merged', 'retired') and person_registry.person_id = gone.person_id;

        create or replace temp table left_behind as
        select person_id, min(client) as client
        from now_in
        semi join (
            select person_id from person_registry
            semi join now_in using (person_id)
            anti join (select person_id, source as anchor_source, client_id as anchor_client_id from now_in)
                using (person_id, anchor_source, anchor_client_id)
        ) as parted using (person_id)
        group by person_id;

        update person_registry set anchor_source = source, anchor_client_id = client_id
        from left_behind inner join now_in using (person_id, client)
        where person_registry.person_id = left_behind.person_id;
        """
    ).fetchall()


def _write_crosswalk(con: DuckDBPyConnection, seed: bytes) -> None:
    """Rewrite `person_crosswalk`."""
    con.execute(
        """
        create or replace temp table anchored_client as
        select client, person_id, founded_number
        from numbered_client
        inner join person_registry on source = anchor_source and client_id = anchor_client_id
        where status = 'active'
        """
    ).fetchall()
    for clusters in ALTERNATIVES.values():
        con.execute(
            f"""
            create or replace temp table named_{clusters} as
            select {clusters}, coalesce(
                found.person_id, {_ID_SQL.format(founder="'apart|' || source || '|' || client_id")}
            ) as person_id
            from (
                select {clusters}, arg_min(person_id, founded_number) as person_id, min(client) as client
                from numbered_client left join anchored_client using (client) group by {clusters}
            ) as found
            inner join numbered_client using ({clusters}, client)
            """,
            _id_parameters(seed),
        ).fetchall()
    alternatives = ", ".join(
        f"named_{clusters}.person_id as {column}" for column, clusters in ALTERNATIVES.items()
    )
    joins = " ".join(f"inner join named_{clusters} using ({clusters})" for clusters in ALTERNATIVES.values())
    con.execute(
        f"""
        delete from person_crosswalk;
        insert into person_crosswalk
        select source, client_id, named_cluster.person_id, {alternatives}
        from numbered_client inner join named_cluster using (cluster_id) {joins};
        """
    ).fetchall()


def _put(con: DuckDBPyConnection, table: str, rows: pl.DataFrame) -> None:
    """Create a temporary table from a frame.

    Here, inside a transaction, no table is inserted into twice: DuckDB 2.0, with more than one thread, silently
    loses an insert of a row group or more (122,880 rows) that follows one of no row at all.
    """
    con.register("put_frame", rows.to_arrow())
    con.execute(f"create or replace temp table {table} as select * from put_frame").fetchall()
    con.unregister("put_frame")


_ID_SQL = "'P' || left(sha256($outer || unhex(sha256($inner || encode({founder})))), 20)"
"""SQL: `P` and twenty hexadecimal digits (80 bits) of the HMAC-SHA256 (RFC 2104) of a founder under the
seed."""


def _id_parameters(seed: bytes) -> dict[str, bytes]:
    """The two padded keys of RFC 2104, section 2, for SHA-256's block of 64 bytes."""
    padded = seed.ljust(64, b"\0")
    return {"inner": bytes(byte ^ 0x36 for byte in padded), "outer": bytes(byte ^ 0x5C for byte in padded)}
