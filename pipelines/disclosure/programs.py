"""What can be concluded from published counts, by linear programs: the last word on what is withheld.

An attacker knows what two releases show, that parts add up to their whole and months to their year, which measures are
nested, and that a later release counts no less than an earlier one. A sum of cells *leaks* when the least and the most
that it can be both lie between one and the threshold. One program answers for many sums: what any solution shows to be
nothing, or enough, leaks no more.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field

from scipy.optimize import linprog
from scipy.sparse import csr_matrix

Cell = tuple[str, tuple[str, ...], str]
"""Of which release, which cell, and which part of it."""
Sum = Mapping[Cell, int]
"""Cells with their factors."""

_SLACK = 1e-6


@dataclass(kw_only=True)
class Published:
    """What is known of some cells: `known` has the numbers of those that are shown, `nothing` are sums that are zero
    and `no_less` sums that are zero or less. All cells are zero or more."""

    least: int
    known: Mapping[Cell, int]
    nothing: Sequence[Sum]
    no_less: Sequence[Sum]
    _places: dict[Cell, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        cells = {cell for each in (*self.nothing, *self.no_less) for cell in each} - set(self.known)
        self._places = {cell: place for place, cell in enumerate(sorted(cells, key=str))}
        self._equal = self._system(self.nothing)
        self._at_most = self._system(self.no_less)

    @property
    def is_possible(self) -> bool:
        """Whether any numbers fit; they do not where a later release counts less after all."""
        return not self._places or self._solution({}, 1) is not None

    def leaks(self, sums: Iterable[Sum]) -> list[Sum]:
        """Those of `sums` that leak, in their order."""
        open_ones = [each for each in sums if self._can_be_told(each)]
        found = []
        for direction in (-1, 1):
            # All at once, for as long as that settles any.
            while open_ones and self._places:
                at = self._solution(_added(open_ones), direction)
                left = [each for each in open_ones if self._is_open(each, at)]
                if len(left) == len(open_ones):
                    break
                open_ones = left
        for each in open_ones:
            least, most = self._bounds(each)
            if math.ceil(least - _SLACK) >= 1 and most + _SLACK < self.least:
                found.append(each)
        return found

    def _can_be_told(self, wanted: Sum) -> bool:
        """A cell that nothing is known of tells nothing."""
        return all(cell in self.known or cell in self._places for cell in wanted)

    def _system(self, sums: Sequence[Sum]) -> tuple[csr_matrix | None, list[float]]:
        entries: list[tuple[int, int, int]] = []
        known: list[float] = []
        for each in sums:
            unknown = [
                (factor, self._places[cell]) for cell, factor in each.items() if cell not in self.known
            ]
            if unknown:
                entries += [(factor, len(known), place) for factor, place in unknown]
                known.append(
                    -float(
                        sum(factor * self.known[cell] for cell, factor in each.items() if cell in self.known)
                    )
                )
        if not entries:
            return None, []
        factors, rows, columns = zip(*entries, strict=True)
        return csr_matrix((factors, (rows, columns)), shape=(len(known), len(self._places))), known

    def _constant(self, wanted: Sum) -> int:
        return sum(factor * self.known[cell] for cell, factor in wanted.items() if cell in self.known)

    def _is_open(self, wanted: Sum, at: Sequence[float] | None) -> bool:
        if at is None:
            return False
        value = self._constant(wanted) + sum(
            factor * at[self._places[cell]] for cell, factor in wanted.items() if cell in self._places
        )
        return _SLACK < value < self.least - _SLACK

    def _solution(self, wanted: Sum, direction: int) -> Sequence[float] | None:
        """Where a sum is most (-1) or least (1); None where there is no end to it."""
        goal = [0.0] * len(self._places)
        for cell, factor in wanted.items():
            if cell in self._places:
                goal[self._places[cell]] += direction * factor
        (equal, equals), (at_most, most) = self._equal, self._at_most
        # Without a bound a program over many sums would tell of none of them.
        solved = linprog(
            goal,
            A_eq=equal,
            b_eq=equals or None,
            A_ub=at_most,
            b_ub=most or None,
            bounds=(0, 10 * self.least + sum(self.known.values())),
        )
        return solved.x if solved.status == 0 else None

    def _bounds(self, wanted: Sum) -> tuple[float, float]:
        constant = self._constant(wanted)
        bounds = []
        for direction in (1, -1):
            at = self._solution(wanted, direction) if self._places else ()
            if at is None:
                return 0.0, math.inf
            bounds.append(
                constant
                + sum(
                    factor * at[self._places[cell]] for cell, factor in wanted.items() if cell in self._places
                )
            )
        return bounds[0], bounds[1]


def _added(sums: Iterable[Sum]) -> Sum:
    total: dict[Cell, int] = {}
    for each in sums:
        for cell, factor in each.items():
            total[cell] = total.get(cell, 0) + factor
    return total
