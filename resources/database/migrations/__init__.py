"""Alembic migrations, run through `resources.database.schema`."""
