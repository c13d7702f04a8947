-- encounter
--
-- Every accepted encounter of every person, once, with what counts and what belongs together.
--
-- A row counts (is_countable) unless why_not_counted says: cancelled and no-patient ambulance runs, transfers
-- between facilities and other routine transports, further units on one incident (a response of the same
-- person within an hour of the one before), stays in housing programs that are not shelter, and entry-to-exit
-- stays of night-by-night shelters, where only bed nights count.
--
-- Rows that are one event share an episode_id: an ambulance ride to a hospital and the hospital visit that
-- starts within 24 hours of it; an emergency visit that ends in admission or transfer, or a hospital stay
-- that ends in transfer, and the hospital stay that starts within 24 hours of its end; shelter nights and
-- stays less than seven nights apart (a longer break makes a new occasion of homelessness, 24 CFR 578.3). A
-- row continues the episode of the countable row before it, by start, of the same person and side (hospital
-- and EMS, shelter); bookings are never joined.
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
--   why_not_counted: Why not: no_patient_contact, routine_transport, further_unit, housing_not_shelter
--     or night_by_night_stay.
--   episode_id: The encounter_id of the first encounter of the episode.
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
                source = 'shelter' and project_type in ('permanent_supportive', 'rapid_rehousing')
                then 'housing_not_shelter'
            when
                source = 'shelter' and kind = 'stay' and project_type = 'es_night_by_night'
                then 'night_by_night_stay'
        end as own_reason,
        case
            when source = 'shelter' and is_stay then 'shelter'
            when source = 'ems' then 'health'
            when source = 'hospital' and is_stay then 'health'
        end as side,
    from latest_encounter
),

responded as (
    select
        *,
        coalesce(
            own_reason,
            if(
                source = 'ems'
                and started_at <= lag(started_at) over same_responses + interval 1 hour,
                'further_unit',
                null
            )
        ) as why_not_counted,
    from judged
    window
        same_responses as (
            partition by person_id, source, own_reason order by started_at, encounter_id
        )
),

in_order as (
    select
        *,
        lag(kind) over before_it as earlier_kind,
        lag(started_at) over before_it as earlier_started_at,
        lag(counted_until) over before_it as earlier_until,
        lag(disposition) over before_it as earlier_disposition,
        lag(transported) over before_it as earlier_transported,
        lag(destination_type) over before_it as earlier_destination_type,
        max(counted_until) over (
            partition by person_id, side, why_not_counted
            order by started_at, source, encounter_id
            rows between unbounded preceding and 1 preceding
        ) as latest_until,
    from responded
    window
        before_it as (
            partition by person_id, side, why_not_counted order by started_at, source, encounter_id
        )
),

joined as (
    select
        *,
        coalesce(
            why_not_counted is null and case
                when side = 'shelter' then started_at < latest_until + interval 7 days
                when kind not in ('ed', 'inpatient', 'observation', 'psychiatric') then false
                when earlier_kind = 'response'
                    then
                        earlier_transported
                        and earlier_destination_type in (
                            'hospital_ed', 'freestanding_ed', 'hospital_bed', 'mental_health_facility'
                        )
                        and started_at <= earlier_started_at + interval 24 hours
                when earlier_kind = 'ed'
                    then
                        kind <> 'ed'
                        and earlier_disposition in ('admitted', 'psychiatric', 'transferred')
                        and started_at <= earlier_until + interval 24 hours
                when earlier_kind in ('inpatient', 'observation', 'psychiatric')
                    then
                        kind <> 'ed'
                        and earlier_disposition in ('admitted', 'psychiatric', 'transferred')
                        and started_at <= earlier_until + interval 24 hours
            end,
            false
        ) as continues_episode,
    from in_order
),

numbered as (
    select
        *,
        count(*) filter (where not continues_episode) over (
            partition by person_id, side, why_not_counted
            order by started_at, source, encounter_id
            rows between unbounded preceding and current row
        ) as episode_number,
    from joined
)

select
    person_id,
    source,
    client_id,
    encounter_id,
    kind,
    started_at,
    ended_at,
    is_open,
    is_stay,
    sim_intercept,
    why_not_counted is null as is_countable,
    why_not_counted,
    if(
        why_not_counted is null and side is not null,
        first_value(encounter_id) over (
            partition by person_id, side, why_not_counted, episode_number
            order by started_at, source, encounter_id
        ),
        encounter_id
    ) as episode_id,
    smi,
    sud,
    suicidality,
    homeless,
    overdose,
    part2,
    booking_reason,
    release_reason,
    charge_class,
    smi_screen,
    assessed_at,
    smi_assessed,
    project_type,
    destination,
    disabling_condition,
    service_requested,
    patient_contact,
    transported,
    destination_type,
    released_to_law_enforcement,
    disposition,
    admit_origin,
from numbered
