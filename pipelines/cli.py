"""The command line. Every command imports what it needs when it runs, so that an agency's `encode` starts fast.

Exit codes: 0 done, 1 a bug, 2 usage, 3 a delivery was refused, 4 a blocking check failed, 5 policy.
"""

import datetime as dt
import os
import sys
import traceback
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from linkage.errors import FamiliarFacesError, UsageError

if TYPE_CHECKING:
    from linkage.encoding.keys import KeyKind
    from linkage.source import Source

_FOLDER = click.Path(file_okay=False, path_type=Path)
_EXISTING_FOLDER = click.Path(exists=True, file_okay=False, path_type=Path)
_FILE = click.Path(dir_okay=False, path_type=Path)
_EXISTING_FILE = click.Path(exists=True, dir_okay=False, path_type=Path)
_INTERRUPTED = 130

_workspace_option = click.option(
    "--workspace",
    type=_FOLDER,
    required=True,
    envvar="FAMILIAR_FACES_WORKSPACE",
    help="The county's folder (or set FAMILIAR_FACES_WORKSPACE).",
)


def _declared(source: str) -> "Source":
    from linkage.source import declared_sources

    if source not in declared_sources():
        raise UsageError(f"There is no source of that name; the sources are {', '.join(declared_sources())}.")
    return declared_sources()[source]


def _example(text: str) -> str:
    return f"Example: {text}"


@click.group(context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@click.version_option(package_name="familiar-faces")
def cli() -> None:
    """Familiar Faces: link de-identified jail, shelter, EMS and hospital extracts for outreach and care.

    Agencies run keygen, encode, check and rejoin. The county's data team runs train, run, evaluate and release.
    """


@cli.command(epilog=_example("familiar-faces demo --workspace workspace/demo"))
@click.option("--workspace", type=_FOLDER, default=Path("workspace/demo"), show_default=True)
@click.option("--people", type=click.IntRange(min=200), default=20_000, show_default=True)
@click.option("--months", type=click.IntRange(min=1, max=120), default=24, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
def demo(workspace: Path, people: int, months: int, seed: int) -> None:
    """Simulate a county, encode its extracts, run the pipeline and publish a release."""
    from pipelines.demo import run_demo

    run_demo(workspace, people=people, months=months, seed=seed)


@cli.command(epilog=_example("familiar-faces simulate --people 20000 --months 24 --seed 1 --out county"))
@click.option("--people", type=click.IntRange(min=200), default=20_000, show_default=True)
@click.option("--months", type=click.IntRange(min=1, max=120), default=24, show_default=True)
@click.option("--seed", type=int, default=1, show_default=True)
@click.option(
    "--out", type=_FOLDER, required=True, help="Folder for raw/<source>/<month>/ and truth.parquet."
)
@click.option(
    "--format",
    "extract_format",
    type=click.Choice(["template", "native"]),
    default="template",
    show_default=True,
    help="native writes native/<format>/<month>/ besides, as the agencies' vendors would export it.",
)
def simulate(people: int, months: int, seed: int, out: Path, extract_format: str) -> None:
    """Write the raw extracts of a simulated county, and the truth about who is who."""
    from sample_data.county import simulate as simulate_county

    county = simulate_county(people=people, months=months, seed=seed, out=out)
    if extract_format == "native":
        from sample_data.native import write_native

        write_native(out / "raw", out / "native")
    click.echo(county.as_text())


@cli.command(epilog=_example("familiar-faces keygen project --out project.key"))
@click.argument("kind", type=click.Choice(["project", "agency"]))
@click.option("--out", type=_FILE, required=True, help="Key file to make; it is readable by you alone.")
def keygen(kind: "KeyKind", out: Path) -> None:
    """Make a new secret key: the project's (all its agencies share it) or an agency's own."""
    from linkage.encoding.keys import write_new_key

    key = write_new_key(out, kind)
    click.echo(f"{out}: new {kind} key, fingerprint {key.fingerprint}")
    if kind == "project":
        click.echo(f"Its check value, for project_key_check in county.toml: {key.key_check}")
        click.echo(
            "Hand the key to the agencies in person or by a secret store. The county must not have it."
        )
    else:
        click.echo(
            "Keep the key at your agency alone: it is what turns return files into your own client ids."
        )


_MAPPING_HELP = (
    "The format's mapping file (TOML): jail-csv needs one (which column is what), nemsis-csv and fhir-ndjson may "
    "have one (time_zone; fhir-ndjson also behavioral_health_types), hmis-csv has none."
)


@cli.command(
    epilog=_example(
        "familiar-faces encode jail --in extract/ --month 2026-03 --key project.key "
        "--agency-key jail.key --out landing/"
    )
)
@click.argument("source")
@click.option(
    "--in",
    "raw_folder",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="Folder with people and encounters, or what the native format is (a folder, a .zip).",
)
@click.option(
    "--format",
    "extract_format",
    metavar="FORMAT",
    default="template",
    show_default=True,
    help="template, or a native format: hmis-csv, jail-csv, nemsis-csv, fhir-ndjson.",
)
@click.option("--mapping", type=_EXISTING_FILE, help=_MAPPING_HELP)
@click.option("--month", required=True, help="The month delivered, as YYYY-MM.")
@click.option("--key", "key_file", type=_FILE, help="Project key file (or set FAMILIAR_FACES_KEY).")
@click.option(
    "--agency-key", "agency_key_file", type=_FILE, help="Agency key file (or FAMILIAR_FACES_AGENCY_KEY)."
)
@click.option(
    "--out", "landing", type=_FOLDER, required=True, help="Landing folder; SOURCE/MONTH is made in it."
)
@click.option(
    "--profile",
    metavar="PROFILE",
    help="standard or high, if not the county file's (without both: standard).",
)
@click.option(
    "--county", "county_file", type=_EXISTING_FILE, help="County file whose profile and code lists to use."
)
@click.option(
    "--covers-from", type=click.DateTime(["%Y-%m-%d"]), help="First day covered, if not the month's first."
)
@click.option("--problems", "problems_file", type=_FILE, help="CSV file to write: file, row, column, rule.")
@click.option(
    "--retractions",
    "retractions_file",
    type=_FILE,
    help="CSV file to write: what your system marks as deleted, pseudonymous, for the county to retract.",
)
@click.option(
    "--part-2-program", is_flag=True, help="This agency's substance-use records are 42 CFR Part 2 records."
)
def encode(
    source: str,
    raw_folder: Path,
    extract_format: str,
    mapping: Path | None,
    month: str,
    key_file: Path | None,
    agency_key_file: Path | None,
    landing: Path,
    profile: str | None,
    county_file: Path | None,
    covers_from: dt.datetime | None,
    problems_file: Path | None,
    retractions_file: Path | None,
    part_2_program: bool,
) -> None:
    """Encode one month's raw extract into a delivery. Names, birth dates and SSNs stay here."""
    from linkage.encoding.code_lists import CodeListChoice, load_code_lists
    from linkage.encoding.delivery import encode_extract
    from linkage.encoding.keys import load_key
    from linkage.encoding.profiles import STANDARD, profile_named
    from pipelines.settings import load_settings

    county = load_settings(county_file) if county_file else None
    taken = county.profile.name if county else profile or STANDARD.name
    if profile not in (None, taken):
        raise UsageError(
            f"The county takes the profile {taken}; leave --profile out, or name the county's own file."
        )
    choice = CodeListChoice(**county.code_lists) if county else None
    receipt = encode_extract(
        source=_declared(source),
        raw_folder=raw_folder,
        month=month,
        project_key=load_key("project", key_file),
        agency_key=load_key("agency", agency_key_file),
        landing=landing,
        profile=profile_named(taken),
        extract_format=extract_format,
        mapping=mapping,
        code_lists=load_code_lists(choice),
        covers_from=covers_from.date() if covers_from else None,
        part2_program=part_2_program,
    )
    if problems_file is not None:
        problems_file.write_text(receipt.problems_as_csv(), encoding="utf-8")
    if retractions_file is not None:
        retractions_file.write_text(receipt.retractions_as_csv(), encoding="utf-8")
    click.echo(receipt.as_text())


@cli.command(epilog=_example("familiar-faces check landing/jail/2026-03"))
@click.argument("delivery_folder", type=_EXISTING_FOLDER)
@click.option("--key-check", help="The project's key check value, to be sure that the right key was used.")
def check(delivery_folder: Path, key_check: str | None) -> None:
    """Say what a delivery would be refused or quarantined for."""
    from linkage.encoding.contract import check_delivery, judge, row_rules

    judged = judge(check_delivery(delivery_folder, expected_key_check=key_check))
    says = {
        rule_id: f"{rule.says}; {rule.to_do}"
        for rules in row_rules(judged.delivery.source, judged.delivery.profile).values()
        for rule_id, rule in rules.items()
    }
    profile = judged.delivery.profile
    click.echo(f"{delivery_folder} keeps the contract.")
    click.echo(f"encoding profile {profile.name}: {profile.says}")
    for stem, counts in judged.counts().items():
        click.echo(
            f"{stem}: {counts['delivered']:,} rows, {counts['accepted']:,} would be accepted, "
            f"{counts['quarantined']:,} quarantined"
        )
    for rule_id, rows in judged.broken_rule_counts().items():
        click.echo(f"  {rule_id}: {rows:,} rows: {says[rule_id]}")


@cli.command(
    epilog=_example(
        "familiar-faces rejoin jail --in returns/jail.parquet --people extract/ --agency-key jail.key "
        "--out list.csv"
    )
)
@click.argument("source")
@click.option(
    "--in", "return_file", type=_EXISTING_FILE, required=True, help="A file with pseudonymous client_ids."
)
@click.option(
    "--people",
    "raw_folder",
    type=click.Path(exists=True, path_type=Path),
    required=True,
    help="What you encoded: your raw extract or export, or a folder with one per month.",
)
@click.option(
    "--format",
    "extract_format",
    metavar="FORMAT",
    default="template",
    show_default=True,
    help="The format that you encode with.",
)
@click.option("--mapping", type=_EXISTING_FILE, help="The mapping file that you encode with, if any.")
@click.option(
    "--agency-key", "agency_key_file", type=_FILE, help="Agency key file (or FAMILIAR_FACES_AGENCY_KEY)."
)
@click.option("--out", type=_FILE, required=True, help="CSV file to write; it names your clients.")
def rejoin(
    source: str,
    return_file: Path,
    raw_folder: Path,
    extract_format: str,
    mapping: Path | None,
    agency_key_file: Path | None,
    out: Path,
) -> None:
    """Turn pseudonymous client ids back into the agency's own, at the agency."""
    from linkage.encoding.keys import load_key
    from linkage.encoding.rejoin import rejoin as rejoin_file

    rejoined = rejoin_file(
        return_file,
        raw_folder,
        load_key("agency", agency_key_file),
        source=_declared(source),
        extract_format=extract_format,
        mapping=mapping,
    )
    # The file names the agency's clients: nobody else on the machine reads it.
    out.unlink(missing_ok=True)
    out.touch(mode=0o600)
    out.write_text(rejoined.rows.write_csv(), encoding="utf-8")
    click.echo(
        f"{out}: {rejoined.rows.height:,} rows, {rejoined.unmatched:,} of them without a client of yours"
    )


@cli.command(epilog=_example("familiar-faces dagster --workspace county"))
@_workspace_option
@click.option("--port", type=click.IntRange(1, 65_535), default=3000, show_default=True)
@click.option(
    "--only", type=click.Choice(["daemon", "webserver"]), help="One of the two, under a supervisor."
)
def dagster(workspace: Path, port: int, only: str | None) -> None:
    """Open the Dagster UI on this computer, with the daemon that runs sensors and schedules."""
    from pipelines.history import write_instance_settings
    from pipelines.workspace import WORKSPACE_VARIABLE, Workspace

    opened = Workspace(workspace)
    opened.prepare()
    environment = {
        **os.environ,
        **write_instance_settings(opened),
        WORKSPACE_VARIABLE: str(opened.root),
    }
    at = ["--host", "127.0.0.1", "--port", str(port)]
    module = ["-m", "pipelines.definitions"]
    command = {
        None: ["dagster", "dev", *at, *module],
        "daemon": ["dagster-daemon", "run", *module],
        "webserver": ["dagster-webserver", *at, *module],
    }[only]
    program = Path(sys.executable).with_name(command[0])
    os.execve(program, command, environment)  # noqa: S606


@cli.command(epilog=_example("familiar-faces train --workspace county"))
@_workspace_option
def train(workspace: Path) -> None:
    """Train a new linkage model on what has been accepted, and keep it beside the older ones."""
    from pipelines.run import train_model
    from pipelines.workspace import Workspace

    click.echo(train_model(Workspace(workspace)))


@cli.command(epilog=_example("familiar-faces run --workspace county --as-of 2026-04-01"))
@_workspace_option
@click.option(
    "--as-of", type=click.DateTime(["%Y-%m-%d"]), help="Count up to this day (default: the last day covered)."
)
def run(workspace: Path, as_of: dt.datetime | None) -> None:
    """Ingest what landed, check, link, build the tables and publish a release."""
    from pipelines.run import refresh
    from pipelines.workspace import Workspace

    click.echo(refresh(Workspace(workspace), as_of=as_of.date() if as_of else None))


@cli.command(epilog=_example("familiar-faces evaluate --workspace county --truth truth.parquet"))
@_workspace_option
@click.option(
    "--truth", type=_EXISTING_FILE, required=True, help="Parquet or CSV: source, client_id, truth_id."
)
def evaluate(workspace: Path, truth: Path) -> None:
    """Measure linkage and cohorts against the truth (a simulated county's, or labelled pairs)."""
    from pipelines.evaluate import evaluate_workspace
    from pipelines.workspace import Workspace

    click.echo(evaluate_workspace(Workspace(workspace), truth))


@cli.command(
    "link-on-spark",
    epilog=_example(
        "familiar-faces link-on-spark --records hdfs:///county/source_record --model models/v1-2bdad006.json "
        "--out hdfs:///county/linked --master yarn"
    ),
)
@click.option("--records", required=True, help="The table source_record as Parquet, where Spark can read it.")
@click.option(
    "--model", "model_file", type=_EXISTING_FILE, required=True, help="A model file of the workspace."
)
@click.option("--out", required=True, help="Where Spark writes scored_pair, cluster and rejected_union.")
@click.option("--master", help="Spark's master (default: what Spark's own configuration says).")
def link_on_spark(records: str, model_file: Path, out: str, master: str | None) -> None:
    """Weigh and cluster source records on a Spark cluster, for more of them than one machine holds."""
    from linkage.spark import link_on_spark as link
    from linkage.spark import spark_session
    from linkage.training import Model

    model = Model.load(model_file)
    with spark_session(master) as spark:
        scoring, clustering = link(spark, model, records=records, out=out)
    click.echo(
        f"{out}: {scoring.records:,} source records, {scoring.scored_pairs + clustering.weighed_pairs:,} scored pairs, "
        f"{clustering.clients:,} clients in {clustering.clusters:,} clusters (model {model.version})"
    )


@cli.command(
    epilog=_example(
        "familiar-faces decide --workspace county do-not-link jail:5f1c... ems:90ab... "
        "--by 'A. Steward' --note 'both in custody on one day'"
    )
)
@_workspace_option
@click.argument("judgement", required=False, type=click.Choice(["link", "do-not-link", "withdraw"]))
@click.argument("clients", nargs=-1, metavar="SOURCE:CLIENT_ID SOURCE:CLIENT_ID")
@click.option("--by", "steward", help="Who decides.")
@click.option("--note", default="", help="Why, in a few words; nothing from a record.")
@click.option(
    "--file", "file", type=_EXISTING_FILE, help="A CSV file of decisions (docs/steward.md) instead."
)
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
    epilog=_example(
        "familiar-faces retract --workspace county --file retractions.csv --by 'A. Steward'",
    )
)
@_workspace_option
@click.argument("source", required=False)
@click.option("--client", "clients", multiple=True, help="A pseudonymous client id; may be repeated.")
@click.option(
    "--encounter", "encounters", multiple=True, help="A pseudonymous encounter id; may be repeated."
)
@click.option(
    "--file", "file", type=_EXISTING_FILE, help="A CSV file instead: source, client_id, encounter_id."
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

    Sealed, expunged, consent revoked or deleted at the source: the reason is not recorded. Ids are pseudonymous, as
    an agency's `encode --retractions` writes them. Afterwards `familiar-faces release recall` names the releases that
    held them.
    """
    from pipelines.retraction import Tombstone, read_retraction_file, record_retractions, retractions
    from pipelines.workspace import Workspace

    county = Workspace(workspace)
    county.settings()
    if list_them:
        click.echo(retractions(county).write_csv(), nl=False)
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
    recorded = record_retractions(county, tombstones, recorded_by=recorded_by or "", now=now)
    click.echo(
        f"{recorded} of {len(tombstones)} recorded, the others were there before. The next run takes them out; then "
        "run `familiar-faces release recall`."
    )


@cli.group(
    invoke_without_command=True,
    epilog=_example("familiar-faces review --workspace county --steward 'A. Steward'"),
)
@click.option("--workspace", type=_FOLDER, envvar="FAMILIAR_FACES_WORKSPACE", help="The county's folder.")
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
    "token", epilog=_example("familiar-faces review token --workspace county --steward 'A. Steward'")
)
@_workspace_option
@click.option("--steward", required=True, help="Whose token it is; the name stands beside every answer.")
def review_token(workspace: Path, steward: str) -> None:
    """Make a steward's token for the desk. It is shown once, kept as a hash only, and good for 90 days."""
    from pipelines.workspace import Workspace
    from quality.desk.stewards import issue_token

    county = Workspace(workspace)
    county.settings()
    click.echo(issue_token(county.stewardship, steward, now=dt.datetime.now(dt.UTC)))


@review.command(
    "revoke", epilog=_example("familiar-faces review revoke --workspace county --steward 'A. Steward'")
)
@_workspace_option
@click.option("--steward", required=True, help="Whose tokens end now.")
def review_revoke(workspace: Path, steward: str) -> None:
    """End every token of a steward. Restart the desk to end an open visit, too."""
    from pipelines.workspace import Workspace
    from quality.desk.stewards import revoke_tokens

    county = Workspace(workspace)
    county.settings()
    ended = revoke_tokens(county.stewardship, steward, now=dt.datetime.now(dt.UTC))
    click.echo(f"{ended} token{'' if ended == 1 else 's'} revoked.")


@cli.group(
    invoke_without_command=True,
    epilog=_example(
        "familiar-faces release --workspace county; familiar-faces release list --workspace county"
    ),
)
@click.option("--workspace", type=_FOLDER, envvar="FAMILIAR_FACES_WORKSPACE", help="The county's folder.")
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


@release.command("changes", epilog=_example("familiar-faces release changes --workspace county"))
@_workspace_option
def release_changes(workspace: Path) -> None:
    """Say how what the last run prepared differs from the current release: read it before you sign."""
    from pipelines.prepared import prepared_as_text
    from pipelines.workspace import Workspace

    county = Workspace(workspace)
    county.settings()
    click.echo(prepared_as_text(county))


@release.command("list", epilog=_example("familiar-faces release list --workspace county"))
@_workspace_option
def release_list(workspace: Path) -> None:
    """List the published releases; the current one is marked."""
    from pipelines.release import current_release, list_releases
    from pipelines.workspace import Workspace

    current = current_release(Workspace(workspace))
    for published in list_releases(Workspace(workspace)):
        mark = "*" if current is not None and published.release_id == current.release_id else " "
        click.echo(f"{mark} {published.release_id}  {published.database}")


@release.command("recall", epilog=_example("familiar-faces release recall --workspace county --delete"))
@_workspace_option
@click.option("--delete", is_flag=True, help="Delete them. Whoever has a copy must be asked to do the same.")
def release_recall(workspace: Path, delete: bool) -> None:
    """Name the releases that hold what was retracted since, and with --delete delete them."""
    from pipelines.retraction import recall, releases_to_recall
    from pipelines.workspace import Workspace

    county, today = Workspace(workspace), dt.datetime.now(dt.UTC).date()
    found = recall(county, today) if delete else releases_to_recall(county, today)
    for published in found:
        click.echo(f"{published.release_id}  {'deleted' if delete else published.database}")
    if not found:
        click.echo("No release holds what was retracted.")


@release.command("verify", epilog=_example("familiar-faces release verify --workspace county"))
@_workspace_option
def release_verify(workspace: Path) -> None:
    """Check every published release against its manifest."""
    from linkage.errors import CheckFailedError
    from pipelines.release import list_releases, verify
    from pipelines.workspace import Workspace

    problems = [problem for published in list_releases(Workspace(workspace)) for problem in verify(published)]
    if problems:
        raise CheckFailedError("\n".join(problems))
    click.echo("Every release is as it was published.")


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


if __name__ == "__main__":
    main()
