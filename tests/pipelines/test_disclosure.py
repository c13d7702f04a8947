"""Nobody can conclude from what is published that a count is of few people: an attacker with linear programs tries.

The attacker knows every number that two consecutive releases show, that parts add up to their wholes and months to
their year, which measures are nested, and that a later release has counted no less than an earlier one. Of each count
that is small, or has changed by few, or differs by few from the measure it is nested in, the attacker asks for the
least and the most that it can be. The attack succeeds where both lie between one and the threshold.
"""

import itertools
import math
import random
from collections import Counter

import pytest
from scipy.optimize import linprog
from scipy.sparse import csr_matrix

from pipelines.disclosure.measures import NESTINGS
from pipelines.disclosure.table import WHOLE, Counts, Table

LEAST = 11
MONTHS = ("2024-01", "2024-02", "2024-03", "2025-01", "2025-02")
HORIZONS = (7, 14, 30)
MEASURES = ("bookings", *(f"connected_{days}_days" for days in HORIZONS))


def lives(dice, number, size):
    """Bookings by month, each of another person: with serious mental illness or not, a charge, and when connected."""
    return [
        (
            dice.choices(MONTHS, weights=size)[0],
            dice.random() < 0.3,
            dice.choices(("F", "M", "other"), weights=(5, 5, 1))[0],
            dice.choices((3, 10, 20, 99), weights=(3, 1, 2, 5))[0],
        )
        for _ in range(number)
    ]


def counted(events):
    """The exact counts of every cell, as the relations of counts have them."""
    total, true = Counter(), Counter()
    for month, has_smi, charge, connected in events:
        for period, part in itertools.product(
            (month, month[:4]), (WHOLE, ("smi" if has_smi else "other", "all"), ("all", charge))
        ):
            for measure in MEASURES:
                key = (measure, period, *part)
                total[key] += 1
                true[key] += has_smi if measure == "bookings" else connected <= int(measure.split("_")[1])
    for measure, period, part in itertools.product(
        MEASURES, {*MONTHS, *(month[:4] for month in MONTHS)}, (WHOLE, ("smi", "all"), ("other", "all"))
    ):
        total[measure, period, *part] += 0
    return {
        key: Counts(
            people=count,
            of_whom=true[key],
            beside=count - true[key],
            numerator=true[key],
            denominator=count,
        )
        for key, count in total.items()
    }


def shown(table):
    """What a release shows: numerator and denominator of the cells that are not withheld."""
    return {
        key: (counts.numerator, counts.denominator)
        for key, counts in table.cells.items()
        if key not in table.withheld
    }


class Attacker:
    """Linear programs over the numerator and the rest of every cell of every release."""

    def __init__(self, releases):
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
            self._nests(number, keys)
        for number, key in itertools.product(range(len(releases) - 1), keys):
            for part in ("true", "not"):
                self.at_most.append({self.at[number, key, part]: 1, self.at[number + 1, key, part]: -1})

    def _adds_up(self, number, keys):
        sums = {}
        for key in keys:
            if key[2:] != WHOLE:
                sums.setdefault((*key[:2], *WHOLE, "smi" if key[3] == "all" else "charge"), []).append(key)
            if len(key[1]) > 4:
                sums.setdefault((key[0], key[1][:4], *key[2:], "year"), []).append(key)
        for (*whole, _), parts in sums.items():
            for part in ("true", "not"):
                self.equal.append(
                    {self.at[number, tuple(whole), part]: -1}
                    | {self.at[number, key, part]: 1 for key in parts}
                )

    def _nests(self, number, keys):
        for nesting, one, other in ((n, a, b) for n in NESTINGS for a in n.measures for b in n.measures):
            if not nesting.is_within(one, other):
                continue
            for key in keys:
                if key[0] == one and (number, (other, *key[1:]), "true") in self.at:
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
                A_eq=self._matrix(self.equal), b_eq=[0] * len(self.equal),
                A_ub=self._matrix(self.at_most) if self.at_most else None,
                b_ub=[0] * len(self.at_most) if self.at_most else None,
                bounds=self.known,
            )  # fmt: skip
            assert solved.status in (0, 3), solved.message
            found.append(sign * solved.fun if solved.status == 0 else math.inf)
        return math.ceil(found[0] - 1e-6), found[1] + 1e-6

    def _matrix(self, rows):
        entries = [
            (value, number, column) for number, row in enumerate(rows) for column, value in row.items()
        ]
        values, numbers, columns = zip(*entries, strict=True)
        return csr_matrix((values, (numbers, columns)), shape=(len(rows), len(self.at)))

    def learns(self, wanted):
        least, most = self.bounds(wanted)
        return least >= 1 and most < LEAST


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


def published(seed, *, decide=Table.decide):
    """Two releases of one county: in the second a month has ended and some bookings of before came late."""
    dice = random.Random(seed)
    size = [dice.choice((1, 3, 10)) for _ in MONTHS]
    first = lives(dice, dice.choice((60, 150, 400, 1500)), [*size[:-1], 0])
    late = lives(dice, dice.choice((0, 2, 9, 30)), [*size[:-1], 0])
    second = [*first, *late, *lives(dice, len(first) // 3, [0, 0, 0, 0, 1])]
    before = Table(least=LEAST, cells=counted(first))
    decide(before)
    now = Table(
        least=LEAST,
        cells=counted(second),
        published={key: {0: (*shown(before).get(key, (None, None)), None)} for key in before.cells},
    )
    decide(now)
    return [before, now]


def learned(releases, dice, *, most=25):
    """How many of the secrets an attacker learns, of a sample."""
    attacker = Attacker(releases)
    asked = list(secrets(releases))
    return sum(attacker.learns(wanted) for wanted in dice.sample(asked, min(most, len(asked))))


@pytest.mark.parametrize("seed", range(24))
def test_nobody_learns_from_two_releases_that_a_count_is_small(seed):
    releases = published(seed)
    assert learned(releases, random.Random(seed)) == 0
    if max(counts.denominator for counts in releases[0].cells.values()) > 1000:
        assert len(shown(releases[0])) > len(releases[0].cells) / 3, "what is safe is shown"


@pytest.mark.parametrize(
    "defence",
    ["_withhold_what_leaks", "_withhold_divisions", "_withhold_years", "_withhold_nested", "_changed_little"],
)
def test_without_the_audit_and_a_rule_the_attack_succeeds(defence, monkeypatch):
    for disarmed in {defence, "_withhold_what_leaks"}:
        monkeypatch.setattr(Table, disarmed, lambda *_: False)
    assert any(learned(published(seed), random.Random(seed), most=60) for seed in range(12))
