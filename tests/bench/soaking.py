"""What the soak puts a running fediward through: a host, a server, and senders of everything that there is."""

import asyncio
import contextlib
import json
import random
from collections import Counter
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import httpx

from tests import net
from tests.addons.doors.forms import form, part
from tests.e2e.peers import ACTIVITY
from tests.e2e.pictures import Palette, file

FINE = 40
"""Different pictures that are permitted; each stands under ever new URLs."""
ACTOR = "https://remote.example/users/soak"
SECONDS = 60.0
"""For one answer, on a machine where other work shares the processor."""
UNAVAILABLE = b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n"


@dataclass
class Hosting:
    """A remote host: ``/fine/…`` and ``/bad/…`` are pictures, ``/late/…`` is one from the second time on, and
    everything else is gone."""

    palette: Palette
    port: int = 0
    late: set[str] = field(default_factory=set)

    def __post_init__(self) -> None:
        self._fine = [file(self.palette.png("fine", seed)) for seed in range(FINE)]
        self._bad = file(self.palette.png("forbidden"))

    async def __call__(self, request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        _, kind, name = request.line.split()[1].decode().split("/")
        number = int(name)
        if kind == "late" and name not in self.late:
            self.late.add(name)
            writer.write(UNAVAILABLE)
        elif kind in ("fine", "late"):
            writer.write(self._fine[number % FINE])
        elif kind == "bad":
            writer.write(self._bad)
        else:
            writer.write(UNAVAILABLE.replace(b"503 Service Unavailable", b"404 Not Found"))
        await writer.drain()

    def url(self, kind: str, number: int) -> str:
        return f"http://127.0.0.1:{self.port}/{kind}/{number}"


@dataclass
class Server:
    """The server behind: how many of each kind reached it. What is forbidden says so in its id."""

    got: Counter[str] = field(default_factory=Counter)

    async def __call__(self, request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = request.line.split()[1]
        if b"/inbox" in path:
            self.got[str(json.loads(request.body)["id"]).split("/")[-2]] += 1
        else:
            self.got["upload bad" if b"forbidden" in request.head else "upload"] += 1
        writer.write(net.OK)
        await writer.drain()


@dataclass
class Traffic:
    """Everything that can happen at the doors, in random order; ``answers`` counts kinds with their statuses."""

    inbox: int
    fetch: int
    host: Hosting
    dice: random.Random
    answers: Counter[str] = field(default_factory=Counter)
    count: int = 0
    gone_too: bool = True
    """Whether pictures that never come are among it: their deliveries are held for a minute."""
    _late: list[str] = field(default_factory=list)

    async def run(self, until: Callable[[], bool]) -> None:
        """One client after the other, each with a few requests on its connections."""
        kinds: list[Callable[[], Awaitable[None]]] = [
            *[self.text] * 4,
            *[self.fine] * 4,
            *[self.bad] * 2,
            self.late,
            *[self.gone] * self.gone_too,
            self.upload,
            self.download,
            self.broken,
            self.garbage,
        ]
        async with self._client() as client, self._proxied() as proxied:
            self._over, self._by_proxy = client, proxied
            while not until():
                await self.dice.choice(kinds)()

    async def come(self) -> None:
        """The server fetches what came late: who waits for it hears that it is there now."""
        async with self._proxied() as proxied:
            while self._late:
                answer = await proxied.get(self._late.pop())
                self.answers[f"fetch late {answer.status_code}"] += 1

    def _client(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, timeout=SECONDS, base_url=f"http://127.0.0.1:{self.inbox}")

    def _proxied(self) -> httpx.AsyncClient:
        return httpx.AsyncClient(trust_env=False, timeout=SECONDS, proxy=f"http://127.0.0.1:{self.fetch}")

    def _next(self) -> int:
        self.count += 1
        return self.count

    async def _deliver(self, kind: str, number: int, *urls: str) -> None:
        attached = [{"type": "Document", "mediaType": "image/png", "url": url} for url in urls]
        inner = {"type": "Note", "id": f"{ACTOR}/notes/{number}", "content": "<p>words</p>", "attachment": attached}
        activity = {"type": "Create", "id": f"{ACTOR}/{kind}/{number}", "actor": ACTOR, "object": inner}
        headers = {"Content-Type": ACTIVITY, "Host": "example.org"}
        answer = await self._over.post("/inbox", content=json.dumps(activity).encode(), headers=headers)
        self.answers[f"{kind} {answer.status_code}"] += 1

    async def text(self) -> None:
        await self._deliver("text", self._next())

    async def fine(self) -> None:
        number = self._next()
        await self._deliver("fine", number, self.host.url("fine", number))

    async def bad(self) -> None:
        number = self._next()
        await self._deliver("bad", number, self.host.url("fine", number), self.host.url("bad", number))

    async def late(self) -> None:
        """A picture that is not there yet: held, and replayed once the server sees it."""
        number = self._next()
        url = self.host.url("late", number)
        await self._deliver("late", number, url)
        self._late.append(url)
        if len(self._late) > 3:
            answer = await self._by_proxy.get(self._late.pop(0))
            self.answers[f"fetch late {answer.status_code}"] += 1

    async def gone(self) -> None:
        """A picture that is no more: held until its window closes, then let by (``on.fetch_failed``)."""
        number = self._next()
        await self._deliver("gone", number, self.host.url("gone", number))

    async def upload(self) -> None:
        what = self.dice.choice(["fine", "forbidden"])
        body, said = form(part("file", self.host.palette.png(what, self.dice.randrange(FINE)), "a.png", "image/png"))
        answer = await self._over.post("/api/v1/media", content=body, headers={"Content-Type": said, "X-Is": what})
        self.answers[f"upload {what} {answer.status_code}"] += 1

    async def download(self) -> None:
        kind = self.dice.choice(["fine", "bad"])
        answer = await self._by_proxy.get(self.host.url(kind, self._next()))
        forbidden = answer.content == self.host.palette.png("forbidden")
        self.answers[f"fetch {kind} {'forbidden bytes' if forbidden else answer.status_code}"] += 1

    async def broken(self) -> None:
        """A client that hangs up in the middle."""
        with contextlib.suppress(ConnectionError):
            async with net.client(self.inbox) as client:
                await client.send(net.post("/inbox", b"{" * 500)[: self.dice.randrange(1, 600)])
        self.answers["broken"] += 1

    async def garbage(self) -> None:
        async with net.client(self.inbox) as client:
            await client.send(net.post("/inbox", b'{"type": ', ("Content-Type", ACTIVITY)))
            self.answers[f"garbage {(await client.response(timeout=SECONDS))[0]}"] += 1
