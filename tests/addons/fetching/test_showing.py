import asyncio
import gzip
from collections.abc import Mapping

import pytest

from addons.fetching import showing
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import FetchError
from addons.fetching.showing import ERROR_BYTES, MAX_TYPE, shown_type
from addons.policy.words import Cause
from tests.addons.fetching.servers import Handler, answer, fetcher, says, serve
from tests.drawing import encode, shape

PNG = encode(shape(), "PNG")
SVG = b'<svg xmlns="http://www.w3.org/2000/svg"/>'
PAGE = b"<!DOCTYPE html><title>not found</title>"
HTML = {"Content-Type": "text/html"}


@pytest.mark.parametrize(
    ("header", "shown"),
    [
        ("", "text/html"),
        ("text/html; charset=utf-8", "text/html"),
        ("video/mp4", "text/html"),
        ("image/svg+xml", "image/*"),
        ("Image/PNG; x=y", "image/*"),
        ("text/html, image/png", "image/*"),
        ("multipart/x-mixed-replace;boundary=x", "multipart/*"),
        ("x" * (MAX_TYPE - 1), "text/html"),
        ("x" * MAX_TYPE, ""),
    ],
)
def test_what_the_header_says_of_pictures_counts(header: str, shown: str) -> None:
    assert shown_type("text/html", header) == shown


async def shows(handler: Handler, budget: MemoryBudget | None = None, status: Cause = Cause.FETCH_FAILED) -> str | None:
    """What the error shows that a fetch from this handler ends with."""
    budget = budget or MemoryBudget(1 << 20)
    async with serve(handler) as server:
        client = fetcher(server.port, budget=budget)
        with pytest.raises(FetchError, match="the host answered") as caught:
            await client.get(f"http://127.0.0.1:{server.port}/", timeout=5)
    assert (budget.used, caught.value.cause) == (0, status)
    return caught.value.shows


@pytest.mark.parametrize(
    ("body", "headers", "shown"),
    [
        (PAGE, HTML, "text/html"),
        (PAGE + SVG, HTML, "text/html"),
        (PAGE + SVG, {"Content-Type": "image/svg+xml"}, "image/*"),
        (PAGE, {"Content-Type": "image/png"}, "image/*"),
        (b"not found", {"Content-Type": "text/plain"}, "text/plain"),
        (b'{"error": 404}', {"Content-Type": "application/json"}, "application/json"),
        (b"<?xml version='1.0'?><Error/>", {"Content-Type": "application/xml"}, "text/xml"),
        (b"<?xml version='1.0'?>" + SVG, HTML, "image/svg+xml"),
        (SVG.decode().encode("utf-16"), HTML, "image/svg+xml"),
        (PNG, HTML, "image/png"),
        (PNG, {"Content-Type": "image/png"}, "image/*"),
        (b"\x00\x01\x02", HTML, "application/octet-stream"),
        (b"", HTML, None),
        (b"", {"Content-Type": "image/png"}, "image/*"),
        (gzip.compress(PAGE), HTML | {"Content-Encoding": "gzip"}, "text/html"),
        (gzip.compress(PNG), HTML | {"Content-Encoding": "gzip"}, "image/png"),
        (gzip.compress(PAGE)[:-1], HTML | {"Content-Encoding": "gzip"}, ""),
        (PAGE, HTML | {"Content-Encoding": "br"}, ""),
        (PAGE, HTML | {"Content-Length": str(len(PAGE) + 10)}, ""),
        (b"zz\r\n", HTML | {"Transfer-Encoding": "chunked"}, ""),
    ],
)
@pytest.mark.parametrize("status", ["404 Not Found", "500 Oops", "999 What"])
async def test_error_answers(body: bytes, headers: Mapping[str, str], shown: str | None, status: str) -> None:
    assert await shows(says(answer(body, status, headers))) == shown


@pytest.mark.parametrize("status", ["401 Unauthorized", "403 Forbidden"])
async def test_refusals_for_want_of_authority(status: str) -> None:
    assert await shows(says(answer(PNG, status, HTML)), status=Cause.FETCH_UNAUTHORIZED) == "image/png"
    assert await shows(says(answer(PAGE, status, HTML)), status=Cause.FETCH_UNAUTHORIZED) == "text/html"


@pytest.mark.parametrize(
    "status", ["204 No Content", "206 Partial Content", "300 Multiple Choices", "304 Not Modified"]
)
async def test_what_is_no_error_status_is_not_known(status: str) -> None:
    assert await shows(says(answer(b"", status, HTML))) == ""


@pytest.mark.parametrize(
    ("start", "extra", "shown"),
    [
        (b"text ", 0, "text/plain"),
        (b"text ", 1, ""),
        (b"<?xml version='1.0'?>", 0, "text/xml"),
        (b"<?xml version='1.0'?>", 1, ""),
        (PAGE, 10 * ERROR_BYTES, "text/html"),
        (b"{", 10 * ERROR_BYTES, "application/json"),
    ],
)
@pytest.mark.parametrize("encoding", ["identity", "gzip"])
async def test_bodies_at_the_bound_and_past_it(start: bytes, extra: int, shown: str, encoding: str) -> None:
    body = start.ljust(ERROR_BYTES + extra, b"x")
    sent = gzip.compress(body) if encoding == "gzip" else body
    assert await shows(says(answer(sent, "404 Not Found", HTML | {"Content-Encoding": encoding}))) == shown


async def test_an_endless_body_is_left() -> None:
    async def endless(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 404 Not Found\r\nTransfer-Encoding: chunked\r\n\r\n")
        while True:
            writer.write(b"1;" + b"x" * 5_000 + b"\r\na\r\n")
            await writer.drain()

    assert await shows(endless) == ""


async def test_a_body_that_does_not_come_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(showing, "ERROR_SECONDS", 0.05)

    async def slow(_head: bytes, writer: asyncio.StreamWriter) -> None:
        writer.write(answer(PAGE, "404 Not Found", HTML | {"Content-Length": "5000"}))
        await asyncio.sleep(60)

    assert await shows(slow) == ""


@pytest.mark.parametrize(("free", "shown"), [(2 * ERROR_BYTES, "text/html"), (2 * ERROR_BYTES - 1, "")])
async def test_without_memory_it_is_not_looked_at(free: int, shown: str) -> None:
    assert await shows(says(answer(PAGE, "404 Not Found", HTML)), MemoryBudget(free)) == shown
