import asyncio
import contextlib
import gzip
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
from starlette.types import ASGIApp

from addons.judging.placeholders import placeholder
from addons.judging.stable import StableUrls
from addons.ledger.standings import Place
from addons.policy.words import Action
from addons.web.origin import PIECE, Origin, OriginSettings
from classifier import media_type_of
from classifier.engine import Engine
from tests import net, pictures
from tests.addons.doors.opened import KNOWN
from tests.addons.web.parts import FORBIDDEN, ORDINARY, SAME_PICTURE, Held, Parts, asking, listening, parts, sha256
from tests.drawing import encode, shape, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

URLS = StableUrls(b"k" * 32, "http://127.0.0.1:1")
LARGE = bytes(100_000)


@dataclass(frozen=True, slots=True)
class Opened:
    """A running origin."""

    origin: Origin
    parts: Parts
    client: httpx.AsyncClient

    async def get(self, url: str, method: str = "GET") -> httpx.Response:
        """What pict-rs is answered for this image."""
        return await self.client.request(method, path_of(url))


type Open = Callable[..., AbstractAsyncContextManager[Opened]]


def path_of(url: str) -> str:
    return URLS.of(url).removeprefix(URLS.origin_url)


@pytest.fixture
def open_origin(tmp_path: Path, hashes: Path, engine: Engine, host: pictures.Host) -> Open:
    @contextlib.asynccontextmanager
    async def opening(
        deadline: float = 20, local: frozenset[str] = frozenset(), own: int = 0, **settings: Any
    ) -> AsyncIterator[Opened]:
        async with parts(tmp_path, hashes, host.port, engine, settings, own) as made:
            origin = Origin(made.gate, made.fetcher, URLS, OriginSettings(deadline, local))
            async with asking(origin) as client:
                yield Opened(origin, made, client)
                await origin.afterwards.done()

    return opening


def known(action: str) -> dict[str, Any]:
    return {"rules": [{**KNOWN[0], "do": action}]}


def on(**causes: str) -> dict[str, Any]:
    return {"on": causes}


@pytest.mark.parametrize("path", ["/ordinary.png", "/same.jpg"])
async def test_what_passes_is_the_very_bytes_that_were_judged(
    open_origin: Open, host: pictures.Host, path: str
) -> None:
    url = host.url(path)
    async with open_origin(**known("record")) as opened:
        answer = await opened.get(url)
        data = host.files[path].data
        assert (answer.status_code, answer.content) == (200, data)
        assert answer.headers["content-type"] == media_type_of(data)  # the host says image/png of both
        assert answer.headers["etag"] == f'"{sha256(data)}"'
        assert answer.headers["content-length"] == str(len(data))
        assert answer.headers["cache-control"] == "no-store"
        assert "content-encoding" not in answer.headers
        [entry] = await opened.parts.entries(1)
        assert (entry.door, entry.host, entry.peer) == ("pictrs", "127.0.0.1", "127.0.0.1")
        assert [medium.url for medium in entry.media] == [url]
        assert answer.headers["x-fediward-decision"] == entry.id


async def test_what_came_compressed_is_given_plain(open_origin: Open, host: pictures.Host) -> None:
    url = host.put("/packed.png", gzip.compress(ORDINARY), headers={"Content-Encoding": "gzip"})
    async with open_origin(server={"software": "mastodon"}) as opened:
        answer = await opened.get(url)
        assert (answer.status_code, answer.content) == (200, ORDINARY)


@pytest.mark.parametrize(("action", "status"), [("drop", 200), ("strip", 200), ("reject", 451), ("defer", 503)])
@pytest.mark.parametrize("path", ["/forbidden.png", "/same.jpg"])
async def test_what_a_rule_says(open_origin: Open, host: pictures.Host, path: str, action: str, status: int) -> None:
    url = host.url(path)
    async with open_origin(**known(action)) as opened:
        answer = await opened.get(url)
        assert answer.status_code == status
        data = host.files[path].data
        if status == 200:
            expected, kind = placeholder(media_type_of(data), 256, 192, url)
            assert answer.content == expected
            assert answer.headers["content-type"] == kind == media_type_of(data)
        else:
            assert answer.content == b""
        assert answer.headers["cache-control"] == "no-store"
        assert answer.headers["x-fediward-reason"] == "rule known"
        [entry] = await opened.parts.entries(1)
        assert (entry.action, entry.rule) == (action, "known")


async def test_placeholders_differ_by_url(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin() as opened:
        answers = [await opened.get(host.url("/forbidden.png") + query) for query in ("", "#1")]
        assert {answer.status_code for answer in answers} == {200}
        assert answers[0].content != answers[1].content


@pytest.mark.parametrize(
    ("settings", "path", "status", "reason"),
    [
        # As they are by default.
        ({}, "/absent.png", 503, "fetch_failed"),
        ({}, "/private.png", 502, "fetch_unauthorized"),
        ({}, "http://10.0.0.1/a.png", 403, "fetch_refused"),
        ({}, "gopher://remote.example/a.png", 403, "fetch_refused"),
        ({}, "/broken.png", "image/png", "undecodable"),
        ({}, "/page.png", "image/png", "unsupported"),
        ({"fetch": {"max_bytes": "64KiB"}}, "/large.jpg", "image/jpeg", "too_large"),
        # A host that was down for a minute has no placeholder for ever, whatever the action.
        (on(fetch_failed="drop"), "/absent.png", 502, "fetch_failed"),
        (on(fetch_failed="reject"), "/absent.png", 502, "fetch_failed"),
        (on(fetch_failed="record"), "/absent.png", 502, "fetch_failed"),
        (on(fetch_failed="pass"), "/absent.png", 502, "fetch_failed"),
        (on(fetch_unauthorized="defer"), "/private.png", 503, "fetch_unauthorized"),
        (on(fetch_refused="pass"), "http://10.0.0.1/a.png", 403, "fetch_refused"),
        # The others by their action.
        (on(undecodable="reject"), "/broken.png", 451, "undecodable"),
        (on(undecodable="defer"), "/broken.png", 503, "undecodable"),
        (on(undecodable="record"), "/broken.png", "the bytes", "undecodable"),
        (on(unsupported="pass"), "/page.png", "the bytes", "unsupported"),
        ({"fetch": {"max_bytes": "64KiB"}, **on(too_large="record")}, "/large.jpg", 502, "too_large"),
    ],
)
async def test_what_could_not_be_judged(
    open_origin: Open, host: pictures.Host, settings: dict[str, Any], path: str, status: int | str, reason: str
) -> None:
    host.put("/private.png", status="403 Forbidden")
    host.put("/broken.png", FORBIDDEN[:60])
    host.put("/page.png", b"<!doctype html><html><body>hello</body></html>")
    host.put("/large.jpg", LARGE)
    url = host.url(path) if path.startswith("/") else path
    async with open_origin(**settings) as opened:
        answer = await opened.get(url)
        assert answer.headers["x-fediward-reason"] == f"cause {reason}"
        assert answer.headers["cache-control"] == "no-store"
        if isinstance(status, int):
            assert (answer.status_code, answer.content) == (status, b"")
        elif status == "the bytes":
            assert (answer.status_code, answer.content) == (200, host.files[path].data)
        else:
            assert (answer.status_code, answer.headers["content-type"]) == (200, status)
            assert answer.content == placeholder(status, None, None, url)[0]
        [entry] = await opened.parts.entries(1)
        assert [medium.cause for medium in entry.media] == [reason]


def others(path: str) -> list[tuple[str, str]]:
    """Methods and paths that are not the stable URL of ``path``."""
    return [
        ("GET", path + "A"),
        ("GET", path[:10] + ("A" if path[10] != "A" else "B") + path[11:]),
        ("GET", path + "?a=1"),
        ("GET", path.replace("/o/", "/O/")),
        ("GET", "/" + path),
        ("GET", path.replace("/o/", "/o%2f")),
        ("GET", "/o/" + path.rpartition("/")[2]),
        ("GET", "/"),
        ("GET", "/https://remote.example/a.png"),
        ("POST", path),
        ("PUT", path),
        ("DELETE", path),
        ("OPTIONS", path),
    ]


async def test_anything_else_is_404_and_fetches_nothing(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin() as opened:
        for method, path in others(path_of(host.url("/ordinary.png"))):
            answer = await opened.client.request(method, path)
            assert (answer.status_code, answer.headers["cache-control"]) == (404, "no-store"), (method, path)
        assert not host.hits
        assert opened.parts.now() == []


async def test_it_is_no_proxy(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin() as opened, listening(opened.origin) as port, net.client(port) as client:
        for line in (f"GET {host.url('/ordinary.png')}", f"CONNECT 127.0.0.1:{host.port}"):
            await client.send(f"{line} HTTP/1.1\r\nHost: 127.0.0.1\r\n\r\n".encode())
            assert (await client.response())[0] == 404
        assert not host.hits


async def test_a_head_is_answered_without_the_body(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin() as opened:
        for path in ("/ordinary.png", "/forbidden.png"):
            head, whole = await opened.get(host.url(path), "HEAD"), await opened.get(host.url(path))
            assert (head.status_code, head.content) == (200, b"")
            assert head.headers["content-length"] == str(len(whole.content))
            assert head.headers["content-type"] == whole.headers["content-type"]


async def test_a_range_is_answered_with_the_whole(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin() as opened:
        headers = {"Range": "bytes=0-9", "If-None-Match": f'"{sha256(ORDINARY)}"'}
        answer = await opened.client.get(path_of(host.url("/ordinary.png")), headers=headers)
        assert (answer.status_code, answer.content) == (200, ORDINARY)
        assert b"Range" not in host.heads["/ordinary.png"]


# -- rules on the host alone, our own, what was settled before ---------------------------------------------------------


@pytest.mark.parametrize(("action", "expected"), [("reject", 451), ("drop", "image/jpeg"), ("defer", 503)])
async def test_a_rule_on_the_host_alone_fetches_nothing(
    open_origin: Open, host: pictures.Host, action: str, expected: int | str
) -> None:
    rules = [{"name": "spammer", "when": {"host": "127.0.0.1", "door": "pictrs"}, "do": action}]
    async with open_origin(rules=rules) as opened:
        answer = await opened.get(host.url("/same.jpg?size=small"))
        if isinstance(expected, int):
            assert answer.status_code == expected
        else:
            assert (answer.status_code, answer.headers["content-type"]) == (200, expected)
            assert media_type_of(answer.content) == expected
        assert answer.headers["x-fediward-reason"] == "rule spammer"
        assert not host.hits


async def test_a_host_that_is_let_by(open_origin: Open, host: pictures.Host) -> None:
    rules = [{"name": "friend", "when": {"host": "127.0.0.1"}, "do": "pass"}, *KNOWN]
    async with open_origin(rules=rules) as opened:
        answer = await opened.get(host.url("/forbidden.png"))
        assert (answer.status_code, answer.content) == (200, FORBIDDEN)
        assert (await opened.get(host.url("/absent.png"))).status_code == 502
        assert (await opened.get("http://127.0.0.1:1/a.png")).status_code == 403
        assert opened.parts.now() == []
        counts = opened.parts.counts()
        assert (counts["pictrs", "pass"], counts["pictrs", "unjudged"]) == (3, 1)


async def test_what_is_on_the_block_set_is_not_even_fetched(open_origin: Open, host: pictures.Host) -> None:
    url = host.url("/ordinary.png")
    async with open_origin() as opened:
        opened.parts.ledger.standings.block([Place(url)], Action.STRIP, "0123456789")
        answer = await opened.get(url)
        assert answer.content == placeholder("image/png", None, None, url)[0]
        assert answer.headers["x-fediward-reason"] == "blocked by 0123456789"
        assert not host.hits
        # By its bytes too, whatever its URL.
        opened.parts.ledger.standings.block([Place(None, sha256(SAME_PICTURE))], Action.STRIP, "0123456789")
        host.put("/elsewhere.jpg", SAME_PICTURE)
        answer = await opened.get(host.url("/elsewhere.jpg"))
        assert answer.content == placeholder("image/jpeg", 256, 192, host.url("/elsewhere.jpg"))[0]


async def test_what_an_admin_allowed_passes(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin() as opened:
        opened.parts.ledger.standings.allow([sha256(FORBIDDEN)], "0123456789")
        answer = await opened.get(host.url("/forbidden.png"))
        assert (answer.status_code, answer.content) == (200, FORBIDDEN)
        assert answer.headers["x-fediward-reason"] == "allowed by 0123456789"


async def test_our_own_media_pass_unjudged_but_not_what_they_lead_to(open_origin: Open, host: pictures.Host) -> None:
    own = frozenset({"example.org"})
    elsewhere = {"Location": host.url("/forbidden.png")}
    async with pictures.host() as server:
        server.put("/pictrs/image/own.png", FORBIDDEN)
        server.put("/away", status="302 Found", headers=elsewhere)
        server.put("/away/2", status="302 Found", headers={"Location": host.url("/ordinary.png")})
        async with open_origin(local=own, own=server.port, fetch={"ports": [80, host.port]}) as opened:
            answer = await opened.get("http://example.org/pictrs/image/own.png")
            assert (answer.status_code, answer.content) == (200, FORBIDDEN)
            assert opened.parts.now() == []
            away = "http://example.org/away"
            assert (await opened.get(away)).content == placeholder("image/png", 256, 192, away)[0]
            assert (await opened.get("http://example.org/away/2")).content == ORDINARY
            assert (await opened.get("http://example.org/absent")).status_code == 502
            assert [entry.action for entry in await opened.parts.entries(2)] == ["drop", "pass"]
            assert opened.parts.counts()["pictrs", "unjudged"] == 1


async def test_in_everything_our_own_are_judged(open_origin: Open) -> None:
    async with pictures.host() as server:
        server.put("/own.png", FORBIDDEN)
        async with open_origin(own=server.port, fetch={"ports": [80]}) as opened:
            url = "http://example.org/own.png"
            assert (await opened.get(url)).content == placeholder("image/png", 256, 192, url)[0]


# -- time and memory ---------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("action", ["defer", "drop", "reject", "record"])
async def test_a_host_that_is_slow_is_undecided(open_origin: Open, host: pictures.Host, action: str) -> None:
    """Whatever the action: a placeholder would stay for ever, and what made us late is over in a minute."""
    url = host.put("/slow.png", ORDINARY, gate=asyncio.Event())
    async with open_origin(deadline=0.2, **on(timeout=action)) as opened:
        answer = await opened.get(url)
        assert (answer.status_code, answer.content) == (503, b"")
        assert answer.headers["x-fediward-reason"] == "cause timeout"
        assert answer.headers["cache-control"] == "no-store"


async def test_judging_goes_on_so_that_who_asks_again_finds_it_judged(
    open_origin: Open, host: pictures.Host, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(engine)
    monkeypatch.setattr(engine, "digests", held)
    picture = encode(textured(77))
    url = host.put("/new.png", picture)
    async with open_origin(deadline=1.5) as opened:
        assert (await opened.get(url)).status_code == 503
        assert held.begun == 1
        held.gate.set()
        await net.until(lambda: not opened.parts.gate.judge._going, 20)
    async with open_origin(deadline=20) as opened:
        assert (await opened.get(url)).content == picture


async def test_memory_is_held_until_all_is_sent_and_no_longer(open_origin: Open, host: pictures.Host) -> None:
    large = encode(textured(5, 3000, 2500), "BMP")
    url = host.put("/large.bmp", large)
    assert len(large) > 300 * PIECE
    async with open_origin() as opened, slow_reader(opened.origin, url) as reader:
        assert b" 200 " in await reader.readline()
        assert opened.parts.budget.used >= len(large)
        await reader.readuntil(b"\r\n\r\n")
        assert await reader.readexactly(len(large)) == large
        await net.until(lambda: opened.parts.budget.used == 0)


async def test_who_hangs_up_in_the_middle_leaves_nothing_behind(open_origin: Open, host: pictures.Host) -> None:
    url = host.put("/large.bmp", encode(textured(5, 3000, 2500), "BMP"))
    async with open_origin() as opened:
        async with slow_reader(opened.origin, url) as reader:
            assert b" 200 " in await reader.readline()
            assert opened.parts.budget.used > 0
        await net.until(lambda: opened.parts.budget.used == 0)


@contextlib.asynccontextmanager
async def slow_reader(app: ASGIApp, url: str) -> AsyncIterator[asyncio.StreamReader]:
    """Asks for the image and takes little at a time, so that it cannot be sent ahead."""
    async with listening(app) as port:
        small = socket.socket()
        small.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        small.setblocking(False)
        await asyncio.get_running_loop().sock_connect(small, ("127.0.0.1", port))
        reader, writer = await asyncio.open_connection(sock=small, limit=1024)
        try:
            writer.write(f"GET {path_of(url)} HTTP/1.1\r\nHost: a\r\n\r\n".encode())
            yield reader
        finally:
            writer.transport.abort()


@pytest.mark.parametrize("action", ["defer", "drop", "reject"])
async def test_no_memory_is_busy(open_origin: Open, host: pictures.Host, action: str) -> None:
    async with open_origin(**on(busy=action)) as opened, contextlib.AsyncExitStack() as stack:
        budget = opened.parts.budget
        stack.enter_context(budget.take(budget.limit - 100))
        answer = await opened.get(host.url("/ordinary.png"))
        assert (answer.status_code, answer.headers["x-fediward-reason"]) == (503, "cause busy")


async def test_fetches_for_pict_rs_leave_slots_for_others(open_origin: Open, host: pictures.Host) -> None:
    gate = asyncio.Event()
    urls = [host.put(f"/{number}.png", ORDINARY, gate=gate) for number in range(3)]
    async with open_origin(fetch={"total": 8, "per_host": 8}) as opened:
        asked = [asyncio.ensure_future(opened.get(url)) for url in urls]
        await net.until(lambda: host.hits.total() == 2)
        other = await opened.parts.fetcher.get(host.url("/forbidden.png"), timeout=20)
        other.release()
        gate.set()
        assert [(await one).content for one in asked] == [ORDINARY] * 3


# -- mode: observe -----------------------------------------------------------------------------------------------------


async def test_who_observes_answers_first_and_judges_afterwards(
    open_origin: Open, host: pictures.Host, engine: Engine, monkeypatch: pytest.MonkeyPatch
) -> None:
    held = Held(engine)
    monkeypatch.setattr(engine, "digests", held)
    async with open_origin(mode="observe") as opened:
        answer = await opened.get(host.url("/forbidden.png"))
        assert (answer.status_code, answer.content) == (200, FORBIDDEN)
        assert opened.parts.now() == []
        held.gate.set()
        [entry] = await opened.parts.entries(1)
        assert (entry.action, entry.rule, entry.mode) == ("drop", "known", "observe")


async def test_who_observes_notes_what_he_would_have_done(open_origin: Open, host: pictures.Host) -> None:
    rules = [{"name": "other", "when": {"host": "127.0.0.1"}, "do": "reject"}]
    async with open_origin(mode="observe", rules=rules) as opened:
        answer = await opened.get(host.url("/forbidden.png"))
        assert (answer.status_code, answer.content) == (200, FORBIDDEN)
        [entry] = await opened.parts.entries(1)
        assert (entry.action, entry.rule, entry.mode) == ("reject", "other", "observe")


async def test_who_observes_has_no_bytes_of_a_dead_host_either(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin(mode="observe") as opened:
        assert (await opened.get(host.url("/absent.png"))).status_code == 502
        assert (await opened.get("http://10.0.0.1/a.png")).status_code == 403
        causes = [entry.cause for entry in await opened.parts.entries(2)]
        assert sorted(map(str, causes)) == ["fetch_failed", "fetch_refused"]


async def test_who_observes_too_much_judges_no_more(open_origin: Open, host: pictures.Host) -> None:
    async with open_origin(mode="observe") as opened:
        opened.origin.afterwards._most = 0
        assert (await opened.get(host.url("/forbidden.png"))).content == FORBIDDEN
        assert opened.parts.budget.used == 0
        assert opened.parts.counts() == {("pictrs", "unobserved"): 1}


# -- odd URLs ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        ("http://127.0.0.1/a.webp", "image/webp"),
        ("http://127.0.0.1/a.MP4?b=.png#c.gif", "video/mp4"),
        ("http://127.0.0.1/", "image/png"),
        ("http://127.0.0.1/a.", "image/png"),
        ("http://127.0.0.1/a.html", "image/png"),
        ("http://127.0.0.1/" + "a" * 8000 + ".jpeg", "image/jpeg"),
    ],
)
async def test_the_type_of_what_was_not_looked_at_is_guessed(open_origin: Open, url: str, kind: str) -> None:
    rules = [{"name": "all", "when": {"host": "127.0.0.1"}, "do": "drop"}]
    async with open_origin(rules=rules) as opened:
        answer = await opened.get(url)
        assert (answer.status_code, answer.headers["content-type"]) == (200, kind)
        assert media_type_of(answer.content) == kind


async def test_a_host_that_shows_us_one_and_others_another_is_judged_on_what_is_given(
    open_origin: Open, host: pictures.Host
) -> None:
    """Whatever pict-rs gets went through our hands: it is the bytes that were judged, each time anew."""
    url = host.put("/cloaked.png", ORDINARY)
    async with open_origin() as opened:
        assert (await opened.get(url)).content == ORDINARY
        host.put("/cloaked.png", FORBIDDEN)
        answer = await opened.get(url)
        assert answer.content == placeholder("image/png", 256, 192, url)[0]
        host.put("/cloaked.png", encode(shape("circle")))
        assert (await opened.get(url)).content == encode(shape("circle"))
        assert host.hits["/cloaked.png"] == 3
