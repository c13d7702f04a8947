"""Times that vendors write with a zone, brought to the local times without one that the template has.

An offset from UTC is dropped: standards such as NEMSIS and FHIR ask for it, and a system that writes its own
offset writes its own clock. UTC itself is nobody's clock in a county, so a time in UTC is read only where the
county's zone is named, in a mapping file (TOML, `time_zone = "America/Chicago"`); nights and hours would be
wrong otherwise, and nobody would notice.
"""

import re
import tomllib
from datetime import datetime
from functools import lru_cache
from pathlib import Path
from typing import Any
from zoneinfo import ZoneInfo

from linkage.errors import UsageError

_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})[T ]([0-9]{2}:[0-9]{2}(?::[0-9]{2})?)(?:\.[0-9]+)?(Z|[+-][0-9]{2}:?[0-9]{2})?"
)
_UTC = frozenset({"Z", "+00:00", "-00:00", "+0000", "-0000"})


class _UtcTimeError(ValueError):
    """A time is in UTC and the county's zone is not known."""


def read_mapping(path: Path | None, keys: tuple[str, ...]) -> dict[str, Any]:
    """The mapping file as it stands, empty without one; raises UsageError unless it has only `keys`."""
    if path is None:
        return {}
    try:
        mapping = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError):
        raise UsageError(f"{path} cannot be read; it must be a TOML file.") from None
    if not mapping.keys() <= set(keys):
        raise UsageError(f"{path} has a key that this format does not know; it knows {', '.join(keys)}.")
    return mapping


def county_zone(mapping: dict[str, Any], path: Path | None) -> ZoneInfo | None:
    """The zone that a mapping file names as `time_zone`, if it does; raises UsageError for an unknown one."""
    if "time_zone" not in mapping:
        return None
    try:
        return ZoneInfo(mapping["time_zone"])
    except (ValueError, TypeError, OSError, AttributeError, LookupError):
        raise UsageError(f"{path}: time_zone is no known zone; write one such as America/Chicago.") from None


class LocalTimes:
    """Reads ISO times with or without a zone; `zone` is the county's, if it is known."""

    def __init__(self, zone: ZoneInfo | None) -> None:
        self._zone = zone
        self._remembered = lru_cache(maxsize=100_000)(self._local)

    def local_in(self, path: Path, row: int, element: str, written: str | None) -> str | None:
        """The time as local ISO text without a zone; a date, and what is no time, as it stands.

        Raises UsageError, naming the place in the export, for a time in UTC when no zone is known.
        """
        try:
            return None if written is None else self._remembered(written)
        except _UtcTimeError:
            raise UsageError(
                f"{path}, row {row}, column {element}: the time is in UTC; export local times, or name the "
                "county's time_zone in a mapping file."
            ) from None

    def _local(self, written: str) -> str:
        found = _TIME.fullmatch(written)
        if found is None:
            return written
        day, time, offset = found.groups()
        wall = f"{day}T{time}"
        if offset is None:
            return wall
        if self._zone is None:
            if offset in _UTC:
                raise _UtcTimeError
            return wall
        try:
            return datetime.fromisoformat(wall + offset).astimezone(self._zone).isoformat()[:19]
        except (ValueError, OverflowError):
            return wall
