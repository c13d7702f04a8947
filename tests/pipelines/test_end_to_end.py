"""Raw extracts in, a release out: what holds after a run, after the same run again, and after the next month."""

import duckdb
import pytest

from linkage.source import declared_sources
from pipelines.evaluate import measured_against_truth
from pipelines.releases.release import current_release, list_releases, verify
from pipelines.run import refresh
from tests.pipelines.simulated_county import open_release, tables

pytestmark = pytest.mark.slow


def test_every_delivered_row_was_accepted_or_quarantined(finished_county):
    months = 12 * len(declared_sources())
    assert finished_county.rows("select count(*) from delivery") == [(months,)]
    for source in declared_sources():
        for file, part in (("people", "people"), ("encounters", "encounter")):
            assert (
                finished_county.rows(
                    f"select month, delivered_{file} - (select count(*) from {source}_{part} as accepted where "
                    f"accepted.month = delivery.month) - (select count(*) from quarantined_row as quarantined where "
                    f"quarantined.source = '{source}' and quarantined.file = '{file}.parquet' and "
                    f"quarantined.month = delivery.month) as lost from delivery where source = '{source}' and lost <> 0"
                )
                == []
            )


def test_everything_in_the_release_is_described(finished_county):
    with open_release(finished_county.workspace) as release:
        undescribed = release.execute(
            "select table_name, null from duckdb_tables() where coalesce(comment, '') = '' union all "
            "select table_name, column_name from duckdb_columns() where not internal and coalesce(comment, '') = ''"
        ).fetchall()
        assert undescribed == []
        assert {"person", "person_crosswalk", "encounter", "utilization", "cohort_membership"} <= set(
            tables(release)
        )


def test_an_analyst_reads_the_release_and_cannot_change_it(finished_county):
    with open_release(finished_county.workspace) as release:
        # These have rows only where a further source is declared.
        for table in {*tables(release)} - {"diversion_measure", "encounter_detail"}:
            assert release.execute(f"select count(*) from {table}").fetchall()[0][0] > 0, table
        with pytest.raises(duckdb.InvalidInputException):
            release.execute("delete from person").fetchall()
    assert verify(current_release(finished_county.workspace)) == []


def test_every_released_encounter_belongs_to_a_released_person(finished_county):
    with open_release(finished_county.workspace) as release:
        assert release.execute(
            "select count(*) from encounter anti join person using (person_id)"
        ).fetchall() == [(0,)]
        assert release.execute(
            "select count(*) from person_crosswalk anti join person using (person_id)"
        ).fetchall() == [(0,)]


def test_linkage_finds_who_is_who(finished_county):
    evaluation, _ = measured_against_truth(finished_county.workspace, finished_county.truth())
    assert evaluation.pairs.precision >= 0.98
    # Ambulance crews write down too little of some people to be sure; agencies that ask for papers are held to more.
    assert evaluation.pairs.recall >= 0.80
    of_stable_clients = [
        agreement for pair, agreement in evaluation.by_source_pair.items() if "ems" not in pair
    ]
    right = sum(agreement.right for agreement in of_stable_clients)
    assert right >= 0.90 * sum(agreement.true for agreement in of_stable_clients)


def test_running_again_with_nothing_new_changes_nothing(finished_county, tmp_path):
    again = finished_county.copy(tmp_path / "workspace")
    before = again.warehouse_checksums()
    refresh(again.workspace)
    assert again.warehouse_checksums() == before
    assert [release.release_id for release in list_releases(again.workspace)] == [
        current_release(finished_county.workspace).release_id
    ]


def test_the_next_month_moves_on_from_the_last_state(finished_county, county_a_month_later):
    later = county_a_month_later.workspace
    first = current_release(finished_county.workspace)
    second = current_release(later)
    assert second.release_id > first.release_id
    assert {release.release_id for release in list_releases(later)} == {
        first.release_id,
        second.release_id,
    }
    for file in first.folder.iterdir():
        assert file.read_bytes() == (later.releases / first.release_id / file.name).read_bytes()
    with duckdb.connect(second.database, read_only=True) as release:
        release.execute(f"attach '{first.database}' as before (read_only)").fetchall()
        ((clients, moved),) = release.execute(
            "select count(*), count(*) filter (where new.person_id is distinct from old.person_id) "
            "from before.person_crosswalk as old left join person_crosswalk as new using (source, client_id)"
        ).fetchall()
        ((unexplained,),) = release.execute(
            "select count(*) from before.person_crosswalk as old "
            "join person_crosswalk as new using (source, client_id) "
            "where new.person_id <> old.person_id and not exists ("
            "from person_id_change as change where old.person_id in (change.person_id, change.into_person_id))"
        ).fetchall()
    assert clients > 0
    assert moved <= 0.02 * clients
    assert unexplained == 0
