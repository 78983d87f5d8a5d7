"""Promptory's database: tables, sessions, migrations and the repositories that read and write them."""
