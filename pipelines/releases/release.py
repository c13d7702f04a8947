"""Releases: built beside, checked, fingerprinted, then renamed; never edited.

A release is one folder, `releases/<id>/`, with the DuckDB file that analysts open, the same tables as Parquet files,
and a manifest that says from what it was made. Its id is the as-of date and a fingerprint of everything that went in,
so the same inputs give the same release and a rerun with nothing new publishes nothing. `releases/current` is a
symbolic link, replaced in one rename: whoever holds the old release open keeps it, whoever opens `current` next gets
the new one.
"""

import datetime as dt
import hashlib
import json
import shutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import duckdb

from linkage.errors import CheckFailedError, UsageError
from pipelines.state import fingerprint
from pipelines.workspace import Workspace
from quality.access_log import accesses, account, log_access

DATABASE_NAME = "familiar_faces.duckdb"
MANIFEST_NAME = "manifest.json"
_MANIFEST_VERSION = 1
_FINGERPRINT_LENGTH = 10
STORAGE_VERSION = "v1.4.0"
"""Of the released file: DuckDB 1.4 and all that came later open it; the package for R is behind ours."""
CHECKSUM_ENGINE = f"duckdb {duckdb.__version__}"
_READ_SIZE = 1 << 20
_PUBLISH = "publish"


@dataclass(frozen=True, kw_only=True)
class Release:
    """One published release."""

    folder: Path
    manifest: Mapping[str, Any]

    @property
    def release_id(self) -> str:
        """As-of date and fingerprint, such as 2026-01-01-3f9a0c2b17."""
        return self.folder.name

    @property
    def database(self) -> Path:
        """The DuckDB file that analysts open."""
        return self.folder / DATABASE_NAME


def release_id(state: Mapping[str, Any]) -> str:
    """The id of the release that `state` gives; `state` holds `as_of`."""
    return f"{state['as_of']}-{fingerprint(state)[:_FINGERPRINT_LENGTH]}"


def table_checksum(connection: duckdb.DuckDBPyConnection, table: str) -> tuple[int, str]:
    """Rows of a table and a checksum of its contents that does not depend on the order of rows.

    It is made of DuckDB's own row hashes, so it tells tables apart within one version of DuckDB
    (`CHECKSUM_ENGINE`); against tampering stands the SHA-256 of the file.
    """
    ((rows, total),) = connection.execute(
        f"select count(*), coalesce(sum(hash(whole_row)::hugeint), 0) from {table} as whole_row"
    ).fetchall()
    return rows, f"{total:x}"


def publish(
    workspace: Workspace,
    connection: duckdb.DuckDBPyConnection,
    *,
    relations: Mapping[str, str],
    state: Mapping[str, Any],
    details: Mapping[str, Any],
    readers_group: str | None,
) -> Release:
    """Copy `relations` (name to ordering) of the warehouse into a release and make it current.

    `state` is what the release's id is made from; `details` is further content of the manifest. Nothing that
    anyone reads changes before the last rename. Publishing the current release again changes nothing.
    """
    folder = workspace.releases / release_id(state)
    if folder.exists():
        problems = changed_files(read_release(folder))
        if problems:
            raise CheckFailedError(f"Release {folder.name} was not made current: {problems[0]}")
    else:
        draft = workspace.releases / f".{folder.name}.draft"
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        checksums = _copy_relations(connection, draft / DATABASE_NAME, relations)
        files = [DATABASE_NAME, *(f"{relation}.parquet" for relation in relations)]
        manifest = {
            "manifest_version": _MANIFEST_VERSION,
            "release_id": folder.name,
            "state": dict(state),
            **details,
            "relations": checksums,
            "checksum_engine": CHECKSUM_ENGINE,
            "files": {name: _file_sha256(draft / name) for name in files},
        }
        (draft / MANIFEST_NAME).write_text(
            json.dumps(manifest, indent=2, default=str) + "\n", encoding="utf-8"
        )
        draft.replace(folder)
    for published in list_releases(workspace):
        _open_to_readers(published.folder, readers_group)
    release = read_release(folder)
    _point_current_at(workspace, release)
    return release


def read_release(folder: Path) -> Release:
    """Read one release's manifest. UsageError when it is missing or unreadable."""
    path = folder / MANIFEST_NAME
    try:
        manifest = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        raise UsageError(
            f"{path} is missing or not readable, so {folder} is not a release; "
            "`familiar-faces release list` shows what is."
        ) from None
    return Release(folder=folder, manifest=manifest)


def current_release(workspace: Workspace) -> Release | None:
    """The release that `current` points at, or None before the first."""
    link = workspace.releases / "current"
    return read_release(link.resolve()) if link.exists() else None


def list_releases(workspace: Workspace) -> list[Release]:
    """Every complete release, oldest as-of date first."""
    folders = sorted(
        path.parent
        for path in workspace.releases.glob(f"[!.]*/{MANIFEST_NAME}")
        if not path.parent.is_symlink()
    )
    return [read_release(folder) for folder in folders]


def releases_of_the_same_day(workspace: Workspace, *, as_of: str, beside: str) -> list[Release]:
    """The complete releases that count up to `as_of` (an ISO date), but for the one whose id is `beside`."""
    return [
        release
        for release in list_releases(workspace)
        if release.manifest["state"]["as_of"] == as_of and release.release_id != beside
    ]


def changed_files(release: Release) -> list[str]:
    """Which files of a release differ from its manifest, as sentences; empty when none does."""
    return [
        f"{release.folder / name} differs from the checksum in {MANIFEST_NAME}; publish the release again."
        for name, sha256 in release.manifest["files"].items()
        if not (release.folder / name).is_file() or _file_sha256(release.folder / name) != sha256
    ]


def verify(release: Release) -> list[str]:
    """What in a release differs from its manifest, file by file and table by table, as sentences.

    Tables of a release that another version of DuckDB made are not reckoned again; their file's SHA-256 is.
    """
    problems = changed_files(release)
    if problems or release.manifest["checksum_engine"] != CHECKSUM_ENGINE:
        return problems
    with duckdb.connect(release.database, read_only=True) as connection:
        for relation, recorded in release.manifest["relations"].items():
            rows, checksum = table_checksum(connection, relation)
            if (rows, checksum) != (recorded["rows"], recorded["checksum"]):
                problems.append(
                    f"{release.database}, table {relation}: contents differ from {MANIFEST_NAME}; publish again."
                )
    return problems


def _copy_relations(
    connection: duckdb.DuckDBPyConnection, database: Path, relations: Mapping[str, str]
) -> dict[str, dict[str, Any]]:
    connection.execute(
        f"attach {_quoted(str(database))} as release (storage_version '{STORAGE_VERSION}')"
    ).fetchall()
    try:
        connection.execute("set preserve_insertion_order = true").fetchall()
        checksums = {}
        for relation, ordering in relations.items():
            connection.execute(
                f"create table release.{relation} as select * from main.{relation} order by {ordering}"
            ).fetchall()
            _copy_comments(connection, relation)
            rows, checksum = table_checksum(connection, f"release.{relation}")
            checksums[relation] = {"rows": rows, "checksum": checksum}
            parquet = _quoted(str(database.with_name(f"{relation}.parquet")))
            # In the order of the table, for those who read it with something else than DuckDB.
            connection.execute(
                f"copy release.{relation} to {parquet} (format parquet, compression zstd)"
            ).fetchall()
        connection.execute("checkpoint release").fetchall()
    finally:
        connection.execute("detach release").fetchall()
        connection.execute("set preserve_insertion_order = false").fetchall()
    return checksums


def _copy_comments(connection: duckdb.DuckDBPyConnection, relation: str) -> None:
    of_table = connection.execute(
        "select comment from duckdb_tables() where database_name = current_database() and table_name = ?",
        [relation],
    ).fetchall()
    of_columns = connection.execute(
        "select column_name, comment from duckdb_columns() "
        "where database_name = current_database() and schema_name = 'main' and table_name = ? order by column_index",
        [relation],
    ).fetchall()
    uncommented = [column for column, comment in of_columns if not comment]
    if not of_table or not of_table[0][0] or uncommented:
        what = f"column {uncommented[0]}" if uncommented else "the table"
        raise CheckFailedError(
            f"{relation} cannot be released: {what} has no comment. Describe it in the relation's header."
        )
    connection.execute(f"comment on table release.{relation} is {_quoted(of_table[0][0])}").fetchall()
    for column, comment in of_columns:
        connection.execute(
            f'comment on column release.{relation}."{column}" is {_quoted(comment)}'
        ).fetchall()


def _quoted(text: str) -> str:
    return "'" + text.replace("'", "''") + "'"


def _open_to_readers(folder: Path, readers_group: str | None) -> None:
    """Make a finished release read-only, and readable by the county's group where it names one (now: it may have been
    published before): the release, and the folder that it is in. The way to that folder is the county's to open.
    """
    files = sorted(folder.iterdir())
    if readers_group is None:
        modes = [(0o400, files), (0o500, [folder]), (0o700, [folder.parent])]
    else:
        modes = [(0o440, files), (0o550, [folder]), (0o750, [folder.parent])]
    for mode, paths in modes:
        for path in paths:
            if readers_group is not None:
                _give_to(path, readers_group)
            path.chmod(mode)


def _give_to(path: Path, readers_group: str) -> None:
    try:
        shutil.chown(path, group=readers_group)
    except (LookupError, PermissionError):
        raise UsageError(
            f"county.toml, [release] readers_group: files cannot be given to the group {readers_group!r}. "
            "Name a group of this machine that the pipeline's user belongs to."
        ) from None


def _point_current_at(workspace: Workspace, release: Release) -> None:
    link = workspace.releases / "current"
    is_current = link.is_symlink() and link.readlink() == Path(release.release_id)
    if is_current and _last_published(workspace) == release.release_id:
        return
    if not is_current:
        draft = workspace.releases / ".current.draft"
        draft.unlink(missing_ok=True)
        draft.symlink_to(release.release_id)
        draft.replace(link)
    log_access(
        workspace.stewardship, account(), _PUBLISH, now=dt.datetime.now(dt.UTC), about=release.release_id
    )


def _last_published(workspace: Workspace) -> str | None:
    """The release that the access log names last as published, or None: a run may have died before it wrote that."""
    published = accesses(workspace.stewardship).filter(what=_PUBLISH)["about"]
    return published[-1] if len(published) else None


def _file_sha256(path: Path) -> str:
    digest = hashlib.sha256()
    with path.open("rb") as file:
        while chunk := file.read(_READ_SIZE):
            digest.update(chunk)
    return digest.hexdigest()
