-- person
--
-- Everyone that the released encounters and source clients are about.
--
-- Grain: one row per person_id.
-- Inputs: encounter, person_crosswalk, run_parameter, source_record
-- Order: person_id
-- Columns:
--   person_id: Opaque id, minted once and kept from release to release.
--   sources: Sources with a client of this person, in alphabetical order.
--   source_count: How many sources that is.
--   client_count: Source clients that are this person.
--   first_seen: Day of the first encounter.
--   last_seen: Day of the last encounter's start.
--   birth_year: Year of birth as most source records have it; for people of 90 and more the year that makes
--     them 90.
--   sex: Sex as most source records have it: F, M, X or U.
--   age: Age in years at the as-of date, from the year of birth (so up to a year too high); at most 90.
--   is_minor: Whether the person may be under 18 at the as-of date, by the year of birth; empty where no
--     birth year is known.
--   race_ethnicity: Every OMB 2024 category recorded, in alphabetical order; for measures of fairness only.
--   ever_smi: Whether any encounter recorded a serious mental illness.
--   ever_sud: Whether any encounter recorded a substance use disorder.
--   ever_suicidality: Whether any encounter recorded suicidality.
--   ever_homeless: Whether any encounter recorded homelessness.
--   ever_overdose: Whether any encounter recorded an overdose.
with client as (
    select
        person_id,
        list_sort(list(distinct source)) as sources,
        count(distinct source) as source_count,
        count(*) as client_count,
    from person_crosswalk
    group by person_id
),

recorded as (
    select
        person_crosswalk.person_id,
        source_record.birth_year,
        source_record.sex,
        source_record.race_ethnicity,
    from source_record
    inner join person_crosswalk
        on
            person_crosswalk.source = source_record.source
            and person_crosswalk.client_id = source_record.client_id
),

birth_year_votes as (
    select
        person_id,
        birth_year,
    from recorded
    where birth_year is not null
    group by person_id, birth_year
    qualify row_number() over (partition by person_id order by count(*) desc, birth_year) = 1
),

sex_votes as (
    select
        person_id,
        sex,
    from recorded
    where sex is not null
    group by person_id, sex
    qualify row_number() over (partition by person_id order by sex = 'U', count(*) desc, sex) = 1
),

race_ethnicity_seen as (
    select
        person_id,
        list_aggregate(list_sort(list(distinct category)), 'string_agg', ';') as race_ethnicity,
    from (
        select
            person_id,
            unnest(string_split(race_ethnicity, ';')) as category,
        from recorded
        where race_ethnicity is not null
    ) as category_seen
    group by person_id
),

seen as (
    select
        person_id,
        min(started_at)::date as first_seen,
        max(started_at)::date as last_seen,
        coalesce(bool_or(smi), false) as ever_smi,
        coalesce(bool_or(sud), false) as ever_sud,
        coalesce(bool_or(suicidality), false) as ever_suicidality,
        coalesce(bool_or(homeless), false) as ever_homeless,
        coalesce(bool_or(overdose), false) as ever_overdose,
    from encounter
    group by person_id
)

select
    client.person_id,
    client.sources,
    client.source_count,
    client.client_count,
    seen.first_seen,
    seen.last_seen,
    case
        when birth_year_votes.birth_year is not null
            then greatest(birth_year_votes.birth_year, year(run_parameter.as_of) - 90)
    end as birth_year,
    coalesce(sex_votes.sex, 'U') as sex,
    case
        when birth_year_votes.birth_year is not null
            then least(year(run_parameter.as_of) - birth_year_votes.birth_year, 90)
    end as age,
    run_parameter.as_of < make_date(birth_year_votes.birth_year + 18, 12, 31) as is_minor,
    race_ethnicity_seen.race_ethnicity,
    coalesce(seen.ever_smi, false) as ever_smi,
    coalesce(seen.ever_sud, false) as ever_sud,
    coalesce(seen.ever_suicidality, false) as ever_suicidality,
    coalesce(seen.ever_homeless, false) as ever_homeless,
    coalesce(seen.ever_overdose, false) as ever_overdose,
from client
cross join run_parameter
left join seen on seen.person_id = client.person_id
left join birth_year_votes on birth_year_votes.person_id = client.person_id
left join sex_votes on sex_votes.person_id = client.person_id
left join race_ethnicity_seen on race_ethnicity_seen.person_id = client.person_id
