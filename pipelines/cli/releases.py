"""The command release and what is under it."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkage.errors import UsageError
from pipelines.cli.root import FOLDER, cli, example, workspace_option

if TYPE_CHECKING:
    from pipelines.workspace import Workspace


@cli.group(
    invoke_without_command=True,
    epilog=example(
        "familiar-faces release --workspace county; familiar-faces release list --workspace county"
    ),
)
@click.option("--workspace", type=FOLDER, envvar="FAMILIAR_FACES_WORKSPACE", help="The county's folder.")
@click.option("--sign-off", "signer", help="Your name: you have read the checks and approve this release.")
@click.option("--refuse", "refuser", help="Your name: this must not be released; give a --reason.")
@click.option("--reason", default="", help="Why you approve or refuse, in a few words.")
@click.pass_context
def release(
    context: click.Context, workspace: Path | None, signer: str | None, refuser: str | None, reason: str
) -> None:
    """Publish what the last run prepared, or look at what was published."""
    if context.invoked_subcommand is not None:
        return
    if workspace is None:
        raise UsageError("No workspace: pass --workspace or set FAMILIAR_FACES_WORKSPACE.")
    if signer is not None and refuser is not None:
        raise UsageError("Either approve with --sign-off or refuse with --refuse, not both.")
    from pipelines.run import refuse_prepared, release_prepared
    from pipelines.workspace import Workspace

    if refuser is not None:
        click.echo(refuse_prepared(Workspace(workspace), signer=refuser, reason=reason))
    else:
        click.echo(release_prepared(Workspace(workspace), signer=signer, reason=reason))


@release.command("changes", epilog=example("familiar-faces release changes --workspace county"))
@workspace_option
def release_changes(workspace: Path) -> None:
    """Say how what the last run prepared differs from the current release: read it before you sign."""
    from pipelines.releases.prepared import prepared_as_text
    from pipelines.workspace import Workspace

    county = Workspace(workspace)
    county.settings()
    _log(county, "look at what would be released")
    click.echo(prepared_as_text(county))


@release.command("list", epilog=example("familiar-faces release list --workspace county"))
@workspace_option
def release_list(workspace: Path) -> None:
    """List the published releases; the current one is marked."""
    from pipelines.releases.release import current_release, list_releases
    from pipelines.workspace import Workspace

    county = Workspace(workspace)
    county.settings()
    current = current_release(county)
    for published in list_releases(county):
        mark = "*" if current is not None and published.release_id == current.release_id else " "
        click.echo(f"{mark} {published.release_id}  {published.database}")


@release.command("recall", epilog=example("familiar-faces release recall --workspace county --delete"))
@workspace_option
@click.option("--delete", is_flag=True, help="Delete them. Whoever has a copy must be asked to do the same.")
def release_recall(workspace: Path, delete: bool) -> None:
    """Name the releases that hold what was retracted since, and with --delete delete them."""
    from pipelines.retraction import recall, releases_to_recall
    from pipelines.workspace import Workspace

    county, today = Workspace(workspace), dt.datetime.now(dt.UTC).date()
    found = recall(county, today) if delete else releases_to_recall(county, today)
    for published in found:
        if delete:
            _log(county, "delete a recalled release", published.release_id)
        click.echo(f"{published.release_id}  {'deleted' if delete else published.database}")
    if not found:
        click.echo("No release holds what was retracted.")


@release.command("verify", epilog=example("familiar-faces release verify --workspace county"))
@workspace_option
def release_verify(workspace: Path) -> None:
    """Check every published release against its manifest."""
    from linkage.errors import CheckFailedError
    from pipelines.releases.release import list_releases, verify
    from pipelines.workspace import Workspace

    county = Workspace(workspace)
    county.settings()
    _log(county, "verify releases")
    problems = [problem for published in list_releases(county) for problem in verify(published)]
    if problems:
        raise CheckFailedError("\n".join(problems))
    click.echo("Every release is as it was published.")


def _log(county: "Workspace", what: str, about: str | None = None) -> None:
    from quality.access_log import account, log_access

    log_access(county.stewardship, account(), what, now=dt.datetime.now(dt.UTC), about=about)
