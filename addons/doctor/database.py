"""Whether the ledger opens and can be written to."""

import asyncio
import secrets as chance
import time
from datetime import UTC, datetime

from sqlalchemy import insert

from addons.doctor.findings import Finding, ok, trouble
from addons.ledger.database import engine_for, parsed
from addons.ledger.errors import LedgerError, explained
from addons.ledger.schema import upgrade
from addons.ledger.tables import secrets
from addons.policy.config import Config

SLOW = 1.0
"""Seconds that one write may take: the inbox door waits for some."""


async def check_ledger(config: Config) -> Finding:
    """Open it as ``fediward run`` does (its tables are made or upgraded), write a row, and take that back."""
    try:
        took = await asyncio.to_thread(_write, config.ledger.url)
    except LedgerError as error:
        return trouble("ledger", str(error), "see `ledger.url`, and who may write there")
    if took > SLOW:
        return trouble(
            "ledger", f"it can be written, but that took {took:.1f} s", "is its disk or database overloaded?"
        )
    return ok("ledger", f"opens, and takes a row in {1000 * took:.0f} ms")


def _write(url: str) -> float:
    """Seconds that it took. Raises LedgerError."""
    address = parsed(url)
    engine = engine_for(address)
    try:
        upgrade(engine, address)
        began = time.monotonic()
        try:
            with engine.connect() as connection, connection.begin() as transaction:
                row = {"name": f"doctor-{chance.token_hex(8)}", "value": b"", "at": datetime.now(UTC)}
                connection.execute(insert(secrets), row)
                transaction.rollback()
        except Exception as error:
            raise explained(address, error) from error
        return time.monotonic() - began
    finally:
        engine.dispose()
