"""What stands around the doors of a test's service, each of which fails when told to: clock, names, server, judge."""

import asyncio
import contextlib
import socket
import threading
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path
from typing import Literal

from addons.fetching.addresses import Address
from classifier.breaker import Breaker
from classifier.engine import Engine
from classifier.hashlists import HashList, Lists
from classifier.inputs import Rows
from classifier.lanes import Lanes
from classifier.media import MediaDecoder
from classifier.settings import DecodeSettings, HashListSettings
from classifier.types import Backend
from tests import net
from tests.addons.doors.opened import write_list
from tests.classifier.fakes import Broken
from tests.drawing import encode, textured
from tests.processes import free_port

FORBIDDEN, ORDINARY = encode(textured(1)), encode(textured(2))


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


class Told(Broken):
    """Does not come back while it is told to wait, and fails while it does not ``work``. ``waiting``: passes."""

    def __init__(self) -> None:
        super().__init__()
        self.works = True
        self.going = threading.Event()
        self.going.set()
        self.waiting = 0

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        self.waiting += 1
        self.going.wait(60)
        self.waiting -= 1
        return super().judge(rows)


@dataclass
class Judging:
    """An engine without models; its one detector does as it is told. ``list``: the forbidden picture's."""

    engine: Engine
    detector: Told
    list: Path

    def waits(self) -> None:
        """It does not come back until it :meth:`works` again."""
        self.detector.going.clear()

    def fails(self) -> None:
        """It breaks down at each file."""
        self.detector.works = False

    def works(self) -> None:
        """It judges, whatever was before."""
        self.detector.works = True
        self.detector.going.set()
        for breaker in self.engine.breakers.values():
            assert isinstance(breaker, Breaker)
            if breaker.state != "closed":
                breaker.succeeded()


@contextlib.asynccontextmanager
async def judging(folder: Path, backend: Backend | None = None, queue: int = 256) -> AsyncIterator[Judging]:
    """Without a ``backend`` it is the detector."""
    listed = write_list(folder / "hashes.csv", FORBIDDEN)
    decoder = MediaDecoder(DecodeSettings(processes=1))
    decoder.warm_up()
    detector = Told()
    lists = Lists([HashList(HashListSettings(name="ours", file=listed))])
    engine = Engine(decoder, backend or Lanes([detector]), lists, queue=queue)
    made = Judging(engine, detector, listed)
    try:
        yield made
    finally:
        made.works()
        await engine.close()


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
