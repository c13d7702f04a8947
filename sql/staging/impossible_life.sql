-- impossible_life
--
-- Persons met by the jail and by another system, and how often they were in two places at once: what nobody
-- can do, and so a sign of two people linked as one (or of a wrong time). What counts as that is defined in
-- impossible_pair; this adds how often it could have been seen.
--
-- Grain: one row per person_id and contradiction.
-- Inputs: encounter, impossible_pair
-- Order: person_id, contradiction
-- Columns:
--   person_id: The person.
--   contradiction: jail_and_shelter or jail_and_hospital; a row means that both were met, not that they
--     clash.
--   encounters: Bed nights or admissions that could have clashed.
--   impossible_encounters: Those that did.
with booked as (
    select distinct person_id,
    from encounter
    where source = 'jail' and kind = 'booking' and is_countable and ended_at is not null
),

elsewhere as (
    select
        encounter.person_id,
        encounter.source,
        encounter.encounter_id,
        if(encounter.source = 'shelter', 'jail_and_shelter', 'jail_and_hospital') as contradiction,
    from encounter
    inner join booked on booked.person_id = encounter.person_id
    where
        encounter.is_countable
        and (
            (encounter.source = 'shelter' and encounter.kind = 'bed_night')
            or (
                encounter.source = 'hospital'
                and encounter.kind in ('inpatient', 'psychiatric', 'observation')
                and encounter.ended_at is not null
            )
        )
),

clashing as (
    select distinct
        contradiction,
        other_source,
        other_encounter_id,
    from impossible_pair
)

select
    elsewhere.person_id,
    elsewhere.contradiction,
    count(*) as encounters,
    count(clashing.other_encounter_id) as impossible_encounters,
from elsewhere
left join clashing
    on
        clashing.contradiction = elsewhere.contradiction
        and clashing.other_source = elsewhere.source
        and clashing.other_encounter_id = elsewhere.encounter_id
group by elsewhere.person_id, elsewhere.contradiction
