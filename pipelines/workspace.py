"""A county's workspace: one folder with everything it keeps, and the warehouse in it.

Folders are made 0700 and files 0600; only releases are opened to the group that the county names.
"""

import contextlib
import errno
import fcntl
import os
import secrets
import shutil
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import IO

import duckdb

from linkage.errors import FamiliarFacesError, UsageError
from pipelines.debris import SPILL, clear_debris
from pipelines.settings import CountySettings, load_settings

WORKSPACE_VARIABLE = "FAMILIAR_FACES_WORKSPACE"
MEMORY_LIMIT_VARIABLE = "FAMILIAR_FACES_MEMORY_LIMIT"

_SEED_BYTES = 32
_NO_ROOM = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
# DuckDB, SQLite and polars say it in words alone: the system's, or their own.
_NO_ROOM_IN_WORDS = (
    *(os.strerror(number) for number in _NO_ROOM),
    "database or disk is full",
    "Could not write all bytes",
)
_LOOK_AGAIN_SECONDS = 0.5
_LEAST_ROOM_BYTES = 1 << 20


@dataclass(frozen=True)
class Workspace:
    """Where things are in one county's folder (design: one folder, one writer)."""

    root: Path

    def __post_init__(self) -> None:
        # Wherever the process goes later, and whatever it hands the path to.
        object.__setattr__(self, "root", self.root.absolute())

    @property
    def county_file(self) -> Path:
        """Local policy."""
        return self.root / "county.toml"

    @property
    def landing(self) -> Path:
        """Deliveries: landing/<source>/<YYYY-MM>/."""
        return self.root / "landing"

    @property
    def warehouse(self) -> Path:
        """The pipeline's own database; analysts read releases, never this."""
        return self.root / "warehouse.duckdb"

    @property
    def models(self) -> Path:
        """Linkage models, one file per version."""
        return self.root / "models"

    @property
    def stewardship(self) -> Path:
        """Steward decisions, retractions and sign-offs, append-only."""
        return self.root / "stewardship.sqlite"

    @property
    def review_cases(self) -> Path:
        """What the review desk shows: written by the pipeline, replaced in one rename, read by the desk."""
        return self.root / "review" / "cases.sqlite"

    @property
    def prepared_release(self) -> Path:
        """What the last run prepared and how it differs from the current release, for whoever signs."""
        return self.root / "review" / "prepared.json"

    @property
    def quality_docs(self) -> Path:
        """What was expected and what was found, for stewards."""
        return self.root / "quality_docs"

    @property
    def releases(self) -> Path:
        """Published releases and the link `current`."""
        return self.root / "releases"

    @property
    def quarantine(self) -> Path:
        """Rows that were kept out, for the agencies that delivered them: quarantine/<source>/<month>.csv."""
        return self.root / "quarantine"

    @property
    def returns(self) -> Path:
        """What goes back to the agencies: returns/<release id>/<source>.parquet, for the county to hand over."""
        return self.root / "returns"

    @property
    def dagster_home(self) -> Path:
        """Dagster's run history for this county."""
        return self.root / "dagster"

    def settings(self) -> CountySettings:
        """The validated county file."""
        return load_settings(self.county_file)

    def prepare(self) -> None:
        """Make the folders, private to their owner. UsageError when there is no county file."""
        if not self.county_file.is_file():
            raise UsageError(
                f"{self.county_file} does not exist, so {self.root} is not a workspace. "
                "Copy sample_data/county.toml there and adapt it."
            )
        for folder in (self.landing, self.models, self.quality_docs, self.releases, self.dagster_home):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)

    def registry_seed(self) -> bytes:
        """The random seed, private to this workspace, from which person ids are derived.

        It is made once. Losing it changes the ids of people met later, never of those already registered.
        """
        path = self.root / "registry.seed"
        if not path.exists():
            draft = path.with_name(f".{path.name}.{os.getpid()}")
            draft.write_text(secrets.token_hex(_SEED_BYTES), encoding="ascii")
            draft.chmod(0o600)
            with contextlib.suppress(FileExistsError):
                os.link(draft, path)
            draft.unlink()
        return bytes.fromhex(path.read_text(encoding="ascii"))

    @contextlib.contextmanager
    def connect(self, *, read_only: bool = False) -> Iterator[duckdb.DuckDBPyConnection]:
        """Open the warehouse; larger-than-memory work spills into the workspace, never into a shared folder."""
        if read_only and not self.warehouse.exists():
            raise UsageError(f"{self.root} holds no finished run. Run `familiar-faces run` first.")
        spill = self.root / SPILL
        spill.mkdir(mode=0o700, exist_ok=True)
        try:
            connection = duckdb.connect(self.warehouse, read_only=read_only)
        except duckdb.IOException as error:
            if is_disk_full(error):
                raise disk_full(self.root) from None
            if "lock" not in str(error):
                raise FamiliarFacesError(
                    f"{self.warehouse} cannot be opened as a database. Nothing was changed; look whether its disk is "
                    "in order, and put the file back from a backup or move it away: a run makes it again from landing."
                ) from None
            raise UsageError(
                f"{self.warehouse} is in use by another process. "
                "Wait for it to finish, or close it; analysts open releases/current, never the warehouse."
            ) from None
        try:
            connection.execute("set temp_directory = ?", [str(spill)]).fetchall()
            # Also because DuckDB 2.0 has been seen to lose rows of a table that several inserts of one transaction
            # fill while it preserves their order (docs/decisions/duckdb-loses-rows.md).
            connection.execute("set preserve_insertion_order = false").fetchall()
            memory_limit = os.environ.get(MEMORY_LIMIT_VARIABLE)
            if memory_limit:
                connection.execute("set memory_limit = ?", [memory_limit]).fetchall()
            yield connection
        finally:
            connection.close()
            if self.warehouse.exists() and not read_only:
                self.warehouse.chmod(0o600)

    @contextlib.contextmanager
    def only_run(self, *, patience_seconds: float = 0) -> Iterator[None]:
        """Hold the workspace for one run. The lock dies with its process, so a killed run leaves none behind; what else
        it left is cleared away here.

        Raises UsageError when another run still holds it after `patience_seconds`.
        """
        path = self.root / ".run.lock"
        give_up_at = time.monotonic() + patience_seconds
        with path.open("a") as lock:
            while not _locked(lock):
                if time.monotonic() >= give_up_at:
                    raise UsageError(
                        f"Another run is using {self.root}. Wait for it to finish, then run again."
                    )
                time.sleep(_LOOK_AGAIN_SECONDS)
            try:
                clear_debris(self.root)
                yield
            except Exception as error:
                # SQLite says of a full disk that it cannot open a file, and what a step hit arrives without its words.
                is_unexplained = type(error) is FamiliarFacesError or not isinstance(
                    error, FamiliarFacesError
                )
                if is_unexplained and (is_disk_full(error) or _has_no_room(self.root)):
                    raise disk_full(self.root) from None
                raise


def is_disk_full(error: BaseException) -> bool:
    """Whether a library says that there was no room: by the number of the system's error, or in its own words."""
    return getattr(error, "errno", None) in _NO_ROOM or speaks_of_full_disk(str(error))


def speaks_of_full_disk(message: str) -> bool:
    """Whether the message of a library's error, which may quote a record and is not to be shown, is about room."""
    return any(words in message for words in _NO_ROOM_IN_WORDS)


def disk_full(root: Path) -> UsageError:
    """The sentence for a full disk."""
    return UsageError(
        f"The disk of {root} is full, or this user's share of it. What was accepted and released before is as it was; "
        "make room and run again."
    )


def out_of_memory() -> UsageError:
    """The sentence for a step that needs more memory than the database may use."""
    limit = os.environ.get(MEMORY_LIMIT_VARIABLE)
    allowed = f"{MEMORY_LIMIT_VARIABLE}, which is {limit}, allows" if limit else "this machine has"
    return UsageError(
        f"A step needs more memory than {allowed}. What was accepted and released before is as it was; raise "
        f"{MEMORY_LIMIT_VARIABLE} to at most four fifths of the machine's memory, or take a larger machine, and run "
        "again."
    )


def _has_no_room(folder: Path) -> bool:
    return shutil.disk_usage(folder).free < _LEAST_ROOM_BYTES


def _locked(lock: IO[str]) -> bool:
    try:
        fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return False
    return True
