-- stepping_up_measure
--
-- The four key measures of Stepping Up and the measures of screening, by month and by calendar year, for
-- people with serious mental illness and others: how many are booked, how long they stay, how many are
-- connected to care, how many come back. An emergency department visit is no connection to care; which
-- contacts are is said in the county file. People selected for heavy use tend to use less afterwards
-- whatever is done (regression to the mean), so do not read a fall as an effect of a program.
--
-- Cells from fewer people than the county's threshold are withheld, as are those whose complement is; where
-- that would leave one part of a division to be found by subtraction, the next smallest part is withheld as
-- well, and so is a year that would give away its one withheld month. A month that the jail did not deliver
-- has its rows, marked and without numbers; a zero is a count.
--
-- Grain: one row per measure, period, smi and charge_class.
-- Inputs: run_parameter, stepping_up_count
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
        run_parameter.small_cell_threshold as least,
        length(stepping_up_count.period) = 4 as is_year,
        if(stepping_up_count.charge_class = 'all' and stepping_up_count.smi <> 'all', 'smi', 'charge_class')
            as division,
        stepping_up_count.smi = 'all' and stepping_up_count.charge_class = 'all' as is_total,
        stepping_up_count.months > 0
        and (
            stepping_up_count.people between 1 and run_parameter.small_cell_threshold - 1
            or (
                stepping_up_count.measure <> 'length_of_stay'
                and (
                    stepping_up_count.people_of_whom between 1 and run_parameter.small_cell_threshold - 1
                    or stepping_up_count.people_beside between 1 and run_parameter.small_cell_threshold - 1
                )
            )
        ) as is_small,
    from stepping_up_count
    cross join run_parameter
),

compared_month as (
    select
        *,
        count(*) filter (where is_small) over whole as withheld_parts,
        sum(people) filter (where is_small) over whole as withheld_people,
        coalesce(bool_or(left_out > 0 and left_out < least) over whole, false) as few_left_out,
        row_number() over (
            partition by measure, period, division, is_total
            order by is_small or people = 0, people, smi, charge_class
        ) as place,
    from judged
    where not is_year
    window whole as (partition by measure, period, division, is_total)
),

withheld_month as (
    select
        *,
        is_small
        or (
            not is_total
            and place = 1
            and withheld_parts > 0
            and (withheld_parts = 1 or withheld_people < least)
        ) as is_withheld,
    from compared_month
),

giveaway as (
    select
        measure,
        left(period, 4) as period,
        smi,
        charge_class,
    from withheld_month
    where is_withheld
    group by measure, left(period, 4), smi, charge_class, least
    having count(*) = 1 or sum(people) < least
),

giveaway_left_out as (
    select
        measure,
        left(period, 4) as period,
        smi,
        charge_class,
    from withheld_month
    where is_withheld or few_left_out
    group by measure, left(period, 4), smi, charge_class, least
    having count(*) = 1 or (sum(left_out) > 0 and sum(left_out) < least)
),

judged_year as (
    select
        judged.* replace (judged.is_small or giveaway.measure is not null as is_small),
        giveaway_left_out.measure is not null as gives_left_out,
    from judged
    left join giveaway
        on
            giveaway.measure = judged.measure
            and giveaway.period = judged.period
            and giveaway.smi = judged.smi
            and giveaway.charge_class = judged.charge_class
    left join giveaway_left_out
        on
            giveaway_left_out.measure = judged.measure
            and giveaway_left_out.period = judged.period
            and giveaway_left_out.smi = judged.smi
            and giveaway_left_out.charge_class = judged.charge_class
    where judged.is_year
),

compared_year as (
    select
        *,
        count(*) filter (where is_small) over whole as withheld_parts,
        sum(people) filter (where is_small) over whole as withheld_people,
        coalesce(bool_or((left_out > 0 and left_out < least) or gives_left_out) over whole, false)
            as few_left_out,
        row_number() over (
            partition by measure, period, division, is_total
            order by is_small or people = 0, people, smi, charge_class
        ) as place,
    from judged_year
    window whole as (partition by measure, period, division, is_total)
),

withheld as (
    select *,
    from withheld_month
    union all by name
    select
        * exclude (gives_left_out),
        is_small
        or (
            not is_total
            and place = 1
            and withheld_parts > 0
            and (withheld_parts = 1 or withheld_people < least)
        ) as is_withheld,
    from compared_year
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
    case when not is_withheld and not few_left_out then left_out end as left_out,
    if(is_withheld, null, median_days) as median_days,
    case
        when months = 0 then 'The jail delivered nothing of this period.'
        when is_withheld then 'Withheld: the counts are small, or would give away one that is.'
        when few_left_out then 'How many were left out is withheld: it is few, or would give away that it is.'
        when measure = 'length_of_stay' and denominator = 0 and left_out > 0 then 'No stay has ended.'
        when
            denominator = 0 and left_out > 0
            then 'Nobody can be followed for the whole time: it reaches past what the sources deliver.'
        when is_year and months < 12 then 'Not every month of the year is covered.'
    end as note,
from withheld
