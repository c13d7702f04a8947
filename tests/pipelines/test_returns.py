"""Return files: an agency gets its own clients, what it may know, and a key that fits nothing else."""

import json

import polars as pl
import pytest

from linkage.encoding.rejoin import rejoin
from linkage.errors import PolicyError
from linkage.source import declared_sources
from pipelines.releases.release import current_release
from pipelines.releases.returns import PURPOSE, permitted_cohorts, write_returns
from pipelines.settings import load_settings
from tests.pipelines.simulated_county import AGENCY_KEYS, open_release

pytestmark = pytest.mark.slow


@pytest.fixture(scope="module")
def returned(finished_county):
    """Each agency's return file of the finished county."""
    folder = finished_county.workspace.returns / current_release(finished_county.workspace).release_id
    return {source: pl.read_parquet(folder / f"{source}.parquet") for source in declared_sources()}


def test_each_agency_gets_its_own_clients_and_no_others(finished_county, returned):
    with open_release(finished_county.workspace) as release:
        for source, rows in returned.items():
            own = {
                client
                for (client,) in release.execute(
                    "select client_id from person_crosswalk where source = ?", [source]
                ).fetchall()
            }
            assert set(rows["client_id"]) <= own
            assert rows.height > 0


def test_every_member_of_a_permitted_cohort_is_in_the_file_of_each_agency_that_knows_them(
    finished_county, returned
):
    settings = finished_county.workspace.settings()
    with open_release(finished_county.workspace) as release:
        for source, rows in returned.items():
            permitted, _ = permitted_cohorts(declared_sources()[source], settings)
            expected = release.execute(
                "select client_id, cohort from cohort_membership inner join person_crosswalk using (person_id) "
                "where is_member and source = ? and list_contains(?, cohort) order by all",
                [source, [cohort.name for cohort in permitted]],
            ).fetchall()
            assert rows.select("client_id", "cohort").rows() == expected


def test_keys_of_persons_fit_neither_another_agencys_file_nor_the_release(finished_county, returned):
    keys = [set(rows["person_key"]) for rows in returned.values()]
    assert sum(map(len, keys)) == len(set.union(*keys))
    with open_release(finished_county.workspace) as release:
        known = {person for (person,) in release.execute("select person_id from person").fetchall()}
    assert not set.union(*keys) & known


def test_nothing_that_implies_an_illness_goes_to_the_jail(finished_county, returned):
    settings = finished_county.workspace.settings()
    permitted, withheld = permitted_cohorts(declared_sources()["jail"], settings)
    assert "king_county_familiar_faces" in {each.cohort for each in withheld}
    assert {cohort.name for cohort in permitted} >= {"frequent_ed", "multi_system"}
    assert set(returned["jail"]["cohort"]) <= {cohort.name for cohort in permitted}
    for word in ("sud", "substance", "mental", "overdose", "diagnos"):
        assert not any(word in text.lower() for text in returned["jail"]["evidence"].drop_nulls())
        assert not any(word in text.lower() for text in returned["jail"]["label"])


def test_evidence_is_the_agencys_own(returned):
    for rows in returned.values():
        assert all(text.startswith("your records, 12 months: ") for text in rows["evidence"].drop_nulls())


def test_the_file_says_what_it_is_for(finished_county):
    folder = finished_county.workspace.returns / current_release(finished_county.workspace).release_id
    said = pl.read_parquet_metadata(folder / "jail.parquet")
    assert said["purpose"] == PURPOSE
    assert "Not for enforcement" in PURPOSE
    assert said["agency"] == "jail"
    assert all(entry["because"].endswith(".") for entry in json.loads((folder / "withheld.json").read_text()))
    assert oct((folder / "jail.parquet").stat().st_mode)[-3:] == "600"


def test_the_agency_finds_its_clients_again(finished_county, returned, tmp_path):
    folder = finished_county.workspace.returns / current_release(finished_county.workspace).release_id
    for source in ("jail", "hospital"):
        rejoined = rejoin(
            folder / f"{source}.parquet",
            finished_county.agencies / "raw" / source,
            AGENCY_KEYS[source],
            source=declared_sources()[source],
        )
        assert rejoined.unmatched == 0
        assert rejoined.rows.height == returned[source].height


def test_a_source_whose_agreement_names_no_recipients_is_in_nobodys_file(finished_county, tmp_path):
    county = finished_county.copy(tmp_path / "workspace")
    text = county.workspace.county_file.read_text(encoding="utf-8")
    head, hospital = text.split("[agreements.hospital]")
    county.workspace.county_file.write_text(
        head + "[agreements.hospital]" + hospital.replace('recipients = ["care_coordination"]', "", 1),
        encoding="utf-8",
    )
    release = current_release(county.workspace)
    for file in (county.workspace.returns / release.release_id).iterdir():
        file.unlink()
    (county.workspace.returns / release.release_id).rmdir()
    written = write_returns(county.workspace, release, county.workspace.settings())
    assert "hospital" not in written
    folder = county.workspace.returns / release.release_id
    assert "frequent_ed" not in set(pl.read_parquet(folder / "ems.parquet")["cohort"])
    withheld = json.loads((folder / "withheld.json").read_text(encoding="utf-8"))
    assert {"source": "ems", "cohort": "frequent_ed"}.items() <= next(
        each for each in withheld if each["cohort"] == "frequent_ed" and each["source"] == "ems"
    ).items()


def test_substance_use_under_part_2_goes_to_nobody(finished_county, tmp_path):
    county = finished_county.copy(tmp_path / "workspace")
    county.edit_county_file('part_2 = "none"', 'part_2 = "holds_part_2_records"')
    settings = county.workspace.settings()
    _, withheld = permitted_cohorts(declared_sources()["hospital"], settings)
    assert [each.because for each in withheld if each.cohort == "king_county_familiar_faces"] == [
        "It rests on substance use, and hospital holds 42 CFR Part 2 records."
    ]


def test_all_evidence_is_refused_to_a_criminal_justice_agency(finished_county, tmp_path):
    text = finished_county.workspace.county_file.read_text(encoding="utf-8")
    path = tmp_path / "county.toml"
    path.write_text(
        text.replace("[agreements.jail]", '[agreements.jail]\nevidence = "all"'), encoding="utf-8"
    )
    with pytest.raises(PolicyError, match="criminal-justice agency what others recorded"):
        load_settings(path)
