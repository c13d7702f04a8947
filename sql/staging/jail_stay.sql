-- jail_stay
--
-- Stays in jail: one custody episode each, however many rows the jail delivered of it. A change of location
-- or a second charge during a stay is not another booking.
--
-- Serious mental illness is what a licensed professional assessed in the jail, at this booking or an
-- earlier one; a diagnosis from a hospital does not make a booking one of a person with SMI, so that the
-- measure stays the one that the jail can check (Stepping Up: one shared definition, screening, assessment,
-- record).
--
-- Grain: one row per episode_id.
-- Inputs: encounter, person, run_parameter
-- Order: episode_id
-- Columns:
--   episode_id: The custody episode.
--   person_id: The person.
--   booked_at: Local start of the stay.
--   released_at: Local end; empty for who is in custody at the as-of date. A release on that day is not
--     seen yet, as nothing on it is.
--   booking_reason: Why booked, by the first row that says.
--   return_kind: new_charge; technical (violation of probation or parole); movement (weekender, transfer
--     in), which is no return to jail; or other.
--   release_reason: How the stay ended, by the last row that says.
--   charge_class: Most serious: F felony, M misdemeanor, other; unknown where no row says.
--   is_screened: Whether a validated screen was done at booking.
--   is_positive: Whether one was positive.
--   is_assessed: Whether a professional assessed the person.
--   has_smi: Whether an assessment at this or an earlier booking found a serious mental illness.
with stay as (
    select
        encounter.episode_id,
        encounter.person_id,
        min(encounter.started_at) as booked_at,
        if(bool_or(encounter.is_open), null, max(coalesce(encounter.ended_at, encounter.started_at)))
            as released_at,
        arg_min(encounter.booking_reason, (encounter.started_at, encounter.encounter_id))
        filter (where encounter.booking_reason is not null) as booking_reason,
        arg_max(encounter.release_reason, (encounter.started_at, encounter.encounter_id))
        filter (where encounter.release_reason is not null) as release_reason,
        case
            when bool_or(encounter.charge_class = 'F') then 'F'
            when bool_or(encounter.charge_class = 'M') then 'M'
            when bool_or(encounter.charge_class = 'other') then 'other'
            else 'unknown'
        end as charge_class,
        coalesce(bool_or(encounter.smi_screen in ('positive', 'negative')), false) as is_screened,
        coalesce(bool_or(encounter.smi_screen = 'positive'), false) as is_positive,
        coalesce(bool_or(encounter.assessed_at is not null or encounter.smi_assessed is not null), false)
            as is_assessed,
        coalesce(bool_or(encounter.smi_assessed), false) as found_smi,
    from encounter
    where encounter.kind = 'booking' and encounter.is_countable
    group by encounter.episode_id, encounter.person_id
)

select
    stay.episode_id,
    stay.person_id,
    stay.booked_at,
    if(stay.released_at < run_parameter.as_of, stay.released_at, null) as released_at,
    stay.booking_reason,
    case
        when stay.booking_reason = 'new_charge' then 'new_charge'
        when stay.booking_reason in ('probation_violation', 'parole_violation') then 'technical'
        when stay.booking_reason in ('weekender', 'transfer_in') then 'movement'
        else 'other'
    end as return_kind,
    if(stay.released_at < run_parameter.as_of, stay.release_reason, null) as release_reason,
    stay.charge_class,
    stay.is_screened,
    stay.is_positive,
    stay.is_assessed,
    bool_or(stay.found_smi) over (
        partition by stay.person_id order by stay.booked_at
        range between unbounded preceding and current row
    ) as has_smi,
from stay
inner join person on person.person_id = stay.person_id
cross join run_parameter
where run_parameter.include_minors or person.is_minor is distinct from true
