"""Cohorts as data: definitions read from the county file, compiled to SQL that an analyst can read.

A rule is a tree of criteria. Each criterion compiles to *spells*: for each person the days at which it was true. A
spell (true_after, true_until] holds for an as-of date t when true_after < t <= true_until, which is exactly when the
half-open window that ends at t sees enough. `all`, `any` and "at least k systems" are the days at which enough of
their parts' spells overlap. So membership, the day it began and the day it ended come from one relation.
"""

import json
import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, NamedTuple

from linkage.errors import UsageError
from linkage.source import FLAGS, declared_sources

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ALTERNATIVES = {"080": "person_id_080", "095": "person_id_095", "099": "person_id_099"}
"""Columns of `person_crosswalk` with the persons that other linkage thresholds would make."""

COHORT_FLAGS = (*FLAGS, "screened_positive")
"""The county's flags, and a positive mental-health screen at booking."""

LONGEST_WINDOW_MONTHS = 60
LONGEST_MONTH_DAYS = 31


class Kind(NamedTuple):
    """One kind of encounter of one source."""

    source: str
    name: str


@dataclass(frozen=True, kw_only=True)
class EpisodeCount:
    """At least so many episodes of these kinds of encounter began within a window.

    An episode begins with its first encounter of these kinds.
    """

    kinds: tuple[Kind, ...]
    at_least: int
    within_months: int


@dataclass(frozen=True, kw_only=True)
class FlagRecorded:
    """Any of these flags recorded, within a window or (None) ever."""

    flags: tuple[str, ...]
    within_months: int | None


@dataclass(frozen=True, kw_only=True)
class SystemCount:
    """At least so many sources that met the person within a window, in encounters of these kinds.

    A stay that reaches into the window counts, even if it began before: people still in custody must not vanish.
    """

    kinds: tuple[Kind, ...]
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

    def sql_text(self) -> str:
        """SQL that gives the cohort's spells and runs on a release as it stands."""
        return _Compiler(cohort_event=_event_sql("person_id")).compile(self.rule)

    def evidence_sql(self) -> str:
        """SQL over `cohort_event` and `run_parameter`: subject, position, says.

        What each criterion saw at the as-of date, in words and numbers.
        """
        return "\nunion all\n".join(
            _evidence(criterion, position) for position, criterion in enumerate(self.criteria(), start=1)
        )

    def counted_windows(self) -> list[tuple[str, int]]:
        """Sources whose encounters the rule counts, each with the longest window in months.

        A flag may be recorded by any source, so it asks for the coverage of none.
        """
        longest: dict[str, int] = {}
        for criterion in self.criteria():
            if isinstance(criterion, FlagRecorded):
                continue
            for kind in criterion.kinds:
                longest[kind.source] = max(longest.get(kind.source, 0), criterion.within_months)
        return sorted(longest.items())

    def rule_json(self) -> str:
        """The rule as JSON, in the words of the county file."""
        return json.dumps(_as_written(self.rule))


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

    - `cohort_definition`: one row per cohort, with its rule, the SQL it compiles to, and whether every source that
      it counts covers its window (`source_coverage`).
    - `cohort_spell`: cohort, threshold (`chosen` or a key of `ALTERNATIVES`), person_id, true_after, true_until.
      For an alternative only the spells at the as-of date, of the persons it would make, given to each person who
      shares a client with one.
    - `cohort_evidence`: cohort, person_id, evidence.
    """
    connection.execute("begin").fetchall()
    try:
        connection.execute(_TABLES).fetchall()
        for cohort in cohorts:
            _insert_definition(connection, cohort)
        connection.execute(
            f"create or replace temp table cohort_event as {_event_sql('person_id')}"
        ).fetchall()
        for cohort in cohorts:
            connection.execute(
                f"insert into cohort_spell select '{cohort.name}', 'chosen', subject, true_after, true_until "
                f"from ({cohort.spells_sql()})"
            ).fetchall()
            connection.execute(
                f"insert into cohort_evidence select '{cohort.name}', subject, "
                f"string_agg(says, '; ' order by position) from ({cohort.evidence_sql()}) "
                f"where subject in (select person_id from cohort_spell where cohort = '{cohort.name}') "
                "group by subject"
            ).fetchall()
        for threshold, column in ALTERNATIVES.items():
            _insert_alternative(connection, cohorts, threshold, column)
        connection.execute("drop table cohort_event").fetchall()
        connection.execute("drop table regrouped_person").fetchall()
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise


def _insert_definition(connection: "DuckDBPyConnection", cohort: CohortDefinition) -> None:
    windows = " union all ".join(
        f"select '{source}' as source, {months} as months" for source, months in cohort.counted_windows()
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
            cohort.sql_text(),
        ],
    ).fetchall()


def _insert_alternative(
    connection: "DuckDBPyConnection", cohorts: Sequence[CohortDefinition], threshold: str, column: str
) -> None:
    """Judge at another threshold only those persons whom it makes of other clients; the rest stay as they are."""
    connection.execute(_REGROUPED.format(column=column)).fetchall()
    connection.execute(f"create or replace temp table cohort_event as {_event_sql(column)}").fetchall()
    for cohort in cohorts:
        connection.execute(
            _INSERT_ALTERNATIVE.format(cohort=cohort.name, threshold=threshold, spells=cohort.spells_sql())
        ).fetchall()


_TABLES = """
create or replace table cohort_definition (
    cohort varchar, label varchar, says varchar, source varchar, owner varchar, rule varchar, sql_text varchar,
    coverage_ok boolean, coverage_says varchar
);
create or replace table cohort_spell (
    cohort varchar, threshold varchar, person_id varchar, true_after date, true_until date
);
create or replace table cohort_evidence (cohort varchar, person_id varchar, evidence varchar);
"""

_EVENT = """select
    {subject} as subject,
    encounter.source,
    encounter.kind,
    encounter.episode_id,
    encounter.is_countable,
    encounter.started_at::date as started_on,
    case
        when encounter.is_stay and encounter.kind <> 'bed_night'
            then
                greatest(
                    encounter.started_at,
                    coalesce(encounter.ended_at, run_parameter.as_of) - interval 1 microsecond
                )
        else encounter.started_at
    end::date as last_on,
    encounter.smi,
    encounter.sud,
    encounter.suicidality,
    encounter.homeless,
    encounter.overdose,
    encounter.smi_screen = 'positive' as screened_positive
from encounter
cross join run_parameter"""

_OF_REGROUPED = """
inner join person_crosswalk
    on person_crosswalk.source = encounter.source and person_crosswalk.client_id = encounter.client_id
where person_crosswalk.{column} in (select subject from regrouped_person)"""

_REGROUPED = """
create or replace temp table regrouped_person as
select person_id, subject
from (select distinct person_id, {column} as subject from person_crosswalk)
qualify count(*) over (partition by person_id) > 1 or count(*) over (partition by subject) > 1
"""

_INSERT_ALTERNATIVE = """
insert into cohort_spell
with spell as (
    select distinct regrouped_person.person_id, spell.true_after, spell.true_until
    from ({spells}) as spell
    inner join regrouped_person on regrouped_person.subject = spell.subject
    union all
    select person_id, true_after, true_until
    from cohort_spell
    where
        cohort = '{cohort}'
        and threshold = 'chosen'
        and person_id not in (select person_id from regrouped_person)
)
select '{cohort}', '{threshold}', spell.person_id, spell.true_after, spell.true_until
from spell
cross join run_parameter
where spell.true_after < run_parameter.as_of and spell.true_until >= run_parameter.as_of
"""

_INSERT_DEFINITION = """
insert into cohort_definition
with needed as ({windows}),
needed_month as (
    select
        needed.source,
        strftime(
            unnest(
                generate_series(
                    date_trunc('month', run_parameter.as_of - to_months(needed.months)),
                    run_parameter.as_of - interval 1 day,
                    interval 1 month
                )
            ),
            '%Y-%m'
        ) as month
    from needed
    cross join run_parameter
),
covered as (
    select
        needed_month.source,
        count(*) as needed_months,
        count(source_coverage.month) as covered_months
    from needed_month
    left join source_coverage
        on
            source_coverage.source = needed_month.source
            and source_coverage.month = needed_month.month
            and source_coverage.is_covered
    group by needed_month.source
)
select
    ?, ?, ?, ?, ?, ?, ?,
    coalesce(bool_and(covered_months = needed_months), true),
    coalesce(
        string_agg(
            source || ' covers ' || covered_months || ' of ' || needed_months || ' months', '; ' order by source
        ) filter (where covered_months < needed_months),
        'every source it counts covers its window'
    )
from covered
"""


def _event_sql(column: str) -> str:
    """SQL of `cohort_event` by one of the person columns of the crosswalk."""
    if column == "person_id":
        return _EVENT.format(subject="encounter.person_id")
    return _EVENT.format(subject=f"person_crosswalk.{column}") + _OF_REGROUPED.format(column=column)


def _evidence(criterion: "EpisodeCount | FlagRecorded | SystemCount", position: int) -> str:
    months = criterion.within_months
    if isinstance(criterion, FlagRecorded):
        named = ", ".join(
            f"if(bool_or({flag}), '{flag.replace('_', ' ')}', null)" for flag in criterion.flags
        )
        when = f"in {months} months" if months else "ever"
        since = f" and started_on >= as_of - interval {months} months" if months else ""
        says = f"'recorded {when}: ' || concat_ws(', ', {named})"
        return (
            f"select subject, {position} as position, {says} as says from cohort_event "
            f"cross join run_parameter where {_flag_condition(criterion.flags)}{since} group by subject"
        )
    if isinstance(criterion, SystemCount):
        says = f"'systems in {months} months: ' || string_agg(distinct source, ', ' order by source)"
        return (
            f"select subject, {position} as position, {says} as says from cohort_event "
            f"cross join run_parameter where is_countable and {_kind_condition(criterion.kinds)} "
            f"and last_on >= as_of - interval {months} months group by subject"
        )
    label = " or ".join(_label(kind) for kind in criterion.kinds)
    return (
        f"select subject, {position} as position, '{label}: ' || count(*) || ' in {months} months' as says from ("
        "select subject, episode_id, min(started_on) as started_on from cohort_event "
        f"where is_countable and {_kind_condition(criterion.kinds)} group by subject, episode_id"
        f") cross join run_parameter where started_on >= as_of - interval {months} months group by subject"
    )


def _label(kind: Kind) -> str:
    declared = declared_sources()[kind.source].kinds
    return next(each.label for each in declared if each.name == kind.name).replace("'", "''")


_EXPECTED_KEYS = ("name", "label", "says", "source", "owner", "rule")


def _parse_cohort(table: Any) -> CohortDefinition:
    if not isinstance(table, dict) or not isinstance(table.get("name"), str):
        raise UsageError("county.toml, [[cohorts]]: every cohort needs a name.")
    where = f"county.toml, cohort {table['name']}"
    if not re.fullmatch(r"[a-z][a-z0-9_]*", table["name"]):
        raise UsageError(f"{where}: a name is lower-case letters, digits and underscores.")
    if set(table) != set(_EXPECTED_KEYS):
        differing = sorted(set(table) ^ set(_EXPECTED_KEYS))[0]
        problem = "is missing" if differing in _EXPECTED_KEYS else "is not known"
        raise UsageError(f"{where}: the key {differing} {problem}; the keys are {', '.join(_EXPECTED_KEYS)}.")
    texts = {key: table[key] for key in _EXPECTED_KEYS if key != "rule"}
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
    keys = set(table)
    if keys in ({"all"}, {"any"}):
        (combination,) = keys
        return _parse_combination(combination, table[combination], where)
    if keys == {"count", "at_least", "within_months"}:
        months = _number(table, "within_months", where, 1, LONGEST_WINDOW_MONTHS)
        return EpisodeCount(
            kinds=_kinds(table["count"], where),
            at_least=_number(table, "at_least", where, 1, months * LONGEST_MONTH_DAYS),
            within_months=months,
        )
    if keys == {"systems_with", "at_least", "within_months"}:
        kinds = _kinds(table["systems_with"], where)
        systems = len({kind.source for kind in kinds})
        return SystemCount(
            kinds=kinds,
            at_least=_number(table, "at_least", where, 1, systems),
            within_months=_number(table, "within_months", where, 1, LONGEST_WINDOW_MONTHS),
        )
    if keys in ({"any_flag"}, {"any_flag", "within_months"}):
        months_or_ever = (
            _number(table, "within_months", where, 1, LONGEST_WINDOW_MONTHS) if len(keys) == 2 else None
        )
        flags = _names(table["any_flag"], COHORT_FLAGS, "flag", where)
        return FlagRecorded(flags=flags, within_months=months_or_ever)
    raise UsageError(
        f"{where}: a criterion has the keys all; any; count, at_least, within_months; "
        "systems_with, at_least, within_months; or any_flag, within_months."
    )


def _parse_combination(combination: str, parts: Any, where: str) -> Combined:
    if not isinstance(parts, list) or len(parts) < 2:
        raise UsageError(f"{where}: {combination} needs a list of two or more criteria.")
    criteria = tuple(_parse_criterion(part, where) for part in parts)
    if len(set(criteria)) < len(criteria):
        raise UsageError(f"{where}: {combination} lists the same criterion twice; remove one.")
    return Combined(parts=criteria, at_least=len(criteria) if combination == "all" else 1)


def _kinds(names: Any, where: str) -> tuple[Kind, ...]:
    """Kinds named as `kind`, as `source.kind`, or all of a source's by its name."""
    meant: dict[str, list[Kind]] = {}
    for source in declared_sources().values():
        for each in source.kinds:
            kind = Kind(source.name, each.name)
            meant.setdefault(each.name, []).append(kind)
            meant.setdefault(f"{source.name}.{each.name}", []).append(kind)
    for source in declared_sources().values():
        meant[source.name] = [Kind(source.name, each.name) for each in source.kinds]
    kinds: list[Kind] = []
    for name in _names(names, tuple(meant), "kind of encounter", where):
        if len({kind.source for kind in meant[name]}) > 1:
            choices = " or ".join(f"{kind.source}.{kind.name}" for kind in meant[name])
            raise UsageError(f"{where}: several sources report the kind {name}; write {choices}.")
        kinds += meant[name]
    return tuple(sorted(set(kinds)))


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


def _as_written(criterion: Criterion) -> dict[str, Any]:
    if isinstance(criterion, Combined):
        combination = "any" if criterion.at_least == 1 else "all"
        return {combination: [_as_written(part) for part in criterion.parts]}
    if isinstance(criterion, FlagRecorded):
        window = {} if criterion.within_months is None else {"within_months": criterion.within_months}
        return {"any_flag": list(criterion.flags), **window}
    return {
        "count" if isinstance(criterion, EpisodeCount) else "systems_with": [
            f"{kind.source}.{kind.name}" for kind in criterion.kinds
        ],
        "at_least": criterion.at_least,
        "within_months": criterion.within_months,
    }


def _kind_condition(kinds: Sequence[Kind]) -> str:
    """SQL condition on a row of `cohort_event`: it is of one of these kinds."""
    by_source: dict[str, list[str]] = {}
    for kind in kinds:
        by_source.setdefault(kind.source, []).append(f"'{kind.name}'")
    conditions = [
        f"(source = '{source}' and kind in ({', '.join(names)}))" for source, names in by_source.items()
    ]
    return conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})"


def _flag_condition(flags: Sequence[str]) -> str:
    """SQL condition on a row of `cohort_event`: any of the flags is recorded."""
    return f"({' or '.join(flags)})"


def _last_day_seen(day: str, months: int) -> str:
    """SQL of the last as-of date whose window of so many months still holds `day`.

    `day + interval` alone is wrong at a month's end: 28 February is in the six months before 31 August.
    """
    later = f"{day} + interval {months} months"
    return f"(case when {day} = last_day({day}) then last_day({later}) else {later} end)::date"


class _Compiler:
    """Compiles a rule into one statement: a common table expression per criterion, in reading order."""

    def __init__(self, **given: str) -> None:
        self.expressions: list[tuple[str, str]] = list(given.items())

    def compile(self, rule: Criterion) -> str:
        last = self._spells_of(rule)
        texts = [f"{name} as (\n{_indented(text)}\n)" for name, text in self.expressions]
        return "with " + ",\n\n".join(texts) + f"\n\nselect subject, true_after, true_until\nfrom {last}"

    def _spells_of(self, criterion: Criterion) -> str:
        if isinstance(criterion, EpisodeCount):
            return self._merged(self._add("reached", _episodes_reached(criterion)))
        if isinstance(criterion, FlagRecorded):
            return self._merged(self._add("recorded", _flag_recorded(criterion)))
        if isinstance(criterion, SystemCount):
            sources = sorted({kind.source for kind in criterion.kinds})
            parts = [self._merged(self._add("met", _system_met(criterion, source))) for source in sources]
            return self._overlapping(parts, criterion.at_least)
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


def _episodes_reached(criterion: EpisodeCount) -> str:
    until = _last_day_seen("earlier_on", criterion.within_months)
    return f"""select
    subject,
    started_on as true_after,
    {until} as true_until
from (
    select
        subject,
        started_on,
        lag(started_on, {criterion.at_least - 1}) over (
            partition by subject order by started_on, episode_id
        ) as earlier_on
    from (
        select subject, episode_id, min(started_on) as started_on
        from cohort_event
        where is_countable and {_kind_condition(criterion.kinds)}
        group by subject, episode_id
    )
)
where earlier_on is not null and started_on < {until}"""


def _system_met(criterion: SystemCount, source: str) -> str:
    kinds = [kind for kind in criterion.kinds if kind.source == source]
    return f"""select
    subject,
    started_on as true_after,
    {_last_day_seen("last_on", criterion.within_months)} as true_until
from cohort_event
where is_countable and {_kind_condition(kinds)}"""


def _flag_recorded(criterion: FlagRecorded) -> str:
    if criterion.within_months is None:
        until = "date '9999-12-31'"
    else:
        until = _last_day_seen("started_on", criterion.within_months)
    return f"""select
    subject,
    started_on as true_after,
    {until} as true_until
from cohort_event
where {_flag_condition(criterion.flags)}"""


# One row per start, so that its order is total: rows that tie may come in another order in each window.
_MERGED = """select subject, min(true_after) as true_after, max(true_until) as true_until
from (
    select
        *,
        count(*) filter (where reached is null or true_after > reached) over (
            partition by subject order by true_after
            rows between unbounded preceding and current row
        ) as spell_number
    from (
        select
            *,
            max(true_until) over (
                partition by subject order by true_after
                rows between unbounded preceding and 1 preceding
            ) as reached
        from (
            select subject, true_after, max(true_until) as true_until
            from {spells}
            group by subject, true_after
        )
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
        ) as parts_true
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
