"""Which case a steward sees next, and how far the stewards have come."""

import hashlib
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass

from linkage.decisions import Client
from quality.desk.reviews import Answer, Review, disagree, latest_of_each, verdict
from quality.desk.snapshot import Case

Pair = tuple[Client, Client]


def wants_second_review(case_id: str, share: float) -> bool:
    """Whether a case is among the sampled share that two stewards label; the same for all, in every run."""
    drawn = int.from_bytes(hashlib.sha256(b"second review " + case_id.encode()).digest()[:8])
    return drawn < share * 2**64


def reviews_needed(case_id: str, share: float) -> int:
    """How many stewards should label a case."""
    return 2 if wants_second_review(case_id, share) else 1


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Counts of the cases of one snapshot: `done` have all the labels they need, `half_done` wait for a second
    steward, `disagreed` for somebody to settle them; `decided_elsewhere` were decided at the command line."""

    cases: int
    done: int
    half_done: int
    disagreed: int
    decided_elsewhere: int

    @property
    def open(self) -> int:
        """Cases nobody has labelled yet."""
        return self.cases - self.done - self.half_done - self.disagreed - self.decided_elsewhere


def queue_for(
    steward: str,
    cases: Sequence[Case],
    reviews: Mapping[str, Sequence[Review]],
    *,
    decided: Collection[Pair],
    taken: Collection[str] = (),
    double_review_share: float,
) -> list[Case]:
    """The cases that `steward` should still label, in order; those they skipped come last.

    `reviews` are the standing reviews by case, `decided` the pairs on which a decision holds, `taken` the cases
    that another steward has open now.
    """
    waiting: list[Case] = []
    skipped: list[Case] = []
    for case in cases:
        of_case = reviews.get(case.case_id, ())
        labelled = latest_of_each(of_case)
        if case.case_id in taken or steward in {review.steward for review in labelled}:
            continue
        if labelled and len(labelled) >= reviews_needed(case.case_id, double_review_share):
            continue
        if not labelled and pair_of(case) in decided:
            continue
        mine = [review for review in of_case if review.steward == steward]
        (skipped if mine and mine[-1].answer == Answer.SKIP else waiting).append(case)
    return waiting + skipped


def progress_of(
    cases: Sequence[Case],
    reviews: Mapping[str, Sequence[Review]],
    *,
    decided: Collection[Pair],
    double_review_share: float,
) -> Progress:
    """How far the stewards have come with these cases."""
    done = half_done = disagreed = elsewhere = 0
    for case in cases:
        of_case = reviews.get(case.case_id, ())
        labels = len(latest_of_each(of_case))
        if disagree(of_case):
            disagreed += 1
        elif labels >= reviews_needed(case.case_id, double_review_share):
            done += 1
        elif labels:
            half_done += 1
        elif pair_of(case) in decided:
            elsewhere += 1
    return Progress(
        cases=len(cases), done=done, half_done=half_done, disagreed=disagreed, decided_elsewhere=elsewhere
    )


def pairs_for_the_next_queue(
    reviews: Mapping[str, Sequence[Review]], *, decided: Collection[Pair], double_review_share: float
) -> tuple[list[Pair], list[Pair]]:
    """Pairs that a new queue leaves out, and pairs that it must hold because a second look is still wanted."""
    settled, wanted = set(decided), []
    for case_id, of_case in reviews.items():
        labelled = latest_of_each(of_case)
        if not labelled:
            continue
        pair = (labelled[0].left, labelled[0].right)
        enough = len(labelled) >= reviews_needed(case_id, double_review_share)
        if disagree(of_case) or (not enough and (verdict(of_case) is not None or pair not in decided)):
            settled.discard(pair)
            wanted.append(pair)
        else:
            settled.add(pair)
    return sorted(settled), sorted(wanted)


def pair_of(case: Case) -> Pair:
    """Both clients of a case, the smaller first."""
    return (case.source_l, case.client_id_l), (case.source_r, case.client_id_r)
