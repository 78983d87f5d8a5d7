"""Rules only: no I/O, no Dagster, no clock."""
