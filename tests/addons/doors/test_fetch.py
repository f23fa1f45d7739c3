import asyncio
import gzip
import zlib

import pytest

from addons.policy.words import Cause
from classifier import Parts
from classifier.hashlists import Digests
from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, PAGE, Host, is_placeholder, said
from tests.drawing import encode, textured

# One engine for all: starting its processes takes longer than any test here.
pytestmark = pytest.mark.asyncio(loop_scope="module")

REJECT = [{"name": "known", "when": {"hash.ours": 1}, "do": "reject"}]


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
    new, go = encode(textured(77)), asyncio.Event()
    remote.put("/new.png", said(new))
    async with open_door() as door:
        digests = door.service.engine.digests

        async def later(data: bytes | Parts) -> Digests:
            await go.wait()
            return await digests(data)

        monkeypatch.setattr(door.service.engine, "digests", later)
        monkeypatch.setattr(door.fetch, "_left", lambda look: 0.0)
        answer = await door.get("/new.png")
        assert (answer.status_code, answer.headers["cache-control"]) == (503, "no-store")
        assert door.service.budget.used == len(new)  # judging goes on
        go.set()
        await net.until(lambda: door.service.budget.used == 0)
        monkeypatch.undo()
        assert (await door.get("/new.png")).content == new
        first, second = await door.entries(2)
        assert (first.media[0].cause, second.media[0].cached) == (Cause.TIMEOUT, True)


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
