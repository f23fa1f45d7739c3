"""Secrets of one installation, made once and kept in the ledger's database, so that all its processes share them."""

import secrets as chance
from collections.abc import Callable
from datetime import datetime

from sqlalchemy import Engine, select
from sqlalchemy.dialects import postgresql, sqlite

from addons.ledger.database import READS
from addons.ledger.entry import utc_now
from addons.ledger.tables import secrets

SIZE = 32
"""Bytes of a secret that is made here."""


class Secrets:
    """All methods wait for the database and raise SQLAlchemy's errors. Nothing here is ever shown or logged."""

    def __init__(self, engine: Engine, clock: Callable[[], datetime] = utc_now) -> None:
        self._engine = engine
        self._reading = engine.execution_options(**READS)
        self._clock = clock

    def get(self, name: str) -> bytes:
        """The secret of that name, :data:`SIZE` random bytes, made when first asked for. It never changes."""
        return self.first(name, chance.token_bytes(SIZE))

    def first(self, name: str, value: bytes) -> bytes:
        """What was given first under that name, by whichever process: ``value`` itself if nothing was."""
        with self._engine.begin() as connection:
            new = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(secrets)
            row = {"name": name, "value": value, "at": self._clock()}
            connection.execute(new.on_conflict_do_nothing(), row)
            found: bytes = connection.execute(select(secrets.c.value).where(secrets.c.name == name)).scalar_one()
            return bytes(found)

    def known(self, name: str) -> bytes | None:
        """What is kept under that name, if anything: nothing is made."""
        with self._reading.begin() as connection:
            found: bytes | None = connection.scalar(select(secrets.c.value).where(secrets.c.name == name))
        return None if found is None else bytes(found)

    def change(self, name: str, value: bytes) -> None:
        """Put another value in its place, or the first: only where an admin said so."""
        with self._engine.begin() as connection:
            new = (postgresql if connection.dialect.name == "postgresql" else sqlite).insert(secrets)
            changed = {"value": value, "at": self._clock()}
            connection.execute(
                new.on_conflict_do_update(index_elements=["name"], set_=changed), {"name": name, **changed}
            )
