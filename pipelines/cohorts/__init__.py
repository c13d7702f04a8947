"""Cohorts as data: definitions read from the county file, compiled to SQL that an analyst can read.

`definitions` has what a rule can say, `written` reads and writes it as the county file does, `compiled` turns it into
SQL, `tables` makes what the marts read, and `presets` are the definitions that others published.
"""

from pipelines.cohorts.definitions import CohortDefinition
from pipelines.cohorts.presets import preset_cohorts
from pipelines.cohorts.tables import build_cohort_inputs
from pipelines.cohorts.written import parse_cohorts

__all__ = ["CohortDefinition", "build_cohort_inputs", "parse_cohorts", "preset_cohorts"]
