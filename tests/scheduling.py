"""Which tests pytest-xdist runs on one worker, and in what order; `tests/conftest.py` hands it over.

One worker runs a file, for what the file's tests share would otherwise be made by each worker. Files with slow tests
begin first, so that both workers end at about the same time. This is not left to `--dist loadgroup`: pytest-xdist 3.8
marks groups in the ids of tests, which pytest 9.2 does not let it, so every test went to whichever worker was free.
"""

from collections.abc import Iterable
from typing import Any

import pytest
from xdist.scheduler import LoadScopeScheduling

# One Java machine for all tests of Spark in one process: starting it takes longer than most of them.
TOGETHER = {f"tests/linkage/test_spark{rest}.py": "spark" for rest in ("", "_cluster", "_high")}
# What these share is made once for all workers, and `make endurance` runs a hundred of them.
APART = frozenset({"tests/reliability/test_kills.py"})


class WholeFiles(LoadScopeScheduling):
    """Gives a worker whole files, in the order in which they were collected."""

    def __init__(self, config: pytest.Config, log: Any = None) -> None:
        super().__init__(config, log)
        config.option.loadscopereorder = False

    def _split_scope(self, nodeid: str) -> str:
        return unit_of(nodeid)


def unit_of(nodeid: str) -> str:
    """A name for what one worker runs: the test's file, the files it belongs together with, or the test alone."""
    file = nodeid.partition("::")[0]
    return nodeid if file in APART else TOGETHER.get(file, file)


def slow_files_first(items: Iterable[pytest.Item]) -> list[pytest.Item]:
    """The same tests in the same order, but files that have a slow one before all others."""
    listed = list(items)
    slow = {item.path for item in listed if item.get_closest_marker("slow")}
    return sorted(listed, key=lambda item: item.path not in slow)
