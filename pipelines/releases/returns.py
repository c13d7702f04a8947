"""Return files: what goes back to each agency, its own clients and nothing of anybody else's.

One Parquet file per agency whose agreement names recipients, beside the release that it was made from:
`returns/<release id>/<source>.parquet`. The key of a person is made anew for each agency and each release, so that two
files cannot be laid side by side. Whoever receives one turns the client ids into their own with `familiar-faces
rejoin`; nobody else can. What an agency may see is decided here:

- A cohort whose rule counts encounters of a source goes to nobody where that source's agreement names no recipients.
- A criminal-justice agency gets no cohort that rests on a clinical flag, so that nothing it receives says or implies
  an illness or a substance use disorder.
- Where any source holds 42 CFR Part 2 records, cohorts that rest on substance use go to nobody.
- Evidence is the agency's own (`own`, the default), none, or all of it, as its agreement says.
"""

import hashlib
import hmac
import json
import os
import shutil
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import duckdb
import polars as pl

from linkage.source import Source, declared_sources
from pipelines.cohorts import CohortDefinition
from pipelines.cohorts.definitions import FlagRecorded
from pipelines.releases.release import Release
from pipelines.settings import Agreement, CountySettings
from pipelines.workspace import Workspace

PURPOSE = (
    "For outreach and care, and not to be passed on. "
    "Not for enforcement, charging, bail, sentencing or surveillance."
)
SUBSTANCE_USE_FLAGS = frozenset({"sud", "overdose"})
CLINICAL_FLAGS = frozenset(
    {"smi", "sud", "suicidality", "overdose", "screened_positive", "disabling_condition"}
)

COLUMNS: Mapping[str, str] = {
    "client_id": "Your client's pseudonymous id; `familiar-faces rejoin` turns it into your own.",
    "person_key": "Equal for clients of yours who are one person; made anew for each agency and release.",
    "cohort": "Name of the cohort.",
    "label": "The cohort's title.",
    "entered_on": "Day of the event that made its rule true.",
    "priority": "1 where the client is in three or more of the cohorts in this file, 2 in two, 3 in one.",
    "is_firm": "Whether the person would be in the cohort at every threshold of linkage; if not, look twice.",
    "evidence": "What the agreement lets you see of why.",
}

_MEMBERS = """
with own as (
    select
        person_id,
        'your records, 12 months: ' || episodes || ' episodes, ' || round(days)::integer || ' days' as says
    from utilization where source = $source and window_name = '12_months'
)
select
    person_crosswalk.client_id,
    person_crosswalk.person_id as person_key,
    cohort_membership.cohort,
    cohort_definition.label,
    cohort_membership.entered_on,
    case
        when count(*) over of_client >= 3 then 1
        when count(*) over of_client = 2 then 2
        else 3
    end::tinyint as priority,
    cohort_membership.member_080 and cohort_membership.member_095 and cohort_membership.member_099 as is_firm,
    case $evidence when 'own' then own.says when 'all' then cohort_membership.evidence end as evidence
from cohort_membership
inner join cohort_definition using (cohort)
inner join person_crosswalk using (person_id)
left join own using (person_id)
where cohort_membership.is_member and person_crosswalk.source = $source and list_contains($cohorts, cohort)
window of_client as (partition by person_crosswalk.client_id)
order by person_crosswalk.client_id, cohort_membership.cohort
"""


@dataclass(frozen=True, kw_only=True)
class Withheld:
    """A cohort that is not in an agency's return file, and the reason in a sentence."""

    source: str
    cohort: str
    because: str


def write_returns(workspace: Workspace, release: Release, settings: CountySettings) -> dict[str, int]:
    """Write the return files of a release, unless they are there; returns rows by source.

    Beside them `withheld.json`: which cohorts are in no file of which agency, and why. The folder is private to the
    pipeline's user: who hands a file over is the county's decision.
    """
    folder = workspace.returns / release.release_id
    if not folder.exists():
        draft = folder.with_name(f".{folder.name}.{os.getpid()}")
        shutil.rmtree(draft, ignore_errors=True)
        draft.mkdir(mode=0o700, parents=True)
        withheld: list[Withheld] = []
        with duckdb.connect(release.database, read_only=True) as connection:
            for agreement in _receiving(settings):
                source = declared_sources()[agreement.source]
                permitted, kept_back = permitted_cohorts(source, settings)
                withheld += kept_back
                rows = _rows(connection, agreement, permitted, release.release_id, workspace.registry_seed())
                _write(draft / f"{source.name}.parquet", rows, release, settings, agreement)
        (draft / "withheld.json").write_text(
            json.dumps([vars(each) for each in withheld], indent=1), encoding="utf-8"
        )
        for file in draft.iterdir():
            file.chmod(0o600)
        draft.replace(folder)
    return {
        file.stem: int(pl.scan_parquet(file).select(pl.len()).collect().item())
        for file in sorted(folder.glob("*.parquet"))
    }


def permitted_cohorts(
    source: Source, settings: CountySettings
) -> tuple[list[CohortDefinition], list[Withheld]]:
    """The cohorts that may be in the return file of an agency, and those that may not, each with its reason."""
    permitted, withheld = [], []
    for cohort in settings.cohorts:
        because = _forbidden(cohort, source, settings)
        if because is None:
            permitted.append(cohort)
        else:
            withheld.append(Withheld(source=source.name, cohort=cohort.name, because=because))
    return permitted, withheld


def _forbidden(cohort: CohortDefinition, source: Source, settings: CountySettings) -> str | None:
    flags = {
        flag
        for criterion in cohort.criteria()
        if isinstance(criterion, FlagRecorded)
        for flag in criterion.flags
    }
    if source.is_criminal_justice and flags & CLINICAL_FLAGS:
        return f"It rests on clinical information, which does not go to {source.label.lower()}."
    part_2 = sorted(
        agreement.source
        for agreement in settings.agreements.values()
        if agreement.part_2 == "holds_part_2_records"
    )
    if part_2 and flags & SUBSTANCE_USE_FLAGS:
        return f"It rests on substance use, and {part_2[0]} holds 42 CFR Part 2 records."
    counted = {name for name, _ in cohort.windows_counted()} | (set(settings.agreements) if flags else set())
    closed = sorted(
        name
        for name in counted
        if name not in settings.agreements or not settings.agreements[name].recipients
    )
    if closed:
        return f"It rests on {closed[0]}, whose agreement names no recipients of return files."
    return None


def _receiving(settings: CountySettings) -> Iterable[Agreement]:
    return [agreement for _, agreement in sorted(settings.agreements.items()) if agreement.recipients]


def _rows(
    connection: duckdb.DuckDBPyConnection,
    agreement: Agreement,
    permitted: list[CohortDefinition],
    release_id: str,
    seed: bytes,
) -> pl.DataFrame:
    given = {
        "source": agreement.source,
        "evidence": agreement.evidence,
        "cohorts": [cohort.name for cohort in permitted],
    }
    rows = pl.from_arrow(connection.sql(_MEMBERS, params=given).to_arrow_table())
    assert isinstance(rows, pl.DataFrame)
    people = rows["person_key"].unique()
    keys = {
        person: hmac.new(
            seed, f"return|{release_id}|{agreement.source}|{person}".encode(), hashlib.sha256
        ).hexdigest()[:20]
        for person in people
    }
    return rows.with_columns(pl.col("person_key").replace_strict(keys, return_dtype=pl.String)).select(
        *COLUMNS
    )


def _write(
    path: Path, rows: pl.DataFrame, release: Release, settings: CountySettings, agreement: Agreement
) -> None:
    rows.write_parquet(
        path,
        metadata={
            "purpose": PURPOSE,
            "county": settings.name,
            "release": release.release_id,
            "agency": agreement.source,
            "agreement": agreement.reference,
            "recipients": ", ".join(agreement.recipients),
            **{f"column {name}": says for name, says in COLUMNS.items()},
        },
    )
