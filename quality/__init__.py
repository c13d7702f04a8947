"""Judging what was delivered and what will be released: suites as data, run by Great Expectations."""
