-- encounter
--
-- Every accepted encounter of every person, once, with what counts and what belongs together.
--
-- A row counts (is_countable) unless why_not_counted says: ambulance runs without a recorded patient contact,
-- transfers between facilities and other routine transports, further units on one incident (a response of the
-- same person within an hour of the one before), enrollments that are no nights in a shelter (housing,
-- services only, outreach), and entry-to-exit stays of night-by-night shelters, where only bed nights count.
--
-- Rows that are one event share an episode_id. A row continues the episode of the countable row before it, by
-- start, of the same person and side (custody, shelter, health) in these cases. Custody: the booking starts
-- before or when an earlier one ends, as after a change of location; a later rebooking is a new booking.
-- Shelter: it starts less than seven nights after the latest end (a longer break makes a new occasion of
-- homelessness, 24 CFR 578.3).
-- Health: a hospital visit within 24 hours of an ambulance response of which any unit brought the person to a
-- hospital; a hospital stay within 24 hours of the end of a visit or stay that ended in admission or transfer
-- (for an emergency visit only transfer); a hospital stay that starts before an earlier one has ended. A stay
-- without a recorded end joins nothing by its length in custody and hospital, so that a release nobody
-- recorded swallows no later booking.
--
-- Grain: one row per source and encounter_id.
-- Inputs: latest_encounter
-- Order: person_id, started_at, source, encounter_id
-- Columns:
--   person_id: The person whose encounter it is.
--   source: The delivering source.
--   client_id: The agency's pseudonymous client id.
--   encounter_id: The agency's pseudonymous encounter id.
--   kind: Kind of encounter.
--   started_at: Local start.
--   ended_at: Local end; empty while open at the as-of date.
--   is_open: Whether it is a stay that had not ended by the as-of date.
--   is_stay: Whether encounters of its kind have a duration that counts as days.
--   sim_intercept: Sequential Intercept Model, 0 (community services) to 5 (community corrections).
--   is_countable: Whether it counts as use of the system.
--   why_not_counted: Why not: no_patient_contact, routine_transport, further_unit, not_a_shelter_stay or
--     night_by_night_stay.
--   episode_id: The encounter_id of the first encounter of the episode; of an encounter that does not count
--     its own, or that of the incident that it is a further unit of.
--   smi: Serious mental illness was recorded, by the county's code list; empty where the agency cannot say.
--   sud: A substance use disorder was recorded.
--   suicidality: Suicidal ideation or self-harm was recorded.
--   homeless: Homelessness was recorded.
--   overdose: An overdose was recorded.
--   part2: Whether the substance use information comes from a 42 CFR Part 2 program.
--   booking_reason: Jail: why booked.
--   release_reason: Jail: how the stay ended.
--   charge_class: Jail: F felony, M misdemeanor, other.
--   smi_screen: Jail: result of the mental-health screen at booking.
--   assessed_at: Jail: when a licensed professional assessed the person.
--   smi_assessed: Jail: whether that assessment found a serious mental illness.
--   project_type: Shelter: type of HMIS project.
--   destination: Shelter: where the person went on exit.
--   disabling_condition: Shelter: HUD disabling condition.
--   service_requested: EMS: type of service requested.
--   patient_contact: EMS: whether the crew met a patient.
--   transported: EMS: whether this crew transported the patient.
--   destination_type: EMS: where the patient was taken.
--   released_to_law_enforcement: EMS: whether the patient was released to law enforcement.
--   disposition: Hospital: how the visit ended.
--   admit_origin: Hospital: where the patient came from.
with judged as (
    select
        *,
        case
            when source = 'ems' and not coalesce(patient_contact, false) then 'no_patient_contact'
            when
                source = 'ems' and service_requested in ('interfacility_transfer', 'other_transport')
                then 'routine_transport'
            when
                source = 'shelter' and kind = 'stay' and project_type = 'es_night_by_night'
                then 'night_by_night_stay'
            when
                source = 'shelter'
                and kind = 'stay'
                and project_type not in ('es_entry_exit', 'transitional', 'safe_haven')
                then 'not_a_shelter_stay'
        end as own_reason,
        coalesce(
            source = 'ems'
            and transported
            and destination_type in (
                'hospital_ed', 'freestanding_ed', 'hospital_bed', 'mental_health_facility'
            ),
            false
        ) as to_hospital,
        case
            when source = 'jail' then 'custody'
            when source = 'shelter' and is_stay then 'shelter'
            when source = 'ems' then 'health'
            when source = 'hospital' and is_stay then 'health'
        end as side,
    from latest_encounter
),

unit as (
    select
        source,
        encounter_id,
        person_id,
        started_at,
        to_hospital,
        coalesce(
            started_at > lag(started_at) over (partition by person_id order by started_at, encounter_id)
            + interval 1 hour,
            true
        ) as opens_incident,
    from judged
    where source = 'ems' and own_reason is null
),

numbered_unit as (
    select
        *,
        count(*) filter (where opens_incident) over (
            partition by person_id order by started_at, encounter_id
            rows between unbounded preceding and current row
        ) as incident_number,
    from unit
),

incident_unit as (
    select
        source,
        encounter_id,
        opens_incident,
        first_value(encounter_id) over (
            partition by person_id, incident_number order by started_at, encounter_id
        ) as incident_id,
        bool_or(to_hospital) over (partition by person_id, incident_number) as brought_to_hospital,
    from numbered_unit
),

responded as (
    select
        judged.*,
        incident_unit.incident_id,
        coalesce(incident_unit.brought_to_hospital, false) as brought_to_hospital,
        coalesce(
            judged.own_reason, case when not incident_unit.opens_incident then 'further_unit' end
        ) as why_not_counted,
    from judged
    left join incident_unit
        on incident_unit.source = judged.source and incident_unit.encounter_id = judged.encounter_id
),

in_order as (
    select
        source,
        encounter_id,
        person_id,
        side,
        kind,
        started_at,
        lag(kind) over before_it as earlier_kind,
        lag(started_at) over before_it as earlier_started_at,
        lag(coalesce(ended_at, started_at)) over before_it as earlier_ended_at,
        lag(disposition) over before_it as earlier_disposition,
        lag(brought_to_hospital) over before_it as earlier_brought_to_hospital,
        max(
            case
                when side = 'shelter' then counted_until
                when kind <> 'response' then coalesce(ended_at, started_at)
            end
        ) over (
            partition by person_id, side
            order by started_at, source, encounter_id
            rows between unbounded preceding and 1 preceding
        ) as latest_end,
    from responded
    where why_not_counted is null and side is not null
    window before_it as (partition by person_id, side order by started_at, source, encounter_id)
),

joined as (
    select
        *,
        coalesce(
            case
                when side = 'custody' then started_at <= latest_end
                when side = 'shelter' then started_at < latest_end + interval 7 days
                when kind = 'response' then false
                when earlier_kind = 'response'
                    then earlier_brought_to_hospital and started_at <= earlier_started_at + interval 24 hours
                else
                    started_at < latest_end
                    or (
                        earlier_disposition in ('admitted', 'psychiatric', 'transferred', 'still_patient')
                        and (kind <> 'ed' or earlier_disposition = 'transferred')
                        and started_at <= earlier_ended_at + interval 24 hours
                    )
            end,
            false
        ) as continues_episode,
    from in_order
),

in_episode as (
    select
        source,
        encounter_id,
        -- The latest row that continues nothing began the episode; the first of a person and side is one.
        last_value(case when not continues_episode then encounter_id end ignore nulls) over (
            partition by person_id, side
            order by started_at, source, encounter_id
            rows between unbounded preceding and current row
        ) as episode_id,
    from joined
)

select
    responded.person_id,
    responded.source,
    responded.client_id,
    responded.encounter_id,
    responded.kind,
    responded.started_at,
    responded.ended_at,
    responded.is_open,
    responded.is_stay,
    responded.sim_intercept,
    responded.why_not_counted is null as is_countable,
    responded.why_not_counted,
    coalesce(in_episode.episode_id, responded.incident_id, responded.encounter_id) as episode_id,
    responded.smi,
    responded.sud,
    responded.suicidality,
    responded.homeless,
    responded.overdose,
    responded.part2,
    responded.booking_reason,
    responded.release_reason,
    responded.charge_class,
    responded.smi_screen,
    responded.assessed_at,
    responded.smi_assessed,
    responded.project_type,
    responded.destination,
    responded.disabling_condition,
    responded.service_requested,
    responded.patient_contact,
    responded.transported,
    responded.destination_type,
    responded.released_to_law_enforcement,
    responded.disposition,
    responded.admit_origin,
from responded
left join in_episode
    on in_episode.source = responded.source and in_episode.encounter_id = responded.encounter_id
