import asyncio

import pytest

from addons.doors.gathering import Reading, Step
from addons.doors.observing import Afterwards, Tap
from addons.fetching.budget import MemoryBudget
from tests import net
from tests.drawing import encode, textured

IMAGE = encode(textured(2))


def reading(budget: MemoryBudget, most: int = 1 << 20) -> Reading:
    return Reading("image/png", "", None, lease=budget.take(0), most=most, most_document=1 << 20)


@pytest.mark.parametrize(("most", "step"), [(1 << 20, Step.WHOLE), (20_000, Step.FAILED)])
def test_a_tap_lets_all_by_and_tells_once(most: int, step: Step) -> None:
    budget, told = MemoryBudget(1 << 20), list[tuple[Reading, Step]]()
    tap = Tap(reading(budget, most), lambda reading, step: told.append((reading, step)))
    pieces = [IMAGE[start : start + 5000] for start in range(0, len(IMAGE), 5000)]
    assert b"".join(map(tap, pieces)) == IMAGE
    assert tap(b"") == b""
    [(one, came)] = told
    assert came is step
    assert budget.used
    one.lease.release()
    assert not budget.used


@pytest.mark.parametrize("ends", [True, False])
def test_what_is_nothing_or_ends_midway_is_forgotten(ends: bool) -> None:
    budget = MemoryBudget(1 << 20)
    one = Reading("text/html", "", None, lease=budget.take(0), most=1 << 20, most_document=1 << 20)
    tap = Tap(one, lambda reading, step: pytest.fail("nothing to tell"))
    tap(b"<html>")
    tap(b"") if ends else tap.stop()
    assert not budget.used
    tap.stop()


async def test_work_is_bounded_and_gives_its_memory_back(caplog: pytest.LogCaptureFixture) -> None:
    budget, go = MemoryBudget(1 << 20), asyncio.Event()
    afterwards, done = Afterwards(at_once=2), list[int]()

    async def work(number: int) -> None:
        await go.wait()
        done.append(number)
        if number == 1:
            raise ValueError("a bug")

    kept = [reading(budget) for _ in range(3)]
    for one in kept:
        one.feed(IMAGE)
    assert [afterwards.begin(work(number), one) for number, one in enumerate(kept)] == [True, True, False]
    assert (len(afterwards), budget.used) == (2, 2 * len(IMAGE))
    go.set()
    await net.until(lambda: not len(afterwards))
    assert (done, budget.used) == ([0, 1], 0)
    assert "could not be observed" in caplog.text
