"""The command `familiar-faces` itself, and what its commands have in common."""

from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkage.errors import UsageError

if TYPE_CHECKING:
    from linkage.source import Source

FOLDER = click.Path(file_okay=False, path_type=Path)
EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
FILE = click.Path(dir_okay=False, path_type=Path)
EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)

workspace_option = click.option(
    "--workspace",
    type=FOLDER,
    required=True,
    envvar="FAMILIAR_FACES_WORKSPACE",
    help="The county's folder (or set FAMILIAR_FACES_WORKSPACE).",
)


def declared_source(source: str) -> "Source":
    """The declared source of that name; UsageError with the names that there are."""
    from linkage.source import declared_sources

    if source not in declared_sources():
        raise UsageError(f"There is no source of that name; the sources are {', '.join(declared_sources())}.")
    return declared_sources()[source]


def example(text: str) -> str:
    """What stands below a command's help."""
    return f"Example: {text}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="familiar-faces")
def cli() -> None:
    """Familiar Faces: link de-identified jail, shelter, EMS and hospital extracts for outreach and care.

    Agencies run keygen, encode, check and rejoin. The county's data team runs train, run, evaluate and release.
    """
