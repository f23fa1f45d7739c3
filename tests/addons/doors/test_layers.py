import asyncio
import base64
import hashlib
import os
import zlib
from collections.abc import AsyncIterator

import pytest
from mitmproxy import http

from addons.doors import layers
from addons.doors.answers import refusal
from addons.doors.http1 import Bounds
from addons.doors.layers import GATHER, UNJUDGED, Gather, is_websocket
from addons.fetching.budget import MemoryBudget
from tests import net
from tests.addons.doors.gate import Gate

HOST = b"Host: a\r\n"


def delivery(*fields: bytes, path: bytes = b"/inbox") -> bytes:
    return b"\r\n".join([b"POST " + path + b" HTTP/1.1", b"Host: a", *fields, b"", b""])


# -- a delivery's body -------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("size", "status"), [(0, 200), (1, 200), (1000, 200), (1001, 413)])
@pytest.mark.parametrize("chunk", [0, 1, 999, 5000])
async def test_a_delivery_at_the_bound_passes_and_one_past_it_does_not(size: int, status: int, chunk: int) -> None:
    body, gate = os.urandom(size), Gate(Bounds(body=1000))
    data = net.post("/inbox", body)
    if chunk:
        pieces = [body[start : start + chunk] for start in range(0, size, chunk)]
        data = delivery(b"Transfer-Encoding: chunked") + net.chunked(*pieces)
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(data)
        assert (await client.response())[0] == status
        await net.until(lambda: gate.budget.used == 0)
    assert [request.body for request in door.upstream.requests] == ([body] if status == 200 else [])


async def test_what_is_no_delivery_has_no_bound() -> None:
    async with net.door(Gate(Bounds(body=1000))) as door, net.client(door.port) as client:
        await client.send(net.post("/upload", b"x" * 100_000))
        assert (await client.response())[0] == 200
        await client.send(net.post("/upload", b"x", ("Content-Type", 'Application/LD+json; profile="x"')))
        assert (await client.response())[0] == 200
        await client.send(net.post("/upload", b"x" * 1001, ("Content-Type", "application/activity+json")))
        assert (await client.response())[0] == 413
    assert [len(request.body) for request in door.upstream.requests] == [100_000, 1]


async def test_a_length_over_the_bound_is_refused_before_any_of_it_is_sent() -> None:
    async with net.door(Gate(Bounds(body=1000))) as door, net.client(door.port) as client:
        await client.send(delivery(b"Content-Length: 200000000", b"Expect: 100-continue"))
        status, head, body = await client.response()
        assert (status, body) == (413, b'{"error": "a delivery may have 1000 bytes at most"}')
        assert b"Connection: close" in head
        assert await client.closed() == b""
    assert door.lines == []


@pytest.mark.parametrize("data", [b"Content-Length: 5000000", b"Transfer-Encoding: chunked"])
async def test_a_client_that_does_not_listen_while_it_sends_still_reads_its_413(data: bytes) -> None:
    body = b"x" * 5_000_000
    async with net.door(Gate(Bounds(body=1000))) as door, net.client(door.port) as client:
        await client.send(delivery(data) + (body if data.startswith(b"C") else net.chunked(body)))
        assert (await client.response())[0] == 413
        client.writer.write_eof()
        assert await client.closed() == b""
    assert door.lines == []


async def test_a_delivery_that_is_answered_reaches_nobody_and_the_next_one_does() -> None:
    gate = Gate()
    async with net.door(gate) as door, net.client(door.port) as client:
        for body, status in [(b"bad", 202), (b"good", 200), (b"bad", 202), (b"", 200)]:
            await client.send(net.post("/inbox", body))
            assert (await client.response())[0] == status
        assert gate.budget.used == 0
    assert [request.body for request in door.upstream.requests] == [b"good", b""]


# -- the memory budget -------------------------------------------------------------------------------------------------


async def holding(gate: Gate, door: net.Door, size: int) -> AsyncIterator[net.RawClient]:
    """A client whose unfinished delivery takes ``size`` bytes of the budget."""
    async with net.client(door.port) as client:
        await client.send(delivery(b"Content-Length: %d" % size))
        await net.until(lambda: gate.budget.used == size)
        yield client


@pytest.mark.parametrize("chunks", [False, True])
@pytest.mark.parametrize(("size", "status"), [(400, 200), (401, 503)])
async def test_a_delivery_that_the_budget_has_no_room_for_is_busy(size: int, status: int, chunks: bool) -> None:
    gate, body = Gate(memory=1000), b"x" * size
    async with net.door(gate) as door:
        async for holder in holding(gate, door, 600):
            async with net.client(door.port) as client:
                await client.send(
                    delivery(b"Transfer-Encoding: chunked") + net.chunked(body[:300], body[300:])
                    if chunks
                    else net.post("/inbox", body)
                )
                answer = await client.response()
                assert answer[0] == status
                if status == 503:
                    assert b"\r\nConnection: close\r\n" in answer[1]
                    assert answer[2] == b'{"error": "busy"}'
                    assert await client.closed() == b"", "the rest of its body is not taken for a request"
            await net.until(lambda: gate.budget.used == 600)
            await holder.send(b"y" * 600)
            assert (await holder.response())[0] == 200, "the one that came first is not hurt"
        assert gate.budget.used == 0
    assert len(door.lines) == (2 if status == 200 else 1)


@pytest.mark.parametrize("chunks", [False, True])
async def test_where_the_policy_lets_the_busy_by_they_are_streamed_unjudged(chunks: bool) -> None:
    seen: list[bool] = []

    class Noting(Gate):
        async def request(self, flow: http.HTTPFlow) -> None:
            seen.append(bool(flow.metadata.get(UNJUDGED)))
            await super().request(flow)

    gate, body = Noting(memory=1000, busy=False), b"bad" + b"x" * 500
    data = (
        delivery(b"Transfer-Encoding: chunked") + net.chunked(body[:300], body[300:])
        if chunks
        else net.post("/inbox", body)
    )
    async with net.door(gate) as door:
        async for holder in holding(gate, door, 600):
            async with net.client(door.port) as client:
                await client.send(data)
                assert (await client.response())[0] == 200
                await client.send(net.post("/inbox", b"bad"))  # there is room for this one
                assert (await client.response())[0] == 202
            assert seen == [True, False]
            assert gate.budget.used == 600
            await holder.send(b"bad".ljust(600))
            assert (await holder.response())[0] == 202
    assert [request.body for request in door.upstream.requests] == [body]
    assert gate.budget.used == 0


async def test_let_by_with_the_server_down_is_502() -> None:
    gate = Gate(memory=100, busy=False)
    async with net.upstream() as gone:
        port = gone.port
    async with net.running(port, [gate]) as door, net.client(door) as client:
        await client.send(delivery(b"Transfer-Encoding: chunked") + net.chunked(b"x" * 60, b"x" * 60, b"x" * 60))
        assert (await client.response())[0] == 502
        assert gate.budget.used == 0


@pytest.mark.parametrize("data", [delivery(b"Content-Length: 9") + b"abc", net.post("/inbox", b"abc")])
@pytest.mark.parametrize("abort", [False, True])
async def test_a_client_that_goes_away_gives_the_memory_back_and_nothing_is_forwarded(data: bytes, abort: bool) -> None:
    gate = Gate(wait=0.2)
    async with net.door(gate) as door:
        async with net.client(door.port) as client:
            await client.send(data)
            await net.until(lambda: gate.budget.used > 0)
            if abort:
                client.writer.transport.abort()
        await net.until(lambda: gate.budget.used == 0)
        await asyncio.sleep(0.1)
    assert door.lines == []


async def test_a_server_that_goes_away_before_it_answers_gives_the_memory_back() -> None:
    async def hang_up(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.transport.abort()

    gate = Gate()
    async with net.door(gate, hang_up) as door, net.client(door.port) as client:
        await client.send(net.post("/inbox", b"abc"))
        assert (await client.response())[0] == 502
        assert gate.budget.used == 0


async def test_what_is_forwarded_is_not_kept_while_the_server_thinks() -> None:
    flows: list[http.HTTPFlow] = []

    class Keeping(Gate):
        async def request(self, flow: http.HTTPFlow) -> None:
            flows.append(flow)

    go_on = asyncio.Event()

    async def think(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await go_on.wait()
        writer.write(net.OK)

    gate = Keeping()
    async with net.door(gate, think) as door, net.client(door.port) as client:
        await client.send(net.post("/inbox", b"abc"))
        await net.until(lambda: len(door.lines) == 1)
        assert gate.budget.used == 0
        assert flows[0].request.raw_content is None
        go_on.set()
        assert (await client.response())[0] == 200
    assert door.upstream.requests[0].body == b"abc"


# -- protocol switches -------------------------------------------------------------------------------------------------

KEY = b"dGhlIHNhbXBsZSBub25jZQ=="
ACCEPT = b"s3pPLMBiTxaQ9kYGzzhZRbK+xOo="  # RFC 6455 section 1.3
HANDSHAKE = (
    b"GET /api/v3/ws HTTP/1.1\r\nHost: a\r\nUpgrade: websocket\r\nConnection: keep-alive, Upgrade\r\n"
    b"Sec-WebSocket-Key: " + KEY + b"\r\nSec-WebSocket-Version: 13\r\nOrigin: https://a\r\n"
    b"Sec-WebSocket-Extensions: permessage-deflate; client_max_window_bits, x-odd\r\n"
    b"Sec-WebSocket-Protocol: b, c\r\n\r\n"
)
SWITCH = (
    b"HTTP/1.1 101 Switching Protocols\r\nupgrade: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Accept: "
    + ACCEPT
    + b"\r\nSec-WebSocket-Extensions: permessage-deflate; server_no_context_takeover\r\n"
    + b"Sec-WebSocket-Protocol: c\r\n\r\n"
)


async def echo(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(SWITCH + b"hello")  # a server may speak right after its answer
    while data := await reader.read(1 << 16):
        writer.write(data)
        await writer.drain()
    writer.write(b"bye")
    writer.close()


async def test_a_websocket_is_relayed_both_ways_untouched() -> None:
    compressed = zlib.compress(b"text" * 100)  # what a frame holds is nobody's business here
    frames = [b"\x81\x05hello", b"\x82\x03\r\n\0", b"\xc1\x7e" + compressed, b"\x89\x00", b"GET / HTTP/1.1\r\n\r\n"]
    async with net.door(Gate(), echo) as door, net.client(door.port) as client:
        await client.send(HANDSHAKE + frames[0])  # nor need a client wait
        assert await client.reader.readexactly(len(SWITCH)) == SWITCH
        assert await client.reader.readexactly(5) == b"hello"
        assert await client.reader.readexactly(len(frames[0])) == frames[0]
        for frame in frames:
            await client.send(frame)
            assert await client.reader.readexactly(len(frame)) == frame
    assert [request.head + b"\r\n\r\n" for request in door.upstream.requests] == [HANDSHAKE]


async def test_a_server_that_ends_a_websocket_ends_it_for_the_client() -> None:
    async def hang_up(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCH + b"\x88\x00")
        writer.close()

    async with net.door(Gate(), hang_up) as door, net.client(door.port) as client:
        await client.send(HANDSHAKE)
        assert await client.closed() == SWITCH + b"\x88\x00"


async def test_a_client_that_ends_a_websocket_ends_it_for_the_server() -> None:
    ended = asyncio.Event()

    async def listen(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCH)
        await reader.read()
        ended.set()

    async with net.door(Gate(), listen) as door:
        async with net.client(door.port) as client:
            await client.send(HANDSHAKE)
            await client.response()
        async with asyncio.timeout(5):
            await ended.wait()


async def test_a_tunnel_in_which_nobody_speaks_is_closed_and_one_in_which_one_does_is_not() -> None:
    async def speak(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(SWITCH)
        for _ in range(12):
            await asyncio.sleep(0.1)
            writer.write(b"\x89\x00")
        await reader.read()

    async with net.door(Gate(Bounds(quiet_time=0.5)), speak) as door, net.client(door.port) as client:
        await client.send(HANDSHAKE)
        assert await client.closed(timeout=5) == SWITCH + 12 * b"\x89\x00"


@pytest.mark.parametrize(
    ("handshake", "answer"),
    [
        (HANDSHAKE, SWITCH.replace(ACCEPT, base64.b64encode(hashlib.sha1(b"x").digest()))),
        (HANDSHAKE, SWITCH.replace(ACCEPT, b"")),
        (HANDSHAKE, SWITCH.replace(b"upgrade: WebSocket", b"Upgrade: h2c")),
        (HANDSHAKE, b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
        (HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: tcp"), SWITCH),
        (HANDSHAKE.replace(b"Upgrade: websocket", b"Upgrade: websocket, h2c"), SWITCH),
        (HANDSHAKE.replace(b"Upgrade: websocket\r\n", b""), SWITCH),
        (HANDSHAKE.replace(b"GET ", b"POST "), SWITCH),
        (HANDSHAKE.replace(KEY, b"other"), SWITCH),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", SWITCH),
        (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", b"HTTP/1.1 101 Switching Protocols\r\n\r\n"),
    ],
)
async def test_no_tunnel_is_opened_but_for_a_websocket_both_sides_mean(handshake: bytes, answer: bytes) -> None:
    reached = bytearray()

    async def tunnel(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer + b"\x81\x05hello")
        while data := await reader.read(1 << 16):
            reached.extend(data)

    async with net.door(Gate(), tunnel) as door, net.client(door.port) as client:
        await client.send(handshake + b"POST /inbox HTTP/1.1\r\nHost: a\r\nContent-Length: 0\r\n\r\n")
        status, _, body = await client.response()
        assert (status, body) == (502, b'{"error": "the server could not be reached"}')
        assert await client.closed() == b""
    assert not reached


async def test_a_server_that_does_not_take_up_the_websocket_answers_as_ever() -> None:
    answer = b"HTTP/1.1 426 Upgrade Required\r\nContent-Length: 0\r\n\r\n"
    async with net.door(Gate(), answer) as door, net.client(door.port) as client:
        for _ in range(2):
            await client.send(HANDSHAKE)
            assert (await client.response())[0] == 426


@pytest.mark.parametrize(
    ("method", "upgrade", "expected"),
    [
        ("GET", "websocket", True),
        ("GET", " WebSocket ", True),
        ("GET", "h2c", False),
        ("GET", "websocket, h2c", False),
        ("POST", "websocket", False),
        ("GET", "", False),
    ],
)
def test_what_is_a_websocket_handshake(method: str, upgrade: str, expected: bool) -> None:
    request = http.Request.make(method, "http://a/", headers=http.Headers(upgrade=upgrade))
    assert is_websocket(request) is expected


@pytest.mark.parametrize(("idle", "connections"), [(0.0, 1), (0.3, 2)])
async def test_a_connection_to_the_server_is_reused_only_while_fresh(
    monkeypatch: pytest.MonkeyPatch, idle: float, connections: int
) -> None:
    monkeypatch.setattr(layers, "REUSE_SECONDS", 0.2)
    seen: set[object] = set()

    async def answer(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.add(writer)
        writer.write(net.OK)

    async with net.upstream(answer) as up, net.running(up.port, [Gate()]) as port, net.client(port) as one:
        for _ in range(2):
            await one.send(net.post("/inbox", b"{}"))
            assert (await one.response())[0] == 200
            await asyncio.sleep(idle)
    assert len(seen) == connections


# -- what an addon asks for --------------------------------------------------------------------------------------------


class Asks(Gate):
    """Gathers every PUT of at most ten bytes, under a budget of its own."""

    def __init__(self, memory: int = 100, *, refuses: bool = True, answers: bool = False) -> None:
        super().__init__(busy=refuses)
        self.refuses, self.answers = refuses, answers
        self.own = MemoryBudget(memory)

    def requestheaders(self, flow: http.HTTPFlow) -> None:
        if flow.request.method != "PUT":
            super().requestheaders(flow)
        elif self.answers:
            flow.response = refusal(403, "no")
        else:
            no = refusal(413, "no") if self.refuses else None
            flow.metadata[GATHER] = Gather(10, self.own, lambda _: no, lambda _: no, seconds=60, ahead=False)


def put(body: bytes, *headers: tuple[str, str]) -> bytes:
    return b"PUT" + net.post("/x", body, *headers).removeprefix(b"POST")


@pytest.mark.parametrize("chunked", [False, True])
@pytest.mark.parametrize(
    ("body", "memory", "refuses", "status"),
    [
        (b"0123456789", 10, True, 200),
        (b"0123456789a", 100, True, 413),
        (b"0123456789", 9, True, 413),
        (b"0123456789a", 100, False, 200),
        (b"0123456789", 9, False, 200),
        (b"bad", 10, True, 202),
        (b"bad, but long", 10, False, 200),
    ],
)
async def test_what_an_addon_asks_for_is_gathered(
    body: bytes, memory: int, refuses: bool, status: int, chunked: bool
) -> None:
    asks = Asks(memory, refuses=refuses)
    async with net.door(asks) as door, net.client(door.port) as client:
        if chunked:
            await client.send(b"PUT /x HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n")
            await client.send(net.chunked(body[:2], body[2:]))
        else:
            await client.send(put(body))
        assert (await client.response())[0] == status
        assert [request.body for request in door.upstream.requests] == ([body] if status == 200 else [])
        assert (asks.own.used, asks.budget.used) == (0, 0)


async def test_an_answer_to_a_head_comes_before_the_body_and_before_100() -> None:
    async with net.door(Asks(answers=True)) as door, net.client(door.port) as client:
        await client.send(put(b"0123456789", ("Expect", "100-continue"))[:-10])
        status, head, _ = await client.response()
        assert (status, b"connection: close" in head.lower()) == (403, True)
        assert not door.lines


async def test_an_answer_to_a_head_without_a_body_keeps_the_connection() -> None:
    async with net.door(Asks(answers=True)) as door, net.client(door.port) as client:
        for _ in range(2):
            await client.send(put(b""))
            assert (await client.response())[0] == 403
        assert not door.lines
