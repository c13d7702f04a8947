"""What the environment is made of, and that it keeps to itself."""

import os
import shutil
import subprocess
import sys
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


@pytest.fixture
def watched(tmp_path):
    """Runs Python where every connection that would leave the machine is noted and refused."""
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
        return finished, attempts.read_text() if attempts.exists() else ""

    return watched


def test_the_watch_sees_an_attempt_to_connect(watched):
    finished, attempts = watched("-c", "import socket; socket.create_connection(('example.org', 80))")
    assert finished.returncode != 0
    assert "socket.getaddrinfo" in attempts


@pytest.mark.slow
def test_a_run_to_a_release_succeeds_without_a_network_and_asks_for_none(watched, tiny_county, tmp_path):
    county = tiny_county.copy(tmp_path / "workspace")
    county.deliver(county.months[2])
    before = current_release(county.workspace).release_id
    finished, attempts = watched("-m", "pipelines.cli", "run", "--workspace", county.workspace.root)
    assert finished.returncode == 0, finished.stderr
    assert attempts == ""
    assert current_release(county.workspace).release_id != before


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
