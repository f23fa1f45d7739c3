import asyncio

import pytest

from addons.web.afterwards import Afterwards


async def test_work_goes_on_and_is_bounded() -> None:
    gate, done = asyncio.Event(), []

    async def work(number: int) -> None:
        await gate.wait()
        done.append(number)

    afterwards = Afterwards(2)
    full = []
    for number in range(3):
        full.append(afterwards.full)
        if not afterwards.full:
            afterwards.do(work(number))
    assert full == [False, False, True]
    gate.set()
    await afterwards.done()
    assert sorted(done) == [0, 1]
    assert not afterwards.full


async def test_what_fails_is_told_and_harms_nothing(caplog: pytest.LogCaptureFixture) -> None:
    async def broken() -> None:
        raise RuntimeError("broken")

    afterwards = Afterwards()
    afterwards.do(broken())
    await afterwards.done()
    await asyncio.sleep(0)
    [record] = caplog.records
    assert record.getMessage() == "what was passed could not be judged afterwards"
    assert record.exc_info
    await afterwards.done()


async def test_what_is_ended_is_not_told(caplog: pytest.LogCaptureFixture) -> None:
    async def waits() -> None:
        await asyncio.Event().wait()

    afterwards = Afterwards(1)
    afterwards.do(waits())
    [task] = afterwards._tasks
    task.cancel()
    await afterwards.done()
    assert not caplog.records
