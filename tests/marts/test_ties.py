"""Rows that tie are one, in whatever order the database has them: nothing is counted twice on a second run.

Large on purpose: rows that tie come in another order only where sorting is spread over threads and blocks.
"""

import pytest

from pipelines.cohorts import build_cohort_inputs
from tests.marts.invented import build_up_to, cohort, rows, warehouse

TWINS = 90_000
"""Encounters of 9,000 people on three days: every one has its doubles."""


@pytest.fixture(scope="module")
def twins():
    connection = warehouse([])
    connection.execute("set threads = 2").fetchall()
    connection.execute(
        f"""
        insert into delivered_encounter by name
        select
            'jail' as source, 'booking' as kind, n::varchar as encounter_id,
            (hash(n) % {TWINS // 10})::varchar as client_id, true as smi, false as part2, '2024-12' as month,
            n as row_number, timestamp '2024-01-01' + to_days((hash(n + 1) % 3)::integer * 200) as started_at,
            started_at + interval 1 day as ended_at
        from range({TWINS}) as numbers (n)
        """
    ).fetchall()
    connection.execute(
        "insert into person_crosswalk select distinct source, client_id, client_id, client_id, client_id, client_id "
        "from delivered_encounter"
    ).fetchall()
    build_up_to(connection, "encounter", "source_coverage")
    yield connection
    connection.close()


@pytest.mark.parametrize("run", range(3))
def test_stays_at_the_same_time_are_one_interval(twins, run):
    build_up_to(twins, "occupied_interval")
    twice = "select person_id from occupied_interval group by person_id, source, kind, started_at having count(*) > 1"
    assert rows(twins, twice) == []


@pytest.mark.parametrize("run", range(3))
def test_flags_recorded_on_the_same_day_are_one_spell(twins, run):
    build_cohort_inputs(twins, [cohort({"any_flag": ["smi"], "within_months": 1})])
    twice = (
        "select person_id from cohort_spell where threshold = 'chosen' "
        "group by person_id, true_after having count(*) > 1"
    )
    assert rows(twins, twice) == []
