"""Everything that is no delivery streams through the running door: pages, uploads, events, WebSockets."""

import asyncio
import base64
import hashlib
import os
import struct
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from pathlib import Path

import pytest
import pytest_asyncio

from addons.doors.layers import WEBSOCKET_GUID
from tests.e2e.process import door
from tests.net import Received, client, until

pytestmark = pytest.mark.asyncio(loop_scope="module")

CONFIG = """\
classifier: {clip: null, nudity: null, decode: {processes: 1}, hashes: [{name: ours, file: ours.csv}]}
rules: [{name: known, when: {hash.ours: 1}, do: drop}]
"""
PAGE = b"<!doctype html><title>caf\xc3\xa9</title>" + b"<p>word</p>" * 20_000
MEGABYTE = 1_000_000


@dataclass(slots=True)
class Server:
    """The server behind the door: what of an upload is there so far, and when the next event is to be told."""

    heads: list[bytes] = field(default_factory=list)
    uploaded: bytearray = field(default_factory=bytearray)
    tell: asyncio.Event = field(default_factory=asyncio.Event)

    async def __call__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            while not reader.at_eof():
                head = await reader.readuntil(b"\r\n\r\n")
                self.heads.append(head)
                await self._answer(Received(head[:-4], b""), reader, writer)
                await writer.drain()
        except (asyncio.IncompleteReadError, ConnectionError):
            pass
        finally:
            writer.close()

    async def _answer(self, got: Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        match got.line.split()[1]:
            case b"/about":
                writer.write(b"HTTP/1.1 200 OK\r\nX-odd-CASE:  kept\r\nContent-Length: %d\r\n\r\n" % len(PAGE) + PAGE)
            case b"/api/v3/pictrs/image":
                left = int(got.header(b"content-length") or b"0")
                while left and (piece := await reader.read(min(left, 1 << 16))):
                    self.uploaded += piece
                    left -= len(piece)
                writer.write(b"HTTP/1.1 201 Created\r\nContent-Length: 4\r\n\r\ndone")
            case b"/api/v1/streaming":
                writer.write(
                    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
                )
                for event in (b"data: one\n\n", b"data: two\n\n"):
                    writer.write(b"%x\r\n%b\r\n" % (len(event), event))
                    await writer.drain()
                    await self.tell.wait()
                writer.write(b"0\r\n\r\n")
            case b"/socket":
                key = got.header(b"sec-websocket-key") or b""
                accept = base64.b64encode(hashlib.sha1(key + WEBSOCKET_GUID).digest())
                writer.write(
                    b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
                    b"Sec-WebSocket-Accept: %b\r\n\r\n" % accept
                )
                while True:
                    writer.write(frame(await message(reader)))
                    await writer.drain()
            case _:
                writer.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")


def frame(text: bytes, mask: bytes = b"") -> bytes:
    """A text message as one WebSocket frame (RFC 6455 §5.2); a client's has a mask of four bytes."""
    bit = 0x80 if mask else 0
    if len(text) < 126:
        head = struct.pack(">BB", 0x81, bit | len(text))
    else:
        head = struct.pack(">BBQ", 0x81, bit | 127, len(text))
    masked = bytes(byte ^ mask[at % 4] for at, byte in enumerate(text)) if mask else text
    return head + mask + masked


async def message(reader: asyncio.StreamReader) -> bytes:
    """The text of the next frame."""
    first, second = await reader.readexactly(2)
    assert first == 0x81
    length = second & 0x7F
    if length == 127:
        (length,) = struct.unpack(">Q", await reader.readexactly(8))
    mask = await reader.readexactly(4) if second & 0x80 else b""
    text = await reader.readexactly(length)
    return bytes(byte ^ mask[at % 4] for at, byte in enumerate(text)) if mask else text


@dataclass(frozen=True, slots=True)
class World:
    port: int
    server: Server


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    folder: Path = tmp_path_factory.mktemp("streaming")
    (folder / "ours.csv").write_text("")
    behind = Server()
    server = await asyncio.start_server(behind, "127.0.0.1", 0, limit=1 << 20)
    async with server, door(folder, CONFIG, server.sockets[0].getsockname()[1]) as running:
        yield World(running.port, behind)


async def test_a_page(world: World) -> None:
    asked = b"GET /about HTTP/1.1\r\nhOST: example.org\r\nCookie: a=1\r\ncookie: b=2\r\nX-Empty:\r\n\r\n"
    async with client(world.port) as visitor:
        for _ in range(2):  # on one connection
            await visitor.send(asked)
            status, head, body = await visitor.response()
            assert (status, body) == (200, PAGE)
            assert b"X-odd-CASE:" in head
    sent = [line.replace(b": ", b":") for line in asked.split(b"\r\n")]
    assert [[line.replace(b": ", b":") for line in head.split(b"\r\n")] for head in world.server.heads[-2:]] == [
        sent
    ] * 2


async def test_an_upload_of_five_megabytes(world: World) -> None:
    """Its beginning is at the server before its end was sent: none of it is kept, and limits.body is not for it."""
    picture = os.urandom(5 * MEGABYTE)
    start = b'--x\r\nContent-Disposition: form-data; name="images[]"; filename="cat.png"\r\n\r\n'
    body = start + picture + b"\r\n--x--\r\n"
    head = (
        "POST /api/v3/pictrs/image HTTP/1.1\r\nHost: example.org\r\nContent-Type: multipart/form-data; boundary=x\r\n"
        f"Content-Length: {len(body)}\r\n\r\n"
    )
    async with client(world.port) as visitor:
        await visitor.send(head.encode() + body[:MEGABYTE])
        await until(lambda: len(world.server.uploaded) == MEGABYTE, 10)
        await visitor.send(body[MEGABYTE:])
        assert (await visitor.response())[::2] == (201, b"done")
    assert world.server.heads[-1] == head.encode()
    assert world.server.uploaded == body


async def test_events_come_one_by_one(world: World) -> None:
    async with client(world.port) as visitor:
        await visitor.send(b"GET /api/v1/streaming HTTP/1.1\r\nHost: example.org\r\n\r\n")
        assert (await visitor.response(head_only=True))[0] == 200
        assert await visitor.reader.readuntil(b"\n\n\r\n") == b"b\r\ndata: one\n\n\r\n"
        world.server.tell.set()
        assert await visitor.reader.readuntil(b"\n\n\r\n") == b"b\r\ndata: two\n\n\r\n"
        assert await visitor.reader.readuntil(b"\r\n\r\n") == b"0\r\n\r\n"


async def test_a_websocket_echoes(world: World) -> None:
    async with client(world.port) as visitor:
        await visitor.send(
            b"GET /socket HTTP/1.1\r\nHost: example.org\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n"
            b"Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n"
        )
        status, head, _ = await visitor.response(head_only=True)
        assert status == 101
        assert b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo=" in head  # RFC 6455 §1.3
        for text in (b"hello", b"caf\xc3\xa9 " * 20_000, b""):
            await visitor.send(frame(text, b"\x01\x02\xf3\x04"))
            assert await asyncio.wait_for(message(visitor.reader), 10) == text
