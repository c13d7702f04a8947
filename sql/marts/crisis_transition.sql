-- crisis_transition
--
-- How people go from one system to the next: steps between kinds of encounters in the twelve months before
-- the as-of date, by the time between them. Counted by encounters and by episodes: in the first an
-- ambulance ride and the emergency visit it led to are a step, in the second they are one event. People who
-- may be under 18 are left out unless the county file includes them. Steps of fewer people than the
-- county's threshold are withheld; steps that nobody made have no row.
--
-- Grain: one row per counting, from_kind, to_kind and gap.
-- Inputs: crisis_transition_count, withheld_cell
-- Order: counting, from_kind, to_kind, gap
-- Columns:
--   counting: encounters or episodes.
--   from_kind: Kind of the earlier encounter; of an episode the kind of its last.
--   to_kind: Kind of the later encounter; of an episode the kind of its first.
--   gap: From the end of the earlier to the start of the later: 0-24 h, 24-72 h, 3-7 d or 7-30 d, the upper
--     end not included; same_day_unordered where one of them is recorded by day only; overlapping where the
--     later started before the earlier had ended.
--   transitions: Steps; empty where they are withheld.
--   people: People who made one; empty where they are withheld.
--   note: Why numbers are missing, where they are.
select
    counted.counting,
    counted.from_kind,
    counted.to_kind,
    counted.gap,
    if(withheld_cell.cell is null, counted.transitions, null) as transitions,
    if(withheld_cell.cell is null, counted.people, null) as people,
    if(withheld_cell.cell is not null, 'Withheld: few people, or few since it was published.', null) as note,
from crisis_transition_count as counted
left join withheld_cell
    on
        withheld_cell.relation = 'crisis_transition'
        and withheld_cell.cell
        = concat_ws('|', counted.counting, counted.gap, counted.from_kind, counted.to_kind)
