"""The dbt project that turns the exported ledger into metrics: where it lies, preparing it, running it."""
