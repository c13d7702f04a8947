"""Suites: what a relation of the warehouse must be, as data that a steward can read and sign.

One TOML file in `quality/suites/` is one suite. A suite that says `applies_to = "every source"` is written
once and applied to each source declared in `linkage/sources/`; what differs between sources (kinds, coded
columns and their codes) comes from the declaration. So a fifth source has its checks as soon as it is
declared, and gets a file of its own (`adds_to`) only when it has expectations of its own.

Nothing here touches a table or imports Great Expectations; `quality.run` does.
"""

import re
import tomllib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cache
from importlib import resources
from importlib.resources.abc import Traversable
from typing import Any, Literal, get_args

from linkage.encoding.profiles import PROFILES, STANDARD
from linkage.errors import UsageError
from linkage.source import Source, declared_sources

Severity = Literal["stop", "warn"]
Stage = Literal["delivery", "linkage", "drift", "published"]

_NAME = re.compile(r"[a-z][a-z0-9_]*")
_FIRST_PAGE = "index"
_HEAD_KEYS = {"name", "title", "says", "relation", "stage", "owner", "expectation"}
_ADDITION_KEYS = {"adds_to", "applies_to", "owner", "expectation"}
_EXPECTATION_KEYS = {"id", "expect", "says", "because", "severity", "owner", "for_each", "profile"}


@dataclass(frozen=True)
class Requirement:
    """One kind of expectation that a suite may state.

    `needs` and `may_have` are the keys it takes beside the common ones; `says` is its sentence, filled with
    those keys. A kind without a sentence is SQL, and each of its expectations brings its own.
    """

    needs: frozenset[str]
    may_have: frozenset[str] = frozenset()
    says: str | None = None


REQUIREMENTS: Mapping[str, Requirement] = {
    "column_values_to_not_be_null": Requirement(
        frozenset({"column"}), frozenset({"mostly"}), "{column} is filled in{mostly}."
    ),
    "column_values_to_be_in_set": Requirement(
        frozenset({"column", "value_set"}),
        frozenset({"mostly"}),
        "{column} is empty or one of: {value_set}{mostly}.",
    ),
    "column_values_to_be_between": Requirement(
        frozenset({"column", "min_value", "max_value"}),
        frozenset({"mostly"}),
        "{column} is empty or between {min_value} and {max_value}{mostly}.",
    ),
    "column_values_to_match": Requirement(
        frozenset({"column", "pattern"}),
        frozenset({"mostly"}),
        "{column} is empty or matches {pattern} from beginning to end{mostly}.",
    ),
    "columns_to_be_unique": Requirement(frozenset({"columns"}), says="No two rows have the same {columns}."),
    "row_count_to_be_at_least": Requirement(
        frozenset({"min_value"}), says="The table has at least {min_value} row(s)."
    ),
    "no_rows_where": Requirement(frozenset({"where"}), frozenset({"columns", "mostly"})),
    "no_rows_from": Requirement(frozenset({"sql"})),
    "no_figure_off": Requirement(frozenset({"among", "off"})),
}
"""The vocabulary of suites. `pattern` is an RE2 regular expression that must match the whole value.

`no_rows_where` takes a condition on one row of the relation: rows for which it holds break the expectation.
`no_rows_from` takes a query over `{batch}` (the relation) and any other table: each row of it is one finding.
`no_figure_off` judges those rows of the relation, each of them a figure, for which the condition `among` holds: the
condition `off` must hold for none. Where there is no such row, there is nothing to judge yet, and it is met.
`mostly` is the share of rows (of filled-in values, for the column kinds) that must keep to the rule.
"""


@dataclass(frozen=True, kw_only=True)
class Expectation:
    """One thing that must hold, why, and who answers for it.

    `severity` stop means that nothing is released while it does not hold; warn, that a steward should look.
    `profile` is the encoding profile whose columns it names, None where every profile has them.
    `parameters` are the keys of its `REQUIREMENTS` entry.
    """

    expectation_id: str
    expect: str
    parameters: Mapping[str, Any]
    says: str
    because: str
    severity: Severity
    owner: str
    profile: str | None = None

    @property
    def columns(self) -> tuple[str, ...]:
        """The columns of the suite's relation that it names."""
        if "column" in self.parameters:
            return (self.parameters["column"],)
        return tuple(self.parameters.get("columns", ()))


@dataclass(frozen=True, kw_only=True)
class Suite:
    """The expectations on one relation. `source` is None where the relation holds every source."""

    name: str
    title: str
    says: str
    relation: str
    stage: Stage
    source: str | None
    expectations: tuple[Expectation, ...]

    def under(self, profile: str) -> "Suite":
        """The suite with the expectations that can be asked of the columns of an encoding profile."""
        asked = tuple(each for each in self.expectations if each.profile in (None, profile))
        return replace(self, expectations=asked)


@cache
def load_suites() -> tuple[Suite, ...]:
    """Every suite of `quality/suites/`, applied to every declared source, ordered by stage, then by name.

    Raises UsageError naming the file and the expectation when a suite is not as described above.
    """
    return read_suites(resources.files("quality") / "suites", tuple(declared_sources().values()))


def select_suites(
    *,
    stage: Stage,
    source: str | None = None,
    relation: str | None = None,
    profile: str | None = STANDARD.name,
) -> tuple[Suite, ...]:
    """The shipped suites of one stage; of one source, or of one relation, where that is given.

    They have the expectations of one encoding profile, or of all where `profile` is None.
    """
    return tuple(
        suite if profile is None else suite.under(profile)
        for suite in load_suites()
        if suite.stage == stage and source in (None, suite.source) and relation in (None, suite.relation)
    )


def read_suites(folder: Traversable, sources: Sequence[Source]) -> tuple[Suite, ...]:
    """Read the suites of a folder and apply them to `sources`. Raises UsageError as `load_suites` does."""
    files = sorted(
        (file for file in folder.iterdir() if file.name.endswith(".toml")), key=lambda file: file.name
    )
    declared = [_SuiteFile.read(file) for file in files]
    suites: dict[str, Suite] = {}
    for suite_file in declared:
        if "adds_to" not in suite_file.keys:
            for suite in suite_file.suites(sources):
                if suite.name in suites:
                    raise UsageError(f"{suite_file.name}: the suite {suite.name!r} is declared twice.")
                suites[suite.name] = suite
    for suite_file in declared:
        if "adds_to" in suite_file.keys:
            grown = suite_file.added_to(suites, sources)
            suites[grown.name] = grown
    for suite in suites.values():
        _check_ids_are_unique(suite)
    stages = get_args(Stage)
    return tuple(sorted(suites.values(), key=lambda suite: (stages.index(suite.stage), suite.name)))


def _check_ids_are_unique(suite: Suite) -> None:
    seen: set[str] = set()
    for expectation in suite.expectations:
        if expectation.expectation_id in seen:
            raise UsageError(
                f"Suite {suite.name}: the expectation {expectation.expectation_id!r} is stated twice."
            )
        seen.add(expectation.expectation_id)


@dataclass(frozen=True)
class _SuiteFile:
    """One TOML file; every complaint names it."""

    name: str
    keys: Mapping[str, Any]

    @classmethod
    def read(cls, file: Traversable) -> "_SuiteFile":
        try:
            keys = tomllib.loads(file.read_text(encoding="utf-8"))
        except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
            raise UsageError(f"{file.name} is not valid TOML: {error}.") from None
        suite_file = cls(file.name, keys)
        if "adds_to" in keys:
            suite_file._check_keys(keys, "the file", needs=_ADDITION_KEYS, may_have=set())
        else:
            suite_file._check_keys(keys, "the file", needs=_HEAD_KEYS, may_have={"applies_to"})
            if keys["stage"] not in get_args(Stage):
                raise UsageError(f"{file.name}, stage: expected one of {', '.join(get_args(Stage))}.")
        if not isinstance(keys["expectation"], list):
            raise UsageError(f"{file.name}: expected a list of [[expectation]] tables.")
        return suite_file

    def suites(self, sources: Sequence[Source]) -> Iterator[Suite]:
        """The suite itself, or one per source it applies to."""
        for source in self._applies_to(sources):
            filled = _Placeholders(source, sources)
            name = filled.text(self.keys["name"])
            if name == _FIRST_PAGE:
                raise UsageError(
                    f"{self.name}, name: the name {name!r} is taken by the first page of the quality pages."
                )
            if not _NAME.fullmatch(name):
                raise UsageError(f"{self.name}, name: expected small letters, digits and underscores.")
            yield Suite(
                name=name,
                title=filled.text(self.keys["title"]),
                says=filled.text(self.keys["says"]),
                relation=filled.text(self.keys["relation"]),
                stage=self.keys["stage"],
                source=None if source is None else source.name,
                expectations=tuple(self._expectations(filled)),
            )

    def added_to(self, suites: Mapping[str, Suite], sources: Sequence[Source]) -> Suite:
        """The suite that this file adds expectations to, with them."""
        adds_to = self.keys["adds_to"]
        if adds_to not in suites:
            raise UsageError(f"{self.name}, adds_to: there is no suite {adds_to!r}.")
        (source,) = self._applies_to(sources)
        base = suites[adds_to]
        added = tuple(self._expectations(_Placeholders(source, sources)))
        return Suite(**{**vars(base), "expectations": base.expectations + added})

    def _applies_to(self, sources: Sequence[Source]) -> list[Source | None]:
        applies_to = self.keys.get("applies_to")
        if applies_to is None:
            return [None]
        if applies_to == "every source":
            return list(sources)
        named: list[Source | None] = [source for source in sources if source.name == applies_to]
        if not named:
            names = ", ".join(source.name for source in sources)
            raise UsageError(f'{self.name}, applies_to: expected "every source" or one of {names}.')
        return named

    def _expectations(self, filled: "_Placeholders") -> Iterator[Expectation]:
        for number, declared in enumerate(self.keys["expectation"], start=1):
            where = f"expectation {declared.get('id', number)!r}"
            for column in filled.each(declared.get("for_each"), f"{self.name}, {where}"):
                yield self._expectation(declared, where, filled, column)

    def _expectation(
        self, declared: Mapping[str, Any], where: str, filled: "_Placeholders", column: str | None
    ) -> Expectation:
        requirement = REQUIREMENTS.get(declared.get("expect", ""))
        if requirement is None:
            raise UsageError(f"{self.name}, {where}, expect: expected one of {', '.join(REQUIREMENTS)}.")
        needs = {"id", "expect", "because", "severity"} | requirement.needs
        if requirement.says is None:
            needs |= {"says"}
        self._check_keys(declared, where, needs=needs, may_have=_EXPECTATION_KEYS | requirement.may_have)
        if declared["severity"] not in get_args(Severity):
            raise UsageError(
                f"{self.name}, {where}, severity: expected one of {', '.join(get_args(Severity))}."
            )
        if declared.get("profile") not in (None, *PROFILES):
            raise UsageError(f"{self.name}, {where}, profile: expected one of {', '.join(PROFILES)}.")
        mostly = declared.get("mostly", 1.0)
        if not isinstance(mostly, float) or not 0.0 < mostly <= 1.0:
            raise UsageError(f"{self.name}, {where}, mostly: expected a share above 0.0, at most 1.0.")
        parameters = {
            key: filled.parameter(declared[key], column)
            for key in sorted(requirement.needs | requirement.may_have)
            if key in declared
        }
        expectation_id = filled.text(declared["id"], column)
        if not _NAME.fullmatch(expectation_id):
            raise UsageError(f"{self.name}, {where}, id: expected small letters, digits and underscores.")
        says, because = (filled.text(declared.get(key, ""), column).strip() for key in ("says", "because"))
        owner = declared.get("owner", self.keys["owner"])
        for key, text in (("because", because), ("owner", owner)):
            if not isinstance(text, str) or not text:
                raise UsageError(f"{self.name}, {where}, {key}: expected a text.")
        return Expectation(
            expectation_id=expectation_id,
            expect=declared["expect"],
            parameters=parameters,
            says=says or _sentence(requirement, parameters),
            because=because,
            severity=declared["severity"],
            owner=owner,
            profile=declared.get("profile"),
        )

    def _check_keys(
        self, table: Mapping[str, Any], where: str, *, needs: set[str], may_have: set[str]
    ) -> None:
        missing = sorted(needs - set(table))
        if missing:
            raise UsageError(f"{self.name}, {where}: the key {missing[0]!r} is missing.")
        unknown = sorted(set(table) - needs - may_have)
        if unknown:
            known = ", ".join(sorted(needs | may_have))
            raise UsageError(f"{self.name}, {where}: unknown key {unknown[0]!r}; the keys are {known}.")


def _sentence(requirement: Requirement, parameters: Mapping[str, Any]) -> str:
    shown = {
        key: ", ".join(str(member) for member in value) if isinstance(value, list | tuple) else value
        for key, value in parameters.items()
    }
    mostly = parameters.get("mostly")
    shown["mostly"] = "" if mostly is None else f" (in at least {100 * mostly:g} % of rows)"
    assert requirement.says is not None
    return requirement.says.format(**shown)


@dataclass(frozen=True)
class _Placeholders:
    """What stands in a suite for things that the declarations of sources know.

    {source} and {label} are the source a suite is applied to; {column} is what is at hand in `for_each`: a column,
    or the name of another source, whose label is then {other_label};
    {source_names} and {stable_source_names} are quoted lists for SQL; {delivered_people} is a query of the
    accepted (source, client_id) of every source. {batch} is left for the engine.
    """

    source: Source | None
    sources: Sequence[Source]

    def text(self, template: str, column: str | None = None) -> str:
        known = {
            "source_names": ", ".join(f"'{source.name}'" for source in self.sources),
            "stable_source_names": ", ".join(f"'{s.name}'" for s in self.sources if s.client_id_is_stable)
            or "''",
            "delivered_people": " union all ".join(
                f"select '{source.name}' as source, client_id from {source.name}_people"
                for source in self.sources
            ),
        }
        if self.source is not None:
            known |= {"source": self.source.name, "label": self.source.label}
        if column is not None:
            known["column"] = column
            labels = {source.name: source.label for source in self.sources}
            known["other_label"] = labels.get(column, column)
        for name, value in known.items():
            template = template.replace(f"{{{name}}}", value)
        return template

    def parameter(self, value: Any, column: str | None) -> Any:
        if value == "declared sources":
            return [source.name for source in self.sources]
        if self.source is not None and value == "declared kinds":
            return list(self.source.kind_names)
        if self.source is not None and value == "declared codes":
            (declared,) = (declared for declared in self.source.columns if declared.name == column)
            return list(declared.codes)
        if isinstance(value, list):
            return [self.parameter(member, column) for member in value]
        return self.text(value, column) if isinstance(value, str) else value

    def each(self, for_each: Any, where: str) -> list[str] | list[None]:
        if for_each is None:
            return [None]
        if self.source is not None and for_each == "other source":
            return [other.name for other in self.sources if other.name != self.source.name]
        if isinstance(for_each, list):
            return for_each
        if self.source is not None and for_each == "coded column":
            return [column.name for column in self.source.delivered_columns if column.type == "code"]
        raise UsageError(
            f'{where}, for_each: expected a list or, for a source, "coded column" or "other source".'
        )
