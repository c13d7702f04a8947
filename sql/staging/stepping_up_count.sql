-- stepping_up_count
--
-- The measures of Stepping Up, exactly: what `stepping_up_measure` shows where it is not too small to show.
--
-- What looks ahead (connected, rebooked) counts only those who could be followed for the whole time; the
-- others are left_out, as are stays that have not ended where a length is measured. Periods are months and
-- calendar years; each event is in the month of the booking for booked, screened and assessed, and of the
-- release for the rest. A release to prison, to another agency or by death is no release to the community
-- and is in no measure that looks ahead.
--
-- Grain: one row per measure, period, smi and charge_class.
-- Inputs: connecting_span, covered_span, encounter, jail_stay, run_parameter
-- Order: measure, period, smi, charge_class
-- Columns:
--   measure: bookings and people_booked (of whom the numerator had SMI), screened, assessed,
--     length_of_stay, connected_<days>_days, rebooked_<months>_months_<any, new_charge or technical>.
--   period: Month of the booking or of the release, YYYY-MM, or its year, YYYY, as far as the jail covers
--     it; every one from the first month that any source covers.
--   months: How many months of the period the jail covers; of none, the counts are empty. A zero is a
--     count.
--   smi: all, smi, or other: no serious mental illness found, which includes people nobody assessed.
--   charge_class: all, or the charge of the stay; a charge that nobody had in a period has no row.
--   people: Distinct people in the denominator.
--   people_of_whom: Distinct people in the numerator: one may be there many times.
--   people_beside: Distinct people in what the numerator leaves.
--   numerator: Those of the denominator of whom it is true.
--   denominator: Bookings, people or releases that could be followed.
--   left_out: Those that could not be followed, or whose stay has not ended.
--   mean_days: Mean length of the stays that ended, in days.
--   median_days: Median of the same.
with jail_span as (
    select
        month,
        covered_until,
    from covered_span
    where source = 'jail' and is_covered
),

-- People by number: many rows are grouped by person below, and a number takes less room than an id.
jailed_person as (
    select
        person_id,
        row_number() over (order by person_id) as person_number,
    from jail_stay
    group by person_id
),

stay as (
    select
        jail_stay.*,
        jailed_person.person_number,
    from jail_stay
    inner join jailed_person on jailed_person.person_id = jail_stay.person_id
),

-- Each covered month, and what it is counted in: itself and its year.
jail_period as (
    select
        month,
        unnest([month, left(month, 4)]) as name,
    from jail_span
),

booked as (
    select
        *,
        strftime(booked_at, '%Y-%m') as month,
    from stay
),

released as (
    select
        *,
        strftime(released_at, '%Y-%m') as month,
        coalesce(release_reason not in ('to_prison', 'to_other_agency', 'died'), true) as to_community,
    from stay
    where released_at is not null
),

-- The people of a period, once each: at the last booking or the first release of it.
person_booked as (
    select
        booked.*,
        period.name as period,
    from booked
    inner join jail_period as period on period.month = booked.month
    qualify
        row_number()
            over (
                partition by booked.person_id, period.name
                order by booked.booked_at desc, booked.episode_id asc
            )
        = 1
),

person_released as (
    select
        released.*,
        period.name as period,
    from released
    inner join jail_period as period on period.month = released.month
    where released.to_community
    qualify
        row_number()
            over (
                partition by released.person_id, period.name
                order by released.released_at, released.episode_id
            )
        = 1
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
        released.person_number,
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

returned as (
    select
        person_released.person_number,
        person_released.month,
        person_released.period,
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

event as (
    select
        'bookings' as measure,
        month,
        has_smi,
        charge_class,
        person_number,
        true as is_followed,
        has_smi as is_true,
        null::double as days,
    from booked
    union all
    select
        'screened' as measure,
        month,
        has_smi,
        charge_class,
        person_number,
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
        person_number,
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
        person_number,
        released_at is not null as is_followed,
        released_at is not null as is_true,
        date_diff('second', booked_at, released_at) / 86400 as days,
    from stay
    union all
    select
        'connected_' || within.days || '_days' as measure,
        first_service.month,
        first_service.has_smi,
        first_service.charge_class,
        first_service.person_number,
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
),

counted as (
    select
        event.measure,
        period.name as period,
        event.has_smi,
        event.charge_class,
        event.person_number,
        event.is_followed,
        event.is_true,
        event.days,
    from event
    inner join jail_period as period on period.month = event.month
    union all
    select
        'people_booked' as measure,
        period,
        has_smi,
        charge_class,
        person_number,
        true as is_followed,
        has_smi as is_true,
        null as days,
    from person_booked
    union all
    select
        'rebooked_' || within.months || '_months_' || kind.name as measure,
        returned.period,
        returned.has_smi,
        returned.charge_class,
        returned.person_number,
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

-- Each in the whole, in its part by illness and in its part by charge.
in_part as (
    select
        *,
        'all' as smi,
        'all' as of_charge,
    from counted
    union all
    select
        *,
        if(has_smi, 'smi', 'other') as smi,
        'all' as of_charge,
    from counted
    union all
    select
        *,
        'all' as smi,
        charge_class as of_charge,
    from counted
),

-- By person first, and then the persons: to count distinct ones at once would hold all of them in memory.
by_person as (
    select
        measure,
        period,
        smi,
        of_charge,
        person_number,
        count(*) filter (where is_followed) as followed,
        count(*) filter (where is_followed and is_true) as followed_true,
        count(*) filter (where is_followed and not is_true) as followed_not_true,
        count(*) filter (where not is_followed) as left_out,
    from in_part
    group by measure, period, smi, of_charge, person_number
),

summed_by_person as (
    select
        measure,
        period,
        smi,
        of_charge,
        count(*) filter (where followed > 0) as people,
        count(*) filter (where followed_true > 0) as people_of_whom,
        count(*) filter (where followed_not_true > 0) as people_beside,
        sum(followed_true)::bigint as numerator,
        sum(followed)::bigint as denominator,
        sum(left_out)::bigint as left_out,
    from by_person
    group by measure, period, smi, of_charge
),

length_of_stay as (
    select
        measure,
        period,
        smi,
        of_charge,
        -- Rounded, because the last digits of a mean depend on the order in which rows are added up.
        round(avg(days), 4) as mean_days,
        round(median(days), 4) as median_days,
    from in_part
    where days is not null
    group by measure, period, smi, of_charge
),

summed as (
    select
        summed_by_person.measure,
        summed_by_person.period,
        summed_by_person.smi,
        summed_by_person.of_charge as charge_class,
        summed_by_person.people,
        summed_by_person.people_of_whom,
        summed_by_person.people_beside,
        summed_by_person.numerator,
        summed_by_person.denominator,
        summed_by_person.left_out,
        length_of_stay.mean_days,
        length_of_stay.median_days,
    from summed_by_person
    left join length_of_stay
        on
            length_of_stay.measure = summed_by_person.measure
            and length_of_stay.period = summed_by_person.period
            and length_of_stay.smi = summed_by_person.smi
            and length_of_stay.of_charge = summed_by_person.of_charge
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

period as (
    select
        name,
        count(*) filter (where is_covered) as months,
    from (
        select
            unnest([month, left(month, 4)]) as name,
            is_covered,
        from covered_span
        where source = 'jail'
    ) as counted_in
    group by name
),

-- Every period that there should be, so that none is missed in silence.
cell as (
    select
        measured.measure,
        period.name as period,
        part.smi,
        'all' as charge_class,
    from measured
    cross join period
    cross join (values ('all'), ('smi'), ('other')) as part (smi)
    union all
    select
        measure,
        period,
        smi,
        charge_class,
    from summed
    where charge_class <> 'all'
)

select
    cell.measure,
    cell.period,
    period.months,
    cell.smi,
    cell.charge_class,
    if(period.months > 0, coalesce(summed.people, 0), null) as people,
    if(period.months > 0, coalesce(summed.people_of_whom, 0), null) as people_of_whom,
    if(period.months > 0, coalesce(summed.people_beside, 0), null) as people_beside,
    if(period.months > 0, coalesce(summed.numerator, 0), null) as numerator,
    if(period.months > 0, coalesce(summed.denominator, 0), null) as denominator,
    if(period.months > 0, coalesce(summed.left_out, 0), null) as left_out,
    summed.mean_days,
    summed.median_days,
from cell
inner join period on period.name = cell.period
left join summed
    on
        summed.measure = cell.measure
        and summed.period = cell.period
        and summed.smi = cell.smi
        and summed.charge_class = cell.charge_class
