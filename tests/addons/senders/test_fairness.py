import asyncio
from collections import Counter
from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from addons.senders.fairness import BusyError, Fair, Line
from addons.senders.shares import Shares

FOREVER = 60.0


class Crowd:
    """Who asks a :class:`Fair`: ``order`` tells who was admitted, ``holding`` who is in now; ``leave`` lets one out."""

    def __init__(self, fair: Fair) -> None:
        self.fair = fair
        self.order: list[str] = []
        self.holding: dict[str, asyncio.Event] = {}
        self.tasks: dict[str, asyncio.Task[None]] = {}
        self.costs: dict[str, int] = {}

    async def come(self, share: str, cost: int = 1, *, times: int = 1, timeout: float = FOREVER) -> list[str]:
        """As many of ``share`` as that, each named after it and a number."""
        names = [f"{share}#{len(self.tasks) + number}" for number in range(times)]
        for name in names:
            self.costs[name] = cost
            self.tasks[name] = asyncio.get_running_loop().create_task(self._one(name, share, cost, timeout))
        await settle()
        return names

    async def leave(self, name: str | None = None) -> str:
        """The one of this name, or who has been in the longest, goes."""
        name = name or next(iter(self.holding))
        self.holding.pop(name).set()
        await settle()
        return name

    async def _one(self, name: str, share: str, cost: int, timeout: float) -> None:
        async with self.fair.admitted(share, cost, timeout):
            self.order.append(name)
            out = self.holding[name] = asyncio.Event()
            try:
                await out.wait()
            finally:
                self.holding.pop(name, None)

    async def end(self) -> None:
        for task in self.tasks.values():
            task.cancel()
        await asyncio.gather(*self.tasks.values(), return_exceptions=True)
        assert (self.fair.used, self.fair.pooled, self.fair.waiting) == (0, 0, 0)
        assert (self.fair._all.waiting, self.fair._pool.waiting, self.fair._room._shares) == (0, 0, {})

    def refused(self) -> list[str]:
        return [name for name, task in self.tasks.items() if task.done() and isinstance(task.exception(), BusyError)]


async def settle() -> None:
    """Let everything run that can."""
    for _ in range(6):
        await asyncio.sleep(0)


def shares_in(order: Sequence[str]) -> list[str]:
    return [name.partition("#")[0] for name in order]


async def test_as_many_as_fit_and_one_more() -> None:
    crowd = Crowd(Fair(2, Shares()))
    one, two, three = await crowd.come("a", times=3)
    assert (crowd.order, crowd.fair.used, crowd.fair.waiting) == ([one, two], 2, 1)
    await crowd.leave(two)
    assert (crowd.order, crowd.fair.waiting) == ([one, two, three], 0)
    await crowd.end()


async def test_a_host_that_floods_delays_the_first_of_another_by_one_round_at_most() -> None:
    crowd = Crowd(Fair(4, Shares(), queue=4000))
    await crowd.come("host:flood", times=1000)
    await crowd.come("host:quiet", times=1)
    await crowd.come("host:other", times=2)
    for _ in range(5):
        await crowd.leave()
    assert shares_in(crowd.order[4:]) == ["host:flood", "host:quiet", "host:other", "host:flood", "host:other"]
    await crowd.end()


async def test_weights_are_turns() -> None:
    crowd = Crowd(Fair(1, Shares({"big.example": 3})))
    await crowd.come("start")
    for share in ("host:big.example", "host:a", "host:b"):
        await crowd.come(share, times=20)
    for _ in range(20):
        await crowd.leave()
    assert Counter(shares_in(crowd.order[1:])) == {"host:big.example": 12, "host:a": 4, "host:b": 4}
    assert shares_in(crowd.order[1:6]) == ["host:big.example"] * 3 + ["host:a", "host:b"]
    await crowd.end()


async def test_what_counts_is_cost_and_much_is_not_starved_by_little() -> None:
    crowd = Crowd(Fair(4, Shares()))
    await crowd.come("start", 4)
    await crowd.come("host:large", 4, times=3)
    await crowd.come("host:small", 1, times=50)
    for _ in range(40):
        await crowd.leave()
    units = Counter[str]()
    for name in crowd.order[1:]:
        units[name.partition("#")[0]] += crowd.costs[name]
    assert units["host:large"] == 12
    assert shares_in(crowd.order[1:12]).count("host:large") == 2
    await crowd.end()


async def test_a_cost_beyond_what_there_is_counts_as_that_much() -> None:
    crowd = Crowd(Fair(20, Shares({}, 0.1)))
    await crowd.come("unverified:a", 99)
    assert (crowd.fair.used, crowd.fair.pooled) == (2, 2)
    await crowd.come("host:a", 99)
    assert crowd.fair.used == 2
    await crowd.leave()
    assert (crowd.fair.used, crowd.fair.pooled) == (20, 0)
    await crowd.leave()
    await crowd.come("host:a", 0)
    assert crowd.fair.used == 1
    await crowd.end()


async def test_the_unverified_together_have_their_fraction_at_most() -> None:
    crowd = Crowd(Fair(20, Shares({}, 0.1), queue=100))
    await crowd.come("unverified:a", times=2)
    await crowd.come("unverified:b", times=2)
    await crowd.come("unverified:c", times=1)
    await crowd.come("host:a", times=18)
    assert Counter(shares_in(crowd.order)) == {"unverified:a": 2, "host:a": 18}
    for _ in range(2):
        await crowd.leave(crowd.order[0] if crowd.order[0] in crowd.holding else crowd.order[1])
    assert shares_in(crowd.order[-2:]) == ["unverified:b", "unverified:c"], "each of them has its turn"
    await crowd.end()


async def test_all_the_unverified_have_the_turns_of_one_host() -> None:
    crowd = Crowd(Fair(2, Shares({}, 0.5), queue=1000))
    await crowd.come("start", 2)
    for share in ("unverified:a", "unverified:b", "unverified:c", "host:a"):
        await crowd.come(share, times=20)
    for _ in range(18):
        await crowd.leave()
    turns = Counter(shares_in(crowd.order[1:]))
    each = [turns[f"unverified:{name}"] for name in "abc"]
    assert min(each) >= 1
    assert max(each) <= min(each) + 2
    assert sum(each) <= turns["host:a"]
    await crowd.end()


async def test_who_cannot_wait_does_not() -> None:
    fair = Fair(1, Shares())
    async with fair.admitted("a", timeout=0):
        with pytest.raises(BusyError, match="no time to wait"):
            async with fair.admitted("b", timeout=0):
                pass
        with pytest.raises(BusyError, match=r"waited 0\.0 s for its turn"):
            async with fair.admitted("b", timeout=0.001):
                pass
    assert (fair.used, fair.waiting) == (0, 0)


async def test_what_fails_inside_gives_its_units_back_and_keeps_its_own_error() -> None:
    fair = Fair(3, Shares())
    for share in ("a", "unverified:a"):
        with pytest.raises(TimeoutError):
            async with fair.admitted(share, 3):
                raise TimeoutError
    assert (fair.used, fair.pooled) == (0, 0)


async def test_the_queue_of_a_share_at_the_bound_and_one_past_it() -> None:
    crowd = Crowd(Fair(1, Shares(), queue=8))
    names = await crowd.come("a", times=3)
    assert not crowd.refused()
    assert await crowd.come("a") == crowd.refused()
    with pytest.raises(BusyError, match="2 deliveries of a wait already"):
        await crowd.tasks[[*crowd.tasks][-1]]
    await crowd.come("b")
    assert len(crowd.refused()) == 1
    assert crowd.order == names[:1]
    await crowd.end()


async def test_without_a_queue_what_is_free_can_still_be_had() -> None:
    crowd = Crowd(Fair(1, Shares(), queue=0))
    await crowd.come("a")
    await crowd.come("b")
    assert (len(crowd.order), len(crowd.refused())) == (1, 1)
    await crowd.end()


async def test_in_a_full_queue_who_has_most_waiting_there_makes_room() -> None:
    crowd = Crowd(Fair(1, Shares(), queue=8))
    await crowd.come("start")
    for share in "abcd":
        await crowd.come(share, times=2)
    assert (crowd.fair.waiting, crowd.refused()) == (8, [])
    await crowd.come("quiet")
    assert (crowd.fair.waiting, shares_in(crowd.refused())) == (8, ["a"])
    with pytest.raises(BusyError, match="it made room for others"):
        await crowd.tasks[crowd.refused()[0]]
    for share in "efg":
        await crowd.come(share)
    assert (crowd.fair.waiting, shares_in(crowd.refused())) == (8, ["a", "b", "c", "d"])
    await crowd.come("late")
    assert shares_in(crowd.refused()) == ["a", "b", "c", "d", "late"], "all of them have one waiting"
    await crowd.end()


async def test_the_unverified_fill_no_more_than_their_fraction_of_the_queue() -> None:
    crowd = Crowd(Fair(1, Shares({}, 0.5), queue=16))
    await crowd.come("start")
    for number in range(9):
        await crowd.come(f"unverified:{number}")
    assert (crowd.fair.waiting, shares_in(crowd.refused())) == (8, ["unverified:8"])
    with pytest.raises(BusyError, match="8 unverified deliveries wait already"):
        await crowd.tasks[crowd.refused()[0]]
    for number in range(8):
        await crowd.come(f"host:{number}")
    assert (crowd.fair.waiting, len(crowd.refused())) == (16, 1)
    await crowd.end()


async def test_who_is_admitted_and_cancelled_in_the_same_moment_gives_it_back() -> None:
    for share in ("a", "unverified:a"):
        crowd = Crowd(Fair(1, Shares()))
        await crowd.come("start")
        (name,) = await crowd.come(share)
        (last,) = await crowd.come("b")
        crowd.holding["start#0"].set()
        await asyncio.sleep(0)  # it leaves: the next is admitted, and has not run
        crowd.tasks[name].cancel()
        await settle()
        assert crowd.order == ["start#0", last]
        await crowd.end()


async def test_a_large_one_that_goes_away_lets_small_ones_by() -> None:
    crowd = Crowd(Fair(4, Shares()))
    await crowd.come("start", 2)
    (large,) = await crowd.come("a", 4)
    await crowd.come("b", 1)
    assert len(crowd.order) == 1
    crowd.tasks[large].cancel()
    await settle()
    assert shares_in(crowd.order) == ["start", "b"]
    await crowd.end()


STEPS = st.lists(
    st.one_of(
        st.tuples(
            st.just("come"),
            st.sampled_from(["host:a", "host:b", "host:big", "peer:x", "unverified:x", "unverified:y", "unverified:z"]),
            st.integers(1, 9),
        ),
        st.tuples(st.just("leave"), st.integers(0, 99), st.just(0)),
        st.tuples(st.just("cancel"), st.integers(0, 99), st.just(0)),
        st.tuples(st.just("now"), st.integers(0, 99), st.just(0)),
    ),
    max_size=60,
)


@settings(max_examples=150, deadline=None)
@given(units=st.integers(1, 8), fraction=st.sampled_from([0.1, 0.3, 0.5]), queue=st.integers(0, 20), steps=STEPS)
def test_whatever_happens_no_unit_is_lost_and_nobody_starves(
    units: int, fraction: float, queue: int, steps: list[tuple[str, str | int, int]]
) -> None:
    async def play() -> None:
        shares = Shares({"big": 7}, fraction)
        crowd = Crowd(Fair(units, shares, queue=queue))
        pool = shares.pool(units)
        for step, what, cost in steps:
            if step == "come":
                await crowd.come(str(what), cost)
            elif step == "leave" and crowd.holding:
                await crowd.leave([*crowd.holding][int(what) % len(crowd.holding)])
            elif crowd.tasks:
                chosen = [*crowd.tasks][int(what) % len(crowd.tasks)]
                if step == "now" and crowd.holding:  # while what it waits for is given back
                    next(iter(crowd.holding.values())).set()
                    await asyncio.sleep(0)
                crowd.tasks[chosen].cancel()
                await settle()
            held = {name: min(crowd.costs[name], pool if "unverified" in name else units) for name in crowd.holding}
            assert crowd.fair.used == sum(held.values()) <= units
            assert sum(cost for name, cost in held.items() if "unverified" in name) <= pool
            assert crowd.fair.waiting <= max(queue, 0)
        while crowd.holding:
            await crowd.leave()
        await settle()
        assert all(task.done() for task in crowd.tasks.values()), "who waits gets its turn as others leave"
        for name, task in crowd.tasks.items():
            assert name in crowd.order or task.cancelled() or isinstance(task.exception(), BusyError)
        await crowd.end()

    asyncio.run(play())


@settings(max_examples=100, deadline=None)
@given(
    costs=st.lists(st.tuples(st.sampled_from("abc"), st.integers(1, 5)), min_size=1, max_size=60),
    weight=st.integers(1, 4),
)
def test_while_they_wait_shares_are_served_by_weight(costs: list[tuple[str, int]], weight: int) -> None:
    """Between any two shares that both still wait, what they had differs by a round and the largest cost at most."""

    async def play() -> None:
        line = Line(1 << 20, lambda share: weight if share == "a" else 1)
        await line.acquire("start", line.units)
        waiting, served = Counter[str](), Counter[str]()
        log: list[tuple[str, int]] = []

        async def one(share: str, cost: int) -> None:
            await line.acquire(share, cost)
            log.append((share, cost))

        async with asyncio.TaskGroup() as group:
            for share, cost in costs:
                waiting[share] += 1
                group.create_task(one(share, cost))
            await settle()
            line.release(line.units)
        for share, cost in log:
            waiting[share] -= 1
            served[share] += cost
            left = [name for name in waiting if waiting[name]]
            for this in left:
                for other in left:
                    ahead = served[this] / line._weight(this) - served[other] / line._weight(other)
                    assert ahead <= 1 + 5 + 5
        assert Counter(log) == Counter(costs)
        assert (line.waiting, len(line._turns), len(line._ring)) == (0, 0, 0)
        line.release(sum(cost for _, cost in costs))
        assert line.free == line.units

    asyncio.run(play())
