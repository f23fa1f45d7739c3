"""Every test here keeps to loopback; those of what the ledger keeps run on both databases."""

from tests.addons.fetching.servers import nothing_leaves_this_machine
from tests.addons.ledger.conftest import postgres_server, postgres_url, url

__all__ = ["nothing_leaves_this_machine", "postgres_server", "postgres_url", "url"]
