"""What Alembic runs to migrate: on the connection, and in the transaction, that addons.ledger.schema opened."""

from alembic import context

from addons.ledger.tables import metadata

context.configure(
    connection=context.config.attributes["connection"],
    target_metadata=metadata,
    render_as_batch=True,
)
with context.begin_transaction():
    context.run_migrations()
