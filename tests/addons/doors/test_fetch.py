import asyncio
import gzip
import hashlib
import zlib

import httpx
import pytest

from addons.doors.gathering import FIRST
from addons.policy.words import Cause
from classifier import media_type_of
from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, Host, said
from tests.drawing import encode, textured
from tests.filming import film

# One engine for all: starting its processes takes longer than any test here.
pytestmark = pytest.mark.asyncio(loop_scope="module")

PAGE = b"<!DOCTYPE html><html><body>" + b"<p>an ordinary page</p>" * 100 + b"</body></html>"
REJECT = [{"name": "known", "when": {"hash.ours": 1}, "do": "reject"}]


def is_placeholder(answer: httpx.Response, kind: str = "image/png") -> bool:
    told = (answer.status_code, answer.headers.get("content-type"), answer.headers.get("cache-control"))
    return told == (200, kind, "no-store") and media_type_of(answer.content) == kind and answer.content != FORBIDDEN


# -- the table of outcomes ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("tls", [True, False])
async def test_a_permitted_image_arrives_byte_for_byte(open_door: OpenDoor, remote: Host, tls: bool) -> None:
    async with open_door() as door:
        answer = await door.get("/ordinary.png", tls=tls)
        assert (answer.status_code, answer.content) == (200, ORDINARY)
        assert (answer.headers["etag"], answer.headers["x-kept"]) == ('"one"', "as it is")
        [entry] = await door.entries(1)
        assert (entry.door, entry.action, entry.media[0].url) == ("fetch", "pass", door.url("/ordinary.png", tls=tls))
    assert remote.alpn == (["http/1.1"] if tls else [])


@pytest.mark.parametrize("tls", [True, False])
async def test_a_forbidden_image_is_replaced_by_a_placeholder(open_door: OpenDoor, tls: bool) -> None:
    async with open_door() as door:
        assert is_placeholder(await door.get("/forbidden.png", tls=tls))
        [entry] = await door.entries(1)
        assert (entry.action, entry.host, entry.peer) == ("drop", "remote.example", "127.0.0.1")


async def test_a_placeholder_is_of_the_format_that_was_judged(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/same", said(encode(textured(1), "JPEG", quality=85), "image/webp"))
    async with open_door() as door:
        assert is_placeholder(await door.get("/same"), "image/jpeg")


async def test_reject_is_403(open_door: OpenDoor) -> None:
    async with open_door(rules=REJECT) as door:
        assert (await door.get("/forbidden.png")).status_code == 403


async def test_undecided_is_503_and_the_retry_finds_it_judged(
    open_door: OpenDoor, remote: Host, monkeypatch: pytest.MonkeyPatch
) -> None:
    new = encode(textured(77))
    remote.put("/new.png", said(new))
    async with open_door() as door:
        monkeypatch.setattr(door.fetch, "_left", lambda look: 0.0)  # judging gets no time at all
        answer = await door.get("/new.png")
        assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
        await net.until(lambda: not door.service.judge._going)
        monkeypatch.undo()
        assert (await door.get("/new.png")).content == new
        assert [entry.media[0].cause for entry in await door.entries(2)] == [Cause.TIMEOUT, None]


async def test_a_rule_on_the_host_asks_for_nothing(open_door: OpenDoor, remote: Host) -> None:
    rule = [{"name": "blocked", "when": {"host": ["remote.example"]}, "do": "reject"}]
    async with open_door(rules=rule) as door:
        assert (await door.get("/ordinary.png")).status_code == 403
        # Some servers take a 4xx for an actor as the end of it.
        assert (await door.get("/users/a", Accept="application/activity+json")).status_code == 502
    assert remote.requests == []


async def test_what_was_blocked_by_its_url_is_replaced(open_door: OpenDoor) -> None:
    from addons.ledger.standings import Place
    from addons.policy.words import Action

    async with open_door() as door:
        door.service.ledger.standings.block([Place(door.url("/ordinary.png"))], Action.STRIP, "x")
        assert is_placeholder(await door.get("/ordinary.png"))


async def test_a_url_of_raw_bytes_is_judged_too(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/caf\xe9\U0001f408", said(FORBIDDEN))
    at = f"remote.example:{remote.port}".encode()
    async with open_door({"ports": [remote.port]}) as door, net.client(door.port) as client:
        await client.send(b"CONNECT " + at + b" HTTP/1.1\r\nHost: " + at + b"\r\n\r\n")
        assert (await client.response())[0] == 200
        for path in ("/caf\xe9\U0001f408".encode(), b"/\xff\xfe"):
            await client.send(b"GET " + path + b" HTTP/1.1\r\nHost: " + at + b"\r\n\r\n")
            status, _, body = await client.response()
            assert (status, body == FORBIDDEN) == (200 if b"caf" in path else 404, False)
        await door.entries(1)


# -- by content, not by header -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("claim", ["text/html", "application/octet-stream", "application/activity+json", "audio/mpeg"])
async def test_an_image_under_another_type_is_judged(open_door: OpenDoor, remote: Host, claim: str) -> None:
    remote.put("/lie", said(FORBIDDEN, claim))
    async with open_door() as door:
        assert is_placeholder(await door.get("/lie"))


async def test_what_claims_to_be_an_image_and_is_none_is_unsupported(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/lie", said(PAGE, "image/png"))
    async with open_door() as door:
        assert (await door.get("/lie")).content != PAGE
        [entry] = await door.entries(1)
        assert entry.media[0].cause == Cause.UNSUPPORTED


async def test_an_error_with_an_image_in_it_is_judged(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/gone", said(FORBIDDEN, status="404 Not Found"))
    async with open_door() as door:
        assert is_placeholder(await door.get("/gone"))


async def test_what_stands_behind_the_end_of_an_image_is_judged(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/two.png", said(ORDINARY + FORBIDDEN))
    async with open_door() as door:
        assert is_placeholder(await door.get("/two.png"))


async def test_a_page_streams_and_is_not_written_down(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/page", said(PAGE + FORBIDDEN, "text/html"))
    remote.put("/bytes", said(b"\x00\x01\x02" + FORBIDDEN, "application/octet-stream"))
    async with open_door() as door:
        assert (await door.get("/page")).content == PAGE + FORBIDDEN
        # What no server can show: an image behind other bytes, not called one.
        assert (await door.get("/bytes")).content == b"\x00\x01\x02" + FORBIDDEN
        await door.entries(0)


async def test_a_page_is_never_gathered_whole(open_door: OpenDoor, remote: Host) -> None:
    used: list[int] = []
    more, rest = asyncio.Event(), b"x" * (1 << 20)

    async def slowly(_: net.Received, writer: asyncio.StreamWriter) -> None:
        writer.write(said(PAGE * 5 + rest, "text/html")[: -len(rest)])
        await writer.drain()
        await more.wait()
        writer.write(rest)

    remote.put("/page", slowly)
    async with open_door() as door, door.client() as client, client.stream("GET", door.url("/page")) as answer:
        async for piece in answer.aiter_raw():
            used.append(door.service.budget.used)
            if not more.is_set():
                assert piece.startswith(PAGE[:10])
            more.set()
    assert max(used) < 64 << 10


@pytest.mark.parametrize("encoding", ["gzip", "deflate"])
async def test_encoded_images_are_judged_decoded_and_pass_encoded(
    open_door: OpenDoor, remote: Host, encoding: str
) -> None:
    encode_ = gzip.compress if encoding == "gzip" else zlib.compress
    remote.put("/good", said(encode_(ORDINARY), "image/png", f"Content-Encoding: {encoding}"))
    remote.put("/bad", said(encode_(FORBIDDEN), "image/png", f"Content-Encoding: {encoding}"))
    async with open_door() as door:
        good = await door.get("/good")
        assert (good.content, good.headers["content-encoding"]) == (ORDINARY, encoding)
        bad = await door.get("/bad")
        assert is_placeholder(bad)
        assert "content-encoding" not in bad.headers


async def test_only_encodings_that_are_undone_here_are_asked_for(open_door: OpenDoor, remote: Host) -> None:
    async with open_door() as door:
        await door.get("/ordinary.png", Accept_Encoding="gzip, br;q=0.9, zstd")
        await door.get("/ordinary.png", Accept_Encoding="br")
    assert [request.header(b"accept-encoding") for request in remote.requests] == [b"gzip", b"identity"]


@pytest.mark.parametrize("body", [b"br it is", gzip.compress(ORDINARY)[:-9], b"no gzip at all" + ORDINARY])
async def test_what_cannot_be_decoded_is_no_answer(open_door: OpenDoor, remote: Host, body: bytes) -> None:
    encoding = "br" if body.startswith(b"br") else "gzip"
    remote.put("/bad", said(body, "image/png", f"Content-Encoding: {encoding}"))
    async with open_door() as door:
        assert (await door.get("/bad")).status_code == 502


async def test_a_bomb_is_too_large(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/bomb", said(gzip.compress(ORDINARY + bytes(3 << 20)), "image/png", "Content-Encoding: gzip"))
    async with open_door(fetch={"max_bytes": "2MiB"}) as door:
        assert is_placeholder(await door.get("/bomb"))
        [entry] = await door.entries(1)
        assert entry.media[0].cause == Cause.TOO_LARGE


# -- bounds ------------------------------------------------------------------------------------------------------------


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
    async with open_door(bounds={"deadline": 0.3}) as door:
        assert (await door.get("/slow")).status_code in statuses


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


# -- ranges and conditionals -------------------------------------------------------------------------------------------


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
