-- covered_span
--
-- How far each source can be followed without a gap, from each month on: what looks ahead from an event
-- must not take a month that nobody delivered for a month in which nothing happened.
--
-- Grain: one row per source and month.
-- Inputs: run_parameter, source_coverage
-- Order: source, month
-- Columns:
--   source: The delivering source.
--   month: Month, YYYY-MM.
--   is_covered: Whether the month itself is covered.
--   covered_until: First day that is not covered any more, at most the as-of date; the first of the month
--     itself where that is not covered.
select
    source_coverage.source,
    source_coverage.month,
    source_coverage.is_covered,
    least(
        run_parameter.as_of,
        coalesce(
            min(if(source_coverage.is_covered, null, (source_coverage.month || '-01')::date)) over (
                partition by source_coverage.source order by source_coverage.month
                rows between current row and unbounded following
            ),
            run_parameter.as_of
        )
    ) as covered_until,
from source_coverage
cross join run_parameter
