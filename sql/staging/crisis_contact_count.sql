-- crisis_contact_count
--
-- What happens around jail and emergencies, exactly: what `crisis_contact_measure` shows where it is not
-- too small to show. What looks ahead or back counts only where every source in question covers the whole
-- time; the others are left_out. Releases to prison, to another agency or by death are in no measure that
-- looks ahead.
--
-- Grain: one row per measure and month.
-- Inputs: covered_span, encounter, jail_stay, person, run_parameter
-- Order: measure, month
-- Columns:
--   measure: released_then_<ems, ed or either>_<hours or days>, booked_after_<ems, ed or either>_<days>,
--     ed_brought_by_police, ed_left_to_police, ems_handed_to_police or ems_taken_to_jail.
--   month: Month of the release, booking, visit or response, YYYY-MM.
--   people: Distinct people in the denominator.
--   people_of_whom: Distinct people in the numerator: one may be there many times.
--   people_beside: Distinct people in what the numerator leaves.
--   numerator: Those of the denominator of which it is true.
--   denominator: Releases, bookings, visits or responses that could be followed.
--   left_out: Those that could not be followed.
with contact as (
    select
        encounter.person_id,
        encounter.started_at,
        encounter.kind = 'ed' as is_ed,
    from encounter
    where encounter.is_countable and encounter.kind in ('ed', 'response')
),

-- From each month on, until when emergency departments and ambulances are both covered, and since when.
spanned as (
    select
        month,
        min(covered_until) as covered_until,
        bool_and(is_covered) as is_covered,
        count(*) as sources,
    from covered_span
    where source in ('ems', 'hospital')
    group by month
),

span as (
    select
        month,
        if(sources < 2 or not is_covered, null, covered_until) as covered_until,
        max(if(sources < 2 or not is_covered, null, (month || '-01')::date))
        filter (where not coalesce(before_covered, false))
            over (order by month rows between unbounded preceding and current row) as covered_since,
    from (
        select
            *,
            lag(is_covered and sources = 2) over (order by month) as before_covered,
        from spanned
    ) as with_month_before
),

release_watch as (
    select
        jail_stay.episode_id,
        jail_stay.person_id,
        jail_stay.released_at,
        strftime(jail_stay.released_at, '%Y-%m') as month,
        min(contact.started_at) filter (where contact.is_ed) as ed_at,
        min(contact.started_at) filter (where not contact.is_ed) as ems_at,
    from jail_stay
    left join contact
        on
            contact.person_id = jail_stay.person_id
            and contact.started_at >= jail_stay.released_at
            and contact.started_at < jail_stay.released_at + interval 14 days
    where
        jail_stay.released_at is not null
        and coalesce(jail_stay.release_reason not in ('to_prison', 'to_other_agency', 'died'), true)
    group by all
),

booking_watch as (
    select
        jail_stay.episode_id,
        jail_stay.person_id,
        jail_stay.booked_at,
        strftime(jail_stay.booked_at, '%Y-%m') as month,
        max(contact.started_at) filter (where contact.is_ed) as ed_at,
        max(contact.started_at) filter (where not contact.is_ed) as ems_at,
    from jail_stay
    left join contact
        on
            contact.person_id = jail_stay.person_id
            and contact.started_at <= jail_stay.booked_at
            and contact.started_at >= jail_stay.booked_at - interval 30 days
    group by all
),

counted as (
    select
        'released_then_' || watched.name || '_' || within.name as measure,
        release_watch.month,
        release_watch.person_id,
        coalesce(release_watch.released_at + within.lasting <= span.covered_until, false) as is_followed,
        coalesce(
            case watched.name
                when 'ed' then release_watch.ed_at
                when 'ems' then release_watch.ems_at
                else least(release_watch.ed_at, release_watch.ems_at)
            end < release_watch.released_at + within.lasting,
            false
        ) as is_true,
    from release_watch
    cross join (values ('ems'), ('ed'), ('either')) as watched (name)
    cross join
        (values ('72_hours', interval 72 hours), ('14_days', interval 14 days)) as within (name, lasting)
    left join span on span.month = release_watch.month
    union all
    select
        'booked_after_' || watched.name || '_' || within.days || '_days' as measure,
        booking_watch.month,
        booking_watch.person_id,
        coalesce(
            span.covered_until is not null
            and booking_watch.booked_at - to_days(within.days) >= span.covered_since,
            false
        ) as is_followed,
        coalesce(
            case watched.name
                when 'ed' then booking_watch.ed_at
                when 'ems' then booking_watch.ems_at
                else greatest(booking_watch.ed_at, booking_watch.ems_at)
            end >= booking_watch.booked_at - to_days(within.days),
            false
        ) as is_true,
    from booking_watch
    cross join (values ('ems'), ('ed'), ('either')) as watched (name)
    cross join (values (7), (30)) as within (days)
    left join span on span.month = booking_watch.month
    union all
    select
        handover.measure,
        strftime(encounter.started_at, '%Y-%m') as month,
        encounter.person_id,
        true as is_followed,
        coalesce(
            case handover.measure
                when 'ed_brought_by_police' then encounter.admit_origin = 'law_enforcement'
                when 'ed_left_to_police' then encounter.disposition = 'law_enforcement'
                when 'ems_handed_to_police' then encounter.released_to_law_enforcement
                else encounter.transported and encounter.destination_type = 'jail'
            end,
            false
        ) as is_true,
    from encounter
    inner join
        (
            values
            ('ed_brought_by_police', 'ed'),
            ('ed_left_to_police', 'ed'),
            ('ems_handed_to_police', 'response'),
            ('ems_taken_to_jail', 'response')
        ) as handover (measure, kind)
        on handover.kind = encounter.kind
    inner join person on person.person_id = encounter.person_id
    cross join run_parameter
    where
        encounter.is_countable
        and (run_parameter.include_minors or person.is_minor is distinct from true)
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
