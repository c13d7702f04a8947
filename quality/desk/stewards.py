"""Who may sit at the desk: tokens, issued by a command and kept as hashes.

A token has 256 random bits, so a plain SHA-256 of it cannot be guessed back; nothing here is ever changed or
deleted. A one-time token opens the desk once.
"""

import contextlib
import datetime as dt
import hashlib
import secrets
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from linkage.errors import UsageError
from linkage.stewardship import opened_stewardship

ONE_TIME_LASTS = dt.timedelta(minutes=15)
TOKEN_LASTS = dt.timedelta(days=90)

_TOKEN_BYTES = 32
_NAME_LENGTH = 80

_SCHEMA = """
create table if not exists steward_token (
    token_number integer primary key,
    steward text not null,
    token_sha256 text not null unique,
    one_time integer not null,
    issued_at text not null,
    expires_at text not null
);
create table if not exists steward_token_end (
    token_number integer primary key references steward_token,
    how text not null check (how in ('used', 'revoked')),
    ended_at text not null
);
create table if not exists steward_revocation (
    revocation_number integer primary key,
    steward text not null,
    revoked_at text not null
);
"""
_APPEND_ONLY = ("steward_token", "steward_token_end", "steward_revocation")


def issue_token(stewardship: Path, steward: str, *, now: dt.datetime, one_time: bool = False) -> str:
    """A new token for a steward; only its hash is kept. Raises UsageError for a name that is none."""
    name = steward.strip()
    if not name or len(name) > _NAME_LENGTH or not name.isprintable():
        raise UsageError(f"A steward needs a name of at most {_NAME_LENGTH} characters: --steward NAME.")
    token = secrets.token_urlsafe(_TOKEN_BYTES)
    expires_at = now + (ONE_TIME_LASTS if one_time else TOKEN_LASTS)
    with _opened(stewardship) as store:
        store.execute(
            "insert into steward_token (steward, token_sha256, one_time, issued_at, expires_at) "
            "values (?, ?, ?, ?, ?)",
            (name, _hash(token), int(one_time), _text(now), _text(expires_at)),
        )
    return token


def steward_of(stewardship: Path, token: str, *, now: dt.datetime) -> str | None:
    """Whose token it is, or None when it is unknown, expired, revoked or used up. A one-time token is used up."""
    with _opened(stewardship) as store:
        row = store.execute(
            "select token_number, steward, one_time from steward_token "
            "where token_sha256 = ? and expires_at > ? "
            "and token_number not in (select token_number from steward_token_end)",
            (_hash(token), _text(now)),
        ).fetchone()
        if row is None:
            return None
        number, steward, one_time = row
        if one_time:
            try:
                store.execute("insert into steward_token_end values (?, 'used', ?)", (number, _text(now)))
            except sqlite3.IntegrityError:
                return None
    return str(steward)


def revoke_tokens(stewardship: Path, steward: str, *, now: dt.datetime) -> int:
    """End every token of a steward, and the visits that are open; returns how many tokens were still good."""
    with _opened(stewardship) as store:
        store.execute(
            "insert into steward_revocation (steward, revoked_at) values (?, ?)",
            (steward.strip(), _text(now)),
        )
        return store.execute(
            "insert into steward_token_end select token_number, 'revoked', ? from steward_token "
            "where steward = ? and expires_at > ? "
            "and token_number not in (select token_number from steward_token_end)",
            (_text(now), steward.strip(), _text(now)),
        ).rowcount


def is_revoked_since(stewardship: Path, steward: str, began_at: dt.datetime) -> bool:
    """Whether a steward's tokens were revoked at or after a moment, to the second: a visit begun then is over."""
    with _opened(stewardship) as store:
        row = store.execute(
            "select 1 from steward_revocation where steward = ? and revoked_at >= ?",
            (steward, _text(began_at)),
        ).fetchone()
    return row is not None


@contextlib.contextmanager
def _opened(stewardship: Path) -> Iterator[sqlite3.Connection]:
    with opened_stewardship(stewardship, _SCHEMA, append_only=_APPEND_ONLY) as store:
        yield store


def _hash(token: str) -> str:
    return hashlib.sha256(token.encode()).hexdigest()


def _text(moment: dt.datetime) -> str:
    """UTC, so that texts compare as moments do."""
    return moment.astimezone(dt.UTC).isoformat(timespec="seconds")
