"""The command line as a user meets it."""

import contextlib
import io
import os
import subprocess
import sys
from dataclasses import dataclass

import pytest

from pipelines.cli import main


@dataclass(frozen=True)
class Finished:
    """How a command ended and what it said."""

    code: int
    out: str
    err: str

    @property
    def complaint(self) -> str:
        """The one line that says what went wrong; fails when there is none, more than one, or a traceback."""
        assert "Traceback" not in self.err
        lines = [line for line in self.err.splitlines() if line.startswith("familiar-faces:")]
        assert len(lines) == 1, self.err
        return lines[0].removeprefix("familiar-faces: ")


def familiar_faces(*arguments: object) -> Finished:
    """Run a command in this process."""
    out, err = io.StringIO(), io.StringIO()
    umask = os.umask(0o077)
    try:
        with (
            contextlib.redirect_stdout(out),
            contextlib.redirect_stderr(err),
            pytest.raises(SystemExit) as ended,
        ):
            main([str(argument) for argument in arguments])
    finally:
        os.umask(umask)
    return Finished(int(ended.value.code or 0), out.getvalue(), err.getvalue())


def start(*arguments: object) -> subprocess.Popen[str]:
    """Start a command in a process of its own."""
    listed = [str(argument) for argument in arguments]
    program = f"from pipelines.cli import main\nmain({listed!r})"
    return subprocess.Popen(
        [sys.executable, "-c", program], stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True
    )
