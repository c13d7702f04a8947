"""Progress of long work: a bar on a terminal, plain lines in a log.

Texts name the step and counts, never a value from a record.
"""

import sys
import time
from collections.abc import Iterable, Iterator, Sized
from contextlib import contextmanager
from typing import TypeVar

from tqdm import tqdm

T = TypeVar("T")

_LOG_EVERY_SECONDS = 10.0


def say(text: str) -> None:
    """Print one line of progress to standard error."""
    tqdm.write(text, file=sys.stderr)


def track(items: Iterable[T], what: str, total: int | None = None) -> Iterator[T]:
    """Yield `items`, showing how many are done: a bar on a terminal, a line every ten seconds in a log."""
    if total is None and isinstance(items, Sized):
        total = len(items)
    if sys.stderr.isatty():
        yield from tqdm(items, desc=what, total=total, leave=False, file=sys.stderr)
        return
    of_total = "" if total is None else f" of {total:,}"
    last = time.monotonic()
    for done, item in enumerate(items):
        if time.monotonic() - last >= _LOG_EVERY_SECONDS:
            say(f"{what}: {done:,}{of_total}")
            last = time.monotonic()
        yield item


@contextmanager
def step(what: str) -> Iterator[None]:
    """Announce one step of work and, when it is done, how many seconds it took.

    On a terminal the second line takes the place of the first.
    """
    if sys.stderr.isatty():
        sys.stderr.write(f"{what} ...\r")
        sys.stderr.flush()
    else:
        say(f"{what} ...")
    started = time.monotonic()
    yield
    say(f"{what}: {time.monotonic() - started:.1f} s")
