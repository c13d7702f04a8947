-- drift_measure
--
-- The newest month of every figure beside what is usual: the median of up to twelve months before it. A
-- change is not an error; it is for a steward to look at before anybody relies on the release.
--
-- Grain: one row per measure and slice.
-- Inputs: monthly_measure
-- Order: measure, slice
-- Columns:
--   measure: As in monthly_measure.
--   slice: As in monthly_measure.
--   month: The newest month.
--   value: Its figure.
--   usual: Median of the months before it; empty where there is none.
--   months_before: How many months that is.
--   of_rows: Of how many rows, clients or persons the figure is.
with ranked as (
    select
        *,
        row_number() over (partition by measure, slice order by month desc) as place,
    from monthly_measure
)

select
    measure,
    slice,
    max(month) filter (where place = 1) as month,
    max(value) filter (where place = 1) as value,
    median(value) filter (where place between 2 and 13) as usual,
    count(*) filter (where place between 2 and 13) as months_before,
    max(of_rows) filter (where place = 1) as of_rows,
from ranked
group by measure, slice
