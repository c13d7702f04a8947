"""The headline numbers of a release, and what to open next."""

from pathlib import Path

import duckdb

from linkage.errors import UsageError
from pipelines.evaluate import measured_against_truth, read_truth
from pipelines.releases.release import current_release
from pipelines.workspace import Workspace
from quality.data_docs import LINKAGE_REPORT_NAME

_COUNTS = """
select
    (select count(*) from person) as persons,
    (select count(*) from person_crosswalk) as clients,
    (select count(*) from person where source_count >= 2) as in_two_sources,
    (select count(*) from encounter) as encounters,
    (select sum(delivered_rows) from source_coverage) as delivered,
    (select sum(accepted_rows) from source_coverage) as accepted,
    (select sum(quarantined_rows) from source_coverage) as quarantined
"""
_COHORTS = """
select cohort_definition.label, count(cohort_membership.person_id)
from cohort_definition
left join cohort_membership on cohort_membership.cohort = cohort_definition.cohort and cohort_membership.is_member
group by all
order by 2, 1
"""


def headline(workspace: Workspace, truth: Path | None = None) -> str:
    """What the current release holds, how right it is where the truth is known, and what to open next."""
    release = current_release(workspace)
    if release is None:
        raise UsageError(f"{workspace.releases} has no current release.")
    with duckdb.connect(release.database, read_only=True) as connection:
        ((persons, clients, in_two, encounters, delivered, accepted, quarantined),) = connection.execute(
            _COUNTS
        ).fetchall()
        cohorts = connection.execute(_COHORTS).fetchall()
        ((least,),) = connection.execute("select small_cell_threshold from run_parameter").fetchall()
    lines = [
        f"Release {release.release_id}",
        f"  {delivered:>9,} rows delivered = {accepted:,} accepted + {quarantined:,} quarantined",
        f"  {encounters:>9,} encounters of {clients:,} source clients",
        f"  {persons:>9,} persons, {in_two:,} of them in two or more sources",
        *(
            f"  {'under ' + str(least) if 0 < members < least else format(members, ','):>9} in the cohort: {label}"
            for label, members in cohorts
        ),
    ]
    if 1 < clients == persons:
        lines.append("  Nobody could be linked; the linkage report says why.")
    if truth is not None:
        evaluation, of_cohorts = measured_against_truth(workspace, read_truth(truth))
        lines += [
            "Against the truth of the simulation",
            f"  pairs of clients: precision {evaluation.pairs.precision:.4f}, recall {evaluation.pairs.recall:.4f}",
            *(
                f"  {cohort}: precision {agreement.precision:.3f}, recall {agreement.recall:.3f}"
                for cohort, agreement in of_cohorts.items()
            ),
        ]
    lines += [
        "Open next",
        f"  the release         duckdb -readonly {workspace.releases}/current/{release.database.name}",
        f"  what was checked    {workspace.quality_docs}/index.html",
        f"  how good the links  {workspace.quality_docs}/{LINKAGE_REPORT_NAME}",
        "  the pipeline        make dev",
    ]
    return "\n".join(lines)
