"""Retraction: a client or an encounter that must no longer be anywhere (sealed, expunged, consent revoked, deleted
at the source).

A steward records a tombstone (linkage/tombstones.py), or a delivery brings what its agency takes back. From its day on
every ingest takes what a tombstone names out of the landing zone, the warehouse and the stewards' decisions, whether it
came before or comes again; what is made from them follows in the same run: clusters are formed without it, and a person
who was held together only by it splits. When the run's tables
are made, `erase` takes out what is left: the registry's memory of who founded a person, and the blocks of the
database file in which deleted rows linger. Releases that held it are listed for recall.
"""

import datetime as dt
import os
import shutil
import sqlite3
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from hashlib import sha256
from pathlib import Path

import duckdb
import polars as pl

from linkage.encoding.columns import ENCOUNTERS_FILE, MANIFEST_FILE, PEOPLE_FILE, RETRACTED_FILE
from linkage.encoding.contract import check_delivery, delivered_retractions
from linkage.encoding.delivery import write_delivered
from linkage.encoding.manifest import read_manifest
from linkage.errors import DeliveryRefusedError, UsageError
from linkage.pages import replace_file
from linkage.source import Source
from linkage.stewardship import opened_stewardship
from linkage.tombstones import Tombstone, mark_erased, record_tombstones, tombstones_in_force
from pipelines.releases.brief import brief_file
from pipelines.releases.release import Release, current_release, list_releases
from pipelines.workspace import Workspace

_REMOVED_SUFFIX, _DRAFT_SUFFIX = ".with_retracted", ".without_retracted"


def withdraw(
    workspace: Workspace, connection: duckdb.DuckDBPyConnection, source: Source, today: dt.date
) -> set[str]:
    """Record what landed deliveries of a source take back, and take all that tombstones name of it out of landing,
    warehouse and decisions; returns the months whose landed delivery was written again without it, which must be
    ingested again.

    Called before a source is ingested, so that nothing retracted is ingested again. A run that dies in between does
    the rest the next time.
    """
    folders = [
        folder
        for folder in _landed(workspace.landing / source.name)
        if _takes_nothing_back_unrecorded(workspace, source, folder, today)
    ]
    clients, encounters = _in_force(workspace, source, today)
    if not clients and not encounters:
        return set()
    _remove_decisions(workspace, source, clients)
    rewritten = {folder.name for folder in folders if _remove_from_delivery(folder, clients, encounters)}
    _remove_accepted(connection, source, clients, encounters)
    return rewritten


def erase(workspace: Workspace, today: dt.date) -> int:
    """After a run's tables are made without them: take what is left of retracted clients out of the registry of
    persons and out of the blocks of the warehouse's file. Returns how many tombstones were newly carried out.
    """
    waiting = tombstones_in_force(workspace.stewardship, today).filter(pl.col("erased_at").is_null())
    if waiting.is_empty():
        return 0
    with workspace.connect() as connection:
        _forget_founders(connection, waiting)
        connection.execute("checkpoint").fetchall()
    _rewrite_database(workspace)
    mark_erased(workspace.stewardship, today, now=dt.datetime.now(dt.UTC))
    return waiting.height


def releases_to_recall(workspace: Workspace, today: dt.date) -> list[Release]:
    """Published releases that hold a client or an encounter of a tombstone in force."""
    in_force = tombstones_in_force(workspace.stewardship, today)
    if in_force.is_empty():
        return []
    found = []
    for release in list_releases(workspace):
        with duckdb.connect(release.database, read_only=True) as connection:
            connection.register("tombstone", in_force.to_arrow())
            ((holds,),) = connection.execute(
                """
                select
                    exists (from person_crosswalk semi join tombstone using (source, client_id))
                    or exists (from encounter semi join tombstone using (source, client_id))
                    or exists (from encounter semi join tombstone using (source, encounter_id))
                """
            ).fetchall()
        if holds:
            found.append(release)
    return found


def recall(workspace: Workspace, today: dt.date) -> list[Release]:
    """Delete the releases that hold what was retracted, their return files and briefs; returns those deleted.

    Raises UsageError, and deletes none, when the current release is one of them: the next run replaces it.
    """
    found = releases_to_recall(workspace, today)
    current = current_release(workspace)
    if current is not None and any(release.release_id == current.release_id for release in found):
        raise UsageError(
            f"The current release {current.release_id} holds what was retracted, and nothing has replaced it yet. "
            "Run `familiar-faces run` (and sign, where the county asks for it), then recall. Nothing was deleted."
        )
    for release in found:
        release.folder.chmod(0o700)
        shutil.rmtree(release.folder)
        shutil.rmtree(workspace.returns / release.release_id, ignore_errors=True)
        brief_file(workspace, release).unlink(missing_ok=True)
    return found


def _in_force(workspace: Workspace, source: Source, today: dt.date) -> tuple[set[str], set[str]]:
    of_source = tombstones_in_force(workspace.stewardship, today).filter(source=source.name)
    clients, encounters = (set(of_source[column].drop_nulls()) for column in ("client_id", "encounter_id"))
    return clients, encounters


def _landed(folder: Path) -> list[Path]:
    """Deliveries of one source, after finishing or undoing what a killed run left half done."""
    for left in sorted(folder.glob(f".*{_REMOVED_SUFFIX}")):
        place = folder / left.name.removeprefix(".").removesuffix(_REMOVED_SUFFIX)
        if place.exists():
            shutil.rmtree(left)
        else:
            left.replace(place)
    for left in folder.glob(f".*{_DRAFT_SUFFIX}"):
        shutil.rmtree(left)
    return sorted(path.parent for path in folder.glob(f"[!.]*/{MANIFEST_FILE}"))


def _takes_nothing_back_unrecorded(
    workspace: Workspace, source: Source, folder: Path, today: dt.date
) -> bool:
    """Make tombstones of what a delivery takes back, if it keeps the whole contract: they cannot be undone. Whether
    nothing is left to record; a delivery of which something is must stay as it came, for ingest to refuse."""
    try:
        manifest = read_manifest((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        if RETRACTED_FILE not in manifest.sha256:
            return True
        settings = workspace.settings()
        delivery = check_delivery(
            folder, expected_key_check=settings.key_check, expected_profile=settings.profile.name
        )
        delivered = delivered_retractions(folder, delivery.manifest)
    except (OSError, ValueError, DeliveryRefusedError):
        return False
    ids = [
        *({"client_id": each} for each in delivered.client_ids),
        *({"encounter_id": each} for each in delivered.encounter_ids),
    ]
    record_tombstones(
        workspace.stewardship,
        [Tombstone(source=source.name, effective_on=today, **each) for each in ids],
        recorded_by=f"{source.label}, delivery of {folder.name}",
        now=dt.datetime.now(dt.UTC),
    )
    return True


def _remove_from_delivery(folder: Path, clients: set[str], encounters: set[str]) -> bool:
    """Write a delivery again without what is retracted, and without its list of what to take back, which the
    tombstones have now; whether there was anything.

    A delivery that cannot be read is left for ingest to refuse.
    """
    kept = {
        PEOPLE_FILE: ~pl.col("client_id").is_in(list(clients)).fill_null(value=False),
        ENCOUNTERS_FILE: ~(
            pl.col("client_id").is_in(list(clients)).fill_null(value=False)
            | pl.col("encounter_id").is_in(list(encounters)).fill_null(value=False)
        ),
    }
    try:
        manifest = read_manifest((folder / MANIFEST_FILE).read_text(encoding="utf-8"))
        # Of most deliveries only the ids are read.
        fewer = {
            Path(file).stem: int(pl.scan_parquet(folder / file).select((~keep).sum()).collect().item())
            for file, keep in kept.items()
        }
    except (OSError, ValueError, pl.exceptions.PolarsError):
        return False
    if not any(fewer.values()) and RETRACTED_FILE not in manifest.sha256:
        return False
    draft = folder.with_name(f".{folder.name}{_DRAFT_SUFFIX}")
    removed = folder.with_name(f".{folder.name}{_REMOVED_SUFFIX}")
    draft.mkdir(mode=0o700)
    for file, keep in kept.items():
        (draft / file).touch(mode=0o600)
        write_delivered(pl.read_parquet(folder / file).filter(keep).lazy(), draft / file)
    without = replace(
        manifest,
        rows={stem: rows - fewer[stem] for stem, rows in manifest.rows.items()},
        left_out={stem: rows + fewer[stem] for stem, rows in manifest.left_out.items()},
        sha256={file: sha256((draft / file).read_bytes()).hexdigest() for file in kept},
    )
    replace_file(draft / MANIFEST_FILE, without.as_json())
    folder.replace(removed)
    draft.replace(folder)
    shutil.rmtree(removed)
    return True


def _remove_accepted(
    connection: duckdb.DuckDBPyConnection, source: Source, clients: set[str], encounters: set[str]
) -> None:
    """Delete accepted rows and count them no more, also of months that are no longer in landing."""
    of_client = "list_contains($clients, client_id)"
    connection.execute("begin").fetchall()
    try:
        for table, counted, condition in (
            ("people", "people", of_client),
            ("encounter", "encounters", f"({of_client} or list_contains($encounters, encounter_id))"),
        ):
            given = {"clients": sorted(clients)}
            if table == "encounter":
                given["encounters"] = sorted(encounters)
            by_month = connection.execute(
                f"select month, count(*) from {source.name}_{table} where {condition} group by month", given
            ).fetchall()
            connection.execute(f"delete from {source.name}_{table} where {condition}", given).fetchall()
            for month, rows in by_month:
                # Scoring changes alone would keep the shares of names that only the retracted had.
                connection.execute("drop table if exists scoring_run").fetchall()
                connection.execute(
                    f"update delivery set delivered_{counted} = delivered_{counted} - $rows, "
                    f"accepted_{counted} = accepted_{counted} - $rows where source = $source and month = $month",
                    {"rows": rows, "source": source.name, "month": month},
                ).fetchall()
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise


def _remove_decisions(workspace: Workspace, source: Source, clients: set[str]) -> None:
    """Take decisions and answers about a retracted client out of the stewardship file, and out of its free pages."""
    if not clients or not workspace.stewardship.exists():
        return
    with opened_stewardship(workspace.stewardship) as store:
        store.execute("pragma secure_delete = on").fetchall()
        present = {row[0] for row in store.execute("select name from sqlite_master where type = 'table'")}
        marks = ", ".join("?" * len(clients))
        about = " or ".join(f"(source_{side} = ? and client_id_{side} in ({marks}))" for side in ("l", "r"))
        given = [source.name, *sorted(clients)] * 2
        concerned = {
            table: store.execute(f"select count(*) from {table} where {about}", given).fetchone()[0]
            for table in ("decision", "review")
            if table in present
        }
        if not any(concerned.values()):
            return
        store.execute("begin immediate")
        for table in concerned:
            with _deletable(store, table):
                if table == "review":
                    store.execute(
                        "delete from review where undoes in "
                        f"(select review_number from review where {about})",
                        given,
                    )
                store.execute(f"delete from {table} where {about}", given)
        store.execute("commit")
        store.execute("pragma wal_checkpoint(truncate)").fetchall()
        store.execute("vacuum")
        store.execute("pragma wal_checkpoint(truncate)").fetchall()


@contextmanager
def _deletable(store: sqlite3.Connection, table: str) -> Iterator[None]:
    """Lift the triggers that keep a table append-only, and put them back."""
    triggers = store.execute(
        "select name, sql from sqlite_master where type = 'trigger' and tbl_name = ?", [table]
    ).fetchall()
    for name, _ in triggers:
        store.execute(f"drop trigger {name}")
    yield
    for _, statement in triggers:
        store.execute(statement)


def _forget_founders(connection: duckdb.DuckDBPyConnection, waiting: pl.DataFrame) -> None:
    """Take retracted clients out of the registry of persons: ids stay, who founded them is forgotten."""
    connection.register("tombstone", waiting.filter(pl.col("client_id").is_not_null()).to_arrow())
    for role in ("founded", "anchor"):
        connection.execute(
            f"update person_registry set {role}_client_id = '' "
            f"where ({role}_source, {role}_client_id) in (select (source, client_id) from tombstone)"
        ).fetchall()
    connection.unregister("tombstone")


def _rewrite_database(workspace: Workspace) -> None:
    """Copy the warehouse into a new file and put it in place: blocks of deleted rows do not come along."""
    draft = workspace.warehouse.with_name(f".{workspace.warehouse.name}.{os.getpid()}")
    draft.unlink(missing_ok=True)
    with workspace.connect() as connection:
        quoted = str(draft).replace("'", "''")
        connection.execute(f"attach '{quoted}' as rewritten").fetchall()
        ((original,),) = connection.execute("select current_database()").fetchall()
        connection.execute(f"copy from database {original} to rewritten").fetchall()
        connection.execute("checkpoint rewritten").fetchall()
        connection.execute("detach rewritten").fetchall()
    draft.chmod(0o600)
    draft.replace(workspace.warehouse)
    workspace.warehouse.with_name(f"{workspace.warehouse.name}.wal").unlink(missing_ok=True)
