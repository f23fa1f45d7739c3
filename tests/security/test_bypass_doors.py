"""Bypass corpus, the upload door: forms, paths and bodies that bring a file which the door could take for none."""

import base64
import gzip
import json
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio

from classifier.engine import Engine
from tests import net
from tests.addons.doors.forms import form, part
from tests.security import bypass
from tests.security.bypass import BOTH, FORBIDDEN, ORDINARY, World

pytestmark = pytest.mark.asyncio(loop_scope="module")

MEDIA = "POST /api/v1/media HTTP/1.1"
BOUNDARY = "----WebKitFormBoundary7MA4YWxkTrZu0gW"


@pytest_asyncio.fixture(loop_scope="module", scope="module")
async def uploads(folder: Path, judges: Engine) -> AsyncIterator[World]:
    server = {"software": "mastodon", **bypass.SETTINGS["server"]}
    async with bypass.world(folder, judges, server=server, scan="everything") as made:
        yield made


async def brought(world: World, wire: bytes, body: bytes, *, bad: bool) -> None:
    """The forbidden file is refused and reaches nobody, the ordinary one arrives as it was sent."""
    status = await world.send(wire)
    if bad:
        assert (status // 100, world.arrived) == (4, [])
    else:
        assert (status, [request.body for request in world.arrived]) == (200, [body])


def request(line: str, body: bytes, *fields: str) -> bytes:
    return "\r\n".join([line, "Host: example.org", *fields, f"Content-Length: {len(body)}", "", ""]).encode() + body


LINES = [
    *[
        MEDIA,
        "post /api/v1/media HTTP/1.1",
        "POST /api/v1/media?_method=PUT HTTP/1.1",
        "POST //api//v2/media/ HTTP/1.1",
    ],
    *["PUT /api/v1/media/9 HTTP/1.1", "PATCH /api/v1/accounts/update_credentials HTTP/1.1"],
    *["POST /api/v1/accounts/update_credentials HTTP/1.1\r\nX-HTTP-Method-Override: PATCH"],
    *["POST /API/V1/Media.json HTTP/1.1", "POST /api/v1/%6dedia HTTP/1.1", "POST /api%2Fv1%2Fmedia HTTP/1.1"],
    *["POST /x/../api/v1/media;a=b HTTP/1.1", "POST http://example.org/api/v2/media HTTP/1.1", "POST / HTTP/1.1"],
    *["POST /anything/else HTTP/1.1", "PUT /anything HTTP/1.1"],
]


@BOTH
@pytest.mark.parametrize("line", LINES)
async def test_however_the_way_in_is_written(uploads: World, line: str, bad: bool) -> None:
    body, content_type = form(part("file", FORBIDDEN if bad else ORDINARY, "a.png", "image/png"))
    await brought(uploads, request(line, body, f"Content-Type: {content_type}"), body, bad=bad)


PARTS: dict[str, tuple[str | None, str | None, str]] = {
    "no file": (None, None, "file"),
    "a text": ("a.txt", "text/plain", "file"),
    "a page": ("a.html", "text/html; charset=utf-8", "file"),
    "a file of nothing": ("", "image/png", "file"),
    "another name": ("a.png", "image/png", "thumbnail"),
    "no name": ("a.png", "image/png", ""),
    "an array": ("a.png", "application/octet-stream", "images[][x]"),
    "JSON": ("a.json", "application/json", "file"),
}


@BOTH
@pytest.mark.parametrize("name", PARTS)
async def test_whatever_a_part_calls_itself(uploads: World, name: str, bad: bool) -> None:
    filename, content_type, field = PARTS[name]
    body, said = form(part("a", b"text"), part(field, FORBIDDEN if bad else ORDINARY, filename, content_type))
    await brought(uploads, request(MEDIA, body, f"Content-Type: {said}"), body, bad=bad)


@BOTH
async def test_the_second_of_two_files(uploads: World, bad: bool) -> None:
    files = (part("file", file, "a.png", "image/png") for file in (ORDINARY, FORBIDDEN if bad else ORDINARY))
    body, said = form(*files)
    await brought(uploads, request(MEDIA, body, f"Content-Type: {said}"), body, bad=bad)


@pytest.mark.parametrize(
    "said",
    [
        [f"Content-Type: multipart/form-data; boundary={BOUNDARY}; boundary=x"],
        ["Content-Type: multipart/form-data; boundary=x"],
        ["Content-Type: multipart/form-data"],
        ["Content-Type: text/plain", f"Content-Type: multipart/form-data; boundary={BOUNDARY}"],
        [f"Content-Type: multipart/form-data; boundary={BOUNDARY}, text/plain"],
        [f"Content-Type: multipart/form-data; boundary*=utf-8''{BOUNDARY}"],
        [f"Content-Type: Multipart/Mixed; boundary={BOUNDARY}"],
        [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", "Content-Encoding: gzip"],
        [f"Content-Type: multipart/form-data; boundary={BOUNDARY}", "Transfer-Encoding: gzip"],
    ],
)
async def test_a_form_that_is_read_in_two_ways_is_refused(uploads: World, said: list[str]) -> None:
    body, _ = form(part("file", FORBIDDEN, "a.png", "image/png"))
    body = gzip.compress(body) if "gzip" in said[-1] else body
    await brought(uploads, request(MEDIA, body, *said), body, bad=True)


@BOTH
async def test_chunks(uploads: World, bad: bool) -> None:
    body, said = form(part("file", FORBIDDEN if bad else ORDINARY, "a.png", "image/png"))
    head = f"{MEDIA}\r\nHost: example.org\r\nContent-Type: {said}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()
    await brought(uploads, head + net.chunked(body[:100], body[100:]), body, bad=bad)


@BOTH
@pytest.mark.parametrize("text", ["![]($URL)", "data", "<img src=$URL>"])
async def test_a_post_that_shows_one(uploads: World, text: str, bad: bool) -> None:
    picture = uploads.picture(FORBIDDEN if bad else ORDINARY)
    inside = f"![](data:image/png;base64,{base64.b64encode(picture.file).decode()})"
    body = json.dumps({"status": inside if text == "data" else picture.fill(text)}).encode()
    line = "POST /api/v1/statuses HTTP/1.1"
    await brought(uploads, request(line, body, "Content-Type: application/json"), body, bad=bad)
