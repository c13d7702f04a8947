-- homeless_spell
--
-- Occasions of homelessness as far as a shelter sees them: nights in shelters that are less than seven
-- nights apart, and the stays in jail or hospital of less than 90 days between them, which do not break an
-- occasion and count as part of it for someone who was homeless before. Nights outdoors that no shelter
-- recorded are not seen.
--
-- Grain: one row per person_id and started_at.
-- Inputs: encounter, occupied_interval, run_parameter
-- Order: person_id, started_at
-- Source: 24 CFR 578.3, definition of chronically homeless.
-- Columns:
--   person_id: The person.
--   started_at: First night of the occasion in a shelter.
--   ended_at: End of its last night or stay; the as-of date where a stay is open.
--   days: Days of the occasion spent in shelters or, in between, in jail or hospital, without the days
--     between.
--   days_in_last_36_months: The part of them in the 36 months before the as-of date.
with institution as (
    select
        encounter.person_id,
        encounter.started_at,
        coalesce(encounter.ended_at, run_parameter.as_of::timestamp) as ended_at,
    from encounter
    cross join run_parameter
    where
        encounter.is_countable
        and encounter.kind in ('booking', 'inpatient', 'psychiatric')
        and coalesce(encounter.ended_at, run_parameter.as_of::timestamp)
        < encounter.started_at + interval 90 days
),

place as (
    select
        person_id,
        started_at,
        max(ended_at) as ended_at,
        bool_or(is_shelter) as is_shelter,
    from (
        select
            person_id,
            started_at,
            ended_at,
            true as is_shelter,
        from occupied_interval
        where source = 'shelter' and kind = 'any'
        union all
        select
            institution.person_id,
            institution.started_at,
            institution.ended_at,
            false as is_shelter,
        from institution
        semi join occupied_interval
            on occupied_interval.person_id = institution.person_id and occupied_interval.source = 'shelter'
    ) as somewhere
    group by person_id, started_at
),

reached as (
    select
        *,
        max(ended_at) over (
            partition by person_id order by started_at rows between unbounded preceding and 1 preceding
        ) as reached_before,
    from place
),

numbered as (
    select
        *,
        count(*) filter (where reached_before is null or started_at >= reached_before + interval 7 days)
            over (
                partition by person_id order by started_at rows between unbounded preceding and current row
            ) as spell_number,
    from reached
),

homeless as (
    select
        *,
        min(started_at) filter (where is_shelter)
            over (partition by person_id, spell_number)
            as homeless_from,
    from numbered
),

-- Within a spell, the time that no earlier place already covers.
added as (
    select
        homeless.person_id,
        homeless.spell_number,
        homeless.homeless_from,
        homeless.ended_at,
        greatest(
            homeless.started_at,
            coalesce(homeless.reached_before, homeless.started_at),
            homeless.homeless_from
        )
            as added_from,
        run_parameter.as_of - interval 36 months as window_start,
    from homeless
    cross join run_parameter
    where homeless.started_at >= homeless.homeless_from
)

select
    person_id,
    homeless_from as started_at,
    max(ended_at) as ended_at,
    sum(greatest(date_diff('second', added_from, ended_at), 0)) / 86400 as days,
    sum(greatest(date_diff('second', greatest(added_from, window_start), ended_at), 0)) / 86400
        as days_in_last_36_months,
from added
group by person_id, spell_number, homeless_from
