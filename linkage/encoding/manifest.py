"""The manifest of a delivery: what was sent, how it was made, and the checksums to prove it arrived whole."""

import json
import re
from dataclasses import asdict, dataclass
from datetime import date
from hashlib import sha256
from typing import Any

from linkage.encoding.columns import ENCOUNTERS_FILE, PEOPLE_FILE, RETRACTED_FILE
from linkage.source import FLAGS


@dataclass(frozen=True, kw_only=True)
class Manifest:
    """What manifest.json says.

    `covers_from` and `covers_to` are half open. `rows` and `left_out` are by file stem (people,
    encounters), `sha256` by file name. `nulled` counts what was not kept, by raw column and kind. `dropped`
    names the raw columns of the template that did not leave. `created_at` is UTC and the one entry that
    differs when a month is encoded again.
    """

    contract_version: int
    encoding: dict[str, int | str]
    source: str
    month: str
    covers_from: date
    covers_to: date
    rows: dict[str, int]
    left_out: dict[str, int]
    sha256: dict[str, str]
    key_check: str
    code_lists: dict[str, str]
    part2_program: bool
    nulled: dict[str, dict[str, int]]
    dropped: tuple[str, ...]
    created_at: str

    def as_json(self) -> str:
        """The text of manifest.json."""
        return json.dumps(asdict(self), indent=2, default=date.isoformat) + "\n"

    @property
    def content_sha256(self) -> str:
        """Hash of everything but `created_at`: equal for two deliveries of the same content."""
        content = asdict(self)
        del content["created_at"]
        return sha256(json.dumps(content, sort_keys=True, default=date.isoformat).encode()).hexdigest()


def read_manifest(text: str) -> Manifest:
    """The manifest in `text`; raises ValueError, naming the entry and not its value, when it is not one."""
    try:
        read: Any = json.loads(text)
    except (ValueError, RecursionError):
        raise ValueError("is not JSON") from None
    if not isinstance(read, dict):
        raise ValueError("is not a JSON object")
    expected = set(Manifest.__dataclass_fields__)
    missing = sorted(expected - set(read))
    if missing:
        raise ValueError(f"lacks {', '.join(missing)}")
    if set(read) - expected:
        raise ValueError("has an entry that the contract does not know")
    for entry, is_well_formed in _SHAPES.items():
        if not is_well_formed(read[entry]):
            raise ValueError(f"has a malformed {entry}")
    return Manifest(
        **{
            **read,
            "covers_from": date.fromisoformat(read["covers_from"]),
            "covers_to": date.fromisoformat(read["covers_to"]),
            "dropped": tuple(read["dropped"]),
        }
    )


# Kept in the warehouse, so it is nothing but a date and a hash.
_CODE_LIST_VERSION = re.compile("[0-9]{4}-[0-9]{2}-[0-9]{2} [0-9a-f]{12}")


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and value >= 0


def _is_hash(value: object) -> bool:
    return isinstance(value, str) and len(value) == 64 and not set(value) - set("0123456789abcdef")


def _is_date(value: object) -> bool:
    try:
        return isinstance(value, str) and len(value) == 10 and date.fromisoformat(value) is not None
    except ValueError:
        return False


def _is_name(value: object) -> bool:
    """A word of this project's own making: no room for anybody's name is left in a manifest."""
    return isinstance(value, str) and 0 < len(value) <= 60 and value.isascii() and value.isprintable()


def _has(value: object, *keys: str) -> bool:
    return isinstance(value, dict) and set(value) == set(keys)


_SHAPES = {
    "contract_version": _is_count,
    "encoding": lambda value: (
        _has(value, "version", "profile") and _is_count(value["version"]) and _is_name(value["profile"])
    ),
    "source": _is_name,
    "month": _is_name,
    "covers_from": _is_date,
    "covers_to": _is_date,
    "rows": lambda value: _has(value, "people", "encounters") and all(map(_is_count, value.values())),
    "left_out": lambda value: _has(value, "people", "encounters") and all(map(_is_count, value.values())),
    "sha256": lambda value: (
        (
            _has(value, PEOPLE_FILE, ENCOUNTERS_FILE)
            or _has(value, PEOPLE_FILE, ENCOUNTERS_FILE, RETRACTED_FILE)
        )
        and all(map(_is_hash, value.values()))
    ),
    "key_check": _is_hash,
    "code_lists": lambda value: (
        _has(value, "version", *FLAGS)
        and all(map(_is_name, value.values()))
        and _CODE_LIST_VERSION.fullmatch(value["version"]) is not None
    ),
    "part2_program": lambda value: isinstance(value, bool),
    "nulled": lambda value: (
        isinstance(value, dict)
        and all(_is_name(column) and isinstance(kinds, dict) for column, kinds in value.items())
        and all(
            _is_name(kind) and _is_count(rows) for kinds in value.values() for kind, rows in kinds.items()
        )
    ),
    "dropped": lambda value: isinstance(value, list) and all(map(_is_name, value)),
    "created_at": _is_name,
}
