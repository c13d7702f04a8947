"""Who is at the desk now: sessions in this process's memory, and which case each steward has open.

A session ends after eight hours, at sign-out, or with the process. The cookie holds random bits that mean nothing
elsewhere; only their hash is kept here.
"""

import datetime as dt
import hashlib
import hmac
import secrets
import threading
from collections.abc import Callable
from dataclasses import dataclass, field

SESSION_LASTS = dt.timedelta(hours=8)
CASE_KEPT_FOR = dt.timedelta(minutes=15)

_SECRET_BYTES = 32


@dataclass(frozen=True, kw_only=True)
class Session:
    """One steward's visit; `csrf` is in every form of it."""

    steward: str
    csrf: str
    began_at: dt.datetime
    ends_at: dt.datetime

    def allows(self, csrf: str) -> bool:
        """Whether a form came from a page of this session."""
        return hmac.compare_digest(self.csrf.encode(), csrf.encode())


@dataclass
class Sessions:
    """Every visit and every open case. Safe to use from several threads."""

    clock: Callable[[], dt.datetime]
    _visits: dict[str, Session] = field(default_factory=dict)
    _open_cases: dict[str, tuple[str, dt.datetime]] = field(default_factory=dict)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def begin(self, steward: str) -> str:
        """Begin a visit; returns the cookie's value."""
        cookie = secrets.token_urlsafe(_SECRET_BYTES)
        visit = Session(
            steward=steward,
            csrf=secrets.token_urlsafe(_SECRET_BYTES),
            began_at=self.clock(),
            ends_at=self.clock() + SESSION_LASTS,
        )
        with self._lock:
            now = self.clock()
            self._visits = {key: each for key, each in self._visits.items() if each.ends_at > now}
            self._visits[_hash(cookie)] = visit
        return cookie

    def of(self, cookie: str | None) -> Session | None:
        """The visit that a cookie belongs to, or None when it is over or never was."""
        with self._lock:
            visit = self._visits.get(_hash(cookie or ""))
        return visit if visit is not None and visit.ends_at > self.clock() else None

    def end(self, cookie: str | None) -> None:
        """End a visit."""
        with self._lock:
            self._visits.pop(_hash(cookie or ""), None)

    def open_case(self, steward: str, case_id: str) -> None:
        """Keep a case for a steward for a while, so that two who work side by side see different cases."""
        with self._lock:
            self._open_cases = {
                each: (who, until) for each, (who, until) in self._open_cases.items() if who != steward
            }
            holder = self._open_cases.get(case_id)
            if holder is None or holder[1] <= self.clock():
                self._open_cases[case_id] = (steward, self.clock() + CASE_KEPT_FOR)

    def taken_by_others(self, steward: str) -> set[str]:
        """Cases that other stewards have open now."""
        with self._lock:
            return {
                case_id
                for case_id, (who, until) in self._open_cases.items()
                if who != steward and until > self.clock()
            }


def _hash(cookie: str) -> str:
    return hashlib.sha256(cookie.encode()).hexdigest()
