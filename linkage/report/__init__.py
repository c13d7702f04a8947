"""The linkage report: one self-contained page per run, its charts and its pictures (`linkage.report.page` makes it)."""
