"""What a hostile client may make the door keep, measured as the memory of this process, client and server included."""

import asyncio
import contextlib
import ctypes
import gc
import os
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from addons.doors.http1 import CHUNK_LINE_BYTES, Bounds
from addons.doors.proxy import DoorHandler
from tests import net
from tests.addons.doors.gate import Gate
from tests.addons.doors.test_layers import HANDSHAKE, SWITCH

MIB = 1 << 20
PIECE = b"x" * (256 << 10)
FLAT = 20 * MIB
"""Growth that passes for flat: socket buffers of four ends, and what the allocator keeps."""


def resident() -> int:
    """Bytes of this process in memory."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


@contextlib.asynccontextmanager
async def flat_memory() -> AsyncIterator[None]:
    """Fails where the process grew by more than ``FLAT`` meanwhile."""
    gc.collect()
    ctypes.CDLL("libc.so.6").malloc_trim(0)  # else what earlier tests freed would be filled first, and nothing seen
    before = peak = resident()

    async def watch() -> None:
        nonlocal peak
        while True:
            peak = max(peak, resident())
            await asyncio.sleep(0.005)

    task = asyncio.get_running_loop().create_task(watch())
    try:
        yield
    finally:
        task.cancel()
    assert max(peak, resident()) - before < FLAT


async def sink(reader: asyncio.StreamReader) -> int:
    """Read to the end, keeping nothing; how many bytes there were."""
    total = 0
    while piece := await reader.read(MIB):
        total += len(piece)
    return total


def test_the_measure_can_fail() -> None:
    async def grow() -> None:
        async with flat_memory():
            kept = b"x" * (FLAT + 10 * MIB)
            await asyncio.sleep(0.05)
            del kept

    with pytest.raises(AssertionError):
        asyncio.run(grow())


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize("line", [b"PUT /inbox HTTP/1.1", b"POST /api/v2/media HTTP/1.1"])
async def test_a_large_upload_streams_through(line: bytes, chunks: bool) -> None:
    pieces = 200 * MIB // len(PIECE)
    framing = b"Transfer-Encoding: chunked" if chunks else b"Content-Length: %d" % (pieces * len(PIECE))
    got = 0

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal got
        await reader.readuntil(b"\r\n\r\n")
        end = b""
        while got < pieces * len(PIECE) or (chunks and not end.endswith(b"\r\n0\r\n\r\n")):
            piece = await reader.read(MIB)
            got, end = got + len(piece), (end + piece)[-7:]
        writer.write(net.OK)
        await reader.read()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, net.running(port, [Gate()]) as door, net.client(door) as client, flat_memory():
        await client.send(line + b"\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        piece = b"%x\r\n" % len(PIECE) + PIECE + b"\r\n" if chunks else PIECE
        for _ in range(pieces):
            await client.send(piece)
        if chunks:
            await client.send(b"0\r\n\r\n")
        assert (await client.response())[0] == 200
    assert got >= pieces * len(PIECE)


@pytest.mark.parametrize("framing", [b"Content-Length: %d" % (200 * MIB), b"Transfer-Encoding: chunked", b"X: y"])
async def test_a_large_download_streams_through(framing: bytes) -> None:
    async def serve(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nConnection: close\r\n" + framing + b"\r\n\r\n")
        for _ in range(200 * MIB // len(PIECE)):
            writer.write(b"%x\r\n%b\r\n" % (len(PIECE), PIECE) if framing.startswith(b"T") else PIECE)
            await writer.drain()
        writer.write(b"0\r\n\r\n" if framing.startswith(b"T") else b"")
        writer.close()

    async with net.door(Gate(), serve) as door, net.client(door.port) as client, flat_memory():
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        head = await client.reader.readuntil(b"\r\n\r\n")
        got = await sink(client.reader)
    assert head.endswith(framing + b"\r\n\r\n")
    assert got == 200 * MIB if not framing.startswith(b"T") else got > 200 * MIB


async def test_a_client_that_reads_slowly_holds_the_server_back() -> None:
    sent, finished = 0, asyncio.Event()

    async def serve(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % (100 * MIB))
        for _ in range(100 * MIB // len(PIECE)):
            writer.write(PIECE)
            await writer.drain()
            sent += len(PIECE)
        finished.set()

    async with net.door(Gate(), serve) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1 << 16)
        async with flat_memory():
            writer.write(b"GET / HTTP/1.1\r\nHost: a\r\nConnection: close\r\n\r\n")
            before = -1
            while before != sent or not sent:  # until nothing moves any more
                before = sent
                await asyncio.sleep(0.3)
            assert sent < 50 * MIB, "what the kernel's buffers take, not the file"
            assert not finished.is_set()
            assert await sink(reader) > 100 * MIB
        writer.close()
        await writer.wait_closed()
    assert finished.is_set()


async def test_a_client_that_never_reads_keeps_no_socket(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(DoorHandler, "flush_time", 0.3)

    async def serve(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
        while True:
            writer.write(PIECE)
            await writer.drain()

    def sockets() -> int:
        return sum(os.path.islink(fd) and "socket:" in os.readlink(fd) for fd in Path("/proc/self/fd").iterdir())

    async with net.door(Gate(Bounds(quiet_time=0.5)), serve) as door:
        before = sockets()
        _, writer = await asyncio.open_connection("127.0.0.1", door.port, limit=1 << 16)
        writer.write(b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await net.until(lambda: sockets() == before + 4)  # both ends of both connections
        await net.until(lambda: sockets() == before + 1, timeout=10)  # only the client's own is left
        writer.transport.abort()


@pytest.mark.parametrize(
    "start",
    [
        b"GET / HTTP/1.1\r\nHost: a\r\n",
        b"GET / HTTP/1.1\r\nHost: a\r\nX: ",
        b"GET /",
        b"G",
        b"",
    ],
    ids=["many headers", "one header", "a target", "a method", "anything"],
)
async def test_an_endless_head_is_refused_and_not_kept(start: bytes) -> None:
    more = b"X-Head: value\r\n" * 20_000 if start.endswith(b"a\r\n") else PIECE
    async with net.door(Gate()) as door, net.client(door.port) as client, flat_memory():
        await client.send(start)
        with contextlib.suppress(ConnectionError):
            for _ in range(300 * MIB // len(more)):
                await client.send(more)
                if len(client.reader._buffer) and client.reader.at_eof():  # type: ignore[attr-defined]
                    break
        answer = await client.closed()
    assert answer == b"" or answer.startswith(b"HTTP/1.1 431 ")
    assert door.lines == []


@pytest.mark.parametrize(("longer", "status"), [(0, 200), (1, 431)])
@pytest.mark.parametrize(
    ("start", "steps"),
    [(b"GET /", 1), (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", 1), (b"GET / HTTP/1.1\r\nHost: a\r\nX: ", 9)],
    ids=["target", "header", "slowly"],
)
async def test_a_head_at_its_bound_passes_and_one_past_it_does_not(
    start: bytes, steps: int, longer: int, status: int
) -> None:
    end = b" HTTP/1.1\r\nHost: a\r\n\r\n" if start == b"GET /" else b"\r\n\r\n"
    size = (64 << 10) + longer
    data = start.ljust(size - len(end), b"x") + end
    step = -(-size // steps)
    async with net.door(Gate()) as door, net.client(door.port) as client:
        for begin in range(0, size, step):
            await client.send(data[begin : begin + step])
            await asyncio.sleep(0.01)
        assert (await client.response())[0] == status
    assert [request.head + b"\r\n\r\n" for request in door.upstream.requests] == ([data] if status == 200 else [])


CHUNKED = b"Transfer-Encoding: chunked"


@pytest.mark.parametrize(
    ("path", "framing", "more"),
    [
        (b"/inbox", b"Content-Length: 200000000", PIECE),
        (b"/inbox", CHUNKED, b"%x\r\n%b\r\n" % (len(PIECE), PIECE)),
        (b"/inbox", CHUNKED, b"1\r\nx\r\n" * 50_000),
        (b"/inbox", CHUNKED, b"1;" + b"x" * 16_000 + b"\r\nx\r\n"),
        *[
            (path, CHUNKED, more)
            for path in (b"/inbox", b"/upload")
            for more in (b"1;" + PIECE, b"0" * 4000, b"0\r\nX: " + PIECE)
        ],
    ],
)
async def test_an_endless_body_is_refused_and_not_kept(path: bytes, framing: bytes, more: bytes) -> None:
    gate = Gate(Bounds(body_time=1))
    async with net.door(gate, keep=0) as door, net.client(door.port) as client:
        async with flat_memory():
            await client.send(b"POST " + path + b" HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
            with contextlib.suppress(ConnectionError):
                for _ in range(200 * MIB // len(more)):
                    await client.send(more)
            answer = await client.closed()
        await net.until(lambda: gate.budget.used == 0)
    assert answer == b"" or answer.startswith((b"HTTP/1.1 413 ", b"HTTP/1.1 400 ", b"HTTP/1.1 408 "))
    assert door.lines == []


@pytest.mark.parametrize(("longer", "status"), [(0, 200), (1, 400)])
async def test_a_chunks_line_at_its_bound_passes_and_one_past_it_does_not(longer: int, status: int) -> None:
    async with net.door(Gate()) as door, net.client(door.port) as client:
        await client.send(b"POST /inbox HTTP/1.1\r\nHost: a\r\n" + CHUNKED + b"\r\n\r\n")
        await client.send(b"1;".ljust(CHUNK_LINE_BYTES + longer, b"x"))
        await asyncio.sleep(0.1)
        await client.send(b"\r\nx\r\n0\r\n\r\n")
        assert (await client.response())[0] == status
    assert len(door.lines) == (status == 200)


async def test_nothing_of_a_websocket_is_kept() -> None:
    async def echo(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCH)
        while piece := await reader.read(1 << 16):
            writer.write(piece)
            await writer.drain()

    message = b"\x82\xfe\x13\x88mask" + b"m" * 5000  # masked, of 5,000 bytes
    fragment = b"\x00\xfe\x13\x88mask" + b"m" * 5000  # goes on with a message that never ends
    async with net.door(Gate(), echo) as door, net.client(door.port) as client:
        await client.send(HANDSHAKE)
        assert (await client.response())[0] == 101
        async with flat_memory():
            for frame in (message, fragment):  # 10,000 messages, then a message of 50 MB
                for _ in range(100):
                    await client.send(frame * 100)
                    assert await client.reader.readexactly(len(frame) * 100) == frame * 100
