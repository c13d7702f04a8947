"""Whatever goes wrong, what was released stays, one sentence says what to do, and the next run completes."""

import shutil
import signal
import time

import polars as pl
import pytest

import pipelines.assets.deliveries
from pipelines.ingest import promote
from pipelines.releases.release import current_release, list_releases, verify
from tests.pipelines.commands import familiar_faces
from tests.pipelines.simulated_county import OTHER_PROJECT_KEY, SimulatedCounty
from tests.reliability.trial import die, die_at, run_trial, started

pytestmark = pytest.mark.slow


@pytest.fixture
def county(tiny_county, tmp_path):
    """The tiny county after its first run, in a workspace of its own; its third month is not delivered yet."""
    return tiny_county.copy(tmp_path / "workspace")


@pytest.fixture(scope="module")
def undisturbed(tiny_county, tmp_path_factory):
    """The tiny county after its third month, run without a disturbance."""
    county = tiny_county.copy(tmp_path_factory.mktemp("undisturbed") / "workspace")
    county.deliver(county.months[2])
    assert run(county).code == 0
    return county


def run(county):
    return familiar_faces("run", "--workspace", county.workspace.root)


def current_id(county):
    release = current_release(county.workspace)
    assert verify(release) == []
    return release.release_id


def accepted_of_jail(county):
    checksums = county.warehouse_checksums()
    return {name: checksums[name] for name in ("jail_people", "jail_encounter")}


def with_raw_jail(county, tmp_path, change):
    """The county with another raw jail extract of its third month."""
    agencies = tmp_path / "agencies"
    month = agencies / "raw" / "jail" / county.months[2]
    shutil.copytree(county.agencies / "raw" / "jail" / county.months[2], month)
    encounters = pl.read_csv(month / "encounters.csv", infer_schema=False)
    change(encounters).write_csv(month / "encounters.csv")
    return SimulatedCounty(county.workspace, agencies)


def test_a_month_made_with_another_key_is_refused_and_the_next_run_completes(county):
    before, accepted, month = current_id(county), accepted_of_jail(county), county.months[2]
    county.deliver(month, sources=("jail",), project_key=OTHER_PROJECT_KEY)
    refused = run(county)
    assert refused.code == 3
    assert "another key" in refused.complaint
    assert "jail" in refused.complaint
    assert (current_id(county), accepted_of_jail(county)) == (before, accepted)
    shutil.rmtree(county.workspace.landing / "jail" / month)
    assert run(county).code == 0
    assert current_id(county) == before


def test_a_truncated_delivery_is_refused(county):
    before, month = current_id(county), county.months[2]
    county.deliver(month, sources=("hospital",))
    people = county.workspace.landing / "hospital" / month / "people.parquet"
    people.write_bytes(people.read_bytes()[:1000])
    refused = run(county)
    assert refused.code == 3
    assert "hospital" in refused.complaint
    assert "people.parquet" in refused.complaint
    assert current_id(county) == before


def test_a_manifest_that_is_not_one_is_refused(county):
    month = county.months[2]
    county.deliver(month, sources=("ems",))
    (county.workspace.landing / "ems" / month / "manifest.json").write_text("{")
    refused = run(county)
    assert refused.code == 3
    assert "manifest.json" in refused.complaint


def test_a_blocking_check_that_fails_accepts_and_releases_nothing(county, tmp_path):
    before, accepted = current_id(county), accepted_of_jail(county)
    repeated = with_raw_jail(county, tmp_path, lambda encounters: pl.concat([encounters] * 9))
    repeated.deliver(county.months[2], sources=("jail",))
    stopped = run(county)
    assert stopped.code == 4
    assert "more than half" in stopped.complaint
    assert "Jail" in stopped.complaint
    assert (current_id(county), accepted_of_jail(county)) == (before, accepted)
    county.deliver(county.months[2], sources=("jail",))
    assert run(county).code == 0


def test_after_an_agreement_expired_nothing_of_its_source_is_used(county):
    before = current_id(county)
    county.edit_county_file("expires_on = 2099-12-31", "expires_on = 2020-12-31")
    county.deliver(county.months[2], sources=("jail",))
    refused = run(county)
    assert refused.code == 5
    assert "expired on 2020-12-31" in refused.complaint
    assert current_id(county) == before


def test_a_release_waits_for_its_sign_off_and_a_changed_county_file_needs_another(county):
    before = current_id(county)
    county.edit_county_file("sign_off_required = false", "sign_off_required = true")
    unsigned = run(county)
    assert unsigned.code == 5
    assert "sign-off" in unsigned.complaint
    assert current_id(county) == before

    release = ("release", "--workspace", county.workspace.root)
    assert familiar_faces(*release).code == 5
    assert familiar_faces(*release, "--sign-off", "Ada Steward").code == 0
    signed = current_release(county.workspace)
    assert signed.release_id != before
    assert signed.manifest["signed_by"] == "Ada Steward"

    county.edit_county_file("small_cell_threshold = 11", "small_cell_threshold = 20")
    assert familiar_faces(*release).code == 4
    assert run(county).code == 5
    assert current_id(county) == signed.release_id


def test_two_runs_at_once_are_refused(county):
    with county.workspace.only_run():
        for command in ("run", "train", "release"):
            refused = familiar_faces(command, "--workspace", county.workspace.root)
            assert refused.code == 2
            assert "Another run" in refused.complaint


def die_in_the_middle_of_a_promotion():
    class Dying:
        def __init__(self, connection):
            self.connection = connection

        def execute(self, sql):
            if sql.startswith("insert into delivery"):
                die()
            return self.connection.execute(sql)

    pipelines.assets.deliveries.promote = lambda connection, source: promote(Dying(connection), source)


KILLED_IN = {
    "the middle of a promotion": {"disturb": die_in_the_middle_of_a_promotion},
    "the copying of a release": {"disturb": die_at, "argument": "pipelines.releases.release:_copy_comments"},
    "the moment before a release becomes current": {
        "disturb": die_at,
        "argument": "pipelines.releases.release:_point_current_at",
    },
}
KILLED_AFTER = ("  person_crosswalk:",)


def test_a_run_that_is_killed_anywhere_is_repaired_by_running_again(county, undisturbed):
    before = current_id(county)
    county.deliver(county.months[2])
    for where, dying in KILLED_IN.items():
        killed = run_trial(county.workspace.root, **dying)
        assert killed.code == -signal.SIGKILL, f"{where}: {killed.said}"
        assert current_id(county) == before, where
        if where == "the middle of a promotion":
            for line in KILLED_AFTER:
                kill_after(line, county)
                assert current_id(county) == before, line
    assert run(county).code == 0
    assert current_id(county) == current_id(undisturbed)
    assert county.warehouse_checksums() == undisturbed.warehouse_checksums()
    assert {release.release_id for release in list_releases(county.workspace)} == {before, current_id(county)}
    assert not list(county.workspace.releases.glob(".*"))


def kill_after(line, county):
    running = started(county.workspace.root)
    while line not in running.said:
        assert running.child.is_alive(), running.said
        time.sleep(0.02)
    assert running.kill_after(0) == -signal.SIGKILL
