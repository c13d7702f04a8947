-- monthly_measure
--
-- Figures of every delivered month by which a change in what arrives is seen: how much, how complete, how
-- much was kept out, how many stays without an end, and how often a system's clients are found in another.
-- Months are those of the delivery, or, where persons are looked at, those in which encounters began.
--
-- Grain: one row per measure, slice and month.
-- Inputs: delivered_encounter, delivered_identity, delivery, encounter, encounter_kind, person_crosswalk
-- Order: measure, slice, month
-- Columns:
--   measure: volume, quarantined, known_name, known_birth_date, known_number, open_stays, linked or
--     large_persons.
--   slice: The source; of linked two sources, those whose clients are looked at first.
--   month: Month, YYYY-MM.
--   value: Rows delivered (volume), otherwise a share from 0 to 1.
--   of_rows: Of how many rows, clients or persons it is a share.
with seen as (
    select distinct
        encounter.person_id,
        encounter.source,
        strftime(encounter.started_at, '%Y-%m') as month,
    from encounter
    where encounter.is_countable
),

person_source as (
    select
        person_id,
        source,
        count(*) as clients,
    from person_crosswalk
    group by person_id, source
),

source_pair as (
    select
        one.source,
        other.source as other_source,
    from (select distinct source, from delivery) as one
    inner join (select distinct source, from delivery) as other on other.source <> one.source
),

identity_share as (
    select
        source,
        month,
        count(*) as of_rows,
        count(*) filter (where name_is_known) as names,
        count(*) filter (where birth_date_is_known) as birth_dates,
        count(*) filter (where number_is_known) as numbers,
    from delivered_identity
    group by source, month
)

select
    'volume' as measure,
    source as slice,
    month,
    (delivered_people + delivered_encounters)::double as value,
    delivered_people + delivered_encounters as of_rows,
from delivery
union all
select
    'quarantined' as measure,
    source as slice,
    month,
    (quarantined_people + quarantined_encounters)
    / nullif(delivered_people + delivered_encounters, 0) as value,
    delivered_people + delivered_encounters as of_rows,
from delivery
union all
select
    known.measure,
    identity_share.source as slice,
    identity_share.month,
    case known.measure
        when 'known_name' then identity_share.names
        when 'known_birth_date' then identity_share.birth_dates
        else identity_share.numbers
    end / identity_share.of_rows as value,
    identity_share.of_rows,
from identity_share
cross join (values ('known_name'), ('known_birth_date'), ('known_number')) as known (measure)
union all
select
    'open_stays' as measure,
    delivered_encounter.source as slice,
    delivered_encounter.month,
    count(*) filter (where delivered_encounter.ended_at is null) / count(*) as value,
    count(*) as of_rows,
from delivered_encounter
inner join encounter_kind
    on
        encounter_kind.source = delivered_encounter.source
        and encounter_kind.kind = delivered_encounter.kind
where encounter_kind.is_stay
group by delivered_encounter.source, delivered_encounter.month
union all
select
    'linked' as measure,
    source_pair.source || ', ' || source_pair.other_source as slice,
    seen.month,
    count(person_source.person_id) / count(*) as value,
    count(*) as of_rows,
from seen
inner join source_pair on source_pair.source = seen.source
left join person_source
    on
        person_source.person_id = seen.person_id
        and person_source.source = source_pair.other_source
group by source_pair.source, source_pair.other_source, seen.month
union all
select
    'large_persons' as measure,
    seen.source as slice,
    seen.month,
    count(*) filter (where clients.clients > 20) / count(*) as value,
    count(*) as of_rows,
from seen
inner join (select
    person_id,
    sum(clients) as clients,
from person_source
group by person_id) as clients
    on clients.person_id = seen.person_id
group by seen.source, seen.month
