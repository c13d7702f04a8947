-- crisis_transition
--
-- How people go from one system to the next: steps between kinds of encounters in the twelve months before
-- the as-of date, by the time between them. Counted by encounters and by episodes: in the first an
-- ambulance ride and the emergency visit it led to are a step, in the second they are one event. People who
-- may be under 18 are left out unless the county file includes them. Steps of fewer people than the
-- county's threshold are withheld; steps that nobody made have no row.
--
-- Grain: one row per counting, from_kind, to_kind and gap.
-- Inputs: crisis_step, person, run_parameter
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
with counted as (
    select
        crisis_step.counting,
        crisis_step.from_kind,
        crisis_step.to_kind,
        crisis_step.gap,
        count(*) as transitions,
        count(distinct crisis_step.person_id) as people,
    from crisis_step
    inner join person on person.person_id = crisis_step.person_id
    cross join run_parameter
    where
        crisis_step.gap <> 'over 30 d'
        and (run_parameter.include_minors or person.is_minor is distinct from true)
    group by all
)

select
    counted.counting,
    counted.from_kind,
    counted.to_kind,
    counted.gap,
    if(counted.people < run_parameter.small_cell_threshold, null, counted.transitions) as transitions,
    if(counted.people < run_parameter.small_cell_threshold, null, counted.people) as people,
    if(counted.people < run_parameter.small_cell_threshold, 'Withheld: few people.', null) as note,
from counted
cross join run_parameter
