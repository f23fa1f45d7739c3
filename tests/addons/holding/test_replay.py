import asyncio
import ssl
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from email.utils import format_datetime
from pathlib import Path

import pytest

from addons.holding import replay
from addons.holding.replay import BODY_BYTES, EXCERPT, HEAD_BYTES, Replayer, UnreachableError, Verdict, verdict_of
from tests.addons.fetching.servers import answer, authority, says, serve
from tests.net import OK, Received, upstream

HEAD = b"POST /inbox HTTP/1.1\r\nHost: example.org\r\nX-Odd:  two  spaces \r\nx-odd: again\r\nContent-Length: 5\r\n\r\n"
BODY = b"\x00\xff\r\n!"
LONG = 60.0


def at(port: int) -> Replayer:
    return Replayer(f"http://127.0.0.1:{port}", connect=LONG)


async def answered(response: bytes, *, hang: bool = False) -> replay.Reply:
    """What is made of an answer; ``hang``: the server says no more, but does not close."""

    async def handle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(response)
        await writer.drain()
        if hang:
            await asyncio.Event().wait()

    async with serve(handle) as server:
        return await at(server.port).send(HEAD, BODY, LONG)


async def failed(response: bytes) -> UnreachableError:
    async with serve(says(response)) as server:
        with pytest.raises(UnreachableError) as raised:
            await at(server.port).send(HEAD, BODY, LONG)
    return raised.value


@pytest.mark.parametrize(
    ("status", "verdict"),
    [
        *((status, Verdict.DONE) for status in (200, 201, 202, 204, 299)),
        *((status, Verdict.AGAIN) for status in (408, 429, 500, 501, 502, 503, 504, 599, 999)),
        *((status, Verdict.REFUSED) for status in (300, 301, 303, 307, 400, 401, 403, 404, 409, 410, 413, 451, 499)),
    ],
)
def test_verdicts(status: int, verdict: Verdict) -> None:
    assert verdict_of(status) is verdict


async def test_every_byte_as_it_was_and_a_connection_for_each() -> None:
    async with upstream(OK) as server:
        replayer = at(server.port)
        replies = [await replayer.send(HEAD, BODY, LONG) for _ in range(2)]
    assert [(reply.status, reply.reason, reply.excerpt) for reply in replies] == [(200, "OK", "ok")] * 2
    assert server.requests == [Received(HEAD[:-4], BODY)] * 2
    assert str(replies[0]) == "200 OK ok"


async def test_a_large_body_that_the_server_does_not_read_to_its_end() -> None:
    body = b"x" * (8 << 20)
    head = b"POST /inbox HTTP/1.1\r\nHost: example.org\r\nContent-Length: %d\r\n\r\n" % len(body)

    async def refuses(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"too large", "413 Content Too Large"))
        await writer.drain()
        await asyncio.Event().wait()

    async with serve(refuses) as server:
        assert (await at(server.port).send(head, body, LONG)).status == 413


async def test_provisional_answers_are_skipped() -> None:
    early = b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: </a>\r\n\r\n"
    assert (await answered(early * 20 + OK)).status == 200


async def test_an_answer_without_an_end_of_its_own() -> None:
    reply = await answered(b"HTTP/1.1 400 Bad Request\r\n\r\nno such inbox")
    assert (reply.status, reply.excerpt) == (400, "no such inbox")


async def test_an_old_answer() -> None:
    assert (await answered(b"HTTP/1.0 202 Accepted\r\n\r\n")).status == 202


async def test_chunks() -> None:
    body = b"3\r\nyes\r\n0\r\nTrailer: x\r\n\r\n"
    assert (await answered(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + body)).excerpt == "yes"


@pytest.mark.parametrize(
    "broken",
    [
        b"Content-Length: 100\r\n\r\nthat was all",
        b"Transfer-Encoding: chunked\r\n\r\nnot a chunk\r\n",
        b"Transfer-Encoding: chunked\r\n\r\n64\r\nthat was all",
    ],
)
async def test_a_body_that_breaks_off_changes_no_status(broken: bytes) -> None:
    assert (await answered(b"HTTP/1.1 201 Created\r\n" + broken)).status == 201


async def test_a_body_that_never_ends_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(replay, "BODY_SECONDS", 0.05)
    reply = await answered(b"HTTP/1.1 201 Created\r\nContent-Length: 9\r\n\r\nsome", hang=True)
    assert (reply.status, reply.excerpt) == (201, "some")


async def test_of_a_body_without_bounds_little_is_read() -> None:
    sent = 0

    async def endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        writer.write(b"HTTP/1.1 500 Oops\r\n\r\n")
        while True:
            writer.write(b"a" * BODY_BYTES)
            await writer.drain()
            sent += BODY_BYTES

    async with serve(endless) as server:
        reply = await at(server.port).send(HEAD, BODY, LONG)
    assert (reply.status, reply.excerpt) == (500, "a" * EXCERPT)
    assert sent < 64 << 20  # what the kernel's buffers take


async def test_an_excerpt_can_be_printed() -> None:
    reply = await answered(answer("<p>\n\n nö\x1b[2J\u202e</p>\xff".encode() + b"\xff\x00", "400 Bad\x01Request"[:7]))
    assert reply.excerpt.startswith("<p> nö\\u{1b}[2J\\u{202e}")
    assert reply.excerpt.isprintable()


@pytest.mark.parametrize(
    "nonsense",
    [
        b"what?\r\n\r\n",
        b"HTTP/2 200 OK\r\n\r\n",
        b"HTTP/1.1 20 OK\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\nab",
        b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: upgrade\r\n\r\n",
        b"HTTP/1.1 100 Continue\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nContent-",
    ],
)
async def test_what_is_no_answer(nonsense: bytes) -> None:
    error = await failed(nonsense)
    assert error.connected
    assert "gave no answer that can be understood" in str(error)


async def test_a_head_at_its_bound_and_past_it() -> None:
    before, after = b"HTTP/1.1 200 OK\r\nX-Long: ", b"\r\nContent-Length: 0\r\n\r\n"
    fits = HEAD_BYTES - len(before) - len(after)
    assert (await answered(before + b"a" * (fits - 1) + after)).status == 200
    assert (await failed(before + b"a" * (fits + 4096) + after)).connected


async def test_provisional_answers_without_end() -> None:
    assert (await failed(b"HTTP/1.1 100 Continue\r\n\r\n" * (HEAD_BYTES // 20))).connected


async def test_nothing_listens() -> None:
    async with upstream(OK) as server:
        pass
    with pytest.raises(UnreachableError) as raised:
        await at(server.port).send(HEAD, BODY, LONG)
    assert not raised.value.connected
    assert f"127.0.0.1:{server.port} cannot be reached" in str(raised.value)
    assert not await at(server.port).reachable()


@asynccontextmanager
async def slow(silent: Callable[[asyncio.StreamReader], Awaitable[object]]) -> AsyncIterator[int]:
    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        try:
            await silent(reader)
        finally:
            writer.transport.abort()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    try:
        yield server.sockets[0].getsockname()[1]
    finally:
        server.close()
        await server.wait_closed()


async def test_a_connection_that_breaks_after_the_request() -> None:
    async with slow(lambda reader: reader.readexactly(len(HEAD + BODY))) as port:
        with pytest.raises(UnreachableError) as raised:
            await at(port).send(HEAD, BODY, LONG)
    assert raised.value.connected
    assert "broke the connection off" in str(raised.value)


async def test_no_answer_in_time() -> None:
    async with slow(lambda reader: reader.read(-1)) as port:
        with pytest.raises(UnreachableError, match=r"did not answer within 0\.05 s") as raised:
            await at(port).send(HEAD, BODY, 0.05)
    assert raised.value.connected


async def test_an_answer_that_comes_byte_by_byte() -> None:
    async def drip(_head: bytes, writer: asyncio.StreamWriter) -> None:
        for byte in OK:
            writer.write(bytes([byte]))
            await writer.drain()
            await asyncio.sleep(0)

    async with serve(drip) as server:
        assert (await at(server.port).send(HEAD, BODY, LONG)).status == 200


# -- TLS ---------------------------------------------------------------------------------------------------------------


async def test_tls_with_the_servers_own_name(tmp_path: Path) -> None:
    trusted = authority()
    async with serve(says(OK), tls=trusted.server(tmp_path, "127.0.0.1")) as server:
        replayer = Replayer(f"https://127.0.0.1:{server.port}", authorities=trusted.trusted())
        assert (await replayer.send(HEAD, BODY, LONG)).status == 200
        assert await replayer.reachable()


async def test_tls_of_somebody_else_gets_not_a_byte(tmp_path: Path) -> None:
    trusted = authority()
    for tls, authorities in (
        (trusted.server(tmp_path, "localhost"), trusted.trusted()),
        (authority().server(tmp_path, "127.0.0.1"), trusted.trusted()),
        (authority().server(tmp_path, "127.0.0.1"), None),
    ):
        async with serve(says(OK), tls=tls) as server:
            replayer = Replayer(f"https://127.0.0.1:{server.port}", authorities=authorities)
            with pytest.raises(UnreachableError) as raised:
                await replayer.send(HEAD, BODY, LONG)
            assert not raised.value.connected
            assert not await replayer.reachable()
            assert not server.heads


async def test_a_handshake_that_never_ends() -> None:
    async with slow(lambda reader: reader.read(-1)) as port:
        replayer = Replayer(f"https://127.0.0.1:{port}", connect=0.05, authorities=ssl.create_default_context())
        with pytest.raises(UnreachableError, match="took no connection in time") as raised:
            await replayer.send(HEAD, BODY, LONG)
        assert not raised.value.connected
        assert not await replayer.reachable()


@pytest.mark.parametrize("wrong", ["ftp://example.org", "example.org", "http://", "//example.org"])
def test_no_server(wrong: str) -> None:
    with pytest.raises(ValueError, match="is no http or https URL"):
        Replayer(wrong)


# -- Retry-After -------------------------------------------------------------------------------------------------------


async def asks(value: str) -> float | None:
    return (await answered(answer(b"", "503 Busy", {"Retry-After": value}))).retry_after


@pytest.mark.parametrize(
    ("said", "seconds"),
    [("0", 0.0), ("120", 120.0), ("9" * 30, 999_999_999.0), ("-5", None), ("soon", None), ("", None), ("\u0661", None)],
)
async def test_retry_after_in_seconds(said: str, seconds: float | None) -> None:
    assert await asks(said) == seconds


async def test_retry_after_a_date() -> None:
    now = datetime.now(UTC)
    later = await asks(format_datetime(now + timedelta(seconds=1000), usegmt=True))
    assert later is not None
    assert 900 < later < 1001
    assert await asks(format_datetime(now - timedelta(days=1), usegmt=True)) == 0
    assert await asks("Fri, 31 Feb 2026 99:99:99 GMT") is None
