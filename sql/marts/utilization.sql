-- utilization
--
-- How often and how long each person was in each system, in each window before the as-of date. Someone who
-- was there all along, without a new encounter, has days and no encounters; someone never there has no row.
--
-- Grain: one row per person_id, source and window_name.
-- Inputs: utilization_by_scope
-- Counts: only countable encounters; report episodes, not encounters.
-- Order: person_id, source, window_name
-- Columns:
--   person_id: The person.
--   source: The delivering source.
--   window_name: 30_days, 6_months, 12_months, 24_months, 36_months or 60_months before the as-of date, or
--     calendar_year: from the first of January before it.
--   encounters: Countable encounters that started in the window.
--   episodes: Episodes with such an encounter.
--   days: Days in the system, to the hour: the union of stays, clipped to the window, open stays up to the
--     as-of date.
select
    person_id,
    source,
    window_name,
    encounters,
    episodes,
    days,
from utilization_by_scope
where kind = 'any'
