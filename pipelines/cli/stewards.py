"""Commands of stewards: decide, retract, review, access-log."""

import datetime as dt
from pathlib import Path

import click

from linkage.errors import UsageError
from pipelines.cli.root import EXISTING_FILE, FOLDER, cli, example, workspace_option


@cli.command(
    epilog=example(
        "familiar-faces decide --workspace county do-not-link jail:5f1c... ems:90ab... "
        "--by 'A. Steward' --note 'both in custody on one day'"
    )
)
@workspace_option
@click.argument("judgement", required=False, type=click.Choice(["link", "do-not-link", "withdraw"]))
@click.argument("clients", nargs=-1, metavar="SOURCE:CLIENT_ID SOURCE:CLIENT_ID")
@click.option("--by", "steward", help="Who decides.")
@click.option("--note", default="", help="Why, in a few words; nothing from a record.")
@click.option("--file", "file", type=EXISTING_FILE, help="A CSV file of decisions (docs/steward.md) instead.")
@click.option("--list", "list_them", is_flag=True, help="Print the decisions that hold, as CSV.")
@click.option("--history", is_flag=True, help="Print every decision ever recorded, as CSV.")
def decide(
    workspace: Path,
    judgement: str | None,
    clients: tuple[str, ...],
    steward: str | None,
    note: str,
    file: Path | None,
    list_them: bool,
    history: bool,
) -> None:
    """Record that two clients are, or are not, one person; or withdraw what was recorded.

    The next run keeps to it, and so does every later one, whatever the records say. Ids are pseudonymous, as in
    the release's person_crosswalk.
    """
    from pipelines.decide import listed, read_statements, record, statement
    from pipelines.workspace import Workspace

    asked = sum([judgement is not None, file is not None, list_them, history])
    if asked != 1:
        raise UsageError("Say one thing: a judgement and two clients, or --file, --list or --history.")
    county = Workspace(workspace)
    county.settings()
    if list_them or history:
        click.echo(listed(county, all_of_them=history).write_csv(), nl=False)
        return
    if not steward:
        raise UsageError("A decision needs the name of the steward who makes it: --by NAME.")
    if file is not None:
        statements = read_statements(file)
    elif judgement is None or len(clients) != 2:
        raise UsageError("A decision needs two clients, each written SOURCE:CLIENT_ID.")
    else:
        statements = [statement(judgement, clients[0], clients[1], note)]
    recorded = record(county, statements, steward=steward)
    click.echo(f"{recorded} recorded in {county.stewardship}; the next run keeps to it.")


@cli.command(
    epilog=example(
        "familiar-faces retract --workspace county --file retractions.csv --by 'A. Steward'",
    )
)
@workspace_option
@click.argument("source", required=False)
@click.option("--client", "clients", multiple=True, help="A pseudonymous client id; may be repeated.")
@click.option(
    "--encounter", "encounters", multiple=True, help="A pseudonymous encounter id; may be repeated."
)
@click.option(
    "--file", "file", type=EXISTING_FILE, help="A CSV file instead: source, client_id, encounter_id."
)
@click.option("--by", "recorded_by", help="Who records it.")
@click.option(
    "--effective", type=click.DateTime(["%Y-%m-%d"]), help="The day from which it holds (default: today)."
)
@click.option("--list", "list_them", is_flag=True, help="Print every retraction, as CSV.")
def retract(
    workspace: Path,
    source: str | None,
    clients: tuple[str, ...],
    encounters: tuple[str, ...],
    file: Path | None,
    recorded_by: str | None,
    effective: dt.datetime | None,
    list_them: bool,
) -> None:
    """Record clients or encounters that must no longer be anywhere; the next run takes them out.

    Sealed, expunged, consent revoked: the reason is not recorded. Ids are pseudonymous, as deliveries have them; what
    an agency takes back itself comes with its delivery. Afterwards `familiar-faces release recall` names the releases
    that held them.
    """
    from linkage.tombstones import Tombstone, every_tombstone, read_retraction_file, record_tombstones
    from pipelines.workspace import Workspace
    from quality.access_log import account, log_access

    county = Workspace(workspace)
    county.settings()
    if list_them:
        click.echo(every_tombstone(county.stewardship).write_csv(), nl=False)
        return
    now = dt.datetime.now(dt.UTC)
    effective_on = effective.date() if effective else now.date()
    if (file is None) == (source is None) or (source and not clients and not encounters):
        raise UsageError("Name a source and its --client or --encounter ids, or a --file, or --list.")
    if file is not None:
        tombstones = read_retraction_file(file, effective_on)
    else:
        assert source is not None
        tombstones = [
            *(Tombstone(source=source, client_id=each, effective_on=effective_on) for each in clients),
            *(Tombstone(source=source, encounter_id=each, effective_on=effective_on) for each in encounters),
        ]
    recorded = record_tombstones(county.stewardship, tombstones, recorded_by=recorded_by or "", now=now)
    log_access(county.stewardship, account(), "record retractions", now=now)
    click.echo(
        f"{recorded} of {len(tombstones)} recorded, the others were there before. The next run takes them out; then "
        "run `familiar-faces release recall`."
    )


@cli.group(
    invoke_without_command=True,
    epilog=example("familiar-faces review --workspace county --steward 'A. Steward'"),
)
@click.option("--workspace", type=FOLDER, envvar="FAMILIAR_FACES_WORKSPACE", help="The county's folder.")
@click.option(
    "--port", type=click.IntRange(0, 65535), default=8765, show_default=True, help="0 takes a free one."
)
@click.option(
    "--host", default="127.0.0.1", show_default=True, help="Another address opens it to other machines."
)
@click.option("--steward", help="Print an address that opens the desk once, for this steward.")
@click.option("--show-scores", is_flag=True, help="Show match weights before the steward has answered.")
@click.pass_context
def review(
    context: click.Context,
    workspace: Path | None,
    port: int,
    host: str,
    steward: str | None,
    show_scores: bool,
) -> None:
    """Open the stewards' desk for uncertain links in a browser; it works while a run is under way."""
    if context.invoked_subcommand is not None:
        return
    if workspace is None:
        raise UsageError("No workspace: pass --workspace or set FAMILIAR_FACES_WORKSPACE.")
    from pipelines.desk import serve_desk
    from pipelines.workspace import Workspace

    serve_desk(Workspace(workspace), host=host, port=port, steward=steward, blind=not show_scores)


@review.command(
    "token", epilog=example("familiar-faces review token --workspace county --steward 'A. Steward'")
)
@workspace_option
@click.option("--steward", required=True, help="Whose token it is; the name stands beside every answer.")
def review_token(workspace: Path, steward: str) -> None:
    """Make a steward's token for the desk. It is shown once, kept as a hash only, and good for 90 days."""
    from pipelines.workspace import Workspace
    from quality.desk.stewards import issue_token

    county = Workspace(workspace)
    county.settings()
    click.echo(issue_token(county.stewardship, steward, now=dt.datetime.now(dt.UTC)))


@review.command(
    "revoke", epilog=example("familiar-faces review revoke --workspace county --steward 'A. Steward'")
)
@workspace_option
@click.option("--steward", required=True, help="Whose tokens end now.")
def review_revoke(workspace: Path, steward: str) -> None:
    """End every token of a steward. Restart the desk to end an open visit, too."""
    from pipelines.workspace import Workspace
    from quality.desk.stewards import revoke_tokens

    county = Workspace(workspace)
    county.settings()
    ended = revoke_tokens(county.stewardship, steward, now=dt.datetime.now(dt.UTC))
    click.echo(f"{ended} token{'' if ended == 1 else 's'} revoked.")


@cli.command("access-log", epilog=example("familiar-faces access-log --workspace county --since 2026-03-01"))
@workspace_option
@click.option("--since", type=click.DateTime(["%Y-%m-%d"]), help="Only from this day on.")
def access_log(workspace: Path, since: dt.datetime | None) -> None:
    """Print, as CSV, who looked at what at the desk, and who signed, published, verified or recalled a release."""
    from pipelines.workspace import Workspace
    from quality.access_log import accesses

    county = Workspace(workspace)
    county.settings()
    click.echo(accesses(county.stewardship, since=since.date() if since else None).write_csv(), nl=False)
