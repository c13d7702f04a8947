"""The licences of everything the environment holds, as a page: `python -m pipelines.licences > docs/licences.md`.

What is listed is what constraints.txt pins; what is said of it is what each package's own metadata says, shortened to
the licence's usual name.
"""

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import PackageNotFoundError, metadata
from pathlib import Path

_CLASSIFIER = "License :: OSI Approved :: "
_LONGEST_NAME = 60


@dataclass(frozen=True, kw_only=True)
class Dependency:
    """One pinned package. `licence` is None where its metadata names none, or it is not installed here."""

    name: str
    version: str
    licence: str | None
    is_installed: bool


def dependencies(constraints: Path) -> list[Dependency]:
    """Every package that `constraints` pins, by name."""
    pins = [line for line in constraints.read_text(encoding="utf-8").splitlines() if "==" in line]
    return [_dependency(*line.split(";")[0].strip().split("==")) for line in sorted(pins, key=str.lower)]


def undeclared(listed: Sequence[Dependency]) -> list[str]:
    """Names of installed packages whose metadata names no licence."""
    return [each.name for each in listed if each.is_installed and each.licence is None]


def as_markdown(listed: Sequence[Dependency]) -> str:
    """The page docs/licences.md."""
    lines = [
        "# Licences of the dependencies",
        "",
        "Made by `make licences` from the packages' own metadata; a test holds it against constraints.txt.",
        "",
        "| package | version | licence |",
        "|---|---|---|",
        *(f"| {each.name} | {each.version} | {each.licence or 'see the package'} |" for each in listed),
    ]
    return "\n".join(lines) + "\n"


def _dependency(name: str, version: str) -> Dependency:
    try:
        said = metadata(name)
    except PackageNotFoundError:
        return Dependency(name=name, version=version, licence=None, is_installed=False)
    classifiers = [
        value.removeprefix(_CLASSIFIER)
        for value in said.get_all("Classifier") or []
        if value.startswith(_CLASSIFIER)
    ]
    (expression,) = said.get_all("License-Expression") or [None]
    (text,) = said.get_all("License") or [None]
    stated = expression or _first_line(text) or ", ".join(classifiers)
    return Dependency(name=name, version=version, licence=stated or None, is_installed=True)


def _first_line(text: str | None) -> str | None:
    line = (text or "").strip().split("\n")[0].strip()
    return (
        line
        if 0 < len(line) <= _LONGEST_NAME and not re.search(r"[|{]|copyright", line, re.IGNORECASE)
        else None
    )


if __name__ == "__main__":
    sys.stdout.write(as_markdown(dependencies(Path("constraints.txt"))))
