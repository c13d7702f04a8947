"""What the environment is made of, and that it keeps to itself."""

import os
import shutil
import subprocess
import sys
import time
from pathlib import Path

import pytest

from pipelines.licences import as_markdown, dependencies, undeclared
from pipelines.releases.release import current_release

ROOT = Path(__file__).parents[2]

WATCH = """
import os, sys
def _watch(event, arguments):
    outside = False
    if event in ("socket.connect", "socket.sendto") and isinstance(arguments[1], tuple):
        outside = arguments[1][0] not in ("127.0.0.1", "::1", "localhost")
    elif event in ("socket.getaddrinfo", "socket.gethostbyname"):
        outside = arguments[0] not in (None, "127.0.0.1", "::1", "localhost", os.uname().nodename)
    if outside:
        with open(os.environ["ATTEMPTS"], "a") as attempts:
            attempts.write(f"{event} {arguments[1:]}\\n")
        raise OSError("no connection leaves this machine")
sys.addaudithook(_watch)
"""


@pytest.fixture(scope="module")
def watched(tmp_path_factory):
    """Runs Python where every connection that would leave the machine is noted and refused."""
    tmp_path = tmp_path_factory.mktemp("watched")
    (tmp_path / "site").mkdir()
    (tmp_path / "site" / "sitecustomize.py").write_text(WATCH)
    attempts = tmp_path / "attempts"

    def watched(*arguments):
        no_route = ["unshare", "--net", "--map-root-user"]
        can_unshare = (
            shutil.which("unshare")
            and not subprocess.run([*no_route, "true"], capture_output=True).returncode
        )
        environment = {
            **{
                name: value
                for name, value in os.environ.items()
                if "TELEMETRY" not in name and "GX_" not in name
            },
            "PYTHONPATH": os.pathsep.join([str(tmp_path / "site"), str(ROOT)]),
            "ATTEMPTS": str(attempts),
        }
        finished = subprocess.run(
            [*(no_route if can_unshare else []), sys.executable, *map(str, arguments)],
            env=environment,
            capture_output=True,
            text=True,
            check=False,
        )
        noted = attempts.read_text() if attempts.exists() else ""
        attempts.unlink(missing_ok=True)
        return finished, noted

    return watched


def test_the_watch_sees_an_attempt_to_connect(watched):
    finished, attempts = watched("-c", "import socket; socket.create_connection(('example.org', 80))")
    assert finished.returncode != 0
    assert "socket.getaddrinfo" in attempts


@pytest.fixture(scope="module")
def ran(watched, tiny_county, tmp_path_factory):
    """A month delivered and the command run; what the command said, tried to reach, and which files it wrote."""
    county = tiny_county.copy(tmp_path_factory.mktemp("ran") / "workspace")
    county.deliver(county.months[2])
    released = current_release(county.workspace).release_id
    began = time.time_ns()
    finished, attempts = watched("-m", "pipelines.cli", "run", "--workspace", county.workspace.root)
    written = [
        path
        for path in county.workspace.root.rglob("*")
        if not path.is_symlink() and path.stat().st_ctime_ns > began
    ]
    return county.workspace, released, finished, attempts, written


@pytest.mark.slow
def test_a_run_to_a_release_succeeds_without_a_network_and_asks_for_none(ran):
    workspace, released_before, finished, attempts, _ = ran
    assert finished.returncode == 0, finished.stderr
    assert attempts == ""
    assert current_release(workspace).release_id != released_before


@pytest.mark.slow
def test_whatever_a_run_writes_is_its_owners_alone(ran):
    workspace, *_, written = ran
    assert {path.relative_to(workspace.root).parts[0] for path in written} >= {
        "warehouse.duckdb", "stewardship.sqlite", "quality_docs", "releases", "returns", "briefs", "review", "dagster",
        "run_summaries",
    }  # fmt: skip
    # What the fixtures made in this process is not the command's.
    made_before = {workspace.dagster_home, *workspace.dagster_home.rglob("*"), workspace.returns}
    assert [path for path in written if path not in made_before and path.stat().st_mode & 0o077] == []


def test_the_licence_list_is_current():
    page = (ROOT / "docs" / "licences.md").read_text(encoding="utf-8").splitlines()
    listed = dependencies(ROOT / "constraints.txt")
    rows = as_markdown(listed).splitlines()
    # Spark may not be installed here; then only its name and version can be held against the page.
    known = [row for row in rows if "see the package" not in row]
    assert set(known) <= set(page), "Run `make licences`."
    assert len(rows) == len(page), "Run `make licences`."


def test_every_dependency_says_under_what_licence_it_stands():
    assert undeclared(dependencies(ROOT / "constraints.txt")) == []


def test_no_dependency_of_the_environment_is_unpinned():
    pins = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert all(line.count("==") == 1 for line in pins)
