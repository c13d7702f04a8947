-- cohort_membership
--
-- Who is in which cohort at the as-of date, since when and why; who left within the twelve months before; and
-- who would be in it if links were accepted at another probability. People under 18 are left out unless the
-- county file includes them. A cohort is for outreach and care, never for enforcement.
--
-- Grain: one row per person_id and cohort.
-- Inputs: cohort_definition, cohort_evidence, cohort_spell, person, person_crosswalk, run_parameter
-- Order: cohort, person_id
-- Columns:
--   person_id: The person.
--   cohort: Name of the cohort, as in cohort_definition.
--   as_of: The day at which membership is judged.
--   is_member: Whether the rule holds at the as-of date; count only these rows.
--   entered_on: Day on which the rule became true for the last time.
--   left_on: Day on which it stopped being true; empty for members.
--   evidence: What the rule saw, in words and numbers.
--   coverage_ok: Whether every source that the rule counts covers its whole window; if not, the cohort
--     is short.
--   member_080: Whether the rule would hold if links were accepted from an estimated probability of 0.80.
--   member_095: The same at 0.95.
--   member_099: The same at 0.99.
with spell_of_person as (
    select distinct
        cohort_spell.cohort,
        cohort_spell.threshold,
        person_crosswalk.person_id,
        cohort_spell.true_after,
        cohort_spell.true_until,
    from cohort_spell
    inner join person_crosswalk
        on
            cohort_spell.subject = case cohort_spell.threshold
                when 'chosen' then person_crosswalk.person_id
                when '080' then person_crosswalk.person_id_080
                when '095' then person_crosswalk.person_id_095
                when '099' then person_crosswalk.person_id_099
            end
),

judged as (
    select
        spell_of_person.*,
        run_parameter.as_of,
        spell_of_person.true_after < run_parameter.as_of
        and spell_of_person.true_until >= run_parameter.as_of as holds,
        spell_of_person.true_after < run_parameter.as_of
        and spell_of_person.true_until < run_parameter.as_of
        and spell_of_person.true_until >= run_parameter.as_of - interval 12 months as left_lately,
    from spell_of_person
    cross join run_parameter
),

membership as (
    select
        person_id,
        cohort,
        as_of,
        coalesce(bool_or(holds) filter (where threshold = 'chosen'), false) as is_member,
        max(true_after) filter (where threshold = 'chosen' and holds) as entered_at,
        max(true_after) filter (where threshold = 'chosen' and left_lately) as entered_before_at,
        max(true_until) filter (where threshold = 'chosen' and left_lately) as left_at,
        coalesce(bool_or(holds) filter (where threshold = '080'), false) as member_080,
        coalesce(bool_or(holds) filter (where threshold = '095'), false) as member_095,
        coalesce(bool_or(holds) filter (where threshold = '099'), false) as member_099,
    from judged
    group by person_id, cohort, as_of
    having
        bool_or(holds) or bool_or(left_lately) filter (where threshold = 'chosen')
)

select
    membership.person_id,
    membership.cohort,
    membership.as_of,
    membership.is_member,
    coalesce(membership.entered_at, membership.entered_before_at)::date as entered_on,
    if(membership.is_member, null, membership.left_at::date) as left_on,
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
