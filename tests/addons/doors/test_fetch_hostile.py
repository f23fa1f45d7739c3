"""Answers of hosts that mean one thing to the fetch door and another to who gets them."""

import asyncio
import gzip
import zlib

import pytest

from classifier import media_type_of
from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, PAGE, Host, is_placeholder, said
from tests.drawing import encode, textured

pytestmark = pytest.mark.asyncio(loop_scope="module")

ENCODED = gzip.compress(FORBIDDEN)


@pytest.mark.parametrize("claim", ["application/octet-stream", "text/html", "image/png"])
@pytest.mark.parametrize("chunked", [True, False])
async def test_what_is_compressed_for_the_transfer_is_refused(
    open_door: OpenDoor, remote: Host, claim: str, chunked: bool
) -> None:
    body = b"%x\r\n%b\r\n0\r\n\r\n" % (len(ENCODED), ENCODED) if chunked else ENCODED
    encoding = "gzip, chunked" if chunked else "gzip"
    head = f"HTTP/1.1 200 OK\r\nContent-Type: {claim}\r\nTransfer-Encoding: {encoding}\r\nConnection: close\r\n\r\n"
    remote.put("/sent", head.encode() + body)
    at = f"remote.example:{remote.port}"
    async with open_door() as door, net.client(door.port) as client:
        await client.send(f"GET http://{at}/sent HTTP/1.1\r\nHost: {at}\r\nAccept-Encoding: gzip\r\n\r\n".encode())
        status, _, answer = await client.response()
        assert (status, ENCODED[20:100] in answer) == (502, False)
        await door.entries(0)


@pytest.mark.parametrize("claim", ["application/octet-stream", "text/html", "video/mp4", "application/activity+json"])
async def test_what_is_a_video_before_its_encoding_is_undone_is_refused(
    open_door: OpenDoor, remote: Host, claim: str
) -> None:
    both = video_and_deflate(b"what follows")
    remote.put("/both", said(both, claim, "Content-Encoding: deflate"))
    async with open_door() as door:
        answer = await door.get("/both")
        assert (answer.status_code, b"ftypisom" in answer.content) == (502, False)
        await door.entries(0)


JPEG = encode(textured(1), "JPEG", quality=85)


@pytest.mark.parametrize("before", [b"\0", b"%PDF-1.7\n", b"<html>" + b"<p>words</p>" * 2000, b"\xff\xf1"])
@pytest.mark.parametrize("claim", ["application/octet-stream", "text/html"])
async def test_gotosocial_gets_no_picture_behind_other_bytes(
    open_door: OpenDoor, remote: Host, before: bytes, claim: str
) -> None:
    remote.put("/behind", said(before + JPEG, claim))
    remote.put("/page", said(PAGE * 10, claim))
    async with open_door(server={"software": "gotosocial"}) as door:
        assert is_placeholder(await door.get("/behind"))
        assert (await door.get("/page")).content == PAGE * 10
        await door.entries(1)


@pytest.mark.parametrize("claim", ["image/png", "text/html", "application/octet-stream", "application/activity+json"])
async def test_a_host_that_shows_an_ordinary_picture_first(open_door: OpenDoor, remote: Host, claim: str) -> None:
    """Whatever was looked at before, these very bytes are judged."""
    answers = [said(ORDINARY, claim), said(FORBIDDEN, claim)] * 2

    async def cloaking(_: net.Received, writer: asyncio.StreamWriter) -> None:
        writer.write(answers.pop(0))

    remote.put("/cloaked", cloaking)
    async with open_door() as door:
        for _ in range(2):
            assert (await door.get("/cloaked")).content == ORDINARY
            assert FORBIDDEN[50:150] not in (await door.get("/cloaked")).content
        await door.entries(4)


@pytest.mark.parametrize(
    "header", ["Range: bytes=0-99", "Range: bytes=50-", "Range: bytes=-99\r\nIf-Range: x", "TE: gzip"]
)
async def test_no_header_of_the_servers_brings_it_in_pieces(open_door: OpenDoor, header: str, remote: Host) -> None:
    at = f"remote.example:{remote.port}"
    async with open_door() as door, net.client(door.port) as client:
        await client.send(f"GET http://{at}/forbidden.png HTTP/1.1\r\nHost: {at}\r\n{header}\r\n\r\n".encode())
        _, _, answer = await client.response()
        assert FORBIDDEN[50:100] not in answer


def video_and_deflate(rest: bytes) -> bytes:
    """An MP4 file by its beginning that is raw deflate as well: the length of its first box is a stored block's
    (RFC 1951 section 3.2.4), and the box has room for where the next one begins."""
    size, block = 0x99FF, 0x9900
    last = b"\x01" + (size - 5 - block - 5 + len(rest)).to_bytes(2, "little")
    last += bytes(byte ^ 0xFF for byte in last[1:])
    box = size.to_bytes(4, "big") + b"ftypisom"
    box = box.ljust(5 + block, b"\0") + last
    made = box.ljust(size, b"\0") + rest
    assert media_type_of(made) == "video/mp4"
    assert zlib.decompress(made, -zlib.MAX_WBITS).startswith(b"typisom")
    return made
