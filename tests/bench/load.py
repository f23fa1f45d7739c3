"""The two ends of a door's benchmark, each in a process of its own: an upstream that answers at once, and senders."""

import asyncio
import json
import multiprocessing
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from multiprocessing.connection import Connection

ANSWER = b"HTTP/1.1 202 Accepted\r\nContent-Length: 0\r\n\r\n"


class _Upstream(asyncio.Protocol):
    """Reads requests with a Content-Length and answers each with 202."""

    def __init__(self) -> None:
        self.buffer = bytearray()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        while (end := self.buffer.find(b"\r\n\r\n")) >= 0:
            head = bytes(self.buffer[:end]).lower()
            at = head.find(b"content-length:")
            length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
            if len(self.buffer) < end + 4 + length:
                return
            del self.buffer[: end + 4 + length]
            self.transport.write(ANSWER)


def _serve(pipe: Connection) -> None:
    async def main() -> None:
        server = await asyncio.get_running_loop().create_server(_Upstream, "127.0.0.1", 0)
        pipe.send(server.sockets[0].getsockname()[1])
        await server.serve_forever()

    asyncio.run(main())


@contextmanager
def upstream() -> Iterator[int]:
    """An upstream in a process of its own; its port."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_serve, args=(there,), daemon=True)
    process.start()
    try:
        yield here.recv()
    finally:
        process.terminate()
        process.join()


@dataclass(frozen=True, slots=True)
class Measured:
    """One run: deliveries per second, and milliseconds from sending one to its answer."""

    per_second: float
    p50_ms: float
    p99_ms: float
    statuses: dict[int, int]


class _Sender(asyncio.Protocol):
    """Sends one request after the other on one kept-alive connection."""

    def __init__(self, requests: Iterator[bytes], took: list[float], statuses: dict[int, int]) -> None:
        self.requests, self.took, self.statuses = requests, took, statuses
        self.done: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.buffer = b""

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self.transport = transport
        self.next()

    def next(self) -> None:
        request = next(self.requests, None)
        if request is None:
            self.transport.close()
            if not self.done.done():
                self.done.set_result(None)
            return
        self.sent = time.perf_counter()
        self.transport.write(request)

    def data_received(self, data: bytes) -> None:
        self.buffer += data
        end = self.buffer.find(b"\r\n\r\n")
        if end < 0:
            return
        head = self.buffer[:end].lower()
        at = head.find(b"content-length:")
        length = int(head[at + 15 :].split(b"\r", 1)[0]) if at >= 0 else 0
        if len(self.buffer) < end + 4 + length:
            return
        status = int(head[9:12])
        self.statuses[status] = self.statuses.get(status, 0) + 1
        self.buffer = b""
        self.took.append(time.perf_counter() - self.sent)
        self.next()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.done.done():
            self.done.set_exception(exc or ConnectionError("the door closed the connection"))


async def _send(port: int, connections: int, requests: Sequence[bytes]) -> Measured:
    loop = asyncio.get_running_loop()
    took: list[float] = []
    statuses: dict[int, int] = {}
    rest = iter(requests)
    began = time.perf_counter()
    senders = []
    for _ in range(connections):
        _, sender = await loop.create_connection(lambda: _Sender(rest, took, statuses), "127.0.0.1", port)
        senders.append(sender)
    await asyncio.gather(*(sender.done for sender in senders))
    seconds = time.perf_counter() - began
    took.sort()
    p50, p99 = took[len(took) // 2] * 1000, took[min(len(took) - 1, int(len(took) * 0.99))] * 1000
    return Measured(len(took) / seconds, p50, p99, statuses)


def _sending(pipe: Connection) -> None:
    while (job := pipe.recv()) is not None:
        pipe.send(asyncio.run(_send(*job)))


@contextmanager
def senders() -> Iterator[Callable[[int, int, Sequence[bytes]], Measured]]:
    """Senders in a process of their own: ``send(port, connections, requests) -> Measured``."""
    here, there = multiprocessing.get_context("spawn").Pipe()
    process = multiprocessing.get_context("spawn").Process(target=_sending, args=(there,), daemon=True)
    process.start()

    def send(port: int, connections: int, requests: Sequence[bytes]) -> Measured:
        here.send((port, connections, list(requests)))
        measured = here.recv()
        assert isinstance(measured, Measured)
        return measured

    try:
        yield send
    finally:
        here.send(None)
        process.join(5)
        process.terminate()


def delivery(number: int, image: str | None = None, host: str = "example.org") -> bytes:
    """A delivery as Lemmy sends it (its form, our words): an announced post, signed headers of real length."""
    page = {
        "type": "Page",
        "id": f"https://lemmy.example/post/{number}",
        "attributedTo": "https://lemmy.example/u/someone",
        "to": ["https://lemmy.example/c/pictures", "https://www.w3.org/ns/activitystreams#Public"],
        "name": "A walk by the river",
        "content": "<p>We went out early and saw a heron. " * 6 + "</p>",
        "mediaType": "text/html",
        "source": {"content": "We went out early and saw a heron. " * 6, "mediaType": "text/markdown"},
        "attachment": [{"type": "Image", "url": image}] if image else [],
        "sensitive": False,
        "published": "2026-11-22T10:00:00Z",
    }
    create = {
        "id": f"https://lemmy.example/activities/create/{number}",
        "actor": "https://lemmy.example/u/someone",
        "to": ["https://www.w3.org/ns/activitystreams#Public"],
        "object": page,
        "cc": ["https://lemmy.example/c/pictures"],
        "type": "Create",
    }
    announce = {
        "@context": ["https://join-lemmy.org/context.json", "https://www.w3.org/ns/activitystreams"],
        "actor": "https://lemmy.example/c/pictures",
        "to": ["https://www.w3.org/ns/activitystreams#Public"],
        "object": create,
        "cc": ["https://lemmy.example/c/pictures/followers"],
        "type": "Announce",
        "id": f"https://lemmy.example/activities/announce/{number}",
    }
    body = json.dumps(announce).encode()
    head = (
        f"POST /inbox HTTP/1.1\r\nHost: {host}\r\nContent-Type: application/activity+json\r\n"
        "Date: Sun, 22 Nov 2026 10:00:00 GMT\r\nDigest: SHA-256=X48E9qOokqqrvdts8nOJRJN3OWDUoyWxBf7kbu9DBPE=\r\n"
        'Signature: keyId="https://lemmy.example/c/pictures#main-key",algorithm="hs2019",'
        'headers="(request-target) content-type date digest host",'
        f'signature="{"A" * 342}=="\r\n'
        "User-Agent: Lemmy/0.19.13; +https://lemmy.example\r\nAccept: */*\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    return head.encode() + body
