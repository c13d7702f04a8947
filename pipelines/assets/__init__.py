"""Dagster assets, one module per stage. They move values and name what they made; the work is done elsewhere."""

import warnings

import dagster as dg

# Single-run backfills are marked beta; Dagster is pinned, and each upgrade is tried with the test suite.
warnings.filterwarnings("ignore", category=dg.BetaWarning)
