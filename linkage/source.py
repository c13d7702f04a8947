"""What a source is: its name, encounter kinds and columns, declared once in a file.

Contracts, assets, checks, staging relations and documentation are all derived from these declarations. Four are always
declared (`linkage/sources/`); the environment variable `FAMILIAR_FACES_SOURCES` adds further ones, so that a fifth
source is one name or one file.
"""

import os
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from pathlib import Path
from typing import Any, Literal

from linkage.errors import UsageError

ColumnType = Literal["code", "boolean", "timestamp", "diagnoses"]

SOURCES_VARIABLE = "FAMILIAR_FACES_SOURCES"
"""Further sources, separated by commas: names of files in `linkage/sources/optional/`, or paths of files like them."""

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
class Handover:
    """How a source hands people over to another (`linkage.handover`).

    An encounter with the values `given_when` hands somebody over when it ends; one of the source `to` with the values
    `taken_when` takes somebody when it starts, from `minutes_before` until `minutes_after` that end.
    """

    to: str
    given_when: Mapping[str, tuple[str, ...]] = field(hash=False)
    taken_when: Mapping[str, tuple[str, ...]] = field(hash=False)
    minutes_before: int
    minutes_after: int


@dataclass(frozen=True, kw_only=True)
class Source:
    """One kind of agency and what its deliveries hold.

    `client_id_is_stable` is true where the agency keeps one client_id per person; where it is false (EMS, whose
    client_id is the report number) nothing may be inferred from two rows having different ids.
    `is_criminal_justice` is true of agencies that must not learn of illnesses from what goes back to them.
    `is_added` is true of a source that is none of the four: SQL cannot name its own columns, so they go into the
    relation `encounter_detail`, a row for each value.
    """

    name: str
    label: str
    client_id_is_stable: bool
    kinds: tuple[EncounterKind, ...]
    columns: tuple[SourceColumn, ...]
    is_criminal_justice: bool = False
    is_added: bool = False
    handover: Handover | None = None

    @property
    def kind_names(self) -> tuple[str, ...]:
        """Names of the source's encounter kinds."""
        return tuple(kind.name for kind in self.kinds)

    @property
    def delivered_columns(self) -> tuple[SourceColumn, ...]:
        """The columns that leave the agency, in declared order."""
        return tuple(column for column in self.columns if column.is_delivered)


def declare_sources(further: str) -> dict[str, Source]:
    """The four sources and those that `further` names as `SOURCES_VARIABLE` does, by name, in alphabetical order.

    Raises UsageError for a name that is not shipped and for a file that cannot be read, lacks a key, has a name that is
    no small word, or takes a name that another source has, and for a handover to a source or by a column that is none.
    """
    sources = {}
    for file in _declarations(resources.files("linkage") / "sources"):
        source = _read_source(tomllib.loads(file.read_text(encoding="utf-8")))
        sources[source.name] = source
    for named in filter(None, (part.strip() for part in further.split(","))):
        source = replace(_read_added(named), is_added=True)
        _refuse_taken_names(source, sources, named)
        sources[source.name] = source
    for source in sources.values():
        _refuse_impossible_handover(source, sources)
    return dict(sorted(sources.items()))


@cache
def declared_sources() -> dict[str, Source]:
    """Every declared source by name, in alphabetical order of name; see `declare_sources` for what is refused."""
    return declare_sources(os.environ.get(SOURCES_VARIABLE, ""))


def _read_source(declared: Mapping[str, Any]) -> Source:
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
        handover=_read_handover(declared["handover"]) if "handover" in declared else None,
    )


def _read_handover(declared: Mapping[str, Any]) -> Handover:
    return Handover(
        to=declared["to"],
        given_when={column: tuple(values) for column, values in declared["given_when"].items()},
        taken_when={column: tuple(values) for column, values in declared["taken_when"].items()},
        minutes_before=int(declared["minutes_before"]),
        minutes_after=int(declared["minutes_after"]),
    )


def _declarations(folder: Traversable) -> Iterator[Traversable]:
    return iter(
        sorted((file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name)
    )


def _read_added(named: str) -> Source:
    optional = {
        file.name.removesuffix(".toml"): file
        for file in _declarations(resources.files("linkage") / "sources" / "optional")
    }
    file: Traversable | Path = optional.get(named, Path(named))
    if named not in optional and not named.endswith(".toml"):
        raise UsageError(
            f"{SOURCES_VARIABLE} names {named}, which is not shipped; name one of {', '.join(optional)}, or the path "
            "of a .toml file."
        )
    try:
        return _read_source(tomllib.loads(file.read_text(encoding="utf-8")))
    except OSError as error:
        raise UsageError(
            f"{SOURCES_VARIABLE} names {named}: {error.strerror}. Name a file that is there."
        ) from None
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{named} is not valid TOML: {error}.") from None
    except KeyError as error:
        raise UsageError(
            f"{named}: the key {error} is missing; docs/fifth_source.md shows a whole declaration."
        ) from None
    except (AttributeError, TypeError):
        raise UsageError(
            f"{named}: a key is unknown or of the wrong type; docs/fifth_source.md shows a whole declaration."
        ) from None


_SMALL_WORD = re.compile(r"[a-z][a-z0-9_]{0,40}")


def _refuse_taken_names(source: Source, sources: Mapping[str, Source], where: str) -> None:
    columns = [column.name for column in source.columns]
    for name in (source.name, *source.kind_names, *columns):
        if not isinstance(name, str) or not _SMALL_WORD.fullmatch(name):
            raise UsageError(
                f"{where}: names of the source, its kinds and its columns must be small letters, digits and _; "
                "rename what is not."
            )
    if source.name in sources:
        raise UsageError(f"{where} declares {source.name}, which is declared already; remove one of the two.")
    taken = {kind: other.name for other in sources.values() for kind in other.kind_names}
    for kind in source.kind_names:
        if kind in taken:
            raise UsageError(
                f"{where} declares the kind {kind}, which {taken[kind]} has; name the kind otherwise."
            )
    reserved = sorted(set(columns) & _COMMON_COLUMNS)
    if reserved:
        raise UsageError(
            f"{where} declares the column {reserved[0]}, which every source has; name it otherwise."
        )


def _refuse_impossible_handover(source: Source, sources: Mapping[str, Source]) -> None:
    handover = source.handover
    if handover is None:
        return
    taker = sources.get(handover.to)
    if taker is None:
        raise UsageError(
            f"Source {source.name} hands people over to {handover.to}, which is not declared; name one of "
            f"{', '.join(sorted(sources))} in [handover] to."
        )
    for when, of, named in (
        ("given_when", source, handover.given_when),
        ("taken_when", taker, handover.taken_when),
    ):
        unknown = sorted(set(named) - {column.name for column in of.delivered_columns})
        if unknown:
            raise UsageError(
                f"Source {source.name} names {unknown[0]} in [handover] {when}, which is no column that {of.name} "
                f"delivers; name one of {', '.join(column.name for column in of.delivered_columns)}."
            )


_COMMON_COLUMNS = {
    "source", "encounter_id", "client_id", "kind", "started_at", "ended_at", "month", "row_number", "part2",
    "further", *FLAGS,
}  # fmt: skip
