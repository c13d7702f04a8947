-- encounter_detail
--
-- What further sources (a crisis line, a court, a clinic) say of an encounter in columns of their own, a row
-- for each value. Without a further source it has no rows; columns of the four sources are in `encounter`.
--
-- Grain: one row per source, encounter_id and column_name.
-- Inputs: latest_encounter
-- Order: source, encounter_id, column_name
-- Columns:
--   source: The delivering source.
--   encounter_id: The agency's pseudonymous encounter id.
--   column_name: Name of the column, as the source declares it.
--   value: The value as text; what was not recorded has no row.
select
    source,
    encounter_id,
    column_name,
    value,
from (
    select
        source,
        encounter_id,
        unnest(map_keys(further)) as column_name,
        unnest(map_values(further)) as value,
    from latest_encounter
) as of_encounter
where value is not null
