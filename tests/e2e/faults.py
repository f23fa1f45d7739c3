"""A whole service with its doors in the test's own loop; its detector, server, names and clock fail when told to."""

import asyncio
import contextlib
import json
import socket
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass, field, replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Any, Literal
from unittest import mock

import httpx
from prometheus_client.parser import text_string_to_metric_families

from addons.delivering import Known
from addons.doors.fetch import Fetch
from addons.fetching.addresses import Address
from addons.fetching.resolving import SystemResolver
from addons.judging.stable import origin_urls
from addons.ledger.entry import Entry
from addons.ledger.held import HoldRecord
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.opening import Doors, plans
from addons.service import Service
from addons.web import status
from classifier.engine import Engine
from classifier.hashlists import HashList, Lists
from classifier.lanes import Lanes
from classifier.media import MediaDecoder
from classifier.settings import DecodeSettings, HashListSettings
from classifier.types import Backend
from tests import net, pictures
from tests.addons.doors.opened import configured, write_list
from tests.addons.doors.signing import Actor, actor
from tests.classifier.fakes import Broken
from tests.drawing import encode, textured
from tests.processes import free_port

FORBIDDEN, ORDINARY = encode(textured(1)), encode(textured(2))
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


class Clock:
    """The time of day, and how far it was put forward or back."""

    def __init__(self) -> None:
        self.ahead = timedelta()

    def __call__(self) -> datetime:
        return datetime.now(UTC) + self.ahead


class Names:
    """Every ``*.example`` is on this machine but those that are ``gone``; ``asked``: how often each was looked up."""

    def __init__(self) -> None:
        self.gone: set[str] = set()
        self.asked: list[str] = []

    def __call__(self, name: str) -> list[Address]:
        self.asked.append(name)
        if name in self.gone or not name.endswith(".example"):
            raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")
        return [ip_address("127.0.0.1")]


type Way = Literal["well", "silent", "resets", "breaks off", "refuses", "overloaded"]


class Server:
    """The server behind the doors: can be stopped and started again, and told how to answer."""

    ANSWERS: Mapping[str, bytes] = {
        "well": net.OK,
        "refuses": b"HTTP/1.1 400 Bad Request\r\nContent-Length: 2\r\n\r\nno",
        "overloaded": b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n",
        "breaks off": b"HTTP/1.1 200 OK\r\nContent-Le",
    }

    def __init__(self) -> None:
        self.port = free_port()
        self.way: Way = "well"
        self.requests: list[net.Received] = []
        """In every run of it."""
        self.woken = asyncio.Event()
        """A silent one answers once this is set."""
        self._running = contextlib.AsyncExitStack()

    async def start(self) -> None:
        await self._running.enter_async_context(net.upstream(self._answer, port=self.port))

    async def stop(self) -> None:
        await self._running.aclose()

    def got(self, body: bytes) -> int:
        """How often this very body arrived."""
        return sum(request.body == body for request in self.requests)

    async def _answer(self, request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.requests.append(request)
        if self.way == "silent":
            await self.woken.wait()
        if self.way == "resets":
            writer.transport.abort()
            return
        writer.write(self.ANSWERS.get(self.way, net.OK))
        await writer.drain()
        if self.way == "breaks off":
            writer.transport.abort()


@dataclass
class Judging:
    """An engine without models; its one detector does as it is told. ``list``: the forbidden picture's."""

    engine: Engine
    detector: Broken
    list: Path

    def works(self) -> None:
        """It judges, whatever was before."""
        self.detector.works = True
        if self.detector.gate is not None:
            self.detector.gate.set()
        self.detector.gate = None
        for breaker in self.engine.breakers.values():
            if breaker.state != "closed":
                breaker.succeeded()  # type: ignore[attr-defined]  # its own breaker, not the face of it


@contextlib.asynccontextmanager
async def judging(folder: Path, backend: Backend | None = None, queue: int = 256) -> AsyncIterator[Judging]:
    """Without a ``backend`` it is the detector."""
    listed = write_list(folder / "hashes.csv", FORBIDDEN)
    decoder = MediaDecoder(DecodeSettings(processes=1))
    decoder.warm_up()
    detector = Broken()
    detector.works = True
    lists = Lists([HashList(HashListSettings(name="ours", file=listed))])
    engine = Engine(decoder, backend or Lanes([detector]), lists, queue=queue)
    made = Judging(engine, detector, listed)
    try:
        yield made
    finally:
        made.works()
        await engine.close()


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
    busy: float = 5.0,
    **settings: Any,
) -> AsyncIterator[World]:
    """Open ``doors`` (beside the inbox's none unless they are named). ``keeps``: what is held is worked on; ``busy``:
    seconds that are waited for somebody's lock on the ledger."""
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
        config = configured(folder, judge.list, host.port, own | settings)
        ledger = stack.enter_context(Ledger.open(config.ledger.url, busy=busy, clock=clock))
        door = config.doors.pictrs
        urls = origin_urls(ledger, str(door.origin_url)) if door else None
        resolver = SystemResolver(lookup=names)
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


def note_with(sender: Actor, *images: str) -> bytes:
    """A note as its host gives it."""
    return json.dumps(sender.note(*images)).encode()


@contextlib.asynccontextmanager
async def raw_host(
    handle: Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]],
) -> AsyncIterator[int]:
    """A host that does on each connection whatever it likes; its port."""
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
                await handle(reader, writer)
        finally:
            tasks.discard(task)
            writer.transport.abort()

    listening = await asyncio.start_server(connected, "127.0.0.1", 0)
    try:
        yield listening.sockets[0].getsockname()[1]
    finally:
        listening.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
