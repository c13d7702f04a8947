-- utilization_by_scope
--
-- Use of each system in each window, by kind of encounter and over all kinds of a source ('any').
--
-- Grain: one row per person_id, source, kind and window_name.
-- Inputs: encounter, occupied_interval, time_window
-- Order: person_id, source, kind, window_name
-- Columns:
--   person_id: The person.
--   source: The delivering source.
--   kind: Kind of encounter, or any.
--   window_name: The window.
--   encounters: Countable encounters that started in the window.
--   episodes: Episodes with such an encounter.
--   days: Days in the system, to the hour: the union of stays, clipped to the window.
with started as (
    select
        *,
        -- An episode counts in every window that holds its last encounter; a distinct count costs far more.
        row_number() over (
            partition by person_id, source, kind, episode_id order by started_at desc, encounter_id asc
        ) = 1 as is_last_of_episode,
    from (
        select
            person_id,
            source,
            unnest([kind, 'any']) as kind,
            started_at,
            episode_id,
            encounter_id,
        from encounter
        where is_countable
    ) as countable
),

counted as (
    select
        started.person_id,
        started.source,
        started.kind,
        time_window.window_name,
        count(*) as encounters,
        count(*) filter (where started.is_last_of_episode) as episodes,
        0 as seconds,
    from started
    inner join time_window
        on started.started_at >= time_window.window_start and started.started_at < time_window.window_end
    group by all
),

occupied as (
    select
        occupied_interval.person_id,
        occupied_interval.source,
        occupied_interval.kind,
        time_window.window_name,
        0 as encounters,
        0 as episodes,
        sum(
            date_diff(
                'second',
                greatest(occupied_interval.started_at, time_window.window_start),
                least(occupied_interval.ended_at, time_window.window_end)
            )
        ) as seconds,
    from occupied_interval
    inner join time_window
        on
            occupied_interval.ended_at > time_window.window_start
            and occupied_interval.started_at < time_window.window_end
    group by all
),

used as (
    from counted
    union all
    from occupied
)

select
    person_id,
    source,
    kind,
    window_name,
    sum(encounters)::integer as encounters,
    sum(episodes)::integer as episodes,
    round(sum(seconds) / 86400.0, 4) as days,
from used
group by all
