"""Releases: what is published and under which conditions, what a steward reads before, and what goes out beside it."""
