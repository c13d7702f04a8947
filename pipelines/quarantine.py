"""What an agency gets back of its rows that were kept out: where they are and which rule each breaks, never a value."""

from collections.abc import Sequence
from pathlib import Path

import duckdb
import polars as pl

from linkage.encoding.contract import row_rules
from linkage.encoding.profiles import Profile
from linkage.pages import replace_file
from linkage.source import Source
from pipelines.workspace import Workspace

COLUMNS = ("source", "month", "file", "row_number", "rule", "what_is_wrong", "what_to_do")


def quarantine_file(workspace: Workspace, source: Source, month: str) -> Path:
    """Where the list of one delivery's quarantined rows is: quarantine/<source>/<month>.csv."""
    return workspace.quarantine / source.name / f"{month}.csv"


def write_quarantine_files(
    workspace: Workspace,
    connection: duckdb.DuckDBPyConnection,
    source: Source,
    profile: Profile,
    months: Sequence[str],
) -> dict[str, int]:
    """Write one CSV file for each candidate delivery with quarantined rows, and remove that of a delivery without.

    A line per row and broken rule, in the columns of `COLUMNS`; row_number counts rows of the delivered Parquet file
    from 1. Returns the number of quarantined rows by month, of the months that have any.
    """
    rules = {name: rule for of_file in row_rules(source, profile).values() for name, rule in of_file.items()}
    broken = pl.from_arrow(
        connection.sql(
            "select source, month, file, row_number, unnest(rules) as rule "
            f"from candidate_{source.name}_quarantined_row order by all"
        ).to_arrow_table()
    )
    assert isinstance(broken, pl.DataFrame)
    lines = broken.with_columns(
        what_is_wrong=pl.col("rule").replace_strict({name: rule.says for name, rule in rules.items()}),
        what_to_do=pl.col("rule").replace_strict({name: rule.to_do for name, rule in rules.items()}),
    )
    quarantined = {}
    for month in months:
        of_month = lines.filter(pl.col("month") == month).select(COLUMNS)
        path = quarantine_file(workspace, source, month)
        if of_month.is_empty():
            path.unlink(missing_ok=True)
            continue
        path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
        replace_file(path, of_month.write_csv())
        quarantined[month] = of_month.select("file", "row_number").n_unique()
    return quarantined
