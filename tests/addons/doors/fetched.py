"""A fetch door with all that stands behind it real but the models and the names, and hosts for it to fetch from."""

import asyncio
import contextlib
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import httpx

from addons.delivering import Known
from addons.doors import proxy
from addons.doors.authority import Authority, FetchTls
from addons.doors.fetch import Fetch
from addons.fetching.resolving import Resolver
from addons.ledger.entry import Entry
from addons.ledger.ledger import Ledger
from addons.ledger.reading import Reader, Search
from addons.policy.config import Config
from addons.service import Service
from classifier import media_type_of
from classifier.engine import Engine
from tests import net
from tests.addons.fetching import servers
from tests.drawing import encode, textured

FORBIDDEN = encode(textured(1))
ORDINARY = encode(textured(2))
PAGE = b"<!DOCTYPE html><html><body>" + b"<p>an ordinary page</p>" * 100 + b"</body></html>"

type Answer = bytes | Callable[[net.Received, asyncio.StreamWriter], Awaitable[None]]


def said(body: bytes, content_type: str = "image/png", *headers: str, status: str = "200 OK") -> bytes:
    """A whole answer of a host."""
    lines = [f"HTTP/1.1 {status}", f"Content-Type: {content_type}", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join([*lines, "", ""]).encode() + body


def is_placeholder(answer: httpx.Response, kind: str = "image/png") -> bool:
    told = (answer.status_code, answer.headers.get("content-type"), answer.headers.get("cache-control"))
    return told == (200, kind, "no-store") and media_type_of(answer.content) == kind and answer.content != FORBIDDEN


@dataclass
class Host:
    """A host that speaks plain HTTP on one port and TLS on another, and keeps what it was asked."""

    port: int = 0
    tls_port: int = 0
    answers: dict[str, Answer] = field(default_factory=dict)
    requests: list[net.Received] = field(default_factory=list)
    connections: int = 0
    alpn: list[str | None] = field(default_factory=list)

    def put(self, path: str, answer: Answer) -> None:
        self.answers[path] = answer

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.connections += 1
        if (tls := writer.get_extra_info("ssl_object")) is not None:
            self.alpn.append(tls.selected_alpn_protocol())
        with contextlib.suppress(ConnectionError, asyncio.IncompleteReadError, ssl.SSLError):
            while (request := await net.read_request(reader)) is not None:
                self.requests.append(request)
                path = request.line.split()[1].decode("utf-8", "replace")
                answer = self.answers.get(path, said(b"nothing", "text/plain", status="404 Not Found"))
                if isinstance(answer, bytes):
                    writer.write(answer)
                    await writer.drain()
                else:
                    await answer(request, writer)
                    if writer.is_closing():
                        return
        writer.close()


@contextlib.asynccontextmanager
async def host(context: ssl.SSLContext) -> AsyncIterator[Host]:
    """A host on 127.0.0.1."""
    served = Host()
    tasks: set[asyncio.Task[None]] = set()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        tasks.add(task)
        try:
            with contextlib.suppress(asyncio.CancelledError):
                await served.serve(reader, writer)
        finally:
            tasks.discard(task)
            writer.transport.abort()

    plain = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20)
    tls = await asyncio.start_server(serve, "127.0.0.1", 0, limit=1 << 20, ssl=context)
    served.port, served.tls_port = plain.sockets[0].getsockname()[1], tls.sockets[0].getsockname()[1]
    try:
        yield served
    finally:
        plain.close()
        tls.close()
        for task in tuple(tasks):
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


@dataclass
class Opened:
    """A running fetch door."""

    port: int
    fetch: Fetch
    service: Service
    authority: Authority
    host: Host

    def client(self, *, trusts: bool = True, **more: object) -> httpx.AsyncClient:
        """The server, which uses the door for everything."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        if trusts:
            context.load_verify_locations(self.authority.certificate)
        proxy = f"http://127.0.0.1:{self.port}"
        return httpx.AsyncClient(proxy=proxy, verify=context, trust_env=False, timeout=20, **more)  # type: ignore[arg-type]  # httpx's own options

    def url(self, path: str, *, tls: bool = True, name: str = "remote.example") -> str:
        return f"https://{name}:{self.host.tls_port}{path}" if tls else f"http://{name}:{self.host.port}{path}"

    async def get(self, path: str, *, tls: bool = True, name: str = "remote.example", **headers: str) -> httpx.Response:
        """GET as the server does, on a connection of its own; ``_`` in a header's name is ``-``."""
        named = {name.replace("_", "-"): value for name, value in headers.items()}
        async with self.client() as client:
            return await client.get(self.url(path, tls=tls, name=name), headers=named)

    async def entries(self, count: int) -> list[Entry]:
        """The ledger's entries, once there are ``count``."""
        await net.until(lambda: self.service.ledger.waiting == 0)
        with Reader.open(self.service.config.ledger.url) as reader:
            found = reader.find(Search())
        assert len(found) == count, found
        return found

    async def counts(self) -> dict[str, int]:
        """The ledger's counters of this door, after it was closed."""
        self.service.ledger.close()
        with Reader.open(self.service.config.ledger.url) as reader:
            return {counted.action: counted.count for counted in reader.counts() if counted.door == "fetch"}


@contextlib.asynccontextmanager
async def opened(
    config: Config,
    engine: Engine,
    host: Host,
    tls: FetchTls,
    trusted: Path,
    *,
    names: Resolver | None = None,
    **settings: Any,
) -> AsyncIterator[Opened]:
    """Open a fetch door; ``settings`` are of :class:`FetchDoorSettings`. ``trusted``: the authority of hosts."""
    with Ledger.open(config.ledger.url) as ledger:
        service = Service.of(config, ledger, engine, Known.load(config, ledger))
        fetch = service.fetch()
        fetch.settings = replace(fetch.settings, **settings)
        resolver = names or servers.Names(remote_example=["127.0.0.1"], other_example=["127.0.0.1"])
        fetch.destinations = replace(fetch.destinations, resolver=resolver)
        door = proxy.Door("fetch@127.0.0.1:0", (fetch,), tls)
        async with net.listening(door, options={"ssl_verify_upstream_trusted_ca": str(trusted)}) as port:
            yield Opened(port, fetch, service, tls.authority, host)
            assert await fetch.drained(10)
        await service.delivering.close()
        await net.until(lambda: service.budget.used == 0)


async def connect(client: net.RawClient, target: str) -> int:
    await client.send(f"CONNECT {target} HTTP/1.1\r\nHost: {target}\r\n\r\n".encode())
    return (await client.response())[0]


@contextlib.asynccontextmanager
async def inside(door: Opened, target: str, *, trust: Path, name: str) -> AsyncIterator[net.RawClient]:
    """A client behind its CONNECT, with TLS to whoever answers there."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    context.load_verify_locations(trust)
    async with net.client(door.port) as client:
        assert await connect(client, target) == 200
        await client.writer.start_tls(context, server_hostname=name)
        yield client
