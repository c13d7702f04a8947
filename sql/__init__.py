"""One relation per file, file name = relation name. Text only: `pipelines.relations` reads and runs it."""
