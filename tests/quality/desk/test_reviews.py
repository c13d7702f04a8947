"""From answers to decisions: what holds after any series of answers, second opinions and undoings."""

import sqlite3
import tempfile
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from linkage.decisions import effective_decisions, every_decision
from linkage.errors import UsageError
from quality.desk.queue import pairs_for_the_next_queue, progress_of, queue_for, wants_second_review
from quality.desk.reviews import (
    Answer,
    by_case,
    disagree,
    double_labels,
    every_review,
    record_review,
    standing_reviews,
    undo_last,
)
from tests.quality.desk.invented_cases import NOW, invented_case

CASE = invented_case(1)


@pytest.fixture
def stewardship(tmp_path):
    return tmp_path / "stewardship.sqlite"


def say(stewardship, answer, steward="A", case=CASE, **options):
    return record_review(
        stewardship, case, Answer(answer), steward=steward, now=NOW, model_version="v1-x", **options
    )


def holding(stewardship):
    return effective_decisions(stewardship)["decision"].to_list()


def test_an_answer_becomes_a_decision_with_who_why_and_model(stewardship):
    say(stewardship, "link", note="same rare name")
    (row,) = effective_decisions(stewardship).iter_rows(named=True)
    assert (row["decision"], row["decided_by"], row["note"], row["model_version"]) == (
        "link",
        "A",
        "same rare name",
        "v1-x",
    )


@pytest.mark.parametrize("answer", ["unsure", "skip"])
def test_unsure_and_skip_are_on_record_and_bind_nothing(stewardship, answer):
    say(stewardship, answer)
    assert holding(stewardship) == []
    assert [row["answer"] for row in every_review(stewardship)] == [answer]


def test_undoing_withdraws_and_both_stay_on_record(stewardship):
    say(stewardship, "link")
    assert undo_last(stewardship, steward="B", now=NOW) is None
    assert undo_last(stewardship, steward="A", now=NOW).answer == "link"
    assert undo_last(stewardship, steward="A", now=NOW) is None
    assert holding(stewardship) == []
    assert every_decision(stewardship)["decision"].to_list() == ["link", "withdrawn"]
    assert [row["answer"] for row in every_review(stewardship)] == ["undone", "link"]


def test_two_stewards_who_agree_make_one_decision(stewardship):
    say(stewardship, "link")
    say(stewardship, "link", "B")
    assert every_decision(stewardship).height == 1
    undo_last(stewardship, steward="A", now=NOW)
    assert holding(stewardship) == ["link"]


def test_two_who_disagree_bind_nothing_until_one_settles_it(stewardship):
    say(stewardship, "link")
    say(stewardship, "do_not_link", "B")
    assert holding(stewardship) == []
    assert disagree(standing_reviews(stewardship))
    say(stewardship, "do_not_link", "A", note="B is right")
    assert holding(stewardship) == ["do_not_link"]
    assert not disagree(standing_reviews(stewardship))
    # What both said by themselves is what their agreement is told from.
    first, second = double_labels(by_case(standing_reviews(stewardship)))[0]
    assert (first.answer, second.answer) == ("link", "do_not_link")
    undo_last(stewardship, steward="A", now=NOW)
    assert holding(stewardship) == []


def test_undoing_a_disagreement_brings_the_first_decision_back_in_its_makers_name(stewardship):
    say(stewardship, "link", note="mine")
    say(stewardship, "do_not_link", "B")
    undo_last(stewardship, steward="B", now=NOW)
    (row,) = effective_decisions(stewardship).iter_rows(named=True)
    assert (row["decision"], row["decided_by"], row["note"]) == ("link", "A", "mine")


def test_an_answer_that_contradicts_others_leaves_no_trace(stewardship):
    def pair(number, left, right):
        return invented_case(number, client_id_l=left, source_r="jail", client_id_r=right)

    say(stewardship, "link", case=pair(1, "a", "b"))
    say(stewardship, "link", case=pair(2, "b", "c"))
    with pytest.raises(UsageError, match="contradict each other"):
        say(stewardship, "do_not_link", case=pair(3, "a", "c"))
    assert len(every_review(stewardship)) == 2


def test_a_note_that_is_a_letter_is_refused(stewardship):
    with pytest.raises(UsageError, match="at most 500"):
        say(stewardship, "link", note="x" * 501)


def test_answers_cannot_be_changed(stewardship):
    say(stewardship, "link")
    with sqlite3.connect(stewardship) as store, pytest.raises(sqlite3.IntegrityError, match="only ever"):
        store.execute("delete from review")


@given(
    st.lists(
        st.tuples(st.sampled_from("AB"), st.sampled_from(["link", "do_not_link", "unsure", "skip", "undo"])),
        max_size=10,
    )
)
@settings(max_examples=40, deadline=None)
def test_what_holds_is_what_the_standing_answers_say_in_plain_python(said):
    standing = []
    for steward, answer in said:
        if answer == "undo":
            mine = [entry for entry in standing if entry[0] == steward]
            if mine:
                standing.remove(mine[-1])
        else:
            settles = answer in ("link", "do_not_link") and contested(standing)
            standing.append((steward, answer, settles, object()))
    settled = [answer for _, answer, settles, _ in standing if settles]
    last = {steward: answer for steward, answer, _, _ in standing if answer != "skip"}
    deciding = {answer for answer in last.values() if answer != "unsure"}
    expected = settled[-1:] or (list(deciding) if len(deciding) == 1 else [])
    with tempfile.TemporaryDirectory() as folder:
        stewardship = Path(folder) / "stewardship.sqlite"
        for steward, answer in said:
            if answer == "undo":
                undo_last(stewardship, steward=steward, now=NOW)
            else:
                say(stewardship, answer, steward)
        assert holding(stewardship) == expected


def contested(standing):
    last = {steward: answer for steward, answer, _, _ in standing if answer != "skip"}
    return set(last.values()) >= {"link", "do_not_link"} and not any(entry[2] for entry in standing)


def queue(stewardship, cases, steward="A", **options):
    reviews = by_case(standing_reviews(stewardship))
    asked = {"decided": set(), "double_review_share": 0.0, **options}
    return [case.position for case in queue_for(steward, cases, reviews, **asked)]


def test_what_is_labelled_decided_or_taken_is_not_asked_and_what_was_skipped_comes_last(stewardship):
    cases = [invented_case(number) for number in range(1, 7)]
    say(stewardship, "skip", case=cases[0])
    say(stewardship, "unsure", "B", case=cases[1])
    decided = {(("jail", "j3"), ("shelter", "s3"))}
    asked = queue(stewardship, cases, decided=decided, taken={cases[3].case_id})
    assert asked == [5, 6, 1]
    assert queue(stewardship, cases, "B", decided=decided) == [1, 4, 5, 6]


def test_the_sampled_share_is_asked_of_a_second_steward_and_of_no_third(stewardship):
    case = invented_case(1)
    options = {"double_review_share": 1.0, "decided": {(("jail", "j1"), ("shelter", "s1"))}}
    say(stewardship, "link", "A", case=case)
    assert queue(stewardship, [case], "A", **options) == []
    assert queue(stewardship, [case], "B", **options) == [1]
    reviews = by_case(standing_reviews(stewardship))
    assert progress_of([case], reviews, **options).half_done == 1
    assert pairs_for_the_next_queue(reviews, **options)[1] == [(("jail", "j1"), ("shelter", "s1"))]
    say(stewardship, "link", "B", case=case)
    assert queue(stewardship, [case], "C", **options) == []
    reviews = by_case(standing_reviews(stewardship))
    assert progress_of([case], reviews, **options).done == 1
    assert pairs_for_the_next_queue(reviews, **options) == ([(("jail", "j1"), ("shelter", "s1"))], [])


def test_about_the_stated_share_is_sampled():
    drawn = sum(wants_second_review(f"{number:016x}", 0.1) for number in range(10_000))
    assert 900 < drawn < 1_100
    assert not any(wants_second_review(f"{number:016x}", 0.0) for number in range(100))
    assert all(wants_second_review(f"{number:016x}", 1.0) for number in range(100))
