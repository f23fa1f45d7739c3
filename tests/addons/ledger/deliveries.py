"""Held deliveries for the ledger's tests, and a way to have one set of tables for many of them."""

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any

from sqlalchemy import delete, text

from addons.ledger.database import engine_for, parsed
from addons.ledger.held import Bounds, Held, HoldState, NewHold, Signer
from addons.ledger.holds import Holds, hold_engine
from addons.ledger.schema import upgrade
from addons.ledger.tables import metadata
from tests.addons.ledger.samples import NOW

BOUNDS = Bounds()
SECOND = timedelta(seconds=1)
LEASE = timedelta(seconds=30)
HEAD = b"POST /inbox HTTP/1.1\r\nHost: h.example\r\nSignature: x\r\n\r\n"
PATIENT = 60.0
"""Seconds to wait for another's lock: on a busy machine, what is tried with many at once must not fail for that."""
JUDGING = (HoldState.JUDGING,)
REPLAYING = (HoldState.REPLAYING,)
ANY = (HoldState.JUDGING, HoldState.REPLAYING, HoldState.WAITING)


def verified(host: str = "a.example") -> Signer:
    """A signer whose signature holds."""
    return Signer("verified", host, f"https://{host}/u/eve#main-key", NOW - SECOND)


def new(id: str, **changes: Any) -> NewHold:
    """A delivery to be judged, of a.example, whose body is its own; with some of its fields changed."""
    signer = changes.pop("signer", verified())
    given: dict[str, Any] = {
        "id": id,
        "head": HEAD,
        "body": f'{{"id": "{id}"}}'.encode("utf-8", "replace"),
        "peer": "198.51.100.7",
        "arrived": NOW,
        "closes": NOW + timedelta(hours=1),
        "then": "drop",
        "signer": signer,
        "share": f"host:{signer.host}" if signer.state == "verified" else f"{signer.state}:198.51.100.7",
        "cause": "timeout",
    } | changes
    return NewHold(**given)


class Clock:
    """The time, which a test sets."""

    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> Any:
        """The time now."""
        return self.now


@contextmanager
def tables(url: str) -> Iterator[str]:
    """The ledger's tables, made once, at ``url``."""
    address = parsed(url)
    engine = engine_for(address)
    upgrade(engine, address)
    engine.dispose()
    yield url


def emptied(url: str) -> None:
    """Delete all rows, for the next test."""
    engine = engine_for(parsed(url))
    with engine.begin() as connection:
        for table in reversed(metadata.sorted_tables):
            connection.execute(delete(table))
    engine.dispose()


@contextmanager
def opened(url: str, clock: Clock) -> Iterator[Holds]:
    """The holds of a ledger."""
    holds = Holds(hold_engine(parsed(url), PATIENT), clock)
    try:
        yield holds
    finally:
        holds.close()


def claim(
    holds: Holds, worker: str = "w", *, states: Any = JUDGING, after: timedelta = 0 * SECOND, limit: int = 100
) -> list[Held]:
    """What ``worker`` gets when it asks that long after :data:`NOW`."""
    return holds.claim(states, worker, NOW + after, LEASE, limit)


def ids(found: Any) -> list[str]:
    """The ids of some holds, in their order."""
    return [one.id for one in found]


def rows(url: str, table: str) -> int:
    """How many rows a table has."""
    engine = engine_for(parsed(url))
    with engine.begin() as connection:
        count = connection.execute(text(f"SELECT count(*) FROM {table}")).scalar_one()
    engine.dispose()
    return int(count)
