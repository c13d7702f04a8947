-- occupied_interval
--
-- When each person was in each system, as intervals that do not overlap: overlapping and touching countable
-- stays are one interval, so that no day is counted twice. A bed night is the whole day under which it is
-- recorded. Once per kind of stay and once over all kinds of a source ('any').
--
-- Grain: one row per person_id, source, kind and started_at.
-- Inputs: encounter, run_parameter
-- Order: person_id, source, kind, started_at
-- Columns:
--   person_id: The person.
--   source: The delivering source.
--   kind: Kind of encounter, or any.
--   started_at: Start of the interval.
--   ended_at: Its end; the as-of date where a stay is open.
with stay as (
    select
        encounter.person_id,
        encounter.source,
        unnest([encounter.kind, 'any']) as kind,
        if(
            encounter.kind = 'bed_night',
            date_trunc('day', encounter.started_at),
            encounter.started_at
        ) as started_at,
        if(
            encounter.kind = 'bed_night',
            date_trunc('day', encounter.started_at) + interval 1 day,
            coalesce(encounter.ended_at, run_parameter.as_of::timestamp)
        ) as ended_at,
    from encounter
    cross join run_parameter
    where encounter.is_countable and encounter.is_stay
),

-- One row per start, so that its order is total: rows that tie may come in another order in each window.
longest as (
    select
        person_id,
        source,
        kind,
        started_at,
        max(ended_at) as ended_at,
    from stay
    group by person_id, source, kind, started_at
),

reached as (
    select
        *,
        max(ended_at) over (
            partition by person_id, source, kind
            order by started_at
            rows between unbounded preceding and 1 preceding
        ) as reached_before,
    from longest
),

numbered as (
    select
        *,
        count(*) filter (where reached_before is null or started_at > reached_before) over (
            partition by person_id, source, kind
            order by started_at
            rows between unbounded preceding and current row
        ) as interval_number,
    from reached
)

select
    person_id,
    source,
    kind,
    min(started_at) as started_at,
    max(ended_at) as ended_at,
from numbered
group by person_id, source, kind, interval_number
