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
with band as (
    -- Windows end together, so what lies between the starts of one and the next shorter one is in the first
    -- and in all longer ones: counted once by band, added up by window.
    select
        window_start as band_start,
        lead(window_start, 1, window_end) over (order by window_start) as band_end,
    from time_window
),

started as (
    select
        encounter.person_id,
        encounter.source,
        encounter.kind,
        encounter.episode_id,
        band.band_start,
        count(*) as encounters,
    from encounter
    inner join band on encounter.started_at >= band.band_start and encounter.started_at < band.band_end
    where encounter.is_countable
    group by all
),

-- An episode counts in every window that holds its last encounter.
latest_of_episode as (
    select
        person_id,
        source,
        kind,
        episode_id,
        max(band_start) as band_start,
    from started
    group by all
),

latest_of_episode_of_any_kind as (
    select
        person_id,
        source,
        episode_id,
        max(band_start) as band_start,
    from latest_of_episode
    group by all
),

occupied as (
    select
        occupied_interval.person_id,
        occupied_interval.source,
        occupied_interval.kind,
        band.band_start,
        date_diff(
            'second',
            greatest(occupied_interval.started_at, band.band_start),
            least(occupied_interval.ended_at, band.band_end)
        ) as seconds,
    from occupied_interval
    inner join band
        on
            occupied_interval.ended_at > band.band_start
            and occupied_interval.started_at < band.band_end
),

measured as (
    select
        person_id,
        source,
        kind,
        band_start,
        encounters,
        0 as episodes,
        0 as seconds,
    from started
    union all
    select
        person_id,
        source,
        'any' as kind,
        band_start,
        encounters,
        0 as episodes,
        0 as seconds,
    from started
    union all
    select
        person_id,
        source,
        kind,
        band_start,
        0 as encounters,
        1 as episodes,
        0 as seconds,
    from latest_of_episode
    union all
    select
        person_id,
        source,
        'any' as kind,
        band_start,
        0 as encounters,
        1 as episodes,
        0 as seconds,
    from latest_of_episode_of_any_kind
    union all
    select
        person_id,
        source,
        kind,
        band_start,
        0 as encounters,
        0 as episodes,
        seconds,
    from occupied
),

used as (
    select
        person_id,
        source,
        kind,
        band_start,
        sum(encounters) as encounters,
        sum(episodes) as episodes,
        sum(seconds) as seconds,
    from measured
    group by all
)

select
    used.person_id,
    used.source,
    used.kind,
    time_window.window_name,
    sum(used.encounters)::integer as encounters,
    sum(used.episodes)::integer as episodes,
    round(sum(used.seconds) / 86400.0, 4) as days,
from used
inner join time_window on used.band_start >= time_window.window_start
group by all
