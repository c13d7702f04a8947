-- linkage_figure
--
-- How far this run's persons reach across systems, as counts to hold against earlier runs. linked_pair: of
-- the persons known to that one of the two sources that knows fewer, those known to both. large_person: of
-- all clients, those whose person has more than twenty.
--
-- Grain: one row per measure, source and part.
-- Inputs: person_crosswalk
-- Order: measure, source, part
-- Columns:
--   measure: linked_pair or large_person.
--   source: The first source of the pair by name; all for large_person.
--   part: The other source of the pair; empty text for large_person.
--   numerator: What is counted: persons, or clients.
--   denominator: Of how many.
with known as (
    select distinct
        source,
        person_id,
    from person_crosswalk
),

persons_of_source as (
    select
        source,
        count(*) as persons,
    from known
    group by source
),

in_both as (
    select
        l.source,
        r.source as part,
        count(*) as persons,
    from known as l
    inner join known as r on l.person_id = r.person_id and l.source < r.source
    group by l.source, r.source
),

clients_of_person as (
    select count(*) as clients,
    from person_crosswalk
    group by person_id
)

select
    'linked_pair' as measure,
    l.source,
    r.source as part,
    coalesce(in_both.persons, 0) as numerator,
    least(l.persons, r.persons) as denominator,
from persons_of_source as l
inner join persons_of_source as r on l.source < r.source
left join in_both on in_both.source = l.source and in_both.part = r.source
union all
select
    'large_person' as measure,
    'all' as source,
    '' as part,
    coalesce(sum(clients) filter (where clients > 20), 0)::bigint as numerator,
    coalesce(sum(clients), 0)::bigint as denominator,
from clients_of_person
