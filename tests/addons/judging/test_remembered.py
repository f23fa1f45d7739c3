import asyncio
from collections import Counter
from dataclasses import dataclass

import pytest

from addons.fetching.results import FetchError
from addons.fetching.slots import Waiting
from addons.judging.remembered import LONGEST, Remembered
from addons.policy.words import Cause
from tests import net

URL = "https://remote.example/page"


@dataclass
class Found:
    weight: int


class Bench:
    """Something that is asked, and counts how often; it waits for ``gate`` where there is one."""

    def __init__(self) -> None:
        self.now = 0.0
        self.asked: Counter[str] = Counter()
        self.gate: asyncio.Event | None = None
        self.fails: FetchError | None = None
        self.weight = 1
        self.for_slot = False
        self.kept = Remembered(self.find, seconds=60, entries=2, clock=lambda: self.now)

    async def find(self, url: str, waiting: Waiting, share: str) -> Found:
        self.asked[url] += 1
        waiting.for_slot = self.for_slot
        if self.gate:
            await self.gate.wait()
        if self.fails:
            raise self.fails
        return Found(self.weight)

    async def get(self, url: str = URL, timeout: float = 5) -> Found:
        return await self.kept.get(url, timeout=timeout, share="peer")


@pytest.mark.parametrize(("later", "asked"), [(59, 1), (61, 2)])
async def test_it_is_asked_once_and_again_when_that_is_old(later: float, asked: int) -> None:
    bench = Bench()
    first = await bench.get()
    bench.now += later
    assert (await bench.get() is first) == (asked == 1)
    assert bench.asked[URL] == asked


async def test_who_asks_at_the_same_time_is_answered_by_one() -> None:
    bench = Bench()
    bench.gate = asyncio.Event()
    asking = [asyncio.ensure_future(bench.get()) for _ in range(5)]
    await asyncio.sleep(0)
    assert bench.kept.in_flight == 1
    bench.gate.set()
    assert len({id(found) for found in await asyncio.gather(*asking)}) == 1
    assert (bench.asked[URL], bench.kept.in_flight) == (1, 0)


async def test_a_failure_is_not_remembered() -> None:
    bench = Bench()
    bench.fails = FetchError(Cause.FETCH_FAILED, "no", URL)
    with pytest.raises(FetchError, match="no"):
        await bench.get()
    bench.fails = None
    await bench.get()
    assert bench.asked[URL] == 2


@pytest.mark.parametrize(("weight", "asked"), [(LONGEST - len(URL), 1), (LONGEST - len(URL) + 1, 2)])
async def test_at_and_past_the_most_characters(weight: int, asked: int) -> None:
    bench = Bench()
    bench.weight = weight
    await bench.get()
    await bench.get()
    assert bench.asked[URL] == asked


async def test_at_and_past_the_most_entries() -> None:
    bench = Bench()
    for url in ("a", "b", "c", "b", "c", "a"):
        await bench.get(url)
    assert bench.asked == {"a": 2, "b": 1, "c": 1}


@pytest.mark.parametrize(("for_slot", "cause"), [(False, Cause.TIMEOUT), (True, Cause.BUSY)])
async def test_what_takes_too_long_says_what_it_waited_for(for_slot: bool, cause: Cause) -> None:
    bench = Bench()
    bench.gate, bench.for_slot = asyncio.Event(), for_slot
    with pytest.raises(FetchError) as caught:
        await bench.get(timeout=0.01)
    assert caught.value.cause is cause
    await net.until(lambda: bench.kept.in_flight == 0)


@pytest.mark.parametrize("timeout", [0, -1])
async def test_without_time_only_what_is_remembered_is_told(timeout: float) -> None:
    bench = Bench()
    with pytest.raises(FetchError) as caught:
        await bench.get(timeout=timeout)
    assert (caught.value.cause, bench.asked[URL]) == (Cause.TIMEOUT, 0)
    found = await bench.get()
    assert await bench.get(timeout=timeout) is found
