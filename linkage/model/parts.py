"""What models are made of: levels, comparisons, blocking rules, adjustments, and what training learns of them."""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from linkage.records import FILTER_WORDS


@dataclass(frozen=True, kw_only=True)
class Level:
    """One degree of agreement. `says` is for people, `when` is SQL over the columns of both records (`_l`,
    `_r`).

    `when` is None for the last level, which takes whatever is left. Pairs in a level that `tells_nothing`
    add no weight either way; those in one where `identifies` is False are as good as not
    compared where clusters are formed. `rarity_of` names the token whose frequency among clients adjusts the level's
    weight: to share a rare name says more than to share a common one. `among_strangers` is SQL for the
    probability that a pair of strangers is in the level, given what its records show: for levels that are
    seen only where something else agrees too, so that counting them would count that agreement twice.
    """

    name: str
    says: str
    when: str | None
    tells_nothing: bool = False
    identifies: bool = True
    rarity_of: str | None = None
    among_strangers: str | None = None


def columns_named(condition: str) -> tuple[str, ...]:
    """The columns of `compared_record` that SQL over both records (`_l`, `_r`) looks at, each once."""
    return tuple(dict.fromkeys(re.findall(r"\b(\w+?)_[lr]\b", condition)))


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """One kind of evidence and its levels, strongest first.

    Where `identifies` is False, as for the sex, what it says is no reason to unite or keep apart two records of
    which nothing else can be compared. What is `learned_from` "pairs" is learned by expectation maximisation; from
    "trials", by what handovers turn out to be (`linkage.handover_trials`).
    """

    name: str
    says: str
    levels: tuple[Level, ...]
    identifies: bool = True
    learned_from: Literal["pairs", "trials"] = "pairs"

    @property
    def column(self) -> str:
        """The column of `scored_pair` that holds the level's number."""
        return f"gamma_{self.name}"

    def number_of(self, level_name: str) -> int:
        """The number that stands for a level in `scored_pair`: -1 where nothing can be said, 0 for the
        weakest.

        A level that tells nothing has -1, like Splink's null levels, wherever it stands in the list.
        """
        telling = [level.name for level in self.levels if not level.tells_nothing]
        if level_name not in telling:
            return -1
        return len(telling) - 1 - telling.index(level_name)

    def identifying_numbers(self) -> tuple[int, ...]:
        """The numbers of the levels that say something of who the two are."""
        return tuple(
            self.number_of(level.name)
            for level in self.levels
            if self.identifies and level.identifies and not level.tells_nothing
        )

    def columns_compared(self) -> tuple[str, ...]:
        """The columns of `compared_record` that some level looks at."""
        conditions = " ".join(level.when or "" for level in self.levels)
        return columns_named(conditions)

    def columns_needed(self) -> tuple[str, ...]:
        """The columns without which the comparison says nothing of a record."""
        conditions = " ".join(level.when or "" for level in self.levels if level.tells_nothing)
        return tuple(dict.fromkeys(re.findall(r"\b(\w+?)_[lr] is null", conditions)))

    def level_names(self) -> dict[int, str]:
        """Names of the levels that tell something, by number."""
        return {self.number_of(level.name): level.name for level in self.levels if not level.tells_nothing}


@dataclass(frozen=True, kw_only=True)
class Learned:
    """What training learned of one level.

    `m`: among pairs of one person, the share in this level. `u`: among pairs of two people, the share in
    it. `observed` is False where training saw no pair in the level; it then weighs nothing, and says so.
    """

    m: float
    u: float
    observed: bool = True

    @property
    def match_weight(self) -> float:
        """log2(m / u): how much finding a pair in this level speaks for one person."""
        return math.log2(self.m / self.u) if self.observed else 0.0


@dataclass(frozen=True, kw_only=True)
class Parameters:
    """Everything the model learned: the share of pairs that are one person, each level's m and u, and the
    match weight that each adjustment adds; and under which encoding profile."""

    prior: float
    levels: Mapping[str, Mapping[str, Learned]]
    adjustments: Mapping[str, float]
    profile: str = "standard"

    @property
    def prior_weight(self) -> float:
        """log2 odds that two records drawn at random are one person."""
        return math.log2(self.prior / (1 - self.prior))


@dataclass(frozen=True, kw_only=True)
class BlockingRule:
    """Records that agree on every one of `columns` are compared. A token list agrees where it shares a
    token.

    Where `one_lacks` names a column, only pairs of which at least one side has no value in it.
    """

    name: str
    says: str
    columns: tuple[str, ...]
    one_lacks: str | None = None
    rests_on_ssn: bool = False


@dataclass(frozen=True, kw_only=True)
class Adjustment:
    """A case in which the comparisons are not independent, so that their sum says too much.

    `when` maps comparisons to the levels in which the pair must be, all of them. `match_weight` is what is
    added where nothing can be learned of it, with `because` the reason for that number. It is `learned_from`
    "agreement", by calibration, from how often numbers agree in the case; or from "excess", for cases in which
    numbers do agree: from how many more pairs are in it than errors in one person's records explain. The
    unadjusted weight stays beside the adjusted one.
    """

    name: str
    says: str
    when: Mapping[str, frozenset[str]]
    match_weight: float
    because: str
    learned_from: Literal["agreement", "excess"]


@dataclass(frozen=True, kw_only=True)
class Session:
    """One session of learning: expectation maximisation on pairs that agree on `columns`.

    It learns the comparisons that do not look at those columns, nor at `leaves_out`: columns that are not
    shared outright, but follow from what is.
    """

    pairs_with_the: str
    columns: tuple[str, ...]
    leaves_out: tuple[str, ...] = ()

    def as_sql(self) -> str:
        """The condition on two records `l` and `r`."""
        conditions = [f"l.{column} = r.{column}" for column in self.columns]
        return " and ".join(conditions + [f"l.{column} is not null" for column in self.leaves_out])


@dataclass(frozen=True, kw_only=True)
class LinkageModel:
    """Everything that is compared under one encoding profile, and what is learned from what.

    `compared_columns` are SQL expressions over `source_record` that make the columns of `compared_record`
    beside those that every profile has (`linkage.blocking`). `names_and_birth_date` are the columns of
    `compared_record` that agree where first name, last name and birth date do. `known` says, by what is
    known, the SQL condition on a source record under which it is. `sessions_begin_at` is the share of one
    person's pairs from which each session begins; without it, what follows from the prior and from the level
    that stands for the session's columns.
    """

    profile: str
    compared_columns: tuple[str, ...]
    comparisons: tuple[Comparison, ...]
    adjustments: tuple[Adjustment, ...]
    blocking_rules: tuple[BlockingRule, ...]
    sessions: tuple[Session, ...]
    names_and_birth_date: tuple[str, ...]
    known: Mapping[str, str]
    sessions_begin_at: float | None = None


def missing(*columns: str) -> str:
    """SQL: one of the two records lacks a value in one of the columns."""
    return " or ".join(f"{column}_l is null or {column}_r is null" for column in columns)


def equal(column: str) -> str:
    """SQL: both records have the same value."""
    return f"{column}_l = {column}_r"


def common_bits(bits: str) -> str:
    """SQL: the number of bits that are set in both records' filters."""
    return " + ".join(
        f"cast(bit_count({bits}_{word}_l & {bits}_{word}_r) as integer)"
        for word in range(1, FILTER_WORDS + 1)
    )


def dice_at_least(bits: str, hundredths: int) -> str:
    """SQL: Dice's coefficient of two filters, twice the common bits over the sum of both counts, in whole
    numbers.
    """
    return f"200 * ({common_bits(bits)}) >= {hundredths} * (cast({bits}_count_l as integer) + {bits}_count_r)"


def dice_across(bits: str, side: str, other_bits: str, opposite: str, hundredths: int) -> str:
    """SQL: `dice_at_least` of one filter on `side` ("l" or "r") and another filter on the opposite side."""
    common = " + ".join(
        f"cast(bit_count({bits}_{word}_{side} & {other_bits}_{word}_{opposite}) as integer)"
        for word in range(1, FILTER_WORDS + 1)
    )
    counts = f"cast({bits}_count_{side} as integer) + {other_bits}_count_{opposite}"
    return f"200 * ({common}) >= {hundredths} * ({counts})"


_NO_HANDOVER = "coalesce(not list_has_any(handover_tokens_l, handover_tokens_r), true)"

HANDOVER = Comparison(
    name="handover",
    says="Whether the one was handed over when the other arrived: an ambulance run that ended at a hospital.",
    levels=(
        Level(
            name="missing",
            says="Nobody was handed over at that moment, or to somebody who is known to be another.",
            when=_NO_HANDOVER,
            tells_nothing=True,
        ),
        Level(
            name="alone",
            says="One was handed over when the other arrived, and neither fits anybody else.",
            when="list_has_any(handover_alone_tokens_l, handover_alone_tokens_r)",
        ),
        Level(
            name="among_several",
            says="One was handed over when the other arrived, and others arrived or were handed over then.",
            when=None,
        ),
    ),
    learned_from="trials",
)

HANDOVER_RULE = BlockingRule(
    name="handover",
    says="The one was handed over when the other arrived: finds patients who could not say who they are.",
    columns=("handover_tokens",),
)

HANDOVER_COMPARED = ("handover_tokens", "handover_alone_tokens")
