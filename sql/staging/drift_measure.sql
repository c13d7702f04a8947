-- drift_measure
--
-- Each monthly figure beside what was usual in the months before it. Whether a difference matters is for the
-- suites of drift to say; `noise` is how far a figure strays by chance alone.
--
-- Grain: one row per measure, source, part and month.
-- Inputs: monthly_figure
-- Window: the six months delivered before the month itself
-- Order: measure, source, part, month
-- Columns:
--   measure: What is counted; monthly_figure says how.
--   source: The delivering source.
--   part: An identifier or another source; empty text where the measure has no parts.
--   month: Month of the delivery, YYYY-MM.
--   numerator: What is counted.
--   denominator: Of how much.
--   value: Numerator over denominator; empty where there is nothing to count.
--   usual: Median of the values of the window; empty in the first month.
--   noise: Four standard errors of a figure of this size around `usual`: binomial for shares (with two hits
--     and two misses added, Agresti and Coull 1998), Poisson for numbers by the day.
--   earlier_months: How many months of the window there are.
--   is_latest: Whether it is the newest month of its source.
with valued as (
    select
        *,
        numerator / nullif(denominator, 0) as value,
    from monthly_figure
),

compared as (
    select
        *,
        median(value) over earlier as usual,
        count(value) over earlier as earlier_months,
    from valued
    window earlier as (
        partition by measure, source, part
        order by month
        rows between 6 preceding and 1 preceding
    )
),

smoothed as (
    select
        *,
        (usual * denominator + 2) / (denominator + 4) as usual_share,
    from compared
)

select
    measure,
    source,
    part,
    month,
    numerator,
    denominator,
    value,
    usual,
    4 * if(
        is_share,
        sqrt(usual_share * (1 - usual_share) / (denominator + 4)),
        sqrt(usual * denominator + 1) / nullif(denominator, 0)
    ) as noise,
    earlier_months,
    month = max(month) over (partition by source) as is_latest,
from smoothed
