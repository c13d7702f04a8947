"""How one county runs the pipeline: when the month is refreshed, when a delivery is late, who is told.

It stands in `operations.toml` beside the county file and not in it: the county file is what a steward signs, and
its SHA-256 is part of every release; who gets a mail is neither. Without the file the defaults below hold.
"""

import tomllib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, get_args

from dagster._utils.schedules import is_valid_cron_string

from linkage.errors import UsageError
from linkage.source import declared_sources

OPERATIONS_FILE = "operations.toml"

When = Literal["failure", "always", "never"]


@dataclass(frozen=True, kw_only=True)
class Operations:
    """One validated `operations.toml`.

    `refresh_cron` is the monthly refresh in the county's time zone. `late_after_days` says, by source, how many days
    after the last day covered the next delivery counts as late. `tell` says after which runs `command` gets the
    run's summary on standard input and `webhook` gets it as JSON.
    """

    refresh_cron: str = "0 3 12 * *"
    late_after_days: Mapping[str, int] = field(default_factory=dict)
    tell: When = "failure"
    command: tuple[str, ...] = ()
    webhook: str | None = None

    def late_after(self, source: str) -> int:
        """Days after the last day covered from which `source` is late; 45 where nothing is said."""
        return self.late_after_days.get(source, _LATE_AFTER_DAYS)


_LATE_AFTER_DAYS = 45
_KEYS = {"refresh": {"cron"}, "late_after_days": None, "notify": {"after", "command", "webhook"}}


def load_operations(workspace_root: Path) -> Operations:
    """Read `operations.toml` of a workspace; the defaults where there is none.

    Raises UsageError for a file that cannot be read, and for a key that is unknown or out of range.
    """
    path = workspace_root / OPERATIONS_FILE
    if not path.is_file():
        return Operations()
    try:
        declared = tomllib.loads(path.read_text(encoding="utf-8"))
    except (OSError, tomllib.TOMLDecodeError, UnicodeDecodeError):
        raise UsageError(
            f"{path} cannot be read as TOML. Compare it with sample_data/operations.toml."
        ) from None
    known = _KEYS | {"late_after_days": set(declared_sources())}
    for section, table in declared.items():
        _require(section in known, path, f"[{section}]", f"no such section; they are {', '.join(known)}")
        _require(isinstance(table, dict), path, f"[{section}]", "expected a table of keys")
        for key in table:
            allowed = known[section] or set()
            _require(
                key in allowed, path, f"[{section}]", f"unknown key; they are {', '.join(sorted(allowed))}"
            )
    defaults = Operations()
    cron = declared.get("refresh", {}).get("cron", defaults.refresh_cron)
    _require(
        isinstance(cron, str) and is_valid_cron_string(cron),
        path,
        "[refresh] cron",
        "expected a cron expression",
    )
    days = declared.get("late_after_days", {})
    for source, number in days.items():
        _require(_is_days(number), path, f"[late_after_days] {source}", "expected a whole number of days")
    return Operations(refresh_cron=cron, late_after_days=days, **_notify(path, declared.get("notify", {})))


def _notify(path: Path, table: Mapping[str, Any]) -> dict[str, Any]:
    where = "[notify]"
    after, command, webhook = table.get("after", "failure"), table.get("command", []), table.get("webhook")
    _require(after in get_args(When), path, f"{where} after", f"expected one of {', '.join(get_args(When))}")
    _require(
        isinstance(command, list) and all(isinstance(part, str) for part in command),
        path,
        f"{where} command",
        "expected a list of texts: the program and its arguments",
    )
    _require(
        webhook is None or (isinstance(webhook, str) and webhook.startswith(("http://", "https://"))),
        path,
        f"{where} webhook",
        "expected an http or https address",
    )
    return {"tell": after, "command": tuple(command), "webhook": webhook}


def _is_days(number: Any) -> bool:
    return isinstance(number, int) and not isinstance(number, bool) and number >= 1


def _require(holds: bool, path: Path, where: str, expected: str) -> None:
    if not holds:
        raise UsageError(f"{path}, {where}: {expected}.")
