"""Suites of the linkage tables, on tables that linkage itself made where it can make them cheaply."""

import shutil

import duckdb
import pytest

from linkage.records import build_source_record
from linkage.source import declared_sources
from quality.run import run_suites
from quality.suite import select_suites

NEW_PERSON = "substr(md5(source || client_id), 1, 20)"


@pytest.fixture(scope="module")
def faultless_linkage(faultless, tmp_path_factory):
    path = tmp_path_factory.mktemp("linkage") / "warehouse.duckdb"
    shutil.copy(faultless, path)
    with duckdb.connect(path) as connection:
        for source in declared_sources():
            connection.execute(f"create table {source}_people as from candidate_{source}_people").fetchall()
        build_source_record(connection, tuple(declared_sources().values()))
        connection.execute(
            "create table scored_pair as "
            "select l.source_record_id as source_record_id_l, r.source_record_id as source_record_id_r, "
            "12.5 as match_weight, 0.98 as match_probability, 'same_name' as blocking_rule "
            "from source_record as l inner join source_record as r "
            "on l.first_name_token = r.first_name_token and l.source_record_id < r.source_record_id"
        ).fetchall()
        ids = ", ".join(
            f"{NEW_PERSON} as {name}"
            for name in ("person_id", "person_id_080", "person_id_095", "person_id_099")
        )
        connection.execute(
            f"create table person_crosswalk as select distinct source, client_id, {ids} from source_record"
        ).fetchall()
        clusters = ", ".join(
            f"greatest(rowid, 1) as cluster_{suffix}" for suffix in ("id", "080", "095", "099")
        )
        connection.execute(
            f"create table cluster as select source, client_id, {clusters} from person_crosswalk"
        ).fetchall()
    return path


@pytest.fixture
def linked(warehouse, faultless_linkage):
    shutil.copy(faultless_linkage, warehouse.path)
    return warehouse


def not_met(warehouse, *relations: str) -> set[str]:
    suites = [
        suite for suite in select_suites(stage="linkage") if suite.relation in relations or relations == ()
    ]
    results = run_suites(warehouse.path, suites, run_label="test")
    return {
        f"{result.suite.name}.{each.expectation.expectation_id}"
        for result in results
        for each in result.results
        if each.outcome != "met"
    }


def test_faultless_linkage_meets_every_expectation(linked):
    assert not_met(linked) == set()


@pytest.mark.parametrize(
    ("spoil", "broken"),
    [
        pytest.param(
            ["delete from jail_people where row_number = 3"],
            {"source_record.nobody_else_is_here"},
            id="a record of a withdrawn client",
        ),
        pytest.param(
            ["insert into jail_people select * replace (md5('new') as client_id) from jail_people limit 1"],
            {"source_record.every_client_is_here"},
            id="a client without a record",
        ),
        pytest.param(
            ["update source_record set source = 'morgue' where source = 'jail'"],
            {
                "source_record.source_is_declared",
                "source_record.nobody_else_is_here",
                "source_record.every_client_is_here",
                "person_crosswalk.every_client_has_a_person",
                "person_crosswalk.every_person_has_a_record",
                "cluster.every_client_is_clustered",
            },
            id="an undeclared source",
        ),
        pytest.param(
            ["update source_record set first_month = '2025-09' where source = 'jail'"],
            {"source_record.months_are_in_order"},
            id="seen first after last",
        ),
        pytest.param(
            ["update source_record set ssn_token = -1 where source = 'jail'"],
            {"source_record.ssn_token_fits_60_bits"},
            id="a number that is no token",
        ),
        pytest.param(
            ["update source_record set first_name_bits_count = null where source = 'jail'"],
            {"source_record.filters_have_their_counts"},
            id="a filter without its count",
        ),
        pytest.param(
            ["update source_record set last_name_token = null, ssn_token = null where source = 'jail'"],
            {"source_record.few_records_cannot_be_linked"},
            id="a quarter that cannot be linked",
        ),
        pytest.param(
            ["insert into scored_pair select * from scored_pair limit 1"],
            {"scored_pair.pair_is_unique"},
            id="a pair scored twice",
        ),
        pytest.param(
            [
                "update scored_pair set source_record_id_l = source_record_id_r, "
                "source_record_id_r = source_record_id_l where rowid = 0"
            ],
            {"scored_pair.left_comes_before_right"},
            id="a pair the wrong way round",
        ),
        pytest.param(
            ["insert into scored_pair values (-9, -8, 1.0, 0.5, 'same_name')"],
            {
                "scored_pair.source_record_id_l_is_a_source_record",
                "scored_pair.source_record_id_r_is_a_source_record",
            },
            id="a pair of another run",
        ),
        pytest.param(
            [
                "alter table scored_pair alter match_weight type double",
                "update scored_pair set match_weight = 'inf'",
            ],
            {"scored_pair.match_weight_is_finite"},
            id="an infinite weight",
        ),
        pytest.param(
            ["update scored_pair set match_probability = 1.5 where rowid = 0"],
            {"scored_pair.match_probability_is_a_probability"},
            id="a probability above one",
        ),
        pytest.param(
            ["insert into person_crosswalk select * from person_crosswalk limit 1"],
            {"person_crosswalk.client_is_in_one_person"},
            id="a client twice",
        ),
        pytest.param(
            ["delete from person_crosswalk where source = 'jail'"],
            {"person_crosswalk.every_client_has_a_person"},
            id="clients of no person",
        ),
        pytest.param(
            ["insert into cluster select * from cluster limit 1"],
            {"cluster.client_is_in_one_cluster"},
            id="a client in two clusters",
        ),
        pytest.param(
            ["delete from cluster where source = 'jail'"],
            {"cluster.every_client_is_clustered"},
            id="clients of no cluster",
        ),
        pytest.param(
            ["update cluster set cluster_id = rowid"],
            {"cluster.somebody_is_linked"},
            id="nobody linked",
        ),
        pytest.param(
            ["update cluster set cluster_id = 1"],
            {"cluster.clusters_are_not_enormous"},
            id="everybody in one cluster",
        ),
        pytest.param(
            ["update person_crosswalk set person_id = 'Jane Doe' where rowid = 0"],
            {"person_crosswalk.person_id_is_well_formed"},
            id="a name as an id",
        ),
        pytest.param(
            ["update person_crosswalk set person_id = 'aaaaaaaaaaaaaaaaaaaa' where source = 'jail'"],
            {"person_crosswalk.persons_are_not_too_large"},
            id="forty clients of the jail as one person",
        ),
        pytest.param(
            ["update person_crosswalk set person_id = 'aaaaaaaaaaaaaaaaaaaa' where source = 'ems'"],
            set(),
            id="forty ambulance reports as one person",
        ),
        pytest.param(
            ["update person_crosswalk set person_id_095 = 'aaaaaaaaaaaaaaaaaaaa' where source = 'ems'"],
            {"person_crosswalk.stricter_thresholds_split_only"},
            id="together at a strict threshold only",
        ),
    ],
)
def test_a_planted_fault_breaks_exactly_the_expectations_about_it(linked, spoil, broken):
    linked.change(*spoil)
    assert not_met(linked, *{name.partition(".")[0] for name in broken}) == broken


def test_a_source_encoded_under_another_key_stops(linked):
    linked.change(
        "insert into source_record "
        "select source_record.* replace (source_record_id - 1 - n as source_record_id) "
        "from source_record, range(10) as copies (n) where n > 0",
        "update source_record set last_name_token = last_name_token + 1 where source = 'jail'",
    )
    assert "source_record.sources_share_names" in not_met(linked, "source_record")
