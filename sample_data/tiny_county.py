"""The tiny county that tests read: committed as files, and the recipe that makes the same files again.

`python -m sample_data.tiny_county` rewrites `sample_data/tiny/`. Contacts are far more frequent than in a
real county, so that a few hundred people have something of everything in three months.
"""

import shutil
from dataclasses import replace
from pathlib import Path

from sample_data.county import SimulatedCounty, simulate
from sample_data.parameters import Parameters, shipped_parameters

TINY_COUNTY = Path(__file__).parent / "tiny"
"""The committed files: raw/<source>/<month>/{people,encounters}.csv and truth.parquet."""


def write_tiny_county(out: Path) -> SimulatedCounty:
    """Write the tiny county into `out`."""
    return simulate(people=900, months=3, seed=5, out=out, parameters=_crowded(shipped_parameters()))


def _crowded(parameters: Parameters) -> Parameters:
    lives = parameters.lives
    return replace(
        parameters,
        lives=replace(
            lives,
            conditions=replace(lives.conditions, smi=0.12, sud=0.18, homeless=0.12),
            jail=replace(lives.jail, reach=0.20),
            shelter=replace(lives.shelter, reach=0.20),
            hospital=replace(lives.hospital, reach=0.45),
        ),
    )


if __name__ == "__main__":
    shutil.rmtree(TINY_COUNTY, ignore_errors=True)
    write_tiny_county(TINY_COUNTY)
