import asyncio
import errno
import logging
import socket
from ipaddress import ip_network

import pytest
from starlette.responses import PlainTextResponse
from starlette.types import Message, Receive, Scope, Send

from addons.policy.values import Address, Network
from addons.web.serving import Listener, allowed
from tests import net
from tests.addons.web.parts import LOOPBACK, listening

GET = b"GET / HTTP/1.1\r\nHost: a\r\n\r\n"


async def hello(scope: Scope, receive: Receive, send: Send) -> None:
    """Answers at once, whatever is still to come of the request."""
    await PlainTextResponse("hello")(scope, receive, send)


async def echo(scope: Scope, receive: Receive, send: Send) -> None:
    body, more = b"", True
    while more:
        message = await receive()
        body, more = body + message.get("body", b""), message.get("more_body", False)
    await PlainTextResponse(body)(scope, receive, send)


class Waits:
    """Answers when told to."""

    def __init__(self) -> None:
        self.gate, self.asked = asyncio.Event(), asyncio.Event()

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        self.asked.set()
        await self.gate.wait()
        await hello(scope, receive, send)


async def test_a_connection_is_kept_for_more_requests() -> None:
    async with listening(echo) as port, net.client(port) as client:
        for _ in range(3):
            await client.send(GET)
            assert (await client.response())[0] == 200
            await client.send(net.post("/", b"some"))
            assert (await client.response())[2] == b"some"
        chunks = net.chunked(b"one", b"two")
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n" + chunks)
        assert (await client.response())[2] == b"onetwo"


async def test_two_requests_sent_at_once_are_answered_in_order() -> None:
    async with listening(echo) as port, net.client(port) as client:
        await client.send(net.post("/", b"one") + net.post("/", b"two"))
        assert [(await client.response())[2] for _ in range(2)] == [b"one", b"two"]


async def test_who_was_answered_before_all_was_read_is_hung_up_on() -> None:
    async with listening(hello) as port, net.client(port) as client:
        await client.send(b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked\r\n\r\n3\r\none\r\n")
        status, head, _ = await client.response()
        assert (status, b"connection: close" in head.lower()) == (200, True)
        assert await client.closed() == b""


async def test_a_head_that_says_length_0_has_no_body() -> None:
    async with listening(hello) as port, net.client(port) as client:
        for _ in range(2):
            await client.send(net.post("/", b""))
            assert b"connection: close" not in (await client.response())[1].lower()


@pytest.mark.parametrize(
    ("clients", "client", "expected"),
    [
        (LOOPBACK, "127.0.0.1", True),
        (LOOPBACK, "127.9.9.9", True),
        (LOOPBACK, "::1", True),
        (LOOPBACK, "::ffff:127.0.0.1", True),
        (LOOPBACK, "::ffff:10.0.0.1", False),
        (LOOPBACK, "10.0.0.1", False),
        ((ip_network("10.0.0.0/8"),), "10.255.255.255", True),
        ((ip_network("10.0.0.0/8"),), "11.0.0.0", False),
        ((ip_network("fe80::/10"),), "fe80::1%eth0", True),
        ((), "127.0.0.1", False),
        (LOOPBACK, "unix", False),
        (LOOPBACK, None, False),
    ],
)
def test_who_is_a_client(clients: tuple[Network, ...], client: str | None, expected: bool) -> None:
    assert allowed(None if client is None else (client, 1), clients) is expected


async def test_others_are_refused_and_told_of_once(caplog: pytest.LogCaptureFixture) -> None:
    asked: list[Message] = []

    async def app(scope: Scope, receive: Receive, send: Send) -> None:
        asked.append(await receive())

    listener = Listener(app, Address("127.0.0.1", 0), (ip_network("127.0.0.7/32"),))
    _, port = await listener.open()
    try:
        for _ in range(2):
            async with net.client(port) as client:
                await client.send(GET)
                status, head, _ = await client.response()
                assert (status, b"connection: close" in head.lower()) == (403, True)
                assert b"cache-control: no-store" in head.lower()
                assert await client.closed() == b""
    finally:
        await listener.close()
    assert not asked
    told = [record.getMessage() for record in caplog.records if record.name == "addons.web.serving"]
    assert told == ["127.0.0.1 is refused at 127.0.0.1:0: it is not among the clients of that door"]


async def test_on_ipv6() -> None:
    listener = Listener(hello, Address("::1", 0), LOOPBACK)
    host, port = await listener.open()
    try:
        assert host == "::1"
        reader, writer = await asyncio.open_connection(host, port)
        writer.write(GET)
        assert (await reader.readline()).startswith(b"HTTP/1.1 200")
        writer.close()
        await writer.wait_closed()
    finally:
        await listener.close()


@pytest.mark.parametrize(("host", "shown"), [("127.0.0.1", "127.0.0.1"), ("::1", "[::1]")])
async def test_a_port_that_is_taken_is_named(host: str, shown: str) -> None:
    taken = socket.socket(socket.AF_INET6 if ":" in host else socket.AF_INET)
    with taken:
        taken.bind((host, 0))
        taken.listen()
        port = taken.getsockname()[1]
        listener = Listener(hello, Address(host, port), LOOPBACK)
        with pytest.raises(OSError, match="address already in use") as caught:
            await listener.open()
        assert str(caught.value).startswith(f"cannot listen on {shown}:{port}: ")
        await listener.close()


async def test_an_address_that_is_not_ours_or_no_name() -> None:
    for host in ("192.0.2.1", "no-such-host.invalid"):
        with pytest.raises(OSError, match=f"cannot listen on {host}:1: ") as caught:
            await Listener(hello, Address(host, 1), LOOPBACK).open()
        assert caught.value.errno != errno.EADDRINUSE


async def test_closing_lets_what_is_under_way_finish_and_takes_no_more() -> None:
    app = Waits()
    listener = Listener(app, Address("127.0.0.1", 0), LOOPBACK)
    _, port = await listener.open()
    async with net.client(port) as client, net.client(port) as idle:
        await client.send(GET)
        await app.asked.wait()
        closing = asyncio.ensure_future(listener.close())
        assert await idle.closed() == b""
        app.gate.set()
        status, _, body = await client.response()
        assert (status, body) == (200, b"hello")
        await closing
    with pytest.raises(ConnectionRefusedError):
        await asyncio.open_connection("127.0.0.1", port)
    await listener.close()  # a second time does nothing


async def test_closing_answers_503_to_who_waits_too_long(caplog: pytest.LogCaptureFixture) -> None:
    app = Waits()
    listener = Listener(app, Address("127.0.0.1", 0), LOOPBACK)
    _, port = await listener.open()
    async with net.client(port) as client:
        await client.send(GET)
        await app.asked.wait()
        closing = asyncio.ensure_future(listener.close())
        status, head, _ = await client.response()
        assert (status, b"cache-control: no-store" in head.lower()) == (503, True)
        await closing
        assert await client.closed() == b""
    assert not [record for record in caplog.records if record.exc_info]


async def test_signals_are_left_to_the_command() -> None:
    import signal

    before = signal.getsignal(signal.SIGTERM)
    async with listening(hello):
        assert signal.getsignal(signal.SIGTERM) is before


async def test_what_an_app_raises_is_an_error_of_ours(caplog: pytest.LogCaptureFixture) -> None:
    async def broken(scope: Scope, receive: Receive, send: Send) -> None:
        raise RuntimeError("broken")

    async with listening(broken) as port, net.client(port) as client:
        await client.send(GET)
        assert (await client.response(head_only=True))[0] == 500
    assert [record for record in caplog.records if record.levelno == logging.ERROR]
