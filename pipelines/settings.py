"""The county file: the whole of local policy, read and validated once.

`county.toml` states who may rely on what: agreements per source, code lists, cohort definitions, the linkage
thresholds and what a release needs. Unknown keys are errors, so that a misspelt policy never passes for none.
"""

import dataclasses
import datetime as dt
import hashlib
import re
import tomllib
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal, get_args

from linkage.encoding.profiles import PROFILES, STANDARD, Profile
from linkage.errors import PolicyError, UsageError
from linkage.source import declared_sources
from pipelines.cohorts import CohortDefinition, parse_cohorts, preset_cohorts
from pipelines.cohorts.written import refuse_repeated

LegalBasis = Literal["expert_determination", "limited_data_set", "authorization"]
Part2Posture = Literal["none", "holds_part_2_records"]
Evidence = Literal["none", "own", "all"]
Engine = Literal["duckdb", "spark"]
Scope = Literal["everything", "changes"]

_PROBABILITY_BOUNDS = (0.5, 1.0)


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """Under what agreement one source delivers.

    `legal_basis` is expert determination (45 CFR 164.514(b)(1)), a limited data set under a data use agreement
    (164.514(e)) or a business associate agreement or individual authorization. `recipients` may receive return
    files made from this source; without any it gets none either. `part_2` says whether the source holds 42 CFR Part 2
    records, `evidence` what its own return file tells of why a client is in a cohort: nothing, what its own records
    say, or all.
    """

    source: str
    legal_basis: LegalBasis
    reference: str
    custodian: str
    expires_on: dt.date
    recipients: tuple[str, ...] = ()
    part_2: Part2Posture = "none"
    evidence: Evidence = "own"


@dataclass(frozen=True, kw_only=True)
class LinkagePolicy:
    """Which model links, and how sure it must be.

    `model` is a model version, or `newest`. `link_at` is the match probability from which a link is accepted, or
    `calibrated`: the threshold that training chose for its stated precision. `max_cluster_size` is the largest
    number of source clients that may be one person without a steward saying so. `largest_block` is the number of
    source records above which the records that share one value of a blocking rule are not compared, and that is
    reported. `engine` weighs the pairs: DuckDB in this process, or Spark where its own configuration says. `score`
    says which pairs: everything each time, or (DuckDB only) the changes since the last run. With `handovers` it counts
    for one person that an ambulance run ended as somebody arrived at the hospital (`linkage.handover`).
    """

    model: str = "newest"
    link_at: float | Literal["calibrated"] = "calibrated"
    max_cluster_size: int = 200
    largest_block: int = 2_000
    engine: Engine = "duckdb"
    score: Scope = "everything"
    handovers: bool = True


@dataclass(frozen=True, kw_only=True)
class ReleasePolicy:
    """What a release may show and what it needs before it becomes current.

    An approval is good for `sign_off_good_for_days`; after that somebody has to look again.
    """

    small_cell_threshold: int = 11
    sign_off_required: bool = False
    sign_off_good_for_days: int = 30
    include_minors: bool = False
    readers_group: str | None = None


@dataclass(frozen=True, kw_only=True)
class ReviewPolicy:
    """What stewards are asked at the review desk.

    `queue_size` is the number of uncertain pairs that each run prepares, `double_review_share` the share of them that
    two stewards label, so that their agreement can be told.
    """

    queue_size: int = 200
    double_review_share: float = 0.1


@dataclass(frozen=True, kw_only=True)
class SteppingUpPolicy:
    """What the county counts in the measures of Stepping Up.

    `connected_by` are the kinds of encounters that connect a person to behavioral-health care after jail; an
    emergency department visit is none.
    """

    connected_by: tuple[str, ...] = ("outpatient_bh",)


@dataclass(frozen=True, kw_only=True)
class CountySettings:
    """One validated county file, with the SHA-256 of its bytes. `profile` is the encoding profile of every
    delivery that the county takes."""

    name: str
    time_zone: str
    key_check: str | None
    profile: Profile
    code_lists: Mapping[str, str]
    agreements: Mapping[str, Agreement]
    linkage: LinkagePolicy
    release: ReleasePolicy
    review: ReviewPolicy
    stepping_up: SteppingUpPolicy
    cohorts: tuple[CohortDefinition, ...]
    sha256: str

    def agreement_for(self, source: str, on: dt.date) -> Agreement:
        """The agreement under which `source` may be used on the day `on`.

        Raises PolicyError when there is none or it has expired.
        """
        agreement = self.agreements.get(source)
        if agreement is None:
            raise PolicyError(
                f"county.toml has no [agreements.{source}], so nothing from {source} may be used. "
                "Add the agreement, or remove the delivery from landing."
            )
        if agreement.expires_on < on:
            raise PolicyError(
                f"The agreement with {source} expired on {agreement.expires_on}. "
                f"Renew it and set [agreements.{source}] expires_on in county.toml."
            )
        return agreement


def load_settings(path: Path) -> CountySettings:
    """Read and validate a county file.

    Raises UsageError for a file that cannot be read or a key that is missing, unknown or out of range, and
    PolicyError for agreements that contradict themselves.
    """
    try:
        text = path.read_bytes()
    except OSError as error:
        raise UsageError(
            f"{path}: {error.strerror}. Copy sample_data/county.toml there and adapt it."
        ) from None
    try:
        declared = tomllib.loads(text.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as error:
        raise UsageError(f"{path} is not valid TOML: {error}.") from None
    reader = _SectionReader(path)
    top = reader.section(declared, "the file", required={"county"}, optional=_TOP_SECTIONS - {"county"})
    county = reader.section(
        top["county"], "[county]", required={"name", "time_zone"}, optional={"project_key_check"}
    )
    key_check = county.get("project_key_check")
    if key_check is not None and not re.fullmatch(r"[0-9a-f]{64}", str(key_check)):
        raise UsageError(
            f"{path}, [county] project_key_check: expected the 64 hexadecimal characters of keygen."
        )
    return CountySettings(
        name=reader.text(county, "name", "[county]"),
        time_zone=reader.text(county, "time_zone", "[county]"),
        key_check=key_check,
        profile=_read_profile(reader, top.get("encoding", {})),
        code_lists={
            key: reader.text(top["code_lists"], key, "[code_lists]") for key in top.get("code_lists", {})
        },
        agreements=_read_agreements(reader, top.get("agreements", {})),
        linkage=_read_linkage(reader, top.get("linkage", {})),
        release=_read_release(reader, top.get("release", {})),
        review=_read_review(reader, top.get("review", {})),
        stepping_up=_read_stepping_up(reader, top.get("stepping_up", {})),
        cohorts=_read_cohorts(reader, top),
        sha256=hashlib.sha256(text).hexdigest(),
    )


_TOP_SECTIONS = {
    "county",
    "encoding",
    "code_lists",
    "agreements",
    "linkage",
    "release",
    "review",
    "stepping_up",
    "cohort_presets",
    "cohorts",
}


@dataclass(frozen=True)
class _SectionReader:
    """Reads tables of one county file; every complaint names the file, the table and the key."""

    path: Path

    def section(self, table: Any, where: str, *, required: set[str], optional: set[str]) -> dict[str, Any]:
        if not isinstance(table, dict):
            raise UsageError(f"{self.path}, {where}: expected a table of keys.")
        unknown = sorted(set(table) - required - optional)
        if unknown:
            known = ", ".join(sorted(required | optional))
            raise UsageError(f"{self.path}, {where}: unknown key {unknown[0]!r}; the keys are {known}.")
        missing = sorted(required - set(table))
        if missing:
            raise UsageError(f"{self.path}, {where}: the key {missing[0]!r} is missing.")
        return table

    def text(self, table: dict[str, Any], key: str, where: str) -> str:
        value = table[key]
        if not isinstance(value, str) or not value.strip():
            raise UsageError(f"{self.path}, {where} {key}: expected a text.")
        return value

    def choice(self, table: dict[str, Any], key: str, where: str, choices: tuple[str, ...]) -> Any:
        value = table[key]
        if value not in choices:
            raise UsageError(f"{self.path}, {where} {key}: expected one of {', '.join(choices)}.")
        return value

    def whole_number(self, table: dict[str, Any], key: str, where: str, default: int, at_least: int) -> int:
        value = table.get(key, default)
        if not isinstance(value, int) or isinstance(value, bool) or value < at_least:
            raise UsageError(f"{self.path}, {where} {key}: expected a whole number of at least {at_least}.")
        return value

    def share(self, table: dict[str, Any], key: str, where: str, default: float) -> float:
        value = table.get(key, default)
        if not isinstance(value, int | float) or isinstance(value, bool) or not 0 <= value <= 1:
            raise UsageError(f"{self.path}, {where} {key}: expected a share from 0 to 1.")
        return float(value)

    def yes_or_no(self, table: dict[str, Any], key: str, where: str) -> bool:
        value = table.get(key, False)
        if not isinstance(value, bool):
            raise UsageError(f"{self.path}, {where} {key}: expected true or false.")
        return value


def _read_profile(reader: _SectionReader, table: Any) -> Profile:
    keys = reader.section(table, "[encoding]", required=set(), optional={"profile"})
    name = reader.choice({"profile": STANDARD.name} | keys, "profile", "[encoding]", tuple(PROFILES))
    return PROFILES[name]


def _read_agreements(reader: _SectionReader, declared: Any) -> dict[str, Agreement]:
    if not isinstance(declared, dict):
        raise UsageError(f"{reader.path}, [agreements]: expected one table per source.")
    agreements = {}
    for source, table in declared.items():
        where = f"[agreements.{source}]"
        if source not in declared_sources():
            raise UsageError(
                f"{reader.path}, {where}: no such source; the sources are {', '.join(declared_sources())}."
            )
        if isinstance(table, dict) and table.get("legal_basis") == "safe_harbor":
            raise PolicyError(
                f"{reader.path}, {where}: safe harbor cannot be the legal basis, because a delivery holds tokens "
                "derived from identity and full event dates (45 CFR 164.514(b)(2)). Use expert_determination, "
                "limited_data_set or authorization."
            )
        keys = reader.section(
            table,
            where,
            required={"legal_basis", "reference", "custodian", "expires_on"},
            optional={"recipients", "part_2", "evidence"},
        )
        expires_on = keys["expires_on"]
        if not isinstance(expires_on, dt.date) or isinstance(expires_on, dt.datetime):
            raise UsageError(f"{reader.path}, {where} expires_on: expected a date such as 2027-12-31.")
        recipients = keys.get("recipients", [])
        if not isinstance(recipients, list) or not all(isinstance(name, str) for name in recipients):
            raise UsageError(f"{reader.path}, {where} recipients: expected a list of names.")
        agreement = Agreement(
            source=source,
            legal_basis=reader.choice(keys, "legal_basis", where, get_args(LegalBasis)),
            reference=reader.text(keys, "reference", where),
            custodian=reader.text(keys, "custodian", where),
            expires_on=expires_on,
            recipients=tuple(recipients),
            part_2=reader.choice({"part_2": "none"} | keys, "part_2", where, get_args(Part2Posture)),
            evidence=reader.choice({"evidence": "own"} | keys, "evidence", where, get_args(Evidence)),
        )
        if agreement.evidence == "all" and declared_sources()[source].is_criminal_justice:
            raise PolicyError(
                f"{reader.path}, {where} evidence: all of it would tell a criminal-justice agency what others "
                'recorded. Use "own" or "none".'
            )
        if agreement.legal_basis == "limited_data_set" and agreement.recipients:
            raise PolicyError(
                f"{reader.path}, {where}: a limited data set may not be used to contact people "
                "(45 CFR 164.514(e)(4)), so it cannot name recipients of return files. "
                "Empty recipients, or deliver under expert determination or authorization."
            )
        agreements[source] = agreement
    return agreements


def _read_linkage(reader: _SectionReader, table: Any) -> LinkagePolicy:
    where = "[linkage]"
    keys = reader.section(table, where, required=set(), optional=_field_names(LinkagePolicy))
    link_at = keys.get("link_at", "calibrated")
    low, high = _PROBABILITY_BOUNDS
    if link_at != "calibrated" and not (isinstance(link_at, float) and low <= link_at < high):
        raise UsageError(
            f'{reader.path}, {where} link_at: expected "calibrated" or a probability from {low} to below {high}.'
        )
    return LinkagePolicy(
        model=reader.text({"model": "newest"} | keys, "model", where),
        link_at=link_at,
        max_cluster_size=reader.whole_number(keys, "max_cluster_size", where, 200, at_least=2),
        largest_block=reader.whole_number(keys, "largest_block", where, 2_000, at_least=100),
        engine=reader.choice({"engine": "duckdb"} | keys, "engine", where, get_args(Engine)),
        score=reader.choice({"score": "everything"} | keys, "score", where, get_args(Scope)),
        handovers=reader.yes_or_no({"handovers": True} | keys, "handovers", where),
    )


def _read_release(reader: _SectionReader, table: Any) -> ReleasePolicy:
    where = "[release]"
    keys = reader.section(table, where, required=set(), optional=_field_names(ReleasePolicy))
    return ReleasePolicy(
        small_cell_threshold=reader.whole_number(keys, "small_cell_threshold", where, 11, at_least=2),
        sign_off_required=reader.yes_or_no(keys, "sign_off_required", where),
        sign_off_good_for_days=reader.whole_number(keys, "sign_off_good_for_days", where, 30, at_least=1),
        include_minors=reader.yes_or_no(keys, "include_minors", where),
        readers_group=reader.text(keys, "readers_group", where) if "readers_group" in keys else None,
    )


def _read_review(reader: _SectionReader, table: Any) -> ReviewPolicy:
    where = "[review]"
    keys = reader.section(table, where, required=set(), optional=_field_names(ReviewPolicy))
    defaults = ReviewPolicy()
    return ReviewPolicy(
        queue_size=reader.whole_number(keys, "queue_size", where, defaults.queue_size, at_least=1),
        double_review_share=reader.share(keys, "double_review_share", where, defaults.double_review_share),
    )


def _read_stepping_up(reader: _SectionReader, table: Any) -> SteppingUpPolicy:
    where = "[stepping_up]"
    keys = reader.section(table, where, required=set(), optional=_field_names(SteppingUpPolicy))
    kinds = keys.get("connected_by", list(SteppingUpPolicy.connected_by))
    declared = [kind.name for source in declared_sources().values() for kind in source.kinds]
    if not isinstance(kinds, list) or any(kind not in declared or kind == "ed" for kind in kinds):
        raise UsageError(
            f"{reader.path}, {where} connected_by: expected kinds of encounters out of "
            f"{', '.join(kind for kind in declared if kind != 'ed')}; an emergency department visit connects nobody."
        )
    return SteppingUpPolicy(connected_by=tuple(kinds))


def _read_cohorts(reader: _SectionReader, top: dict[str, Any]) -> tuple[CohortDefinition, ...]:
    presets: tuple[CohortDefinition, ...] = ()
    if "cohort_presets" in top:
        where = "[cohort_presets]"
        keys = reader.section(top["cohort_presets"], where, required={"use", "owner"}, optional=set())
        use = keys["use"]
        if not isinstance(use, list) or not all(isinstance(name, str) for name in use):
            raise UsageError(f"{reader.path}, {where} use: expected a list of names of presets.")
        presets = preset_cohorts(
            use, owner=reader.text(keys, "owner", where), where=f"{reader.path}, {where} use"
        )
    cohorts = (*presets, *parse_cohorts(top.get("cohorts", [])))
    refuse_repeated(cohorts)
    return cohorts


def _field_names(policy: type) -> set[str]:
    return {field.name for field in dataclasses.fields(policy)}
