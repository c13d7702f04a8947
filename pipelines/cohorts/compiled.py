"""Rules as SQL.

Each criterion compiles to *spells*: for each person the days at which it was true. A spell (true_after, true_until]
holds for an as-of date t when true_after < t <= true_until, which is exactly when the half-open window that ends at t
sees enough. `all`, `any` and "at least k" are the days at which enough of their parts' spells overlap. So membership,
the day it began and the day it ended come from one relation.
"""

from collections.abc import Sequence as Items

from linkage.source import declared_sources
from pipelines.cohorts.definitions import (
    Combined,
    Criterion,
    DayCount,
    EpisodeCount,
    FlagRecorded,
    Kind,
    Leaf,
    Sequence,
    SystemCount,
    TopShare,
    leaves,
)

_EVENT = """select
    {subject} as subject,
    encounter.source,
    encounter.kind,
    encounter.encounter_id,
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
    encounter.smi_screen = 'positive' as screened_positive,
    encounter.disabling_condition,
    encounter.transported
from encounter
cross join run_parameter"""


def event_sql(subject: str = "encounter.person_id", joined: str = "") -> str:
    """SQL of `cohort_event`: what rules look at, of those that the expression `subject` names.

    `joined` is a further join, of what that expression reads beside `encounter`.
    """
    return _EVENT.format(subject=subject) + (f"\n{joined}" if joined else "")


def spells_sql(rule: Criterion) -> str:
    """SQL over `cohort_event` that gives the rule's spells: subject, true_after, true_until."""
    return _Compiler().compile(rule)


def sql_text(rule: Criterion) -> str:
    """SQL that gives the rule's spells and runs on a release as it stands."""
    return _Compiler(cohort_event=event_sql()).compile(rule)


def evidence_sql(rule: Criterion) -> str:
    """SQL over `cohort_event` (of those whom it is wanted for) and `run_parameter`: subject, position, says.

    What each criterion saw at the as-of date, in words and numbers.
    """
    return "\nunion all\n".join(
        _evidence(criterion, position) for position, criterion in enumerate(leaves(rule), start=1)
    )


def count_of_top_sql(share: TopShare) -> str:
    """SQL over `cohort_event` and `run_parameter`: the count from which on someone is in the top share.

    One row and column: the least count that no more than `percent` of those with any reach; one more than the
    highest where even that is reached by too many.
    """
    return f"""
    with counted as (
        select subject, count(*) as episodes from ({_first_of_episodes(share.kinds, share.only)})
        cross join run_parameter
        where started_on >= {share.window.begin_sql()} and started_on < as_of
        group by subject
    ),
    reached as (
        select episodes, sum(count(*)) over (order by episodes desc) as people, (select count(*) from counted) as users
        from counted group by episodes
    )
    select coalesce(min(episodes) filter (where people * 100 <= users * {share.percent}), max(episodes) + 1, 1)
    from reached
    """


def _evidence(criterion: Leaf, position: int) -> str:
    seen = "cohort_event cross join run_parameter"
    window = criterion.window
    since = f" and started_on >= {window.begin_sql()}" if window else ""
    when = window.says if window else "ever"
    if isinstance(criterion, FlagRecorded):
        named = ", ".join(
            f"if(bool_or({flag}), '{flag.replace('_', ' ')}', null)" for flag in criterion.flags
        )
        says = f"'recorded {when}: ' || concat_ws(', ', {named})"
        where = f"{_flag_condition(criterion.flags)}{since}"
    elif isinstance(criterion, SystemCount):
        says = f"'systems {when}: ' || string_agg(distinct source, ', ' order by source)"
        where = f"is_countable and {_kind_condition(criterion.kinds)} and last_on >= {criterion.window.begin_sql()}"
    elif isinstance(criterion, DayCount):
        seen = f"({_days_of(criterion)}) cross join run_parameter"
        says = f"'days in {_labels(criterion.kinds)}: ' || count(*) || ' {when}'"
        where = f"true{since} and started_on < as_of"
    elif isinstance(criterion, Sequence):
        seen = f"({_followed(criterion)}) cross join run_parameter"
        says = (
            f"'{_labels(criterion.then)} within {criterion.gap_days} days of {_labels(criterion.first)}: ' "
            f"|| count(*) || ' {when}'"
        )
        where = f"true{since}"
    else:
        assert isinstance(criterion, EpisodeCount)
        seen = f"({_first_of_episodes(criterion.kinds, criterion.only)}) cross join run_parameter"
        says = f"'{_labels(criterion.kinds)}: ' || count(*) || ' {when}{criterion.because}'"
        where = f"true{since}"
    return (
        f"select subject, {position} as position, {says} as says from {seen} where {where} group by subject"
    )


def _labels(kinds: Items[Kind]) -> str:
    labels = {
        (source.name, each.name): each.label
        for source in declared_sources().values()
        for each in source.kinds
    }
    return " or ".join(labels[kind] for kind in kinds).replace("'", "''")


def _kind_condition(kinds: Items[Kind], of: str = "") -> str:
    """SQL condition on a row of `cohort_event` (or of the alias `of`, with its dot): it is of one of these kinds."""
    by_source: dict[str, list[str]] = {}
    for kind in kinds:
        by_source.setdefault(kind.source, []).append(f"'{kind.name}'")
    conditions = [
        f"({of}source = '{source}' and {of}kind in ({', '.join(names)}))"
        for source, names in by_source.items()
    ]
    return conditions[0] if len(conditions) == 1 else f"({' or '.join(conditions)})"


def _flag_condition(flags: Items[str]) -> str:
    """SQL condition on a row of `cohort_event`: any of the flags is recorded."""
    return f"({' or '.join(flags)})"


class _Compiler:
    """Compiles a rule into one statement: a common table expression per criterion, in reading order."""

    def __init__(self, **given: str) -> None:
        self.expressions: list[tuple[str, str]] = list(given.items())

    def compile(self, rule: Criterion) -> str:
        last = self._spells_of(rule)
        texts = [f"{name} as (\n{_indented(text)}\n)" for name, text in self.expressions]
        return "with " + ",\n\n".join(texts) + f"\n\nselect subject, true_after, true_until\nfrom {last}"

    def _spells_of(self, criterion: Criterion) -> str:
        match criterion:
            case EpisodeCount(at_most=int(at_most)):
                enough = self._merged(self._add("reached", _episodes_reached(criterion, criterion.at_least)))
                too_many = self._merged(self._add("exceeded", _episodes_reached(criterion, at_most + 1)))
                return self._overlapping([(enough, 1), (too_many, -1)], 1)
            case EpisodeCount():
                return self._merged(self._add("reached", _episodes_reached(criterion, criterion.at_least)))
            case DayCount():
                return self._merged(self._add("reached", _days_reached(criterion)))
            case Sequence():
                return self._merged(self._add("followed", _followed_often(criterion)))
            case FlagRecorded():
                return self._merged(self._add("recorded", _flag_recorded(criterion)))
            case SystemCount():
                met = self._merged(self._add("met", _systems_met(criterion)), "subject, source")
                return self._overlapping([(met, 1)], criterion.at_least)
            case Combined():
                parts = [self._spells_of(part) for part in criterion.parts]
                return self._overlapping([(part, 1) for part in parts], criterion.at_least)
            case TopShare():
                raise AssertionError("a share of the top is compiled as the count that it comes to")

    def _add(self, what: str, text: str) -> str:
        name = f"{what}_{len(self.expressions) + 1}"
        self.expressions.append((name, text))
        return name

    def _merged(self, spells: str, of_each: str = "subject") -> str:
        return self._add("spell", _MERGED.format(spells=spells, of_each=of_each))

    def _overlapping(self, parts: Items[tuple[str, int]], at_least: int) -> str:
        union = "\nunion all\n".join(
            f"select subject, true_after, true_until, {counts} as counts from {part}"
            for part, counts in parts
        )
        together = self._add("part", union)
        return self._merged(self._add("overlap", _OVERLAPPING.format(parts=together, at_least=at_least)))


def _indented(text: str) -> str:
    return "\n".join(f"    {line}" if line else line for line in text.splitlines())


def _first_of_episodes(kinds: Items[Kind], only: Items[str], at_least: int = 1) -> str:
    """SQL: episodes of these kinds by the day they began, of people with at least so many encounters of them."""
    counted = f"is_countable and {_kind_condition(kinds)}" + "".join(f" and {fact}" for fact in only)
    return f"""select subject, episode_id, min(started_on) as started_on
from cohort_event
where {counted}{_of_frequent(counted, "count(*)", at_least)}
group by subject, episode_id"""


def _of_frequent(counted: str, count: str, at_least: int) -> str:
    """SQL condition that leaves out early who cannot come to the number: most people are met once or twice."""
    if at_least == 1:
        return ""
    return f"""
    and subject in (
        select subject from cohort_event where {counted} group by subject having {count} >= {at_least}
    )"""


def _reached(events: str, at_least: int, criterion: EpisodeCount | DayCount | Sequence, tie: str) -> str:
    """SQL: the spells in which at least so many of the events (subject, started_on) are in the window."""
    until = criterion.window.last_as_of_sql("earlier_on")
    year = ", year(started_on)" if criterion.window.unit == "calendar_year" else ""
    return f"""select
    subject,
    started_on as true_after,
    {until} as true_until
from (
    select
        subject,
        started_on,
        lag(started_on, {at_least - 1}) over (
            partition by subject{year} order by started_on{tie}
        ) as earlier_on
    from (
{_indented(_indented(events))}
    )
)
where earlier_on is not null and started_on < {until}"""


def _episodes_reached(criterion: EpisodeCount, at_least: int) -> str:
    events = _first_of_episodes(criterion.kinds, criterion.only, at_least)
    return _reached(events, at_least, criterion, ", episode_id")


def _days_of(criterion: DayCount) -> str:
    """SQL: every day in such stays, once, of people with enough of them in all."""
    return f"""select distinct
    subject,
    unnest(generate_series(started_on, last_on, interval 1 day))::date as started_on
from cohort_event
where
    is_countable
    and {_kind_condition(criterion.kinds)}
    and subject in (
        select subject
        from cohort_event
        where is_countable and {_kind_condition(criterion.kinds)}
        group by subject
        having sum(last_on - started_on + 1) >= {criterion.at_least}
    )"""


def _days_reached(criterion: DayCount) -> str:
    return _reached(_days_of(criterion), criterion.at_least, criterion, "")


def _followed(criterion: Sequence) -> str:
    """SQL: each later episode that followed, by the first day on which it did."""
    return f"""select later.subject, later.episode_id, min(later.started_on) as started_on
from cohort_event as later
where
    later.is_countable
    and {_kind_condition(criterion.then, "later.")}
    and exists (
        select 1
        from cohort_event as earlier
        where
            earlier.subject = later.subject
            and (earlier.source <> later.source or earlier.encounter_id <> later.encounter_id)
            and earlier.is_countable
            and {_kind_condition(criterion.first, "earlier.")}
            and later.started_on - earlier.last_on between 0 and {criterion.gap_days}
    )
group by later.subject, later.episode_id"""


def _followed_often(criterion: Sequence) -> str:
    return _reached(_followed(criterion), criterion.at_least, criterion, ", episode_id")


def _systems_met(criterion: SystemCount) -> str:
    counted = f"is_countable and {_kind_condition(criterion.kinds)}"
    return f"""select
    subject,
    source,
    started_on as true_after,
    {criterion.window.last_as_of_sql("last_on")} as true_until
from cohort_event
where {counted}{_of_frequent(counted, "count(distinct source)", criterion.at_least)}"""


def _flag_recorded(criterion: FlagRecorded) -> str:
    until = criterion.window.last_as_of_sql("started_on") if criterion.window else "date '9999-12-31'"
    return f"""select
    subject,
    started_on as true_after,
    {until} as true_until
from cohort_event
where {_flag_condition(criterion.flags)}"""


# A spell begins where none before it reaches, and lasts until the furthest of those before the next such beginning.
_MERGED = """select
    {of_each},
    true_after,
    coalesce(lead(reached) over (partition by {of_each} order by true_after), reached_at_last) as true_until
from (
    select
        {of_each},
        true_after,
        max(true_until) over (before rows between unbounded preceding and 1 preceding) as reached,
        max(true_until) over (before rows between unbounded preceding and unbounded following) as reached_at_last
    from {spells}
    window before as (partition by {of_each} order by true_after, true_until desc)
)
where reached is null or true_after > reached"""

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
            select subject, true_after as moment, counts as change
            from {parts}
            union all
            select subject, true_until as moment, -counts as change
            from {parts}
        )
        group by subject, moment
    )
)
where parts_true >= {at_least} and true_until is not null"""
