import asyncio
import logging
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from addons.alarms.alarms import QUEUE, Alarms
from addons.alarms.kinds import MESSAGE, AlarmKind
from addons.alarms.sending import NotSentError
from tests import net
from tests.addons.alarms.receiving import AT, Keeps

LEDGER, CLOCK = AlarmKind.LEDGER, AlarmKind.CLOCK
QUICK = (0.001, 0.002)


@asynccontextmanager
async def running(*targets: Keeps, **more: Any) -> AsyncIterator[Alarms]:
    settings: dict[str, Any] = {"backoff": QUICK, "host": "box", "wall": lambda: AT}
    alarms = Alarms(targets, **(settings | more))
    alarms.start()
    try:
        yield alarms
    finally:
        await alarms.close()


async def test_an_alarm_reaches_every_target() -> None:
    one, other = Keeps(), Keeps()
    async with running(one, other) as alarms:
        alarms.raise_(LEDGER, "the disk is full")
        await net.until(lambda: bool(one.got and other.got), 20)
    assert one.got == other.got
    told = one.got[0]
    assert (told.kind, told.message, told.at, told.host, told.over) == (LEDGER, "the disk is full", AT, "box", False)
    assert one.closed
    assert other.closed


async def test_it_is_in_the_log_in_any_case(caplog: pytest.LogCaptureFixture) -> None:
    async with running() as alarms:
        alarms.raise_(LEDGER, "the disk is full")
        alarms.over(LEDGER, "it can be written again")
    assert [record.getMessage() for record in caplog.records] == [
        "alarm: the ledger cannot be written: the disk is full",
        "alarm over: the ledger cannot be written: it can be written again",
    ]


async def test_what_is_raised_before_the_start_and_by_other_threads() -> None:
    target = Keeps()
    alarms = Alarms([target])
    alarms.raise_(LEDGER, "early")
    alarms.start()
    thread = threading.Thread(target=alarms.raise_, args=(CLOCK, "from a thread"))
    thread.start()
    await net.until(lambda: len(target.got) == 2, 20)
    thread.join()
    await alarms.close()
    assert {one.message for one in target.got} == {"early", "from a thread"}


async def test_more_of_one_kind_are_counted_and_told_of_later() -> None:
    target = Keeps()
    clock = [0.0]
    async with running(target, every=30, clock=lambda: clock[0]) as alarms:
        for number in range(4):
            alarms.raise_(LEDGER, f"number {number}")
        await net.until(lambda: len(target.got) == 1, 20)
        clock[0] = 30
        alarms.raise_(LEDGER, "number 4")
        await net.until(lambda: len(target.got) == 2, 20)
    assert [(one.message, one.suppressed) for one in target.got] == [("number 0", 0), ("number 4", 3)]


async def test_they_are_told_of_though_no_other_comes() -> None:
    target = Keeps()
    async with running(target, every=0.05) as alarms:
        for number in range(4):
            alarms.raise_(LEDGER, f"number {number}")
        await net.until(lambda: len(target.got) >= 2, 20)
    assert sum(1 + one.suppressed for one in target.got) == 4
    assert target.got[-1].message == "number 3"


async def test_a_try_that_fails_is_made_again(caplog: pytest.LogCaptureFixture) -> None:
    target = Keeps(NotSentError("no"), NotSentError("no"))
    async with running(target) as alarms:
        alarms.raise_(LEDGER, "it")
        await net.until(lambda: bool(target.got), 20)
    assert target.tries == 3
    assert not [record for record in caplog.records if "not sent" in record.getMessage()]


async def test_tries_end_and_failures_are_told_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    target = Keeps(*(NotSentError("no way") for _ in range(6)))
    async with running(target, tries=3) as alarms:
        alarms.raise_(LEDGER, "lost")
        alarms.raise_(CLOCK, "lost too")
        await net.until(lambda: target.tries == 6 and not alarms.waiting, 20)
        alarms.raise_(AlarmKind.CERTIFICATE, "not lost")
        await net.until(lambda: bool(target.got), 20)
    assert [one.message for one in target.got] == ["not lost"]
    told = [record.getMessage() for record in caplog.records if "target" in record.getMessage()]
    assert told == [
        "an alarm (ledger) was not sent to the test's target: no way; `fediward alarms test` tries it",
        "alarms reach the test's target again",
    ]


async def test_what_would_fail_again_is_not_tried_again() -> None:
    target = Keeps(NotSentError("never", again=False))
    async with running(target) as alarms:
        alarms.raise_(LEDGER, "lost")
        alarms.raise_(CLOCK, "next")
        await net.until(lambda: bool(target.got), 20)
    assert target.tries == 2


async def test_a_mistake_of_a_targets_is_logged_and_costs_that_alarm_alone(caplog: pytest.LogCaptureFixture) -> None:
    target = Keeps(RuntimeError("a mistake"))
    async with running(target) as alarms:
        alarms.raise_(LEDGER, "lost")
        alarms.raise_(CLOCK, "next")
        await net.until(lambda: bool(target.got), 20)
    assert [record.exc_info is not None for record in caplog.records if "could not be sent" in record.getMessage()]


async def test_a_slow_target_keeps_nobody_waiting_and_its_queue_is_bounded() -> None:
    slow, other = Keeps(), Keeps()
    slow.gate.clear()
    async with running(slow, other, every=0, queue=QUEUE) as alarms:
        for number in range(QUEUE + 50):
            alarms.raise_(LEDGER, str(number))
            await net.until(lambda: len(other.got) == number + 1, 20)  # noqa: B023  # used at once
        assert alarms.waiting == QUEUE
        slow.gate.set()
        await net.until(lambda: not alarms.waiting, 20)
    assert [one.message for one in slow.got] == ["0", *map(str, range(50, QUEUE + 50))]
    assert len(slow.got) <= QUEUE + 1


async def test_the_end_does_not_wait_for_who_never_answers() -> None:
    target = Keeps()
    target.gate.clear()
    alarms = Alarms([target])
    alarms.start()
    alarms.raise_(LEDGER, "it")
    await net.until(lambda: target.tries == 1, 20)
    await asyncio.wait_for(alarms.close(0.01), 20)
    alarms.raise_(CLOCK, "after the end")
    assert (target.closed, target.got) == (True, [])


async def test_the_end_lets_go_what_waits() -> None:
    target = Keeps()
    alarms = Alarms([target])
    alarms.start()
    alarms.raise_(LEDGER, "it")
    await alarms.close(20)
    assert [one.message for one in target.got] == ["it"]


async def test_a_message_is_bounded_and_harmless() -> None:
    target = Keeps()
    async with running(target) as alarms:
        alarms.raise_(LEDGER, "a\x1b[31m\u202e" + "x" * 5000)
        await net.until(lambda: bool(target.got), 20)
    assert target.got[0].message.startswith("a\\u{1b}[31m\\u{202e}x")
    assert len(target.got[0].message) < MESSAGE + 50
