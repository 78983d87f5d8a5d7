"""What Alembic runs around the migrations: on the connection, and in the transaction, of the caller."""

from __future__ import annotations

from alembic import context

from resources.database.tables import Base

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=Base.metadata,
    version_table=context.config.attributes["version_table"],
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
