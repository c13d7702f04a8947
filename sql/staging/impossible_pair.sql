-- impossible_pair
--
-- Two encounters of one person that one person cannot have had: a sign of two people linked as one, or of a
-- wrong time. Only stays whose end is recorded speak, so that a release nobody recorded makes no
-- contradiction. The published measure counts from here, and the review desk takes its cases from here.
--
-- two_custodies: bookings under two client ids that overlap by more than 24 hours. jail_and_shelter: a bed
-- night between the day of booking and the day of release, neither of them included. jail_and_hospital: an
-- admission that overlaps a booking by more than 24 hours and names law enforcement neither as origin nor as
-- destination, with a booking that did not end in a hospital. seen_after_death: an encounter of one client
-- that starts more than 24 hours after one of another client ended in death.
--
-- Grain: one row per contradiction, source, encounter_id, other_source and other_encounter_id.
-- Inputs: encounter
-- Order: contradiction, source, encounter_id, other_source, other_encounter_id
-- Columns:
--   contradiction: two_custodies, jail_and_shelter, jail_and_hospital or seen_after_death.
--   person_id: The person who had both.
--   source: Source of the booking, or of the encounter that ended in death.
--   client_id: Its client.
--   encounter_id: The booking, or the encounter that ended in death.
--   other_source: Source of the encounter that it contradicts.
--   other_client_id: Its client.
--   other_encounter_id: The encounter that it contradicts.
with booking as (
    select *,
    from encounter
    where source = 'jail' and kind = 'booking' and is_countable and ended_at is not null
),

bed_night as (
    select *,
    from encounter
    where source = 'shelter' and kind = 'bed_night' and is_countable
),

admission as (
    select *,
    from encounter
    where
        source = 'hospital'
        and kind in ('inpatient', 'psychiatric', 'observation')
        and is_countable
        and ended_at is not null
        and admit_origin is distinct from 'law_enforcement'
        and disposition is distinct from 'law_enforcement'
),

death as (
    select *,
    from encounter
    where (disposition = 'expired' or release_reason = 'died') and ended_at is not null
)

select
    'two_custodies' as contradiction,
    one.person_id,
    one.source,
    one.client_id,
    one.encounter_id,
    other.source as other_source,
    other.client_id as other_client_id,
    other.encounter_id as other_encounter_id,
from booking as one
inner join booking as other on one.person_id = other.person_id and one.client_id < other.client_id
where
    least(one.ended_at, other.ended_at)
    > greatest(one.started_at, other.started_at) + interval 24 hours
union all
select
    'jail_and_shelter' as contradiction,
    one.person_id,
    one.source,
    one.client_id,
    one.encounter_id,
    other.source as other_source,
    other.client_id as other_client_id,
    other.encounter_id as other_encounter_id,
from booking as one
inner join bed_night as other on one.person_id = other.person_id
where
    one.started_at::date < other.started_at::date
    and other.started_at::date < one.ended_at::date
union all
select
    'jail_and_hospital' as contradiction,
    one.person_id,
    one.source,
    one.client_id,
    one.encounter_id,
    other.source as other_source,
    other.client_id as other_client_id,
    other.encounter_id as other_encounter_id,
from booking as one
inner join admission as other on one.person_id = other.person_id
where
    one.release_reason is distinct from 'to_hospital'
    and least(one.ended_at, other.ended_at)
    > greatest(one.started_at, other.started_at) + interval 24 hours
union all
select
    'seen_after_death' as contradiction,
    one.person_id,
    one.source,
    one.client_id,
    one.encounter_id,
    other.source as other_source,
    other.client_id as other_client_id,
    other.encounter_id as other_encounter_id,
from death as one
inner join encounter as other
    on
        one.person_id = other.person_id
        and (one.source <> other.source or one.client_id <> other.client_id)
where other.is_countable and other.started_at > one.ended_at + interval 24 hours
