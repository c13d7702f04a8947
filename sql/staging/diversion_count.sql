-- diversion_count
--
-- What becomes of people in a crisis whom a crisis line, a mobile team or a stabilization center meets,
-- exactly: what `diversion_measure` shows where it is not too small to show. A source that is not declared
-- has no rows here, for nobody knows what it would have seen.
--
-- What looks ahead counts from the start of a call or of a team's response, and from the end of a stay. It
-- counts only contacts with somebody who can be recognised elsewhere (by a Social Security number, or by name
-- and birth date), and of whom the source in question covers the whole time; the others are left_out.
--
-- Grain: one row per measure and month.
-- Inputs: covered_span, delivered_identity, encounter, encounter_detail, encounter_kind, person,
--   run_parameter
-- Order: measure, month
-- Columns:
--   measure: What is counted; `diversion_measure` lists the names.
--   month: Month in which the contact started, YYYY-MM.
--   people: Distinct people in the denominator.
--   people_of_whom: Distinct people in the numerator: one may be there many times.
--   people_beside: Distinct people in what the numerator leaves.
--   numerator: Those of the denominator of which it is true.
--   denominator: Contacts that could be judged.
--   left_out: Those that could not be judged.
with contact as (
    select
        encounter.person_id,
        encounter.source,
        encounter.client_id,
        encounter.encounter_id,
        encounter.kind,
        strftime(encounter.started_at, '%Y-%m') as month,
        if(encounter.is_stay, encounter.ended_at, encounter.started_at) as watched_from,
    from encounter
    inner join person on person.person_id = encounter.person_id
    cross join run_parameter
    where
        encounter.is_countable
        and (encounter.source, encounter.kind) in (
            ('crisis_line', 'call'),
            ('mobile_crisis', 'mobile_response'),
            ('crisis_stabilization', 'stabilization_stay')
        )
        and (run_parameter.include_minors or person.is_minor is distinct from true)
),

-- Somebody without these can be linked to nobody, and is no proof that nothing followed.
recognisable as (
    select distinct
        source,
        client_id,
    from delivered_identity
    where has_ssn or (has_first_name and has_last_name and has_birth_date)
),

ending as (
    select
        contact.*,
        encounter_detail.value as outcome,
    from contact
    left join encounter_detail
        on
            encounter_detail.source = contact.source
            and encounter_detail.encounter_id = contact.encounter_id
            and encounter_detail.column_name = 'outcome'
),

service as (
    select
        person_id,
        started_at,
        case kind when 'response' then 'ems' else kind end as name,
    from encounter
    where is_countable and kind in ('response', 'ed', 'booking')
),

watched as (
    select
        contact.source,
        contact.encounter_id,
        contact.kind,
        contact.person_id,
        contact.month,
        contact.watched_from,
        target.name as target,
        covered_span.covered_until,
        recognisable.client_id is not null as is_recognisable,
        min(service.started_at) as next_at,
    from contact
    cross join (values ('ems', 'ems'), ('ed', 'hospital'), ('booking', 'jail')) as target (name, source)
    left join recognisable
        on recognisable.source = contact.source and recognisable.client_id = contact.client_id
    left join covered_span
        on
            covered_span.source = target.source
            and covered_span.month = strftime(contact.watched_from, '%Y-%m')
            and covered_span.is_covered
    left join service
        on
            service.person_id = contact.person_id
            and service.name = target.name
            and service.started_at >= contact.watched_from
            and service.started_at < contact.watched_from + interval 7 days
    group by all
),

-- Whom the police take somewhere: to a stabilization center, or to an emergency department.
dropoff as (
    select
        contact.person_id,
        contact.month,
        true as is_at_stabilization,
    from contact
    inner join encounter_detail
        on
            encounter_detail.source = contact.source
            and encounter_detail.encounter_id = contact.encounter_id
    where
        contact.kind = 'stabilization_stay'
        and encounter_detail.column_name = 'brought_by'
        and encounter_detail.value = 'police'
    union all
    select
        encounter.person_id,
        strftime(encounter.started_at, '%Y-%m') as month,
        false as is_at_stabilization,
    from encounter
    inner join person on person.person_id = encounter.person_id
    cross join run_parameter
    where
        encounter.is_countable
        and encounter.kind = 'ed'
        and encounter.admit_origin = 'law_enforcement'
        and (run_parameter.include_minors or person.is_minor is distinct from true)
        and 'crisis_stabilization' in (select encounter_kind.source, from encounter_kind)
),

both_covered as (
    select month,
    from covered_span
    where source in ('crisis_stabilization', 'hospital') and is_covered
    group by month
    having count(*) = 2
),

counted as (
    select
        ended_as.measure,
        ending.month,
        ending.person_id,
        ending.outcome is not null as is_followed,
        coalesce(ending.outcome = ended_as.outcome, false) as is_true,
    from ending
    inner join
        (
            values
            ('call', 'resolved_by_phone', 'call_resolved_without_dispatch'),
            ('call', 'mobile_crisis', 'call_sent_mobile_crisis'),
            ('call', 'ambulance', 'call_handed_to_ems'),
            ('call', 'police', 'call_sent_police'),
            ('mobile_response', 'resolved_in_field', 'mobile_response_resolved_in_field'),
            ('mobile_response', 'stabilization', 'mobile_response_taken_to_stabilization'),
            ('mobile_response', 'ed', 'mobile_response_taken_to_ed'),
            ('mobile_response', 'police', 'mobile_response_handed_to_police')
        ) as ended_as (kind, outcome, measure)
        on ended_as.kind = ending.kind
    union all
    select
        watched.kind || '_then_' || watched.target || '_' || within.name as measure,
        watched.month,
        watched.person_id,
        watched.is_recognisable
        and coalesce(watched.watched_from + within.lasting <= watched.covered_until, false) as is_followed,
        coalesce(watched.next_at < watched.watched_from + within.lasting, false) as is_true,
    from watched
    cross join
        (
            values
            ('24_hours', interval 24 hours),
            ('72_hours', interval 72 hours),
            ('7_days', interval 7 days)
        ) as within (name, lasting)
    union all
    select
        'police_dropoff_at_stabilization' as measure,
        dropoff.month,
        dropoff.person_id,
        both_covered.month is not null as is_followed,
        dropoff.is_at_stabilization as is_true,
    from dropoff
    left join both_covered on both_covered.month = dropoff.month
)

select
    measure,
    month,
    count(distinct person_id) filter (where is_followed) as people,
    count(distinct person_id) filter (where is_followed and is_true) as people_of_whom,
    count(distinct person_id) filter (where is_followed and not is_true) as people_beside,
    count(*) filter (where is_followed and is_true) as numerator,
    count(*) filter (where is_followed) as denominator,
    count(*) filter (where not is_followed) as left_out,
from counted
group by measure, month
