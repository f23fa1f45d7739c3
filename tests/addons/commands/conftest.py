"""Commands that read or change the ledger are tried on both databases."""

from tests.postgres import postgres_server, postgres_url

__all__ = ["postgres_server", "postgres_url"]
