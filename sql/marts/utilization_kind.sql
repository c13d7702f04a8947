-- utilization_kind
--
-- The same as utilization, by kind of encounter. Kinds of one source overlap in time and share episodes, so
-- their days and episodes do not add up to those of the source.
--
-- Grain: one row per person_id, source, kind and window_name.
-- Inputs: utilization_by_scope
-- Counts: only countable encounters; report episodes, not encounters.
-- Order: person_id, source, kind, window_name
-- Columns:
--   person_id: The person.
--   source: The delivering source.
--   kind: Kind of encounter.
--   window_name: 30_days, 6_months, 12_months, 24_months, 36_months or 60_months before the as-of date, or
--     calendar_year: from the first of January before it.
--   encounters: Countable encounters of the kind that started in the window.
--   episodes: Episodes with such an encounter.
--   days: Days in stays of the kind, to the hour: their union, clipped to the window.
select
    person_id,
    source,
    kind,
    window_name,
    encounters,
    episodes,
    days,
from utilization_by_scope
where kind <> 'any'
