-- crisis_step
--
-- From what to what people went, step by step, in the twelve months before the as-of date: each countable
-- encounter and the one before it, and once more with episodes in the place of encounters (an ambulance
-- ride, the emergency visit it led to and the admission are one).
--
-- The gap runs from the end of the earlier (its start where it has no duration) to the start of the later.
-- A stay that is still open has no end and leads nowhere yet; what starts before the earlier has ended
-- overlaps it. Kinds that are recorded by day cannot be put in order within the day, so their steps of one
-- day are same_day_unordered.
--
-- Grain: one row per counting, from_id and to_id.
-- Inputs: encounter, encounter_kind, run_parameter
-- Order: counting, from_id, to_id
-- Columns:
--   counting: encounters or episodes.
--   person_id: The person.
--   from_id: Encounter or episode that came before.
--   to_id: Encounter or episode that came next.
--   from_kind: Kind of the earlier; of an episode the kind of its last encounter.
--   to_kind: Kind of the later; of an episode the kind of its first encounter.
--   from_at: End of the earlier.
--   to_at: Start of the later.
--   gap: same_day_unordered, overlapping, 0-24 h, 24-72 h, 3-7 d, 7-30 d or over 30 d; upper ends are not
--     included.
with countable as (
    select
        'encounters' as counting,
        encounter.person_id,
        encounter.encounter_id as event_id,
        encounter.episode_id,
        encounter.source,
        encounter.kind as first_kind,
        encounter.kind as last_kind,
        encounter_kind.by_day as first_by_day,
        encounter_kind.by_day as last_by_day,
        encounter.started_at,
        case
            when encounter.is_open then null
            when encounter.kind = 'bed_night'
                then date_trunc('day', encounter.started_at) + interval 1 day
            else coalesce(encounter.ended_at, encounter.started_at)
        end as done_at,
    from encounter
    inner join encounter_kind
        on encounter_kind.source = encounter.source and encounter_kind.kind = encounter.kind
    where encounter.is_countable
),

event as (
    select * exclude (episode_id),
    from countable
    union all by name
    select
        'episodes' as counting,
        person_id,
        episode_id as event_id,
        min(source) as source,
        arg_min(first_kind, (started_at, source, event_id)) as first_kind,
        arg_max(last_kind, (started_at, source, event_id)) as last_kind,
        arg_min(first_by_day, (started_at, source, event_id)) as first_by_day,
        arg_max(last_by_day, (started_at, source, event_id)) as last_by_day,
        min(started_at) as started_at,
        if(count(*) > count(done_at), null, max(done_at)) as done_at,
    from countable
    group by person_id, episode_id
),

step as (
    select
        counting,
        person_id,
        lag(event_id) over in_order as from_id,
        event_id as to_id,
        lag(last_kind) over in_order as from_kind,
        first_kind as to_kind,
        lag(done_at) over in_order as from_at,
        started_at as to_at,
        first_by_day or lag(last_by_day) over in_order as one_by_day,
        lag(date_trunc('day', started_at)) over in_order as earlier_day,
    from event
    window in_order as (partition by counting, person_id order by started_at, source, event_id)
)

select
    step.counting,
    step.person_id,
    step.from_id,
    step.to_id,
    step.from_kind,
    step.to_kind,
    step.from_at,
    step.to_at,
    case
        when
            step.one_by_day
            and (
                date_trunc('day', step.to_at) = date_trunc('day', step.from_at)
                or date_trunc('day', step.to_at) = step.earlier_day
            )
            then 'same_day_unordered'
        when step.to_at < step.from_at then 'overlapping'
        when step.to_at < step.from_at + interval 24 hours then '0-24 h'
        when step.to_at < step.from_at + interval 72 hours then '24-72 h'
        when step.to_at < step.from_at + interval 7 days then '3-7 d'
        when step.to_at < step.from_at + interval 30 days then '7-30 d'
        else 'over 30 d'
    end as gap,
from step
cross join run_parameter
where
    step.from_id is not null
    and step.from_at is not null
    and step.to_at >= run_parameter.as_of - interval 12 months
