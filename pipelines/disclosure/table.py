"""Which cells of one published aggregate are withheld: rules first, then what linear programs still learn."""

import math
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from pipelines.disclosure.measures import COUNTED_ONCE, ENDINGS, NESTINGS, Nesting, family
from pipelines.disclosure.parts import is_few
from pipelines.disclosure.programs import Cell, Published, Sum

Key = tuple[str, ...]
Shown = tuple[int | None, int | None, int | None]
WHOLE = ("all", "all")


@dataclass(frozen=True, kw_only=True)
class Counts:
    """What one cell counts, exactly. `people`, `of_whom` and `beside` are distinct people in the denominator, in the
    numerator and in the rest; the others are events, or people once each."""

    people: int
    of_whom: int
    beside: int
    numerator: int
    denominator: int
    left_out: int = 0

    @property
    def quantities(self) -> tuple[int, int, int]:
        """What can be told of the cell where it is shown: numerator, rest, denominator."""
        return self.numerator, self.denominator - self.numerator, self.denominator


@dataclass(kw_only=True)
class Table:
    """One published aggregate by measure, period and part, and what of it is withheld.

    `cells` maps (measure, period, smi, charge_class) to counts; `published` has what earlier releases showed of a cell,
    by the number of the release: numerator, denominator and left_out, None where it was withheld.
    """

    least: int
    cells: Mapping[Key, Counts]
    published: dict[Key, dict[int, Shown]] = field(default_factory=dict)
    withheld: set[Key] = field(default_factory=set)
    left_out_withheld: set[Key] = field(default_factory=set)
    _by_period: dict[Key, list[Key]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        for key in sorted(self.cells):
            self._by_period.setdefault(key[:2], []).append(key)

    def decide(self) -> None:
        """Fill `withheld` and `left_out_withheld`."""
        self.withheld |= {key for key in self.cells if self._is_small(key) or self._changed_little(key)}
        self._withhold_endings()
        self._withhold_nested()
        for measure, period in sorted({key[:2] for key in self.cells}):
            self._withhold_divisions(measure, period)
        for measure in sorted({key[0] for key in self.cells}):
            if not measure.startswith(COUNTED_ONCE):
                for year, months in self._years(measure):
                    self._withhold_years(measure, year, months)
        for component in self._components():
            self._withhold_what_leaks(component)
        self._withhold_left_out()

    def _few(self, count: float) -> bool:
        return is_few(count, self.least)

    def _is_small(self, key: Key) -> bool:
        counts = self.cells[key]
        if self._few(counts.people):
            return True
        return key[0] != "length_of_stay" and (self._few(counts.of_whom) or self._few(counts.beside))

    def _changed_little(self, key: Key) -> bool:
        now = self.cells[key].quantities
        return any(
            self._few(count - before)
            for numerator, denominator, _ in self.published.get(key, {}).values()
            if numerator is not None and denominator is not None
            for count, before in zip(now, (numerator, denominator - numerator, denominator), strict=True)
        )

    def _withhold_endings(self) -> None:
        """Ways to end stand or fall together, and fall where what they leave is small."""
        for names in ENDINGS:
            for place in sorted({key[1:] for key in self.cells if key[0] in names}):
                keys = [key for name in names if (key := (name, *place)) in self.cells]
                left = self.cells[keys[0]].denominator - sum(self.cells[key].numerator for key in keys)
                if self._few(left) or not self.withheld.isdisjoint(keys):
                    self.withheld.update(keys)

    def _withhold_nested(self) -> None:
        for nesting in NESTINGS:
            preferred = nesting.by_preference()
            for place in sorted({key[1:] for key in self.cells if key[0] in nesting.measures}):
                shown: list[str] = []
                for name in preferred:
                    key = (name, *place)
                    if key not in self.cells or key in self.withheld:
                        continue
                    if any(self._differ_by_few(key, (other, *place), nesting) for other in shown):
                        self.withheld.add(key)
                    else:
                        shown.append(name)

    def _differ_by_few(self, one: Key, other: Key, nesting: Nesting) -> bool:
        if not (nesting.is_within(one[0], other[0]) or nesting.is_within(other[0], one[0])):
            return False
        first, second = self.cells[one], self.cells[other]
        return self._few(first.numerator - second.numerator) or self._few(
            first.denominator - second.denominator
        )

    def _divisions(self, measure: str, period: str) -> Iterator[list[Key]]:
        parts = [key for key in self._by_period.get((measure, period), ()) if key[2:] != WHOLE]
        for division in (
            [key for key in parts if key[3] == "all"],
            [key for key in parts if key[2] == "all"],
        ):
            if division:
                yield division

    def _withhold_divisions(self, measure: str, period: str) -> None:
        whole = (measure, period, *WHOLE)
        for division in self._divisions(measure, period):
            # A whole of one part is that part.
            if len(division) == 1 and division[0] in self.withheld and whole in self.cells:
                self.withheld.add(whole)
        for division in self._divisions(measure, period):
            if whole in self.withheld or not self.withheld.isdisjoint(division):
                self.withheld.update(division)

    def _years(self, measure: str) -> Iterator[tuple[str, list[str]]]:
        months = defaultdict(list)
        for key in sorted(self.cells):
            if key[0] == measure and key[2:] == WHOLE and len(key[1]) > len("2024"):
                months[key[1][:4]].append(key[1])
        for year, of_year in sorted(months.items()):
            if (measure, year, *WHOLE) in self.cells:
                yield year, of_year

    def _withhold_years(self, measure: str, year: str, months: Sequence[str]) -> None:
        whole = (measure, year, *WHOLE)
        self._withhold_year_of(measure, year, months, [WHOLE])
        if whole in self.withheld:
            self._withhold_divisions(measure, year)
        for division in list(self._divisions(measure, year)):
            self._withhold_year_of(measure, year, months, [key[2:] for key in division])

    def _withhold_year_of(self, measure: str, year: str, months: Sequence[str], parts: Sequence[Key]) -> None:
        """Withhold the year's `parts` where their withheld months could be told from them, and a month where the year
        could be told from its months."""
        year_keys = [(measure, year, *part) for part in parts]
        hidden = [
            month for month in months if any((measure, month, *part) in self.withheld for part in parts)
        ]
        if not self.withheld.isdisjoint(year_keys):
            if not hidden:
                self._withhold_smallest_month(measure, months, parts)
            return
        if hidden and self._can_be_told(measure, hidden, parts):
            self.withheld.update(year_keys)

    def _withhold_smallest_month(self, measure: str, months: Sequence[str], parts: Sequence[Key]) -> None:
        def people(month: str) -> int:
            return sum(self._counts((measure, month, *part)).people for part in parts)

        counted = [month for month in months if people(month) > 0]
        if counted:
            smallest = min(counted, key=lambda month: (people(month), month))
            self.withheld.update(key for part in parts if (key := (measure, smallest, *part)) in self.cells)
            self._withhold_divisions(measure, smallest)

    def _can_be_told(self, measure: str, hidden: Sequence[str], parts: Sequence[Key]) -> bool:
        if len(hidden) == 1:
            return True
        for quantity in range(3):
            if measure == "length_of_stay" and quantity == 1:
                continue
            count = {
                (month, part): self._counts((measure, month, *part)).quantities[quantity]
                for month in hidden
                for part in parts
            }
            of_part = {part: sum(count[month, part] for month in hidden) for part in parts}
            of_month = {
                month: sum(count[month, part] for part in parts)
                if parts != [WHOLE] and (measure, month, *WHOLE) not in self.withheld
                else math.inf
                for month in hidden
            }
            if any(self._few(total) for total in of_part.values()):
                return True
            if any(
                self._few_for_certain(of_part, of_month, month, part) for month in hidden for part in parts
            ):
                return True
        return self._changes_can_be_told(measure, hidden, parts)

    def _few_for_certain(
        self, of_part: Mapping[Key, int], of_month: Mapping[str, float], month: str, part: Key
    ) -> bool:
        others = sum(total for name, total in of_month.items() if name != month)
        other_parts = sum(total for name, total in of_part.items() if name != part)
        known = of_month[month]
        at_least = max(0, of_part[part] - others, 0 if math.isinf(known) else known - other_parts)
        return at_least > 0 and min(of_part[part], known) < self.least

    def _changes_can_be_told(self, measure: str, hidden: Sequence[str], parts: Sequence[Key]) -> bool:
        """Whether the withheld months together have changed by few since a release that showed them all."""
        for part in parts:
            keys = [(measure, month, *part) for month in hidden if (measure, month, *part) in self.cells]
            for number in sorted({number for key in keys for number in self.published.get(key, {})}):
                shown = [self.published.get(key, {}).get(number, (None, None, None)) for key in keys]
                before = [(each[0], each[1]) for each in shown if each[0] is not None and each[1] is not None]
                if len(before) < len(keys):
                    continue
                then = tuple(sum(column) for column in zip(*before, strict=True))
                now = [self.cells[key] for key in keys]
                if self._few(sum(each.numerator for each in now) - then[0]) or self._few(
                    sum(each.denominator for each in now) - then[1]
                ):
                    return True
        return False

    def _counts(self, key: Key) -> Counts:
        nobody = Counts(people=0, of_whom=0, beside=0, numerator=0, denominator=0)
        return self.cells.get(key, nobody)

    def _components(self) -> list[list[Key]]:
        """Cells that nothing connects to the others: a family of measures in a year, or in one period where people are
        counted once."""
        found: dict[tuple[str, str], list[Key]] = {}
        for key in sorted({*self.cells, *self.published}):
            period = key[1] if key[0].startswith(COUNTED_ONCE) else key[1][:4]
            found.setdefault((family(key[0]), period), []).append(key)
        return list(found.values())

    def _withhold_what_leaks(self, component: Sequence[Key]) -> None:
        """Withhold more of a component until linear programs learn nothing from it."""
        told_before: list[Sum] | None = None
        while leaks := self._known_of(component).leaks(self._secrets(component)):
            before = [leak for leak in leaks if all(which == _BEFORE for which, *_ in leak)]
            if before and told_before is None:
                # What the release before told by itself is told, whatever is withheld now.
                told_before = self._known_of(component, hides_now=True).leaks(before)
            open_leaks = [leak for leak in leaks if leak not in (told_before or ())]
            withheld_more = [
                self._withhold_beside(sorted({key for _, key, _ in leak})) for leak in open_leaks
            ]
            if not any(withheld_more):
                return

    def _known_of(self, component: Sequence[Key], *, hides_now: bool = False) -> Published:
        """What is known together with the latest earlier release that showed any of it; with less of that release where
        the numbers do not fit what is supposed of it."""
        releases = sorted({number for key in component for number in self.published.get(key, {})})[-1:]
        for nests_before in (True, False) if releases else ():
            known = self._known_with(component, releases, nests_before=nests_before, hides_now=hides_now)
            if known.is_possible:
                return known
        return self._known_with(component, [], nests_before=False, hides_now=hides_now)

    def _known_with(
        self, component: Sequence[Key], releases: Sequence[int], *, nests_before: bool, hides_now: bool
    ) -> Published:
        known: dict[Cell, int] = {}
        for key in component:
            if key not in self.withheld and not hides_now:
                counts = self._counts(key)
                known |= _both(_NOW, key, counts.numerator, counts.denominator)
            for number in releases:
                numerator, denominator, _ = self.published.get(key, {}).get(number, (0, 0, 0))
                if numerator is not None and denominator is not None:
                    known |= _both(_BEFORE, key, numerator, denominator)
        # Only where as many could be followed are those of the one among those of the other.
        nested = [
            (inner, outer)
            for inner, outer in _nested_pairs(component)
            if self._counts(inner).denominator == self._counts(outer).denominator
        ]
        nested_in = (_NOW, _BEFORE) if nests_before else (_NOW,)
        no_less: list[Sum] = [
            {(which, inner, _TRUE): 1, (which, outer, _TRUE): -1}
            for inner, outer in nested
            for which in nested_in
        ]
        nothing: list[Sum] = [
            {(which, key, of): sign for key, sign in ((inner, 1), (outer, -1)) for of in (_TRUE, _REST)}
            for inner, outer in nested
            for which in nested_in
        ]
        for which in (_NOW, *(_BEFORE for _ in releases)):
            nothing += _adding_up(component, which)
        if releases:
            no_less += [
                {(_BEFORE, key, part): 1, (_NOW, key, part): -1}
                for key in component
                for part in (_TRUE, _REST)
            ]
        return Published(least=self.least, known=known, nothing=nothing, no_less=no_less)

    def _secrets(self, component: Sequence[Key]) -> list[Sum]:
        """Every sum that must not be told where it is small: of a cell those of whom it is true, the others and all;
        what nested measures differ by; what has changed since a release."""
        was_withheld = {
            key
            for key in component
            for _, (numerator, *_) in list(self.published.get(key, {}).items())[-1:]
            if numerator is None
        }
        sums: list[Sum] = []
        for which, hidden in ((_NOW, self.withheld), (_BEFORE, was_withheld)):
            for key in component:
                if key in hidden:
                    true, rest = (which, key, _TRUE), (which, key, _REST)
                    sums += [{true: 1}, {rest: 1}, {true: 1, rest: 1}]
            sums += [
                {(which, outer, _TRUE): 1, (which, inner, _TRUE): -1}
                for inner, outer in _nested_pairs(component)
                if inner in hidden or outer in hidden
            ]
        if any(self.published.get(key) for key in component):
            sums += [
                {(_NOW, key, part): 1, (_BEFORE, key, part): -1}
                for key in component
                for part in (_TRUE, _REST)
            ]
        return sums

    def _withhold_beside(self, keys: Sequence[Key]) -> bool:
        """Withhold the smallest shown cell that one of `keys` could be told from, or one of them that is shown; whether
        there was any."""
        shown = [key for key in keys if key in self.cells and key not in self.withheld]
        beside = shown or sorted(
            {
                other
                for key in keys
                for other in self.cells
                if other not in self.withheld and self.cells[other].people > 0 and _are_related(key, other)
            }
        )
        if beside:
            smallest = min(beside, key=lambda key: (self.cells[key].people, key))
            self.withheld.add(smallest)
            self._withhold_divisions(*smallest[:2])
        return bool(beside)

    def _withhold_left_out(self) -> None:
        """How many were left out: withheld for the parts of a division together, for a family of measures together
        (what was followed and what was left out add up to the same), and of a year when it is of a month."""
        few = {
            (family(key[0]), key[1], _division(key))
            for key, counts in self.cells.items()
            if self._few(counts.left_out)
            or any(
                before is not None and self._few(counts.left_out - before)
                for _, _, before in self.published.get(key, {}).values()
            )
        }
        few |= {
            (family, period, division)
            for family, period, of in few
            if of == "whole"
            for division in ("smi", "charge_class")
        }
        few |= {(family, period[:4], division) for family, period, division in few}
        self.left_out_withheld |= {
            key for key in self.cells if (family(key[0]), key[1], _division(key)) in few
        }


_NOW, _BEFORE = "now", "before"
_TRUE, _REST = "true", "rest"


def _both(which: str, key: Key, numerator: int, denominator: int) -> dict[Cell, int]:
    return {(which, key, _TRUE): numerator, (which, key, _REST): denominator - numerator}


def _adding_up(component: Sequence[Key], which: str) -> list[Sum]:
    """Sums that are zero: parts less their whole, months less their year."""
    parts: dict[tuple[Key, str], list[Key]] = {}
    for key in component:
        if key[2:] != WHOLE:
            parts.setdefault(((*key[:2], *WHOLE), _division(key)), []).append(key)
        if len(key[1]) > len("2024") and not key[0].startswith(COUNTED_ONCE):
            parts.setdefault(((key[0], key[1][:4], *key[2:]), "year"), []).append(key)
    there = set(component)
    return [
        {(which, whole, of): -1, **{(which, key, of): 1 for key in keys}}
        for (whole, _), keys in parts.items()
        if whole in there
        for of in (_TRUE, _REST)
    ]


def _nested_pairs(component: Sequence[Key]) -> list[tuple[Key, Key]]:
    there = set(component)
    return [
        (inner, outer)
        for nesting in NESTINGS
        for inner in component
        if inner[0] in nesting.measures
        for name in nesting.measures
        if nesting.is_within(inner[0], name) and (outer := (name, *inner[1:])) in there
    ]


def _are_related(one: Key, other: Key) -> bool:
    """Whether two cells stand in one sum, or are nested."""
    if one[0] == other[0]:
        same_part_of_year = one[2:] == other[2:] and one[1][:4] == other[1][:4]
        return one != other and (one[1] == other[1] or same_part_of_year)
    return one[1:] == other[1:] and family(one[0]) == family(other[0])


def _division(key: Key) -> str:
    if key[2:] == WHOLE:
        return "whole"
    return "smi" if key[3] == "all" else "charge_class"
