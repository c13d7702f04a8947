"""The one resource that assets use: the county's workspace."""

import contextlib
from collections.abc import Iterator
from pathlib import Path

import dagster as dg
import duckdb
import polars as pl

from linkage.errors import FamiliarFacesError
from pipelines.workspace import WORKSPACE_VARIABLE, Workspace

WAREHOUSE_POOL = "warehouse"
"""Every asset writes the same DuckDB file, so one run at a time may hold this pool."""


class CountyWorkspace(dg.ConfigurableResource):  # type: ignore[type-arg]
    """The county's folder, by default the one that FAMILIAR_FACES_WORKSPACE names."""

    root: str = dg.EnvVar(WORKSPACE_VARIABLE)

    def open(self) -> Workspace:
        """The workspace with its folders in place."""
        workspace = Workspace(Path(self.root))
        workspace.prepare()
        return workspace

    @contextlib.contextmanager
    def warehouse(self) -> Iterator[duckdb.DuckDBPyConnection]:
        """A connection to the warehouse, alone on it.

        An error of the database, or of polars, is reported without its message, which may quote a value from a
        record, because Dagster keeps what it is told in its event log.
        """
        with self.open().connect() as connection:
            try:
                yield connection
            except (duckdb.Error, pl.exceptions.PolarsError) as error:
                raise FamiliarFacesError(
                    f"The warehouse refused a statement ({type(error).__name__}; its message is withheld because it "
                    "may quote a record). Nothing accepted or released has changed; run again, and report this if "
                    "it happens twice."
                ) from None
