"""Raw HTTP/1.1 peers for tests: an upstream that keeps the very bytes it got, and a client that sends any bytes."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType

from addons.doors.proxy import Door as Listens
from addons.doors.proxy import DoorMaster

OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@dataclass
class Received:
    """One request as the upstream read it: head lines, body (chunks joined) and the raw head."""

    head: bytes
    body: bytes

    @property
    def line(self) -> bytes:
        return self.head.split(b"\r\n", 1)[0]

    @property
    def headers(self) -> list[tuple[bytes, bytes]]:
        lines = self.head.split(b"\r\n")[1:]
        pairs = [line.split(b":", 1) for line in lines if line]
        return [(name, value.strip()) for name, value in pairs]

    def header(self, name: bytes) -> bytes | None:
        return next((value for key, value in self.headers if key.lower() == name.lower()), None)


@dataclass
class Upstream:
    """The server behind the door."""

    port: int
    requests: list[Received] = field(default_factory=list)


type Answer = Callable[[Received, asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def read_request(reader: asyncio.StreamReader, keep: int = 1 << 30) -> Received | None:
    """Read one request; None at the end of the connection."""
    try:
        head = await reader.readuntil(b"\r\n\r\n")
    except (asyncio.IncompleteReadError, ConnectionError):
        return None
    got = Received(head[:-4], b"")
    length, chunked = got.header(b"content-length"), got.header(b"transfer-encoding")
    if chunked:
        while size := int((await reader.readline()).split(b";")[0], 16):
            got.body += await reader.readexactly(size)
            await reader.readexactly(2)
        await reader.readline()
    elif length:
        left = int(length)
        while left:
            piece = await reader.read(min(left, 1 << 20))
            if not piece:
                return None
            left -= len(piece)
            if len(got.body) < keep:
                got.body += piece
    return got


@contextlib.asynccontextmanager
async def upstream(answer: bytes | Answer = OK, keep: int = 1 << 30, port: int = 0) -> AsyncIterator[Upstream]:
    """A server on a port, else a free one, that records what reaches it and gives ``answer`` to each request."""
    served = Upstream(0)
    writers: set[asyncio.StreamWriter] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writers.add(writer)
        try:
            while (request := await read_request(reader, keep)) is not None:
                served.requests.append(request)
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(request, reader, writer)
        except (ConnectionError, asyncio.IncompleteReadError):
            pass
        finally:
            writers.discard(writer)
            writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", port, limit=1 << 20)
    served.port = server.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        server.close()
        for writer in list(writers):
            writer.transport.abort()
        await server.wait_closed()


@contextlib.asynccontextmanager
async def running(
    upstream_port: int,
    doors: Sequence[object],
    *,
    idle_time: float = 120,
    scheme: str = "http",
    options: Mapping[str, object] = MappingProxyType({}),
) -> AsyncIterator[int]:
    """A door in front of an upstream, in this event loop; the port it listens on. ``options`` are mitmproxy's."""
    mode = f"door:{scheme}://127.0.0.1:{upstream_port}@127.0.0.1:0"
    async with listening(Listens(mode, tuple(doors)), idle_time=idle_time, options=options) as port:
        yield port


@contextlib.asynccontextmanager
async def listening(
    door: Listens, *, idle_time: float = 120, options: Mapping[str, object] = MappingProxyType({})
) -> AsyncIterator[int]:
    """Any door of mitmproxy's, in this event loop; the port it listens on."""
    master = DoorMaster([door], idle_time=idle_time)
    master.options.update(**options)
    task = asyncio.get_running_loop().create_task(master.run())
    try:
        async with asyncio.timeout(10):
            addresses = await master.listening()
        yield addresses[0][1]
    finally:
        master.shutdown()
        for server in master.proxyserver.servers:
            await server.stop()
        await task
        handlers = list(master.proxyserver.connections.values())
        for handler in handlers:
            if (io := handler.transports.get(handler.client)) and io.handler:
                io.handler.cancel("test over")
        for _ in range(100):
            if not master.proxyserver.connections:
                break
            await asyncio.sleep(0.01)


@dataclass
class Door:
    """A running door and the server behind it."""

    port: int
    upstream: Upstream

    @property
    def lines(self) -> list[bytes]:
        """The request lines that got through."""
        return [request.line for request in self.upstream.requests]


@contextlib.asynccontextmanager
async def door(
    addon: object, answer: bytes | Answer = OK, *, idle_time: float = 120, keep: int = 1 << 30
) -> AsyncIterator[Door]:
    """An upstream and a door with one addon in front of it."""
    async with upstream(answer, keep) as served, running(served.port, [addon], idle_time=idle_time) as port:
        yield Door(port, served)


async def until(condition: Callable[[], bool], timeout: float = 5) -> None:
    """Wait for what comes about soon, on the event loop that this runs on. Raises TimeoutError."""
    async with asyncio.timeout(timeout):
        while not condition():  # noqa: ASYNC110  # what is waited for has no event of its own
            await asyncio.sleep(0.01)


def chunked(*pieces: bytes) -> bytes:
    """A chunked body, one chunk a piece."""
    return b"".join(b"%x\r\n%b\r\n" % (len(piece), piece) for piece in pieces) + b"0\r\n\r\n"


@dataclass
class RawClient:
    """A client that sends what it is told, well-formed or not."""

    reader: asyncio.StreamReader
    writer: asyncio.StreamWriter

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def response(self, *, timeout: float = 10, head_only: bool = False) -> tuple[int, bytes, bytes]:
        """Status, head and body of the next response."""
        async with asyncio.timeout(timeout):
            head = await self.reader.readuntil(b"\r\n\r\n")
            status = int(head.split(b" ", 2)[1])
            body = b""
            lines = {
                name.strip().lower(): value.strip()
                for name, _, value in (line.partition(b":") for line in head.split(b"\r\n")[1:] if line)
            }
            if head_only or status in (101, 204, 304):
                pass
            elif lines.get(b"transfer-encoding") == b"chunked":
                while size := int(await self.reader.readline(), 16):
                    body += await self.reader.readexactly(size)
                    await self.reader.readexactly(2)
                await self.reader.readline()
            else:
                body = await self.reader.readexactly(int(lines.get(b"content-length", b"0")))
            return status, head, body

    async def closed(self, *, timeout: float = 10) -> bytes:
        """Everything until the connection ends."""
        async with asyncio.timeout(timeout):
            try:
                return await self.reader.read()
            except ConnectionError:
                return b""


@contextlib.asynccontextmanager
async def client(port: int, local: str | None = None) -> AsyncIterator[RawClient]:
    """Connect to a port on this machine."""
    reader, writer = await asyncio.open_connection(
        "127.0.0.1", port, limit=64 << 20, local_addr=(local, 0) if local else None
    )
    try:
        yield RawClient(reader, writer)
    finally:
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


def post(path: str, body: bytes, *headers: tuple[str, str], host: str = "example.org") -> bytes:
    """A POST with a length."""
    lines = [f"POST {path} HTTP/1.1", f"Host: {host}", *(f"{name}: {value}" for name, value in headers)]
    return "\r\n".join([*lines, f"Content-Length: {len(body)}", "", ""]).encode() + body
