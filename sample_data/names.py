"""The county's name vocabularies: which names there are, and how often each group bears them."""

import tomllib
import unicodedata
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.parameters import NameParameters

Indices = npt.NDArray[np.int32]

GROUPS = ("general", "black", "hispanic", "asian", "middle_eastern", "pacific_islander", "american_indian")
"""Groups that have name lists of their own; the code of a group is its place."""

ERAS = ("before_1965", "from_1965", "from_1990")
"""Birth cohorts of the general first names; the code of an era is its place."""


@dataclass(frozen=True)
class NameList:
    """Names as places in a vocabulary, with cumulative frequencies."""

    places: Indices
    cumulative: npt.NDArray[np.float64]

    def draw(self, rng: np.random.Generator, count: int) -> Indices:
        """`count` names drawn by frequency."""
        return self.places[np.searchsorted(self.cumulative, rng.random(count), side="right")]


@dataclass(frozen=True)
class Names:
    """Both vocabularies, with and without accents, and the lists that draw from them.

    `first_lists` is keyed (sex, group, era) with sex 0 male and 1 female; `rare_first` by sex;
    `surname_lists` by group. The nicknames of the first name at place p are `nickname_counts[p]` places from
    `nickname_starts[p]` on in `nicknames`.
    """

    first: pl.Series
    last: pl.Series
    first_plain: pl.Series
    last_plain: pl.Series
    first_lists: dict[tuple[int, int, int], NameList]
    rare_first: dict[int, NameList]
    surname_lists: dict[int, NameList]
    nicknames: Indices
    nickname_starts: Indices
    nickname_counts: Indices


def _split(text: str) -> list[str]:
    """Names of a comma-separated list, without doubles, in order."""
    return list(dict.fromkeys(part.strip() for part in text.split(",")))


def _composed(family: dict[str, str]) -> list[str]:
    prefixes = family.get("prefixes", "").split(",")
    return [
        prefix.strip() + stem + ending
        for prefix in prefixes
        for stem in _split(family["stems"])
        for ending in _split(family["endings"])
    ]


class _Vocabulary:
    def __init__(self) -> None:
        self.places: dict[str, int] = {}

    def add(self, names: list[str]) -> Indices:
        return np.array([self.places.setdefault(name, len(self.places)) for name in names], dtype=np.int32)


def _name_list(places: Indices, shift: float, power: float) -> NameList:
    weights = (np.arange(1, len(places) + 1) + shift) ** -power
    cumulative = np.cumsum(weights / weights.sum())
    cumulative[-1] = 1.0
    return NameList(places, cumulative)


def _without_accents(name: str) -> str:
    decomposed = unicodedata.normalize("NFKD", name)
    return "".join(letter for letter in decomposed if not unicodedata.combining(letter))


def _shipped(file: str) -> str:
    return (resources.files("sample_data") / "names" / file).read_text(encoding="utf-8")


@cache
def _declared(file: str) -> dict[str, Any]:
    return tomllib.loads(_shipped(file))


def load_names(parameters: NameParameters) -> Names:
    """The vocabularies with the frequencies that `parameters` give them."""
    first, last = _Vocabulary(), _Vocabulary()
    shuffle = np.random.default_rng(
        20240101
    )  # which rare names are rarest is part of the vocabulary, not of a county
    surname_lists = {}
    declared = _declared("surnames.toml")
    for code, group in enumerate(GROUPS):
        names = _split(declared[group])
        families = declared["compose"].get(group, {})
        rare = [name for family in families.values() for name in _composed(family)]
        rare = list(dict.fromkeys(name for name in rare if name not in set(names)))
        order = shuffle.permutation(len(rare))
        names += [rare[place] for place in order]
        surname_lists[code] = _name_list(last.add(names), parameters.surname_shift, parameters.surname_power)
    first_lists, rare_first = {}, {}
    declared = _declared("first_names.toml")
    for sex, sex_name in enumerate(("male", "female")):
        for code, group in enumerate(GROUPS):
            for era, era_name in enumerate(ERAS):
                text = declared[sex_name][group]
                names = _split(text[era_name] if isinstance(text, dict) else text)
                first_lists[sex, code, era] = _name_list(
                    first.add(names), parameters.first_name_shift, parameters.first_name_power
                )
        family = declared["compose"][sex_name]
        rare = [start + ending for start in _split(family["starts"]) for ending in _split(family["endings"])]
        rare = list(dict.fromkeys(rare))
        order = shuffle.permutation(len(rare))
        rare_first[sex] = _name_list(first.add([rare[place] for place in order]), 30.0, 0.8)
    pairs = [line.split(",") for line in _shipped("nicknames.csv").split()[1:]]
    formal = np.array([first.add([pair[0]])[0] for pair in pairs], dtype=np.int32)
    nickname = np.array([first.add([pair[1]])[0] for pair in pairs], dtype=np.int32)
    order = np.argsort(formal, kind="stable")
    counts = np.bincount(formal, minlength=len(first.places)).astype(np.int32)
    return Names(
        first=pl.Series("first_name", list(first.places)),
        last=pl.Series("last_name", list(last.places)),
        first_plain=pl.Series("first_name", [_without_accents(name) for name in first.places]),
        last_plain=pl.Series("last_name", [_without_accents(name) for name in last.places]),
        first_lists=first_lists,
        rare_first=rare_first,
        surname_lists=surname_lists,
        nicknames=nickname[order],
        nickname_starts=(np.cumsum(counts) - counts).astype(np.int32),
        nickname_counts=counts,
    )


def draw_first_names(
    rng: np.random.Generator,
    names: Names,
    parameters: NameParameters,
    *,
    female: npt.NDArray[np.bool_],
    group: npt.NDArray[np.int8],
    era: npt.NDArray[np.int8],
) -> Indices:
    """A first name for each person, from the lists of sex, group and era."""
    count = len(group)
    own = _own_group(rng, group, parameters.first_name_of_own_group)
    rare = rng.random(count) < parameters.rare_first_names
    key = np.where(rare, 1000 + female, (female * len(GROUPS) + own) * len(ERAS) + era)
    drawn = np.zeros(count, dtype=np.int32)
    for (sex, code, period), name_list in names.first_lists.items():
        chosen = np.flatnonzero(key == (sex * len(GROUPS) + code) * len(ERAS) + period)
        drawn[chosen] = name_list.draw(rng, len(chosen))
    for sex, name_list in names.rare_first.items():
        chosen = np.flatnonzero(key == 1000 + sex)
        drawn[chosen] = name_list.draw(rng, len(chosen))
    return drawn


def draw_surnames(
    rng: np.random.Generator, names: Names, parameters: NameParameters, *, group: npt.NDArray[np.int8]
) -> Indices:
    """A surname for each person, from the lists of the group."""
    own = _own_group(rng, group, parameters.surname_of_own_group)
    drawn = np.zeros(len(group), dtype=np.int32)
    for code, name_list in names.surname_lists.items():
        chosen = np.flatnonzero(own == code)
        drawn[chosen] = name_list.draw(rng, len(chosen))
    return drawn


def _own_group(
    rng: np.random.Generator, group: npt.NDArray[np.int8], own_share: dict[str, float]
) -> npt.NDArray[np.int8]:
    """The group whose list each name is drawn from: one's own, or the general one."""
    shares = np.array([own_share.get(name, 1.0) for name in GROUPS])
    return np.where(rng.random(len(group)) < shares[group], group, 0).astype(np.int8)
