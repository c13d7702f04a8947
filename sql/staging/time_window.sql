-- time_window
--
-- The windows over which use is counted: rolling ones, and the calendar year of the day before the as-of
-- date. All end at the as-of date and are half open: an encounter counts when it started at or after
-- window_start and before window_end.
--
-- Grain: one row per window_name.
-- Inputs: run_parameter
-- Order: window_name
-- Columns:
--   window_name: 30_days, 6_months, 12_months, 24_months, 36_months, 60_months or calendar_year.
--   window_start: First instant of the window.
--   window_end: The as-of date; the first instant after the window.
select
    length_of_window.window_name,
    run_parameter.as_of - length_of_window.lasting as window_start,
    run_parameter.as_of::timestamp as window_end,
from run_parameter
cross join
    (
        values
        ('30_days', interval 30 days),
        ('6_months', interval 6 months),
        ('12_months', interval 12 months),
        ('24_months', interval 24 months),
        ('36_months', interval 36 months),
        ('60_months', interval 60 months)
    ) as length_of_window (window_name, lasting)
union all
select
    'calendar_year' as window_name,
    date_trunc('year', run_parameter.as_of - interval 1 day) as window_start,
    run_parameter.as_of::timestamp as window_end,
from run_parameter
