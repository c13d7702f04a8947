"""The contract of a delivery: what it is refused for whole, and what one of its rows is quarantined for.

`check_delivery` refuses: a wrong manifest, checksum, key check or schema, and anything that looks like
identity in the clear. `judge` takes a delivery that passed and gives each row the rules it breaks; accepted
rows break none, so delivered = accepted + quarantined. An agency runs both before it sends, the county runs
both at its door.
"""

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from hashlib import file_digest
from pathlib import Path

import polars as pl

from linkage.encoding import clear_identity
from linkage.encoding.columns import (
    CONTRACT_VERSION,
    ENCODING_VERSION,
    ENCOUNTERS_FILE,
    MANIFEST_FILE,
    PEOPLE_FILE,
    RACES_AND_ETHNICITIES,
    RETRACTED_FILE,
    SEXES,
    SSN_QUALITIES,
    PolarsType,
    birth_years_shown,
    delivered_encounter_columns,
)
from linkage.encoding.filters import FILTER_BYTES
from linkage.encoding.manifest import Manifest, read_manifest
from linkage.encoding.months import is_month, month_window
from linkage.encoding.profiles import HIGH, PROFILES, STANDARD, Profile
from linkage.encoding.retracted import Retractions, read_retracted
from linkage.errors import DeliveryRefusedError
from linkage.source import Source, declared_sources


@dataclass(frozen=True, kw_only=True)
class Delivery:
    """A delivery that keeps its contract as a whole; single rows may still be quarantined."""

    folder: Path
    source: Source
    manifest: Manifest

    @property
    def month(self) -> str:
        """The month it stands for, `YYYY-MM`."""
        return self.manifest.month

    @property
    def profile(self) -> Profile:
        """The encoding profile, which says what columns people.parquet has."""
        return PROFILES[str(self.manifest.encoding["profile"])]

    @property
    def content_sha256(self) -> str:
        """Hash of the manifest without its time of making: equal content, equal hash."""
        return self.manifest.content_sha256

    @property
    def people_file(self) -> Path:
        """people.parquet."""
        return self.folder / PEOPLE_FILE

    @property
    def encounters_file(self) -> Path:
        """encounters.parquet."""
        return self.folder / ENCOUNTERS_FILE


def check_delivery(
    folder: Path, *, expected_key_check: str | None = None, expected_profile: str | None = None
) -> Delivery:
    """The delivery in `folder` (`<landing>/<source>/<month>`), if it keeps the contract.

    `expected_key_check` is the key check value of the project's other deliveries and `expected_profile` the
    name of the one profile that the project takes (without it, any). Raises
    DeliveryRefusedError, one sentence without any value of a record, for the first thing found wrong.
    """
    manifest = _checked_manifest(folder)
    source = declared_sources()[manifest.source]
    if expected_key_check is not None and manifest.key_check != expected_key_check:
        raise DeliveryRefusedError(
            f"{folder / MANIFEST_FILE}: the key check differs from the project's, so the delivery was "
            "encoded with another key and would link to nobody; have the agency compare its key's "
            "fingerprint with the custodian and encode again."
        )
    profile = PROFILES[str(manifest.encoding["profile"])]
    if expected_profile not in (None, profile.name):
        raise DeliveryRefusedError(
            f"{folder / MANIFEST_FILE}: the delivery was encoded with the profile {profile.name}, but the county "
            f"takes {expected_profile}, and records of two profiles never meet; have the agency encode again with "
            f"--profile {expected_profile}."
        )
    _check_files(folder, manifest)
    _check_table(folder / PEOPLE_FILE, profile.people_columns, manifest)
    _check_table(folder / ENCOUNTERS_FILE, delivered_encounter_columns(source), manifest)
    _check_people_values(folder / PEOPLE_FILE, manifest, profile)
    _check_encounter_values(folder / ENCOUNTERS_FILE, source)
    if RETRACTED_FILE in manifest.sha256:
        delivered_retractions(folder, manifest)
    return Delivery(folder=folder, source=source, manifest=manifest)


def _checked_manifest(folder: Path) -> Manifest:
    path = folder / MANIFEST_FILE
    try:
        text = path.read_text(encoding="utf-8")
    except FileNotFoundError:
        raise DeliveryRefusedError(
            f"{folder} has no {MANIFEST_FILE}; a delivery is the whole folder that encode wrote."
        ) from None
    except (OSError, UnicodeError):
        raise DeliveryRefusedError(f"{path} cannot be read; send the delivery again.") from None
    try:
        manifest = read_manifest(text)
    except ValueError as error:
        raise DeliveryRefusedError(f"{path} {error}; send the folder as encode wrote it.") from None
    if manifest.contract_version != CONTRACT_VERSION:
        raise DeliveryRefusedError(
            f"{path} is of another contract version than {CONTRACT_VERSION}; use the encoder of the "
            "project's release."
        )
    if manifest.encoding["version"] != ENCODING_VERSION or manifest.encoding["profile"] not in PROFILES:
        raise DeliveryRefusedError(
            f"{path} is of another encoding than version {ENCODING_VERSION}, profile {' or '.join(PROFILES)}; "
            "tokens of different encodings never meet, so encode again with the project's."
        )
    if manifest.source not in declared_sources():
        raise DeliveryRefusedError(
            f"{path} names a source that is not declared; declared are {', '.join(declared_sources())}."
        )
    if not is_month(manifest.month):
        raise DeliveryRefusedError(f"{path} has a month that is not written YYYY-MM.")
    if (manifest.source, manifest.month) != (folder.resolve().parent.name, folder.resolve().name):
        raise DeliveryRefusedError(
            f"{path} is of another source or month than its folder; put it into landing/<source>/<month>/."
        )
    first_day, next_first_day = month_window(manifest.month)
    if not (manifest.covers_from < manifest.covers_to and first_day < manifest.covers_to <= next_first_day):
        raise DeliveryRefusedError(
            f"{path}: covers_from must come before covers_to, and covers_to must lie in the month or be "
            "the day after it."
        )
    return manifest


def delivered_retractions(folder: Path, manifest: Manifest) -> Retractions:
    """What the delivery in `folder` takes back, by pseudonymous id; nothing where its manifest knows of no such file.

    Raises DeliveryRefusedError when the file is not the one the manifest was written for, or holds anything else.
    """
    if RETRACTED_FILE not in manifest.sha256:
        return Retractions()
    retractions = read_retracted(folder / RETRACTED_FILE)
    _check_sum(folder / RETRACTED_FILE, manifest)
    return retractions


def _check_files(folder: Path, manifest: Manifest) -> None:
    known = {MANIFEST_FILE, *manifest.sha256}
    present = {path.name for path in folder.iterdir() if not path.name.startswith(".")}
    for name in sorted(known - present):
        raise DeliveryRefusedError(
            f"{folder} has no {name}; a delivery is the whole folder that encode wrote."
        )
    if present - known:
        raise DeliveryRefusedError(
            f"{folder} holds {len(present - known)} file(s) that are no part of a delivery and may be a "
            "raw extract; take them away and see who could read them."
        )


@contextmanager
def _whole(path: Path) -> Iterator[None]:
    """Turn whatever a damaged Parquet file raises, at its first byte or deep inside, into a sentence."""
    try:
        yield
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
        raise DeliveryRefusedError(f"{path} is not a whole Parquet file; send the delivery again.") from None


def _check_sum(path: Path, manifest: Manifest) -> None:
    with path.open("rb") as file:
        checksum = file_digest(file, "sha256").hexdigest()
    if checksum != manifest.sha256[path.name]:
        raise DeliveryRefusedError(
            f"{path} is not the file the manifest was written for (its SHA-256 differs); send the delivery again."
        )


def _check_table(path: Path, expected: Mapping[str, PolarsType], manifest: Manifest) -> None:
    """Checksum, schema and row count of one file."""
    with _whole(path):
        _check_sum(path, manifest)
        schema = pl.read_parquet_schema(path)
        rows = pl.scan_parquet(path).select(pl.len()).collect().item()
    for name in expected:
        if name not in schema:
            raise DeliveryRefusedError(
                f"{path} lacks the column {name}; encode again with the project's encoder."
            )
    for position, name in enumerate(schema, start=1):
        if name not in expected:
            named = (
                f"{name} (column {position})"
                if name in clear_identity.RAW_IDENTITY_COLUMNS
                else f"{position}"
            )
            raise DeliveryRefusedError(
                f"{path}: column {named} is no part of the contract and may hold identity in the clear; "
                "nothing was loaded; take the file away and encode again."
            )
    for name, kind in expected.items():
        if schema[name] != kind:
            raise DeliveryRefusedError(
                f"{path}, column {name}: it must have the type {kind}; encode again with the project's "
                "encoder."
            )
    if list(schema) != list(expected):
        raise DeliveryRefusedError(f"{path}: the columns are not in the contract's order; encode again.")
    if rows != manifest.rows[path.stem]:
        raise DeliveryRefusedError(
            f"{path} has {rows} rows where the manifest says {manifest.rows[path.stem]}; send the delivery "
            "again."
        )


@dataclass(frozen=True, kw_only=True)
class _Finding:
    """Something that refuses a delivery when any row has it; `breaks` is true on such rows."""

    column: str
    breaks: pl.Expr
    says: str


_IN_THE_CLEAR = "This may be identity in the clear: nothing was loaded; take the file away and encode again."


def _token_findings(column: str) -> list[_Finding]:
    return [
        _Finding(
            column=column,
            breaks=clear_identity.is_unkeyed_hash(pl.col(column)),
            says="an unkeyed hash stands where a token must be, and anybody can reverse it; nothing "
            "was loaded; take the file away and encode again.",
        ),
        _Finding(
            column=column,
            breaks=clear_identity.is_no_token(pl.col(column)),
            says=f"a token has 32 lower-case hexadecimal digits, here is something else. {_IN_THE_CLEAR}",
        ),
    ]


def _check_people_values(path: Path, manifest: Manifest, profile: Profile) -> None:
    earliest, latest = birth_years_shown(manifest.covers_to)
    race = "|".join(RACES_AND_ETHNICITIES)
    findings = [
        finding for column in ("client_id", *profile.token_columns) for finding in _token_findings(column)
    ]
    findings += [
        _Finding(
            column=column,
            breaks=pl.col(column).bin.size() != FILTER_BYTES,
            says=f"a filter has {FILTER_BYTES} bytes, here is something else. {_IN_THE_CLEAR}",
        )
        for column in profile.filter_columns
    ]
    findings += [
        _Finding(column=column, breaks=~pl.col(column).str.contains(pattern), says=f"{says} {_IN_THE_CLEAR}")
        for column, pattern, says in (
            ("zip3", r"^[0-9]{3}$", "only three digits of a ZIP code may leave an agency."),
            ("sex", f"^(?:{'|'.join(SEXES)})$", "the codes are M, F, X and U."),
            (
                "ssn_quality",
                f"^(?:{'|'.join(SSN_QUALITIES)})$",
                "the codes are full, last4, invalid and none.",
            ),
            ("race_ethnicity", f"^(?:{race})(?:;(?:{race}))*$", "it is a list of OMB categories."),
            *(
                (column, f"^(?:{'|'.join(codes)})$", f"the codes are {', '.join(codes)}.")
                for column, codes in profile.codes.items()
            ),
        )
    ]
    findings.append(
        _Finding(
            column="birth_year",
            breaks=~pl.col("birth_year").is_between(earliest, latest),
            says=f"birth years run from {earliest} (or before) to {latest}; encode again.",
        )
    )
    findings += [
        _Finding(
            column=column,
            breaks=pl.col(column).is_in(sorted(clear_identity.unkeyed_tokens())),
            says="here is the unkeyed hash of a common name, so this project's encoder did not make it; "
            "nothing was loaded; take the file away and encode again with the project key.",
        )
        for column in ("first_name_token", "last_name_token")
        if column in profile.people_columns
    ]
    _refuse_on(path, findings)
    for column in profile.token_list_columns:
        _refuse_on(path, _token_findings(column), explode=column)


def _check_encounter_values(path: Path, source: Source) -> None:
    findings = [finding for column in ("encounter_id", "client_id") for finding in _token_findings(column)]
    declared = {"kind": source.kind_names} | {
        column.name: column.codes for column in source.delivered_columns if column.type == "code"
    }
    for column, codes in declared.items():
        written = pl.col(column)
        undeclared = ~written.is_in(codes)
        findings += [
            _Finding(
                column=column,
                breaks=undeclared & written.str.contains(pattern),
                says=f"here is what looks like {what}. {_IN_THE_CLEAR}",
            )
            for what, pattern in clear_identity.IDENTITY_PATTERNS.items()
        ]
        findings.append(
            _Finding(
                column=column,
                breaks=undeclared & clear_identity.is_free_text(written),
                says=f"here is free text where only codes may stand. {_IN_THE_CLEAR}",
            )
        )
    _refuse_on(path, findings)


def _refuse_on(path: Path, findings: list[_Finding], *, explode: str | None = None) -> None:
    """Raise for the first finding that any row has, naming the column and the first such row."""
    rows = pl.scan_parquet(path).with_row_index("row_number", offset=1)
    if explode is not None:
        rows = rows.select("row_number", explode).explode(explode)
    with _whole(path):
        first_rows = rows.select(
            pl.col("row_number").filter(finding.breaks).first().alias(str(number))
            for number, finding in enumerate(findings)
        ).collect(engine="streaming")
    for number, finding in enumerate(findings):
        row = first_rows.get_column(str(number)).item()
        if row is not None:
            raise DeliveryRefusedError(f"{path}, row {row}, column {finding.column}: {finding.says}")


@dataclass(frozen=True, kw_only=True)
class RowRule:
    """One rule that every row of a file must keep: what a broken row is, in words and as an expression, and what the
    agency can do about it.

    `breaks` is true on rows that break the rule (false or null on the others). It may use, beside the
    delivered columns, `covers_to` (the delivery's, a timestamp) and `client_is_delivered`, which `judge`
    adds.
    """

    says: str
    to_do: str
    breaks: pl.Expr


_ENCODE_AGAIN = "encode the month again with the encoder that the county named; if it stays, tell the county"


def row_rules(source: Source, profile: Profile = STANDARD) -> dict[str, dict[str, RowRule]]:
    """The row rules of one source and profile, by file stem (`people`, `encounters`) and rule id, in order.

    A row without any usable identity (a Doe) breaks no rule: it is a true record that cannot be linked.
    """
    codes = [
        pl.col(column.name).is_not_null() & ~pl.col(column.name).is_in(column.codes)
        for column in source.delivered_columns
        if column.type == "code"
    ]
    encounters = {
        "EN01": RowRule(
            says="encounter_id is missing",
            to_do="give the event its number in your export",
            breaks=pl.col("encounter_id").is_null(),
        ),
        "EN02": RowRule(
            says="client_id is missing",
            to_do="give the row the number of its client in your export",
            breaks=pl.col("client_id").is_null(),
        ),
        "EN03": RowRule(
            says="kind is missing or not one of the source's",
            to_do="map it to one of the kinds in docs/agency.md, or leave the row out",
            breaks=~pl.col("kind").is_in(source.kind_names).fill_null(value=False),
        ),
        "EN04": RowRule(
            says="started_at is missing",
            to_do="fill in the start in your system",
            breaks=pl.col("started_at").is_null(),
        ),
        "EN05": RowRule(
            says="it ended before it started",
            to_do="correct one of the two times in your system",
            breaks=pl.col("ended_at") < pl.col("started_at"),
        ),
        "EN06": RowRule(
            says="it started after the time that the delivery covers",
            to_do="correct the start, or deliver the row with its own month",
            breaks=pl.col("started_at") >= pl.col("covers_to"),
        ),
        "EN07": RowRule(
            says="its client is not in the delivery's people",
            to_do="export people and encounters together, so that each client is in both",
            breaks=pl.col("client_id").is_not_null() & ~pl.col("client_is_delivered"),
        ),
        "EN08": RowRule(
            says="a coded column holds a code that is not declared",
            to_do="map the code to one that the source declares",
            breaks=pl.any_horizontal(codes) if codes else pl.lit(value=False),
        ),
        "EN09": RowRule(
            says="an earlier row of the delivery has the same encounter_id",
            to_do="export each event once; a change of location is no new event",
            breaks=pl.col("encounter_id").is_not_null() & ~pl.col("encounter_id").is_first_distinct(),
        ),
        "EN10": RowRule(says="part2 is missing", to_do=_ENCODE_AGAIN, breaks=pl.col("part2").is_null()),
        "EN11": RowRule(
            says="it started before 1950, which is an error or a default",
            to_do="correct the start in your system",
            breaks=pl.col("started_at").dt.year() < 1950,
        ),
    }
    return {"people": _people_rules(profile), "encounters": encounters}


def _people_rules(profile: Profile) -> dict[str, RowRule]:
    of_profile = _HIGH_PEOPLE_RULES if profile is HIGH else _STANDARD_PEOPLE_RULES
    return {
        "PE01": RowRule(
            says="client_id is missing",
            to_do="give the row the number of its client in your export",
            breaks=pl.col("client_id").is_null(),
        ),
        "PE02": RowRule(
            says="a list of tokens is empty, where a missing value must be null",
            to_do=_ENCODE_AGAIN,
            breaks=pl.any_horizontal(pl.col(column).list.len() == 0 for column in profile.token_list_columns),
        ),
        **of_profile,
        "PE06": RowRule(
            says="a flag that must be true or false is missing",
            to_do=_ENCODE_AGAIN,
            breaks=pl.col("birth_date_suspect").is_null() | pl.col("name_placeholder").is_null(),
        ),
    }


_STANDARD_PEOPLE_RULES = {
    "PE03": RowRule(
        says="a name has a token without a filter or a filter without a token",
        to_do=_ENCODE_AGAIN,
        breaks=pl.any_horizontal(
            pl.col(f"{name}_token").is_null() != pl.col(f"{name}_bits").is_null()
            for name in ("first_name", "last_name")
        ),
    ),
    "PE04": RowRule(
        says="ssn_quality does not fit the SSN tokens",
        to_do=_ENCODE_AGAIN,
        breaks=pl.col("ssn_quality").is_null()
        | (pl.col("ssn_token").is_not_null() != (pl.col("ssn_quality") == "full"))
        | (pl.col("ssn_token").is_null() != pl.col("ssn5_token").is_null())
        | (pl.col("ssn4_token").is_not_null() != pl.col("ssn_quality").is_in(["full", "last4"])),
    ),
    "PE05": RowRule(
        says="birth date tokens do not fit one another or the birth year",
        to_do=_ENCODE_AGAIN,
        breaks=(
            pl.col("birth_date_token").is_not_null()
            & pl.any_horizontal(
                pl.col(column).is_null()
                for column in ("birth_year_month_token", "birth_month_day_token", "birth_year_day_token")
            )
        )
        | (pl.col("birth_year_month_token").is_not_null() & pl.col("birth_year").is_null()),
    ),
}

_HIGH_PEOPLE_RULES = {
    "PE03": RowRule(
        says="a name has a filter without a step or a step without a filter",
        to_do=_ENCODE_AGAIN,
        breaks=pl.any_horizontal(
            pl.col(f"{name}_rarity").is_null() != pl.col(f"{name}_bits").is_null()
            for name in ("first_name", "last_name")
        ),
    ),
    "PE04": RowRule(
        says="ssn_quality does not fit the SSN tokens",
        to_do=_ENCODE_AGAIN,
        breaks=pl.col("ssn_quality").is_null()
        | (pl.col("ssn_token").is_not_null() != (pl.col("ssn_quality") == "full"))
        | (pl.col("ssn5_birth_date_token").is_not_null() & pl.col("ssn_token").is_null())
        | (
            pl.any_horizontal(
                pl.col(column).is_not_null() for column in HIGH.people_columns if column.startswith("ssn4_")
            )
            & ~pl.col("ssn_quality").is_in(["full", "last4"])
        ),
    ),
    "PE05": RowRule(
        says="a token is made of a name or a birth date that the row does not have",
        to_do=_ENCODE_AGAIN,
        breaks=(pl.col("first_name_birth_date_token").is_not_null() & pl.col("first_name_bits").is_null())
        | (pl.col("last_name_birth_date_tokens").is_not_null() & pl.col("last_name_bits").is_null())
        | (
            pl.any_horizontal(
                pl.col(column).is_not_null() for column in HIGH.people_columns if "_birth_date_" in column
            )
            & pl.col("birth_year").is_null()
        ),
    ),
}


@dataclass(frozen=True, kw_only=True)
class JudgedDelivery:
    """A delivery with every row judged.

    `people` and `encounters` have the delivered columns between `row_number` (Int32, 1-based) and
    `broken_rules` (list of rule ids, empty for an accepted row).
    """

    delivery: Delivery
    people: pl.DataFrame
    encounters: pl.DataFrame

    def counts(self) -> dict[str, dict[str, int]]:
        """Rows delivered, accepted and quarantined, by file stem."""
        return {
            stem: _counts(rows) for stem, rows in (("people", self.people), ("encounters", self.encounters))
        }

    def broken_rule_counts(self) -> dict[str, int]:
        """How many rows break each rule that any row breaks, by rule id."""
        broken = pl.concat([self.people.select("broken_rules"), self.encounters.select("broken_rules")])
        counted = (
            broken.explode("broken_rules").drop_nulls().group_by("broken_rules").len().sort("broken_rules")
        )
        return dict(counted.iter_rows())


def _counts(rows: pl.DataFrame) -> dict[str, int]:
    quarantined = rows.filter(pl.col("broken_rules").list.len() > 0).height
    return {"delivered": rows.height, "accepted": rows.height - quarantined, "quarantined": quarantined}


def judge(delivery: Delivery) -> JudgedDelivery:
    """Read a delivery that passed `check_delivery` and list for each row the rules it breaks.

    Raises DeliveryRefusedError when a part that the check had no need to look at cannot be read.
    """
    rules = row_rules(delivery.source, delivery.profile)
    with _whole(delivery.people_file):
        people = pl.read_parquet(delivery.people_file)
    with _whole(delivery.encounters_file):
        encounters = pl.read_parquet(delivery.encounters_file)
    clients = people.get_column("client_id").drop_nulls().unique()
    encounters = encounters.with_columns(
        client_is_delivered=pl.col("client_id").is_in(clients.implode()),
        covers_to=pl.lit(delivery.manifest.covers_to).cast(pl.Datetime("us")),
    )
    return JudgedDelivery(
        delivery=delivery,
        people=_judged(people, rules["people"], list(delivery.profile.people_columns)),
        encounters=_judged(
            encounters, rules["encounters"], list(delivered_encounter_columns(delivery.source))
        ),
    )


def _judged(rows: pl.DataFrame, rules: dict[str, RowRule], columns: list[str]) -> pl.DataFrame:
    broken = pl.concat_list(
        pl.when(rule.breaks.fill_null(value=False)).then(pl.lit(rule_id)) for rule_id, rule in rules.items()
    ).list.drop_nulls()
    return rows.select(
        pl.int_range(1, pl.len() + 1, dtype=pl.Int32).alias("row_number"),
        *columns,
        broken.alias("broken_rules"),
    )
