-- latest_encounter
--
-- Accepted encounters of linked clients, each once: of an encounter that came in several months the latest
-- delivery counts, so open stays get closed. Nothing that starts on or after the as-of date is in it, and a
-- stay that ends after it is still open. A bed night is the night of the day under which it is recorded,
-- whether an end is recorded or not, and is never open.
--
-- Grain: one row per source and encounter_id.
-- Inputs: delivered_encounter, encounter_kind, person_crosswalk, run_parameter
-- Order: source, encounter_id
-- Columns:
--   person_id: The person whose encounter it is.
--   source: The delivering source.
--   client_id: The agency's pseudonymous client id.
--   encounter_id: The agency's pseudonymous encounter id.
--   kind: Kind of encounter.
--   started_at: Local start.
--   ended_at: Local end; empty while open at the as-of date.
--   counted_until: Where its days end: the local end, or the as-of date of an open stay; the start of a
--     contact without duration; midnight after a bed night.
--   is_open: Whether it is a stay that had not ended by the as-of date.
--   is_stay: Whether encounters of its kind have a duration that counts as days.
--   sim_intercept: Sequential Intercept Model, 0 (community services) to 5 (community corrections).
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
select
    person_crosswalk.person_id,
    delivered_encounter.source,
    delivered_encounter.client_id,
    delivered_encounter.encounter_id,
    delivered_encounter.kind,
    delivered_encounter.started_at,
    if(delivered_encounter.ended_at <= run_parameter.as_of, delivered_encounter.ended_at, null) as ended_at,
    case
        when not encounter_kind.is_stay then delivered_encounter.started_at
        when delivered_encounter.kind = 'bed_night'
            then date_trunc('day', delivered_encounter.started_at) + interval 1 day
        else least(coalesce(delivered_encounter.ended_at, run_parameter.as_of), run_parameter.as_of)
    end as counted_until,
    encounter_kind.is_stay
    and delivered_encounter.kind <> 'bed_night'
    and coalesce(delivered_encounter.ended_at > run_parameter.as_of, true) as is_open,
    encounter_kind.is_stay,
    encounter_kind.sim_intercept,
    delivered_encounter.smi,
    delivered_encounter.sud,
    delivered_encounter.suicidality,
    delivered_encounter.homeless,
    delivered_encounter.overdose,
    delivered_encounter.part2,
    delivered_encounter.booking_reason,
    delivered_encounter.release_reason,
    delivered_encounter.charge_class,
    delivered_encounter.smi_screen,
    delivered_encounter.assessed_at,
    delivered_encounter.smi_assessed,
    delivered_encounter.project_type,
    delivered_encounter.destination,
    delivered_encounter.disabling_condition,
    delivered_encounter.service_requested,
    delivered_encounter.patient_contact,
    delivered_encounter.transported,
    delivered_encounter.destination_type,
    delivered_encounter.released_to_law_enforcement,
    delivered_encounter.disposition,
    delivered_encounter.admit_origin,
from delivered_encounter
inner join person_crosswalk
    on
        person_crosswalk.source = delivered_encounter.source
        and person_crosswalk.client_id = delivered_encounter.client_id
inner join encounter_kind
    on
        encounter_kind.source = delivered_encounter.source
        and encounter_kind.kind = delivered_encounter.kind
cross join run_parameter
where delivered_encounter.started_at < run_parameter.as_of
qualify
    row_number() over (
        partition by delivered_encounter.source, delivered_encounter.encounter_id
        order by delivered_encounter.month desc, delivered_encounter.row_number desc
    ) = 1
