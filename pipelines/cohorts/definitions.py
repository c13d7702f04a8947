"""What a cohort's rule can say: a tree of criteria over the encounters of a person."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal, NamedTuple

from linkage.source import FLAGS

COHORT_FLAGS = (*FLAGS, "screened_positive", "disabling_condition")
"""The county's flags, a positive mental-health screen at booking, and HUD's disabling condition."""

NARROWING = ("transported",)
"""Facts of an encounter that a count may ask for: EMS transported the patient."""


class Kind(NamedTuple):
    """One kind of encounter of one source."""

    source: str
    name: str


@dataclass(frozen=True, kw_only=True)
class Window:
    """The time before the as-of date in which something must lie; half open, so the as-of date is not in it.

    `unit` is months or days (rolling: so many of them, ending at the as-of date) or calendar_year: the year of the
    last day before the as-of date, of which `length` is 1.
    """

    length: int
    unit: Literal["months", "days", "calendar_year"] = "months"

    @property
    def says(self) -> str:
        """The window in words."""
        if self.unit == "calendar_year":
            return "in the calendar year"
        return f"in {self.length} {self.unit}"

    @property
    def longest_days(self) -> int:
        """The most days that the window can have."""
        return {"months": 31, "days": 1, "calendar_year": 366}[self.unit] * self.length

    def begin_sql(self, as_of: str = "as_of") -> str:
        """SQL of its first day."""
        if self.unit == "calendar_year":
            return f"date_trunc('year', {as_of} - interval 1 day)::date"
        return f"({as_of} - interval {self.length} {self.unit})::date"

    def last_as_of_sql(self, day: str) -> str:
        """SQL of the last as-of date whose window still holds the day.

        `day + interval` alone is wrong at a month's end: 28 February is in the six months before 31 August.
        """
        if self.unit == "calendar_year":
            return f"make_date(year({day}) + 1, 1, 1)"
        if self.unit == "days":
            return f"({day} + {self.length})"
        later = f"{day} + interval {self.length} months"
        return f"(case when {day} = last_day({day}) then last_day({later}) else {later} end)::date"


@dataclass(frozen=True, kw_only=True)
class EpisodeCount:
    """At least so many episodes of these kinds of encounter began within a window, and no more than `at_most`.

    An episode begins with its first encounter of these kinds, of those that are also what `only` names.
    """

    kinds: tuple[Kind, ...]
    at_least: int
    window: Window
    at_most: int | None = None
    only: tuple[str, ...] = ()
    because: str = ""


@dataclass(frozen=True, kw_only=True)
class TopShare:
    """Among those with such an episode within the window, the given per cent with the most of them.

    People with equal counts are in together or out together: the count that would take in more than `percent` of
    them is not enough. The count is found at the as-of date and held for the days before.
    """

    kinds: tuple[Kind, ...]
    percent: float
    window: Window
    only: tuple[str, ...] = ()


@dataclass(frozen=True, kw_only=True)
class DayCount:
    """At least so many days within the window of which some part was spent in stays of these kinds."""

    kinds: tuple[Kind, ...]
    at_least: int
    window: Window


@dataclass(frozen=True, kw_only=True)
class Sequence:
    """At least so many episodes of the `then` kinds within the window that followed an encounter of the `first`.

    The later begins on the day the earlier ended or at most `gap_days` days after it.
    """

    first: tuple[Kind, ...]
    then: tuple[Kind, ...]
    gap_days: int
    at_least: int
    window: Window

    @property
    def kinds(self) -> tuple[Kind, ...]:
        """Every kind it looks at."""
        return tuple(sorted({*self.first, *self.then}))


@dataclass(frozen=True, kw_only=True)
class FlagRecorded:
    """Any of these flags recorded, within a window or (None) ever."""

    flags: tuple[str, ...]
    window: Window | None


@dataclass(frozen=True, kw_only=True)
class SystemCount:
    """At least so many sources that met the person within a window, in encounters of these kinds.

    A stay that reaches into the window counts, even if it began before: people still in custody must not vanish.
    """

    kinds: tuple[Kind, ...]
    at_least: int
    window: Window


@dataclass(frozen=True, kw_only=True)
class Combined:
    """At least `at_least` of the parts are true at the same time: all of them, any, or so many."""

    parts: tuple["Criterion", ...]
    at_least: int


Counted = EpisodeCount | TopShare | DayCount | Sequence | SystemCount
"""Criteria that count encounters of kinds, and so rest on the coverage of their sources."""

Leaf = Counted | FlagRecorded
Criterion = Leaf | Combined


@dataclass(frozen=True, kw_only=True)
class CohortDefinition:
    """One cohort: its rule, what the rule says in words, where it comes from and who answers for it."""

    name: str
    label: str
    says: str
    source: str
    owner: str
    rule: Criterion

    def criteria(self) -> Iterator[Leaf]:
        """The criteria of the rule, without what combines them."""
        yield from leaves(self.rule)

    def windows_counted(self) -> list[tuple[str, Window]]:
        """Sources whose encounters the rule counts, each with the windows in which it does.

        A flag may be recorded by any source, so it asks for the coverage of none.
        """
        return list(
            dict.fromkeys(
                (kind.source, criterion.window)
                for criterion in self.criteria()
                if not isinstance(criterion, FlagRecorded)
                for kind in criterion.kinds
            )
        )


def leaves(criterion: Criterion) -> Iterator[Leaf]:
    """The criteria that a criterion combines, itself where it combines none."""
    if isinstance(criterion, Combined):
        for part in criterion.parts:
            yield from leaves(part)
    else:
        yield criterion


def with_counts(criterion: Criterion, counts: Mapping[TopShare, int]) -> Criterion:
    """The rule with the count in the place of every share of the top."""
    if isinstance(criterion, Combined):
        return Combined(
            parts=tuple(with_counts(part, counts) for part in criterion.parts), at_least=criterion.at_least
        )
    if isinstance(criterion, TopShare):
        return EpisodeCount(
            kinds=criterion.kinds,
            at_least=counts[criterion],
            window=criterion.window,
            only=criterion.only,
            because=f" (top {criterion.percent:g} %: {counts[criterion]} or more)",
        )
    return criterion
