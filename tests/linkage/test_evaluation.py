"""Evaluation against brute force over all pairs of clients."""

import doctest
from itertools import combinations

import duckdb
import polars as pl
import pytest
from hypothesis import given
from hypothesis import strategies as st

import linkage.evaluation
from linkage.errors import UsageError
from linkage.evaluation import Agreement, client_groups, compare, compare_cohorts, evaluate
from linkage.records import build_source_record
from linkage.source import declared_sources
from tests.linkage.invented import Delivered, Identity, load

clients_of = st.lists(
    st.tuples(st.sampled_from(["jail", "ems"]), st.integers(0, 4), st.integers(0, 4), st.sampled_from("FM")),
    min_size=1,
    max_size=14,
)


def test_the_formulas_in_the_documentation_hold():
    assert doctest.testmod(linkage.evaluation).failed == 0


def as_frame(rows):
    return pl.DataFrame(
        [
            (source, f"c{number}", f"P{person}", truth, sex)
            for number, (source, person, truth, sex) in enumerate(rows)
        ],
        schema={"source": pl.String, "client_id": pl.String, "person_id": pl.String, "truth_id": pl.Int64}
        | {"sex": pl.String},
        orient="row",
    )


@given(clients_of)
def test_pairs_are_those_of_brute_force(rows):
    frame = as_frame(rows)
    evaluation = compare(frame.drop("sex"), groups=frame.select("source", "client_id", "sex"))
    right: dict[tuple[str, ...], list[int]] = {}
    for one, other in combinations(rows, 2):
        found, true = one[1] == other[1], one[2] == other[2]
        keys = [("all",), tuple(sorted((one[0], other[0]))), ("sex", one[3]), ("sex", other[3])]
        for key in keys:
            counts = right.setdefault(key, [0, 0, 0])
            counts[0] += found and true
            counts[1] += found
            counts[2] += true
    expected = {key: Agreement(right=a, found=b, true=c) for key, (a, b, c) in right.items()}
    nothing = Agreement(right=0, found=0, true=0)
    assert evaluation.pairs == expected.get(("all",), nothing)
    for pair, agreement in evaluation.by_source_pair.items():
        assert agreement == expected.get(pair, nothing)
    for group, agreement in evaluation.by_group.items():
        assert agreement == expected.get(group, nothing)


@given(clients_of)
def test_b_cubed_and_exact_people_are_those_of_brute_force(rows):
    evaluation = compare(as_frame(rows).drop("sex"))
    precision = recall = 0.0
    for _, person, truth, _ in rows:
        both = sum(each[1] == person and each[2] == truth for each in rows)
        precision += both / sum(each[1] == person for each in rows) / len(rows)
        recall += both / sum(each[2] == truth for each in rows) / len(rows)
    assert evaluation.b_cubed_precision == pytest.approx(precision)
    assert evaluation.b_cubed_recall == pytest.approx(recall)
    persons = {frozenset(i for i, r in enumerate(rows) if r[1] == each[1]) for each in rows}
    people = {frozenset(i for i, r in enumerate(rows) if r[2] == each[2]) for each in rows}
    assert evaluation.exact_people == len(persons & people)


def test_cohorts_are_compared_person_by_person():
    clients = pl.DataFrame({"person_id": ["A", "A", "A", "B", "C"], "truth_id": [1, 1, 2, 2, 3]})
    found = pl.DataFrame({"cohort": ["x", "x"], "person_id": ["A", "C"]})
    true = pl.DataFrame({"cohort": ["x", "x", "y"], "truth_id": [1, 2, 3]})
    compared = compare_cohorts(found=found, true=true, clients=clients)
    assert (compared["x"].precision, compared["x"].recall) == (0.5, 1.0)  # C is person 3; 2 is mostly A (tie)
    assert (compared["y"].precision, compared["y"].recall) == (1.0, 0.0)


def test_truth_of_other_deliveries_is_refused():
    con = duckdb.connect()
    con.execute(
        "create table person_crosswalk as "
        "select 'jail' as source, 'c' || i as client_id, 'P' as person_id from range(4) as r(i)"
    ).fetchall()
    truth = pl.DataFrame({"source": ["jail"], "client_id": ["c1"], "truth_id": [1]})
    with pytest.raises(UsageError, match="knows 1 of 4 clients"):
        evaluate(con, truth)


def test_the_text_names_every_source_pair():
    text = compare(as_frame([("jail", 1, 1, "F"), ("ems", 1, 1, "F")]).drop("sex")).as_text()
    assert "ems to jail" in text
    assert "B-cubed" in text


def test_groups_say_what_a_client_lacks(con):
    nameless = Identity(first_name=None, last_name=None, ssn4="1234")
    rows = [
        Delivered(source="jail", client_id="a", identity=Identity(ssn="212345678")),
        Delivered(source="ems", client_id="b", identity=nameless),
        Delivered(source="ems", client_id="c", identity=Identity(first_name=None, birth_date="1980")),
    ]
    load(con, rows)
    build_source_record(con, list(declared_sources().values()))
    assert sorted(client_groups(con).get_column("missing")) == ["name", "name, birth date, number", "nothing"]
