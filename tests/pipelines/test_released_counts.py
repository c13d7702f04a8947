"""From two releases of one county nobody learns that a count is of few people."""

import random
from dataclasses import dataclass, field

import duckdb
import pytest

from pipelines.disclosure import AGGREGATES
from pipelines.disclosure.measures import family
from pipelines.disclosure.table import Counts
from pipelines.releases.release import current_release
from tests.pipelines.attacker import LEAST, learned, secrets, shown

pytestmark = pytest.mark.slow


@dataclass
class Released:
    """One aggregate of a release: its exact counts, which the warehouse has, and which cells the release withholds."""

    cells: dict = field(default_factory=dict)
    withheld: set = field(default_factory=set)

    def of_family(self, name):
        """The part of it that could tell of one another."""
        return Released(
            {key: counts for key, counts in self.cells.items() if family(key[0]) == name},
            {key for key in self.withheld if family(key[0]) == name},
        )


def read_released(county, name):
    """What the county's current release shows of an aggregate, beside what it counts."""
    aggregate = AGGREGATES[name]
    key = ", ".join(aggregate.key)
    found = Released()
    for row in county.rows(
        f"select {key}, people, {aggregate.of_whom}, {aggregate.beside}, {aggregate.numerator}, "
        f"{aggregate.denominator} from {aggregate.counts} where people is not null"
    ):
        names = ("people", "of_whom", "beside", "numerator", "denominator")
        found.cells[row[:4]] = Counts(**dict(zip(names, row[4:], strict=True)))
    with duckdb.connect(current_release(county.workspace).database, read_only=True) as release:
        published = release.execute(
            f"select {key}, {aggregate.numerator}, {aggregate.denominator} from {name}"
        ).fetchall()
    for *cell, numerator, denominator in published:
        if denominator is None:
            found.withheld.add(tuple(cell))
        elif tuple(cell) in found.cells:
            counts = found.cells[tuple(cell)]
            assert (numerator, denominator) == (counts.numerator, counts.denominator)
    return found


@pytest.mark.parametrize("name", ["stepping_up_measure", "crisis_contact_measure"])
def test_an_attacker_learns_nothing_from_two_releases_of_a_county(
    name, finished_county, county_a_month_later
):
    releases = [read_released(county, name) for county in (finished_county, county_a_month_later)]
    assert all(shown(each) for each in releases), "something is shown"
    dice = random.Random(1)
    asked = 0
    for measures in sorted({family(key[0]) for key in releases[1].cells} - {"length_of_stay"}):
        of_family = [each.of_family(measures) for each in releases]
        asked += len(list(secrets(of_family)))
        assert learned(of_family, dice, most=100) == 0, measures
    assert asked > LEAST, "there is something to learn"
