"""One measured command: wall time and peak memory of a process of its own."""

import json
import os
import resource
import subprocess
import sys
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any


@dataclass(frozen=True, kw_only=True)
class Measured:
    """Seconds and peak resident memory (GB) of one process, and what it reported of itself."""

    seconds: float
    peak_gb: float
    report: dict[str, Any]


def measure(module: str, *arguments: str) -> Measured:
    """Run `python -m module arguments` and measure it. The module prints its report as JSON on its last line.

    Raises RuntimeError with the end of its error output when it fails.
    """
    started = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", module, *arguments], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
    output, errors = process.communicate()
    seconds = time.perf_counter() - started
    if process.returncode != 0:
        raise RuntimeError(f"{module} failed: {errors[-2000:]}")
    report = json.loads(output.strip().splitlines()[-1])
    return Measured(seconds=seconds, peak_gb=report.pop("peak_gb"), report=report)


def report(**figures: Any) -> None:
    """Print the report of a measured process, with its own peak memory."""
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    print(json.dumps({"peak_gb": round(kilobytes / 2**20, 3), **figures}))  # noqa: T201


def machine() -> dict[str, Any]:
    """What the figures were measured on."""
    from importlib.metadata import version

    memory = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30
    return {
        "cores": os.cpu_count(),
        "memory_gb": round(memory, 1),
        "python": sys.version.split()[0],
        **{package: version(package) for package in ("duckdb", "splink", "polars", "dagster", "great-expectations")},
    }


def keep(results: Path, name: str, figures: dict[str, Any]) -> None:
    """Write figures to `results`/`name`.json."""
    results.mkdir(parents=True, exist_ok=True)
    (results / f"{name}.json").write_text(json.dumps(figures, indent=2) + "\n", encoding="utf-8")
