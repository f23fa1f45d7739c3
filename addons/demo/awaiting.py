"""Waits until the demo's ledger and server have what is to become of a delivery."""

import asyncio
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime

import httpx

from addons.demo.arrivals import Arrival
from addons.demo.outcome import Asked, End, finding
from addons.demo.scenes import Scene
from addons.ledger.entry import Entry
from addons.ledger.held import Outcome
from addons.ledger.reading import Reader, Search

WAIT = 45.0
"""Seconds for the ledger to be written, for a hold to end, and for the server to have fetched its media."""
_LOOK = 0.02


@dataclass(frozen=True, slots=True)
class Sent:
    """A scene that was sent ``since`` then and answered after ``ms``; ``before``: how often it had reached the server
    already."""

    scene: Scene
    request: httpx.Request
    since: datetime
    ms: float
    status: int
    before: int


async def entry_of(reader: Reader, search: Search, wanted: bool) -> Entry | None:
    """The first that is there, once it is; None where none is ``wanted``, or comes."""
    deadline = time.monotonic() + WAIT
    while wanted and time.monotonic() < deadline:
        if found := await asyncio.to_thread(reader.find, search):
            return found[0]
        await asyncio.sleep(_LOOK)
    return None


async def end_of(reader: Reader, id: str, since: datetime, asked: Asked) -> End | None:
    """How a hold ended; None where it does not. ``asked`` is what symbols each rule asks."""
    deadline = time.monotonic() + WAIT
    while time.monotonic() < deadline:
        record = await asyncio.to_thread(reader.hold, id)
        if record is not None and record.outcome is not None and record.ended is not None:
            judged = record.cause is not None and record.outcome is not Outcome.WITHDRAWN
            entry = await entry_of(reader, Search(hold=id, limit=1), judged)
            found = finding(entry, asked) if entry else None
            return End(str(record.outcome), (record.ended - since).total_seconds(), entry, found)
        await asyncio.sleep(_LOOK)
    return None


async def fetched(arrivals: Sequence[Arrival]) -> None:
    """Wait until the server has all media that it can get."""
    deadline = time.monotonic() + WAIT
    for arrival in arrivals:
        while time.monotonic() < deadline:
            if arrival.pictures is not None:
                break
            await asyncio.sleep(_LOOK)
