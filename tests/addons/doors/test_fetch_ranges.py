"""The fetch door and ranges, conditionals and parts: nothing slips by in pieces."""

import hashlib

import pytest

from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, PAGE, Host, is_placeholder, said

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_the_whole_is_asked_for_and_a_part_is_given(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door:
        answer = await door.get("/ordinary.png", Range="bytes=10-19", If_None_Match='"one"', If_Modified_Since="x")
        assert (answer.status_code, answer.content) == (206, ORDINARY[10:20])
        assert answer.headers["content-range"] == f"bytes 10-19/{len(ORDINARY)}"
        assert (await door.get("/ordinary.png", Range="bytes=-5")).content == ORDINARY[-5:]
        assert (await door.get("/ordinary.png", Range="bytes=0-1048575")).content == ORDINARY
        assert (await door.get("/ordinary.png", Range="bytes=0-1,5-6")).content == ORDINARY
        past = await door.get("/ordinary.png", Range=f"bytes={len(ORDINARY)}-")
        assert (past.status_code, past.headers["content-range"]) == (416, f"bytes */{len(ORDINARY)}")
        assert is_placeholder(await door.get("/forbidden.png", Range="bytes=0-99"))
        await door.entries(6)
    for request in remote.requests:
        assert not {b"range", b"if-none-match", b"if-modified-since"} & {name.lower() for name, _ in request.headers}


@pytest.mark.parametrize(("validator", "status"), [('"one"', 206), ('"two"', 200), ('W/"one"', 200)])
async def test_a_range_goes_with_its_validator(open_door: OpenDoor, validator: str, status: int) -> None:
    async with open_door() as door:
        assert (await door.get("/ordinary.png", Range="bytes=0-9", If_Range=validator)).status_code == status


async def test_a_part_of_a_page_is_cut_where_its_length_is_known(open_door: OpenDoor, remote: Host) -> None:
    body = PAGE * 20
    remote.put("/page", said(body, "text/html"))
    remote.put(
        "/unsaid",
        b"HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n" + net.chunked(body),
    )
    async with open_door() as door, door.client() as client:
        for wanted, part in (("0-99", body[:100]), ("9000-9999", body[9000:10000]), (f"0-{len(body)}", body)):
            answer = await client.get(door.url("/page"), headers={"Range": f"bytes={wanted}"})
            assert (answer.status_code, answer.content) == (206, part)
        answer = await client.get(door.url("/page"), headers={"Range": "bytes=99999999-"})
        assert answer.status_code == 416
        answer = await client.get(door.url("/unsaid"), headers={"Range": "bytes=0-9"})
        assert (answer.status_code, answer.content) == (200, body)
        assert (await client.get(door.url("/ordinary.png"))).content == ORDINARY


@pytest.mark.parametrize(
    "answer",
    [
        said(FORBIDDEN[:100], "image/png", f"Content-Range: bytes 0-99/{len(FORBIDDEN)}", status="206 Partial Content"),
        b"HTTP/1.1 304 Not Modified\r\n\r\n",
        said(b"--x\r\n\r\n" + FORBIDDEN, "multipart/x-mixed-replace; boundary=x"),
        said(b"--x\r\n\r\n" + FORBIDDEN, "Multipart/ByteRanges; boundary=x"),
    ],
)
async def test_parts_that_nobody_asked_for_are_refused(open_door: OpenDoor, remote: Host, answer: bytes) -> None:
    remote.put("/part", answer)
    async with open_door() as door:
        assert (await door.get("/part", Range="bytes=0-99", If_None_Match="x")).status_code == 502


async def test_many_requests_go_over_one_connection(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door, door.client() as client:
        for _ in range(3):
            digest = hashlib.sha256((await client.get(door.url("/ordinary.png"))).content).digest()
            assert digest == hashlib.sha256(ORDINARY).digest()
            assert is_placeholder(await client.get(door.url("/forbidden.png")))
