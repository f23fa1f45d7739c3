"""A remote host for tests: serves given bytes at given paths, counts who asked, waits or redirects when told to."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from dataclasses import dataclass, field


@dataclass
class _File:
    data: bytes
    status: str
    headers: Mapping[str, str]
    gate: asyncio.Event | None


@dataclass
class Host:
    """The running host. ``hits`` counts requests by path, ``heads`` keeps the last request's head of each."""

    port: int
    hits: Counter[str] = field(default_factory=Counter)
    heads: dict[str, bytes] = field(default_factory=dict)
    files: dict[str, _File] = field(default_factory=dict)
    open: int = 0

    def put(
        self,
        path: str,
        data: bytes = b"",
        *,
        status: str = "200 OK",
        headers: Mapping[str, str] | None = None,
        gate: asyncio.Event | None = None,
    ) -> str:
        """Serve ``data`` at ``path``, once ``gate`` is open if there is one; its URL."""
        self.files[path] = _File(data, status, headers or {}, gate)
        return self.url(path)

    def url(self, path: str) -> str:
        return f"http://127.0.0.1:{self.port}{path}"

    async def answer(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        path = head.split(b" ", 2)[1].decode()
        self.hits[path] += 1
        self.heads[path] = head
        file = self.files.get(path, _File(b"", "404 Not Found", {}, None))
        if file.gate is not None and not await _opened(file.gate, reader):
            return
        lines = {"Content-Type": "image/png", "Content-Length": str(len(file.data)), "Connection": "close"}
        told = "".join(f"{name}: {value}\r\n" for name, value in (lines | dict(file.headers)).items())
        writer.write(f"HTTP/1.1 {file.status}\r\n{told}\r\n".encode() + file.data)
        await writer.drain()


async def _opened(gate: asyncio.Event, reader: asyncio.StreamReader) -> bool:
    """Wait for the gate; False where the client hung up before."""
    opening, leaving = asyncio.ensure_future(gate.wait()), asyncio.ensure_future(reader.read())
    try:
        await asyncio.wait([opening, leaving], return_when=asyncio.FIRST_COMPLETED)
        return opening.done()
    finally:
        opening.cancel()
        leaving.cancel()


@contextlib.asynccontextmanager
async def host(address: str = "127.0.0.1") -> AsyncIterator[Host]:
    """A host on a free port, until the block ends."""
    served = Host(0)
    tasks: set[asyncio.Task[None]] = set()

    async def connected(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        served.open += 1
        try:
            await served.answer(reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError, asyncio.CancelledError):
            pass  # the client hung up, or the test is over
        finally:
            served.open -= 1
            tasks.discard(task)
            writer.close()

    server = await asyncio.start_server(connected, address, 0)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
