"""What our own listeners stand on, all of it real but the models: fetching, a hash list, the ledger."""

import asyncio
import contextlib
import hashlib
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import httpx
from starlette.types import ASGIApp

from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetcher
from addons.judging.gate import Gate
from addons.judging.judge import Judge
from addons.ledger.entry import Entry
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.policy.config import Config
from addons.policy.values import Address, network
from addons.service import fetch_settings
from addons.web.connections import Bounds
from addons.web.serving import Listener
from classifier.engine import Engine
from tests import net
from tests.addons.doors.opened import configured
from tests.drawing import encode, textured

LOOPBACK = (network("127.0.0.0/8"), network("::1/128"))
FORBIDDEN = encode(textured(1))
SAME_PICTURE = encode(textured(1), "JPEG", quality=85)
ORDINARY = encode(textured(2))


@dataclass(frozen=True, slots=True)
class Parts:
    """The parts of a service that a listener needs."""

    config: Config
    budget: MemoryBudget
    ledger: Ledger
    fetcher: Fetcher
    gate: Gate

    async def entries(self, count: int) -> list[Entry]:
        """The ledger's entries, once there are ``count`` and all are written."""
        found: list[Entry] = []

        def there() -> bool:
            found[:] = self.now()
            return self.ledger.waiting == 0 and len(found) == count

        await net.until(there, 20)
        return found

    def now(self) -> list[Entry]:
        """The entries that are written by now."""
        with Reader.open(self.config.ledger.url) as reader:
            return reader.find(Search())

    def counts(self) -> dict[tuple[str, str], int]:
        """The ledger's counters by door and action, after it was closed."""
        self.ledger.close()
        with Reader.open(self.config.ledger.url) as reader:
            return {(counted.door, counted.action): counted.count for counted in reader.counts()}


@contextlib.asynccontextmanager
async def parts(
    folder: Path, hashes: Path, media: int, engine: Engine, settings: Mapping[str, Any], own: int = 0
) -> AsyncIterator[Parts]:
    """Parts of this configuration; at the end no memory is in use. ``own``: the port where ``example.org`` is."""
    config = configured(folder, hashes, media, settings)
    budget = MemoryBudget(config.limits.memory)
    routes = {"example.org": f"http://127.0.0.1:{own}"} if own else {}
    with Ledger.open(config.ledger.url) as ledger:
        fetcher = Fetcher(replace(fetch_settings(config), routes=routes), budget)
        gate = Gate(config.policy(), Judge(fetcher, engine), ledger)
        yield Parts(config, budget, ledger, fetcher, gate)
        await net.until(lambda: budget.used == 0, 20)


@contextlib.asynccontextmanager
async def listening(app: ASGIApp, bounds: Bounds | None = None) -> AsyncIterator[int]:
    """The app on a free port; its port."""
    listener = Listener(app, Address("127.0.0.1", 0), LOOPBACK, bounds)
    _, port = await listener.open()
    try:
        yield port
    finally:
        await listener.close()


@contextlib.asynccontextmanager
async def asking(app: ASGIApp) -> AsyncIterator[httpx.AsyncClient]:
    """A client of the app, over a real connection."""
    async with (
        listening(app) as port,
        httpx.AsyncClient(base_url=f"http://127.0.0.1:{port}", timeout=30, trust_env=False) as client,
    ):
        yield client


def sha256(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


class Held:
    """Lets nobody judge until :meth:`release`: put in the place of an engine's ``digests``."""

    def __init__(self, engine: Engine) -> None:
        self._digests = engine.digests
        self.gate = asyncio.Event()
        self.begun = 0

    async def __call__(self, data: Any) -> Any:
        self.begun += 1
        await self.gate.wait()
        return await self._digests(data)
