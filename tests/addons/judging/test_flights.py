import asyncio

import pytest

from addons.judging.flights import Flight, Flights


class Work:
    """Work that is counted, and ends when it is told to."""

    def __init__(self) -> None:
        self.begun = self.cancelled = 0
        self.gates: list[asyncio.Future[str]] = []

    async def __call__(self, flight: Flight[str]) -> str:
        self.begun += 1
        flight.waiting.for_slot = True
        gate: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.gates.append(gate)
        try:
            return await gate
        except asyncio.CancelledError:
            self.cancelled += 1
            raise


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


async def test_the_same_is_done_once_and_another_by_itself() -> None:
    work, flights = Work(), Flights[str](Clock(), 5)
    async with asyncio.TaskGroup() as group:
        same = [group.create_task(flights.board("a", "", 9, work).landing()) for _ in range(3)]
        other = group.create_task(flights.board("b", "", 9, work).landing())
        await asyncio.sleep(0)
        assert (work.begun, len(flights)) == (2, 2)
        work.gates[0].set_result("A")
        work.gates[1].set_result("B")
    assert [task.result() for task in [*same, other]] == ["A", "A", "A", "B"]
    assert len(flights) == 0


async def test_one_going_away_or_running_out_of_time_does_not_hurt_the_others() -> None:
    work, flights = Work(), Flights[str](Clock(), 5)
    first, second = flights.board("a", "", 9, work), flights.board("a", "", 9, work)
    leaving = asyncio.ensure_future(first.landing())
    staying = asyncio.ensure_future(second.landing())
    await asyncio.sleep(0)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.board("a", "", 9, work).landing()
    leaving.cancel()
    await asyncio.sleep(0)
    assert (work.begun, work.cancelled, second.waiting.for_slot) == (1, 0, True)
    work.gates[0].set_result("A")
    assert await staying == "A"


async def test_the_last_to_go_ends_it_and_the_next_begins_anew() -> None:
    work, flights = Work(), Flights[str](Clock(), 5)
    with pytest.raises(TimeoutError):
        async with asyncio.timeout(0.01):
            await flights.board("a", "", 9, work).landing()
    anew = asyncio.ensure_future(flights.board("a", "", 9, work).landing())
    await asyncio.sleep(0.01)
    assert (work.begun, work.cancelled, len(flights)) == (2, 1, 1)
    work.gates[1].set_result("A")
    assert await anew == "A"


@pytest.mark.parametrize(("age", "begun"), [(5.0, 1), (5.01, 2)])
async def test_who_comes_late_begins_anew(age: float, begun: int) -> None:
    clock, work = Clock(), Work()
    flights = Flights[str](clock, 5)
    early = asyncio.ensure_future(flights.board("a", "", 9, work).landing())
    await asyncio.sleep(0)
    clock.now = age
    late = asyncio.ensure_future(flights.board("a", "", 9, work).landing())
    await asyncio.sleep(0)
    assert work.begun == begun
    for number, gate in enumerate(work.gates):
        gate.set_result(str(number))
    assert [await early, await late] == ["0", str(begun - 1)]
    await asyncio.sleep(0)
    assert len(flights) == 0


async def test_what_went_wrong_is_told_to_all_who_waited_and_to_nobody_after() -> None:
    work, flights = Work(), Flights[str](Clock(), 5)
    waiters = [asyncio.ensure_future(flights.board("a", "", 9, work).landing()) for _ in range(2)]
    await asyncio.sleep(0)
    work.gates[0].set_exception(ValueError("broken"))
    for waiter in waiters:
        with pytest.raises(ValueError, match="broken"):
            await waiter
    after = asyncio.ensure_future(flights.board("a", "", 9, work).landing())
    await asyncio.sleep(0)
    work.gates[1].set_result("mended")
    assert await after == "mended"


@pytest.mark.parametrize(
    ("share", "for_share", "begun"), [("one", True, 1), ("two", True, 2), ("two", False, 1), ("one", False, 1)]
)
async def test_nobody_waits_for_anothers_share(share: str, for_share: bool, begun: int) -> None:
    work, flights = Work(), Flights[str](Clock(), 5)
    first = flights.board("a", "one", 9, work)
    early = asyncio.ensure_future(first.landing())
    await asyncio.sleep(0)
    first.waiting.for_share = for_share
    late = asyncio.ensure_future(flights.board("a", share, 9, work).landing())
    await asyncio.sleep(0)
    assert work.begun == begun
    for number, gate in enumerate(work.gates):
        gate.set_result(str(number))
    assert [await early, await late] == ["0", str(begun - 1)]
    assert len(flights) == 0


async def test_the_latest_deadline_is_known_to_the_work() -> None:
    work, flights = Work(), Flights[str](Clock(), 5)
    flight = flights.board("a", "", 7.0, work)
    waiting = [asyncio.ensure_future(flight.landing())]
    for deadline, latest in ((9.0, 9.0), (8.0, 9.0)):
        waiting.append(asyncio.ensure_future(flights.board("a", "", deadline, work).landing()))
        assert flight.deadline == latest
    await asyncio.sleep(0)
    work.gates[0].set_result("A")
    await asyncio.gather(*waiting)
