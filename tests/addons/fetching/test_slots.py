import asyncio
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager

import pytest

from addons.fetching.slots import NoSlotError, Slots, Waiting
from addons.senders.shares import Shares


@asynccontextmanager
async def waiters(slots: Slots, *hosts: str, share: str = "") -> AsyncIterator[list[asyncio.Task[None]]]:
    """One task queueing for each host, cancelled in the end."""

    async def wait(host: str) -> None:
        async with slots.slot(host, Waiting(), share):
            await asyncio.sleep(60)

    tasks = [asyncio.ensure_future(wait(host)) for host in hosts]
    await asyncio.sleep(0)
    try:
        yield tasks
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


async def holds(slots: Slots, host: str, share: str = "") -> bool:
    """Whether a slot can be had without waiting."""
    try:
        async with asyncio.timeout(0.01), slots.slot(host, Waiting(), share):
            return True
    except TimeoutError:
        return False


async def test_per_host_at_the_bound_and_one_past_it() -> None:
    slots = Slots(per_host=2, total=10, queue=10)
    async with AsyncExitStack() as held:
        await held.enter_async_context(slots.slot("a", Waiting()))
        assert await holds(slots, "a")
        await held.enter_async_context(slots.slot("a", Waiting()))
        assert not await holds(slots, "a")
        assert await holds(slots, "b")
    assert await holds(slots, "a")
    assert not slots._hosts


async def test_total_at_the_bound_and_one_past_it() -> None:
    slots = Slots(per_host=10, total=2, queue=10)
    async with slots.slot("a", Waiting()):
        assert await holds(slots, "b")
        async with slots.slot("b", Waiting()):
            assert not await holds(slots, "c")
    assert await holds(slots, "c")
    assert not slots._hosts


async def test_who_queues_for_a_slow_host_keeps_no_slot_of_the_others() -> None:
    slots = Slots(per_host=1, total=2, queue=10)
    async with waiters(slots, "slow", "slow", "slow"):
        assert await holds(slots, "quick")


async def test_the_queue_of_a_host_at_the_bound_and_one_past_it() -> None:
    slots = Slots(per_host=1, total=10, queue=2)
    async with waiters(slots, "a", "a", "a") as tasks:  # one holds, two wait
        assert not any(task.done() for task in tasks)
        with pytest.raises(NoSlotError, match="2 fetches from a wait already"):
            async with slots.slot("a", Waiting()):
                pass
        assert await holds(slots, "b")


async def test_the_queue_of_all_hosts_at_the_bound_and_one_past_it() -> None:
    slots = Slots(per_host=1, total=1, queue=1)
    async with waiters(slots, *"abcde") as tasks:  # one holds, four wait
        assert not any(task.done() for task in tasks)
        with pytest.raises(NoSlotError, match="4 fetches wait already"):
            async with slots.slot("f", Waiting()):
                pass


async def test_without_a_queue_a_free_slot_can_still_be_had() -> None:
    slots = Slots(per_host=1, total=1, queue=0)
    async with slots.slot("a", Waiting()):
        with pytest.raises(NoSlotError):
            async with slots.slot("b", Waiting()):
                pass
    assert await holds(slots, "a")


async def test_waiting_is_said_while_it_lasts() -> None:
    slots = Slots(per_host=1, total=1, queue=5)
    waiting = Waiting()

    async def wait() -> None:
        async with slots.slot("b", waiting):
            assert not waiting.for_slot

    async with asyncio.TaskGroup() as group, slots.slot("a", Waiting()):
        group.create_task(wait())
        await asyncio.sleep(0.001)
        assert waiting.for_slot


async def test_cancelled_waiters_leave_nothing_behind() -> None:
    slots = Slots(per_host=1, total=1, queue=5)
    async with slots.slot("a", Waiting()), waiters(slots, "a", "b", "b"):
        pass
    assert await holds(slots, "a")
    assert await holds(slots, "b")
    assert not slots._hosts
    assert slots._queued == 0


@pytest.mark.parametrize(("total", "share"), [(8, 2), (3, 1), (1, 1)])
async def test_a_share_at_the_bound_and_one_past_it(total: int, share: int) -> None:
    slots = Slots(per_host=10, total=total, queue=40)
    async with AsyncExitStack() as held:
        for number in range(share):
            assert await holds(slots, "host", "peer")
            await held.enter_async_context(slots.slot(f"host{number}", Waiting(), "peer"))
        assert not await holds(slots, "host", "peer")
        assert await holds(slots, "host", "other") is (total > 1)
        assert await holds(slots, "host") is (total > 1)
    assert await holds(slots, "host", "peer")
    assert not slots._shares


@pytest.mark.parametrize(("queue", "waits"), [(8, 4), (4, 2), (3, 1), (1, 0)])
async def test_the_queue_of_a_share_at_the_bound_and_one_past_it(queue: int, waits: int) -> None:
    slots = Slots(per_host=10, total=4, queue=queue)
    async with waiters(slots, *"abcde"[: 1 + waits], share="peer") as tasks:  # one holds
        assert not any(task.done() for task in tasks)
        with pytest.raises(NoSlotError, match=f"{waits} fetches for peer wait already"):
            async with slots.slot("d", Waiting(), "peer"):
                pass
        assert await holds(slots, "a", "other")
    assert not slots._shares
    assert slots._queued == 0


async def test_who_waits_for_a_share_counts_among_all_who_wait() -> None:
    slots = Slots(per_host=10, total=4, queue=4)
    async with AsyncExitStack() as held:
        for number in range(10):
            await held.enter_async_context(waiters(slots, f"host{number}", "a", share=str(number)))
        assert slots._queued == 16  # four hold, six wait for one of all, ten for their share's
        with pytest.raises(NoSlotError, match="16 fetches wait already"):
            async with slots.slot("a", Waiting(), "one more"):
                pass


async def test_a_share_that_is_used_up_holds_no_slot_of_a_host() -> None:
    slots = Slots(per_host=1, total=4, queue=40)
    async with waiters(slots, "slow", "quick", "quick", share="peer"):
        assert await holds(slots, "quick", "other")


async def test_waiting_for_a_share_is_said_while_it_lasts() -> None:
    slots = Slots(per_host=1, total=4, queue=40)
    waiting = Waiting()

    async def wait() -> None:
        async with slots.slot("a", waiting, "peer"):
            assert (waiting.for_slot, waiting.for_share) == (False, False)

    async with asyncio.TaskGroup() as group, slots.slot("a", Waiting()):
        async with slots.slot("b", Waiting(), "peer"):
            group.create_task(wait())
            await asyncio.sleep(0.001)
            assert (waiting.for_slot, waiting.for_share) == (True, True)
        await asyncio.sleep(0.001)
        assert (waiting.for_slot, waiting.for_share) == (True, False)  # now for the host


# -- who goes next -----------------------------------------------------------------------------------------------------


class Row:
    """Fetches that wait; ``served``: the shares in the order in which they had their slot, each for a moment."""

    def __init__(self, slots: Slots) -> None:
        self.slots = slots
        self.served: list[str] = []

    async def fetch(self, host: str, share: str) -> None:
        async with self.slots.slot(host, Waiting(), share):
            self.served.append(share)
            await asyncio.sleep(0)

    async def run(self, *wanted: tuple[str, str]) -> list[str]:
        """All of these wait until one slot becomes free, and are then served one by one."""
        async with asyncio.TaskGroup() as group:
            async with self.slots.slot("slow", Waiting()):
                for host, share in wanted:
                    group.create_task(self.fetch(host, share))
                await asyncio.sleep(0)
                await asyncio.sleep(0)
            self.served.clear()
        return self.served


@pytest.mark.parametrize("hosts", ["same", "other"])
async def test_shares_that_wait_have_their_turns(hosts: str) -> None:
    """For the slots of one host, and for those of all."""
    slots = Slots(per_host=1, total=1, queue=100)
    host = "slow" if hosts == "same" else "quick"
    wanted = [(host, "host:flood")] * 5 + [(host, "host:quiet"), (host, "host:other")]
    assert (await Row(slots).run(*wanted))[:3] == ["host:flood", "host:quiet", "host:other"]


async def test_turns_are_by_weight_and_what_the_server_itself_asks_for_has_ten() -> None:
    slots = Slots(per_host=40, total=1, queue=200, shares=Shares({"big.example": 2}))
    slots._per_share = 40
    wanted = [("a", share) for share in ("host:big.example", "host:small.example", "") for _ in range(40)]
    served = await Row(slots).run(*wanted)
    assert len(served) == 120
    turns = [served[:45].count(share) for share in ("", "host:big.example", "host:small.example")]
    assert turns[0] >= 30
    assert turns[1] in (2 * turns[2], 2 * turns[2] + 2, 2 * turns[2] + 4)  # the first had a turn while nobody waited


async def test_the_unverified_together_have_their_fraction_and_turns() -> None:
    slots = Slots(per_host=100, total=20, queue=100, shares=Shares({}, 0.1))
    async with waiters(slots, "a", "b", "c", share="unverified:x"), waiters(slots, "d", share="unverified:y"):
        assert not await holds(slots, "e", "unverified:z")
        assert await holds(slots, "e", "peer:z")
        assert await holds(slots, "e", "host:z")
        assert await holds(slots, "e")
        assert slots._all.free == 18
    assert slots._pool.line.free == 2
    assert await holds(slots, "e", "unverified:z")


async def test_the_queue_of_the_unverified_at_the_bound_and_one_past_it() -> None:
    slots = Slots(per_host=100, total=4, queue=10, shares=Shares({}, 0.1))
    async with AsyncExitStack() as held:
        for number in range(5):  # one holds, four may wait
            await held.enter_async_context(waiters(slots, "a", share=f"unverified:{number}"))
        with pytest.raises(NoSlotError, match="4 fetches for unverified ones wait already"):
            async with slots.slot("a", Waiting(), "unverified:z"):
                pass
        assert await holds(slots, "a", "host:z")
    assert (slots._queued, slots._pool.queued, slots._pool.line.free) == (0, 0, 1)


async def test_who_waits_for_the_unverified_is_not_waited_for_by_others() -> None:
    slots = Slots(per_host=10, total=4, queue=10)
    waiting = Waiting()

    async def wait() -> None:
        async with slots.slot("a", waiting, "unverified:b"):
            assert not waiting.for_share

    async with asyncio.TaskGroup() as group, slots.slot("a", Waiting(), "unverified:a"):
        group.create_task(wait())
        await asyncio.sleep(0)
        assert (waiting.for_slot, waiting.for_share) == (True, True)
