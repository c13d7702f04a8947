"""What happens to people: conditions, and encounters with the four systems, or five, over time.

Each system's rate is a product of what its parameters say of conditions, a part shared by all systems and a
part of its own, scaled so that the stated share of residents has a contact in a year. What comes out is the
truth: every encounter with its person, its real end, and no word yet of what anyone wrote.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from sample_data.lives.conditions import Conditions, make_conditions
from sample_data.lives.crisis_line import make_calls
from sample_data.lives.ems import make_responses
from sample_data.lives.hospital import make_hospital_encounters
from sample_data.lives.jail import make_bookings
from sample_data.lives.shelter import around_custody, make_shelter_encounters
from sample_data.lives.timing import Window
from sample_data.parameters import LivesParameters
from sample_data.people import Population


@dataclass(frozen=True, kw_only=True)
class Lives:
    """Conditions, and one frame of encounters per source.

    Every frame has person, kind, started, ended (local seconds since 1970-01-01; ended later than started)
    and the raw columns of the source.
    """

    conditions: Conditions
    encounters: dict[str, pl.DataFrame]


def live(
    rng: np.random.Generator,
    population: Population,
    window: Window,
    parameters: LivesParameters,
    *,
    of_calls: np.random.Generator | None,
) -> Lives:
    """Conditions and encounters of everyone.

    `of_calls` is a random stream of its own for the calls to a crisis line, so that the other systems are the same with
    and without one; None where the county has none.
    """
    conditions = make_conditions(rng, population, window, parameters.conditions)
    shared = rng.standard_normal(len(population))
    jail = make_bookings(rng, population, conditions, shared, window, parameters)
    shelter = make_shelter_encounters(rng, population, conditions, shared, window, parameters)
    hospital = make_hospital_encounters(rng, population, conditions, shared, jail, window, parameters)
    in_custody = jail.select("person", "started", "ended")
    ed_runs = hospital.filter(pl.col("by_ambulance"))
    ems = make_responses(rng, population, conditions, ed_runs, hospital, jail, window, parameters)
    shelter = around_custody(rng, shelter, in_custody, parameters.shelter)
    encounters = {
        "jail": jail.drop("smi_true"),
        "shelter": shelter,
        "ems": ems,
        "hospital": hospital.drop("by_ambulance", "theme"),
    }
    if of_calls is not None:
        encounters["crisis_line"] = make_calls(
            of_calls, population, conditions, hospital, jail, window, parameters.crisis_line
        )
    return Lives(conditions=conditions, encounters=encounters)
