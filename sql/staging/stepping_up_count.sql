-- stepping_up_count
--
-- The measures of Stepping Up, exactly: what `stepping_up_measure` shows where it is not too small to show.
--
-- What looks ahead (connected, rebooked) counts only those who could be followed for the whole time; the
-- others are left_out, as are stays that have not ended where a length is measured. Months are those of the
-- booking for booked, screened and assessed, and of the release for the rest. A release to prison, to
-- another agency or by death is no release to the community and is in no measure that looks ahead.
--
-- Grain: one row per measure, month, smi and charge_class.
-- Inputs: connecting_span, covered_span, encounter, jail_stay, run_parameter
-- Order: measure, month, smi, charge_class
-- Columns:
--   measure: bookings and people_booked (of whom the numerator had SMI), screened, assessed,
--     length_of_stay, connected_<days>_days, rebooked_<months>_months_<any, new_charge or technical>.
--   month: Month of the booking or of the release, YYYY-MM; every month from the first that any source
--     covers.
--   smi: all, smi, or other: no serious mental illness found, which includes people nobody assessed.
--   charge_class: all, or the charge of the stay; a charge that nobody had in a month has no row.
--   is_covered: Whether the jail delivered the month; the counts are empty where it did not, and a zero
--     where it is true means that there was none.
--   people: Distinct people in the denominator.
--   numerator: Those of the denominator of whom it is true.
--   denominator: Bookings, people or releases that could be followed.
--   left_out: Those that could not be followed, or whose stay has not ended.
--   mean_days: Mean length of the stays that ended, in days.
--   median_days: Median of the same.
with booked as (
    select
        *,
        strftime(booked_at, '%Y-%m') as month,
    from jail_stay
),

released as (
    select
        jail_stay.*,
        strftime(jail_stay.released_at, '%Y-%m') as month,
        coalesce(jail_stay.release_reason not in ('to_prison', 'to_other_agency', 'died'), true)
            as to_community,
    from jail_stay
    where jail_stay.released_at is not null
),

-- The people of a month, once each: at the last booking or the first release of that month.
person_booked as (
    select *,
    from booked
    qualify row_number() over (partition by person_id, month order by booked_at desc, episode_id asc) = 1
),

person_released as (
    select *,
    from released
    where to_community
    qualify row_number() over (partition by person_id, month order by released_at, episode_id) = 1
),

service as (
    select
        encounter.person_id,
        encounter.started_at,
    from encounter
    cross join run_parameter
    where encounter.is_countable and list_contains(run_parameter.connected_by, encounter.kind)
),

first_service as (
    select
        released.episode_id,
        released.person_id,
        released.month,
        released.released_at,
        released.has_smi,
        released.charge_class,
        min(service.started_at) as served_at,
    from released
    left join service
        on service.person_id = released.person_id and service.started_at >= released.released_at
    where released.to_community
    group by all
),

jail_span as (
    select
        month,
        is_covered,
        covered_until,
    from covered_span
    where source = 'jail'
),

returned as (
    select
        person_released.person_id,
        person_released.month,
        person_released.released_at,
        person_released.has_smi,
        person_released.charge_class,
        min(later.booked_at) as any_at,
        min(later.booked_at) filter (where later.return_kind = 'new_charge') as new_charge_at,
        min(later.booked_at) filter (where later.return_kind = 'technical') as technical_at,
    from person_released
    left join jail_stay as later
        on
            later.person_id = person_released.person_id
            and later.booked_at > person_released.released_at
            and later.return_kind <> 'movement'
    group by all
),

counted as (
    select
        'bookings' as measure,
        month,
        has_smi,
        charge_class,
        person_id,
        true as is_followed,
        has_smi as is_true,
        null::double as days,
    from booked
    union all
    select
        'people_booked' as measure,
        month,
        has_smi,
        charge_class,
        person_id,
        true as is_followed,
        has_smi as is_true,
        null as days,
    from person_booked
    union all
    select
        'screened' as measure,
        month,
        has_smi,
        charge_class,
        person_id,
        true as is_followed,
        is_screened as is_true,
        null as days,
    from booked
    union all
    select
        'assessed' as measure,
        month,
        has_smi,
        charge_class,
        person_id,
        true as is_followed,
        is_assessed as is_true,
        null as days,
    from booked
    where is_positive
    union all
    select
        'length_of_stay' as measure,
        coalesce(strftime(released_at, '%Y-%m'), strftime(booked_at, '%Y-%m')) as month,
        has_smi,
        charge_class,
        person_id,
        released_at is not null as is_followed,
        released_at is not null as is_true,
        date_diff('second', booked_at, released_at) / 86400 as days,
    from jail_stay
    union all
    select
        'connected_' || within.days || '_days' as measure,
        first_service.month,
        first_service.has_smi,
        first_service.charge_class,
        first_service.person_id,
        coalesce(
            first_service.released_at::date + within.days + 1 <= connecting_span.covered_until, false
        ) as is_followed,
        coalesce(
            first_service.served_at < first_service.released_at::date + within.days + 1, false
        ) as is_true,
        null as days,
    from first_service
    cross join (values (7), (14), (30)) as within (days)
    left join connecting_span on connecting_span.month = first_service.month
    union all
    select
        'rebooked_' || within.months || '_months_' || kind.name as measure,
        returned.month,
        returned.has_smi,
        returned.charge_class,
        returned.person_id,
        coalesce(
            returned.released_at::date + to_months(within.months) <= jail_span.covered_until, false
        ) as is_followed,
        coalesce(
            case kind.name
                when 'any' then returned.any_at
                when 'new_charge' then returned.new_charge_at
                else returned.technical_at
            end < returned.released_at::date + to_months(within.months),
            false
        ) as is_true,
        null as days,
    from returned
    cross join (values (12), (24), (36)) as within (months)
    cross join (values ('any'), ('new_charge'), ('technical')) as kind (name)
    left join jail_span on jail_span.month = returned.month
),

summed as (
    select
        measure,
        month,
        if(grouping(has_smi) = 1, 'all', if(has_smi, 'smi', 'other')) as smi,
        if(grouping(charge_class) = 1, 'all', charge_class) as charge_class,
        count(distinct person_id) filter (where is_followed) as people,
        count(*) filter (where is_followed and is_true) as numerator,
        count(*) filter (where is_followed) as denominator,
        count(*) filter (where not is_followed) as left_out,
        avg(days) as mean_days,
        median(days) as median_days,
    from counted
    group by grouping sets ((measure, month), (measure, month, has_smi), (measure, month, charge_class))
),

measured as (
    select unnest(['bookings', 'people_booked', 'screened', 'assessed', 'length_of_stay']) as measure,
    union all
    select 'connected_' || unnest([7, 14, 30]) || '_days' as measure,
    union all
    select 'rebooked_' || within.months || '_months_' || kind.name as measure,
    from (values (12), (24), (36)) as within (months)
    cross join (values ('any'), ('new_charge'), ('technical')) as kind (name)
),

-- Every month that there should be, so that none is missed in silence.
cell as (
    select
        measured.measure,
        jail_span.month,
        part.smi,
        'all' as charge_class,
    from measured
    cross join jail_span
    cross join (values ('all'), ('smi'), ('other')) as part (smi)
    union all
    select
        measure,
        month,
        smi,
        charge_class,
    from summed
    where charge_class <> 'all'
)

select
    cell.measure,
    cell.month,
    cell.smi,
    cell.charge_class,
    jail_span.is_covered,
    if(jail_span.is_covered, coalesce(summed.people, 0), null) as people,
    if(jail_span.is_covered, coalesce(summed.numerator, 0), null) as numerator,
    if(jail_span.is_covered, coalesce(summed.denominator, 0), null) as denominator,
    if(jail_span.is_covered, coalesce(summed.left_out, 0), null) as left_out,
    if(jail_span.is_covered, summed.mean_days, null) as mean_days,
    if(jail_span.is_covered, summed.median_days, null) as median_days,
from cell
inner join jail_span on jail_span.month = cell.month
left join summed
    on
        summed.measure = cell.measure
        and summed.month = cell.month
        and summed.smi = cell.smi
        and summed.charge_class = cell.charge_class
where jail_span.is_covered or cell.charge_class = 'all'
