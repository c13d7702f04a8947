"""One worker runs a file, so that what its tests share is made once; slow files begin first."""

import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from tests.scheduling import unit_of

CONFTEST = Path(__file__).with_name("conftest.py")
QUICK = """
import pytest

@pytest.fixture(scope="module")
def shared(worker_id):
    with open("made", "a") as made:
        made.write(worker_id + " " + __name__ + chr(10))

@pytest.mark.parametrize("number", range(4))
def test_with_what_is_shared(shared, number):
    pass
"""
SLOW = f"{QUICK}\npytestmark = pytest.mark.slow\n"


def test_two_workers_make_what_a_file_shares_once_and_begin_with_slow_files(tmp_path):
    tests = tmp_path / "tests"
    tests.mkdir()
    for file in ("conftest.py", "scheduling.py"):
        shutil.copy(CONFTEST.with_name(file), tests)
    for name, text in {"a": QUICK, "b": QUICK, "c": SLOW, "d": SLOW}.items():
        (tests / f"test_{name}.py").write_text(text, encoding="utf-8")
    (tmp_path / "pytest.ini").write_text("[pytest]\nmarkers = slow\npythonpath = .\n", encoding="utf-8")
    ran = subprocess.run(
        [sys.executable, "-m", "pytest", "-n", "2", "--dist", "loadgroup", "-p", "no:cacheprovider", "tests"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
        check=False,
    )
    assert "16 passed" in ran.stdout, ran.stdout + ran.stderr
    made = [line.split() for line in (tmp_path / "made").read_text().splitlines()]
    assert sorted(file for _, file in made) == ["test_a", "test_b", "test_c", "test_d"]
    firsts = [next(file for worker, file in made if worker == name) for name in ("gw0", "gw1")]
    assert sorted(firsts) == ["test_c", "test_d"]


@pytest.mark.parametrize(
    ("test", "unit"),
    [
        ("tests/marts/test_ties.py::test_a[b::c]", "tests/marts/test_ties.py"),
        ("tests/linkage/test_spark_high.py::test_a", "spark"),
        ("tests/reliability/test_kills.py::test_a[3]", "tests/reliability/test_kills.py::test_a[3]"),
    ],
)
def test_a_worker_runs_a_file_unless_it_belongs_with_others_or_apart(test, unit):
    assert unit_of(test) == unit
