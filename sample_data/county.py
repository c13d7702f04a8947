"""The simulated county, from a number of residents and a seed to raw extracts on disk."""

import zlib
from dataclasses import dataclass
from datetime import UTC, date, datetime
from importlib import resources
from pathlib import Path

import numpy as np
import polars as pl

from linkage.progress import track
from linkage.source import declared_sources
from sample_data.extracts import FileFormat, refuse_other_extracts, write_extracts
from sample_data.lives import live
from sample_data.lives.timing import DAY, Window
from sample_data.names import load_names
from sample_data.parameters import Parameters, shipped_parameters
from sample_data.people import make_population
from sample_data.records import record


@dataclass(frozen=True, kw_only=True)
class SimulatedCounty:
    """What was written, rows counted by source over all deliveries; `as_of` is the first day after them."""

    folder: Path
    as_of: date
    residents: int
    months: int
    people_with_contact: int
    clients: dict[str, int]
    people_rows: dict[str, int]
    encounter_rows: dict[str, int]

    def as_text(self) -> str:
        """A few lines for the terminal."""
        lines = [
            f"{self.folder}: a county of {self.residents:,} invented people over {self.months} months, "
            f"{self.people_with_contact:,} of them seen by an agency; as of {self.as_of}."
        ]
        lines += [
            f"  {source:<11} {self.clients[source]:>9,} client ids {self.people_rows[source]:>9,} people rows "
            f"{self.encounter_rows[source]:>9,} encounter rows"
            for source in self.clients
        ]
        return "\n".join(lines)


def simulate(
    people: int,
    months: int,
    seed: int,
    out: Path,
    first_month: str = "2024-01",
    *,
    file_format: FileFormat = "csv",
    one_delivery: bool = False,
    parameters: Parameters | None = None,
) -> SimulatedCounty:
    """Write `out`/raw/<source>/<YYYY-MM>/ and `out`/truth.parquet for a county of `people` residents.

    Deliveries follow the raw template (people and encounters, csv or parquet), one folder per source and
    month from `first_month` on; with `one_delivery`, one folder per source, named after the last month, with
    all of history (for benchmarks). truth.parquet has source, client_id, truth_id: every client id once; an
    ambulance run that found nobody has a truth_id of its own, and an overlaid client belongs to the person it
    was made for. In 24 months of one delivery, a resident makes about 0.66 people rows and 1.7 encounters.
    A crisis line is simulated where it is declared and changes nothing of the others; other further sources are not.
    The same arguments write the same bytes.

    Raises UsageError when `out` holds extracts of another simulation.
    """
    parameters = parameters or shipped_parameters()
    calendar = _calendar(first_month, months)
    labels = [label for label, _, _ in calendar]
    for name in declared_sources():
        refuse_other_extracts(
            out / "raw" / name, labels[-1:] if one_delivery else labels, file_format=file_format
        )
    first, last = calendar[0][1], calendar[-1][2]
    window = Window(start=first - parameters.lives.warm_up_days * DAY, first=first, last=last)
    names = load_names(parameters.names)
    population = make_population(
        _stream(seed, "people"),
        people,
        window.first // DAY,
        window.last // DAY,
        names,
        parameters.people,
        parameters.names,
    )
    lives = live(
        _stream(seed, "lives"),
        population,
        window,
        parameters.lives,
        of_calls=_stream(seed, "lives on the crisis line") if "crisis_line" in declared_sources() else None,
    )
    clients, people_rows, encounter_rows, truths = {}, {}, {}, []
    simulated = {name: source for name, source in declared_sources().items() if name in lives.encounters}
    for name, source in track(simulated.items(), "Writing what each agency recorded"):
        encounters = lives.encounters.pop(name)
        encounters = encounters.filter((pl.col("started") < window.last) & (pl.col("ended") >= window.first))
        recorded = record(
            _stream(seed, f"records of {name}"),
            name,
            encounters,
            population,
            lives.conditions,
            names,
            parameters.records,
            client_id_is_stable=source.client_id_is_stable,
            zips=[*parameters.people.zips, *parameters.people.zips_elsewhere],
        )
        people_rows[name], encounter_rows[name] = write_extracts(
            recorded, source, out / "raw" / name, calendar, file_format=file_format, one_delivery=one_delivery
        )
        clients[name] = recorded.truth.height
        truths.append(recorded.truth.select(pl.lit(name).alias("source"), "client_id", "truth_id"))
    truth = pl.concat(truths)
    truth.write_parquet(out / "truth.parquet")
    seen = truth.filter(pl.col("truth_id").str.starts_with("person-")).get_column("truth_id").n_unique()
    return SimulatedCounty(
        folder=out,
        as_of=datetime.fromtimestamp(last, tz=UTC).date(),
        residents=people,
        months=months,
        people_with_contact=seen,
        clients=clients,
        people_rows=people_rows,
        encounter_rows=encounter_rows,
    )


def county_file_text(*, project_key_check: str) -> str:
    """The sample county file (county.toml) with the check value of a project key filled in, and with an agreement for
    each further source that is declared."""
    text = (resources.files("sample_data") / "county.toml").read_text(encoding="utf-8")
    text += "".join(
        _AGREEMENT.format(source=source.name, label=source.label)
        for source in declared_sources().values()
        if source.is_added
    )
    placeholder = '# project_key_check = "..."'
    return text.replace(placeholder, f'project_key_check = "{project_key_check}"')


_AGREEMENT = """
[agreements.{source}]
legal_basis = "authorization"
reference = "Data sharing agreement, {label}"
custodian = "Privacy officer, {label}"
expires_on = 2099-12-31
recipients = ["care_coordination"]
"""


def _stream(seed: int, purpose: str) -> np.random.Generator:
    """A random stream of its own for each purpose, so that more of one thing does not change another."""
    return np.random.default_rng([seed, zlib.crc32(purpose.encode())])


def _calendar(first_month: str, months: int) -> list[tuple[str, int, int]]:
    """Label, begin and end (seconds, half open) of each month."""
    start = np.datetime64(first_month, "M")
    edges = (start + np.arange(months + 1)).astype("datetime64[D]").astype(np.int64) * DAY
    return [(str(start + place), int(edges[place]), int(edges[place + 1])) for place in range(months)]
