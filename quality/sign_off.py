"""Steward sign-off: who approved or refused what, bound to a fingerprint of the data, the model and the county file.

Sign-offs are appended to the workspace's stewardship file and never changed; the last one on a state counts. It
holds for exactly the state that was looked at: one more delivery, decision or edited policy is another fingerprint.
"""

import contextlib
import datetime as dt
import sqlite3
from collections.abc import Iterator
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path

from linkage.errors import UsageError
from linkage.stewardship import opened_stewardship

_SCHEMA = """
create table if not exists sign_off (
    sign_off_id integer primary key autoincrement,
    fingerprint text not null,
    signer text not null,
    signed_at text not null,
    verdict text not null default 'approved',
    reason text not null default ''
);
"""
_COLUMNS = "fingerprint, signer, signed_at, verdict, reason"


class Verdict(StrEnum):
    """What a steward says of a prepared release."""

    APPROVED = "approved"
    """The county may rely on it."""

    REFUSED = "refused"
    """It must not become current, whether the county asks for sign-offs or not."""


@dataclass(frozen=True, kw_only=True)
class SignOff:
    """One steward's verdict on the state with this fingerprint; `signed_at` is UTC, ISO 8601."""

    fingerprint: str
    signer: str
    signed_at: str
    verdict: Verdict
    reason: str

    def good_until(self, days: int) -> dt.datetime:
        """When an approval that is good for so many days ends."""
        return dt.datetime.fromisoformat(self.signed_at) + dt.timedelta(days=days)


def record_sign_off(
    stewardship: Path,
    fingerprint: str,
    signer: str,
    signed_at: dt.datetime,
    *,
    verdict: Verdict = Verdict.APPROVED,
    reason: str = "",
) -> SignOff:
    """Append a verdict. Raises UsageError when the signer gives no name, or a refusal no reason."""
    if not signer.strip():
        raise UsageError("A sign-off needs the steward's name: --sign-off NAME.")
    if verdict == Verdict.REFUSED and not reason.strip():
        raise UsageError("A refusal needs a reason, so that somebody can act on it. Nothing was recorded.")
    sign_off = SignOff(
        fingerprint=fingerprint,
        signer=signer.strip(),
        signed_at=signed_at.astimezone(dt.UTC).isoformat(timespec="seconds"),
        verdict=verdict,
        reason=reason.strip(),
    )
    with _opened(stewardship) as file, file:
        file.execute(
            f"insert into sign_off ({_COLUMNS}) values (?, ?, ?, ?, ?)",
            (sign_off.fingerprint, sign_off.signer, sign_off.signed_at, verdict.value, sign_off.reason),
        )
    return sign_off


def sign_off_for(stewardship: Path, fingerprint: str) -> SignOff | None:
    """The last verdict on this state, or None."""
    signed = [sign_off for sign_off in sign_offs(stewardship) if sign_off.fingerprint == fingerprint]
    return signed[-1] if signed else None


def sign_offs(stewardship: Path) -> list[SignOff]:
    """Every verdict, in order."""
    if not stewardship.exists():
        return []
    with _opened(stewardship) as file:
        rows = file.execute(f"select {_COLUMNS} from sign_off order by sign_off_id").fetchall()
    return [
        SignOff(fingerprint=row[0], signer=row[1], signed_at=row[2], verdict=Verdict(row[3]), reason=row[4])
        for row in rows
    ]


@contextlib.contextmanager
def _opened(stewardship: Path) -> Iterator[sqlite3.Connection]:
    with opened_stewardship(stewardship, _SCHEMA, append_only=("sign_off",)) as store:
        known = {row[1] for row in store.execute("pragma table_info(sign_off)")}
        for column, default in (("verdict", "approved"), ("reason", "")):
            if column not in known:
                store.execute(f"alter table sign_off add column {column} text not null default '{default}'")
        yield store
