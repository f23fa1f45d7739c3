import asyncio
import json
import urllib.parse
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest

from addons.judging import forgetting
from addons.judging.forgetting import Forgotten, forget
from addons.judging.stable import LONGEST, StableUrls
from tests import net, pictures
from tests.drawing import encode, textured
from tests.pictrs import PictRs, pict_rs

STABLE = StableUrls(b"k" * 32, "http://origin.internal:8543")
URLS = ["https://a.example/x.png", "https://b.example/y z.png?q=ä&r=1"]


async def told(upstream: str, *urls: str, key: str = "k") -> list[Forgotten]:
    return await asyncio.to_thread(lambda: list(forget(upstream, key, STABLE, urls)))


def answer(status: str, code: str = "") -> bytes:
    body = json.dumps({"msg": "…", "code": code}).encode()
    return b"HTTP/1.1 %s\r\nContent-Length: %d\r\n\r\n%s" % (status.encode(), len(body), body)


async def test_one_alias_is_deleted_for_each_url_and_never_purged() -> None:
    async with net.upstream(answer("200 OK")) as pictrs:
        found = await told(f"http://127.0.0.1:{pictrs.port}", *URLS)
    assert found == [Forgotten(url, STABLE.of(url), "deleted") for url in URLS]
    for request, url in zip(pictrs.requests, URLS, strict=True):
        method, target, _ = request.line.decode().split(" ")
        asked = urllib.parse.urlsplit(target)
        assert (method, asked.path) == ("POST", "/internal/delete")
        assert urllib.parse.parse_qs(asked.query) == {"proxy": [STABLE.of(url)]}
        assert request.header(b"x-api-token") == b"k"


async def test_what_is_not_kept_is_no_failure() -> None:
    async with net.upstream(answer("404 Not Found", "proxy-not-found")) as pictrs:
        found = await told(f"http://127.0.0.1:{pictrs.port}", *URLS)
    assert [one.outcome for one in found] == ["not kept", "not kept"]


@pytest.mark.parametrize(
    ("answered", "why"),
    [
        (answer("401 Unauthorized", "invalid-api-token"), "pict-rs refuses doors.pictrs.api_key"),
        (answer("500 Internal Server Error"), "pict-rs answered 500"),
        (answer("302 Found"), "pict-rs answered 302"),
        (answer("404 Not Found"), "pict-rs answered 404"),  # something else listens there
        (b"\x16\x03\x01 not HTTP\r\n\r\n", "pict-rs does not answer"),
    ],
)
async def test_after_a_failure_the_rest_is_not_tried(answered: bytes, why: str) -> None:
    async with net.upstream(answered) as pictrs:
        (found,) = await told(f"http://127.0.0.1:{pictrs.port}", *URLS)
    assert found.outcome == "failed"
    assert why in found.why
    assert len(pictrs.requests) == 1


async def test_nobody_there_is_told() -> None:
    async with net.upstream() as gone:
        pass
    (found,) = await told(f"http://127.0.0.1:{gone.port}", *URLS)
    assert (found.outcome, "does not answer" in found.why) == ("failed", True)


async def test_no_more_than_the_bound_and_nothing_that_has_no_stable_url(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(forgetting, "MOST", 3)
    odd = ["https://a.example/" + "x" * LONGEST, "https://a.example/\ud800"]
    async with net.upstream(answer("200 OK")) as pictrs:
        found = await told(f"http://127.0.0.1:{pictrs.port}", *odd, *URLS)
    assert [one.url for one in found] == URLS[:1]


# -- a real pict-rs ----------------------------------------------------------------------------------------------------


@pytest.fixture
async def kept(tmp_path: Path) -> AsyncIterator[PictRs]:
    async with pict_rs(tmp_path, api_key="k") as running:
        yield running


async def test_a_real_pict_rs_forgets_one_url_and_keeps_the_other_of_the_same_bytes(kept: PictRs) -> None:
    async with pictures.host() as host, httpx.AsyncClient(base_url=kept.url, timeout=30) as client:
        stable = StableUrls(b"k" * 32, host.url(""))
        one, two = (stable.of(url) for url in URLS)

        async def get(url: str) -> bytes:
            got = await client.get("/image/original", params={"proxy": url})
            assert got.status_code == 200, got.text
            return got.content

        async def forgotten(key: str = "k") -> Forgotten:
            (found,) = await asyncio.to_thread(lambda: list(forget(kept.url, key, stable, URLS[:1])))
            return found

        def serve(url: str, seed: int) -> None:
            host.put(url.removeprefix(host.url("")), encode(textured(seed)))

        assert (await forgotten()).outcome == "not kept"
        serve(one, 1)
        serve(two, 1)
        before = await get(one)
        assert await get(two) == before
        assert "api_key" in (await forgotten("wrong")).why
        serve(one, 2)
        serve(two, 2)
        assert await get(one) == before
        assert (await forgotten()).outcome == "deleted"

        async def anew() -> bool:
            """Pict-rs deletes soon after it says so; in between it may have the pair and no file."""
            got = await client.get("/image/original", params={"proxy": one})
            return got.status_code == 200 and got.content != before

        async with asyncio.timeout(20):
            while not await anew():  # noqa: ASYNC110  # it tells nobody
                await asyncio.sleep(0.02)
        assert await get(two) == before
