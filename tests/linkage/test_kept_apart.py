"""People who look alike on paper stay two people: fathers and sons, twins, households, borrowed names, John Does."""

from dataclasses import replace

import duckdb
import pytest

from linkage.clustering import cluster
from linkage.records import build_source_record
from linkage.scoring import LEAST_WEIGHT_KEPT, score
from linkage.source import declared_sources
from tests.linkage.invented import Delivered, Identity, invented_county, load, token

OSCAR = Identity(
    first_name="oscar", last_name="valdemar", middle_name="lee", birth_date="1956-03-14", ssn="231456789"
)
YOUNG_OSCAR = replace(OSCAR, birth_date="1984-11-02", ssn="412553210")
BROTHER = replace(OSCAR, first_name="hector", birth_date="1959-08-21", ssn="233119876")

APART = {
    "a father and a son whose suffixes say so": (
        replace(OSCAR, suffix="sr", ssn=None),
        replace(YOUNG_OSCAR, suffix="jr", ssn=None),
    ),
    "a father and a son without suffix, by their years of birth": (
        replace(OSCAR, ssn=None),
        replace(YOUNG_OSCAR, ssn=None),
    ),
    "a father and a son of whom only the years of birth are known": (
        replace(OSCAR, birth_date="1956", ssn=None),
        replace(YOUNG_OSCAR, birth_date="1984", ssn=None),
    ),
    "twins without numbers": (
        replace(OSCAR, ssn=None),
        replace(OSCAR, first_name="marvin", middle_name="joe", ssn=None),
    ),
    "twins of whom one gives no middle name": (
        replace(OSCAR, ssn=None),
        replace(OSCAR, first_name="marvin", middle_name=None, ssn=None),
    ),
    "twins with numbers given one after the other": (
        OSCAR,
        replace(OSCAR, first_name="marvin", middle_name="joe", ssn="231456790"),
    ),
    "twins with numbers given one after the other and no middle names": (
        replace(OSCAR, middle_name=None),
        replace(OSCAR, first_name="marvin", middle_name=None, ssn="231456790"),
    ),
    "twins with one initial": (
        replace(OSCAR, middle_name=None, ssn=None),
        replace(OSCAR, first_name="otto", middle_name=None, ssn=None),
    ),
    "husband and wife who give one number": (
        OSCAR,
        replace(OSCAR, first_name="wilma", middle_name=None, birth_date="1958-07-30", sex="F"),
    ),
    "a mother whose number the child gives": (
        replace(OSCAR, first_name="wilma", birth_date="1958-07-30", sex="F"),
        replace(YOUNG_OSCAR, first_name="gregor", ssn=OSCAR.ssn),
    ),
    "two of a household": (replace(OSCAR, ssn=None), replace(BROTHER, ssn=None)),
    "namesakes of one birth date with two whole numbers": (OSCAR, replace(OSCAR, ssn="319887654")),
    "a John Doe and another": (
        Identity(first_name=None, last_name=None, birth_date=None),
        Identity(first_name=None, last_name=None, birth_date=None),
    ),
    "John Does of one guessed year": (
        Identity(first_name=None, last_name=None, birth_date="1980"),
        Identity(first_name=None, last_name=None, birth_date="1980"),
    ),
    "John Does of one default date": (
        Identity(first_name=None, last_name=None, birth_date="1980-01-01"),
        Identity(first_name=None, last_name=None, birth_date="1980-01-01"),
    ),
}
"""Both sides of each case belong to two people."""

DOES = 25


@pytest.fixture(scope="module")
def persons(linked_county):
    """The cluster of each client of the cases, in the midst of a county; the county's own model links."""
    rows = invented_county(2_500)
    for number, sides in enumerate(APART.values()):
        for side, (source, who) in enumerate(zip(("jail", "hospital"), sides, strict=True)):
            rows.append(Delivered(source=source, client_id=f"case {number} side {side}", identity=who))
    # A borrower is arrested under his brother's name and birth date, and gives his own number.
    for source, client, who in (
        ("hospital", "the brother", BROTHER),
        ("shelter", "the brother", BROTHER),
        ("jail", "arrested", replace(BROTHER, ssn=OSCAR.ssn)),
        ("hospital", "the borrower", replace(OSCAR, zip3="981")),
    ):
        rows.append(Delivered(source=source, client_id=client, identity=who))
    for number in range(DOES):
        rows.append(
            Delivered(
                source="ems",
                client_id=f"doe {number}",
                identity=Identity(first_name=None, last_name=None, birth_date=None, sex="M"),
            )
        )
    with duckdb.connect() as con:
        con.execute("set threads = 1").fetchall()
        load(con, rows)
        build_source_record(con, list(declared_sources().values()))
        score(con, linked_county.model, lower_weight=LEAST_WEIGHT_KEPT)
        cluster(con, linked_county.model)
        found = con.execute("select source, client_id, cluster_id from cluster").fetchall()
    return {(source, client): cluster_id for source, client, cluster_id in found}


@pytest.mark.parametrize("case", list(APART))
def test_two_people_stay_two(persons, case):
    number = list(APART).index(case)
    sides = [
        persons[source, token(f"case {number} side {side}", source)]
        for side, source in enumerate(("jail", "hospital"))
    ]
    assert sides[0] != sides[1]


def test_who_borrows_a_name_does_not_become_its_owner(persons):
    of = {
        (source, client): persons[source, token(client, source)]
        for source, client in (
            ("hospital", "the brother"),
            ("shelter", "the brother"),
            ("jail", "arrested"),
            ("hospital", "the borrower"),
        )
    }
    assert of["hospital", "the brother"] == of["shelter", "the brother"]
    assert of["hospital", "the brother"] != of["hospital", "the borrower"]
    # The booking names one brother and numbers the other: certain and different numbers are never one person.
    assert of["jail", "arrested"] != of["hospital", "the brother"]


def test_john_does_make_no_hub(persons):
    does = {persons["ems", token(f"doe {number}", "ems")] for number in range(DOES)}
    assert len(does) == DOES
    others = [cluster_id for (_, client), cluster_id in persons.items() if cluster_id in does]
    assert len(others) == DOES
