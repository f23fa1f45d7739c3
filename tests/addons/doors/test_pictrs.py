"""The pict-rs door in front of a peer that keeps what reaches it."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest

from addons.doors.http1 import Bounds
from addons.doors.layers import Rules
from addons.doors.look_back import LookBack
from addons.doors.pictrs import Pictrs
from addons.fetching.budget import MemoryBudget
from addons.judging.stable import LONGEST, StableUrls
from tests import net

URLS = StableUrls(b"key", "http://127.0.0.1:8543")
PICTURE = "https://remote.example/a.png"
STABLE = URLS.of(PICTURE).encode()
ABSENT = b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n"


def rules(bounds: Bounds | None = None) -> Rules:
    return Rules(bounds or Bounds(), MemoryBudget(1 << 20), lambda flow: None)


def get(target: str, method: str = "GET", *headers: str) -> bytes:
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: pict-rs", *headers, "", ""]).encode()


@contextlib.asynccontextmanager
async def door(
    answer: bytes | net.Answer = net.OK,
    *,
    look_back: bool = False,
    bounds: Bounds | None = None,
    observe: bool = False,
) -> AsyncIterator[tuple[net.Door, Pictrs]]:
    async with net.upstream(answer) as served:
        asking = LookBack(f"http://127.0.0.1:{served.port}") if look_back else None
        addon = Pictrs(rules(bounds), URLS, asking, observe=observe)
        async with net.running(served.port, [addon]) as port:
            yield net.Door(port, served), addon


async def asked(request: bytes, answer: bytes | net.Answer = net.OK, *, look_back: bool = False) -> list[bytes]:
    """The request lines that one request leads to; it is answered with 200."""
    async with door(answer, look_back=look_back) as (open_, addon), net.client(open_.port) as client:
        await client.send(request)
        assert (await client.response(head_only=request.startswith(b"HEAD")))[0] == 200
        assert await addon.drained(5)
        return open_.lines


@pytest.mark.parametrize("method", ["GET", "HEAD", "POST", "DELETE", "PATCH"])
@pytest.mark.parametrize(
    ("target", "arrives"),
    [
        (f"/image/original?proxy={PICTURE}", b"/image/original?proxy=" + STABLE),
        (f"/image/download?url={PICTURE}&resize=512", b"/image/download?url=" + STABLE + b"&resize=512"),
        (f"//x/%69mage/./q?a&proxy={PICTURE}", b"//x/%69mage/./q?a&proxy=" + STABLE),
        (f"http://pict-rs/a?proxy={PICTURE}", b"http://pict-rs/a?proxy=" + STABLE),
        ("/image/original/a.png?b=%zz", b"/image/original/a.png?b=%zz"),
    ],
)
async def test_what_a_request_names_is_rewritten(method: str, target: str, arrives: bytes) -> None:
    assert await asked(get(target, method)) == [b"%s %s HTTP/1.1" % (method.encode(), arrives)]


async def test_ours_is_not_wrapped_again_but_only_with_a_right_mac() -> None:
    ours, forged = STABLE.decode(), STABLE.decode()[:-1] + "_"
    assert await asked(get(f"/image/original?%70roxy={ours}&a")) == [
        b"GET /image/original?proxy=" + STABLE + b"&a HTTP/1.1"
    ]
    wrapped = URLS.of(forged).encode()
    assert await asked(get(f"/image/original?proxy={forged}")) == [
        b"GET /image/original?proxy=" + wrapped + b" HTTP/1.1"
    ]


@pytest.mark.parametrize(
    "query",
    [
        "proxy=",
        "proxy=%ff",
        "proxy=" + "x" * (LONGEST + 1),
        "&".join(["url=x"] * 9),
        f"proxy={PICTURE}&url",
        f"proxy={PICTURE}#a",
    ],
)
async def test_what_cannot_be_read_is_refused(query: str) -> None:
    async with door() as (open_, addon), net.client(open_.port) as client:
        for _ in range(2):
            await client.send(get(f"/image/original?{query}"))
            status, head, body = await client.response()
            assert (status, json.loads(body)["code"]) == (400, "invalid-url")
            assert b"\r\ncontent-type: application/json" in head.lower()
            assert b"\r\ncache-control: no-store" in head.lower()
        assert open_.lines == []
        assert await addon.drained(0)


async def test_who_observes_refuses_nothing() -> None:
    async with door(observe=True) as (open_, addon), net.client(open_.port) as client:
        for target, arrives in (("proxy=%ff", "proxy=%ff"), (f"proxy={PICTURE}", f"proxy={STABLE.decode()}")):
            await client.send(get(f"/image/original?{target}"))
            assert (await client.response())[0] == 200
            assert open_.lines[-1] == f"GET /image/original?{arrives} HTTP/1.1".encode()
        assert await addon.drained(5)


async def test_a_refused_request_is_not_gathered() -> None:
    """Its body may be endless: the answer comes with the first of it, and the connection ends."""
    async with door() as (open_, addon), net.client(open_.port) as client:
        await client.send(get("/image?url=", "POST", "Transfer-Encoding: chunked") + b"5\r\nhello\r\n")
        status, head, _ = await client.response()
        assert status == 400
        assert b"\r\nConnection: close" in head
        assert await addon.drained(0)
        assert open_.lines == []


async def test_bodies_are_streamed_both_ways() -> None:
    """Each side sees the first half before the other half is sent."""
    arrived, answered = asyncio.Event(), asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(4) == b"half"
        arrived.set()
        assert await reader.readexactly(4) == b"rest"
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 8\r\n\r\nhalf")
        await answered.wait()
        writer.write(b"rest")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with (
        server,
        net.running(server.sockets[0].getsockname()[1], [Pictrs(rules(), URLS)]) as port,
        net.client(port) as client,
        asyncio.timeout(30),
    ):
        await client.send(get("/image", "POST", "Content-Length: 8") + b"half")
        await arrived.wait()
        await client.send(b"rest")
        await client.reader.readuntil(b"half")
        answered.set()
        assert await client.reader.readexactly(4) == b"rest"


async def test_what_pict_rs_answers_passes_as_it_is() -> None:
    body = b'{"code":"download-file-error"}'
    answer = b"HTTP/1.1 500 Oops\r\nX-A: b\r\nContent-Length: %d\r\n\r\n%s" % (len(body), body)
    async with door(answer) as (open_, _), net.client(open_.port) as client:
        await client.send(get(f"/image/download?url={PICTURE}"))
        status, head, got = await client.response()
        assert (status, got) == (500, body)
        assert b"\r\nX-A: b" in head


async def test_no_other_protocol_is_switched_to() -> None:
    async with door() as (open_, _), net.client(open_.port) as client:
        await client.send(get("/image/original/a", "GET", "Connection: Upgrade, HTTP2-Settings", "Upgrade: h2c"))
        assert (await client.response())[0] == 200
        assert open_.upstream.requests[0].header(b"upgrade") is None


# -- what was there before --------------------------------------------------------------------------------------------


async def keeps_old(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """A pict-rs that keeps one raw URL."""
    probe = request.line.startswith(b"HEAD")
    writer.write(net.OK if not probe else ABSENT if b"a.png" in request.line else net.OK[:-2])
    await writer.drain()


async def test_a_pair_from_before_keeps_its_url() -> None:
    probe = b"HEAD /image/original?proxy=https%3A%2F%2Fremote.example%2Fold.png HTTP/1.1"
    for target, method in [
        ("/image/original?a&%70roxy=https://remote.example/old.png", "GET"),
        ("/internal/purge?proxy=https://remote.example/old.png", "POST"),
    ]:
        lines = await asked(get(target, method), keeps_old, look_back=True)
        assert lines == [probe, f"{method} {target} HTTP/1.1".encode()]


async def test_what_is_new_is_asked_for_once() -> None:
    probe = b"HEAD /image/original?proxy=https%3A%2F%2Fremote.example%2Fa.png HTTP/1.1"
    arrives = b"GET /image/original?proxy=" + STABLE + b" HTTP/1.1"
    async with door(keeps_old, look_back=True) as (open_, _), net.client(open_.port) as client:
        for _ in range(2):
            await client.send(get(f"/image/original?proxy={PICTURE}"))
            assert (await client.response())[0] == 200
        assert open_.lines == [probe, arrives, arrives]


@pytest.mark.parametrize(
    "target",
    [
        "/image/download?url=https://remote.example/old.png",
        "//image/original?proxy=https://remote.example/old.png",
        f"/image/original?proxy={STABLE.decode()}",
        "/image/original/old.png",
    ],
)
async def test_what_has_no_pair_is_not_looked_for(target: str) -> None:
    [line] = await asked(get(target), keeps_old, look_back=True)
    assert b"proxy=https" not in line
    assert b"url=https" not in line


async def test_without_look_back_nothing_is_asked() -> None:
    [line] = await asked(get("/image/original?proxy=https://remote.example/old.png"), keeps_old)
    assert b"remote.example" not in line


async def test_a_probe_that_fails_does_not_let_the_url_by() -> None:
    async def dumb(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if request.line.startswith(b"HEAD"):
            writer.close()
        else:
            writer.write(net.OK)

    lines = await asked(get("/image/original?proxy=https://remote.example/old.png"), dumb, look_back=True)
    assert b"remote.example" not in lines[-1]


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_it_is_drained_once_every_request_is_answered_or_gone() -> None:
    async def never(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    async with door(never) as (open_, addon):
        async with net.client(open_.port) as client:
            await client.send(get(f"/image/original?proxy={PICTURE}"))
            await net.until(lambda: len(open_.lines) == 1)
            assert not await addon.drained(0.01)
        assert await addon.drained(30)
