-- familiar_faces_by_month
--
-- Bookings and emergency department visits of today's familiar faces in each of the last twelve months. They
-- were chosen for many bookings, so the months before today are high by construction: later months will be
-- lower with or without help (regression to the mean), and a fall is no effect.
--
-- Run it on a release: duckdb -readonly familiar_faces.duckdb. Suppress small cells before a number leaves
-- the building.
--
-- Grain: one row per month.
-- Inputs: cohort_membership, encounter, run_parameter
-- Columns:
--   month: Month, YYYY-MM.
--   bookings: Their bookings.
--   persons_booked: How many of them were booked.
--   ed_visits: Their emergency department visits.
--   persons_in_ed: How many of them made one.
with episode as (
    select
        encounter.person_id,
        encounter.kind,
        encounter.episode_id,
        strftime(min(encounter.started_at), '%Y-%m') as month,
    from encounter
    inner join cohort_membership on cohort_membership.person_id = encounter.person_id
    where
        cohort_membership.cohort = 'king_county_familiar_faces'
        and cohort_membership.is_member
        and encounter.is_countable
        and encounter.kind in ('booking', 'ed')
    group by encounter.person_id, encounter.kind, encounter.episode_id
),

last_month as (
    select
        strftime(
            unnest(
                generate_series(
                    run_parameter.as_of - interval 12 months,
                    run_parameter.as_of - interval 1 day,
                    interval 1 month
                )
            ),
            '%Y-%m'
        ) as month,
    from run_parameter
)

select
    last_month.month,
    count(*) filter (where episode.kind = 'booking') as bookings,
    count(distinct episode.person_id) filter (where episode.kind = 'booking') as persons_booked,
    count(*) filter (where episode.kind = 'ed') as ed_visits,
    count(distinct episode.person_id) filter (where episode.kind = 'ed') as persons_in_ed,
from last_month
left join episode on episode.month = last_month.month
group by last_month.month
order by last_month.month
