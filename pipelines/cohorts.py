"""Cohorts as data: definitions read from the county file, compiled to SQL that an analyst can read.

A rule is a tree of criteria. Each criterion compiles to *spells*: for each person the times during which it was
true. A spell (true_after, true_until] holds at a moment t when true_after < t <= true_until, which is exactly when
the half-open window that ends at t sees enough. `all`, `any` and "at least k systems" are the times at which enough
of their parts' spells overlap. So membership, the day it began and the day it ended come from one relation.
"""

import json
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

from linkage.errors import UsageError
from linkage.source import FLAGS, declared_sources

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

THRESHOLDS = {"chosen": "person_id", "080": "person_id_080", "095": "person_id_095", "099": "person_id_099"}
"""The columns of `person_crosswalk` by which cohorts are formed: as released, and as they would be otherwise."""

COHORT_FLAGS = (*FLAGS, "screened_positive")
"""The county's flags, and a positive mental-health screen at booking."""

LONGEST_WINDOW_MONTHS = 60


@dataclass(frozen=True, kw_only=True)
class EpisodeCount:
    """At least so many episodes of these kinds of encounter within a window."""

    kinds: tuple[str, ...]
    at_least: int
    within_months: int


@dataclass(frozen=True, kw_only=True)
class FlagRecorded:
    """Any of these flags recorded, within a window or (None) ever."""

    flags: tuple[str, ...]
    within_months: int | None


@dataclass(frozen=True, kw_only=True)
class SystemCount:
    """At least so many sources with an encounter of these kinds within a window."""

    kinds: tuple[str, ...]
    at_least: int
    within_months: int


@dataclass(frozen=True, kw_only=True)
class Combined:
    """At least `at_least` of the parts are true at the same time: all of them, or any."""

    parts: tuple["Criterion", ...]
    at_least: int


Criterion = EpisodeCount | FlagRecorded | SystemCount | Combined


@dataclass(frozen=True, kw_only=True)
class CohortDefinition:
    """One cohort: its rule, what the rule says in words, where it comes from and who answers for it."""

    name: str
    label: str
    says: str
    source: str
    owner: str
    rule: Criterion

    def criteria(self) -> Iterator[EpisodeCount | FlagRecorded | SystemCount]:
        """The criteria of the rule, without what combines them."""
        yield from _leaves(self.rule)

    def spells_sql(self) -> str:
        """SQL over `cohort_event` that gives the cohort's spells: subject, true_after, true_until."""
        return _Compiler().compile(self.rule)

    def evidence_sql(self) -> str:
        """SQL over `cohort_event` and `run_parameter`: subject, position, says; what each criterion saw at the as-of
        date, in words and numbers."""
        return "\nunion all\n".join(
            _evidence(criterion, position) for position, criterion in enumerate(self.criteria(), start=1)
        )

    def counted_windows(self) -> list[tuple[str, int]]:
        """Sources whose encounters the rule counts, each with the longest window in months."""
        longest: dict[str, int] = {}
        for criterion in self.criteria():
            if isinstance(criterion, FlagRecorded):
                continue
            for source in map(source_of_kind, criterion.kinds):
                longest[source] = max(longest.get(source, 0), criterion.within_months)
        return sorted(longest.items())

    def rule_json(self) -> str:
        """The rule as JSON, for the release."""
        return json.dumps(asdict(self.rule), sort_keys=True)


def source_of_kind(kind: str) -> str:
    """The source that reports this kind of encounter. Raises KeyError for a kind that is not declared."""
    return {kind.name: source.name for source in declared_sources().values() for kind in source.kinds}[kind]


def parse_cohorts(tables: Any) -> tuple[CohortDefinition, ...]:
    """Read the `[[cohorts]]` tables of a county file.

    Raises UsageError, naming the cohort and the key, for a definition that is incomplete, impossible or repeated.
    """
    if not isinstance(tables, list):
        raise UsageError("county.toml: cohorts are written as [[cohorts]] tables.")
    cohorts = tuple(_parse_cohort(table) for table in tables)
    names = [cohort.name for cohort in cohorts]
    for name in names:
        if names.count(name) > 1:
            raise UsageError(
                f"county.toml, cohort {name}: it is defined twice; give one of them another name."
            )
    return cohorts


def build_cohort_inputs(connection: "DuckDBPyConnection", cohorts: Sequence[CohortDefinition]) -> None:
    """Make what `sql/marts/cohort_membership.sql` reads, in one transaction.

    - `cohort_definition`: one row per cohort, with its rule, the SQL it compiles to, and whether every source that it
      counts covers its window (`source_coverage`).
    - `cohort_spell`: cohort, threshold (a key of `THRESHOLDS`), subject, true_after, true_until.
    - `cohort_evidence`: cohort, person_id, evidence.
    """
    connection.execute("begin").fetchall()
    try:
        connection.execute(_TABLES).fetchall()
        for cohort in cohorts:
            windows = " union all ".join(
                f"select '{source}' as source, {months} as months"
                for source, months in cohort.counted_windows()
            )
            connection.execute(
                _INSERT_DEFINITION.format(windows=windows or "select '' as source, 0 as months where false"),
                [
                    cohort.name,
                    cohort.label,
                    cohort.says,
                    cohort.source,
                    cohort.owner,
                    cohort.rule_json(),
                    cohort.spells_sql(),
                ],
            ).fetchall()
        for threshold, column in THRESHOLDS.items():
            connection.execute(_EVENT.format(subject=column)).fetchall()
            for cohort in cohorts:
                connection.execute(
                    f"insert into cohort_spell select '{cohort.name}', '{threshold}', subject, true_after, true_until "
                    f"from ({cohort.spells_sql()})"
                ).fetchall()
                if threshold == "chosen":
                    connection.execute(
                        f"insert into cohort_evidence select '{cohort.name}', subject, "
                        f"string_agg(says, '; ' order by position) from ({cohort.evidence_sql()}) group by subject"
                    ).fetchall()
        connection.execute("drop table cohort_event").fetchall()
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise


_TABLES = """
create or replace table cohort_definition (
    cohort varchar, label varchar, says varchar, source varchar, owner varchar, rule varchar, spells_sql varchar,
    coverage_ok boolean, coverage_says varchar
);
create or replace table cohort_spell (
    cohort varchar, threshold varchar, subject varchar, true_after timestamp, true_until timestamp
);
create or replace table cohort_evidence (cohort varchar, person_id varchar, evidence varchar);
"""

_EVENT = """
create or replace temp table cohort_event as
select
    person_crosswalk.{subject} as subject,
    encounter.source,
    encounter.kind,
    encounter.started_at,
    encounter.episode_id,
    encounter.is_countable,
    encounter.smi,
    encounter.sud,
    encounter.suicidality,
    encounter.homeless,
    encounter.overdose,
    encounter.smi_screen = 'positive' as screened_positive,
from encounter
inner join person_crosswalk
    on person_crosswalk.source = encounter.source and person_crosswalk.client_id = encounter.client_id
"""

_INSERT_DEFINITION = """
insert into cohort_definition
with needed as ({windows}),
short as (
    select needed.source, needed.months, count(source_coverage.month) as covered_months
    from needed
    cross join run_parameter
    left join source_coverage
        on
            source_coverage.source = needed.source
            and source_coverage.is_covered
            and source_coverage.month >= strftime(run_parameter.as_of - to_months(needed.months), '%Y-%m')
            and source_coverage.month < strftime(run_parameter.as_of, '%Y-%m')
    group by needed.source, needed.months
    having count(source_coverage.month) < needed.months
)
select
    ?, ?, ?, ?, ?, ?, ?,
    not exists(from short),
    coalesce(
        (select string_agg(source || ' covers ' || covered_months || ' of ' || months || ' months', '; ' order by source)
         from short),
        'every source it counts covers its window'
    )
"""


def _evidence(criterion: "EpisodeCount | FlagRecorded | SystemCount", position: int) -> str:
    if isinstance(criterion, FlagRecorded):
        named = ", ".join(f"if(bool_or({flag}), '{flag}', null)" for flag in criterion.flags)
        when = f"in {criterion.within_months} months" if criterion.within_months else "ever"
        since = (
            f" and started_at >= as_of - interval {criterion.within_months} months"
            if criterion.within_months
            else ""
        )
        return (
            f"select subject, {position} as position, 'recorded {when}: ' || array_to_string(list_filter([{named}], "
            f"lambda flag: flag is not null), ', ') as says from cohort_event cross join run_parameter "
            f"where {flag_condition(criterion.flags)}{since} group by subject"
        )
    if isinstance(criterion, SystemCount):
        says = f"'systems in {criterion.within_months} months: ' || string_agg(distinct source, ', ' order by source)"
    else:
        label = " or ".join(kind_label(kind) for kind in criterion.kinds)
        says = f"'{label}: ' || count(*) || ' in {criterion.within_months} months'"
    return (
        f"select subject, {position} as position, {says} as says from ("
        "select subject, source, episode_id, min(started_at) as started_at from cohort_event "
        f"where is_countable and kind in ({_list(criterion.kinds)}) group by subject, source, episode_id"
        f") cross join run_parameter where started_at >= as_of - interval {criterion.within_months} months group by subject"
    )


def kind_label(kind: str) -> str:
    """The declared label of a kind of encounter."""
    return next(
        each.label for source in declared_sources().values() for each in source.kinds if each.name == kind
    )


def _parse_cohort(table: Any) -> CohortDefinition:
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UsageError("county.toml, [[cohorts]]: every cohort needs a name.")
    where = f"county.toml, cohort {table['name']}"
    if not table["name"].replace("_", "").isalnum() or not table["name"].islower():
        raise UsageError(f"{where}: a name is lower-case letters, digits and underscores.")
    expected = {"name", "label", "says", "source", "owner", "rule"}
    if set(table) != expected:
        differing = sorted(set(table) ^ expected)[0]
        problem = "is missing" if differing in expected else "is not known"
        raise UsageError(
            f"{where}: the key {differing} {problem}; the keys are {', '.join(sorted(expected))}."
        )
    for key in expected - {"rule"}:
        if not isinstance(table[key], str) or not table[key].strip():
            raise UsageError(f"{where}: {key} must be a text.")
    texts = {key: table[key] for key in expected - {"rule"}}
    return CohortDefinition(**texts, rule=_parse_criterion(table["rule"], where))


def _parse_criterion(table: Any, where: str) -> Criterion:
    if not isinstance(table, dict):
        raise UsageError(
            f"{where}: a criterion is a table such as {{count = ['booking'], at_least = 4, ...}}."
        )
    keys = set(table)
    if keys in ({"all"}, {"any"}):
        (combination,) = keys
        parts = table[combination]
        if not isinstance(parts, list) or len(parts) < 2:
            raise UsageError(f"{where}: {combination} needs a list of two or more criteria.")
        criteria = tuple(_parse_criterion(part, where) for part in parts)
        return Combined(parts=criteria, at_least=len(criteria) if combination == "all" else 1)
    if keys == {"count", "at_least", "within_months"}:
        return EpisodeCount(
            kinds=_kinds(table["count"], where),
            at_least=_number(table, "at_least", where, 1, 10_000),
            within_months=_number(table, "within_months", where, 1, LONGEST_WINDOW_MONTHS),
        )
    if keys == {"systems_with", "at_least", "within_months"}:
        kinds = _kinds(table["systems_with"], where)
        systems = len({source_of_kind(kind) for kind in kinds})
        return SystemCount(
            kinds=kinds,
            at_least=_number(table, "at_least", where, 1, systems),
            within_months=_number(table, "within_months", where, 1, LONGEST_WINDOW_MONTHS),
        )
    if keys in ({"any_flag"}, {"any_flag", "within_months"}):
        flags = _names(table["any_flag"], COHORT_FLAGS, "flag", where)
        months = _number(table, "within_months", where, 1, LONGEST_WINDOW_MONTHS) if len(keys) == 2 else None
        return FlagRecorded(flags=flags, within_months=months)
    raise UsageError(
        f"{where}: a criterion has the keys all; any; count, at_least, within_months; "
        "systems_with, at_least, within_months; or any_flag, within_months."
    )


def _kinds(names: Any, where: str) -> tuple[str, ...]:
    declared = [kind.name for source in declared_sources().values() for kind in source.kinds]
    return _names(names, declared, "kind of encounter", where)


def _names(names: Any, allowed: Sequence[str], what: str, where: str) -> tuple[str, ...]:
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


def _leaves(criterion: Criterion) -> Iterator[EpisodeCount | FlagRecorded | SystemCount]:
    if isinstance(criterion, Combined):
        for part in criterion.parts:
            yield from _leaves(part)
    else:
        yield criterion


def _list(names: Sequence[str]) -> str:
    return ", ".join(f"'{name}'" for name in names)


def flag_condition(flags: Sequence[str]) -> str:
    """SQL condition on a row of `cohort_event`: any of the flags is recorded."""
    return "(" + " or ".join(f"{flag}" for flag in flags) + ")"


class _Compiler:
    """Compiles a rule into one statement: a common table expression per criterion, in reading order."""

    def __init__(self) -> None:
        self.expressions: list[tuple[str, str]] = []

    def compile(self, rule: Criterion) -> str:
        last = self._spells_of(rule)
        texts = [f"{name} as (\n{_indented(text)}\n)" for name, text in self.expressions]
        return "with " + ",\n\n".join(texts) + f"\n\nselect subject, true_after, true_until\nfrom {last}"

    def _spells_of(self, criterion: Criterion) -> str:
        if isinstance(criterion, EpisodeCount):
            return self._merged(self._add("reached", _episode_count(criterion)))
        if isinstance(criterion, FlagRecorded):
            return self._merged(self._add("recorded", _flag_recorded(criterion)))
        if isinstance(criterion, SystemCount):
            by_source: dict[str, list[str]] = {}
            for kind in criterion.kinds:
                by_source.setdefault(source_of_kind(kind), []).append(kind)
            parts = [
                EpisodeCount(kinds=tuple(kinds), at_least=1, within_months=criterion.within_months)
                for kinds in by_source.values()
            ]
            return self._overlapping([self._spells_of(part) for part in parts], criterion.at_least)
        return self._overlapping([self._spells_of(part) for part in criterion.parts], criterion.at_least)

    def _add(self, what: str, text: str) -> str:
        name = f"{what}_{len(self.expressions) + 1}"
        self.expressions.append((name, text))
        return name

    def _merged(self, spells: str) -> str:
        return self._add("spell", _MERGED.format(spells=spells))

    def _overlapping(self, parts: Sequence[str], at_least: int) -> str:
        union = "\nunion all\n".join(f"select subject, true_after, true_until from {part}" for part in parts)
        together = self._add("part", union)
        return self._merged(self._add("overlap", _OVERLAPPING.format(parts=together, at_least=at_least)))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.splitlines())


def _episode_count(criterion: EpisodeCount) -> str:
    return f"""select subject, started_at as true_after, earlier_at + interval {criterion.within_months} months as true_until
from (
    select
        subject,
        started_at,
        lag(started_at, {criterion.at_least - 1}) over (
            partition by subject order by started_at, episode_id
        ) as earlier_at,
    from (
        select subject, episode_id, min(started_at) as started_at
        from cohort_event
        where is_countable and kind in ({_list(criterion.kinds)})
        group by subject, episode_id
    )
)
where earlier_at is not null and started_at < earlier_at + interval {criterion.within_months} months"""


def _flag_recorded(criterion: FlagRecorded) -> str:
    until = (
        "timestamp '9999-01-01'"
        if criterion.within_months is None
        else f"started_at + interval {criterion.within_months} months"
    )
    return f"""select subject, started_at as true_after, {until} as true_until
from cohort_event
where {flag_condition(criterion.flags)}"""


_MERGED = """select subject, min(true_after) as true_after, max(true_until) as true_until
from (
    select
        *,
        count(*) filter (where reached is null or true_after > reached) over (
            partition by subject order by true_after, true_until
            rows between unbounded preceding and current row
        ) as spell_number,
    from (
        select
            *,
            max(true_until) over (
                partition by subject order by true_after, true_until
                rows between unbounded preceding and 1 preceding
            ) as reached,
        from {spells}
    )
)
group by subject, spell_number"""

_OVERLAPPING = """select subject, true_after, true_until
from (
    select
        subject,
        moment as true_after,
        lead(moment) over (partition by subject order by moment) as true_until,
        sum(change) over (
            partition by subject order by moment rows between unbounded preceding and current row
        ) as parts_true,
    from (
        select subject, moment, sum(change) as change
        from (
            select subject, true_after as moment, 1 as change
            from {parts}
            union all
            select subject, true_until as moment, -1 as change
            from {parts}
        )
        group by subject, moment
    )
)
where parts_true >= {at_least} and true_until is not null"""
