"""What has to be remembered from run to run, so that a later one can say what changed."""

import dagster as dg
from duckdb import DuckDBPyConnection

from pipelines.resources import WAREHOUSE_POOL, CountyWorkspace

_LINKAGE_HISTORY = """
create table if not exists linkage_history (
    as_of date not null,
    measure varchar not null,
    source varchar not null,
    part varchar not null,
    numerator bigint not null,
    denominator bigint not null,
    primary key (as_of, measure, source, part)
)
"""


def remember_linkage(connection: DuckDBPyConnection) -> int:
    """Keep the rows of `linkage_figure` in the table `linkage_history` under the run's as-of date; returns how many.

    A run repeated at the same as-of date replaces what it kept, so a run that was killed leaves no trace.
    """
    connection.execute(_LINKAGE_HISTORY).fetchall()
    connection.execute("begin").fetchall()
    try:
        connection.execute(
            "delete from linkage_history where as_of = (select as_of from run_parameter) and (measure, source, part) "
            "not in (select (measure, source, part) from linkage_figure)"
        ).fetchall()
        # Deleting a key and inserting it again in one transaction is what DuckDB refuses.
        connection.execute(
            "insert or replace into linkage_history by name select as_of, linkage_figure.* "
            "from linkage_figure cross join run_parameter"
        ).fetchall()
        connection.execute("commit").fetchall()
    except BaseException:
        connection.execute("rollback").fetchall()
        raise
    return int(connection.execute("select count(*) from linkage_figure").fetchall()[0][0])


@dg.asset(
    deps=["linkage_figure", "run_parameter"],
    group_name="linkage",
    description="How far each run's persons reached across systems: counts, one set per as-of date.",
    kinds={"duckdb"},
    pool=WAREHOUSE_POOL,
)
def linkage_history(county: CountyWorkspace) -> dg.MaterializeResult:  # type: ignore[type-arg]  # noqa: D103
    with county.warehouse() as connection:
        rows = remember_linkage(connection)
    return dg.MaterializeResult(metadata={"dagster/row_count": rows})


drift_assets = [linkage_history]
