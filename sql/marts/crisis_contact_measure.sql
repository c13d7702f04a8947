-- crisis_contact_measure
--
-- Contacts with emergency care around jail, and with the police in emergencies, by month: who is seen by an
-- ambulance or an emergency department soon after release (the days in which overdoses are most frequent),
-- who was seen shortly before being booked (a chance to divert), and where the police hand people over.
-- Numbers from few people are withheld.
--
-- Grain: one row per measure and month.
-- Inputs: crisis_contact_count, run_parameter
-- Order: measure, month
-- Columns:
--   measure: released_then_<ems, ed or either>_<72_hours or 14_days>, booked_after_<ems, ed or either>_<7
--     or 30>_days, ed_brought_by_police, ed_left_to_police, ems_handed_to_police or ems_taken_to_jail.
--   month: Month of the release, booking, visit or response, YYYY-MM.
--   value: Numerator over denominator.
--   numerator: Of the denominator: followed or preceded by a contact, or handed over.
--   denominator: Releases, bookings, visits or responses that could be followed.
--   left_out: Those that could not be followed for the whole time; not in the denominator.
--   note: Why numbers are missing, where they are.
with judged as (
    select
        crisis_contact_count.*,
        run_parameter.small_cell_threshold as least,
        crisis_contact_count.people between 1 and run_parameter.small_cell_threshold - 1
        or crisis_contact_count.people_of_whom between 1 and run_parameter.small_cell_threshold - 1
        or crisis_contact_count.people_beside between 1 and run_parameter.small_cell_threshold
        - 1 as is_small,
    from crisis_contact_count
    cross join run_parameter
),

-- Those with either contact and those with one of them give away the others, so the three stand or fall
-- together.
withheld as (
    select
        *,
        bool_or(is_small) over (
            partition by month, regexp_replace(measure, '_(ems|ed|either)_([0-9])', '_contact_\2')
        ) as is_withheld,
    from judged
)

select
    measure,
    month,
    if(is_withheld, null, numerator / nullif(denominator, 0)) as value,
    if(is_withheld, null, numerator) as numerator,
    if(is_withheld, null, denominator) as denominator,
    case when not is_withheld and (left_out = 0 or left_out >= least) then left_out end as left_out,
    case
        when is_withheld then 'Withheld: the counts are small, or would give away one that is.'
        when denominator = 0 then 'Nobody could be followed for the whole time.'
        when left_out > 0 and left_out < least then 'How many were left out is withheld: it is few.'
    end as note,
from withheld
