"""Definitions that others published, by name: `presets.toml`."""

import tomllib
from collections.abc import Sequence
from functools import cache
from importlib import resources
from typing import Any

from linkage.errors import UsageError
from pipelines.cohorts.definitions import CohortDefinition
from pipelines.cohorts.written import parse_cohorts


def preset_cohorts(names: Sequence[str], *, owner: str, where: str) -> tuple[CohortDefinition, ...]:
    """The presets of these names, with the owner that the county gives them.

    Raises UsageError for a name that there is not, and for a definition that needs what no source records.
    """
    presets = shipped_presets()
    for name in names:
        if name not in presets:
            raise UsageError(f"{where}: {name!r} is no preset; there are {', '.join(presets)}.")
        if "needs" in presets[name]:
            raise UsageError(
                f"{where}: the preset {name} needs {presets[name]['needs']}; leave it out, or define a cohort of "
                "your own under [[cohorts]] that says what it leaves out."
            )
    return parse_cohorts([{**presets[name], "owner": owner} for name in names], where=where)


@cache
def shipped_presets() -> dict[str, dict[str, Any]]:
    """Every preset as written, by name: name, label, says, source, and rule or what it needs."""
    text = (resources.files("pipelines.cohorts") / "presets.toml").read_text(encoding="utf-8")
    return {preset["name"]: preset for preset in tomllib.loads(text)["presets"]}
