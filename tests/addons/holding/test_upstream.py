import asyncio

from addons.holding.upstream import Upstream


class Probe:
    """A server that is asked whether it is there."""

    def __init__(self) -> None:
        self.there = False
        self.asked = 0
        self.hanging = asyncio.Event()
        self.hanging.set()

    async def __call__(self) -> bool:
        self.asked += 1
        await self.hanging.wait()
        return self.there


class Seconds:
    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_one_that_is_up_is_not_asked() -> None:
    probe = Probe()
    upstream = Upstream("http://127.0.0.1:1", probe)
    assert not await upstream.is_down()
    upstream.note(True)
    assert not await upstream.is_down()
    assert probe.asked == 0


async def test_down_until_a_probe_says_otherwise_and_asked_once_a_second() -> None:
    probe, seconds = Probe(), Seconds()
    upstream = Upstream("http://127.0.0.1:1", probe, clock=seconds)
    upstream.note(False)
    assert await upstream.is_down()  # that it was noted is an answer
    assert probe.asked == 0
    seconds.now += 1
    assert await upstream.is_down()
    assert await upstream.is_down()
    assert probe.asked == 1
    probe.there = True
    assert await upstream.is_down()
    seconds.now += 1
    assert not await upstream.is_down()
    assert not upstream.down
    assert probe.asked == 2


async def test_many_ask_at_once() -> None:
    probe, seconds = Probe(), Seconds()
    upstream = Upstream("http://127.0.0.1:1", probe, clock=seconds)
    upstream.note(False)
    seconds.now += 1
    probe.hanging.clear()
    asking = [asyncio.ensure_future(upstream.is_down()) for _ in range(50)]
    await asyncio.sleep(0)
    probe.there = True
    probe.hanging.set()
    assert await asyncio.gather(*asking) == [False] * 50
    assert probe.asked == 1


async def test_a_delivery_that_got_through_says_so_too() -> None:
    upstream = Upstream("http://127.0.0.1:1", Probe())
    upstream.note(False)
    upstream.note(True)
    assert not await upstream.is_down()
