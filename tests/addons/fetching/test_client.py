import asyncio
import base64
import contextlib
import gzip
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetched, Fetcher, FetchError, FetchSettings, default_tls
from addons.fetching.dialling import Dialler
from addons.fetching.user_agents import user_agent
from addons.policy.words import Cause
from tests.addons.fetching.servers import Names, Served, answer, authority, fetcher, says, serve


async def failure(client: Fetcher, url: str, timeout: float = 5) -> FetchError:
    """What fetching ends with, which must be a FetchError; the budget must be whole again."""
    with pytest.raises(FetchError) as caught:
        await client.get(url, timeout=timeout)
    assert client._budget.used == 0
    assert not client._slots._hosts
    assert len(caught.value.message) < 800
    return caught.value


@asynccontextmanager
async def fetch(server: Served, path: str = "/") -> AsyncIterator[Fetched]:
    """What a plain fetcher gets from this server."""
    async with await fetcher(server.port).get(f"http://127.0.0.1:{server.port}{path}", timeout=5) as fetched:
        yield fetched


async def test_a_whole_body_and_where_it_came_from() -> None:
    budget = MemoryBudget(1000)
    async with serve(says(answer(b"hello", headers={"Content-Type": "image/webp"})), host="127.0.0.2") as server:
        client = fetcher(server.port, names=Names(a_example=["127.0.0.2"]), budget=budget)
        url = f"http://A.example:{server.port}/x y#part"
        async with await client.get(url, timeout=5) as fetched:
            assert fetched.data == b"hello"
            assert fetched.url == f"http://a.example:{server.port}/x%20y"
            assert (fetched.address, fetched.content_type, fetched.status) == ("127.0.0.2", "image/webp", 200)
            assert budget.used == 5
        assert budget.used == 0


async def test_the_request_is_the_softwares_own_and_nothing_else() -> None:
    async with serve(says(answer(b"x"))) as server:
        agent = user_agent("mastodon", "example.org", None)
        client = fetcher(server.port, user_agent=agent, accept="image/*", accept_encoding="gzip")
        (await client.get(f"http://127.0.0.1:{server.port}/a?b", timeout=5)).release()
        (await client.get(f"http://127.0.0.1:{server.port}/", timeout=5, accept="text/html")).release()
    assert server.heads[0].decode().split("\r\n") == [
        "GET /a?b HTTP/1.1",
        f"Host: 127.0.0.1:{server.port}",
        f"User-Agent: {agent}",
        "Accept: image/*",
        "Accept-Encoding: gzip",
        "",
        "",
    ]
    assert b"\r\nAccept: text/html\r\n" in server.heads[1]


async def test_the_environments_proxy_and_cookies_of_hosts_are_ignored(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("http_proxy", "HTTP_PROXY", "https_proxy", "all_proxy", "ALL_PROXY"):
        monkeypatch.setenv(name, "http://127.0.0.1:1")
    async with serve(says(answer(b"x", headers={"Set-Cookie": "a=b"}))) as server:
        client = fetcher(server.port)
        for _ in range(2):
            (await client.get(f"http://127.0.0.1:{server.port}/", timeout=5)).release()
        assert b"ookie" not in server.heads[1]


@pytest.mark.parametrize("encoding", ["gzip", "identity", ""])
async def test_an_encoded_body_is_undone(encoding: str) -> None:
    body = gzip.compress(b"hello") if encoding == "gzip" else b"hello"
    async with serve(says(answer(body, headers={"Content-Encoding": encoding}))) as server, fetch(server) as fetched:
        assert fetched.data == b"hello"


@pytest.mark.parametrize(
    "response",
    [
        b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n3;x=y\r\nllo\r\n0\r\nTrailer: x\r\n\r\n",
        b"HTTP/1.1 200 OK\r\n\r\nhello",
        b"HTTP/1.0 200 OK\r\n\r\nhello",
        b"HTTP/1.1 100 Continue\r\n\r\n"
        b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nhello",
        b"HTTP/1.1 203 \r\nContent-Length: 5\r\n\r\nhello and more that was not promised",
    ],
)
async def test_bodies_however_they_end(response: bytes) -> None:
    async with serve(says(response)) as server, fetch(server) as fetched:
        assert fetched.data == b"hello"
        assert fetched.content_type == ""


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        ("101 Switching Protocols", Cause.FETCH_FAILED),
        ("204 No Content", Cause.FETCH_FAILED),
        ("205 Reset Content", Cause.FETCH_FAILED),
        ("206 Partial Content", Cause.FETCH_FAILED),
        ("300 Multiple Choices", Cause.FETCH_FAILED),
        ("302 Found", Cause.FETCH_FAILED),
        ("304 Not Modified", Cause.FETCH_FAILED),
        ("400 Bad Request", Cause.FETCH_FAILED),
        ("401 Unauthorized", Cause.FETCH_UNAUTHORIZED),
        ("403 Forbidden", Cause.FETCH_UNAUTHORIZED),
        ("404 Not Found", Cause.FETCH_FAILED),
        ("429 Too Many Requests", Cause.FETCH_FAILED),
        ("451 Unavailable For Legal Reasons", Cause.FETCH_FAILED),
        ("503 Service Unavailable", Cause.FETCH_FAILED),
        ("999 What", Cause.FETCH_FAILED),
    ],
)
async def test_answers_that_are_no_body(status: str, cause: Cause) -> None:
    headers = {"Connection": "upgrade", "Upgrade": "x"} if status.startswith("101") else {}
    async with serve(says(answer(b"hello", status, headers))) as server:
        error = await failure(fetcher(server.port), f"http://127.0.0.1:{server.port}/")
    assert error.cause is cause
    assert status[:3] in error.message or "UPGRADE" in error.message
    assert error.address == "127.0.0.1"


async def test_an_empty_body_is_a_failure() -> None:
    async with serve(says(answer(b""))) as server:
        error = await failure(fetcher(server.port), f"http://127.0.0.1:{server.port}/")
    assert (error.cause, "empty body" in error.message, error.shows) == (Cause.FETCH_FAILED, True, "")


def redirects(count: int, status: str = "302 Found") -> Any:
    """A handler that redirects /N to /N+1 ``count`` times, then says where it was."""

    async def handle(head: bytes, writer: asyncio.StreamWriter) -> None:
        n = int(head.split(b" ")[1].rsplit(b"/", 1)[1])
        headers = {"Location": f"{n + 1}"} if n < count else {}
        writer.write(answer(b"here %d" % n, status if n < count else "200 OK", headers))
        await writer.drain()

    return handle


@pytest.mark.parametrize("status", ["301", "302", "303", "307", "308"])
async def test_five_redirects_are_followed(status: str) -> None:
    async with serve(redirects(5, f"{status} x")) as server, fetch(server, "/0") as fetched:
        assert fetched.data == b"here 5"
        assert fetched.url.endswith("/5")


@pytest.mark.parametrize("status", ["200", "201", "300", "304", "305", "306", "404"])
async def test_a_location_elsewhere_is_not_followed(status: str) -> None:
    async with serve(says(answer(b"x", f"{status} x", {"Location": "/elsewhere"}))) as server:
        with contextlib.suppress(FetchError):
            (await fetcher(server.port).get(f"http://127.0.0.1:{server.port}/", timeout=5)).release()
        assert len(server.heads) == 1


@pytest.mark.parametrize(("most", "there"), [(5, 6), (0, 1), (5, 10_000)])
async def test_one_redirect_too_many(most: int, there: int) -> None:
    async with serve(redirects(there)) as server:
        error = await failure(fetcher(server.port, redirects=most), f"http://127.0.0.1:{server.port}/0")
        assert len(server.heads) == most + 1
    assert (error.cause, f"more than {most} times" in error.message) == (Cause.FETCH_FAILED, True)


async def test_https_and_a_redirect_down_to_http(tmp_path: Path) -> None:
    ours = authority()
    async with serve(says(answer(b"plain")), host="127.0.0.3") as plain:
        down = says(answer(b"", "302 Found", {"Location": f"http://b.example:{plain.port}/x"}))
        async with serve(down, host="127.0.0.2", tls=ours.server(tmp_path, "a.example")) as secure:
            names = Names(a_example=["127.0.0.2"], b_example=["127.0.0.3"])
            client = fetcher(plain.port, secure.port, names=names, tls=ours.trusted())
            async with await client.get(f"https://a.example:{secure.port}/", timeout=5) as fetched:
                assert fetched.data == b"plain"
                assert (fetched.url, fetched.address) == (f"http://b.example:{plain.port}/x", "127.0.0.3")


@pytest.mark.parametrize(
    ("addresses", "shows"), [(["10.0.0.1"], None), (["10.0.0.1", "fd00::1"], None), (["10.0.0.1", "127.0.0.2"], "")]
)
async def test_a_host_with_refused_addresses_alone_shows_nothing(addresses: list[str], shows: str | None) -> None:
    error = await failure(fetcher(80, names=Names(a_example=addresses)), "http://a.example/")
    assert (error.cause, error.address, error.shows) == (Cause.FETCH_REFUSED, "10.0.0.1", shows)


@pytest.mark.parametrize("location", ["http://127.0.0.1:8443/", "http://a@127.0.0.1/", "ftp://127.0.0.1/"])
async def test_what_is_refused_for_its_url_may_show_a_picture_to_others(location: str) -> None:
    async with serve(says(answer(b"", "302 Found", {"Location": location}))) as server:
        error = await failure(fetcher(server.port), f"http://127.0.0.1:{server.port}/")
    assert (error.cause, error.shows) == (Cause.FETCH_REFUSED, "")


async def test_one_peer_with_hanging_hosts_does_not_keep_another_peers_fetch_waiting() -> None:
    async with contextlib.AsyncExitStack() as stack:
        dead = [await stack.enter_async_context(serve(never, host=f"127.0.1.{n}")) for n in range(1, 17)]
        good = await stack.enter_async_context(serve(says(answer(b"x"))))
        client = fetcher(good.port, *(one.port for one in dead), per_host=2, total=16, queue=32)
        urls = [f"http://127.0.1.{n}:{one.port}/{m}" for n, one in enumerate(dead, 1) for m in range(2)]
        hanging = [asyncio.ensure_future(client.get(url, timeout=30, share="192.0.2.1")) for url in urls]
        await asyncio.sleep(0.05)
        assert sum(one.open for one in dead) == 4  # a quarter of all
        refused = [task for task in hanging if task.done()]
        assert len(refused) == 32 - 4 - 16  # and half of the queue waits
        assert {error.cause for task in refused if isinstance(error := task.exception(), FetchError)} == {Cause.BUSY}
        for n in range(20):
            (await client.get(f"http://127.0.0.1:{good.port}/{n}", timeout=1, share="192.0.2.2")).release()
        # A host that the first peer's fetches wait for, without a slot of its own.
        with pytest.raises(FetchError) as caught:
            await client.get(urls[-1], timeout=0.1, share="192.0.2.2")
        assert caught.value.cause is Cause.TIMEOUT  # the host's fault, not ours
        for task in hanging:
            task.cancel()
        await asyncio.gather(*hanging, return_exceptions=True)
    assert not client._slots._shares


async def test_a_certificate_that_nobody_trusts_is_a_failure(tmp_path: Path) -> None:
    async with serve(says(answer(b"x")), host="127.0.0.2", tls=authority().server(tmp_path, "a.example")) as server:
        client = fetcher(server.port, names=Names(a_example=["127.0.0.2"]), tls=default_tls())
        error = await failure(client, f"https://a.example:{server.port}/")
    assert error.cause is Cause.FETCH_FAILED
    assert "certificate verify failed" in error.message
    assert (error.address, error.shows) == ("127.0.0.2", "")


async def test_nobody_listens() -> None:
    async with serve(says(b"")) as server:
        port = server.port
    error = await failure(fetcher(port), f"http://127.0.0.1:{port}/")
    assert (error.cause, error.address, error.shows) == (Cause.FETCH_FAILED, "127.0.0.1", None)


async def test_a_name_that_does_not_resolve() -> None:
    error = await failure(fetcher(80), "http://nowhere.example/")
    assert (error.cause, error.address, error.shows) == (Cause.FETCH_FAILED, None, None)
    assert "does not resolve" in error.message


async def test_our_own_domains_are_fetched_from_their_upstream() -> None:
    async with serve(says(answer(b"local")), host="127.0.0.2") as upstream:
        client = fetcher(allow=(), routes={"example.org": f"http://127.0.0.2:{upstream.port}"}, ports=frozenset({443}))
        async with await client.get("https://Example.org/pictrs/image/a.png?x", timeout=5) as fetched:
            assert fetched.data == b"local"
            assert (fetched.url, fetched.address) == ("https://example.org/pictrs/image/a.png?x", "127.0.0.2")
    head = upstream.heads[0].decode()
    assert head.startswith("GET /pictrs/image/a.png?x HTTP/1.1\r\nHost: example.org\r\n")
    assert "\r\nX-Forwarded-Proto: https\r\n" in head


async def test_a_redirect_from_our_own_upstream_is_checked_like_any_other() -> None:
    async with serve(says(b""), host="127.0.0.3") as inner:
        away = says(answer(b"", "302 Found", {"Location": f"http://127.0.0.3:{inner.port}/"}))
        async with serve(away, host="127.0.0.2") as upstream:
            client = fetcher(443, inner.port, allow=(), routes={"example.org": f"http://127.0.0.2:{upstream.port}"})
            error = await failure(client, "https://example.org/")
        assert inner.connections == 0
    assert (error.cause, error.address) == (Cause.FETCH_REFUSED, "127.0.0.3")


async def test_our_own_name_opens_no_other_port() -> None:
    client = fetcher(443, routes={"example.org": "http://127.0.0.2:1"})
    error = await failure(client, "https://example.org:8443/")
    assert (error.cause, "port 8443" in error.message) == (Cause.FETCH_REFUSED, True)


def test_a_wrong_route_is_found_at_the_start() -> None:
    with pytest.raises(ValueError, match="must not have a path"):
        Fetcher(FetchSettings("agent", routes={"example.org": "http://127.0.0.1/x"}), MemoryBudget(1))


async def test_data_urls_need_no_network() -> None:
    budget = MemoryBudget(1000)
    client = fetcher(budget=budget, max_bytes=100)
    url = "data:image/png;base64," + base64.b64encode(bytes(100)).decode()
    async with await client.get(url, timeout=5) as fetched:
        assert fetched.data == bytes(100)
        assert (fetched.address, fetched.content_type, fetched.status) == (None, "image/png", 200)
        assert len(fetched.url) <= 61
        assert budget.used == 100
    assert budget.used == 0


@pytest.mark.parametrize(
    ("url", "cause"),
    [
        ("data:image/png;base64,A", Cause.FETCH_FAILED),
        ("data:image/png", Cause.FETCH_FAILED),
        ("data:," + "a" * 101, Cause.TOO_LARGE),
        ("data:," + "a" * 10_000, Cause.TOO_LARGE),
    ],
)
async def test_data_urls_that_are_none(url: str, cause: Cause) -> None:
    assert (await failure(fetcher(max_bytes=100), url)).cause is cause


async def test_a_data_url_past_the_memory_budget_is_busy() -> None:
    client = fetcher(budget=MemoryBudget(2 * 26))
    (await client.get("data:," + "a" * 20, timeout=5)).release()
    assert (await failure(client, "data:," + "a" * 21)).cause is Cause.BUSY


@pytest.mark.parametrize("per_host", [1, 2])
async def test_how_many_are_fetched_from_one_host_at_a_time(per_host: int) -> None:
    most = 0

    async def slowly(_head: bytes, writer: asyncio.StreamWriter) -> None:
        nonlocal most
        most = max(most, server.open)
        await asyncio.sleep(0.02)
        writer.write(answer(b"x"))

    async with serve(slowly) as server:
        client = fetcher(server.port, per_host=per_host)
        async with asyncio.TaskGroup() as group:
            tasks = [group.create_task(client.get(f"http://127.0.0.1:{server.port}/{n}", timeout=5)) for n in range(6)]
        for task in tasks:
            task.result().release()
    assert most == per_host


async def never(_head: bytes, _writer: asyncio.StreamWriter) -> None:
    await asyncio.sleep(60)


@pytest.mark.parametrize("bound", [{"per_host": 1}, {"total": 1}])
async def test_waiting_for_our_own_slot_is_busy_and_waiting_for_the_host_is_timeout(bound: dict[str, Any]) -> None:
    async with serve(never) as server:
        client = fetcher(server.port, **bound)
        url = f"http://127.0.0.1:{server.port}/"
        found = await asyncio.gather(
            client.get(url, timeout=0.1), client.get(url, timeout=0.05), return_exceptions=True
        )
    causes = [error.cause for error in found if isinstance(error, FetchError)]
    assert causes == [Cause.TIMEOUT, Cause.BUSY]
    assert not client._slots._hosts


async def test_a_full_queue_is_busy_at_once() -> None:
    async with serve(never) as server:
        client = fetcher(server.port, per_host=1, queue=1)
        url = f"http://127.0.0.1:{server.port}/"
        waiting = [asyncio.ensure_future(client.get(url, timeout=30)) for _ in range(2)]
        await asyncio.sleep(0.01)
        with pytest.raises(FetchError, match="wait already") as caught:
            await client.get(url, timeout=30)
        assert caught.value.cause is Cause.BUSY
        for task in waiting:
            task.cancel()
        await asyncio.gather(*waiting, return_exceptions=True)
    assert not client._slots._hosts


async def test_a_slot_is_free_again_after_a_redirect() -> None:
    async with serve(redirects(3)) as server:
        client = fetcher(server.port, per_host=1, total=1, queue=0)
        (await client.get(f"http://127.0.0.1:{server.port}/0", timeout=5)).release()


async def test_cancelling_a_fetch_leaves_nothing_behind() -> None:
    async def half(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Length: 100\r\n\r\nhalf")
        await asyncio.sleep(60)

    budget = MemoryBudget(1000)
    async with serve(half) as server:
        client = fetcher(server.port, budget=budget)
        task = asyncio.ensure_future(client.get(f"http://127.0.0.1:{server.port}/", timeout=30))
        while budget.used < 4:  # noqa: ASYNC110 - the budget has no event to wait for
            await asyncio.sleep(0.001)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
        assert budget.used == 0
        assert not client._slots._hosts
    assert asyncio.all_tasks() == {asyncio.current_task()}


async def test_a_fetch_cancelled_while_its_connection_closes_keeps_no_memory(monkeypatch: pytest.MonkeyPatch) -> None:
    closing = asyncio.Event()
    close = Dialler.aclose

    async def slowly(dialler: Dialler) -> None:
        closing.set()
        try:
            await asyncio.sleep(60)
        finally:
            await close(dialler)

    monkeypatch.setattr(Dialler, "aclose", slowly)
    budget = MemoryBudget(1000)
    async with serve(says(answer(b"x" * 100))) as server:
        task = asyncio.ensure_future(
            fetcher(server.port, budget=budget).get(f"http://127.0.0.1:{server.port}/", timeout=30)
        )
        await closing.wait()
        assert budget.used == 100
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert budget.used == 0


@pytest.mark.parametrize("timeout", [0, -1])
async def test_no_time_at_all(timeout: float) -> None:
    async with serve(says(answer(b"x"))) as server:
        error = await failure(fetcher(server.port), f"http://127.0.0.1:{server.port}/", timeout)
    assert error.cause is Cause.TIMEOUT


async def test_the_content_type_is_cut() -> None:
    async with serve(says(answer(b"x", headers={"Content-Type": "a" * 257}))) as server, fetch(server) as fetched:
        assert fetched.content_type == "a" * 256
