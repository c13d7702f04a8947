"""Commands that an agency runs: keygen, encode, check, rejoin."""

import datetime as dt
from pathlib import Path
from typing import TYPE_CHECKING

import click

from linkage.errors import UsageError
from pipelines.cli.root import EXISTING_FILE, EXISTING_FOLDER, FILE, FOLDER, cli, declared_source, example

if TYPE_CHECKING:
    from linkage.encoding.keys import KeyKind


@cli.command(epilog=example("familiar-faces keygen project --out project.key"))
@click.argument("kind", type=click.Choice(["project", "agency"]))
@click.option("--out", type=FILE, required=True, help="Key file to make; it is readable by you alone.")
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
    epilog=example(
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
@click.option("--mapping", type=EXISTING_FILE, help=_MAPPING_HELP)
@click.option("--month", required=True, help="The month delivered, as YYYY-MM.")
@click.option("--key", "key_file", type=FILE, help="Project key file (or set FAMILIAR_FACES_KEY).")
@click.option(
    "--agency-key", "agency_key_file", type=FILE, help="Agency key file (or FAMILIAR_FACES_AGENCY_KEY)."
)
@click.option(
    "--out", "landing", type=FOLDER, required=True, help="Landing folder; SOURCE/MONTH is made in it."
)
@click.option(
    "--profile",
    metavar="PROFILE",
    help="standard or high, if not the county file's (without both: standard).",
)
@click.option(
    "--county", "county_file", type=EXISTING_FILE, help="County file whose profile and code lists to use."
)
@click.option(
    "--covers-from", type=click.DateTime(["%Y-%m-%d"]), help="First day covered, if not the month's first."
)
@click.option("--problems", "problems_file", type=FILE, help="CSV file to write: file, row, column, rule.")
@click.option(
    "--retracted",
    "retracted_file",
    type=EXISTING_FILE,
    help="CSV file of what you take back (client_id, encounter_id: your own ids, one of them in each line).",
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
    retracted_file: Path | None,
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
        source=declared_source(source),
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
        retracted_file=retracted_file,
    )
    if problems_file is not None:
        problems_file.write_text(receipt.problems_as_csv(), encoding="utf-8")
    click.echo(receipt.as_text())


@cli.command(epilog=example("familiar-faces check landing/jail/2026-03"))
@click.argument("delivery_folder", type=EXISTING_FOLDER)
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
    epilog=example(
        "familiar-faces rejoin jail --in returns/jail.parquet --people extract/ --agency-key jail.key "
        "--out list.csv"
    )
)
@click.argument("source")
@click.option(
    "--in", "return_file", type=EXISTING_FILE, required=True, help="A file with pseudonymous client_ids."
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
@click.option("--mapping", type=EXISTING_FILE, help="The mapping file that you encode with, if any.")
@click.option(
    "--agency-key", "agency_key_file", type=FILE, help="Agency key file (or FAMILIAR_FACES_AGENCY_KEY)."
)
@click.option("--out", type=FILE, required=True, help="CSV file to write; it names your clients.")
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
        source=declared_source(source),
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
