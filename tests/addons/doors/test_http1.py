import asyncio
import gzip

import pytest
from mitmproxy.connection import Client

from addons.doors.http1 import Bounds
from tests import net
from tests.addons.doors.gate import Gate

HOST = b"Host: example.org\r\n"
GET = b"GET / HTTP/1.1\r\n" + HOST + b"\r\n"
ACTIVITY = b'{"type": "Create"}'
QUICK = Bounds(head_time=0.3, body_time=0.4, idle_time=0.4, quiet_time=0.6)

# -- requests: byte for byte -------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "head",
    [
        b"POST /inbox HTTP/1.1\r\nHost: example.org",
        b"post /inbox HTTP/1.1\r\nHost: example.org",
        b"POST //a//%2Finbox/?q=%20&x=/inbox HTTP/1.1\r\nhOST: example.org:8443",
        b"PUT /inbox HTTP/1.1\r\nHost: example.org",
        b"PATCH /a;b=c/../d/./e?!$&'()*+,;=:@-._~[]{}|\\^`\"<> HTTP/1.1\r\nHost: x",
        b"X-odd!#$%&'*+.^_`|~ /caf\xc3\xa9/\xe9 HTTP/1.1\r\nHost: x",
        b"POST http://example.org/inbox HTTP/1.1\r\nHost: example.org",
        b"POST HTTPS://Example.org HTTP/1.1\r\nHost: other",
        b'POST /users/a/inbox HTTP/1.1\r\nSignature: keyId="a",headers="(request-target) host date"\r\nhost: b\r\n'
        b"X-Twice: 1\r\nAccept: */*\r\nx-twice: 2\r\nX-Twice: 1\r\nEmpty: \r\nX-Space: a  b\tc\r\n"
        b"X-Latin: \xe9\xff\r\nX-Utf8: \xf0\x9f\xa6\x8a\r\nCookie: a=1\r\nCookie: b=2\r\nKeep-Alive: 5\r\n"
        b"Proxy-Authorization: Basic x\r\nTE: trailers\r\nX-Forwarded-For: 1.2.3.4\r\nForwarded: for=_x\r\nVia: 1.1 y",
    ],
)
@pytest.mark.parametrize("chunks", [False, True])
async def test_a_request_is_forwarded_byte_for_byte(head: bytes, chunks: bool) -> None:
    framing = b"\r\nTransfer-Encoding: Chunked" if chunks else b"\r\nContent-Length: %d" % len(ACTIVITY)
    body = net.chunked(ACTIVITY[:5], ACTIVITY[5:]) if chunks else ACTIVITY
    async with net.door(Gate()) as door, net.client(door.port) as client:
        await client.send(head + framing + b"\r\n\r\n" + body)
        assert (await client.response())[0] == 200
    assert door.upstream.requests == [net.Received(head + framing, ACTIVITY)]


async def test_white_space_around_values_is_all_that_may_change() -> None:
    async with net.door(Gate()) as door, net.client(door.port) as client:
        await client.send(b"GET / HTTP/1.1\r\nHost:example.org\r\nA: \t b  c \t \r\nD:\r\n\r\n")
        await client.response()
    assert door.upstream.requests[0].head == b"GET / HTTP/1.1\r\nHost: example.org\r\nA: b  c\r\nD: "


@pytest.mark.parametrize("step", [1, 7, 1000])
async def test_an_encoded_body_is_not_touched_however_it_arrives(step: int) -> None:
    body = gzip.compress(ACTIVITY) + b"\r\n\0\xff"
    request = net.post("/inbox", body, ("Content-Encoding", "gzip"), ("Digest", "SHA-256=x"))
    async with net.door(Gate()) as door, net.client(door.port) as client:
        for start in range(0, len(request), step):
            await client.send(request[start : start + step])
            await asyncio.sleep(0)
        await client.response()
    assert door.upstream.requests == [net.Received(request[: -len(body) - 4], body)]


async def test_many_requests_on_one_connection_reach_the_server_in_order_on_one() -> None:
    async with net.door(Gate()) as door, net.client(door.port) as client:
        for number in range(50):
            await client.send(net.post(f"/inbox?{number}", ACTIVITY))
            assert await client.response() == (200, net.OK[:-2], b"ok")
        pipelined = [net.post(f"/inbox?{number}", ACTIVITY) for number in range(50, 60)]
        await client.send(b"\r\n".join(pipelined))  # blank lines between requests are skipped
        for _ in pipelined:
            assert (await client.response())[0] == 200
    assert door.lines == [b"POST /inbox?%d HTTP/1.1" % number for number in range(60)]


@pytest.mark.parametrize("path", ["/inbox", "/upload"])
async def test_a_client_that_expects_100_gets_it_and_the_server_is_not_asked_again(path: str) -> None:
    head = f"POST {path} HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\n".encode()
    async with net.door(Gate()) as door, net.client(door.port) as client:
        await client.send(head)
        assert await client.response() == (100, b"HTTP/1.1 100 Continue\r\n\r\n", b"")
        await client.send(b"body")
        assert (await client.response())[0] == 200
    assert door.upstream.requests[0].head == head[:-4].replace(b"Expect: 100-continue\r\n", b"")


async def test_an_http_1_0_client_gets_no_100() -> None:
    async with net.door(Gate()) as door, net.client(door.port) as client:
        await client.send(b"POST /inbox HTTP/1.0\r\nExpect: 100-continue\r\nContent-Length: 4\r\n\r\nbody")
        assert (await client.response())[0] == 200


async def test_after_100_a_refusal_still_reaches_the_client() -> None:
    async with net.door(Gate(Bounds(body=10))) as door, net.client(door.port) as client:
        await client.send(
            b"POST /inbox HTTP/1.1\r\nHost: a\r\nExpect: 100-continue\r\nTransfer-Encoding: chunked\r\n\r\n"
        )
        assert (await client.response())[0] == 100
        await client.send(net.chunked(b"12345678901"))
        assert (await client.response())[0] == 413
    assert door.lines == []


# -- responses ---------------------------------------------------------------------------------------------------------

FIELDS = b"x-B: 1\r\nX-a:  \xe9\tb\r\nX-B: 2\r\nSet-Cookie: a\r\nSet-Cookie: b\r\n"


@pytest.mark.parametrize(
    ("request_head", "answer", "arrives"),
    [
        (GET, b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\n\r\nabc", None),
        (GET, b"HTTP/1.1 202 \r\n" + FIELDS.replace(b"  ", b" ") + b"content-LENGTH: 0\r\n\r\n", None),
        (GET, b"HTTP/1.1 404 Nicht g\xe9funden!\r\nContent-Length: 0\r\n\r\n", None),
        (GET, b"HTTP/1.1 599 Odd\r\nContent-Length: 0\r\n\r\n", None),
        (GET, b"HTTP/1.1 204 No Content\r\nX: y\r\n\r\n", None),
        (GET, b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\nETag: x\r\n\r\n", None),
        (GET, b"HTTP/1.1 304 Not Modified\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        (GET, b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n", None),
        (
            GET,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3;e=1\r\nabc\r\n0\r\nX: y\r\n\r\n",
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\nTrailer: X\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        ),
        (
            GET,
            b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
            None,
        ),
        (b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", b"HTTP/1.1 200 OK\r\nContent-Length: 500\r\n\r\n", None),
        (b"HEAD / HTTP/1.1\r\n" + HOST + b"\r\n", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n", None),
        (
            GET,
            b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + net.OK,
            net.OK,
        ),
        (GET, b"\r\n" + net.OK, net.OK),
    ],
)
async def test_a_response_arrives_byte_for_byte_and_the_connection_stays_in_step(
    request_head: bytes, answer: bytes, arrives: bytes | None
) -> None:
    arrives = arrives or answer
    async with net.door(Gate(), answer) as door, net.client(door.port) as client:
        await client.send(request_head)
        assert await client.reader.readexactly(len(arrives)) == arrives
        await client.send(request_head)
        assert await client.reader.readexactly(len(arrives)) == arrives
        await client.send(request_head.replace(b"\r\n\r\n", b"\r\nConnection: close\r\n\r\n"))
        assert await client.closed() == arrives
    assert len(door.upstream.requests) == 3


async def close_after(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    writer.write(b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end")
    writer.close()


@pytest.mark.parametrize(
    "head", [GET, b"GET / HTTP/1.0\r\n\r\n", b"GET / HTTP/1.0\r\nConnection: keep-alive\r\nHost: a\r\n\r\n"]
)
async def test_a_body_that_ends_with_the_connection(head: bytes) -> None:
    async with net.door(Gate(), close_after) as door, net.client(door.port) as client:
        await client.send(head)
        assert await client.closed() == b"HTTP/1.1 200 OK\r\nX: y\r\n\r\nuntil the end"
    assert door.upstream.requests[0].head + b"\r\n\r\n" == head


async def test_an_http_1_0_client_that_asks_for_it_keeps_its_connection() -> None:
    head = b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n"
    answer = b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nok"
    async with net.door(Gate(), answer) as door, net.client(door.port) as client:
        for _ in range(3):
            await client.send(head)
            assert await client.reader.readexactly(len(answer)) == answer
        await client.send(b"GET / HTTP/1.0\r\n\r\n")
        assert await client.closed() == answer


async def test_server_sent_events_arrive_one_by_one() -> None:
    go_on = asyncio.Event()

    async def stream(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n")
        for number in range(3):
            writer.write(b"9\r\ndata: %d\n\n\r\n" % number)
            await go_on.wait()
            go_on.clear()
        writer.write(b"0\r\n\r\n")

    async with net.door(Gate(), stream) as door, net.client(door.port) as client:
        await client.send(GET)
        await client.reader.readuntil(b"\r\n\r\n")
        for number in range(3):
            async with asyncio.timeout(5):  # the next one is only sent once this one is here
                assert await client.reader.readexactly(14) == b"9\r\ndata: %d\n\n\r\n" % number
            go_on.set()
        assert await client.reader.readexactly(5) == b"0\r\n\r\n"


# -- the server goes away ----------------------------------------------------------------------------------------------

BAD_GATEWAY = b'{"error": "the server could not be reached"}'


async def test_a_server_that_closes_between_two_requests_is_connected_to_again() -> None:
    async def answer(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(net.OK)
        await writer.drain()
        writer.close()

    async with net.door(Gate(), answer) as door, net.client(door.port) as client:
        for _ in range(5):
            await client.send(net.post("/inbox", ACTIVITY))
            assert (await client.response())[0] == 200
            await asyncio.sleep(0.05)
    assert len(door.upstream.requests) == 5


async def test_a_server_that_is_down_is_a_neutral_502_and_one_that_is_back_is_used() -> None:
    gate = Gate()
    async with net.upstream() as first:
        port = first.port
    async with net.running(port, [gate]) as door:
        for path in ("/inbox", "/upload"):
            async with net.client(door) as client:
                await client.send(net.post(path, ACTIVITY))
                status, head, body = await client.response()
                assert (status, body) == (502, BAD_GATEWAY)
                assert b"mitmproxy" not in head
                assert await client.closed() == b""
        async with net.upstream(port=port) as second, net.client(door) as client:
            await client.send(net.post("/inbox", ACTIVITY))
            assert (await client.response())[0] == 200
        assert len(second.requests) == 1
    assert gate.budget.used == 0


@pytest.mark.parametrize(
    "answer",
    [
        b"",
        b"HTTP/1.1 200",
        b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n",
        b"garbage\r\n\r\n",
        b"HTTP/1.1 abc OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nContent-Length: 3\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nContent-Length: -2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nBad Name: 2\r\n\r\nok",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (65 << 10) + b"\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nX: " + b"x" * (200 << 10),
    ],
)
async def test_a_server_that_answers_nothing_readable_is_a_neutral_502(answer: bytes) -> None:
    async def hang_up(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer)
        writer.close()

    async with net.door(Gate(), hang_up) as door, net.client(door.port) as client:
        await client.send(GET)
        status, head, body = await client.response()
        assert (status, body) == (502, BAD_GATEWAY)
        assert b"mitmproxy" not in head
        assert await client.closed() == b""


async def test_a_response_head_at_its_bound_passes() -> None:
    start = b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\nX: "
    answer = start + b"x" * (1000 - len(start) - 4) + b"\r\n\r\n"
    for longer, status in ((b"", 200), (b" ", 502)):
        sent = answer.replace(b"X:", b"X:" + longer)
        async with net.door(Gate(Bounds(head=1000)), sent) as door, net.client(door.port) as client:
            await client.send(GET)
            assert (await client.response())[0] == status


@pytest.mark.parametrize("abort", [False, True])
@pytest.mark.parametrize(
    ("framing", "sent", "arrives"),
    [
        (b"Content-Length: 500", b"abc", b"abc"),
        (b"Transfer-Encoding: chunked", b"5\r\nabc", b"3\r\nabc\r\n"),
        (b"Transfer-Encoding: chunked", b"3\r\nabc\r\n", b"3\r\nabc\r\n"),
    ],
)
async def test_a_response_cut_short_is_cut_short_for_the_client_too(
    framing: bytes, sent: bytes, arrives: bytes, abort: bool
) -> None:
    head, go_on = b"HTTP/1.1 200 OK\r\n" + framing + b"\r\n\r\n", asyncio.Event()

    async def cut(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(head + sent)
        await go_on.wait()
        writer.transport.abort() if abort else writer.close()

    async with net.door(Gate(), cut) as door, net.client(door.port) as client:
        await client.send(GET)
        got = await client.reader.readexactly(len(head + arrives))
        go_on.set()
        assert got + await client.closed() == head + arrives


@pytest.mark.parametrize(
    ("answer", "arrives"),
    [
        (b"HTTP/1.1 413 Too Large\r\nContent-Length: 3\r\nConnection: close\r\n\r\nbig", None),
        (b"HTTP/1.1 413 Too Large\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nbig\r\n0\r\n\r\n", None),
    ],
)
async def test_a_server_that_refuses_an_upload_half_way_is_heard(answer: bytes, arrives: bytes | None) -> None:
    async def refuse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        await reader.readexactly(100)
        writer.write(answer)
        writer.write_eof()
        await reader.read()
        writer.close()

    server = await asyncio.start_server(refuse, "127.0.0.1", 0)
    async with server, net.running(server.sockets[0].getsockname()[1], [Gate()]) as port, net.client(port) as client:
        await client.send(b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 100000\r\n\r\n" + b"x" * 100)
        assert await client.closed() == answer


async def test_data_that_belongs_to_no_request_ends_the_servers_connection_and_reaches_nobody() -> None:
    async def talk(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(net.OK)
        if request.line.startswith(b"GET /talk "):
            writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nforged")

    async with net.door(Gate(), talk) as door, net.client(door.port) as client:
        await client.send(b"GET /talk HTTP/1.1\r\n" + HOST + b"\r\n")
        assert (await client.response())[2] == b"ok"
        await asyncio.sleep(0.05)
        await client.send(GET)
        assert (await client.response())[2] == b"ok"


# -- time --------------------------------------------------------------------------------------------------------------


async def test_a_head_that_comes_too_slowly_is_answered_408() -> None:
    async with net.door(Gate(QUICK)) as door, net.client(door.port) as client:
        await client.send(b"GET / HTTP/1.1\r\n")
        for _ in range(100):
            await asyncio.sleep(0.05)
            await client.send(b"X: y\r\n")
            if client.reader._buffer:  # type: ignore[attr-defined]  # the answer is there
                break
        assert (await client.response())[0] == 408
    assert door.lines == []


async def test_the_time_of_a_head_begins_anew_with_each_request() -> None:
    async with net.door(Gate(QUICK, wait=0.4)) as door, net.client(door.port) as client:
        await client.send(net.post("/inbox", ACTIVITY) + b"GET / HT")  # the next one begins while the first is judged
        assert (await client.response())[0] == 200
        await asyncio.sleep(0.15)
        await client.send(b"TP/1.1\r\n" + HOST + b"\r\n")
        assert (await client.response())[0] == 200
    assert len(door.lines) == 2


@pytest.mark.parametrize("piece", [b"x", b"1\r\nx\r\n"])
async def test_a_delivery_that_trickles_is_answered_408_by_its_whole_time(piece: bytes) -> None:
    framing = b"Content-Length: 1000" if piece == b"x" else b"Transfer-Encoding: chunked"
    gate = Gate(QUICK)
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(b"POST /inbox HTTP/1.1\r\nHost: a\r\n" + framing + b"\r\n\r\n")
        for _ in range(100):
            await client.send(piece)
            await asyncio.sleep(0.05)
            if client.reader._buffer:  # type: ignore[attr-defined]  # the answer is there
                break
        assert (await client.response())[0] == 408
        await net.until(lambda: gate.budget.used == 0)
    assert door.lines == []


async def test_another_upload_may_trickle_as_long_as_it_comes() -> None:
    async with net.door(Gate(QUICK)) as door, net.client(door.port) as client:
        await client.send(b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\n")
        for _ in range(15):  # 1.5 s, with at most 0.4 s between two pieces
            await asyncio.sleep(0.1)
            await client.send(b"x")
        assert (await client.response())[0] == 200
    assert door.upstream.requests[0].body == b"x" * 15


async def test_an_upload_that_falls_silent_ends_at_both_sides() -> None:
    ended = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(-1)
        ended.set()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    async with server, net.running(server.sockets[0].getsockname()[1], [Gate(QUICK)]) as port, net.client(port) as c:
        await c.send(b"PUT /upload HTTP/1.1\r\nHost: a\r\nContent-Length: 15\r\n\r\nx")
        assert (await c.response())[0] == 408
        async with asyncio.timeout(5):
            await ended.wait()


async def test_an_idle_connection_is_closed_without_a_word() -> None:
    async with net.door(Gate(QUICK)) as door, net.client(door.port) as client:
        await client.send(GET)
        await client.response()
        assert await client.closed(timeout=3) == b""


async def test_a_connection_that_never_says_anything_is_closed() -> None:
    async with net.door(Gate(), idle_time=1) as door, net.client(door.port) as client:
        assert await client.closed(timeout=5) == b""


async def test_a_server_that_never_answers_is_given_up() -> None:
    async def never(request: net.Received, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()

    gate = Gate(QUICK)
    async with net.door(gate, never) as door, net.client(door.port) as client:
        await client.send(net.post("/inbox", ACTIVITY))
        assert await client.closed(timeout=5) == b""
    assert gate.budget.used == 0


async def test_a_slow_judgement_is_not_given_up() -> None:
    gate = Gate(Bounds(idle_time=0.2, body_time=0.2, head_time=0.2), wait=1)
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(net.post("/inbox", ACTIVITY))
        assert (await client.response())[0] == 200


# -- pipelining --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("extra", "served"), [(0, True), (1, False)])
async def test_what_may_be_sent_ahead_is_bounded(extra: int, served: bool) -> None:
    gate = Gate(Bounds(head=2000), wait=0.3)
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(net.post("/inbox", ACTIVITY))
        await asyncio.sleep(0.1)
        await client.send(b"GET / HTTP/1.1\r\nHost: a\r\nX: ".ljust(1996 + extra, b"x") + b"\r\n\r\n")
        if served:
            assert [(await client.response())[0] for _ in range(2)] == [200, 200]
        else:
            assert await client.closed() == b""
        await net.until(lambda: gate.budget.used == 0)
    assert len(door.lines) == (2 if served else 0)


# -- after a refusal ---------------------------------------------------------------------------------------------------


class Leaving(Gate):
    """Counts the clients that are gone."""

    gone = 0

    def client_disconnected(self, client: Client) -> None:
        self.gone += 1


@pytest.mark.parametrize(("size", "gone"), [(1000, 0), (1001, 1)])
async def test_what_a_refused_client_may_still_send_is_bounded(
    size: int, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addons.doors.http1.LINGER_BYTES", 1000)
    gate = Leaving()
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.response())[0] == 400
        await client.send(b"x" * size)
        await asyncio.sleep(0.2)
        assert gate.gone == gone


@pytest.mark.parametrize(("sending", "gone"), [(0.2, 0), (1.0, 1)])
async def test_how_long_a_refused_client_may_go_on_is_bounded(
    sending: float, gone: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("addons.doors.http1.LINGER_SECONDS", 0.5)
    gate = Leaving(QUICK)
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(b"nonsense\r\n\r\n")
        assert (await client.response())[0] == 400
        await asyncio.sleep(sending)
        assert gate.gone == gone


def test_the_clock_is_looked_at_often_enough_for_the_shortest_bound() -> None:
    assert Bounds().tick == 2.5
    assert QUICK.tick == 0.075
    assert Bounds(head_time=0.01).tick == 0.05
    assert Bounds(head_time=100, body_time=100, idle_time=100, quiet_time=100).tick == 5
