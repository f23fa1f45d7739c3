"""A link is no picture only where none can be behind it; one peer's slow hosts are nobody else's. At a real door."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from classifier.engine import Engine
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from tests import net, pictures
from tests.addons.doors.opened import Opened, configured, create, opened, write_list
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

FORBIDDEN = encode(textured(1))
SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'
PAGE = b"<!DOCTYPE html><title>an article</title>"
HTML = {"Content-Type": "text/html"}
LONG = str(len(FORBIDDEN) + 10)


@pytest.fixture(scope="module")
def hashes(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_list(tmp_path_factory.mktemp("lists") / "hashes.csv", FORBIDDEN)


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def engine(hashes: Path) -> AsyncIterator[Engine]:
    lists = (HashListSettings(name="ours", file=hashes),)
    settings = ClassifierSettings(clip=None, nudity=None, hashes=lists, decode=DecodeSettings(processes=1))
    started = Engine.start(settings, {})
    yield started
    await started.close()


@contextlib.asynccontextmanager
async def door(folder: Path, hashes: Path, engine: Engine, port: int, **settings: Any) -> AsyncIterator[Opened]:
    # What a drop, too, would answer is not to be taken for it: nothing is held here.
    settings = {"on": dict.fromkeys(("busy", "fetch_failed", "timeout"), "defer")} | settings
    async with opened(configured(folder, hashes, port, settings), engine) as there:
        yield there


def attached(url: str) -> dict[str, Any]:
    """A Create whose attachment is a Link that says no type."""
    activity = create()
    activity["object"]["attachment"] = [{"type": "Link", "href": url}]
    return activity


def linked(url: str) -> dict[str, Any]:
    """A Create whose text links the URL."""
    activity = create()
    activity["object"]["content"] = f'<p>see <a href="{url}">there</a></p>'
    return activity


@pytest.mark.parametrize(
    ("body", "status", "headers", "answer"),
    [
        # the picture itself, in a guise that fediward gives up on and a browser does not
        (FORBIDDEN, "206 Partial Content", {}, 503),
        (FORBIDDEN, "404 Not Found", {}, 503),
        (FORBIDDEN, "404 Not Found", HTML, 503),
        (FORBIDDEN, "500 Oops", {}, 503),
        (FORBIDDEN, "403 Forbidden", {}, 202),
        (FORBIDDEN, "200 OK", {"Content-Encoding": "x-unknown"}, 503),
        (FORBIDDEN, "200 OK", {"Content-Length": LONG}, 503),
        (b"--x\r\n".ljust(5_000, b" ") + FORBIDDEN, "200 OK", {"Content-Type": "multipart/x-mixed-replace"}, 202),
        # SVG
        (SVG.encode("utf-16"), "200 OK", {}, 202),
        (f"<?xml version='1.0'?><!--{'x' * 5_000}-->{SVG}".encode(), "200 OK", {}, 202),
        (b"<s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "200 OK", HTML, 202),
        (f"<!DOCTYPE html>{SVG}".encode(), "200 OK", {"Content-Type": "image/svg+xml"}, 202),
        (b"\x00\x01\x02", "200 OK", HTML, 202),
        # articles
        (PAGE, "200 OK", HTML, 200),
        (PAGE + SVG.encode(), "200 OK", HTML, 200),
        (PAGE, "403 Forbidden", HTML, 200),
        (PAGE, "404 Not Found", HTML, 200),
        (b"", "404 Not Found", HTML, 200),
    ],
)
async def test_a_link_as_attachment(
    tmp_path: Path,
    hashes: Path,
    engine: Engine,
    body: bytes,
    status: str,
    headers: Mapping[str, str],
    answer: int,
) -> None:
    async with pictures.host() as host, door(tmp_path, hashes, engine, host.port) as there:
        url = host.put("/article", body, status=status, headers=headers)
        assert await there.deliver(attached(url)) == answer


@pytest.mark.parametrize(
    ("body", "status", "headers", "answer"),
    [
        (FORBIDDEN, "200 OK", {}, 202),
        (FORBIDDEN, "404 Not Found", HTML, 503),
        (SVG.encode(), "200 OK", {"Content-Type": "image/svg+xml"}, 200),
        (b"\x00\x00\x00\x10ftypisom\x00\x00\x00\x00", "200 OK", {"Content-Type": "video/mp4"}, 202),
        (PAGE, "404 Not Found", HTML, 200),
        (b"", "410 Gone", HTML, 200),
    ],
)
async def test_a_link_in_text(
    tmp_path: Path,
    hashes: Path,
    engine: Engine,
    body: bytes,
    status: str,
    headers: Mapping[str, str],
    answer: int,
) -> None:
    async with pictures.host() as host, door(tmp_path, hashes, engine, host.port) as there:
        url = host.put("/a.png", body, status=status, headers=headers)
        assert await there.deliver(linked(url)) == answer
        assert host.hits["/a.png"] == 1


@pytest.mark.parametrize("url", ["http://10.0.0.1/a.png", "http://127.0.0.1:8080/logo.png"])
async def test_links_that_lead_nowhere(tmp_path: Path, hashes: Path, engine: Engine, url: str) -> None:
    async with door(tmp_path, hashes, engine, 80) as there:
        assert await there.deliver(linked(url)) == 200


@pytest.mark.parametrize(
    ("url", "answer"),
    [("http://10.0.0.1/a", 200), ("https://news.example:8443/article", 202)],
)
async def test_attachments_that_lead_nowhere(
    tmp_path: Path, hashes: Path, engine: Engine, url: str, answer: int
) -> None:
    async with door(tmp_path, hashes, engine, 80) as there:
        assert await there.deliver(attached(url)) == answer


async def test_a_host_that_is_gone(tmp_path: Path, hashes: Path, engine: Engine) -> None:
    async with pictures.host() as host:
        url = host.url("/a.png")
    async with door(tmp_path, hashes, engine, host.port) as there:
        assert await there.deliver(linked(url)) == 200
        assert await there.deliver(attached(url.removesuffix(".png"))) == 200
        assert await there.deliver(create(url)) == 503  # what is called a picture stays one


async def test_one_peers_hanging_hosts_keep_no_other_peer_waiting(tmp_path: Path, hashes: Path, engine: Engine) -> None:
    async with contextlib.AsyncExitStack() as stack:
        # All on one port of 127.0.1.*: a configuration opens few ports.
        host = await stack.enter_async_context(pictures.host("0.0.0.0"))
        for n in range(32):
            host.put(f"/hangs/{n}.png", gate=asyncio.Event())
        host.put("/good.png", encode(textured(2)))
        # As many as two peers may have are for all who are not verified, as nobody is here.
        settings = {"budget": "2s", "limits": {"unverified": 0.5}}
        there = await stack.enter_async_context(door(tmp_path, hashes, engine, host.port, **settings))
        hanging = [f"http://127.0.1.{1 + n % 16}:{host.port}/hangs/{n}.png" for n in range(32)]
        flood = [asyncio.ensure_future(there.deliver(create(*hanging), local="127.0.0.2")) for _ in range(3)]
        await net.until(lambda: host.open == 16)
        good = create(*(f"http://127.0.1.{n}:{host.port}/good.png" for n in range(1, 17)))
        assert await there.deliver(good, local="127.0.0.3") == 200
        assert host.open == 16  # a quarter of fetch.total
        assert await asyncio.gather(*flood) == [503] * 3
