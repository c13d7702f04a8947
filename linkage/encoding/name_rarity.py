"""How common a name is, in three steps, from a shipped table.

The table (`linkage/code_lists/name_rarity.toml`) is the same at every agency and in every month, so one name
always has one step. Counting within a delivery would suit the county better, but a small agency's month
calls every name common, and what a row becomes would hang on the other rows.
"""

import tomllib
from functools import cache
from importlib import resources
from typing import Literal


@cache
def _steps(kind: Literal["first_names", "last_names"]) -> dict[str, str]:
    file = resources.files("linkage") / "code_lists" / "name_rarity.toml"
    listed = tomllib.loads(file.read_text(encoding="utf-8"))[kind]
    return {name: step for step, names in listed.items() for name in names.split()}


def first_name_rarity(name: str) -> str:
    """common, fairly_common or rare, for a first name in normal form without spaces."""
    return _steps("first_names").get(name, "rare")


def last_name_rarity(name: str) -> str:
    """common, fairly_common or rare, for a last name in normal form without spaces."""
    return _steps("last_names").get(name, "rare")
