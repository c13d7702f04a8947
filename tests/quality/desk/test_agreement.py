"""Cohen's kappa against a table by hand and a published example."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from quality.desk.agreement import cohens_kappa

LABELS = ["link", "do_not_link", "unsure"]


def kappa_by_hand(labels):
    table = np.zeros((3, 3))
    for first, second in labels:
        table[LABELS.index(first), LABELS.index(second)] += 1
    table /= table.sum()
    observed = np.trace(table)
    expected = float((table.sum(axis=1) * table.sum(axis=0)).sum())
    return (observed - expected) / (1 - expected)


@given(st.lists(st.tuples(st.sampled_from(LABELS), st.sampled_from(LABELS)), min_size=1))
def test_kappa_is_what_the_table_of_both_stewards_gives(labels):
    found = cohens_kappa(labels)
    if len({label for pair in labels for label in pair}) == 1:
        assert found.kappa is None
    else:
        assert found.kappa == pytest.approx(kappa_by_hand(labels))
    assert found.agreed == sum(first == second for first, second in labels)


def test_a_textbook_table_gives_its_kappa():
    # Fifty grant proposals, two readers: both yes 20, yes and no 5, no and yes 10, both no 15 (kappa 0.40).
    labels = [("link", "link")] * 20 + [("link", "do_not_link")] * 5
    labels += [("do_not_link", "link")] * 10 + [("do_not_link", "do_not_link")] * 15
    assert cohens_kappa(labels).kappa == pytest.approx(0.4)


def test_without_cases_there_is_no_kappa():
    assert cohens_kappa([]).kappa is None
