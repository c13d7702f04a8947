-- people_by_program
--
-- How many people each program screen finds, and how many of them another screen finds as well. A screen is
-- for outreach review, never an eligibility decision; program_definition has each rule and what the data
-- cannot see.
--
-- Run it on a release: duckdb -readonly familiar_faces.duckdb. Suppress small cells before a number leaves
-- the building.
--
-- Grain: one row per program.
-- Inputs: program_definition, program_screen
-- Columns:
--   program: Name of the program.
--   rests_on_sud: Whether being found says that a substance use disorder was recorded.
--   people: People found.
--   also_in_another: Those of them found by another screen as well.
with found as (
    select
        program,
        count(*) over (partition by person_id) as programs,
    from program_screen
)

select
    program_definition.program,
    program_definition.rests_on_sud,
    count(found.program) as people,
    count(*) filter (where found.programs > 1) as also_in_another,
from program_definition
left join found on found.program = program_definition.program
group by program_definition.program, program_definition.rests_on_sud
order by people desc, program_definition.program asc
