"""The command line. Every command imports what it needs when it runs, so that an agency's `encode` starts fast.

Exit codes: 0 done, 1 a bug, 2 usage, 3 a delivery was refused, 4 a blocking check failed, 5 policy.
"""

import os
import sys
import traceback
from pathlib import Path
from typing import Any

import click

from linkage.errors import FamiliarFacesError, UsageError
from pipelines.cli import agency, county, releases, sample, stewards
from pipelines.cli.root import cli

COMMANDS = (agency, county, releases, sample, stewards)
"""Modules whose commands are there because they were imported."""

__all__ = ["COMMANDS", "cli", "main"]

_INTERRUPTED = 130


def main(arguments: list[str] | None = None) -> None:
    """Run the command line and exit with a code that means something."""
    # Everything that this program writes is private to its user unless a release says otherwise.
    os.umask(0o077)
    sys.exit(_exit_code(arguments))


def _exit_code(arguments: list[str] | None) -> int:
    try:
        cli.main(args=arguments, prog_name="familiar-faces", standalone_mode=False)
    except FamiliarFacesError as error:
        click.echo(f"familiar-faces: {error}", err=True)
        return error.exit_code
    except click.exceptions.Exit as error:
        return error.exit_code
    except click.ClickException as error:
        error.show()
        return UsageError.exit_code
    except (click.Abort, KeyboardInterrupt):
        click.echo("familiar-faces: interrupted; nothing half-done was kept.", err=True)
        return _INTERRUPTED
    except OSError as error:
        if error.filename is None:
            click.echo(_bug_report(error), err=True)
            return FamiliarFacesError.exit_code
        click.echo(
            f"familiar-faces: {error.filename}: {error.strerror}. Name another place, or free this one.",
            err=True,
        )
        return UsageError.exit_code
    except Exception as error:
        click.echo(_bug_report(error), err=True)
        return FamiliarFacesError.exit_code
    return 0


def _bug_report(error: BaseException) -> str:
    """Where a bug struck, without the exception's message: a library's message may quote a value."""
    places: list[Any] = traceback.extract_tb(error.__traceback__)
    trail = " > ".join(f"{Path(place.filename).name}:{place.lineno}" for place in places[-6:])
    return (
        f"familiar-faces: a bug ({type(error).__name__}) at {trail}. Its message is withheld because it may quote a "
        "record. Nothing that was released has changed; please report this line."
    )
