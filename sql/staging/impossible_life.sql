-- impossible_life
--
-- Persons met by the jail and by another system, and how often they were in two places at once: what nobody
-- can do, and so a sign of two people linked as one (or of a wrong time). Only bookings with a recorded end
-- count, so that a release nobody recorded makes no contradiction.
--
-- Jail and shelter: a bed night between the day of booking and the day of release, neither of them included.
-- Jail and hospital: an admission that overlaps a booking by more than 24 hours and names law enforcement
-- neither as origin nor as destination, with a booking that did not end in a hospital.
--
-- Grain: one row per person_id and contradiction.
-- Inputs: encounter
-- Order: person_id, contradiction
-- Columns:
--   person_id: The person.
--   contradiction: jail_and_shelter or jail_and_hospital; a row means that both were met, not that they
--     clash.
--   encounters: Bed nights or admissions that could have clashed.
--   impossible_encounters: Those that did.
with booking as (
    select
        person_id,
        started_at,
        ended_at,
        release_reason,
    from encounter
    where source = 'jail' and kind = 'booking' and is_countable and ended_at is not null
),

elsewhere as (
    select
        person_id,
        'jail_and_shelter' as contradiction,
        encounter_id,
        started_at,
        ended_at,
        false as is_custodial,
    from encounter
    where source = 'shelter' and kind = 'bed_night' and is_countable
    union all
    select
        person_id,
        'jail_and_hospital' as contradiction,
        encounter_id,
        started_at,
        ended_at,
        coalesce(admit_origin = 'law_enforcement', false)
        or coalesce(disposition = 'law_enforcement', false) as is_custodial,
    from encounter
    where
        source = 'hospital'
        and kind in ('inpatient', 'psychiatric', 'observation')
        and is_countable
        and ended_at is not null
),

judged as (
    select
        elsewhere.person_id,
        elsewhere.contradiction,
        elsewhere.encounter_id,
        bool_or(
            case elsewhere.contradiction
                when 'jail_and_shelter'
                    then
                        booking.started_at::date < elsewhere.started_at::date
                        and elsewhere.started_at::date < booking.ended_at::date
                else
                    not elsewhere.is_custodial
                    and booking.release_reason is distinct from 'to_hospital'
                    and least(elsewhere.ended_at, booking.ended_at)
                    > greatest(elsewhere.started_at, booking.started_at) + interval 24 hours
            end
        ) as is_impossible,
    from elsewhere
    inner join booking on booking.person_id = elsewhere.person_id
    group by elsewhere.person_id, elsewhere.contradiction, elsewhere.encounter_id
)

select
    person_id,
    contradiction,
    count(*) as encounters,
    count(*) filter (where is_impossible) as impossible_encounters,
from judged
group by person_id, contradiction
