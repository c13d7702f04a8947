"""Linkage on encoded identity: encoding at the agency, matching at the county.

Values and DuckDB relations in, values and relations out. This package knows nothing of Dagster, of Great
Expectations or of any one county; it stays empty here so that importing the encoder imports nothing else.
"""
