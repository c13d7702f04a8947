-- monthly_figure
--
-- What each source delivered month by month, as counts whose course shows when an export, a register or the
-- linkage has changed. Only deliveries of a time before the as-of date.
--
-- encounters and people: rows delivered, for each day that the delivery covers. filled_in: of the people
-- accepted, those with the identifier `part`. quarantined: of the rows delivered, those kept out. open_stays:
-- of the stays in the month's delivery, those not ended when it ends. linked_to: of the clients of the month,
-- those whose person is also a client of the source `part`. large_person: of the clients of the month, those
-- whose person has more than five clients in that month. months_behind: how many months the source's newest
-- delivery ends before the newest of any source.
--
-- Grain: one row per measure, source, part and month.
-- Inputs: delivered_encounter, delivered_identity, delivery, encounter_kind, person_crosswalk, run_parameter
-- Order: measure, source, part, month
-- Columns:
--   measure: What is counted.
--   source: The delivering source.
--   part: An identifier or another source; empty text where the measure has no parts.
--   month: Month of the delivery, YYYY-MM.
--   numerator: What is counted.
--   denominator: Of how much: rows, clients or stays; days for what is counted by the day.
--   is_share: Whether numerator and denominator are parts of one whole; otherwise it is a number for each day
--     or month.
with considered as (
    select
        delivery.*,
        date_diff('day', delivery.covers_from, delivery.covers_to) as days,
    from delivery
    cross join run_parameter
    where delivery.covers_from < run_parameter.as_of
),

rows_by_day as (
    select
        'encounters' as measure,
        source,
        '' as part,
        month,
        delivered_encounters as numerator,
        days as denominator,
        false as is_share,
    from considered
    union all
    select
        'people' as measure,
        source,
        '' as part,
        month,
        delivered_people as numerator,
        days as denominator,
        false as is_share,
    from considered
),

quarantined as (
    select
        'quarantined' as measure,
        source,
        '' as part,
        month,
        quarantined_people + quarantined_encounters as numerator,
        delivered_people + delivered_encounters as denominator,
        true as is_share,
    from considered
),

identity as (
    select delivered_identity.*,
    from delivered_identity
    semi join considered
        on
            considered.source = delivered_identity.source
            and considered.month = delivered_identity.month
),

known as (
    select
        source,
        month,
        count(*) as denominator,
        count(*) filter (where has_first_name) as first_name,
        count(*) filter (where has_last_name) as last_name,
        count(*) filter (where has_birth_date) as birth_date,
        count(*) filter (where has_ssn) as ssn,
        count(*) filter (where has_ssn_last_four) as ssn_last_four,
        count(*) filter (where has_sex) as sex,
        count(*) filter (where has_zip3) as zip3,
    from identity
    group by source, month
),

filled_in as (
    select
        'filled_in' as measure,
        source,
        part,
        month,
        numerator,
        denominator,
        true as is_share,
    from known
    unpivot (
        numerator for part in (first_name, last_name, birth_date, ssn, ssn_last_four, sex, zip3)
    )
),

open_stays as (
    select
        'open_stays' as measure,
        delivered_encounter.source,
        '' as part,
        delivered_encounter.month,
        count(*) filter (
            where coalesce(delivered_encounter.ended_at >= considered.covers_to, true)
        ) as numerator,
        count(*) as denominator,
        true as is_share,
    from delivered_encounter
    inner join considered
        on
            considered.source = delivered_encounter.source
            and considered.month = delivered_encounter.month
    inner join encounter_kind
        on
            encounter_kind.source = delivered_encounter.source
            and encounter_kind.kind = delivered_encounter.kind
    where encounter_kind.is_stay and delivered_encounter.kind <> 'bed_night'
    group by delivered_encounter.source, delivered_encounter.month
),

client as (
    select distinct
        identity.source,
        identity.month,
        identity.client_id,
        person_crosswalk.person_id,
    from identity
    inner join person_crosswalk
        on
            person_crosswalk.source = identity.source
            and person_crosswalk.client_id = identity.client_id
),

met_by as (
    select
        person_id,
        list(distinct source) as sources,
    from person_crosswalk
    group by person_id
),

delivering as (
    select distinct source, from considered
),

linked_to as (
    select
        'linked_to' as measure,
        client.source,
        delivering.source as part,
        client.month,
        count(*) filter (where list_contains(met_by.sources, delivering.source)) as numerator,
        count(*) as denominator,
        true as is_share,
    from client
    inner join met_by on met_by.person_id = client.person_id
    inner join delivering on delivering.source <> client.source
    group by client.source, delivering.source, client.month
),

client_of_person as (
    select
        source,
        month,
        count(*) over (partition by month, person_id) as clients,
    from client
),

large_person as (
    select
        'large_person' as measure,
        source,
        '' as part,
        month,
        count(*) filter (where clients > 5) as numerator,
        count(*) as denominator,
        true as is_share,
    from client_of_person
    group by source, month
),

months_behind as (
    select
        'months_behind' as measure,
        source,
        '' as part,
        max(month) as month,
        date_diff('month', max(covers_to), (select max(newest.covers_to), from considered as newest))
            as numerator,
        1 as denominator,
        false as is_share,
    from considered
    group by source
)

select *, from rows_by_day
union all
select *, from quarantined
union all
select *, from filled_in
union all
select *, from open_stays
union all
select *, from linked_to
union all
select *, from large_person
union all
select *, from months_behind
