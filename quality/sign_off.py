"""Steward sign-off: who approved what, bound to a fingerprint of the data, the model and the county file.

Sign-offs are appended to the workspace's stewardship file and never changed. An approval holds for exactly the
state that was looked at: one more delivery, decision or edited policy is another fingerprint.
"""

import contextlib
import datetime as dt
import sqlite3
from dataclasses import dataclass
from pathlib import Path

from linkage.errors import UsageError

_TABLE = """
create table if not exists sign_off (
    sign_off_id integer primary key autoincrement,
    fingerprint text not null,
    signer text not null,
    signed_at text not null
)
"""


@dataclass(frozen=True, kw_only=True)
class SignOff:
    """One steward's approval of the state with this fingerprint; `signed_at` is UTC, ISO 8601."""

    fingerprint: str
    signer: str
    signed_at: str


def record_sign_off(stewardship: Path, fingerprint: str, signer: str, signed_at: dt.datetime) -> SignOff:
    """Append an approval. Raises UsageError when the signer gives no name."""
    if not signer.strip():
        raise UsageError("A sign-off needs the steward's name: --sign-off NAME.")
    sign_off = SignOff(
        fingerprint=fingerprint, signer=signer.strip(), signed_at=signed_at.isoformat(timespec="seconds")
    )
    with contextlib.closing(sqlite3.connect(stewardship)) as file, file:
        file.execute("pragma journal_mode = wal")
        file.execute(_TABLE)
        file.execute(
            "insert into sign_off (fingerprint, signer, signed_at) values (?, ?, ?)",
            (sign_off.fingerprint, sign_off.signer, sign_off.signed_at),
        )
    stewardship.chmod(0o600)
    return sign_off


def sign_off_for(stewardship: Path, fingerprint: str) -> SignOff | None:
    """The latest approval of this state, or None."""
    if not stewardship.exists():
        return None
    with contextlib.closing(sqlite3.connect(stewardship)) as file:
        file.execute(_TABLE)
        row = file.execute(
            "select fingerprint, signer, signed_at from sign_off where fingerprint = ? order by sign_off_id desc",
            (fingerprint,),
        ).fetchone()
    return None if row is None else SignOff(fingerprint=row[0], signer=row[1], signed_at=row[2])
