-- stepping_up_measure
--
-- The four key measures of Stepping Up and the measures of screening, by month and by calendar year, for
-- people with serious mental illness and others: how many are booked, how long they stay, how many are
-- connected to care, how many come back. An emergency department visit is no connection to care; which
-- contacts are is said in the county file. People selected for heavy use tend to use less afterwards
-- whatever is done (regression to the mean), so do not read a fall as an effect of a program.
--
-- Cells from fewer people than the county's threshold are withheld, as are those whose complement is, and
-- those that would give away one that is: the other parts of the same whole, a year whose months could be
-- told from it, nested measures that differ by few, and what has changed by few since a release. A month that
-- the jail did not deliver has its rows, marked and without numbers; a zero is a count.
--
-- Grain: one row per measure, period, smi and charge_class.
-- Inputs: stepping_up_count, withheld_cell
-- Order: measure, period, smi, charge_class
-- Source: Council of State Governments Justice Center, "In Focus: Collecting and Analyzing Baseline Data"
--   (2019); same-day contacts count, as in HEDIS FUM.
-- Columns:
--   measure: bookings, people_booked, screened, assessed, length_of_stay, connected_<days>_days or
--     rebooked_<months>_months_<any, new_charge or technical>.
--   period: Month of the booking (first four) or of the release, YYYY-MM, or the calendar year, YYYY.
--   months: How many months of the period the jail covers: of none, nothing is known, and a year of fewer
--     than twelve is no whole year.
--   smi: all; smi: a jail assessment at this or an earlier booking found a serious mental illness; other:
--     none did.
--   charge_class: all, F, M, other or unknown; divided only where smi is all.
--   value: Numerator over denominator; for length_of_stay the mean in days.
--   numerator: Of the denominator: with SMI, screened, assessed, ended, connected or rebooked.
--   denominator: Bookings, people booked, positive screens, stays ended, releases or people released.
--   left_out: Releases that could not be followed for the whole time, or stays that have not ended; not in
--     the denominator.
--   median_days: Median length of stay in days.
--   note: Why numbers are missing, where they are.
with judged as (
    select
        stepping_up_count.*,
        coalesce(not withheld_cell.left_out_only, false) as is_withheld,
        withheld_cell.cell is not null as hides_left_out,
    from stepping_up_count
    left join withheld_cell
        on
            withheld_cell.relation = 'stepping_up_measure'
            and withheld_cell.cell = concat_ws(
                '|',
                stepping_up_count.measure,
                stepping_up_count.period,
                stepping_up_count.smi,
                stepping_up_count.charge_class
            )
)

select
    measure,
    period,
    months,
    smi,
    charge_class,
    case
        when not is_withheld
            then if(measure = 'length_of_stay', mean_days, numerator / nullif(denominator, 0))
    end as value,
    if(is_withheld, null, numerator) as numerator,
    if(is_withheld, null, denominator) as denominator,
    if(hides_left_out, null, left_out) as left_out,
    if(is_withheld, null, median_days) as median_days,
    case
        when months = 0 then 'The jail delivered nothing of this period.'
        when is_withheld then 'Withheld: the counts are small, or would give away one that is.'
        when hides_left_out
            then 'How many were left out is withheld: it is few, or would give away that it is.'
        when measure = 'length_of_stay' and denominator = 0 and left_out > 0 then 'No stay has ended.'
        when
            denominator = 0 and left_out > 0
            then 'Nobody can be followed for the whole time: it reaches past what the sources deliver.'
        when length(period) = 4 and months < 12 then 'Not every month of the year is covered.'
    end as note,
from judged
