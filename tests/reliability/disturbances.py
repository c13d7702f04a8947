"""What happens to a run from outside: a disk that fills up, a clock that jumps. Each works in the process it is in."""

import ctypes
import datetime as dt
import itertools
import os
import shutil
import sys
import time
import types
from pathlib import Path

from tests.reliability.trial import run_here

_NEW_MOUNTS, _NEW_USER, _PRIVATE, _RECURSIVE = 0x00020000, 0x10000000, 1 << 18, 1 << 14
_JUMPS = (
    dt.timedelta(0),
    dt.timedelta(days=40),
    dt.timedelta(days=-9),
    dt.timedelta(hours=-1),
    dt.timedelta(days=400),
)


def own_small_disk(place, size):
    """Put a RAM disk of `size` bytes at `place`, seen by this process and its children alone.

    Raises OSError where the system does not allow it.
    """
    libc = ctypes.CDLL(None, use_errno=True)

    def call(function, *arguments):
        if getattr(libc, function)(*arguments) != 0:
            raise OSError(ctypes.get_errno(), function)

    call("unshare", _NEW_MOUNTS if os.geteuid() == 0 else _NEW_MOUNTS | _NEW_USER)
    call("mount", b"none", b"/", None, ctypes.c_ulong(_PRIVATE | _RECURSIVE), None)
    call("mount", b"tmpfs", os.fsencode(place), b"tmpfs", ctypes.c_ulong(0), f"size={size}".encode())


def run_on_a_full_disk(root, out, size, rooms, answer):
    """Run the workspace at `root` on a disk of its own with so many bytes of room, for each of `rooms`, and then with
    room enough; copy what came of it to `out`.

    Sends (exit code, what was said, the link `current`) of every run through `answer`, or the error of the system that
    allows no such disk.
    """
    disk = out.parent / "disk"
    disk.mkdir()
    try:
        own_small_disk(disk, size)
    except OSError as error:
        answer.send(error)
        return
    shutil.copytree(root, disk / "county", symlinks=True)
    filler = disk / "filler"
    for room in (*rooms, None):
        filler.unlink(missing_ok=True)
        if room is not None:
            free = os.statvfs(disk).f_bavail * os.statvfs(disk).f_bsize
            with filler.open("wb") as file:
                os.posix_fallocate(file.fileno(), 0, max(free - room, 1))
        answer.send(_run_and_tell(disk / "county", out.parent / "said"))
    shutil.copytree(disk / "county", out, symlinks=True)


def _run_and_tell(root, said_file):
    code = run_here(("run", "--workspace", str(root)), str(said_file))
    return code, Path(said_file).read_text(errors="replace"), str((root / "releases" / "current").readlink())


def jump_clock():
    """Let every look at the clock, by our modules and by Dagster's, be off by another amount, forwards or backwards."""
    jumps = itertools.cycle(_JUMPS)
    real_time = time.time
    time.time = lambda: real_time() + next(jumps).total_seconds()

    class Jumping(dt.datetime):
        @classmethod
        def now(cls, tz=None):
            return dt.datetime.now(tz) + next(jumps)

    clock = types.ModuleType("datetime")
    clock.__dict__.update({**vars(dt), "datetime": Jumping})
    for name, module in list(sys.modules.items()):
        if (
            name.partition(".")[0] in ("pipelines", "quality", "linkage")
            and getattr(module, "dt", None) is dt
        ):
            module.dt = clock
