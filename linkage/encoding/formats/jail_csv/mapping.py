"""The mapping file of a jail: which of its columns is which, how it writes dates, and what its codes mean."""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Any

import polars as pl

from linkage.encoding.columns import RACES_AND_ETHNICITIES, SEXES
from linkage.errors import UsageError
from linkage.source import declared_sources

JAIL = declared_sources()["jail"]

CODES = {column.name: column.codes for column in JAIL.columns if column.type == "code"} | {
    "sex": SEXES,
    "race": RACES_AND_ETHNICITIES,
    "ethnicity": RACES_AND_ETHNICITIES,
}
"""What a mapping's codes may mean, by column; an empty text means: known, and nothing to say."""

_IDENTITY = (
    "first_name", "middle_name", "last_name", "name_suffix", "full_name", "birth_date", "sex", "race", "ethnicity",
    "ssn", "zip",
)  # fmt: skip

SYMPTOMS = tuple(f"bjmhs_{item}" for item in range(1, 7))

HISTORY = ("bjmhs_7", "bjmhs_8")

REFERRAL = "bjmhs_referral"

SCREEN = (*SYMPTOMS, *HISTORY, REFERRAL)

MAY_NAME = {
    "bookings": (
        "booking_id", "client_id", "started_at", "ended_at", *_IDENTITY, *(column.name for column in JAIL.columns),
        *SCREEN,
    ),
    "aliases": ("client_id", *_IDENTITY),
    "charges": ("booking_id", "charge_class"),
}  # fmt: skip

_MUST_NAME = {
    "bookings": ("booking_id", "client_id", "started_at", "ended_at"),
    "aliases": ("client_id",),
    "charges": ("booking_id", "charge_class"),
}

_ENCODINGS = {"utf-8": "utf-8", "windows-1252": "cp1252", "latin-1": "latin-1"}

_DELIMITERS = (",", ";", "\t", "|")

_TABLES = ("bookings", "aliases", "charges")


@dataclass(frozen=True, kw_only=True)
class JailMapping:
    """A checked mapping file: per table its file name and {template column: their column}."""

    path: Path
    files: dict[str, str]
    columns: dict[str, dict[str, str]]
    codes: dict[str, dict[str, str]]
    timestamp_formats: tuple[str, ...]
    date_formats: tuple[str, ...]
    yes: tuple[str, ...]
    no: tuple[str, ...]
    encoding: str
    delimiter: str


def read_jail_mapping(path: Path) -> JailMapping:
    """The mapping in `path`; raises UsageError, naming the entry, for anything that has no meaning."""
    try:
        declared: dict[str, Any] = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeError, tomllib.TOMLDecodeError, RecursionError):
        raise UsageError(f"{path} cannot be read; a mapping file is TOML in UTF-8.") from None
    _refuse_unknown(path, "", declared, (*_TABLES, "codes", "dates", "answers", "encoding", "delimiter"))
    files, columns = {}, {}
    for table in _TABLES:
        if table not in declared:
            continue
        section = _section(path, declared, table)
        _refuse_unknown(path, f"{table}.", section, ("file", "columns"))
        files[table] = _text(path, section, table, "file")
        named = _section(path, section, "columns", f"{table}.columns")
        _refuse_unknown(path, f"{table}.columns.", named, MAY_NAME[table])
        for column in _MUST_NAME[table]:
            if column not in named:
                raise UsageError(
                    f"{path}: [{table}.columns] lacks {column}; say which of your columns it is."
                )
        columns[table] = {column: _text(path, named, f"{table}.columns", column) for column in named}
    if "bookings" not in files:
        raise UsageError(f"{path}: there is no [bookings]; it is the one table that must be there.")
    dates = _section(path, declared, "dates", optional=True)
    _refuse_unknown(path, "dates.", dates, ("timestamp", "date"))
    answers = _section(path, declared, "answers", optional=True)
    _refuse_unknown(path, "answers.", answers, ("yes", "no"))
    encoding, delimiter = declared.get("encoding", "utf-8"), declared.get("delimiter", ",")
    if encoding not in _ENCODINGS or delimiter not in _DELIMITERS:
        raise UsageError(
            f"{path}: encoding must be one of {', '.join(_ENCODINGS)}, and delimiter a comma, semicolon, tab or bar."
        )
    return JailMapping(
        path=path,
        files=files,
        columns=columns,
        codes=_read_codes(path, _section(path, declared, "codes", optional=True)),
        timestamp_formats=_formats(path, dates, "timestamp", "%Y-%m-%dT%H:%M:%S", is_date=False),
        date_formats=_formats(path, dates, "date", "%Y-%m-%d", is_date=True),
        yes=tuple(
            each.lower() for each in _texts(path, answers, "answers", "yes", ("yes", "y", "true", "1"))
        ),
        no=tuple(each.lower() for each in _texts(path, answers, "answers", "no", ("no", "n", "false", "0"))),
        encoding=_ENCODINGS[encoding],
        delimiter=delimiter,
    )


def _read_codes(path: Path, declared: Mapping[str, Any]) -> dict[str, dict[str, str]]:
    _refuse_unknown(path, "codes.", declared, tuple(CODES))
    codes: dict[str, dict[str, str]] = {}
    for column in declared:
        table = _section(path, declared, column, f"codes.{column}")
        codes[column] = {}
        for number, (theirs, ours) in enumerate(table.items(), start=1):
            if ours not in ("", *CODES[column]):
                raise UsageError(
                    f"{path}: entry {number} of [codes.{column}] means none of {', '.join(CODES[column])}, nor "
                    "is it empty."
                )
            codes[column][theirs.strip().lower()] = ours
    return codes


def _refuse_unknown(path: Path, prefix: str, section: Mapping[str, Any], known: tuple[str, ...]) -> None:
    if any(key not in known for key in section):
        where = f"[{prefix.rstrip('.')}]" if prefix else "the top level"
        raise UsageError(f"{path}: {where} has an entry without a meaning; there may be {', '.join(known)}.")


def _section(
    path: Path, declared: Mapping[str, Any], key: str, name: str = "", *, optional: bool = False
) -> Mapping[str, Any]:
    section = declared.get(key, {} if optional else None)
    if not isinstance(section, dict):
        raise UsageError(f"{path}: [{name or key}] must be there, as a table.")
    return section


def _text(path: Path, section: Mapping[str, Any], name: str, key: str) -> str:
    text = section.get(key)
    if not isinstance(text, str) or not text.strip():
        raise UsageError(f"{path}: [{name}] must say {key}, as a text.")
    return text.strip()


def _texts(
    path: Path, section: Mapping[str, Any], name: str, key: str, default: tuple[str, ...]
) -> tuple[str, ...]:
    """One text or several; the default where there is none."""
    said = section.get(key, list(default))
    texts = [said] if isinstance(said, str) else said
    if not isinstance(texts, list) or not texts or not all(isinstance(text, str) and text for text in texts):
        raise UsageError(f"{path}: [{name}] must say {key} as one or more texts.")
    return tuple(texts)


def _reads_back(each: str, *, is_date: bool) -> bool:
    """Whether a moment written in the format is read as the same moment."""
    moment = pl.Series([datetime(2023, 11, 22, 13)])  # noqa: DTZ001 (local, as everything in an extract)
    try:
        written = moment.dt.strftime(each)
        if is_date:
            return bool((written.str.to_date(each, strict=False) == moment.dt.date()).all(ignore_nulls=False))
        read = written.str.to_datetime(each, strict=False, time_unit="us")
        return bool((read == moment).all(ignore_nulls=False))
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return False


def _formats(
    path: Path, dates: Mapping[str, Any], key: str, default: str, *, is_date: bool
) -> tuple[str, ...]:
    formats = _texts(path, dates, "dates", key, (default,))
    for each in formats:
        if not _reads_back(each, is_date=is_date):
            raise UsageError(
                f"{path}: [dates] {key} has a format that cannot be used; write it with %Y %m %d %H %M %S "
                "(or %I and %p)."
            )
    return formats
