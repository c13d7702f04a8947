"""The county's pipeline: settings, Dagster definitions, releases and the command line."""
