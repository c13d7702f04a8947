-- cohort_membership
--
-- Who is in which cohort at the as-of date, since when and why; who left within the twelve months before; and
-- who would be in it if links were accepted at another probability: the rule judged on the persons that this
-- would make, for each person who shares a client with one of them. People who may be under 18 are left out
-- unless the county file includes them. A cohort is for outreach and care, never for enforcement.
--
-- Grain: one row per person_id and cohort.
-- Inputs: cohort_definition, cohort_evidence, cohort_spell, person, run_parameter
-- Counts: only rows with is_member; the others left, or would be in at another threshold.
-- Order: cohort, person_id
-- Columns:
--   person_id: The person.
--   cohort: Name of the cohort, as in cohort_definition.
--   as_of: The day at which membership is judged.
--   is_member: Whether the rule holds at the as-of date; count only these rows.
--   entered_on: Day of the event that made the rule true for the last time; empty where it was not true.
--   left_on: Last day of which the rule was still true; empty for members.
--   evidence: What the rule sees at the as-of date, in words and numbers; empty where it sees nothing.
--   coverage_ok: Whether every source that the rule counts covers its whole window; if not, the cohort is
--     short.
--   member_080: Whether the rule would hold if links were accepted from an estimated probability of 0.80.
--   member_095: The same at 0.95.
--   member_099: The same at 0.99.
with judged as (
    select
        cohort_spell.*,
        run_parameter.as_of,
        cohort_spell.threshold = 'chosen' as is_chosen,
        cohort_spell.true_after < run_parameter.as_of
        and cohort_spell.true_until >= run_parameter.as_of as holds,
        cohort_spell.true_until < run_parameter.as_of
        and cohort_spell.true_until >= run_parameter.as_of - interval 12 months as left_lately,
    from cohort_spell
    cross join run_parameter
),

membership as (
    select
        person_id,
        cohort,
        as_of,
        bool_or(holds and is_chosen) as is_member,
        max(true_after) filter (where is_chosen) as entered_on,
        max(true_until) filter (where is_chosen) as true_until,
        bool_or(holds and threshold = '080') as member_080,
        bool_or(holds and threshold = '095') as member_095,
        bool_or(holds and threshold = '099') as member_099,
    from judged
    where holds or (left_lately and is_chosen)
    group by person_id, cohort, as_of
)

select
    membership.person_id,
    membership.cohort,
    membership.as_of,
    membership.is_member,
    membership.entered_on,
    if(membership.is_member, null, membership.true_until) as left_on,
    cohort_evidence.evidence,
    cohort_definition.coverage_ok,
    membership.member_080,
    membership.member_095,
    membership.member_099,
from membership
inner join cohort_definition on cohort_definition.cohort = membership.cohort
inner join person on person.person_id = membership.person_id
cross join run_parameter
left join cohort_evidence
    on cohort_evidence.cohort = membership.cohort and cohort_evidence.person_id = membership.person_id
where run_parameter.include_minors or person.is_minor is distinct from true
