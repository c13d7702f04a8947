"""What stewards answered, case by case, and what follows from it.

Reviews are appended to the stewardship file beside the decisions. From a case's reviews follows at most one
decision, which constrains the next run:

- the last answer of each steward counts, unless it was undone; `skip` never counts, `unsure` decides nothing;
- when all who decided agree, that is the decision;
- when two disagree, nothing constrains linkage until a steward settles it, having seen both answers.

Nothing is ever changed: an answer that is undone stays on record, and so does the decision it made, followed by
its withdrawal.
"""

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from linkage.decisions import Client, Decision, Judgement, add_decisions, opened_decisions
from linkage.errors import UsageError
from linkage.stewardship import opened_stewardship
from quality.desk.snapshot import Case

NOTE_LENGTH = 500


class Answer(StrEnum):
    """What a steward can answer to a case."""

    LINK = "link"
    DO_NOT_LINK = "do_not_link"
    UNSURE = "unsure"
    SKIP = "skip"


DECIDING = (Answer.LINK, Answer.DO_NOT_LINK)


@dataclass(frozen=True, kw_only=True)
class Review:
    """One answer that stands. `settles` where the steward had seen that two others disagree, `blind` where the
    scores were hidden; `reviewed_at` is UTC, ISO 8601."""

    review_number: int
    case_id: str
    left: Client
    right: Client
    answer: Answer
    steward: str
    reviewed_at: str
    model_version: str
    note: str
    settles: bool
    blind: bool


_SCHEMA = """
create table if not exists review (
    review_number integer primary key,
    case_id text not null,
    source_l text not null,
    client_id_l text not null,
    source_r text not null,
    client_id_r text not null,
    answer text not null check (answer in ('link', 'do_not_link', 'unsure', 'skip', 'undone')),
    undoes integer unique references review (review_number),
    steward text not null,
    reviewed_at text not null,
    model_version text not null,
    note text not null,
    settles integer not null,
    blind integer not null,
    check ((answer = 'undone') = (undoes is not null))
);
"""
_COLUMNS = (
    "review_number", "case_id", "source_l", "client_id_l", "source_r", "client_id_r", "answer", "steward",
    "reviewed_at", "model_version", "note", "settles", "blind",
)  # fmt: skip


def standing_reviews(stewardship: Path) -> list[Review]:
    """Every review that was not undone, in order."""
    if not stewardship.exists():
        return []
    with _opened(stewardship) as store:
        return _standing(store)


def every_review(stewardship: Path) -> list[dict[str, str | int | None]]:
    """All that was ever answered or undone, the latest first, as rows of the table."""
    if not stewardship.exists():
        return []
    with _opened(stewardship) as store:
        columns = (*_COLUMNS, "undoes")
        rows = store.execute(f"select {', '.join(columns)} from review order by review_number desc")
        return [dict(zip(columns, row, strict=True)) for row in rows]


def record_review(
    stewardship: Path,
    case: Case,
    answer: Answer,
    *,
    steward: str,
    now: dt.datetime,
    model_version: str,
    note: str = "",
    blind: bool = True,
) -> int:
    """Append an answer and the decision that follows from it, both or none; returns the review's number.

    Raises UsageError when the decision contradicts others or the note is too long.
    """
    if len(note) > NOTE_LENGTH:
        raise UsageError(f"A note has at most {NOTE_LENGTH} characters. Shorten it; nothing was recorded.")
    with _transaction(stewardship) as store:
        before = _of_case(store, case.case_id)
        number = _append(
            store,
            case_id=case.case_id,
            pair=((case.source_l, case.client_id_l), (case.source_r, case.client_id_r)),
            answer=answer,
            steward=steward,
            now=now,
            model_version=model_version,
            note=note,
            settles=disagree(before) and answer in DECIDING,
            blind=blind,
        )
        _decide(store, before, _of_case(store, case.case_id), now)
    return number


def undo_last(stewardship: Path, *, steward: str, now: dt.datetime) -> Review | None:
    """Take back the steward's last answer that stands, and the decision it made; None when there is none."""
    with _transaction(stewardship) as store:
        mine = [review for review in _standing(store) if review.steward == steward]
        if not mine:
            return None
        last = mine[-1]
        before = _of_case(store, last.case_id)
        _append(
            store,
            case_id=last.case_id,
            pair=(last.left, last.right),
            answer="undone",
            steward=steward,
            now=now,
            model_version=last.model_version,
            note="",
            settles=False,
            blind=last.blind,
            undoes=last.review_number,
        )
        _decide(store, before, _of_case(store, last.case_id), now)
    return last


def latest_of_each(reviews: Iterable[Review]) -> list[Review]:
    """Of one case, the last answer of each steward, skips left out, in order."""
    latest: dict[str, Review] = {}
    for review in reviews:
        if review.answer != Answer.SKIP:
            latest[review.steward] = review
    return sorted(latest.values(), key=lambda review: review.review_number)


def verdict(reviews: Sequence[Review]) -> Review | None:
    """The review of one case that decides it, or None when nothing is decided."""
    settling = [review for review in reviews if review.settles]
    if settling:
        return settling[-1]
    deciding = [review for review in latest_of_each(reviews) if review.answer in DECIDING]
    return deciding[0] if len({review.answer for review in deciding}) == 1 else None


def disagree(reviews: Sequence[Review]) -> bool:
    """Whether stewards decided one case differently and nobody has settled it."""
    deciding = {review.answer for review in latest_of_each(reviews)} & set(DECIDING)
    return len(deciding) > 1 and not any(review.settles for review in reviews)


def by_case(reviews: Iterable[Review]) -> dict[str, list[Review]]:
    """Reviews in order, by case_id."""
    grouped: dict[str, list[Review]] = {}
    for review in reviews:
        grouped.setdefault(review.case_id, []).append(review)
    return grouped


def double_labels(reviews: Mapping[str, Sequence[Review]]) -> list[tuple[Review, Review]]:
    """Of every case that two stewards looked at by themselves, the first one's answer and the second's."""
    pairs = []
    for of_case in reviews.values():
        first_look = latest_of_each(review for review in of_case if not review.settles)
        if len(first_look) > 1:
            pairs.append((first_look[0], first_look[1]))
    return pairs


def _decide(
    store: sqlite3.Connection, before: Sequence[Review], after: Sequence[Review], now: dt.datetime
) -> None:
    """Append the decision that makes what holds follow from the reviews; nothing where they say the same."""
    was, is_now = verdict(before), verdict(after)
    if (was and was.answer) == (is_now and is_now.answer):
        return
    cause = is_now or was
    assert cause is not None
    add_decisions(
        store,
        [
            Decision(
                source_l=cause.left[0],
                client_id_l=cause.left[1],
                source_r=cause.right[0],
                client_id_r=cause.right[1],
                decision=Judgement(is_now.answer.value) if is_now else Judgement.WITHDRAWN,
                decided_by=cause.steward,
                decided_at=now,
                model_version=cause.model_version,
                note=is_now.note if is_now else "withdrawn at the review desk",
            )
        ],
    )


def _append(
    store: sqlite3.Connection,
    *,
    case_id: str,
    pair: tuple[Client, Client],
    answer: str,
    steward: str,
    now: dt.datetime,
    model_version: str,
    note: str,
    settles: bool,
    blind: bool,
    undoes: int | None = None,
) -> int:
    inserted = store.execute(
        "insert into review (case_id, source_l, client_id_l, source_r, client_id_r, answer, undoes, steward, "
        "reviewed_at, model_version, note, settles, blind) values (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)",
        (case_id, *pair[0], *pair[1], answer, undoes, steward,
         now.astimezone(dt.UTC).isoformat(timespec="seconds"), model_version, note, int(settles), int(blind)),
    )  # fmt: skip
    return int(inserted.lastrowid or 0)


def _of_case(store: sqlite3.Connection, case_id: str) -> list[Review]:
    return [review for review in _standing(store) if review.case_id == case_id]


def _standing(store: sqlite3.Connection) -> list[Review]:
    rows = store.execute(
        f"select {', '.join(_COLUMNS)} from review where answer <> 'undone' "
        "and review_number not in (select undoes from review where undoes is not null) order by review_number"
    )
    return [
        Review(
            review_number=row[0],
            case_id=row[1],
            left=(row[2], row[3]),
            right=(row[4], row[5]),
            answer=Answer(row[6]),
            steward=row[7],
            reviewed_at=row[8],
            model_version=row[9],
            note=row[10],
            settles=bool(row[11]),
            blind=bool(row[12]),
        )
        for row in rows
    ]


@contextlib.contextmanager
def _transaction(stewardship: Path) -> Iterator[sqlite3.Connection]:
    with _opened(stewardship) as store:
        store.execute("begin immediate")
        try:
            yield store
        except BaseException:
            store.execute("rollback")
            raise
        store.execute("commit")


@contextlib.contextmanager
def _opened(stewardship: Path) -> Iterator[sqlite3.Connection]:
    with (
        opened_decisions(stewardship),
        opened_stewardship(stewardship, _SCHEMA, append_only=("review",)) as store,
    ):
        yield store
