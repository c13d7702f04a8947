"""A simulated county in a workspace: extracts encoded by real commands, and a way to look at what came of them."""

import contextlib
import shutil
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from linkage.encoding.code_lists import load_code_lists
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.encoding.rejoin import client_ids_of
from linkage.source import declared_sources
from pipelines.releases.release import table_checksum
from pipelines.workspace import Workspace
from sample_data.county import county_file_text

PROJECT_KEY = Key("project", bytes(range(100, 132)))
OTHER_PROJECT_KEY = Key("project", bytes(range(101, 133)))
AGENCY_KEYS = {
    name: Key("agency", bytes(range(number, number + 32)))
    for number, name in enumerate(declared_sources(), start=1)
}


@dataclass(frozen=True)
class SimulatedCounty:
    """A workspace, and the folder with raw extracts and truth that its agencies would hold."""

    workspace: Workspace
    agencies: Path

    @classmethod
    def new(cls, root: Path, agencies: Path) -> "SimulatedCounty":
        """An empty workspace at `root` for the extracts in `agencies`."""
        workspace = Workspace(root)
        root.mkdir(parents=True)
        workspace.county_file.write_text(
            county_file_text(project_key_check=PROJECT_KEY.key_check), encoding="utf-8"
        )
        workspace.prepare()
        return cls(workspace, agencies)

    @property
    def months(self) -> list[str]:
        """Months that were simulated, in order."""
        return sorted(path.name for path in (self.agencies / "raw" / "jail").iterdir())

    def copy(self, root: Path) -> "SimulatedCounty":
        """The same county in a workspace of its own, as far as it has got."""
        shutil.copytree(self.workspace.root, root, symlinks=True)
        return SimulatedCounty(Workspace(root), self.agencies)

    def deliver(self, *months: str, sources: tuple[str, ...] = (), project_key: Key = PROJECT_KEY) -> None:
        """Encode the raw extracts of `months` and land them; of every source unless `sources` are named."""
        for name in sources or tuple(declared_sources()):
            for month in months:
                self._encode(name, month, self.agencies / "raw" / name / month, project_key)

    def _encode(self, source: str, month: str, raw_folder: Path, project_key: Key = PROJECT_KEY) -> None:
        encode_extract(
            source=declared_sources()[source],
            raw_folder=raw_folder,
            month=month,
            project_key=project_key,
            agency_key=AGENCY_KEYS[source],
            landing=self.workspace.landing,
            code_lists=load_code_lists(),
        )

    def deliver_late_rows(self, source: str, month: str, *, encounters: int, raw: Path) -> None:
        """Deliver a month of `source` again with so many more encounters, written in the folder `raw`."""
        shutil.copytree(self.agencies / "raw" / source / month, raw)
        file = raw / "encounters.csv"
        delivered = pl.read_csv(file, infer_schema=False)
        late = delivered.head(encounters).with_columns(
            pl.format("late-{}", "encounter_id").alias("encounter_id")
        )
        pl.concat([delivered, late]).write_csv(file)
        self._encode(source, month, raw)

    def truth(self) -> pl.DataFrame:
        """Who is who, by the client ids that were delivered."""
        truth = pl.read_parquet(self.agencies / "truth.parquet")
        return pl.concat(
            of_source.with_columns(client_ids_of(of_source["client_id"], AGENCY_KEYS[name]))
            for (name,), of_source in truth.partition_by("source", as_dict=True).items()
        )

    def warehouse_checksums(self) -> dict[str, tuple[int, str]]:
        """Rows and checksum of every table of the warehouse."""
        with self.workspace.connect(read_only=True) as connection:
            return {name: table_checksum(connection, name) for name in tables(connection)}

    def rows(self, sql: str) -> list[tuple]:
        """Ask the warehouse."""
        with self.workspace.connect(read_only=True) as connection:
            return connection.execute(sql).fetchall()

    def edit_county_file(self, old: str, new: str) -> None:
        """Replace a text that the county file holds."""
        text = self.workspace.county_file.read_text(encoding="utf-8")
        assert old in text
        self.workspace.county_file.write_text(text.replace(old, new), encoding="utf-8")


def tables(connection: duckdb.DuckDBPyConnection) -> list[str]:
    """Tables and views of an open database."""
    return [
        name
        for (name,) in connection.execute(
            "select table_name from information_schema.tables where table_schema = 'main' order by all"
        ).fetchall()
    ]


@contextlib.contextmanager
def open_release(workspace: Workspace) -> Iterator[duckdb.DuckDBPyConnection]:
    """The current release, opened as an analyst opens it."""
    with duckdb.connect(workspace.releases / "current" / "familiar_faces.duckdb", read_only=True) as release:
        yield release
