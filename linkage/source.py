"""What a source is: its name, encounter kinds and columns, declared once in `linkage/sources/<name>.toml`.

Contracts, assets, checks, staging relations and documentation are all derived from these declarations, so that
a fifth source is one new file.
"""

import tomllib
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Literal

ColumnType = Literal["code", "boolean", "timestamp", "diagnoses"]

FLAGS = ("smi", "sud", "suicidality", "homeless", "overdose")
"""The county's clinical flags: the only form in which diagnoses leave an agency."""


@dataclass(frozen=True, kw_only=True)
class EncounterKind:
    """One kind of encounter a source reports, and where it sits in the Sequential Intercept Model (0 to 5).

    `by_day` is true where its times are days without hours, so that nothing tells the order within a day.
    """

    name: str
    label: str
    is_stay: bool
    sim_intercept: int
    by_day: bool = False


@dataclass(frozen=True, kw_only=True)
class SourceColumn:
    """One column that a source adds to the common encounter columns.

    `codes` lists the allowed values of a coded column. `becomes_flag` and `homeless_when` say which of `FLAGS`
    the column feeds. A `diagnoses` column feeds the flags through the code lists and is never delivered.
    """

    name: str
    type: ColumnType
    says: str
    codes: tuple[str, ...] = ()
    becomes_flag: str | None = None
    homeless_when: tuple[str, ...] = ()

    @property
    def is_delivered(self) -> bool:
        """Whether the column leaves the agency."""
        return self.type != "diagnoses"


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind of agency and what its deliveries hold.

    `client_id_is_stable` is true where the agency keeps one client_id per person; where it is false (EMS, whose
    client_id is the report number) nothing may be inferred from two rows having different ids.
    `is_criminal_justice` is true of agencies that must not learn of illnesses from what goes back to them.
    """

    name: str
    label: str
    client_id_is_stable: bool
    kinds: tuple[EncounterKind, ...]
    columns: tuple[SourceColumn, ...]
    is_criminal_justice: bool = False

    @property
    def kind_names(self) -> tuple[str, ...]:
        """Names of the source's encounter kinds."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def delivered_columns(self) -> tuple[SourceColumn, ...]:
        """The columns that leave the agency, in declared order."""
        return tuple(column for column in self.columns if column.is_delivered)


def _read_source(text: str) -> Source:
    declared = tomllib.loads(text)
    return Source(
        name=declared["name"],
        label=declared["label"],
        client_id_is_stable=declared["client_id_is_stable"],
        kinds=tuple(EncounterKind(name=name, **kind) for name, kind in declared["kinds"].items()),
        columns=tuple(
            SourceColumn(
                name=name,
                type=column.get("type", "code"),
                says=column["says"],
                codes=tuple(column.get("codes", ())),
                becomes_flag=column.get("becomes_flag"),
                homeless_when=tuple(column.get("homeless_when", ())),
            )
            for name, column in declared.get("columns", {}).items()
        ),
        is_criminal_justice=declared.get("is_criminal_justice", False),
    )


@cache
def declared_sources() -> dict[str, Source]:
    """Every declared source by name, in alphabetical order of name."""
    folder = resources.files("linkage") / "sources"
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name
    )
    sources = [_read_source(file.read_text(encoding="utf-8")) for file in files]
    return {source.name: source for source in sources}
