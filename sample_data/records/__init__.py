"""What each agency would have written down: client ids, and a row for every name a client is held under.

The person is known here and nowhere after: `Recorded.truth` is the only thing that remembers who is who.
"""

from dataclasses import dataclass

import numpy as np
import polars as pl

from sample_data.lives.conditions import Conditions
from sample_data.lives.ems import NOBODY
from sample_data.names import Names
from sample_data.parameters import RecordParameters
from sample_data.people import Population
from sample_data.records.client_ids import clients_of_people, make_client_ids, make_encounter_ids, overlaid
from sample_data.records.columns import PEOPLE_COLUMNS
from sample_data.records.identities import make_identities


@dataclass(frozen=True, kw_only=True)
class Recorded:
    """One agency's records.

    people      the template's columns, with ordinal (order within a client) and known_from (seconds)
    encounters  as lived, with client_id and encounter_id, in the order of started and encounter_id
    truth       client_id, truth_id: every client id once; an overlaid client belongs to whom it was made for
    """

    people: pl.DataFrame
    encounters: pl.DataFrame
    truth: pl.DataFrame


def record(
    rng: np.random.Generator,
    source: str,
    encounters: pl.DataFrame,
    population: Population,
    conditions: Conditions,
    names: Names,
    parameters: RecordParameters,
    *,
    client_id_is_stable: bool,
    zips: list[str],
) -> Recorded:
    """The records of one agency that saw `encounters` (in any order)."""
    encounters = encounters.sort("started", "person", "ended", "kind", maintain_order=True)
    if client_id_is_stable:
        client = clients_of_people(rng, encounters, parameters.duplicate_client[source])
    else:
        client = np.arange(encounters.height)
    encounters = encounters.with_columns(client=pl.Series(client))
    clients = (
        encounters.group_by("client", maintain_order=True)
        .agg(pl.col("person").first(), first_seen=pl.col("started").first())
        .sort("first_seen", "client")
    )
    clients = clients.with_columns(
        client_id=make_client_ids(rng, source, clients.get_column("first_seen")),
    )
    held_as = overlaid(rng, clients, population, parameters.overlay[source])
    people = make_identities(
        rng,
        source,
        clients,
        population,
        conditions,
        names,
        parameters,
        zips,
        has_further_rows=client_id_is_stable,
    )
    # The overlaid client's rows and encounters go under the id of the other person.
    people = people.with_columns(client_id=held_as.gather(people.get_column("client_place")))
    people = people.drop("client_place").sort("client_id", "known_from", "ordinal")
    people = people.unique(["client_id", *PEOPLE_COLUMNS[1:]], maintain_order=True)
    ids = clients.select("client", client_id=held_as)
    encounters = encounters.join(ids, on="client", how="left", maintain_order="left").drop("client", "person")
    encounters = encounters.with_columns(encounter_id=make_encounter_ids(rng, source, encounters))
    truth_id = (
        pl.when(pl.col("person") == NOBODY)
        .then(pl.lit("nobody-") + pl.col("client_id"))
        .otherwise(pl.lit("person-") + pl.col("person").cast(pl.String).str.zfill(8))
    )
    truth = (
        clients.filter(clients.get_column("client_id") == held_as)
        .select("client_id", truth_id=truth_id)
        .sort("client_id")
    )
    return Recorded(people=people, encounters=encounters, truth=truth)
