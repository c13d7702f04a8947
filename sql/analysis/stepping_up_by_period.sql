-- stepping_up_by_period
--
-- The four key measures of Stepping Up, side by side, a month or a calendar year in each row. What is empty
-- is withheld, could not be followed, or was not delivered: `note` in stepping_up_measure says which. The
-- last columns speak of releases of that period, so the newest ones fill up later.
--
-- Run it on a release: duckdb -readonly familiar_faces.duckdb. Its numbers are suppressed already.
--
-- Grain: one row per period.
-- Inputs: stepping_up_measure
-- Columns:
--   period: Month, YYYY-MM, or calendar year, YYYY.
--   months: How many months of it the jail covers.
--   people_booked: People booked, each once.
--   with_smi: Share of them with a serious mental illness by the jail's assessment.
--   screened: Share of the bookings that were screened.
--   days_smi: Mean length of stay of released people with SMI, in days.
--   days_other: The same of the others.
--   connected_smi: Share of releases of people with SMI with a behavioral-health contact within 30 days.
--   rebooked_smi: Share of released people with SMI who were booked again within 12 months.
--   rebooked_other: The same of the others.
select
    period,
    any_value(months) as months,
    max(denominator) filter (where measure = 'people_booked' and smi = 'all') as people_booked,
    round(max(value) filter (where measure = 'people_booked' and smi = 'all'), 3) as with_smi,
    round(max(value) filter (where measure = 'screened' and smi = 'all'), 3) as screened,
    round(max(value) filter (where measure = 'length_of_stay' and smi = 'smi'), 1) as days_smi,
    round(max(value) filter (where measure = 'length_of_stay' and smi = 'other'), 1) as days_other,
    round(max(value) filter (where measure = 'connected_30_days' and smi = 'smi'), 3) as connected_smi,
    round(max(value) filter (where measure = 'rebooked_12_months_any' and smi = 'smi'), 3) as rebooked_smi,
    round(max(value) filter (where measure = 'rebooked_12_months_any' and smi = 'other'), 3)
        as rebooked_other,
from stepping_up_measure
where charge_class = 'all'
group by period
order by length(period), period
