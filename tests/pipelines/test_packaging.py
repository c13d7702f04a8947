"""The built wheel carries everything that is read at run time, and works away from the checkout."""

import os
import subprocess
import sys
import sysconfig
import zipfile
from pathlib import Path

import pytest

CHECKOUT = Path(__file__).parents[2]
PACKAGES = ("linkage", "pipelines", "quality", "sample_data", "sql")
DATA = (
    "sql/*/*.sql",
    "sql/inputs.toml",
    "quality/suites/*.toml",
    "quality/templates/*",
    "quality/desk/templates/*",
    "quality/desk/static/*",
    "linkage/sources/**/*.toml",
    "linkage/code_lists/**/*.*",
    "sample_data/*.toml",
    "sample_data/names/*.*",
    "sample_data/tiny/**/*.*",
)
LOAD_EVERYTHING = """
import sys
from pathlib import Path
import linkage, pipelines, quality, sample_data
for package in (linkage, pipelines, quality, sample_data):
    assert Path(package.__file__).is_relative_to({folder!r}), package.__file__
from importlib import resources
from linkage.encoding.code_lists import load_code_lists
from linkage.source import declare_sources, declared_sources
from pipelines.cohorts import parse_cohorts
from pipelines.relations import described_inputs, load_relations
from pipelines.settings import load_settings
from quality.suite import load_suites
from sample_data.parameters import shipped_parameters
assert len(declared_sources()) == 4
assert len(declare_sources("crisis_line,mobile_crisis,crisis_stabilization,court,behavioral_health_clinic")) == 9
assert len(load_relations()) >= 9 and described_inputs()
assert len(load_suites()) >= 20
assert load_code_lists().as_manifest()
assert load_settings(Path(str(resources.files("sample_data") / "county.toml"))).cohorts
assert shipped_parameters()
from pipelines.definitions import defs
assert defs.resolve_job_def("refresh").nodes
print("everything loaded")
"""


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    folder = tmp_path_factory.mktemp("wheel")
    built = subprocess.run(
        [
            *(sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation"),
            *("--wheel-dir", str(folder), str(CHECKOUT)),
        ],
        capture_output=True,
        text=True,
        check=False,
    )
    assert built.returncode == 0, built.stderr
    (path,) = folder.glob("*.whl")
    return path


def test_the_wheel_holds_every_file_that_is_read_at_run_time(wheel):
    with zipfile.ZipFile(wheel) as archive:
        packed = set(archive.namelist())
    for pattern in DATA:
        files = {
            path.relative_to(CHECKOUT).as_posix()
            for path in CHECKOUT.glob(pattern)
            if path.is_file() and "__pycache__" not in path.parts
        }
        assert files, pattern
        assert files <= packed, sorted(files - packed)[:5]


def test_the_wheel_holds_nothing_else(wheel):
    with zipfile.ZipFile(wheel) as archive:
        tops = {name.partition("/")[0] for name in archive.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == set(PACKAGES)


@pytest.mark.slow
def test_the_installed_package_works_outside_the_checkout(wheel, tmp_path):
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(tmp_path / "installed")
    folder = str(tmp_path / "installed")
    # -S keeps the editable install's path file out; -I the current folder and the environment.
    set_path = f"import sys; sys.path[:0] = [{folder!r}, {sysconfig.get_path('purelib')!r}]"
    ran = subprocess.run(
        [sys.executable, "-I", "-S", "-c", f"{set_path}\n{LOAD_EVERYTHING.format(folder=folder)}"],
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "HOME": str(tmp_path)},
    )
    assert ran.returncode == 0, ran.stderr
    assert "everything loaded" in ran.stdout
