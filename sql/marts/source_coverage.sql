-- source_coverage
--
-- Which months each source delivered, so that nobody reads silence as zero. Months run from the first that
-- any source covers to the as-of date.
--
-- Grain: one row per source and month.
-- Inputs: delivery, run_parameter
-- Order: source, month
-- Columns:
--   source: The delivering source.
--   month: Month, YYYY-MM.
--   is_covered: Whether an accepted delivery covers the whole month, as far as it lies before the as-of date.
--   delivered_rows: Rows of people and encounters delivered for the month.
--   accepted_rows: Rows that kept every rule.
--   quarantined_rows: Rows kept out, each with its reasons; delivered = accepted + quarantined.
with covered_month as (
    select
        unnest(
            generate_series(
                date_trunc('month', (select min(covers_from), from delivery)),
                (select as_of, from run_parameter) - interval 1 day,
                interval 1 month
            )
        )::date as first_day,
),

delivering_source as (
    select distinct source, from delivery
)

select
    delivering_source.source,
    strftime(covered_month.first_day, '%Y-%m') as month,
    exists (
        select 1,
        from delivery as covering
        where
            covering.source = delivering_source.source
            and covering.covers_from <= covered_month.first_day
            and covering.covers_to >= least(
                covered_month.first_day + interval 1 month, (select run_parameter.as_of, from run_parameter)
            )
    ) as is_covered,
    coalesce(delivery.delivered_people + delivery.delivered_encounters, 0) as delivered_rows,
    coalesce(delivery.accepted_people + delivery.accepted_encounters, 0) as accepted_rows,
    coalesce(delivery.quarantined_people + delivery.quarantined_encounters, 0) as quarantined_rows,
from delivering_source
cross join covered_month
left join delivery
    on
        delivery.source = delivering_source.source
        and delivery.month = strftime(covered_month.first_day, '%Y-%m')
