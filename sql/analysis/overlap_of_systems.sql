-- overlap_of_systems
--
-- In which systems were people in the last twelve months, and in how many at once? One row per combination,
-- the largest first, with the days spent in each system by all of its people together. Hospital includes
-- outpatient behavioral-health visits.
--
-- Run it on a release: duckdb -readonly familiar_faces.duckdb. Suppress small cells before a number leaves
-- the building.
--
-- Grain: one row per systems.
-- Inputs: utilization
-- Columns:
--   systems: The sources that met them, in alphabetical order.
--   system_count: How many sources that is.
--   persons: People in exactly these systems.
--   jail_days: Days that all of them together spent in jail.
--   shelter_days: The same in shelters.
--   hospital_days: The same in hospital.
with in_system as (
    select
        person_id,
        string_agg(source, ' + ' order by source) as systems,
        count(*) as system_count,
        coalesce(sum(days) filter (where source = 'jail'), 0) as jail_days,
        coalesce(sum(days) filter (where source = 'shelter'), 0) as shelter_days,
        coalesce(sum(days) filter (where source = 'hospital'), 0) as hospital_days,
    from utilization
    where window_name = '12_months'
    group by person_id
)

select
    systems,
    system_count,
    count(*) as persons,
    round(sum(jail_days))::bigint as jail_days,
    round(sum(shelter_days))::bigint as shelter_days,
    round(sum(hospital_days))::bigint as hospital_days,
from in_system
group by systems, system_count
order by persons desc, systems asc
