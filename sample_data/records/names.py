"""The name under which a client is registered, and the other names an agency may hold."""

import numpy as np
import numpy.typing as npt
import polars as pl

from sample_data.lives.timing import DAY
from sample_data.names import Names
from sample_data.parameters import RecordParameters
from sample_data.people import NO_SUFFIX, Flags, Population
from sample_data.records.columns import chosen_from, nothing, share_of


def kin_of(population: Population, person: npt.NDArray[np.int32]) -> npt.NDArray[np.int32]:
    """For each person, a neighbour by birth of the same sex and surname: a brother, a cousin, or nobody else."""
    order = np.lexsort((population.birth, population.last, population.sex))

    def is_kin(neighbour: npt.NDArray[np.int64]) -> Flags:
        return np.asarray(
            (population.last[order] == population.last[neighbour])
            & (population.sex[order] == population.sex[neighbour])
        )

    following, preceding = np.roll(order, -1), np.roll(order, 1)
    kin = np.empty(len(population), dtype=np.int32)
    kin[order] = np.where(is_kin(following), following, np.where(is_kin(preceding), preceding, order))
    return kin[person]


class GivenNames:
    """The name each client is registered under, as places in the vocabularies; `text` writes it out."""

    def __init__(
        self,
        rng: np.random.Generator,
        source: str,
        person: npt.NDArray[np.int32],
        when: npt.NDArray[np.int64],
        population: Population,
        names: Names,
        parameters: RecordParameters,
    ) -> None:
        count = len(person)
        self.names = names
        self.count = count
        self.other_sex = population.has_two_sexes[person] & (rng.random(count) < 0.5)
        other_name = self.other_sex & (rng.random(count) < 0.6)
        first = np.where(other_name, population.first_other[person], population.first[person])
        self.first = _with_nicknames(rng, first, names, parameters.nickname[source])
        self.formal_first = first
        self.last = population.last[person]
        self.former = population.last_former[person]
        before = when // DAY < population.changed_name_on[person]
        self.under_former = (self.former >= 0) & (
            before | (rng.random(count) < parameters.old_surname[source])
        )
        self.second = population.last_second[person]
        has_space = population.group[person] == 2
        self.form = _compound_form(rng, self.second, has_space, parameters.compound_variation)
        self.keeps_accents = rng.random(count) < parameters.accents_kept[source]
        middle = np.where(
            rng.random(count) < parameters.middle_name_kept[source], population.middle[person], -1
        )
        self.middle = middle
        self.is_initial = rng.random(count) < parameters.middle_initial[source]
        suffix = population.suffix[person]
        kept = rng.random(count) >= parameters.suffix_absent
        written = pl.Series(["", "Jr", "Sr", "III"]).gather(np.where(kept, suffix, NO_SUFFIX))
        self.suffix = chosen_from(np.where(kept, suffix, NO_SUFFIX) > 0, written, nothing(count))

    def _last_text(self, place: npt.NDArray[np.int32]) -> pl.Series:
        return _text(self.names.last, self.names.last_plain, place, self.keeps_accents)

    def _first_text(self, place: npt.NDArray[np.int32]) -> pl.Series:
        return _text(self.names.first, self.names.first_plain, place, self.keeps_accents)

    def text(self, *, under_former: Flags) -> pl.DataFrame:
        """The template's four name columns; the surname is the former one where `under_former`."""
        last = self._last_text(np.where(under_former, np.maximum(self.former, 0), self.last))
        second = self._last_text(np.maximum(self.second, 0))
        forms = {
            FULL: last + " " + second,
            HYPHEN: last + "-" + second,
            ONLY_SECOND: second,
            JOINED: last + second.str.to_lowercase(),
            REVERSED: second + " " + last,
        }
        for form, text in forms.items():
            last = chosen_from((self.form == form) & ~under_former, text, last)
        first = self._first_text(self.first)
        middle = self._first_text(np.maximum(self.middle, 0))
        middle = chosen_from(self.is_initial, middle.str.slice(0, 1), middle)
        return pl.DataFrame(
            {
                "first_name": first,
                "middle_name": chosen_from(self.middle >= 0, middle, nothing(self.count)),
                "last_name": last,
                "name_suffix": self.suffix,
            }
        )

    def alias_text(self, rng: np.random.Generator) -> pl.DataFrame:
        """Another name: the surname of somebody else (55 %), another first name (25 %), or both."""
        draw = rng.random(self.count)
        strangers = rng.permutation(self.count)
        own = self.text(under_former=self.under_former)
        other_last = self._last_text(self.last[strangers])
        other_first = self._first_text(self.formal_first[strangers])
        return own.with_columns(
            last_name=chosen_from((draw < 0.55) | (draw >= 0.80), other_last, own.get_column("last_name")),
            first_name=chosen_from(draw >= 0.55, other_first, own.get_column("first_name")),
            middle_name=chosen_from(draw >= 0.55, nothing(self.count), own.get_column("middle_name")),
        )


SIMPLE, FULL, HYPHEN, ONLY_FIRST, ONLY_SECOND, JOINED, REVERSED = range(7)


def _compound_form(
    rng: np.random.Generator, second: npt.NDArray[np.int32], has_space: Flags, variation: float
) -> npt.NDArray[np.int8]:
    """How a compound surname is written: with a space where that is the custom, else hyphened, or varied."""
    count = len(second)
    varied = rng.random(count) < variation
    usual = np.where(has_space, FULL, HYPHEN)
    # The other way of joining, either part alone, both run together, the order turned round.
    other = np.array([HYPHEN, ONLY_FIRST, ONLY_SECOND, JOINED, REVERSED])[
        np.searchsorted([0.28, 0.70, 0.88, 0.95], rng.random(count))
    ]
    other = np.where((other == HYPHEN) & ~has_space, FULL, other)
    return np.where(second < 0, SIMPLE, np.where(varied, other, usual)).astype(np.int8)


def _text(
    vocabulary: pl.Series, plain: pl.Series, place: npt.NDArray[np.int32], keeps_accents: Flags
) -> pl.Series:
    """Names written out, without accents where the clerk or the software drops them."""
    return pl.concat([vocabulary, plain]).gather(np.where(keeps_accents, place, place + len(vocabulary)))


def _with_nicknames(
    rng: np.random.Generator, first: npt.NDArray[np.int32], names: Names, rate: float
) -> npt.NDArray[np.int32]:
    """First names with a share `rate` of all replaced by a nickname (only names that have one can be)."""
    known = names.nickname_counts[first]
    share = max(share_of(known > 0), 1e-9)
    chosen = (known > 0) & (rng.random(len(first)) < rate / share)
    pick = names.nickname_starts[first] + np.floor(rng.random(len(first)) * np.maximum(known, 1)).astype(int)
    return np.where(chosen, names.nicknames[np.minimum(pick, len(names.nicknames) - 1)], first)
