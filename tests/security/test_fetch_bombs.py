"""Answers made to hurt: too long, too slow, endless, swollen, lying. Each ends in its cause, with nothing kept."""

import asyncio
import gzip
import socket
import zlib
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetched, FetchError
from addons.policy.words import Cause
from tests.addons.fetching.servers import Handler, Names, answer, authority, fetcher, says, serve
from tests.addons.fetching.servers import nothing_leaves_this_machine as nothing_leaves_this_machine

MOST = 100_000
OK = b"HTTP/1.1 200 OK\r\n"


def chunked(body: bytes, size: int = 10_000) -> bytes:
    parts = [body[start : start + size] for start in range(0, len(body), size)]
    framed = b"".join(b"%x\r\n%s\r\n" % (len(part), part) for part in parts)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + framed + b"0\r\n\r\n"


def stored(body: bytes) -> bytes:
    """gzip that makes nothing smaller."""
    return gzip.compress(body, compresslevel=0)


async def fetch(handler: Handler, timeout: float = 10, **settings: Any) -> Fetched | FetchError:
    """What fetching from this handler ends with; afterwards no byte, slot, connection or task may be left."""
    budget = settings.setdefault("budget", MemoryBudget(64 << 20))
    async with serve(handler) as server:
        client = fetcher(server.port, **({"max_bytes": MOST} | settings))
        result: Fetched | FetchError
        try:
            result = await client.get(f"http://127.0.0.1:{server.port}/", timeout=timeout)
            result.release()
        except FetchError as error:
            result = error
        assert budget.used == 0
        assert not client._slots._hosts
    assert asyncio.all_tasks() == {asyncio.current_task()}
    return result


FORMS: dict[str, Callable[[bytes], bytes]] = {
    "with its length": lambda body: answer(body),
    "chunked": chunked,
    "in tiny chunks": lambda body: chunked(body, 7),
    "until it closes": lambda body: OK + b"\r\n" + body,
    "as gzip": lambda body: answer(gzip.compress(body), headers={"Content-Encoding": "gzip"}),
    "as deflate": lambda body: answer(zlib.compress(body), headers={"Content-Encoding": "deflate"}),
    "as gzip until it closes": lambda body: OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(body),
}


@pytest.mark.parametrize("form", FORMS)
async def test_max_bytes_at_the_bound_and_one_past_it(form: str) -> None:
    fetched = await fetch(says(FORMS[form](b"a" * MOST)))
    assert isinstance(fetched, Fetched)
    assert fetched.data == b"a" * MOST
    error = await fetch(says(FORMS[form](b"a" * (MOST + 1))))
    assert isinstance(error, FetchError)
    assert error.cause is Cause.TOO_LARGE


@pytest.mark.parametrize("past", [0, 1])
async def test_the_bytes_as_sent_are_bounded_too(past: int) -> None:
    """Encoded it is larger than decoded: what counts against the cap is either."""
    body = stored(b"a" * 50_000)
    result = await fetch(
        says(FORMS["until it closes"](body).replace(b"OK\r\n", b"OK\r\nContent-Encoding: gzip\r\n")),
        max_bytes=len(body) - past,
    )
    assert (result.cause if isinstance(result, FetchError) else None) is (Cause.TOO_LARGE if past else None)


@pytest.mark.parametrize("form", FORMS)
async def test_the_memory_budget_at_the_bound_and_one_past_it(form: str) -> None:
    assert isinstance(await fetch(says(FORMS[form](b"a" * 70_000)), budget=MemoryBudget(70_000)), Fetched)
    error = await fetch(says(FORMS[form](b"a" * 70_001)), budget=MemoryBudget(70_000))
    assert isinstance(error, FetchError)
    assert error.cause is Cause.BUSY


async def test_a_promised_length_takes_nothing_from_the_budget_and_past_the_cap_nothing_is_read() -> None:
    budget = MemoryBudget(10)
    head = OK + b"Content-Length: %d\r\n\r\n"
    error = await fetch(says(head % MOST + b"short"), budget=budget)
    assert isinstance(error, FetchError)
    assert error.cause is Cause.FETCH_FAILED  # it closed before the promised end; 5 bytes fit the budget
    error = await fetch(says(head % (MOST + 1)), budget=budget)
    assert isinstance(error, FetchError)
    assert error.cause is Cause.TOO_LARGE


async def test_a_gzip_bomb_is_left_at_the_cap() -> None:
    """100 MB in 100 kB: it must not be inflated further than the cap, nor hold the event loop meanwhile."""
    packed = gzip.compress(bytes(100_000_000))
    budget = MemoryBudget(2_000_000)
    seen = set()

    async def watch() -> None:
        while True:
            seen.add(budget.used)
            await asyncio.sleep(0)

    watcher = asyncio.ensure_future(watch())
    async with serve(says(answer(packed, headers={"Content-Encoding": "gzip"}))) as server:
        client = fetcher(server.port, max_bytes=1_000_000, budget=budget)
        with pytest.raises(FetchError, match="more than 1000000 bytes when decoded") as caught:
            await client.get(f"http://127.0.0.1:{server.port}/", timeout=10)
    watcher.cancel()
    assert caught.value.cause is Cause.TOO_LARGE
    assert budget.used == 0
    # Others had their turn between any two pieces.
    assert len(seen) > 1_000_000 // 65_536


ENDLESS: dict[str, tuple[bytes, bytes, Cause]] = {
    "body": (OK + b"\r\n", b"a" * 65536, Cause.TOO_LARGE),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"10000\r\n" + b"a" * 65536 + b"\r\n", Cause.TOO_LARGE),
    "chunk extensions": (
        OK + b"Transfer-Encoding: chunked\r\n\r\n",
        b"1;" + b"x" * 60_000 + b"\r\na\r\n",
        Cause.TOO_LARGE,
    ),
    "one chunk extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x" * 65536, Cause.FETCH_FAILED),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"X: y\r\n" * 10_000, Cause.FETCH_FAILED),
    "empty gzip blocks": (
        OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"", mtime=0)[:10],
        b"\x00\x00\x00\xff\xff" * 13_000,
        Cause.TOO_LARGE,
    ),
    "status line": (b"HTTP/1.1 200 ", b"a" * 65536, Cause.FETCH_FAILED),
    "one header": (OK + b"X: ", b"a" * 65536, Cause.FETCH_FAILED),
    "headers": (OK, b"X: y\r\n" * 10_000, Cause.FETCH_FAILED),
    "folded header": (OK + b"X: y\r\n", b" z\r\n" * 10_000, Cause.FETCH_FAILED),
    "1xx answers": (b"", b"HTTP/1.1 103 Early Hints\r\nX: y\r\n\r\n" * 1_000, Cause.FETCH_FAILED),
    "nothing of sense": (b"", b"\x00" * 65536, Cause.FETCH_FAILED),
    "blank lines": (b"", b"\r\n" * 10_000, Cause.FETCH_FAILED),
}


@pytest.mark.parametrize("kind", ENDLESS)
async def test_endless(kind: str) -> None:
    """Ends by its own bound, long before the deadline."""
    start, more, cause = ENDLESS[kind]

    async def pour(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        while True:
            writer.write(more)
            await writer.drain()

    error = await fetch(pour, timeout=60)
    assert isinstance(error, FetchError)
    assert error.cause is cause, error.message
    assert len(error.message) < 600


@pytest.mark.parametrize(("size", "cause"), [(90_000, None), (300_000, Cause.FETCH_FAILED)])
async def test_large_headers(size: int, cause: Cause | None) -> None:
    result = await fetch(says(answer(b"x", headers={"X": "a" * size})))
    assert (result.cause if isinstance(result, FetchError) else None) is cause


SLOW: dict[str, tuple[bytes, bytes]] = {
    "status line": (b"HTTP/1.1 200 ", b"a"),
    "headers": (OK, b"X: y\r\n"),
    "body": (OK + b"Content-Length: 90000\r\n\r\n", b"a"),
    "chunks": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"1\r\na\r\n"),
    "body without end": (OK + b"\r\n", b"a"),
    "1xx answers": (b"", b"HTTP/1.1 103 Early Hints\r\n\r\n"),
    "gzip": (OK + b"Content-Encoding: gzip\r\n\r\n" + gzip.compress(b"", mtime=0)[:10], b"\x00\x00\x00\xff\xff"),
    "nothing": (b"", b""),
    "half a body": (OK + b"Content-Length: 10\r\n\r\nhalf", b""),
}


@pytest.mark.parametrize("kind", SLOW)
async def test_slow(kind: str) -> None:
    """A byte now and then keeps no connection open past the deadline of the whole."""
    start, drip = SLOW[kind]

    async def trickle(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(start)
        for i in range(10_000):
            writer.write(drip[i % len(drip) : i % len(drip) + 1] if drip else b"")
            await writer.drain()
            await asyncio.sleep(0.01)

    error = await fetch(trickle, timeout=0.15)
    assert isinstance(error, FetchError)
    assert error.cause is Cause.TIMEOUT, error.message


async def test_slow_redirects_share_one_deadline() -> None:
    async def slowly(_head: bytes, writer: asyncio.StreamWriter) -> None:
        await asyncio.sleep(0.1)
        writer.write(answer(b"", "302 Found", {"Location": "/"}))

    error = await fetch(slowly, timeout=0.25)
    assert isinstance(error, FetchError)
    assert error.cause is Cause.TIMEOUT


async def test_a_slow_name_is_within_the_deadline() -> None:
    class Slow(Names):
        async def resolve(self, host: str) -> Any:
            await asyncio.sleep(60)

    with pytest.raises(FetchError) as caught:
        await fetcher(80, names=Slow()).get("http://slow.example/", timeout=0.05)
    assert caught.value.cause is Cause.TIMEOUT


@pytest.mark.parametrize("says_hello", [False, True])
async def test_a_tls_handshake_that_never_ends(says_hello: bool) -> None:
    """httpcore loses the socket of a handshake that is cancelled; ours must be closed all the same."""
    closed = asyncio.Event()

    async def silent(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        if says_hello:
            writer.write(b"\x16\x03\x03\x40\x00\x02\x00")
        while await reader.read(1000):
            pass
        writer.close()
        closed.set()

    server = await asyncio.start_server(silent, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(FetchError) as caught:
        await fetcher(port).get(f"https://127.0.0.1:{port}/", timeout=0.1)
    assert caught.value.cause is Cause.TIMEOUT
    await asyncio.wait_for(closed.wait(), 5)
    server.close()


async def test_no_tls_where_tls_should_be() -> None:
    async def plain(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(b"x"))
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(plain, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    with pytest.raises(FetchError, match="SSL") as caught:
        await fetcher(port).get(f"https://127.0.0.1:{port}/", timeout=5)
    assert caught.value.cause is Cause.FETCH_FAILED
    server.close()


async def test_a_body_cut_short_under_tls(tmp_path: Path) -> None:
    async def cut(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 10\r\n\r\nhalf")
        await writer.drain()
        await asyncio.sleep(0.05)
        writer.transport.abort()

    ours = authority()
    async with serve(cut, tls=ours.server(tmp_path, "127.0.0.1")) as server:
        client = fetcher(server.port, tls=ours.trusted())
        with pytest.raises(FetchError) as caught:
            await client.get(f"https://127.0.0.1:{server.port}/", timeout=5)
        assert caught.value.cause is Cause.FETCH_FAILED
        assert client._budget.used == 0


async def test_a_connection_reset() -> None:
    async def reset(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(OK + b"Content-Length: 10\r\n\r\nhalf")
        await writer.drain()
        sock = writer.get_extra_info("socket")
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, b"\x01\x00\x00\x00\x00\x00\x00\x00")
        writer.transport.abort()

    error = await fetch(reset)
    assert isinstance(error, FetchError)
    assert error.cause is Cause.FETCH_FAILED


@pytest.mark.parametrize(
    "response",
    [
        b"",
        b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nshort",
        b"HTTP/1.1 200 OK\r\nContent-Length: 3\r\nContent-Length: 4\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: -1\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: 0x10\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Length: " + b"9" * 5_000 + b"\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: gzip, chunked\r\n\r\n3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n-3\r\nabc\r\n0\r\n\r\n",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + b"f" * 30 + b"\r\nabc",
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: br\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: zstd\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip, gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nContent-Encoding: gzip\r\n\r\n" + gzip.compress(b"x" * 1000, mtime=0)[:-3],
        b"HTTP/1.1 200 OK\r\nbad header\r\n\r\nabc",
        b"HTTP/1.1 200 OK\r\nX: \x00\r\nContent-Length: 3\r\n\r\nabc",
        b"HTTP/1.1 20 OK\r\n\r\nabc",
        b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n",
        b"\x1b[31mSSH-2.0-OpenSSH\r\n",
        b"<html>hello</html>",
    ],
)
async def test_answers_that_are_not_http(response: bytes) -> None:
    error = await fetch(says(response))
    assert isinstance(error, FetchError)
    assert error.cause in (Cause.FETCH_FAILED, Cause.TOO_LARGE)
    assert error.message.isprintable()
    assert len(error.message) < 600


async def test_many_at_once_never_pass_the_budget() -> None:
    budget = MemoryBudget(300_000)
    most = 0

    async def body(_head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        for _ in range(10):
            writer.write(b"a" * 10_000) if _ else writer.write(OK + b"\r\n" + b"a" * 10_000)
            await writer.drain()
            await asyncio.sleep(0.001)
            most = max(most, budget.used)

    async with serve(body) as server:
        client = fetcher(server.port, budget=budget, max_bytes=MOST, per_host=20, total=20)
        jobs: list[Awaitable[Fetched]] = [client.get(f"http://127.0.0.1:{server.port}/", timeout=10) for _ in range(10)]
        results = await asyncio.gather(*jobs, return_exceptions=True)
    whole = [result for result in results if isinstance(result, Fetched)]
    assert {error.cause for error in results if isinstance(error, FetchError)} == {Cause.BUSY}
    assert len(whole) + sum(isinstance(error, FetchError) for error in results) == 10
    assert budget.used == 100_000 * len(whole) <= 300_000
    assert 0 < most <= 300_000
    for fetched in whole:
        fetched.release()
    assert budget.used == 0
