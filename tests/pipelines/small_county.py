"""A small county written out by hand: raw extracts of a few invented people, encoded and landed by real commands."""

import csv
import shutil
from dataclasses import dataclass, field
from pathlib import Path

from linkage.encoding.code_lists import load_code_lists
from linkage.encoding.delivery import encode_extract
from linkage.encoding.keys import Key
from linkage.source import declared_sources
from pipelines.workspace import Workspace

PEOPLE_COLUMNS = (
    "client_id", "first_name", "middle_name", "last_name", "name_suffix", "birth_date", "sex", "race_ethnicity",
    "ssn", "zip",
)  # fmt: skip
ENCOUNTER_COLUMNS = ("encounter_id", "client_id", "kind", "started_at", "ended_at")
PROJECT_KEY = Key("project", bytes(range(32)))
OTHER_PROJECT_KEY = Key("project", bytes(range(1, 33)))


def person(client_id, first_name="Ada", last_name="Rivera", birth_date="1980-02-03", **known):
    """One raw people row."""
    return {
        "client_id": client_id,
        "first_name": first_name,
        "last_name": last_name,
        "birth_date": birth_date,
    } | known


def encounter(encounter_id, client_id, kind, started_at, ended_at="", **known):
    """One raw encounter row."""
    return {
        "encounter_id": encounter_id, "client_id": client_id, "kind": kind, "started_at": started_at,
        "ended_at": ended_at,
    } | known  # fmt: skip


@dataclass
class SmallCounty:
    """A workspace and the agencies that deliver to it."""

    workspace: Workspace
    raw: Path
    agency_keys: dict[str, Key] = field(
        default_factory=lambda: {
            name: Key("agency", bytes([number]) * 32)
            for number, name in enumerate(declared_sources(), start=1)
        }
    )

    def deliver(self, source, month, people, encounters, *, project_key=PROJECT_KEY, **options):
        """Write a raw extract, encode it and land it; returns the delivery's folder."""
        folder = self.raw / source / month
        shutil.rmtree(folder, ignore_errors=True)
        folder.mkdir(parents=True)
        declared = declared_sources()[source]
        own_columns = tuple(column.name for column in declared.columns)
        write_csv(folder / "people.csv", PEOPLE_COLUMNS, people)
        write_csv(folder / "encounters.csv", ENCOUNTER_COLUMNS + own_columns, encounters)
        encode_extract(
            source=declared,
            raw_folder=folder,
            month=month,
            project_key=project_key,
            agency_key=self.agency_keys[source],
            landing=self.workspace.landing,
            code_lists=load_code_lists(),
            **options,
        )
        return self.workspace.landing / source / month


def write_csv(path, columns, rows):
    """Write rows given as dictionaries; absent columns are empty."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.DictWriter(file, columns, restval="")
        writer.writeheader()
        writer.writerows(rows)
