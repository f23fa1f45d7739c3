import asyncio
import contextlib
from ipaddress import ip_network

import pytest
from starlette.types import Receive, Scope, Send

from addons.policy.values import Address
from addons.web.connections import Bounded, Bounds
from addons.web.serving import Listener
from tests import net
from tests.addons.web.parts import LOOPBACK, listening
from tests.addons.web.test_serving import GET, Waits, hello

SOON = Bounds(head_time=0.2)
READ_SOON = Bounds(read_time=0.2)


@pytest.mark.parametrize("sent", [b"", b"G", b"GET / HTTP/1.1\r\nHost: a\r\n"])
async def test_a_head_that_does_not_come_ends_the_connection(sent: bytes) -> None:
    async with listening(hello, SOON) as port, net.client(port) as client:
        await client.send(sent)
        assert await client.closed() == b""


async def test_a_second_head_must_come_in_time_too() -> None:
    async with listening(hello, Bounds(head_time=1)) as port, net.client(port) as client:
        await client.send(GET)
        assert (await client.response())[0] == 200
        await client.send(b"GET / HTTP/1.1\r\nHo")
        assert await client.closed() == b""


async def test_who_waits_for_an_answer_is_not_in_a_hurry() -> None:
    app = Waits()
    listener = Listener(app, Address("127.0.0.1", 0), LOOPBACK)
    _, port = await listener.open()
    async with net.client(port) as client:
        await client.send(GET)
        await app.asked.wait()
        [connection] = listener._server.server_state.connections
        assert isinstance(connection, Bounded)
        assert connection._head is None
        app.gate.set()
        assert (await client.response())[0] == 200
        assert connection._head is None
    await listener.close()


@pytest.mark.parametrize(("size", "status"), [(4000, 200), (70_000, 400)])
async def test_how_long_a_head_may_be(size: int, status: int) -> None:
    """h11 counts once the head is incomplete, so it may be longer by what one read brings."""
    async with listening(hello, Bounds(head=4096)) as port, net.client(port) as client:
        await client.send(b"GET /" + size * b"a" + b" HTTP/1.1\r\n")
        if status == 200:
            await client.send(b"Host: a\r\n\r\n")
            assert (await client.response())[0] == 200
        else:
            assert b" 400 " in (await client.closed()).split(b"\r\n")[0]


@pytest.mark.parametrize(
    "request_head",
    [
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: 1\r\nContent-Length: 2\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nTransfer-Encoding: chunked, gzip\r\n\r\n",
        b"POST / HTTP/1.1\r\nHost: a\r\nContent-Length: +1\r\n\r\n",
        b"GET / HTTP/1.1\r\n\r\n",
        b"GET http://a b/ HTTP/1.1\r\nHost: a\r\n\r\n",
        b"\r\n",
        b"\x16\x03\x01\x00\xa5",
    ],
)
async def test_what_is_no_plain_http_is_refused(request_head: bytes) -> None:
    async with listening(hello) as port, net.client(port) as client:
        await client.send(request_head)
        assert b" 400 " in (await client.closed()).split(b"\r\n")[0]


async def test_connections_are_bounded() -> None:
    async with listening(hello, Bounds(connections=4)) as port, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(net.client(port)) for _ in range(4)]
        await clients[0].send(GET)
        assert (await clients[0].response())[0] == 503
        await clients[1].send(GET)  # the first one has gone
        assert (await clients[1].response())[0] == 200


async def test_strangers_take_nobodys_place_and_are_few() -> None:
    strange = Listener(
        hello, Address("127.0.0.1", 0), (ip_network("127.0.0.2/32"),), Bounds(connections=2, strangers=3)
    )
    _, port = await strange.open()
    try:
        async with contextlib.AsyncExitStack() as stack:
            strangers = [await stack.enter_async_context(net.client(port)) for _ in range(3)]
            one_more = await stack.enter_async_context(net.client(port))
            assert await one_more.closed() == b""
            client = await stack.enter_async_context(net.client(port, "127.0.0.2"))
            await client.send(GET)
            assert (await client.response())[0] == 200
            await strangers[0].send(GET)
            assert (await strangers[0].response())[0] == 403
            assert await strangers[0].closed() == b""
            another = await stack.enter_async_context(net.client(port))
            await another.send(GET)
            assert (await another.response())[0] == 403
    finally:
        await strange.close()


class Floods:
    """Sends more than any buffer holds; ``done`` says that it could go on, to a client or to nobody."""

    def __init__(self) -> None:
        self.done, self.sent = asyncio.Event(), 0

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": []})
        for _ in range(1000):
            await send({"type": "http.response.body", "body": bytes(64 << 10), "more_body": True})
            self.sent += 1
        await send({"type": "http.response.body", "body": b""})
        self.done.set()


async def test_who_does_not_read_is_hung_up_on() -> None:
    app = Floods()
    async with listening(app, READ_SOON) as port:
        reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
        writer.write(GET)
        async with asyncio.timeout(20):
            await app.done.wait()  # nobody is there any more: the rest goes nowhere
        with contextlib.suppress(ConnectionError):
            while await reader.read(1 << 20):
                pass
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()


async def test_who_does_not_read_the_end_is_hung_up_on_too() -> None:
    async def long(scope: Scope, receive: Receive, send: Send) -> None:
        await send({"type": "http.response.start", "status": 200, "headers": [(b"connection", b"close")]})
        await send({"type": "http.response.body", "body": bytes(32 << 20)})

    listener = Listener(long, Address("127.0.0.1", 0), (ip_network("127.0.0.0/8"),), READ_SOON)
    _, port = await listener.open()
    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=1024)
    writer.write(GET)
    await net.until(lambda: bool(listener._server.server_state.connections))
    await net.until(lambda: not listener._server.server_state.connections, 20)
    writer.transport.abort()
    await listener.close()
    assert not reader.at_eof()
