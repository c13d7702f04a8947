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
        connection.execute(f"create or replace temp table cohort_event as {event_sql()}").fetchall()
        counted = [_with_counts(connection, cohort) for cohort in cohorts]
        for cohort, as_counted in zip(cohorts, counted, strict=True):
            _insert_definition(connection, cohort, sql_text(as_counted.rule))
        for cohort in counted:
            connection.execute(
                f"insert into cohort_spell select '{cohort.name}', 'chosen', subject, true_after, true_until "
                f"from ({spells_sql(cohort.rule)})"
            ).fetchall()
            _insert_evidence(connection, cohort)
        for threshold, column in ALTERNATIVES.items():
            _insert_alternative(connection, counted, threshold, column)
        connection.execute("drop table cohort_event").fetchall()
        connection.execute("drop table regrouped_person").fetchall()
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise


def _insert_evidence(connection: "DuckDBPyConnection", cohort: CohortDefinition) -> None:
    """What each criterion sees of those for whom the rule ever held."""
    connection.execute(
        f"""
        insert into cohort_evidence
        with cohort_event as (
            from temp.cohort_event
            where subject in (select person_id from cohort_spell where cohort = '{cohort.name}')
        )
        select '{cohort.name}', subject, string_agg(says, '; ' order by position)
        from ({evidence_sql(cohort.rule)})
        group by subject
        """
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
    connection.execute(f"create or replace temp table cohort_event as {event_sql(column)}").fetchall()
    for cohort in cohorts:
        connection.execute(
            _INSERT_ALTERNATIVE.format(
                cohort=cohort.name, threshold=threshold, spells=spells_sql(cohort.rule)
            )
        ).fetchall()


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

_REGROUPED = """
inner join person_crosswalk
    on person_crosswalk.source = encounter.source and person_crosswalk.client_id = encounter.client_id
where person_crosswalk.{column} in (select subject from regrouped_person)"""

_REGROUPED = """
create or replace temp table regrouped_person as
select person_id, subject
from (select distinct person_id, {column} as subject from person_crosswalk)
qualify count(*) over (partition by person_id) > 1 or count(*) over (partition by subject) > 1
"""

_INSERT_ALTERNATIVE = """
insert into cohort_spell
with spell as (
    select distinct regrouped_person.person_id, spell.true_after, spell.true_until
    from ({spells}) as spell
    inner join regrouped_person on regrouped_person.subject = spell.subject
    union all
    select person_id, true_after, true_until
    from cohort_spell
    where
        cohort = '{cohort}'
        and threshold = 'chosen'
        and person_id not in (select person_id from regrouped_person)
)
select '{cohort}', '{threshold}', spell.person_id, spell.true_after, spell.true_until
from spell
cross join run_parameter
where spell.true_after < run_parameter.as_of and spell.true_until >= run_parameter.as_of
"""

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
