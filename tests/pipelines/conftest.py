"""Fixtures of the pipeline's tests."""

import shutil
from pathlib import Path

import pytest

from pipelines.workspace import Workspace
from tests.pipelines.finished_counties import county_a_month_later, finished_county, shared, tiny_county
from tests.pipelines.small_county import SmallCounty

__all__ = ["county", "county_a_month_later", "finished_county", "shared", "tiny_county"]


@pytest.fixture
def county(tmp_path):
    """An empty workspace with the sample county file."""
    workspace = Workspace(tmp_path / "county")
    workspace.root.mkdir()
    shutil.copy(Path(__file__).parents[2] / "sample_data" / "county.toml", workspace.county_file)
    workspace.prepare()
    return SmallCounty(workspace=workspace, raw=tmp_path / "raw")
