import gzip

import pytest

from addons.fetching.budget import MemoryBudget
from addons.fetching.results import FetchError
from addons.policy.words import Cause
from tests.addons.fetching.servers import answer, fetcher, says, serve

MOST = 1000
HEADERS = {"Range": "bytes=0-999", "Accept": "text/html"}


async def beginning(response: bytes, most: int = MOST, accept_encoding: str = "identity") -> tuple[bytes, bool]:
    """The bytes that are read of this response, and whether that was all; none of the budget is kept."""
    budget = MemoryBudget(1 << 20)
    async with serve(says(response)) as server:
        client = fetcher(server.port, budget=budget, accept_encoding=accept_encoding)
        url = f"http://127.0.0.1:{server.port}/"
        try:
            async with await client.get_beginning(url, most, headers=HEADERS, timeout=5) as fetched:
                assert budget.used >= len(fetched.data)
                assert fetched.url == url
                return fetched.data, fetched.whole
        finally:
            assert budget.used == 0


@pytest.mark.parametrize(("length", "whole"), [(0, True), (1, True), (MOST, True), (MOST + 1, False), (300_000, False)])
async def test_at_and_past_the_most(length: int, whole: bool) -> None:
    assert await beginning(answer(b"x" * length)) == (b"x" * min(length, MOST), whole)


async def test_a_compressed_bomb_is_cut_where_it_swells() -> None:
    bomb = gzip.compress(b"x" * (64 << 20))
    found = await beginning(answer(bomb, headers={"Content-Encoding": "gzip"}), accept_encoding="gzip")
    assert found == (b"x" * MOST, False)


async def test_part_of_a_compressed_page_is_read_as_far_as_it_goes() -> None:
    part = gzip.compress(b"x" * 500)[:-4]
    headers = {"Content-Encoding": "gzip", "Content-Range": "bytes 0-20/400"}
    assert await beginning(answer(part, "206 Partial Content", headers)) == (b"x" * 500, False)


async def test_what_the_request_says() -> None:
    async with serve(says(answer(b"x"))) as server:
        client = fetcher(server.port, accept="*/*", accept_encoding="gzip")
        (await client.get_beginning(f"http://127.0.0.1:{server.port}/", MOST, headers=HEADERS, timeout=5)).release()
    assert {b"Range: bytes=0-999", b"Accept: text/html", b"Accept-Encoding: gzip"} <= set(
        server.heads[0].split(b"\r\n")
    )
    assert b"*/*" not in server.heads[0]


@pytest.mark.parametrize(
    ("response", "cause"),
    [
        (answer(b"", "204 No Content"), Cause.FETCH_FAILED),
        (answer(b"x", "206 Partial Content"), Cause.FETCH_FAILED),
        (answer(b"x", "206 Partial Content", {"Content-Range": "bytes 5-5/9"}), Cause.FETCH_FAILED),
        (answer(b"gone", "404 Not Found"), Cause.FETCH_FAILED),
        (answer(b"no", "403 Forbidden"), Cause.FETCH_UNAUTHORIZED),
        (answer(b"no gzip", headers={"Content-Encoding": "gzip"}), Cause.FETCH_FAILED),
        (answer(gzip.compress(b"x")[:-4], headers={"Content-Encoding": "gzip"}), Cause.FETCH_FAILED),
    ],
)
async def test_answers_that_are_no_beginning(response: bytes, cause: Cause) -> None:
    with pytest.raises(FetchError) as caught:
        await beginning(response)
    assert caught.value.cause is cause


async def test_a_data_url_is_no_page() -> None:
    with pytest.raises(FetchError) as caught:
        await fetcher().get_beginning("data:text/html,x", MOST, headers={}, timeout=5)
    assert caught.value.cause is Cause.FETCH_REFUSED
