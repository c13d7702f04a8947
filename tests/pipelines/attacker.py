"""An attacker with linear programs, who wants to conclude from what is published that a count is of few people.

The attacker knows every number that two consecutive releases show, that parts add up to their wholes and months to
their year, which measures are nested, and that a later release has counted no less than an earlier one (or not: where
that cannot be, for a correction took something away). Of each count that is small, or has changed by few, or differs by
few from the measure it is nested in, the attacker asks for the least and the most that it can be. The attack succeeds
where both lie between one and the threshold.
"""

import itertools
import math

from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from pipelines.disclosure.measures import COUNTED_ONCE, NESTINGS
from pipelines.disclosure.table import WHOLE

LEAST = 11


def shown(table):
    """What a release shows: numerator and denominator of the cells that are not withheld."""
    return {
        key: (counts.numerator, counts.denominator)
        for key, counts in table.cells.items()
        if key not in table.withheld
    }


class Attacker:
    """Linear programs over the numerator and the rest of every cell of every release."""

    def __init__(self, releases, *, only_grows=True):
        keys = sorted(set().union(*(table.cells for table in releases)))
        self.at = {
            (number, key, part): place
            for place, (number, key, part) in enumerate(
                itertools.product(range(len(releases)), keys, ("true", "not"))
            )
        }
        self.known = [(0, None)] * len(self.at)
        self.equal, self.at_most = [], []
        for number, table in enumerate(releases):
            for key, (numerator, denominator) in shown(table).items():
                self.known[self.at[number, key, "true"]] = (numerator, numerator)
                self.known[self.at[number, key, "not"]] = (denominator - numerator,) * 2
            # That a cell has no row tells that it counts nobody.
            for key in set(keys) - set(table.cells):
                self.known[self.at[number, key, "true"]] = self.known[self.at[number, key, "not"]] = (0, 0)
            self._adds_up(number, keys)
            self._nests(number, keys, table.cells)
        for number, key in itertools.product(range(len(releases) - 1), keys if only_grows else ()):
            for part in ("true", "not"):
                self.at_most.append({self.at[number, key, part]: 1, self.at[number + 1, key, part]: -1})
        self.equal_matrix, self.at_most_matrix = self._matrix(self.equal), self._matrix(self.at_most)

    def _adds_up(self, number, keys):
        sums = {}
        for key in keys:
            if key[2:] != WHOLE:
                sums.setdefault((*key[:2], *WHOLE, "smi" if key[3] == "all" else "charge"), []).append(key)
            if len(key[1]) > 4 and not key[0].startswith(COUNTED_ONCE):
                sums.setdefault((key[0], key[1][:4], *key[2:], "year"), []).append(key)
        for (*whole, _), parts in sums.items():
            for part in ("true", "not") if tuple(whole) in keys else ():
                self.equal.append(
                    {self.at[number, tuple(whole), part]: -1}
                    | {self.at[number, key, part]: 1 for key in parts}
                )

    def _nests(self, number, keys, counts):
        for nesting, one, other in ((n, a, b) for n in NESTINGS for a in n.measures for b in n.measures):
            if not nesting.is_within(one, other):
                continue
            for key in keys:
                if key[0] != one or (number, (other, *key[1:]), "true") not in self.at:
                    continue
                # Whoever could not be followed as far is in the denominator of one alone, and tells nothing.
                if (
                    len({getattr(counts.get((name, *key[1:])), "denominator", 0) for name in (one, other)})
                    == 1
                ):
                    inner, outer = (
                        {part: self.at[number, (name, *key[1:]), part] for part in ("true", "not")}
                        for name in (one, other)
                    )
                    self.at_most.append({inner["true"]: 1, outer["true"]: -1})
                    self.equal.append(
                        {inner["true"]: 1, inner["not"]: 1, outer["true"]: -1, outer["not"]: -1}
                    )

    def bounds(self, wanted):
        """The least and the most that a sum of cells can be; `wanted` maps (release, key, part) to a factor."""
        goal = [0.0] * len(self.at)
        for place, factor in wanted.items():
            goal[self.at[place]] += factor
        found = []
        for sign in (1, -1):
            solved = linprog(
                [sign * each for each in goal],
                A_eq=self.equal_matrix, b_eq=[0] * len(self.equal) or None,
                A_ub=self.at_most_matrix,
                b_ub=[0] * len(self.at_most) or None,
                bounds=self.known,
            )  # fmt: skip
            assert solved.status in (0, 3), solved.message
            found.append(sign * solved.fun if solved.status == 0 else -sign * math.inf)
        return found

    @property
    def is_possible(self):
        """Whether what this attacker supposes can be."""
        solved = linprog(
            [0.0] * len(self.at),
            A_eq=self.equal_matrix, b_eq=[0] * len(self.equal) or None,
            A_ub=self.at_most_matrix, b_ub=[0] * len(self.at_most) or None,
            bounds=self.known,
        )  # fmt: skip
        return solved.status == 0

    def _matrix(self, rows):
        if not rows:
            return None
        entries = [
            (value, number, column) for number, row in enumerate(rows) for column, value in row.items()
        ]
        values, numbers, columns = zip(*entries, strict=True)
        return csr_matrix((values, (numbers, columns)), shape=(len(rows), len(self.at)))

    def learns(self, wanted):
        least, most = self.bounds(wanted)
        # Counts are whole: what is more than nothing is one.
        return least > 1e-6 and most < LEAST - 1e-6


def secrets(releases):
    """Every sum that is small, and so must not be told for certain."""
    for number, table in enumerate(releases):
        for key, counts in table.cells.items():
            for part, count in (("true", counts.numerator), ("not", counts.denominator - counts.numerator)):
                if 0 < count < LEAST:
                    yield {(number, key, part): 1}
                if number and key in releases[0].cells:
                    before = releases[0].cells[key]
                    then = before.numerator if part == "true" else before.denominator - before.numerator
                    if 0 < count - then < LEAST:
                        yield {(1, key, part): 1, (0, key, part): -1}
            for nesting in NESTINGS:
                for other in nesting.measures:
                    wider = (other, *key[1:])
                    if (
                        key[0] in nesting.measures and nesting.is_within(key[0], other) and wider in table.cells
                    ) and 0 < table.cells[wider].numerator - counts.numerator < LEAST:  # fmt: skip
                        yield {(number, wider, "true"): 1, (number, key, "true"): -1}


def learned(releases, dice, *, most=25):
    """How many of the secrets an attacker learns, of a sample."""
    attacker = Attacker(releases)
    if not attacker.is_possible:
        attacker = Attacker(releases, only_grows=False)
    asked = list(secrets(releases))
    return sum(attacker.learns(wanted) for wanted in dice.sample(asked, min(most, len(asked))))
