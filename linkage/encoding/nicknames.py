"""Nicknames: the curated table that turns Bob, Rob and Bobby into one root, robert.

The table (`linkage/code_lists/nicknames.csv`) has one root per name, so that two names share a root or do
not and no chain of nicknames joins strangers. It is part of encoding version 1.
"""

import csv
from functools import cache
from importlib import resources


@cache
def nickname_roots() -> dict[str, str]:
    """The root of every name in the table, names and roots in normal form without spaces."""
    file = resources.files("linkage") / "code_lists" / "nicknames.csv"
    rows = csv.DictReader(
        line for line in file.read_text(encoding="utf-8").splitlines() if not line.startswith("#")
    )
    return {row["name"]: row["root"] for row in rows}


def root_of(first_name: str) -> str:
    """The root of a first name (letters a to z): itself where the table has none."""
    return nickname_roots().get(first_name, first_name)
