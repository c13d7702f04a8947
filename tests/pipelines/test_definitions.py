"""The Dagster code location loads, and its graph is the one that the documentation describes."""

import dagster as dg
import pytest

from linkage.source import declared_sources
from pipelines.definitions import defs
from pipelines.relations import load_relations


@pytest.mark.parametrize("job", ["refresh", "train_linkage_model", "publish_release"])
def test_every_job_resolves(job):
    assert defs.resolve_job_def(job).name == job


def test_the_code_location_is_valid():
    dg.Definitions.validate_loadable(defs)


def test_assets_carry_the_names_of_the_relations_they_make():
    names = {key.to_user_string() for key in defs.resolve_asset_graph().get_all_asset_keys()}
    assert set(load_relations()) <= names
    assert {f"{source}_delivery" for source in declared_sources()} <= names


def test_every_asset_is_described_and_grouped_and_waits_for_the_warehouse():
    graph = defs.resolve_asset_graph()
    for key in graph.get_all_asset_keys():
        node = graph.get(key)
        assert node.description, key
        assert node.group_name != "default", key
        assert node.pools == {"warehouse"}, key


def test_training_reads_deliveries_and_releases_nothing():
    nodes = {node.name for node in defs.resolve_job_def("train_linkage_model").nodes}
    assert {"source_record", "linkage_model"} <= nodes
    assert not nodes & {"release", "release_checks", "scored_pair"}
