"""Who goes next where many want what there is not enough of: each share in its turn, so that none starves."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field

from addons.senders.shares import UNVERIFIED, Shares

QUEUE = 1024
"""How many may wait in all, where nothing else is said."""


class BusyError(Exception):
    """There is no room or time to wait: DESIGN.md's cause ``busy``. The message is for a person."""


@dataclass(eq=False, slots=True)
class _Turn:
    """What waits of one share, first come first served; ``credit``: units it may still take before the next share."""

    weight: float
    credit: float
    queue: deque[tuple[int, asyncio.Future[None]]] = field(default_factory=deque)


class Line:
    """So many units at a time; who waits for them is served by deficit round robin over the shares.

    Each round, a share may take as many units as its weight; what it could not use of them it keeps for the next one,
    as long as it has something waiting. What is next waits until it fits, so that much is not starved by little; and a
    share that has nothing waiting is remembered nowhere. Belongs to one event loop. (Shreedhar and Varghese, Efficient
    Fair Queuing using Deficit Round Robin, 1995.)
    """

    def __init__(self, units: int, weight: Callable[[str], float] = lambda _: 1.0) -> None:
        self.units = units
        self.free = units
        self._weight = weight
        self._turns: dict[str, _Turn] = {}
        self._ring: deque[str] = deque()

    def full(self, cost: int = 1) -> bool:
        """Whether who comes now has to wait."""
        return bool(self._ring) or self.free < cost

    @property
    def waiting(self) -> int:
        """How many wait."""
        return sum(len(turn.queue) for turn in self._turns.values())

    async def acquire(self, share: str, cost: int = 1) -> None:
        """Wait for ``cost`` units (1 to ``units``) in the turn of ``share``; cancelled meanwhile, it has none."""
        if not self.full(cost):
            self.free -= cost
            return
        granted: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        turn = self._turns.get(share)
        if turn is None:
            weight = self._weight(share)
            turn = self._turns[share] = _Turn(weight, weight)
            self._ring.append(share)
        turn.queue.append((cost, granted))
        try:
            await granted
        except BaseException:
            if granted.done() and not granted.cancelled():
                self.release(cost)  # granted in the same moment
            else:
                self._leave(share, (cost, granted))
            raise

    def release(self, cost: int = 1) -> None:
        """Give units back."""
        self.free += cost
        self._grant()

    def _leave(self, share: str, one: tuple[int, asyncio.Future[None]]) -> None:
        turn = self._turns.get(share)
        if turn is not None and one in turn.queue:  # else a grant has found it cancelled already
            self._take(share, turn, one)
        self._grant()  # what comes after it may fit where it did not

    def _take(self, share: str, turn: _Turn, one: tuple[int, asyncio.Future[None]]) -> None:
        turn.queue.remove(one)
        if not turn.queue:
            del self._turns[share]
            self._ring.remove(share)

    def _grant(self) -> None:
        """Serve whoever is next, as long as it fits."""
        while self._ring:
            share = self._ring[0]
            turn = self._turns[share]
            cost, granted = one = turn.queue[0]
            if granted.cancelled():  # its task has not run since
                self._take(share, turn, one)
            elif turn.credit < cost:
                turn.credit += turn.weight
                self._ring.rotate(-1)
            elif self.free < cost:
                return
            else:
                turn.credit -= cost
                self.free -= cost
                self._take(share, turn, one)
                granted.set_result(None)


@dataclass(eq=False, slots=True)
class _Waiter:
    """One who waits in rooms, until ``scope`` ends it."""

    share: str
    scope: asyncio.Timeout
    rooms: list["_Room"] = field(default_factory=list)
    sent_away: bool = False

    def send_away(self) -> None:
        """Have it wait no longer."""
        self.leave()
        if not self.scope.expired():
            self.sent_away = True
            self.scope.reschedule(0)

    def leave(self) -> None:
        """It waits no longer."""
        for room in self.rooms:
            room.leave(self)
        self.rooms.clear()


class _Room:
    """Where ``most`` may wait, a quarter of them of one share. In a full room the share with the most there gives way
    to one with less, so that not even many who flood together keep another out."""

    def __init__(self, most: int, what: str) -> None:
        self._most = most
        self._each = max(1, most // 4)
        self._what = what
        self._shares: dict[str, list[_Waiter]] = {}
        self.waiting = 0

    def enter(self, one: _Waiter) -> None:
        """Wait here. Raises BusyError."""
        own = len(self._shares.get(one.share, ()))
        if own >= self._each:
            raise BusyError(f"{own} {self._what} of {one.share} wait already")
        if self.waiting >= self._most:
            longest = max(self._shares.values(), key=len, default=[])
            if len(longest) <= own + 1:
                raise BusyError(f"{self.waiting} {self._what} wait already")
            longest[-1].send_away()
        self._shares.setdefault(one.share, []).append(one)
        self.waiting += 1
        one.rooms.append(self)

    def leave(self, one: _Waiter) -> None:
        """Wait here no longer."""
        there = self._shares[one.share]
        there.remove(one)
        self.waiting -= 1
        if not there:
            del self._shares[one.share]


class Fair:
    """Admits ``units`` of cost at a time, the shares by :class:`Line`, of the unverified no more than their fraction.

    Among the others all unverified shares together have the turns of one; among themselves one each. ``queue``: how
    many may wait, in all and of the unverified in that fraction. ``what``: the name of what is admitted, in messages.
    Belongs to one event loop.
    """

    def __init__(self, units: int, shares: Shares, *, queue: int = QUEUE, what: str = "deliveries") -> None:
        self.shares = shares
        self._all = Line(units, shares.weight)
        self._pool = Line(shares.pool(units))
        self._room = _Room(queue, what)
        self._pool_room = _Room(shares.pool(queue) if queue else 0, f"unverified {what}")

    @property
    def used(self) -> int:
        """Units that are admitted now."""
        return self._all.units - self._all.free

    @property
    def pooled(self) -> int:
        """Units that the unverified have now, or wait for as the next of theirs."""
        return self._pool.units - self._pool.free

    @property
    def waiting(self) -> int:
        """How many wait."""
        return self._room.waiting

    @asynccontextmanager
    async def admitted(self, share: str, cost: int = 1, timeout: float = 0.0) -> AsyncIterator[None]:
        """Have ``cost`` units, once it is this share's turn. A cost beyond what it may have at all counts as that much.

        Raises BusyError: too many wait already, it had to make room, or ``timeout`` seconds have passed (with 0 it does
        not wait).
        """
        pool = self._pool if self.shares.pooled(share) else None
        cost = min(max(1, cost), (pool or self._all).units)
        await self._enter(share, cost, timeout, pool)
        try:
            yield
        finally:
            self._all.release(cost)
            if pool is not None:
                pool.release(cost)

    async def _enter(self, share: str, cost: int, timeout: float, pool: Line | None) -> None:
        lines = [self._all] if pool is None else [pool, self._all]
        if not any(line.full(cost) for line in lines):
            return await self._acquire(share, cost, pool)  # which waits for nothing
        if timeout <= 0:
            raise BusyError(f"{self.used} of {self._all.units} units are in use, and there is no time to wait")
        one = _Waiter(share, asyncio.timeout(timeout))
        try:
            async with one.scope:
                for room in [self._room] if pool is None else [self._pool_room, self._room]:
                    room.enter(one)
                await self._acquire(share, cost, pool)
        except TimeoutError as error:
            why = "it made room for others" if one.sent_away else f"it waited {timeout:.1f} s for its turn"
            raise BusyError(f"{why}; {self.waiting} more wait") from error
        finally:
            one.leave()

    async def _acquire(self, share: str, cost: int, pool: Line | None) -> None:
        if pool is None:
            return await self._all.acquire(share, cost)
        await pool.acquire(share, cost)
        try:
            await self._all.acquire(UNVERIFIED, cost)
        except BaseException:
            pool.release(cost)
            raise
