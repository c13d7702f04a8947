"""Cohorts as the county file writes them: read, validated, and written again."""

import json
import re
from collections.abc import Sequence as Items
from typing import Any

from linkage.errors import UsageError
from linkage.source import declared_sources
from pipelines.cohorts.definitions import (
    COHORT_FLAGS,
    NARROWING,
    CohortDefinition,
    Combined,
    Criterion,
    DayCount,
    EpisodeCount,
    FlagRecorded,
    Kind,
    Sequence,
    SystemCount,
    TopShare,
    Window,
)

LONGEST_WINDOW_MONTHS = 60
LONGEST_WINDOW_DAYS = 1830
LONGEST_GAP_DAYS = 365

EXPECTED_KEYS = ("name", "label", "says", "source", "owner", "rule")

_WINDOW_KEYS = {"within_months", "within_days", "within"}
_FORMS = (
    "all; any; of, at_least; count, at_least (at_most, only); top_percent, of_count (only); days, at_least; "
    "first, then, gap_days, at_least; systems_with, at_least; or any_flag; each but the first three with "
    'within_months, within_days or (count and top_percent) within = "calendar_year"'
)


def parse_cohorts(tables: Any, *, where: str = "county.toml") -> tuple[CohortDefinition, ...]:
    """Read the `[[cohorts]]` tables of a county file.

    Raises UsageError, naming the cohort and the key, for a definition that is incomplete, impossible or repeated.
    """
    if not isinstance(tables, list):
        raise UsageError(f"{where}: cohorts are written as [[cohorts]] tables.")
    cohorts = tuple(_parse_cohort(table, where) for table in tables)
    refuse_repeated(cohorts, where)
    return cohorts


def refuse_repeated(cohorts: Items[CohortDefinition], where: str = "county.toml") -> None:
    """Raise UsageError when two cohorts have one name."""
    names = [cohort.name for cohort in cohorts]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(f"{where}, cohort {name}: it is defined twice; give one of them another name.")


def rule_json(cohort: CohortDefinition) -> str:
    """The rule as JSON, in the words of the county file."""
    return json.dumps(_as_written(cohort.rule))


def _parse_cohort(table: Any, file: str) -> CohortDefinition:
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UsageError(f"{file}, [[cohorts]]: every cohort needs a name.")
    where = f"{file}, cohort {table['name']}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", table["name"]):
        raise UsageError(f"{where}: a name is lower-case letters, digits and underscores.")
    if set(table) != set(EXPECTED_KEYS):
        differing = sorted(set(table) ^ set(EXPECTED_KEYS))[0]
        problem = "is missing" if differing in EXPECTED_KEYS else "is not known"
        raise UsageError(f"{where}: the key {differing} {problem}; the keys are {', '.join(EXPECTED_KEYS)}.")
    texts = {key: table[key] for key in EXPECTED_KEYS if key != "rule"}
    for key, text in texts.items():
        if not isinstance(text, str) or not text.strip():
            raise UsageError(f"{where}: {key} must be a text.")
    return CohortDefinition(**texts, rule=_parse_criterion(table["rule"], where))


def _parse_criterion(table: Any, where: str) -> Criterion:
    if not isinstance(table, dict):
        raise UsageError(
            f"{where}: a criterion is a table such as "
            "{ count = ['booking'], at_least = 4, within_months = 12 }."
        )
    keys = set(table) - _WINDOW_KEYS
    if keys in ({"all"}, {"any"}, {"of", "at_least"}) and keys == set(table):
        return _parse_combination(table, where)
    if {"count", "at_least"} <= keys <= {"count", "at_least", "at_most", "only"}:
        return _parse_count(table, where)
    if {"top_percent", "of_count"} <= keys <= {"top_percent", "of_count", "only"}:
        percent = table["top_percent"]
        if not isinstance(percent, int | float) or isinstance(percent, bool) or not 0 < percent <= 50:
            raise UsageError(f"{where}: top_percent must be a number above 0 and at most 50.")
        return TopShare(
            kinds=_kinds(table["of_count"], where),
            percent=float(percent),
            window=_window(table, where, calendar=True),
            only=_only(table, where),
        )
    if keys == {"days", "at_least"}:
        window = _window(table, where)
        return DayCount(
            kinds=_kinds(table["days"], where, stays_only=True),
            at_least=_number(table, "at_least", where, 1, window.longest_days),
            window=window,
        )
    if keys == {"first", "then", "gap_days", "at_least"}:
        window = _window(table, where)
        return Sequence(
            first=_kinds(table["first"], where),
            then=_kinds(table["then"], where),
            gap_days=_number(table, "gap_days", where, 0, LONGEST_GAP_DAYS),
            at_least=_number(table, "at_least", where, 1, window.longest_days),
            window=window,
        )
    if keys == {"systems_with", "at_least"}:
        kinds = _kinds(table["systems_with"], where)
        systems = len({kind.source for kind in kinds})
        return SystemCount(
            kinds=kinds,
            at_least=_number(table, "at_least", where, 1, systems),
            window=_window(table, where),
        )
    if keys == {"any_flag"}:
        flags = _names(table["any_flag"], COHORT_FLAGS, "flag", where)
        return FlagRecorded(flags=flags, window=_window(table, where) if set(table) != keys else None)
    raise UsageError(f"{where}: a criterion has the keys {_FORMS}.")


def _parse_count(table: dict[str, Any], where: str) -> EpisodeCount:
    window = _window(table, where, calendar=True)
    at_least = _number(table, "at_least", where, 1, window.longest_days)
    at_most = None
    if "at_most" in table:
        at_most = _number(table, "at_most", where, 1, window.longest_days)
        if at_most < at_least:
            raise UsageError(
                f"{where}: at_most is less than at_least, so nobody could ever be in it; change one of them."
            )
    return EpisodeCount(
        kinds=_kinds(table["count"], where),
        at_least=at_least,
        at_most=at_most,
        window=window,
        only=_only(table, where),
    )


def _parse_combination(table: dict[str, Any], where: str) -> Combined:
    combination = next(key for key in ("all", "any", "of") if key in table)
    parts = table[combination]
    if not isinstance(parts, list) or len(parts) < 2:
        raise UsageError(f"{where}: {combination} needs a list of two or more criteria.")
    criteria = tuple(_parse_criterion(part, where) for part in parts)
    if len(set(criteria)) < len(criteria):
        raise UsageError(f"{where}: {combination} lists the same criterion twice; remove one.")
    if combination == "of":
        return Combined(parts=criteria, at_least=_number(table, "at_least", where, 1, len(criteria)))
    if combination == "all":
        _refuse_contradiction(criteria, where)
    return Combined(parts=criteria, at_least=len(criteria) if combination == "all" else 1)


def _refuse_contradiction(criteria: Items[Criterion], where: str) -> None:
    counts = [each for each in criteria if isinstance(each, EpisodeCount)]
    for one in counts:
        for other in counts:
            same = (one.kinds, one.window, one.only) == (other.kinds, other.window, other.only)
            if same and one.at_most is not None and other.at_least > one.at_most:
                raise UsageError(
                    f"{where}: it asks for at most {one.at_most} and for at least {other.at_least} of the same, "
                    "so nobody could ever be in it; change one of them."
                )


def _window(table: dict[str, Any], where: str, *, calendar: bool = False) -> Window:
    given = sorted(set(table) & _WINDOW_KEYS)
    if len(given) != 1:
        raise UsageError(f"{where}: a criterion has the keys {_FORMS}; of the last exactly one.")
    if given == ["within_months"]:
        return Window(length=_number(table, "within_months", where, 1, LONGEST_WINDOW_MONTHS))
    if given == ["within_days"]:
        return Window(length=_number(table, "within_days", where, 1, LONGEST_WINDOW_DAYS), unit="days")
    if not calendar or table["within"] != "calendar_year":
        raise UsageError(
            f'{where}: within is "calendar_year", and only for count and top_percent; '
            "otherwise use within_months or within_days."
        )
    return Window(length=1, unit="calendar_year")


def _only(table: dict[str, Any], where: str) -> tuple[str, ...]:
    return _names(table["only"], NARROWING, "fact of an encounter", where) if "only" in table else ()


def _kinds(names: Any, where: str, *, stays_only: bool = False) -> tuple[Kind, ...]:
    """Kinds named as `kind`, as `source.kind`, or all of a source's by its name."""
    meant: dict[str, list[Kind]] = {}
    for source in declared_sources().values():
        for each in source.kinds:
            if each.is_stay or not stays_only:
                kind = Kind(source.name, each.name)
                meant.setdefault(each.name, []).append(kind)
                meant.setdefault(f"{source.name}.{each.name}", []).append(kind)
                meant.setdefault(source.name, []).append(kind)
    kinds: list[Kind] = []
    what = "kind of encounter that lasts" if stays_only else "kind of encounter"
    for name in _names(names, tuple(meant), what, where):
        if name not in declared_sources() and len({kind.source for kind in meant[name]}) > 1:
            choices = " or ".join(f"{kind.source}.{kind.name}" for kind in meant[name])
            raise UsageError(f"{where}: several sources report the kind {name}; write {choices}.")
        kinds += meant[name]
    return tuple(sorted(set(kinds)))


def _names(names: Any, allowed: Items[str], what: str, where: str) -> tuple[str, ...]:
    if not isinstance(names, list) or not names:
        raise UsageError(f"{where}: expected a list of at least one {what}.")
    for name in names:
        if name not in allowed:
            raise UsageError(f"{where}: {name!r} is no {what}; there are {', '.join(allowed)}.")
    return tuple(dict.fromkeys(names))


def _number(table: dict[str, Any], key: str, where: str, least: int, most: int) -> int:
    value = table[key]
    if not isinstance(value, int) or isinstance(value, bool) or not least <= value <= most:
        raise UsageError(f"{where}: {key} must be a whole number from {least} to {most}.")
    return value


def _as_written(criterion: Criterion) -> dict[str, Any]:
    if isinstance(criterion, Combined):
        parts = [_as_written(part) for part in criterion.parts]
        if criterion.at_least in (1, len(parts)):
            return {"any" if criterion.at_least == 1 else "all": parts}
        return {"of": parts, "at_least": criterion.at_least}
    window = {} if criterion.window is None else _window_as_written(criterion.window)
    if isinstance(criterion, FlagRecorded):
        return {"any_flag": list(criterion.flags), **window}
    if isinstance(criterion, Sequence):
        return {
            "first": _kinds_as_written(criterion.first),
            "then": _kinds_as_written(criterion.then),
            "gap_days": criterion.gap_days,
            "at_least": criterion.at_least,
            **window,
        }
    kinds = _kinds_as_written(criterion.kinds)
    if isinstance(criterion, TopShare):
        only = {"only": list(criterion.only)} if criterion.only else {}
        return {"top_percent": criterion.percent, "of_count": kinds, **only, **window}
    if isinstance(criterion, EpisodeCount):
        most = {} if criterion.at_most is None else {"at_most": criterion.at_most}
        only = {"only": list(criterion.only)} if criterion.only else {}
        return {"count": kinds, "at_least": criterion.at_least, **most, **only, **window}
    name = "days" if isinstance(criterion, DayCount) else "systems_with"
    return {name: kinds, "at_least": criterion.at_least, **window}


def _kinds_as_written(kinds: Items[Kind]) -> list[str]:
    return [f"{kind.source}.{kind.name}" for kind in kinds]


def _window_as_written(window: Window) -> dict[str, Any]:
    if window.unit == "calendar_year":
        return {"within": "calendar_year"}
    return {f"within_{window.unit}": window.length}
