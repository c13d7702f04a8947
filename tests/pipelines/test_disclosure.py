"""Nobody can conclude from what is published that a count is of few people: an attacker with linear programs tries."""

import itertools
import random
from collections import Counter

import pytest

from pipelines.disclosure.table import WHOLE, Counts, Table
from tests.pipelines.attacker import LEAST, learned, shown

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
