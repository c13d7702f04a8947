"""The one resource that assets use: the county's workspace."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl
from pydantic import PrivateAttr

from linkage.errors import FamiliarFacesError
from pipelines.workspace import WORKSPACE_VARIABLE, Workspace, disk_full, is_disk_full, out_of_memory

WAREHOUSE_POOL = "warehouse"
"""Every asset writes the same DuckDB file, so one run at a time may hold this pool."""

_PATIENCE_SECONDS = 4 * 60 * 60


class CountyWorkspace(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The county's folder, by default the one that FAMILIAR_FACES_WORKSPACE names."""

    root: str = dg.EnvVar(WORKSPACE_VARIABLE)
    run_is_held: bool = False
    """Whether the caller holds the workspace for this run already; otherwise the first use of the warehouse does."""
    _held: contextlib.ExitStack | None = PrivateAttr(default=None)

    def open(self) -> Workspace:
        """The workspace with its folders in place."""
        workspace = Workspace(Path(self.root))
        workspace.prepare()
        return workspace

    @contextlib.contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the warehouse, alone on it; from the first one on, the workspace is this run's until it ends.

        Dagster's pool keeps its own runs apart; the lock keeps apart what it did not start, such as a run of the
        command line. A run of Dagster's waits for that one, because nobody stands by to start it again.

        An error of the database, or of polars, is reported without its message, which may quote a value from a
        record, because Dagster keeps what it is told in its event log.
        """
        workspace = self.open()
        if not self.run_is_held and self._held is None:
            held = contextlib.ExitStack()
            held.enter_context(workspace.only_run(patience_seconds=_PATIENCE_SECONDS))
            self._held = held
        with workspace.connect() as connection:
            try:
                yield connection
            except (duckdb.Error, pl.exceptions.PolarsError, OSError) as error:
                if is_disk_full(error):
                    raise disk_full(workspace.root) from None
                if isinstance(error, OSError):
                    raise
                if isinstance(error, duckdb.OutOfMemoryException):
                    raise out_of_memory() from None
                raise FamiliarFacesError(
                    f"The warehouse refused a statement ({type(error).__name__}; its message is withheld because it "
                    "may quote a record). Nothing accepted or released has changed; run again, and report this if "
                    "it happens twice."
                ) from None

    def teardown_after_execution(self, context: dg.InitResourceContext) -> None:
        """Give the workspace back when the run ends, however it ends."""
        if self._held is not None:
            self._held.close()
            self._held = None
