"""How far two stewards agree beyond chance."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Cohen's kappa over `cases` that two stewards labelled, of which they agree on `agreed`; `kappa` is None where
    it is not defined (no case, or both said the same one thing throughout)."""

    cases: int
    agreed: int
    kappa: float | None


def cohens_kappa(labels: Sequence[tuple[str, str]]) -> Agreement:
    """Agreement of pairs of labels, the first steward's and the second's.

    kappa = (p_o - p_e) / (1 - p_e), where p_o is the share of cases with equal labels and p_e the share expected if
    both labelled at random with their own frequencies: the sum over labels of the product of both shares (Cohen
    1960, A coefficient of agreement for nominal scales, Educational and Psychological Measurement 20: 37-46).
    """
    cases = len(labels)
    agreed = sum(first == second for first, second in labels)
    if not cases:
        return Agreement(cases=0, agreed=0, kappa=None)
    of_first, of_second = Counter(first for first, _ in labels), Counter(second for _, second in labels)
    # In whole numbers until the last step, so that certain agreement by chance is recognised as such.
    by_chance = sum(of_first[label] * of_second[label] for label in of_first)
    if by_chance == cases * cases:
        return Agreement(cases=cases, agreed=agreed, kappa=None)
    return Agreement(
        cases=cases, agreed=agreed, kappa=(agreed * cases - by_chance) / (cases * cases - by_chance)
    )
