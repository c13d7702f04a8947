"""Counties after their runs, each made once for all workers. Tests that change anything work on a copy."""

import fcntl
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from pipelines.run import refresh
from pipelines.workspace import Workspace
from sample_data.county import simulate
from sample_data.tiny_county import TINY_COUNTY
from tests.pipelines.simulated_county import SimulatedCounty

DELIVERED_MONTHS = 12


@pytest.fixture(scope="session")
def shared(tmp_path_factory, worker_id):
    """A folder that all workers share."""
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent


@pytest.fixture(scope="session")
def finished_county(shared):
    """A county after its first run: twelve months delivered, a thirteenth simulated and not yet delivered."""
    agencies = shared / "agencies"

    def make(root):
        simulate(people=7_000, months=DELIVERED_MONTHS + 1, seed=1, out=agencies)
        county = SimulatedCounty.new(root, agencies)
        county.deliver(*county.months[:DELIVERED_MONTHS])
        refresh(county.workspace)

    return SimulatedCounty(Workspace(made_once(shared / "finished_county", make)), agencies)


@pytest.fixture(scope="session")
def county_a_month_later(shared, finished_county):
    """The finished county after a second run: a month more, and late bookings in two of the months before."""

    def make(root):
        later = finished_county.copy(root)
        later.deliver(later.months[DELIVERED_MONTHS])
        for place, late in ((3, 4), (9, 15)):
            month = later.months[place]
            later.deliver_late_rows("jail", month, encounters=late, raw=shared / f"late_{month}")
        refresh(later.workspace)

    return SimulatedCounty(Workspace(made_once(shared / "a_month_later", make)), finished_county.agencies)


@pytest.fixture(scope="session")
def tiny_county(shared, finished_county):
    """The committed tiny county after its first run, linked with the model that the larger county trained.

    Two months are delivered, the third is not.
    """

    def make(root):
        county = SimulatedCounty.new(root, TINY_COUNTY)
        shutil.copytree(finished_county.workspace.models, county.workspace.models, dirs_exist_ok=True)
        county.deliver(*county.months[:2])
        refresh(county.workspace)

    return SimulatedCounty(Workspace(made_once(shared / "tiny_county", make)), TINY_COUNTY)


def made_once(root: Path, make: Callable[[Path], None]) -> Path:
    """The folder `root`, which `make` fills and creates; one worker does, and the others wait for it."""
    complete = root.with_name(f"{root.name}.complete")
    with root.with_name(f"{root.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not complete.exists():
            make(root)
            complete.touch()
    return root
