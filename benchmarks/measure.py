"""One measured command: wall time, processor time and peak memory of a process of its own."""

import contextlib
import io
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from importlib.metadata import version
from pathlib import Path
from typing import Any

_PACKAGES = ("duckdb", "splink", "polars", "numpy", "scipy", "dagster", "great-expectations")


@dataclass(frozen=True, kw_only=True)
class Measured:
    """What one process took from start to end, and what it reported of itself.

    seconds: wall time; cpu_seconds: of all its threads; peak_gb: resident memory (GiB); report: the JSON object
    that it printed on its last line, empty for a command that prints none.
    """

    seconds: float
    cpu_seconds: float
    peak_gb: float
    report: Mapping[str, Any]

    def as_json(self) -> dict[str, Any]:
        """The figures as plain values."""
        return {
            "seconds": round(self.seconds, 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_gb": round(self.peak_gb, 3),
            **self.report,
        }


def measure_module(module: str, *arguments: str | Path) -> Measured:
    """Run `python -m module arguments`, which must print its report as JSON on its last line, and measure it.

    Its progress is passed on. Raises RuntimeError when it fails.
    """
    output = io.StringIO()
    measured = _measure([sys.executable, "-m", module, *map(str, arguments)], stderr=None, into=output)
    return replace(measured, report=json.loads(output.getvalue().strip().splitlines()[-1]))


def measure_run(workspace: Path) -> Measured:
    """Measure `familiar-faces run`; the report holds the seconds of each step that it says (`parts`)."""
    command = [str(Path(sys.executable).with_name("familiar-faces")), "run", "--workspace", str(workspace)]
    said = _Copy()
    measured = _measure(command, stderr=subprocess.STDOUT, into=said)
    steps = re.findall(r"^  (\w+): ([0-9.]+) s$", said.getvalue(), flags=re.MULTILINE)
    return replace(measured, report={"parts": {name: float(seconds) for name, seconds in steps}})


class _Copy(io.StringIO):
    """Keeps text and passes it on to standard error."""

    def write(self, text: str) -> int:
        sys.stderr.write(text)
        return super().write(text)


def _measure(command: Sequence[str], *, stderr: int | None, into: io.StringIO) -> Measured:
    """Linux counts the peak memory of the process that starts another into the other's, so this one must stay small."""
    started = time.perf_counter()
    with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=stderr, text=True) as process:
        assert process.stdout is not None
        for line in process.stdout:
            into.write(line)
        _, status, used = os.wait4(process.pid, 0)
        process.returncode = os.waitstatus_to_exitcode(status)
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(f"{' '.join(command)} failed with exit code {process.returncode}.")
    return Measured(
        seconds=seconds,
        cpu_seconds=used.ru_utime + used.ru_stime,
        peak_gb=_gibibytes(used.ru_maxrss),
        report={},
    )


@dataclass(kw_only=True)
class Stopwatch:
    """Times the parts of a measured process, in order: wall time and processor time of all threads (seconds)."""

    parts: dict[str, float] = field(default_factory=dict)
    cpu_seconds: float = 0.0

    @contextlib.contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Time one part."""
        started, cpu_started = time.perf_counter(), time.process_time()
        yield
        self.parts[name] = round(time.perf_counter() - started, 2)
        self.cpu_seconds += time.process_time() - cpu_started

    def report(self) -> dict[str, Any]:
        """Time of all parts together, of each, and the peak memory of the process until now (GiB)."""
        return {
            "seconds": round(sum(self.parts.values()), 2),
            "cpu_seconds": round(self.cpu_seconds, 2),
            "peak_gb": round(peak_gb(), 3),
            "parts": self.parts,
        }


def peak_gb() -> float:
    """The peak resident memory of this process (GiB), without what its parent had loaded."""
    status = Path("/proc/self/status")
    if status.exists():
        line = next(line for line in status.read_text().splitlines() if line.startswith("VmHWM"))
        return int(line.split()[1]) / 2**20
    return _gibibytes(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)


def print_report(figures: Mapping[str, Any]) -> None:
    """Print the report of a measured process, on one line."""
    print(json.dumps(figures))


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "python": sys.version.split()[0],
        **{package: version(package) for package in _PACKAGES},
    }


def _gibibytes(max_rss: int) -> float:
    return max_rss / (2**30 if sys.platform == "darwin" else 2**20)
