-- crisis_transition_count
--
-- Steps between kinds of encounters, exactly: what `crisis_transition` shows where it is not too small to
-- show.
--
-- Grain: one row per counting, from_kind, to_kind and gap.
-- Inputs: crisis_step, person, run_parameter
-- Order: counting, from_kind, to_kind, gap
-- Columns:
--   counting: encounters or episodes.
--   from_kind: Kind of the earlier encounter; of an episode the kind of its last.
--   to_kind: Kind of the later encounter; of an episode the kind of its first.
--   gap: From the end of the earlier to the start of the later, as in `crisis_transition`.
--   transitions: Steps.
--   people: People who made one.
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
