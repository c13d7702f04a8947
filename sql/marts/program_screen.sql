-- program_screen
--
-- People whom a program might help, each with the reasons: a screen for outreach review, never an
-- eligibility decision. `program_definition` has each rule, its source and what the data cannot see. People
-- who may be under 18 are left out unless the county file includes them.
--
-- Grain: one row per person_id and program.
-- Inputs: connecting_span, encounter, homeless_spell, jail_stay, person, program_definition, run_parameter
-- Order: program, person_id
-- Columns:
--   person_id: The person.
--   program: Name of the program, as in program_definition.
--   as_of: The day at which the screen is made.
--   reasons: What was found, in words and numbers.
--   rests_on_sud: Whether the row says that a substance use disorder was recorded; it then goes to no jail.
with seen as (
    select
        encounter.*,
        run_parameter.as_of,
    from encounter
    cross join run_parameter
    where encounter.started_at >= run_parameter.as_of - interval 36 months
),

recorded as (
    select
        person_id,
        coalesce(bool_or(smi and started_at >= as_of - interval 24 months), false) as has_smi,
        coalesce(bool_or(sud and started_at >= as_of - interval 24 months), false) as has_sud,
        coalesce(bool_or(disabling_condition), false) as is_disabled,
        max(as_of) as as_of,
    from seen
    group by person_id
),

admission as (
    select
        episode_id,
        person_id,
        min(started_at) as started_at,
        bool_or(kind = 'psychiatric') as is_psychiatric,
        coalesce(bool_or(smi), false) as with_smi,
        max(as_of) as as_of,
    from seen
    where kind in ('inpatient', 'psychiatric') and is_countable
    group by episode_id, person_id
),

admitted as (
    select
        person_id,
        count(*) filter (where with_smi and started_at >= as_of - interval 12 months)
            as with_smi_in_12_months,
        count(*) filter (where is_psychiatric and started_at >= as_of - interval 180 days)
            as psychiatric_in_180_days,
    from admission
    group by person_id
),

jailed as (
    select
        jail_stay.person_id,
        count(*) filter (where jail_stay.booked_at >= run_parameter.as_of - interval 12 months)
            as in_12_months,
        count(*) filter (where jail_stay.booked_at >= run_parameter.as_of - interval 180 days) as in_180_days,
        bool_or(jail_stay.released_at is null) as is_in_custody,
    from jail_stay
    cross join run_parameter
    group by jail_stay.person_id
),

sheltered as (
    select
        homeless_spell.person_id,
        max(homeless_spell.ended_at) as last_at,
        max(date_diff('day', homeless_spell.started_at, homeless_spell.ended_at))
        filter (where homeless_spell.ended_at >= run_parameter.as_of - interval 90 days) as latest_days,
        count(*) filter (where homeless_spell.days_in_last_36_months > 0) as occasions,
        sum(homeless_spell.days_in_last_36_months) as days,
        max(run_parameter.as_of) as as_of,
    from homeless_spell
    cross join run_parameter
    group by homeless_spell.person_id
),

latest_release as (
    select
        jail_stay.person_id,
        jail_stay.released_at,
        jail_stay.has_smi,
    from jail_stay
    cross join run_parameter
    inner join connecting_span on connecting_span.month = strftime(jail_stay.released_at, '%Y-%m')
    where
        jail_stay.released_at >= run_parameter.as_of - interval 120 days
        and jail_stay.released_at::date + 31 <= connecting_span.covered_until
        and coalesce(jail_stay.release_reason not in ('to_prison', 'to_other_agency', 'died'), true)
    qualify row_number() over (
        partition by jail_stay.person_id order by jail_stay.released_at desc, jail_stay.episode_id asc
    ) = 1
),

served as (
    select distinct latest_release.person_id,
    from latest_release
    inner join seen
        on
            seen.person_id = latest_release.person_id
            and seen.started_at >= latest_release.released_at
            and seen.started_at < latest_release.released_at::date + 31
    cross join run_parameter
    where seen.is_countable and list_contains(run_parameter.connected_by, seen.kind)
),

found as (
    select
        recorded.person_id,
        'act' as program,
        concat_ws(
            '; ',
            'serious mental illness recorded in 24 months',
            if(
                admitted.with_smi_in_12_months >= 2,
                admitted.with_smi_in_12_months || ' admissions with it in 12 months', null
            ),
            if(
                admitted.psychiatric_in_180_days >= 2,
                admitted.psychiatric_in_180_days || ' psychiatric admissions in 180 days', null
            ),
            if(jailed.in_180_days >= 2, jailed.in_180_days || ' bookings in 180 days', null)
        ) as reasons,
    from recorded
    left join admitted on admitted.person_id = recorded.person_id
    left join jailed on jailed.person_id = recorded.person_id
    where
        recorded.has_smi
        and (
            admitted.with_smi_in_12_months >= 2
            or admitted.psychiatric_in_180_days >= 2
            or jailed.in_180_days >= 2
        )
    union all
    select
        recorded.person_id,
        'fact' as program,
        'serious mental illness recorded in 24 months; ' || jailed.in_12_months
        || ' bookings in 12 months' as reasons,
    from recorded
    inner join jailed on jailed.person_id = recorded.person_id
    where recorded.has_smi and jailed.in_12_months >= 3
    union all
    select
        sheltered.person_id,
        'supportive_housing' as program,
        concat_ws(
            '; ',
            if(
                recorded.is_disabled,
                'disabling condition recorded by a shelter', 'serious mental illness recorded in 24 months'
            ),
            if(
                sheltered.latest_days >= 365,
                'homeless for ' || sheltered.latest_days || ' days without a break of seven nights', null
            ),
            if(
                sheltered.occasions >= 4 and sheltered.days >= 365,
                sheltered.occasions
                || ' occasions in 36 months, '
                || floor(sheltered.days)::integer
                || ' days',
                null
            )
        ) as reasons,
    from sheltered
    inner join recorded on recorded.person_id = sheltered.person_id
    where
        (recorded.is_disabled or recorded.has_smi)
        and sheltered.last_at >= sheltered.as_of - interval 90 days
        and (
            coalesce(sheltered.latest_days >= 365, false)
            or (sheltered.occasions >= 4 and sheltered.days >= 365)
        )
    union all
    select
        latest_release.person_id,
        'reentry' as program,
        'serious mental illness by the jail''s assessment; released '
        || strftime(latest_release.released_at, '%Y-%m-%d')
        || '; no behavioral-health contact within 30 days' as reasons,
    from latest_release
    inner join jailed on jailed.person_id = latest_release.person_id
    anti join served on served.person_id = latest_release.person_id
    where latest_release.has_smi and not jailed.is_in_custody
    union all
    select
        person_id,
        'integrated_treatment' as program,
        'serious mental illness and substance use disorder recorded in 24 months' as reasons,
    from recorded
    where has_smi and has_sud
)

select
    found.person_id,
    found.program,
    run_parameter.as_of,
    found.reasons,
    program_definition.rests_on_sud,
from found
inner join program_definition on program_definition.program = found.program
inner join person on person.person_id = found.person_id
cross join run_parameter
where run_parameter.include_minors or person.is_minor is distinct from true
