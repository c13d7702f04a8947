-- latest_encounter
--
-- Accepted encounters of linked clients, each once: of an encounter that came in several months the latest
-- delivery counts, so open stays get closed. Nothing that starts on or after the as-of date is in it, and a
-- stay that ends after it is still open. A bed night is the night of the day under which it is recorded,
-- whether an end is recorded or not, and is never open.
--
-- Grain: one row per source and encounter_id.
-- Kept: no; what it holds is in `encounter` and `encounter_detail`, and writing it down twice takes longer
--   than all else.
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
--   further: Further sources: values of their own columns by name, as text.
with latest_version as (
    select *,
    from delivered_encounter
    qualify row_number() over (partition by source, encounter_id order by month desc, row_number desc) = 1
)

select
    person_crosswalk.person_id,
    latest_version.source,
    latest_version.client_id,
    latest_version.encounter_id,
    latest_version.kind,
    latest_version.started_at,
    if(latest_version.ended_at <= run_parameter.as_of, latest_version.ended_at, null) as ended_at,
    case
        when not encounter_kind.is_stay then latest_version.started_at
        when latest_version.kind = 'bed_night'
            then date_trunc('day', latest_version.started_at) + interval 1 day
        else least(coalesce(latest_version.ended_at, run_parameter.as_of), run_parameter.as_of)
    end as counted_until,
    encounter_kind.is_stay
    and latest_version.kind <> 'bed_night'
    and coalesce(latest_version.ended_at > run_parameter.as_of, true) as is_open,
    encounter_kind.is_stay,
    encounter_kind.sim_intercept,
    latest_version.smi,
    latest_version.sud,
    latest_version.suicidality,
    latest_version.homeless,
    latest_version.overdose,
    latest_version.part2,
    latest_version.booking_reason,
    latest_version.release_reason,
    latest_version.charge_class,
    latest_version.smi_screen,
    latest_version.assessed_at,
    latest_version.smi_assessed,
    latest_version.project_type,
    latest_version.destination,
    latest_version.disabling_condition,
    latest_version.service_requested,
    latest_version.patient_contact,
    latest_version.transported,
    latest_version.destination_type,
    latest_version.released_to_law_enforcement,
    latest_version.disposition,
    latest_version.admit_origin,
    latest_version.further,
from latest_version
inner join person_crosswalk
    on
        person_crosswalk.source = latest_version.source
        and person_crosswalk.client_id = latest_version.client_id
inner join encounter_kind
    on
        encounter_kind.source = latest_version.source
        and encounter_kind.kind = latest_version.kind
cross join run_parameter
where latest_version.started_at < run_parameter.as_of
