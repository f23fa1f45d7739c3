import asyncio
import contextlib
from collections.abc import AsyncIterator

import pytest

from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetcher, FetchError
from addons.fetching.ranges import AT_ONCE, FIRST, REQUESTS, InParts
from addons.policy.words import Cause
from tests.addons.fetching.servers import Served, answer, fetcher, says, serve
from tests.ranges import Lie, honest, host

FILE = bytes(range(256)) * 20_000
SIZE = len(FILE)
MOST = 3 << 20


def client(server: Served, budget: MemoryBudget | None = None) -> Fetcher:
    return fetcher(server.port, max_bytes=MOST, budget=budget)


@contextlib.asynccontextmanager
async def begun(server: Served, budget: MemoryBudget | None = None) -> AsyncIterator[InParts]:
    budget = budget or MemoryBudget(64 << 20)
    async with await client(server, budget).get_parts(f"http://127.0.0.1:{server.port}/v", timeout=5) as file:
        yield file
    assert budget.used == 0


async def failure(lie: Lie | None, *ranges: tuple[int, int]) -> FetchError:
    """What beginning, or fetching these ranges, ends with; nothing of the budget may be left in use."""
    async with host(FILE, lie) as server:
        with pytest.raises(FetchError) as caught:
            async with begun(server) as file:
                await file.fetch(ranges, timeout=5)
    assert caught.value.address == "127.0.0.1"
    return caught.value


async def test_a_file_that_is_too_large_says_how_large_it_is() -> None:
    async with host(FILE) as server:
        with pytest.raises(FetchError) as caught:
            await client(server).get(f"http://127.0.0.1:{server.port}/v", timeout=5)
    assert (caught.value.cause, caught.value.length) == (Cause.TOO_LARGE, SIZE)
    chunked = answer(b"5\r\nhello\r\n0\r\n\r\n", headers={"Transfer-Encoding": "chunked"})
    async with serve(says(chunked)) as server:
        with pytest.raises(FetchError) as caught:
            await fetcher(server.port, max_bytes=4).get(f"http://127.0.0.1:{server.port}/", timeout=5)
    assert (caught.value.cause, caught.value.length) == (Cause.TOO_LARGE, None)


async def test_the_first_bytes_then_those_asked_for() -> None:
    budget = MemoryBudget(64 << 20)
    async with host(FILE) as server, begun(server, budget) as file:
        assert (file.parts.size, file.parts.pieces) == (SIZE, ((0, FILE[:FIRST]),))
        assert (file.address, file.content_type) == ("127.0.0.1", "video/mp4")
        await file.fetch([(SIZE - 10, 10), (FIRST, 5), (2 * FIRST, 100), (SIZE - 3, 100), (SIZE, 5)], timeout=5)
        assert file.parts.pieces == (
            (0, FILE[: FIRST + 5]),
            (2 * FIRST, FILE[2 * FIRST : 2 * FIRST + 100]),
            (SIZE - 10, FILE[SIZE - 10 :]),
        )
        assert budget.used == FIRST + 5 + 100 + 10 + 3
    first, *others = server.heads
    assert b"\r\nRange: bytes=0-1048575\r\n" in first
    assert b"If-Range" not in first
    assert len(others) == 4
    assert all(b'\r\nIf-Range: "one"\r\n' in head and b"Accept-Encoding: identity" in head for head in others)


async def test_a_file_smaller_than_the_first_bytes() -> None:
    async with host(FILE[:100]) as server, begun(server) as file:
        assert file.parts.pieces == ((0, FILE[:100]),)


async def test_a_host_that_serves_no_ranges() -> None:
    error = await failure(None)
    assert (error.cause, "does not serve parts" in error.message) == (Cause.TOO_LARGE, True)


def changed(**headers: str) -> Lie:
    def lie(_number: int, body: bytes, said: dict[str, str], status: str) -> tuple[bytes, dict[str, str], str]:
        return body, said | {name.replace("_", "-"): value for name, value in headers.items()}, status

    return lie


def later(lie: Lie) -> Lie:
    """The lie, but the first request is answered honestly."""

    def wait(number: int, body: bytes, said: dict[str, str], status: str) -> tuple[bytes, dict[str, str], str]:
        return (honest if number == 1 else lie)(number, body, said, status)

    return wait


def status(says: str) -> Lie:
    return lambda _number, body, said, _status: (body, said, says)


LIES = {
    "no Content-Range": changed(Content_Range=""),
    "another start": changed(Content_Range=f"bytes 1-1048576/{SIZE}"),
    "another end": changed(Content_Range=f"bytes 0-1048574/{SIZE}"),
    "no total": changed(Content_Range="bytes 0-1048575/*"),
    "a total inside": changed(Content_Range="bytes 0-1048575/1000"),
    "another unit": changed(Content_Range=f"pages 0-1048575/{SIZE}"),
    "numbers past any": changed(Content_Range=f"bytes 0-1048575/{'9' * 400}"),
    "two ranges": changed(Content_Range=f"bytes 0-5/{SIZE}, bytes 6-1048575/{SIZE}"),
    "several parts": changed(Content_Range="", Content_Type="multipart/byteranges; boundary=x"),
    "an encoding": changed(Content_Encoding="gzip"),
    "too little": lambda _n, body, said, status: (body[:-1], said | {"Content-Length": str(len(body) - 1)}, status),
    "cut short": lambda _n, body, said, status: (body[:-1], said, status),
    "too much": lambda _n, body, said, status: (body + b"x", said | {"Content-Length": str(len(body) + 1)}, status),
    "endless": lambda _n, body, said, status: (body * 50, said | {"Content-Length": str(1 << 40)}, status),
    "nothing": lambda _n, _body, said, status: (b"", said | {"Content-Length": "0"}, status),
    "416": status("416 Range Not Satisfiable"),
    "204": status("204 No Content"),
}


@pytest.mark.parametrize("lie", LIES.values(), ids=LIES.keys())
async def test_an_answer_that_is_not_what_was_asked_for(lie: Lie) -> None:
    assert (await failure(lie)).cause in (Cause.FETCH_FAILED, Cause.TOO_LARGE)
    assert (await failure(later(lie), (2 * FIRST, FIRST))).cause is Cause.FETCH_FAILED


@pytest.mark.parametrize(
    "lie",
    [
        changed(ETag='"two"'),
        changed(ETag=""),
        changed(Last_Modified="Sun, 06 Nov 1994 08:49:37 GMT"),
        changed(Content_Range=f"bytes {2 * FIRST}-{2 * FIRST + 9}/{SIZE + 1}"),
        status("200 OK"),
        status("302 Found"),
        lambda _n, body, said, _s: (body, said | {"Location": "/elsewhere"}, "302 Found"),
    ],
)
async def test_another_file_between_two_parts(lie: Lie) -> None:
    error = await failure(later(lie), (2 * FIRST, 10))
    assert error.cause is Cause.FETCH_FAILED


async def test_redirects_are_followed_once_for_all_parts() -> None:
    async with host(FILE) as server:

        async def moved(_head: bytes, writer: asyncio.StreamWriter) -> None:
            writer.write(answer(status="302 Found", headers={"Location": f"http://127.0.0.1:{server.port}/v"}))

        async with serve(moved) as door:
            both = fetcher(server.port, door.port, max_bytes=MOST)
            async with await both.get_parts(f"http://127.0.0.1:{door.port}/", timeout=5) as file:
                await file.fetch([(2 * FIRST, 10)], timeout=5)
                assert file.url == f"http://127.0.0.1:{server.port}/v"
        assert (len(door.heads), len(server.heads)) == (1, 2)


@pytest.mark.parametrize(("more", "ok"), [(MOST - FIRST, True), (MOST - FIRST + 1, False)])
async def test_bytes_are_bounded_in_all(more: int, ok: bool) -> None:
    async with host(FILE) as server, begun(server) as file:
        if ok:
            await file.fetch([(FIRST, more)], timeout=5)
            assert file.parts.known == MOST
        else:
            with pytest.raises(FetchError) as caught:
                await file.fetch([(FIRST, more)], timeout=5)
            assert caught.value.cause is Cause.TOO_LARGE


async def test_requests_are_bounded_in_all_and_at_a_time() -> None:
    async with host(FILE) as server, begun(server) as file:
        most = 0

        async def watch() -> None:
            nonlocal most
            while True:
                most = max(most, server.open)
                await asyncio.sleep(0)

        watching = asyncio.create_task(watch())
        await file.fetch([(FIRST + 10 * number, 5) for number in range(REQUESTS - 1)], timeout=5)
        watching.cancel()
        assert 1 < most <= AT_ONCE + 1  # one that has been answered may still be closing
        with pytest.raises(FetchError) as caught:
            await file.fetch([(2 * FIRST, 5)], timeout=5)
        assert caught.value.cause is Cause.TOO_LARGE
        assert len(server.heads) == REQUESTS


@pytest.mark.parametrize("ranges", [[], [(-1, 5)], [(SIZE, 5)], [(0, 0)], [(5, -5)]])
async def test_ranges_that_ask_for_nothing_end_it(ranges: list[tuple[int, int]]) -> None:
    async with host(FILE) as server, begun(server) as file:
        with pytest.raises(FetchError) as caught:
            await file.fetch(ranges, timeout=5)
        assert caught.value.cause is Cause.TOO_LARGE


async def test_a_spent_budget_is_busy() -> None:
    budget = MemoryBudget(FIRST + 10)
    async with host(FILE) as server:
        with pytest.raises(FetchError) as caught:
            async with begun(server, budget) as file:
                await file.fetch([(FIRST, 11)], timeout=5)
    assert (caught.value.cause, budget.used) == (Cause.BUSY, 0)


async def test_a_host_that_hangs_is_a_timeout() -> None:
    hanging = asyncio.Event()

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        if b"bytes=0-" not in head:
            await hanging.wait()
        headers = {"Content-Range": f"bytes 0-{FIRST - 1}/{SIZE}"}
        writer.write(answer(FILE[:FIRST], "206 Partial Content", headers))
        await writer.drain()

    budget = MemoryBudget(64 << 20)
    async with serve(handle) as server:
        with pytest.raises(FetchError) as caught:
            async with begun(server, budget) as file:
                await file.fetch([(FIRST, 10), (FIRST + 10, 10)], timeout=0.2)
    assert (caught.value.cause, budget.used) == (Cause.TIMEOUT, 0)
