-- familiar_faces_by_systems
--
-- Who are the familiar faces: in how many systems were they in the last twelve months, with how many bookings
-- and days? The range from the strictest to the loosest linkage threshold shows how far the count rests on
-- uncertain links.
--
-- Run it on a release: duckdb -readonly familiar_faces.duckdb. Suppress small cells before a number leaves
-- the building.
--
-- Grain: one row per system_count.
-- Inputs: cohort_membership, utilization
-- Columns:
--   system_count: In how many systems they were.
--   persons: Familiar faces.
--   persons_strict_links: Who would be one if links were accepted from a probability of 0.99.
--   persons_loose_links: Who would be one if links were accepted from a probability of 0.80.
--   bookings_each: Bookings, on average.
--   jail_days_each: Days in jail, on average.
--   shelter_days_each: Days in shelters, on average.
--   hospital_days_each: Days in hospital, on average.
with used as (
    select
        person_id,
        count(*) as system_count,
        coalesce(sum(episodes) filter (where source = 'jail'), 0) as bookings,
        coalesce(sum(days) filter (where source = 'jail'), 0) as jail_days,
        coalesce(sum(days) filter (where source = 'shelter'), 0) as shelter_days,
        coalesce(sum(days) filter (where source = 'hospital'), 0) as hospital_days,
    from utilization
    where window_name = '12_months'
    group by person_id
)

select
    used.system_count,
    count(*) filter (where cohort_membership.is_member) as persons,
    count(*) filter (where cohort_membership.member_099) as persons_strict_links,
    count(*) filter (where cohort_membership.member_080) as persons_loose_links,
    round(avg(used.bookings) filter (where cohort_membership.is_member), 1) as bookings_each,
    round(avg(used.jail_days) filter (where cohort_membership.is_member), 1) as jail_days_each,
    round(avg(used.shelter_days) filter (where cohort_membership.is_member), 1) as shelter_days_each,
    round(avg(used.hospital_days) filter (where cohort_membership.is_member), 1) as hospital_days_each,
from cohort_membership
inner join used on used.person_id = cohort_membership.person_id
where
    cohort_membership.cohort = 'king_county_familiar_faces'
    and (cohort_membership.is_member or cohort_membership.member_099 or cohort_membership.member_080)
group by used.system_count
order by used.system_count
