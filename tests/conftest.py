"""What holds for every test: how long an example may take says nothing on a busy machine; who runs what, and when."""

import pytest
from hypothesis import settings

from tests.scheduling import WholeFiles, slow_files_first

settings.register_profile("whatever the machine", deadline=None)
settings.load_profile("whatever the machine")


def pytest_xdist_make_scheduler(config, log):
    """Whatever `--dist` says."""
    return WholeFiles(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(config, items):
    if hasattr(config, "workerinput"):
        items[:] = slow_files_first(items)
