"""Judging what was delivered and what will be released: suites as data, run by Great Expectations."""

import sys

# Where pyspark is installed, Great Expectations asks it for Spark Connect, which ends a process without a main
# file (a test worker, say) when its own extras are missing. Everything here runs on DuckDB: there is none.
sys.modules.setdefault("pyspark.sql.connect", None)  # type: ignore[arg-type]
