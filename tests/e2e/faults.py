"""A whole service with its doors in the test's own loop, amid parts that fail when told to."""

import contextlib
import functools
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field, replace
from datetime import timedelta
from pathlib import Path
from typing import Any
from unittest import mock

import httpx
from prometheus_client.parser import text_string_to_metric_families

from addons import delivering
from addons.delivering import Known
from addons.doors.fetch import Fetch
from addons.fetching.resolving import SystemResolver
from addons.holding.settings import KeeperSettings
from addons.judging.stable import origin_urls
from addons.ledger.entry import Entry
from addons.ledger.held import HoldRecord
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.opening import Doors, plans
from addons.service import Service
from addons.web import status
from tests import net, pictures
from tests.addons.doors.opened import configured
from tests.addons.doors.signing import Actor, actor
from tests.e2e.faulty import Clock, Judging, Names, Server

SECONDS = 30.0
"""For what comes about soon, on a machine where other work shares the processor."""
DOORS = {
    "fetch": {"listen": "127.0.0.1:3", "deadline": "30s"},
    "pictrs": {
        "listen": "127.0.0.1:4",
        "upstream": "http://127.0.0.1:1",
        "origin": "127.0.0.1:5",
        "origin_url": "http://127.0.0.1:5",
        "deadline": "30s",
    },
    "validate": {"listen": "127.0.0.1:6", "deadline": "30s"},
    "upload": {"deadline": "30s"},
}
"""Every door; ports are free ones in the end."""


@dataclass
class World:
    """An open service and what is around it."""

    service: Service
    server: Server
    host: pictures.Host
    names: Names
    clock: Clock
    sender: Actor
    ports: Mapping[str, str]
    """``host:port`` of each door by its name."""
    web: httpx.AsyncClient
    proxied: httpx.AsyncClient
    """The server's own requests, by way of the fetch door where there is one."""
    bodies: list[bytes] = field(default_factory=list)
    """Of all that was delivered."""
    sent: list[bytes] = field(default_factory=list)
    """The same with their heads."""

    async def deliver(self, *images: str, id: str = "", activity: object = None, who: Actor | None = None) -> int:
        """A signed Create of a note with these images, or another activity; the status that its sender saw."""
        who = who or self.sender
        head, body = who.signed(activity or who.create(*images, id=id or str(len(self.bodies) + 1)))
        self.bodies.append(body)
        self.sent.append(head + body)
        return await self.send(head + body)

    async def says(self, kind: str, object: object, *, id: str = "", who: Actor | None = None) -> int:
        """As :meth:`deliver`, of any activity."""
        who = who or self.sender
        return await self.deliver(activity=who.says(kind, object, id=id or str(len(self.bodies) + 1)), who=who)

    async def send(self, request: bytes) -> int:
        """Any request to the inbox door; the status."""
        async with net.client(int(self.ports["inbox door"].rpartition(":")[2])) as client:
            await client.send(request)
            return (await client.response(timeout=SECONDS))[0]

    def arrived(self) -> list[int]:
        """Of each delivery, how often the server got it."""
        return [self.server.got(body) for body in self.bodies]

    async def arrives(self, *counts: int) -> None:
        """Wait until the server got each delivery so often."""
        await net.until(lambda: self.arrived() == list(counts), SECONDS)

    async def entries(self, **search: Any) -> list[Entry]:
        """What the ledger says, once all is written."""
        await net.until(lambda: self.service.ledger.waiting == 0, SECONDS)
        with self.reader() as reader:
            return reader.find(Search(**search))

    def reader(self) -> Reader:
        """The ledger, as commands read it."""
        return Reader.open(self.service.config.ledger.url)

    def holds(self) -> list[HoldRecord]:
        """All holds, the oldest first, those that are over too."""
        with self.reader() as reader:
            return reader.holds(1000, over=True)

    async def rests(self) -> None:
        """Wait until each hold was tried, and nobody is at it."""

        def tried(one: HoldRecord) -> bool:
            return one.outcome is not None or (one.worker is None and one.attempts > 0)

        await net.until(lambda: all(map(tried, self.holds())), SECONDS)

    async def outcomes(self, *expected: str | None) -> list[HoldRecord]:
        """Wait until the holds have come to these ends, in the order in which they came (None: it is not over)."""
        found: list[HoldRecord] = []

        def there() -> bool:
            found[:] = self.holds()
            return [one.outcome for one in found] == list(expected)

        try:
            await net.until(there, SECONDS)
        except TimeoutError:
            raise AssertionError(f"not {expected}, but {found}") from None
        return found

    def later(self, seconds: float) -> None:
        """So much time goes by for what is held."""
        self.clock.ahead += timedelta(seconds=seconds)
        self.service.delivering.keeper.wake()

    async def decisions(self) -> dict[tuple[str, str, str], int]:
        """What ``/metrics`` says: decisions by door, action and cause."""
        answer = await self.web.get(f"http://{self.ports['status']}/metrics")
        return {
            (one.labels["door"], one.labels["action"], one.labels["cause"]): int(one.value)
            for found in text_string_to_metric_families(answer.text)
            for one in found.samples
            if one.name == "fediward_deliveries_total"
        }

    async def figure(self, name: str, **labels: str) -> float:
        """One value of ``/metrics``; 0 where there is none."""
        answer = await self.web.get(f"http://{self.ports['status']}/metrics")
        for found in text_string_to_metric_families(answer.text):
            for one in found.samples:
                if one.name == name and one.labels == labels:
                    return one.value
        return 0.0


@contextlib.asynccontextmanager
async def opened(
    folder: Path,
    judge: Judging,
    *,
    keeps: bool = True,
    doors: Mapping[str, Any] | None = None,
    keeper: Mapping[str, Any] | None = None,
    busy: float = 5.0,
    media: int = 0,
    **settings: Any,
) -> AsyncIterator[World]:
    """Open ``doors`` (beside the inbox's none unless they are named). ``keeps``: what is held is worked on; ``keeper``:
    its settings that are others; ``busy``: seconds that are waited for somebody's lock on the ledger; ``media``: a port
    that may be fetched from too."""
    server, names, clock = Server(), Names(), Clock()
    async with contextlib.AsyncExitStack() as stack:
        stack.enter_context(mock.patch.object(status, "FRESH", 0.0))  # no figures of a second ago
        host = await stack.enter_async_context(pictures.host())
        await server.start()
        stack.push_async_callback(server.stop)
        found = {name: dict(section) for name, section in (doors or {}).items()}
        if "fetch" in found:
            found["fetch"]["ca"] = str(folder / "ca")
        own: dict[str, Any] = {
            "server": {"upstream": f"http://127.0.0.1:{server.port}", "software": "lemmy", "image_mode": "store"},
            "doors": found,
            "status": {"listen": "127.0.0.1:9"},
            "budget": "30s",
        }
        if media:
            own["fetch"] = {"ports": [host.port, media]}
        config = configured(folder, judge.list, host.port, own | settings)
        ledger = stack.enter_context(Ledger.open(config.ledger.url, busy=busy, clock=clock))
        door = config.doors.pictrs
        urls = origin_urls(ledger, str(door.origin_url)) if door else None
        resolver = SystemResolver(lookup=names)
        keeps_so = functools.partial(KeeperSettings, **(keeper or {}))
        stack.enter_context(mock.patch.object(delivering, "KeeperSettings", keeps_so))
        service = Service.of(
            config, ledger, judge.engine, Known.load(config, ledger), urls=urls, names=resolver, watched=True
        )
        service.delivering.keeper._claimed.clock = clock
        planned = plans(service, free=True)
        for plan in planned:
            for addon in plan.door.addons if plan.door else ():
                if isinstance(addon, Fetch):
                    addon.destinations = replace(addon.destinations, resolver=resolver)
        open_doors = Doors(planned, 30)
        try:
            ports = {one.name: str(one.address) for one in await open_doors.open()}
            if keeps:
                service.delivering.start()
            web = await stack.enter_async_context(httpx.AsyncClient(timeout=SECONDS, trust_env=False))
            proxy = f"http://{ports['fetch door']}" if "fetch door" in ports else None
            proxied = await stack.enter_async_context(httpx.AsyncClient(timeout=SECONDS, trust_env=False, proxy=proxy))
            yield World(service, server, host, names, clock, actor(host), ports, web, proxied)
            judge.works()
            server.woken.set()
            assert await open_doors.drain(10)
        finally:
            judge.works()
            server.woken.set()
            await open_doors.close()
            await service.delivering.close()
    assert service.budget.used == 0
