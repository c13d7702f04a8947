"""Fixtures of the pipeline's tests."""

import shutil
from pathlib import Path

import pytest

from pipelines.workspace import Workspace
from tests.pipelines.small_county import SmallCounty


@pytest.fixture
def county(tmp_path):
    """An empty workspace with the sample county file."""
    workspace = Workspace(tmp_path / "county")
    workspace.root.mkdir()
    shutil.copy(Path(__file__).parents[2] / "sample_data" / "county.toml", workspace.county_file)
    workspace.prepare()
    return SmallCounty(workspace=workspace, raw=tmp_path / "raw")
