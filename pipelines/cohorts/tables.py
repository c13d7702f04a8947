"""The tables that `sql/marts/cohort_membership.sql` reads: definitions, spells and evidence."""

from collections.abc import Sequence
from dataclasses import replace
from typing import TYPE_CHECKING

from pipelines.cohorts.compiled import count_of_top_sql, event_sql, evidence_sql, spells_sql, sql_text
from pipelines.cohorts.definitions import CohortDefinition, TopShare, with_counts
from pipelines.cohorts.written import rule_json

if TYPE_CHECKING:
    from duckdb import DuckDBPyConnection

ALTERNATIVES = {"080": "person_id_080", "095": "person_id_095", "099": "person_id_099"}
"""Columns of `person_crosswalk` with the persons that other linkage thresholds would make."""


def build_cohort_inputs(connection: "DuckDBPyConnection", cohorts: Sequence[CohortDefinition]) -> None:
    """Make what `sql/marts/cohort_membership.sql` reads, in one transaction.

    - `cohort_definition`: one row per cohort, with its rule, the SQL it compiles to, and whether every source that
      it counts covers its window (`source_coverage`).
    - `cohort_spell`: cohort, threshold (`chosen` or a key of `ALTERNATIVES`), person_id, true_after, true_until.
      For an alternative only the spells at the as-of date, of the persons it would make, given to each person who
      shares a client with one.
    - `cohort_evidence`: cohort, person_id, evidence.
    """
    connection.execute("begin").fetchall()
    try:
        connection.execute(_TABLES).fetchall()
        connection.execute(_SUBJECTS).fetchall()
        _make_events(connection, event_sql("cohort_subject.subject", _OF_SUBJECTS))
        counted = [_with_counts(connection, cohort) for cohort in cohorts]
        for cohort, as_counted in zip(cohorts, counted, strict=True):
            _insert_definition(connection, cohort, sql_text(as_counted.rule))
        for cohort in counted:
            connection.execute(
                f"create or replace temp table rule_spell as {spells_sql(cohort.rule)}"
            ).fetchall()
            connection.execute(_INSERT_SPELLS.format(cohort=cohort.name)).fetchall()
            connection.execute(
                _INSERT_EVIDENCE.format(cohort=cohort.name, evidence=evidence_sql(cohort.rule))
            ).fetchall()
        for threshold, column in ALTERNATIVES.items():
            _insert_alternative(connection, counted, threshold, column)
        for table in _SCRATCH:
            connection.execute(f"drop table {table}").fetchall()
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise


def _make_events(connection: "DuckDBPyConnection", events: str) -> None:
    """The table `cohort_event`. Every rule looks through it for sources and kinds, which are quicker found as codes
    than as texts; their order is that of the texts."""
    codes = {
        column: ", ".join(
            f"'{name}'"
            for (name,) in connection.execute(
                f"select distinct {column} from encounter_kind order by {column}"
            ).fetchall()
        )
        for column in ("source", "kind")
    }
    coded = ", ".join(f"{column}::enum({names}) as {column}" for column, names in codes.items())
    connection.execute(
        f"create or replace temp table cohort_event as select * replace ({coded}) from ({events})"
    ).fetchall()


def _with_counts(connection: "DuckDBPyConnection", cohort: CohortDefinition) -> CohortDefinition:
    """The cohort with every share of the top as the count that it comes to at the as-of date."""
    counts = {
        share: int(connection.execute(count_of_top_sql(share)).fetchall()[0][0])
        for share in cohort.criteria()
        if isinstance(share, TopShare)
    }
    return replace(cohort, rule=with_counts(cohort.rule, counts))


def _insert_definition(connection: "DuckDBPyConnection", cohort: CohortDefinition, compiled: str) -> None:
    windows = " union all ".join(
        f"select '{source}' as source, {window.begin_sql()} as begins from run_parameter"
        for source, window in cohort.windows_counted()
    )
    connection.execute(
        _INSERT_DEFINITION.format(
            windows=windows or "select '' as source, current_date as begins where false"
        ),
        [
            cohort.name,
            cohort.label,
            cohort.says,
            cohort.source,
            cohort.owner,
            rule_json(cohort),
            compiled,
        ],
    ).fetchall()


def _insert_alternative(
    connection: "DuckDBPyConnection", cohorts: Sequence[CohortDefinition], threshold: str, column: str
) -> None:
    """Judge at another threshold only those persons whom it makes of other clients; the rest stay as they are."""
    connection.execute(_REGROUPED.format(column=column)).fetchall()
    _make_events(connection, event_sql("regrouped_client.subject", _OF_REGROUPED))
    for cohort in cohorts:
        connection.execute(
            _INSERT_REGROUPED.format(cohort=cohort.name, threshold=threshold, spells=spells_sql(cohort.rule))
        ).fetchall()
    connection.execute(_INSERT_UNCHANGED.format(threshold=threshold)).fetchall()


_TABLES = """
create or replace table cohort_definition (
    cohort varchar, label varchar, says varchar, source varchar, owner varchar, rule varchar, sql_text varchar,
    coverage_ok boolean, coverage_says varchar
);
create or replace table cohort_spell (
    cohort varchar, threshold varchar, person_id varchar, true_after date, true_until date
);
create or replace table cohort_evidence (cohort varchar, person_id varchar, evidence varchar);
"""

# Rules group and sort by subject again and again: numbers for it, and the ids where the answer is written down.
_SUBJECTS = """
create or replace temp table cohort_subject as
select person_id, (row_number() over ())::integer as subject
from (select distinct person_id from encounter)
"""

_OF_SUBJECTS = "inner join cohort_subject on cohort_subject.person_id = encounter.person_id"

_INSERT_SPELLS = """
insert into cohort_spell
select '{cohort}', 'chosen', cohort_subject.person_id, rule_spell.true_after, rule_spell.true_until
from rule_spell
inner join cohort_subject on cohort_subject.subject = rule_spell.subject
"""

# What each criterion sees of those for whom the rule ever held.
_INSERT_EVIDENCE = """
insert into cohort_evidence
with cohort_event as (
    from temp.cohort_event
    where subject in (select subject from rule_spell)
),
seen as (
    select subject, string_agg(says, '; ' order by position) as evidence
    from ({evidence})
    group by subject
)
select '{cohort}', cohort_subject.person_id, seen.evidence
from seen
inner join cohort_subject on cohort_subject.subject = seen.subject
"""

_REGROUPED = """
create or replace temp table regrouped_client as
with pair as (
    select distinct person_id, {column} as other_id from person_crosswalk
),
regrouped as (
    select other_id, (row_number() over ())::integer as subject
    from (
        select distinct other_id
        from pair
        where
            person_id in (select person_id from pair group by person_id having count(*) > 1)
            or other_id in (select other_id from pair group by other_id having count(*) > 1)
    )
)
select person_crosswalk.source, person_crosswalk.client_id, person_crosswalk.person_id, regrouped.subject
from person_crosswalk
inner join regrouped on regrouped.other_id = person_crosswalk.{column}
"""

_OF_REGROUPED = """inner join regrouped_client
    on regrouped_client.source = encounter.source and regrouped_client.client_id = encounter.client_id"""

_INSERT_REGROUPED = """
insert into cohort_spell
select distinct '{cohort}', '{threshold}', regrouped_client.person_id, spell.true_after, spell.true_until
from ({spells}) as spell
inner join regrouped_client on regrouped_client.subject = spell.subject
cross join run_parameter
where spell.true_after < run_parameter.as_of and spell.true_until >= run_parameter.as_of
"""

_INSERT_UNCHANGED = """
insert into cohort_spell
select cohort_spell.* replace ('{threshold}' as threshold)
from cohort_spell
cross join run_parameter
where
    threshold = 'chosen'
    and person_id not in (select person_id from regrouped_client)
    and true_after < run_parameter.as_of
    and true_until >= run_parameter.as_of
"""

_SCRATCH = ("cohort_event", "cohort_subject", "rule_spell", "regrouped_client")

_INSERT_DEFINITION = """
insert into cohort_definition
with needed as ({windows}),
needed_month as (
    select
        needed.source,
        strftime(
            unnest(
                generate_series(
                    date_trunc('month', needed.begins),
                    run_parameter.as_of - interval 1 day,
                    interval 1 month
                )
            ),
            '%Y-%m'
        ) as month
    from (select source, min(begins) as begins from needed group by source) as needed
    cross join run_parameter
),
covered as (
    select
        needed_month.source,
        count(*) as needed_months,
        count(source_coverage.month) as covered_months
    from needed_month
    left join source_coverage
        on
            source_coverage.source = needed_month.source
            and source_coverage.month = needed_month.month
            and source_coverage.is_covered
    group by needed_month.source
)
select
    ?, ?, ?, ?, ?, ?, ?,
    coalesce(bool_and(covered_months = needed_months), true),
    coalesce(
        string_agg(
            source || ' covers ' || covered_months || ' of ' || needed_months || ' months', '; ' order by source
        ) filter (where covered_months < needed_months),
        'every source it counts covers its window'
    )
from covered
"""
