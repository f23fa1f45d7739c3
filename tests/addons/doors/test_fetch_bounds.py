"""What the fetch door makes of large, slow, broken and odd answers."""

import asyncio

import pytest

from addons.doors.gathering import FIRST
from addons.policy.words import Cause
from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import ORDINARY, PAGE, Host, is_placeholder, said
from tests.drawing import textured
from tests.filming import film

pytestmark = pytest.mark.asyncio(loop_scope="module")


async def test_media_at_the_bound_pass_and_past_it_are_too_large(open_door: OpenDoor, remote: Host) -> None:
    bound = 64 << 10
    remote.put("/at", said(ORDINARY + bytes(bound - len(ORDINARY))))
    remote.put("/past", said(ORDINARY + bytes(bound - len(ORDINARY) + 1)))
    chunks = [ORDINARY, *[bytes(1 << 10)] * 64]
    remote.put("/unsaid", b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n" + net.chunked(*chunks))
    assert len(ORDINARY) < bound
    async with open_door(fetch={"max_bytes": "64KiB"}) as door:
        assert len((await door.get("/at")).content) == bound
        assert is_placeholder(await door.get("/past"))
        assert is_placeholder(await door.get("/unsaid"))
        assert [entry.media[0].cause for entry in await door.entries(3)] == [None, *[Cause.TOO_LARGE] * 2]


async def test_where_the_policy_lets_large_media_by_they_stream(open_door: OpenDoor, remote: Host) -> None:
    body = ORDINARY + bytes(200 << 10)
    remote.put("/large", said(body))
    async with open_door(fetch={"max_bytes": "64KiB"}, on={"too_large": "record"}) as door:
        assert (await door.get("/large")).content == body
        assert [entry.action for entry in await door.entries(1)] == ["record"]


@pytest.mark.parametrize(("action", "status"), [("defer", 503), ("pass", 200)])
async def test_without_memory_the_cause_is_busy(open_door: OpenDoor, action: str, status: int) -> None:
    async with open_door(on={"busy": action}) as door:
        with door.service.budget.take(door.service.budget.limit - 100):
            answer = await door.get("/ordinary.png")
        assert answer.status_code == status
        assert status != 200 or answer.content == ORDINARY


@pytest.mark.parametrize("framing", ["Content-Length: 5000", "Transfer-Encoding: chunked"])
async def test_a_body_that_ends_early_is_no_answer(open_door: OpenDoor, remote: Host, framing: str) -> None:
    async def cut(_: net.Received, writer: asyncio.StreamWriter) -> None:
        body = b"1000\r\n" if "chunked" in framing else b""
        writer.write(f"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\n{framing}\r\n\r\n".encode())
        writer.write(body + ORDINARY[:999])
        await writer.drain()
        writer.close()

    remote.put("/cut", cut)
    async with open_door() as door:
        answer = await door.get("/cut")
        assert answer.status_code == 502
        assert ORDINARY[:50] not in answer.content
        await door.entries(0)


@pytest.mark.parametrize(
    ("sent", "statuses"),
    [(b"", (504,)), (said(ORDINARY)[:-10], (503,)), (said(PAGE, "text/html")[:-10], (504,))],
)
async def test_a_slow_host_is_not_waited_for(
    open_door: OpenDoor, remote: Host, sent: bytes, statuses: tuple[int, ...]
) -> None:
    async def stall(_: net.Received, writer: asyncio.StreamWriter) -> None:
        writer.write(sent)
        await asyncio.Event().wait()

    assert len(PAGE) < FIRST
    remote.put("/slow", stall)
    async with open_door(bounds={"deadline": 1.0}) as door:
        assert (await door.get("/slow", tls=False)).status_code in statuses


async def test_interim_answers_and_trailers_end_here(open_door: OpenDoor, remote: Host) -> None:
    head = b"HTTP/1.1 103 Early Hints\r\nLink: </x>\r\n\r\nHTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n"
    remote.put("/odd", head + net.chunked(ORDINARY)[:-2] + b"Digest: x\r\n\r\n")
    async with open_door() as door:
        answer = await door.get("/odd")
        assert (answer.status_code, answer.content) == (200, ORDINARY)
        assert answer.headers["content-length"] == str(len(ORDINARY))


async def test_videos_are_judged(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/bad.mp4", said(film([textured(1, 320, 240)] * 10), "video/mp4"))
    good = film([textured(2, 320, 240)] * 10)
    remote.put("/good.mp4", said(good, "video/mp4"))
    async with open_door() as door:
        assert is_placeholder(await door.get("/bad.mp4", Range="bytes=100-"), "video/mp4")
        assert (await door.get("/good.mp4", Range="bytes=100-199")).content == good[100:200]


async def test_a_sound_without_a_picture_passes_and_is_no_medium(open_door: OpenDoor, remote: Host) -> None:
    sound = b"fLaC" + bytes(5000)
    remote.put("/sound", said(sound, "audio/flac"))
    async with open_door() as door:
        answer = await door.get("/sound")
        entries = await door.entries(0 if answer.content == sound else 1)
        assert all(entry.media[0].cause == Cause.UNDECODABLE for entry in entries)


async def test_an_empty_answer_passes(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/none", b"HTTP/1.1 204 No Content\r\nContent-Type: image/png\r\n\r\n")
    remote.put("/moved", said(b"", "image/png", "Location: /ordinary.png", status="302 Found"))
    async with open_door() as door:
        assert (await door.get("/none")).status_code == 204
        assert (await door.get("/moved")).headers["location"] == "/ordinary.png"
