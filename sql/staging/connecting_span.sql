-- connecting_span
--
-- How far the sources that can show a connection to care can be followed without a gap, from each month on:
-- no contact may be said of a person only where every one of them delivered.
--
-- Grain: one row per month.
-- Inputs: covered_span, encounter_kind, run_parameter
-- Order: month
-- Columns:
--   month: Month, YYYY-MM.
--   covered_until: First day that one of them does not cover any more, at most the as-of date; empty where
--     one of them delivers nothing at all.
with connecting_source as (
    select
        encounter_kind.source,
        count(*) over () as sources,
    from encounter_kind
    cross join run_parameter
    where list_contains(run_parameter.connected_by, encounter_kind.kind)
    group by encounter_kind.source
)

select
    covered_span.month,
    if(count(*) < max(connecting_source.sources), null, min(covered_span.covered_until)) as covered_until,
from covered_span
inner join connecting_source on connecting_source.source = covered_span.source
group by covered_span.month
