"""What passes the fetch door unjudged: the server's own deliveries, heads, its own media, and all in mode: observe."""

import asyncio
import json
from datetime import UTC, datetime, timedelta

import pytest
from cryptography.hazmat.primitives.asymmetric.rsa import RSAPrivateKey
from mitmproxy.test import tflow

from addons.activitypub.signatures import sign_cavage, verify
from addons.policy.words import Cause
from tests import net
from tests.addons.doors.conftest import OpenDoor
from tests.addons.doors.fetched import FORBIDDEN, ORDINARY, Host, said

pytestmark = pytest.mark.asyncio(loop_scope="module")

KEY_ID = "https://example.org/actor#main-key"
OBSERVE = {"mode": "observe"}


@pytest.mark.parametrize("tls", [True, False])
@pytest.mark.parametrize("method", ["POST", "PUT", "DELETE"])
async def test_a_delivery_of_the_servers_own_passes_byte_for_byte(
    open_door: OpenDoor, remote: Host, rsa_key: RSAPrivateKey, tls: bool, method: str
) -> None:
    body = b'{ "type":"Create","caf\xc3\xa9" : "\\u0061" }\r\n'
    answer = said(FORBIDDEN, "image/png")
    remote.put("/inbox?a=b%20c", answer)
    async with open_door() as door, door.client() as client:
        url = door.url("/inbox?a=b%20c", tls=tls)
        named = [("Content-Type", "application/activity+json"), ("X-Odd", "a  b"), ("x-twice", "1"), ("X-Twice", "2")]
        headers = sign_cavage(method, url, named, body, KEY_ID, rsa_key, now=datetime.now(UTC))
        got = await client.request(method, url, headers=headers, content=body)
        # What it brings is looked at by nobody: no server makes a picture of the answer to a delivery.
        assert got.content == FORBIDDEN
        await door.entries(0)
        assert await door.counts() == {"unjudged": 1}
    [request] = remote.requests
    assert request.body == body
    assert request.line == f"{method} /inbox?a=b%20c HTTP/1.1".encode()
    arrived = [(name.decode(), value.decode("latin-1")) for name, value in request.headers]
    sent = [field for field in headers if field[0] != "Host"]  # which httpx puts first
    assert [field for field in arrived if field in sent] == sent
    key, hour = rsa_key.public_key(), timedelta(hours=1)
    seen = verify(method, url, arrived, request.body, lambda _: key, datetime.now(UTC), hour)
    assert seen.key_id == KEY_ID


async def test_a_head_goes_out_as_it_came(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/inbox", net.OK)
    at = f"Remote.example:{remote.port}"
    head = f"host: {at}\r\nX-ODD:   spaces  \r\nx-odd:again\r\nContent-Length: 1".encode()
    async with open_door() as door, net.client(door.port) as client:
        await client.send(f"POST http://{at}/inbox HTTP/1.1\r\n".encode() + head + b"\r\n\r\nx")
        assert (await client.response())[0] == 200
    [request] = remote.requests
    assert [(name, value) for name, value in request.headers] == [
        (b"host", at.encode()),
        (b"X-ODD", b"spaces"),
        (b"x-odd", b"again"),
        (b"Content-Length", b"1"),
    ]


async def test_a_delivery_is_not_gathered_in_either_direction(open_door: OpenDoor, remote: Host) -> None:
    """Each side sends the next piece only once the other has the last one."""
    pieces, got = 5, list[bytes]()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.readuntil(b"\r\n\r\n")
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 500\r\n\r\n")
        for _ in range(pieces):
            got.append(await reader.readexactly(100))
            writer.write(got[-1])
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server, open_door(fetch={"ports": [port]}) as door, net.client(door.port) as client:
        at = f"remote.example:{port}"
        await client.send(f"POST http://{at}/inbox HTTP/1.1\r\nHost: {at}\r\nContent-Length: 500\r\n\r\n".encode())
        for number in range(pieces):
            await client.send(bytes([number]) * 100)
            if number == 0:
                head = await client.reader.readuntil(b"\r\n\r\n")
                assert head.startswith(b"HTTP/1.1 200")
            assert await client.reader.readexactly(100) == bytes([number]) * 100
            assert door.service.budget.used == 0


async def test_a_delivery_is_not_held_to_the_deadline(open_door: OpenDoor, remote: Host) -> None:
    late = asyncio.Event()

    async def slow(_: net.Received, writer: asyncio.StreamWriter) -> None:
        await late.wait()
        writer.write(net.OK)

    remote.put("/inbox", slow)
    remote.put("/slow", slow)
    async with open_door(bounds={"deadline": 1.0}) as door, door.client() as client:
        delivery = asyncio.get_running_loop().create_task(client.post(door.url("/inbox", tls=False), content=b"x"))
        await net.until(lambda: bool(remote.requests))
        assert (await door.get("/slow", tls=False)).status_code == 504
        late.set()
        assert (await delivery).status_code == 200


async def test_a_delivery_to_a_host_that_a_rule_refuses_still_goes_out(open_door: OpenDoor, remote: Host) -> None:
    rule = [{"name": "blocked", "when": {"host": ["remote.example"]}, "do": "reject"}]
    remote.put("/inbox", net.OK)
    async with open_door(rules=rule) as door, door.client() as client:
        assert (await client.post(door.url("/inbox"), content=b"x")).status_code == 200


async def test_a_head_passes(open_door: OpenDoor, remote: Host) -> None:
    async def head(request: net.Received, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 200 OK\r\nContent-Type: image/png\r\nContent-Length: 999\r\n\r\n")

    remote.put("/forbidden.png", head)
    async with open_door() as door, door.client() as client:
        answer = await client.head(door.url("/forbidden.png"), headers={"Range": "bytes=0-1"})
        assert (answer.status_code, answer.headers["content-length"], answer.content) == (200, "999", b"")
        assert (await client.get(door.url("/ordinary.png"))).content == ORDINARY
    assert remote.requests[0].header(b"range") == b"bytes=0-1"


@pytest.mark.parametrize(("scan", "judged"), [("federation", False), ("everything", True)])
async def test_media_of_our_own_are_judged_only_where_everything_is(
    open_door: OpenDoor, scan: str, judged: bool
) -> None:
    async with open_door(server={"domains": ["remote.example"]}, scan=scan, fetch={"ports": [80, 443]}) as door:
        # Ours are on the usual ports; another port may be another server's.
        assert (await door.get("/forbidden.png")).content != FORBIDDEN
        flow = tflow.tflow()
        flow.request.url = "https://remote.example/x.png"
        door.fetch.requestheaders(flow)
        assert ("fediward.look" in flow.metadata) == judged
        door.fetch.response(flow)


# -- mode: observe -----------------------------------------------------------------------------------------------------


async def test_observing_passes_first_and_writes_down_afterwards(open_door: OpenDoor, remote: Host) -> None:
    more = asyncio.Event()

    async def slowly(_: net.Received, writer: asyncio.StreamWriter) -> None:
        whole = said(FORBIDDEN)
        writer.write(whole[:30000])
        await writer.drain()
        await more.wait()
        writer.write(whole[30000:])

    remote.put("/slowly", slowly)
    async with open_door(**OBSERVE) as door, door.client() as client:
        async with client.stream("GET", door.url("/slowly")) as answer:
            body = b""
            async for piece in answer.aiter_raw():
                body += piece
                more.set()  # it began before all of it was there
        assert body == FORBIDDEN
        assert await door.fetch.drained(10)
        [entry] = await door.entries(1)
        assert (entry.action, entry.mode) == ("drop", "observe")


async def test_observing_changes_no_request(open_door: OpenDoor, remote: Host) -> None:
    part = said(FORBIDDEN[:10], "image/png", f"Content-Range: bytes 0-9/{len(FORBIDDEN)}", status="206 Partial Content")
    remote.put("/part", part)
    async with open_door(**OBSERVE) as door:
        answer = await door.get("/part", Range="bytes=0-9", If_None_Match='"x"', Accept_Encoding="br")
        assert (answer.status_code, answer.content) == (206, FORBIDDEN[:10])
        assert await door.counts() == {"unobserved": 1}
    [request] = remote.requests
    asked = [request.header(name) for name in (b"range", b"if-none-match", b"accept-encoding")]
    assert asked == [b"bytes=0-9", b'"x"', b"br"]


async def test_observing_holds_no_more_than_the_bound(open_door: OpenDoor, remote: Host) -> None:
    body = ORDINARY + bytes(1 << 20)
    remote.put("/large", said(body))
    async with open_door(fetch={"max_bytes": "64KiB"}, **OBSERVE) as door:
        assert (await door.get("/large")).content == body
        assert await door.fetch.drained(10)
        [entry] = await door.entries(1)
        assert (entry.media[0].cause, entry.mode) == (Cause.TOO_LARGE, "observe")


async def test_what_cannot_be_decoded_passes_unobserved(open_door: OpenDoor, remote: Host) -> None:
    remote.put("/odd", said(b"anything", "image/png", "Content-Encoding: br"))
    async with open_door(**OBSERVE) as door, door.client() as client, client.stream("GET", door.url("/odd")) as answer:
        assert b"".join([piece async for piece in answer.aiter_raw()]) == b"anything"
        assert await door.fetch.drained(10)
        assert await door.counts() == {"unobserved": 1}


async def test_observing_judges_a_bounded_number_at_a_time(open_door: OpenDoor) -> None:
    async with open_door(**OBSERVE) as door:
        door.fetch._afterwards._at_once = 0
        assert (await door.get("/forbidden.png")).content == FORBIDDEN
        await net.until(lambda: not door.fetch.busy)
        await door.entries(0)
        assert await door.counts() == {"unobserved": 1}


async def test_observing_asks_no_rule_beforehand(open_door: OpenDoor, remote: Host) -> None:
    rule = [{"name": "blocked", "when": {"host": ["remote.example"]}, "do": "reject"}]
    async with open_door(rules=rule, **OBSERVE) as door:
        assert (await door.get("/ordinary.png")).content == ORDINARY
        assert await door.fetch.drained(10)
        assert [(entry.action, entry.rule) for entry in await door.entries(1)] == [("reject", "blocked")]


# -- documents ---------------------------------------------------------------------------------------------------------

NOTE = {"@context": "https://www.w3.org/ns/activitystreams", "type": "Note", "attributedTo": "https://remote.example/a"}


def note(path: str, url: str) -> bytes:
    document = {"type": "Document", "mediaType": "image/png", "url": url}
    told = {"id": f"https://remote.example{path}", "content": "hello", "attachment": [document]}
    return json.dumps(NOTE | told).encode()


@pytest.mark.parametrize("claim", ["application/activity+json", "text/html", ""])
async def test_a_document_with_forbidden_media_is_not_passed(open_door: OpenDoor, remote: Host, claim: str) -> None:
    async with open_door() as door:
        for path, image in (("/bad", "forbidden"), ("/good", "ordinary")):
            remote.put(path, said(note(path, f"http://127.0.0.1:{remote.port}/{image}.png"), claim))
        assert (await door.get("/bad")).status_code == 404
        answer = await door.get("/good")
        assert (answer.status_code, answer.content) == (200, remote.answers["/good"].split(b"\r\n\r\n")[1])  # type: ignore[union-attr]


@pytest.mark.parametrize("status", ["404 Not Found", "410 Gone", "500 Oops", "301 Moved"])
async def test_an_error_stays_what_it_is(open_door: OpenDoor, remote: Host, status: str) -> None:
    remote.put("/gone", said(b"not JSON at all", "application/activity+json", status=status))
    async with open_door() as door:
        answer = await door.get("/gone", Accept="application/activity+json")
        assert (answer.status_code, answer.content) == (int(status[:3]), b"not JSON at all")


async def test_a_document_past_the_bound_is_too_large(open_door: OpenDoor, remote: Host) -> None:
    body = note("/x", "https://remote.example/x.png")
    for path, more in (("/at", 0), ("/past", 1)):
        remote.put(path, said(b'{"x": "' + b"y" * (20_000 - 9 + more) + b'"}', "application/json"))
    assert len(body) < 20_000
    async with open_door(bounds={"document_bytes": 20_000}) as door:
        assert (await door.get("/at")).status_code == 200
        # Not a 4xx: nobody knows whether it is an actor's.
        assert (await door.get("/past")).status_code == 502


# -- the end -----------------------------------------------------------------------------------------------------------


async def test_who_goes_while_it_is_judged_leaves_nothing_behind(open_door: OpenDoor, remote: Host) -> None:
    begun = asyncio.Event()

    async def stall(_: net.Received, writer: asyncio.StreamWriter) -> None:
        writer.write(said(ORDINARY)[:-5])
        begun.set()
        await asyncio.Event().wait()

    remote.put("/stall", stall)
    async with open_door() as door:
        async with net.client(door.port) as client:
            at = f"remote.example:{remote.port}"
            await client.send(f"GET http://{at}/stall HTTP/1.1\r\nHost: {at}\r\n\r\n".encode())
            await begun.wait()
            await net.until(lambda: door.service.budget.used > 10_000)
            assert door.fetch.busy
            assert not await door.fetch.drained(0.05)
        await net.until(lambda: door.service.budget.used == 0 and not door.fetch.busy)


async def test_a_slow_client_is_not_waited_for(open_door: OpenDoor) -> None:
    async with open_door(limits={"header_time": "200ms"}) as door, net.client(door.port) as client:
        await client.send(b"GET http://remote.example/ HT")
        assert (await client.response())[0] == 408
