-- diversion_measure
--
-- Crisis care instead of an emergency department or jail, by month: how calls to a crisis line and responses
-- of mobile teams end, what follows them and stays in crisis stabilization, and where the police take people.
-- A measure has rows only if the source that it needs is declared and delivers: no row is not zero, and a
-- county that declares none of crisis_line, mobile_crisis and crisis_stabilization has no rows at all. What
-- follows a contact is no effect of it. Numbers from few people are withheld.
--
-- Grain: one row per measure and month.
-- Inputs: diversion_count, withheld_cell
-- Order: measure, month
-- Columns:
--   measure: call_resolved_without_dispatch, call_sent_mobile_crisis, call_handed_to_ems, call_sent_police;
--     mobile_response_<resolved_in_field, taken_to_stabilization, taken_to_ed or handed_to_police>; <call,
--     mobile_response or stabilization_stay>_then_<ems, ed or booking>_<24_hours, 72_hours or 7_days>;
--     police_dropoff_at_stabilization, of whom the police took there or to an emergency department.
--   month: Month in which the contact started, YYYY-MM.
--   value: Numerator over denominator.
--   numerator: Of the denominator: those that ended so, were followed by it or were taken there.
--   denominator: Calls, responses, stays or drop-offs that could be judged.
--   left_out: Those that could not: no outcome recorded, nobody who can be recognised elsewhere, or a source
--     that does not cover the whole time; not in the denominator.
--   note: Why numbers are missing, where they are.
with judged as (
    select
        diversion_count.*,
        coalesce(not withheld_cell.left_out_only, false) as is_withheld,
        withheld_cell.cell is not null as hides_left_out,
    from diversion_count
    left join withheld_cell
        on
            withheld_cell.relation = 'diversion_measure'
            and withheld_cell.cell
            = concat_ws('|', diversion_count.measure, diversion_count.month, 'all', 'all')
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
        when denominator = 0 then 'None could be judged.'
    end as note,
from judged
