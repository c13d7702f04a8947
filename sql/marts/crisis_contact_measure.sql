-- crisis_contact_measure
--
-- Contacts with emergency care around jail, and with the police in emergencies, by month: who is seen by an
-- ambulance or an emergency department soon after release (the days in which overdoses are most frequent),
-- who was seen shortly before being booked (a chance to divert), and where the police hand people over.
-- Numbers from few people are withheld.
--
-- Grain: one row per measure and month.
-- Inputs: crisis_contact_count, withheld_cell
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
        coalesce(not withheld_cell.left_out_only, false) as is_withheld,
        withheld_cell.cell is not null as hides_left_out,
    from crisis_contact_count
    left join withheld_cell
        on
            withheld_cell.relation = 'crisis_contact_measure'
            and withheld_cell.cell
            = concat_ws('|', crisis_contact_count.measure, crisis_contact_count.month, 'all', 'all')
)

select
    measure,
    month,
    if(is_withheld, null, numerator / nullif(denominator, 0)) as value,
    if(is_withheld, null, numerator) as numerator,
    if(is_withheld, null, denominator) as denominator,
    if(hides_left_out, null, left_out) as left_out,
    case
        when is_withheld then 'Withheld: the counts are small, or would give away one that is.'
        when hides_left_out
            then 'How many were left out is withheld: it is few, or would give away that it is.'
        when denominator = 0 then 'Nobody could be followed for the whole time.'
    end as note,
from judged
