"""Serious mental illness, substance use disorder and homelessness: what drives repeated use."""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from sample_data.lives.timing import DAY, Seconds, Window
from sample_data.parameters import ConditionParameters
from sample_data.people import Flags, Population

SUD_CODES = ("alcohol", "opioid", "stimulant", "other")


@dataclass(frozen=True, kw_only=True)
class Conditions:
    """Conditions per person.

    `sud` is a place in `SUD_CODES` or -1; `smi_diagnosis` a place in the diagnoses of SMI, whether or not the
    person has one; who is `homeless` is so from `homeless_from` to `homeless_to`, the `chronic` throughout.
    """

    smi: Flags
    smi_diagnosis: npt.NDArray[np.int8]
    sud: npt.NDArray[np.int8]
    homeless: Flags
    chronic: Flags
    homeless_from: Seconds
    homeless_to: Seconds

    @property
    def any(self) -> Flags:
        """Whether the person has any of the three."""
        return self.smi | (self.sud >= 0) | self.homeless


def make_conditions(
    rng: np.random.Generator, population: Population, window: Window, parameters: ConditionParameters
) -> Conditions:
    """Draw everyone's conditions; rates are of adults."""
    people = len(population)
    age = population.age(window.first // DAY)
    adult = age >= 18
    smi = adult & (rng.random(people) < parameters.smi)
    # The rate without SMI is what is left for the others, so that the whole comes out as stated.
    without = (parameters.sud - parameters.smi * parameters.sud_given_smi) / (1 - parameters.smi)
    by_age = np.interp(age, [16, 20, 30, 45, 60, 75], [0.3, 1.0, 1.4, 1.2, 0.8, 0.25])
    rate = np.where(smi, parameters.sud_given_smi, without) * by_age
    has_sud = adult & (rng.random(people) < rate)
    kinds = np.array([parameters.sud_kinds[kind] for kind in SUD_CODES])
    kind = rng.choice(len(kinds), size=people, p=kinds / kinds.sum())
    weight = np.where(smi, parameters.homeless_times_smi, 1.0) * np.where(
        has_sud, parameters.homeless_times_sud, 1.0
    )
    weight *= adult * np.where(age < 65, 1.0, 0.4)
    scale = parameters.homeless * adult.sum() / max(weight.sum(), 1.0)
    homeless = rng.random(people) < np.minimum(weight * scale, 0.9)
    chronic = homeless & (rng.random(people) < parameters.homeless_chronic)
    length = window.last - window.start
    spell = np.where(chronic, length, rng.uniform(0.15, 0.9, people) * length)
    begins = window.start + rng.random(people) * (length - spell)
    return Conditions(
        smi=smi,
        smi_diagnosis=rng.choice(5, size=people, p=[0.24, 0.18, 0.32, 0.18, 0.08]).astype(np.int8),
        sud=np.where(has_sud, kind, -1).astype(np.int8),
        homeless=homeless,
        chronic=chronic,
        homeless_from=begins.astype(np.int64),
        homeless_to=(begins + spell).astype(np.int64),
    )
