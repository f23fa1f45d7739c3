import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable

import pytest
from mitmproxy import http
from mitmproxy.connection import Client
from mitmproxy.proxy import layer
from mitmproxy.proxy.layer import Layer

from addons.doors.http1 import Bounds
from addons.doors.proxy import Door, DoorMaster
from tests import net
from tests.addons.doors.gate import Gate

DELIVERY = net.post("/inbox", b"abc")


class Failing(Gate):
    """Fails in one hook, at once or after waiting."""

    def __init__(self, hook: str, error: BaseException, *, wait: bool) -> None:
        super().__init__()

        async def later(*args: object) -> None:
            await asyncio.sleep(0.01)
            raise error

        def now(*args: object) -> None:
            raise error

        self.calls = 0
        setattr(self, hook, later if wait else now)


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("hook", ["client_connected", "next_layer", "requestheaders", "request", "server_connect"])
async def test_where_a_hook_fails_the_connection_ends_and_nothing_is_forwarded(
    hook: str, wait: bool, caplog: pytest.LogCaptureFixture
) -> None:
    gate = Failing(hook, ValueError("a bug"), wait=wait)
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(DELIVERY)
        assert await client.closed(timeout=5) == b""
        await net.until(lambda: gate.budget.used == 0)
        assert len(door.lines) == 0
    assert f"the door failed in {hook}" in caplog.text
    assert "a bug" in caplog.text


@pytest.mark.parametrize("wait", [False, True])
@pytest.mark.parametrize("hook", ["responseheaders", "response"])
async def test_where_a_hook_on_the_response_fails_the_connection_ends(hook: str, wait: bool) -> None:
    async with net.door(Failing(hook, ValueError("a bug"), wait=wait)) as door, net.client(door.port) as client:
        await client.send(DELIVERY)
        assert await client.closed(timeout=5) in (b"", net.OK)


async def test_what_an_addon_waits_for_may_be_cancelled() -> None:
    gate = Failing("request", asyncio.CancelledError(), wait=True)
    async with net.door(gate) as door, net.client(door.port) as client:
        await client.send(DELIVERY)
        assert await client.closed(timeout=5) == b""
        assert gate.budget.used == 0
        assert door.lines == []


async def test_where_the_loop_ends_a_delivery_ends_silently(caplog: pytest.LogCaptureFixture) -> None:
    """Nothing is wrong then, so nobody is to read of a door that failed; and nothing goes on to the server."""

    waiting: list[asyncio.Task[object] | None] = []

    class Stuck(Gate):
        async def request(self, flow: http.HTTPFlow) -> None:
            waiting.append(asyncio.current_task())
            await asyncio.sleep(60)

    async with net.door(Stuck()) as door, net.client(door.port) as client:
        await client.send(DELIVERY)
        await net.until(lambda: bool(waiting))
        assert waiting[0] is not None
        waiting[0].cancel()
        assert await client.closed(timeout=5) == b""
        assert door.lines == []
    assert not [record for record in caplog.records if record.levelno > logging.DEBUG]


async def test_one_connection_that_fails_does_not_touch_another() -> None:
    class Picky(Gate):
        async def request(self, flow: http.HTTPFlow) -> None:
            await asyncio.sleep(0.05)
            assert flow.request.raw_content != b"abc"

    async with net.door(Picky()) as door, net.client(door.port) as one, net.client(door.port) as other:
        await asyncio.gather(one.send(DELIVERY), other.send(net.post("/inbox", b"other")))
        assert await one.closed() == b""
        assert (await other.response())[0] == 200
        await other.send(net.post("/inbox", b"again"))
        assert (await other.response())[0] == 200


async def test_a_layer_that_fails_ends_its_connection(caplog: pytest.LogCaptureFixture) -> None:
    class Broken(Layer):
        def _handle_event(self, event: object) -> object:  # type: ignore[override]  # it never gets to yield
            raise RuntimeError("a bug in a layer")

    class Addon:
        def next_layer(self, nextlayer: layer.NextLayer) -> None:
            nextlayer.layer = Broken(nextlayer.context)

    async with net.door(Addon()) as door, net.client(door.port) as client:
        await client.send(DELIVERY)
        assert await client.closed(timeout=5) == b""
    assert "a bug in a layer" in caplog.text
    assert door.lines == []


async def test_a_client_that_leaves_while_it_is_judged_leaves_no_task_and_no_memory() -> None:
    finished = 0

    class Slow(Gate):
        async def request(self, flow: http.HTTPFlow) -> None:
            nonlocal finished
            await asyncio.sleep(0.3)
            finished += 1

    gate = Slow()
    async with net.door(gate) as door:
        before = len(asyncio.all_tasks())
        for abort in (False, True):
            async with net.client(door.port) as client:
                await client.send(DELIVERY)
                await net.until(lambda: gate.budget.used == 3)
                if abort:
                    client.writer.transport.abort()
            await net.until(lambda: gate.budget.used == 0)
        await net.until(lambda: len(asyncio.all_tasks()) <= before)
        assert finished == 2
    assert door.lines == []


async def test_connections_and_tasks_do_not_pile_up() -> None:
    connected: list[Client] = []
    disconnected: list[Client] = []

    class Counting(Gate):
        def client_connected(self, client: Client) -> None:
            connected.append(client)

        def client_disconnected(self, client: Client) -> None:
            disconnected.append(client)

    async with net.door(Counting()) as door:
        before = len(asyncio.all_tasks())
        for number in range(20):
            async with net.client(door.port) as client:
                await client.send([b"", DELIVERY, b"GET / HTTP/1.1\r\n", b"nonsense\r\n\r\n"][number % 4])
                if number % 4 == 1:
                    await client.response()
        await net.until(lambda: len(asyncio.all_tasks()) <= before)
    assert len(connected) == len(disconnected) == 20
    assert len(door.lines) == 5


async def test_a_refused_client_hears_nothing() -> None:
    class Closed(Gate):
        def client_connected(self, client: Client) -> None:
            client.error = "no"

    async with net.door(Closed()) as door, net.client(door.port) as client:
        assert await client.closed() == b""


def awaited(values: list[str], name: str) -> Callable[[http.HTTPFlow], Awaitable[None]]:
    async def hook(flow: http.HTTPFlow) -> None:
        await asyncio.sleep(0)
        values.append(name)

    return hook


@pytest.mark.parametrize("kinds", ["sss", "asa", "aaa", "ssa"])
async def test_hooks_of_several_addons_run_in_order_waiting_or_not(kinds: str) -> None:
    order: list[str] = []

    class Hook:
        def __init__(self, name: str, waits: bool) -> None:
            self.name = name
            self.request = awaited(order, name) if waits else lambda flow: order.append(name)

    hooks = [Hook(f"hook{number}", kind == "a") for number, kind in enumerate(kinds)]
    async with net.upstream() as served, net.running(served.port, [Gate(), *hooks]) as port, net.client(port) as client:
        for _ in range(2):
            await client.send(DELIVERY)
            assert (await client.response())[0] == 200
    assert order == ["hook0", "hook1", "hook2"] * 2


async def test_a_port_that_is_taken_is_said() -> None:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = taken.getsockname()[1]
        master = DoorMaster([Door(f"door:http://127.0.0.1:1@127.0.0.1:{port}", (Gate(),))], idle_time=1)
        task = asyncio.get_running_loop().create_task(master.run())
        try:
            with pytest.raises(OSError, match="in use"):
                async with asyncio.timeout(5):
                    await master.listening()
        finally:
            master.shutdown()
            await task


async def test_every_request_is_asked_about_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.ERROR)
    calls: list[str] = []

    class Noting(Gate):
        def error(self, flow: http.HTTPFlow) -> None:
            calls.append("error")

        def response(self, flow: http.HTTPFlow) -> None:
            calls.append("response")

        async def request(self, flow: http.HTTPFlow) -> None:
            calls.append("request")

    async with net.door(Noting(Bounds())) as door, net.client(door.port) as client:
        await client.send(DELIVERY + b"GET / HTTP/1.1\r\nHost: a\r\n\r\n")
        await client.response()
        await client.response()
    assert calls == ["request", "response"] * 2
    assert caplog.text == ""
