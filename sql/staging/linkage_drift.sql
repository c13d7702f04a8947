-- linkage_drift
--
-- This run's linkage beside the run before it: the run with the latest as-of date before this one's. A new
-- model, another threshold or a delivery sent again changes every month at once, which no comparison of
-- months can show.
--
-- Grain: one row per measure, source and part.
-- Inputs: linkage_figure, linkage_history, run_parameter
-- Order: measure, source, part
-- Columns:
--   measure: linked_pair or large_person; linkage_figure says how they are counted.
--   source: The first source of the pair by name; all for large_person.
--   part: The other source of the pair; empty text for large_person.
--   numerator: What is counted in this run.
--   denominator: Of how many.
--   value: Numerator over denominator.
--   before: The same in the run before; empty where there is none.
--   before_as_of: The as-of date of that run.
--   noise: Four standard errors of a share of this size around `before` (with two hits and two misses added).
with earlier as (
    select linkage_history.*,
    from linkage_history
    cross join run_parameter
    where linkage_history.as_of < run_parameter.as_of
),

previous as (
    select
        measure,
        source,
        part,
        as_of,
        numerator / nullif(denominator, 0) as share,
    from earlier
    qualify as_of = max(as_of) over ()
),

beside as (
    select
        linkage_figure.measure,
        linkage_figure.source,
        linkage_figure.part,
        linkage_figure.numerator,
        linkage_figure.denominator,
        linkage_figure.numerator / nullif(linkage_figure.denominator, 0) as value,
        previous.share as before,
        previous.as_of as before_as_of,
        (previous.share * linkage_figure.denominator + 2) / (linkage_figure.denominator + 4) as smoothed,
    from linkage_figure
    left join previous
        on
            previous.measure = linkage_figure.measure
            and previous.source = linkage_figure.source
            and previous.part = linkage_figure.part
)

select
    * exclude (smoothed),
    4 * sqrt(smoothed * (1 - smoothed) / (denominator + 4)) as noise,
from beside
