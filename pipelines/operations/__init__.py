"""Running without a person: what starts runs, what each run tells, and where their history is kept."""
