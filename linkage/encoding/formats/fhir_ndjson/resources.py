"""Lines of a bulk export as resources, and what may be read of one: any JSON may stand in any element."""

import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeAlias

import polars as pl

from linkage.encoding.formats import TemplateExtract
from linkage.encoding.formats.local_times import LocalTimes
from linkage.encoding.receipt import LEFT_OUT
from linkage.errors import UsageError

Json: TypeAlias = Any

Row: TypeAlias = dict[str, str | int | bool | None]

LINES_PER_BATCH = 20_000


@dataclass(kw_only=True)
class Reading:
    """What a run of the reader knows and notes while lines go by."""

    extract: TemplateExtract
    times: LocalTimes
    behavioral_types: frozenset[str]
    survivors: dict[str, str] = field(default_factory=dict)
    led_to_admission: set[str] = field(default_factory=set)

    def resources(self, path: Path, resource_type: str) -> Iterator[tuple[int, dict[str, Json]]]:
        """Line number and resource of every line of that type; lists the other lines."""
        broken: list[tuple[int, str, str]] = []
        found = lost = 0
        for row, line in lines_of(path):
            resource = parsed(line)
            if resource is None:
                broken.append((row, "line", "unreadable"))
            elif resource.get("resourceType") != resource_type:
                broken.append((row, "resourceType", "unexpected"))
            else:
                found += 1
                yield row, resource
            if len(broken) >= LINES_PER_BATCH:
                lost += len(broken)
                self.note(path, broken, LEFT_OUT)
        lost += len(broken)
        self.note(path, broken, LEFT_OUT)
        if lost and not found:
            raise UsageError(
                f"{path} has no {resource_type} of FHIR R4 in any line; export {resource_type} as NDJSON, one "
                "resource per line."
            )

    def note(self, path: Path, problems: list[tuple[int, str, str]], outcome: str) -> None:
        """List problems (row, element, rule) of a file, and empty their list."""
        schema = {"row_number": pl.Int64, "column": pl.String, "rule": pl.String}
        self.extract.problems.add(path.name, pl.DataFrame(problems, schema=schema, orient="row"), outcome)
        problems.clear()

    def survivor(self, client_id: str) -> str:
        """The id that a patient's id was merged into, the id itself for most; of a circle, the smallest."""
        seen = [client_id]
        while (follows := self.survivors.get(seen[-1])) is not None:
            if follows in seen:
                return min(seen[seen.index(follows) :])
            seen.append(follows)
        return seen[-1]


def resource_files(folder: Path, resource_type: str) -> list[Path]:
    """The files of a resource type; raises UsageError when there is none."""
    files = sorted(folder.glob(f"*{resource_type}*.ndjson")) if folder.is_dir() else []
    if not files:
        raise UsageError(
            f"{folder} has no {resource_type}*.ndjson; it must be the folder of an unpacked bulk export with Patient, "
            "Encounter and Condition."
        )
    return files


def lines_of(path: Path) -> Iterator[tuple[int, bytes]]:
    """Number, from 1, and bytes of every line that is not blank; raises UsageError for an unreadable file."""
    try:
        with path.open("rb") as file:
            for row, line in enumerate(file, start=1):
                if line.strip():
                    yield row, line
    except OSError:
        raise UsageError(f"{path} cannot be read; see that it is a file and who may read it.") from None


def parsed(line: bytes) -> dict[str, Json] | None:
    """The JSON object of a line, None when it is something else."""
    try:
        resource = json.loads(line.decode("utf-8-sig"))  # bytes would be read as UTF-16 where they look so
    except (ValueError, RecursionError):
        return None
    return resource if isinstance(resource, dict) else None


def text_of(value: Json) -> str | None:
    """A text that can be written as UTF-8, stripped; null for anything else."""
    if not isinstance(value, str):
        return None
    try:
        value.encode()
    except UnicodeError:
        return None
    return value.strip() or None


def objects_in(value: Json) -> list[dict[str, Json]]:
    """The objects in what should be a list of them."""
    return [each for each in value if isinstance(each, dict)] if isinstance(value, list) else []


def object_of(value: Json) -> dict[str, Json]:
    """What should be an object; empty when it is something else."""
    return value if isinstance(value, dict) else {}


def items_of(value: Json) -> list[Json]:
    """What should be a list; empty when it is something else."""
    return value if isinstance(value, list) else []


def codings_of(concept: Json) -> list[tuple[str, str]]:
    """System and code of every coding of a CodeableConcept."""
    codings = (
        (text_of(each.get("system")), text_of(each.get("code")))
        for each in objects_in(object_of(concept).get("coding"))
    )
    return [(system or "", code) for system, code in codings if code is not None]


def referred_id(reference: Json, resource_type: str) -> str | None:
    """The id in a literal reference, relative or absolute, with or without a version."""
    written = text_of(object_of(reference).get("reference")) or ""
    _, found, rest = f"/{written}".rpartition(f"/{resource_type}/")
    return (rest.split("/")[0] or None) if found else None
