"""Fixtures of the pipeline's tests."""

import fcntl
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from pipelines.run import refresh
from pipelines.workspace import Workspace
from sample_data.county import simulate
from sample_data.tiny_county import TINY_COUNTY
from tests.pipelines.simulated_county import SimulatedCounty
from tests.pipelines.small_county import SmallCounty

DELIVERED_MONTHS = 12


@pytest.fixture
def county(tmp_path):
    """An empty workspace with the sample county file."""
    workspace = Workspace(tmp_path / "county")
    workspace.root.mkdir()
    shutil.copy(Path(__file__).parents[2] / "sample_data" / "county.toml", workspace.county_file)
    workspace.prepare()
    return SmallCounty(workspace=workspace, raw=tmp_path / "raw")


@pytest.fixture(scope="session")
def finished_county(tmp_path_factory, worker_id):
    """A county after its first run: twelve months delivered, a thirteenth simulated and not yet delivered.

    It is made once for all workers; tests that change anything work on a copy.
    """
    shared = _shared_by_workers(tmp_path_factory, worker_id)
    folder = shared / "finished_county"
    with _one_worker(shared / "finished_county.lock"):
        if (folder / "complete").exists():
            return SimulatedCounty(Workspace(folder / "workspace"), folder / "agencies")
        simulate(people=7_000, months=DELIVERED_MONTHS + 1, seed=1, out=folder / "agencies")
        county = SimulatedCounty.new(folder / "workspace", folder / "agencies")
        county.deliver(*county.months[:DELIVERED_MONTHS])
        refresh(county.workspace)
        (folder / "complete").touch()
    return county


@pytest.fixture(scope="session")
def county_a_month_later(tmp_path_factory, finished_county):
    """A copy of the finished county after a second run: a month more, and late bookings in two of the months before."""
    folder = tmp_path_factory.mktemp("a_month_later")
    later = finished_county.copy(folder / "workspace")
    later.deliver(later.months[DELIVERED_MONTHS])
    for place, late in ((3, 4), (9, 15)):
        month = later.months[place]
        later.deliver_late_rows("jail", month, encounters=late, raw=folder / month)
    refresh(later.workspace)
    return later


@pytest.fixture(scope="session")
def tiny_county(tmp_path_factory, worker_id, finished_county):
    """The committed tiny county after its first run, linked with the model that the larger county trained.

    Two months are delivered, the third is not. Tests that change anything work on a copy.
    """
    shared = _shared_by_workers(tmp_path_factory, worker_id)
    root = shared / "tiny_county"
    with _one_worker(shared / "tiny_county.lock"):
        if (shared / "tiny_county.complete").exists():
            return SimulatedCounty(Workspace(root), TINY_COUNTY)
        county = SimulatedCounty.new(root, TINY_COUNTY)
        shutil.copytree(finished_county.workspace.models, county.workspace.models, dirs_exist_ok=True)
        county.deliver(*county.months[:2])
        refresh(county.workspace)
        (shared / "tiny_county.complete").touch()
    return county


@contextmanager
def _one_worker(lock_file: Path) -> Iterator[None]:
    with lock_file.open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def _shared_by_workers(tmp_path_factory: pytest.TempPathFactory, worker_id: str) -> Path:
    base = tmp_path_factory.getbasetemp()
    return base if worker_id == "master" else base.parent
