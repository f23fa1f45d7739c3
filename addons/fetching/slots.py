"""How many fetches run at a time, in all, from one host and for one share; the rest wait in short queues, or go."""

from collections.abc import AsyncIterator, Callable, Iterator, Sequence
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass

from addons.senders.fairness import Line
from addons.senders.shares import Shares


class NoSlotError(Exception):
    """The queue for a slot is full: DESIGN.md's cause ``busy``."""


@dataclass(slots=True)
class Waiting:
    """What one fetch waits for of ours just now: when its time is up, that is ``busy`` and no ``timeout``.

    ``for_slot``: any slot; ``for_share``: one of its own share's, which nobody else would wait for.
    """

    for_slot: bool = False
    for_share: bool = False


class _Queue:
    """The slots of one host or share: how many wait for one, and how many have to do with it at all."""

    def __init__(self, line: Line) -> None:
        self.line = line
        self.queued = 0
        self.users = 0


class Slots:
    """``total`` fetches at a time, ``per_host`` of them from one host, ``queue`` more waiting per host and four times
    as many in all. First come, first served within a share (of whoever made us fetch: a delivering host or peer); of
    several that wait each has its turn, by its weight.

    Nobody shall use them up alone: a share has a quarter of ``total``, at least one, and half of ``queue`` more may
    wait for those; all unverified shares together have their fraction, and as much of the queue. The empty share (what
    the server itself asks for) has neither bound.
    """

    def __init__(self, *, per_host: int, total: int, queue: int, shares: Shares | None = None) -> None:
        self._sizes = shares or Shares()
        self._per_host = per_host
        self._per_share = max(1, total // 4)
        self._all = Line(total, self._sizes.weight)
        self._pool = _Queue(Line(self._sizes.pool(total)))
        self._pool_queue = self._sizes.pool(4 * queue) if queue else 0
        self._queue = queue
        self._queued = 0
        self._hosts: dict[str, _Queue] = {}
        self._shares: dict[str, _Queue] = {}

    @asynccontextmanager
    async def slot(self, name: str, waiting: Waiting, share: str = "") -> AsyncIterator[None]:
        """Hold one slot of ``share`` (unless that is empty), one of the host ``name`` and one of all.

        In this order, so that whoever waits keeps nothing that others could use: a share that is used up holds no
        host's slots, and fetches queueing for a slow host hold none of all.

        Raises:
            NoSlotError: too many wait already.
        """
        async with AsyncExitStack() as held:
            if share:
                waiting.for_share = True
                most = self._queue // 2
                own = held.enter_context(_used(self._shares, share, lambda: Line(self._per_share)))
                await self._stand(held, own, [own.line], share, most, f"for {share}", waiting)
                if self._sizes.pooled(share):
                    pool = self._pool
                    await self._stand(held, pool, [pool.line], share, self._pool_queue, "for unverified ones", waiting)
                waiting.for_share = False
            host = held.enter_context(_used(self._hosts, name, lambda: Line(self._per_host, self._sizes.weight)))
            lines = [host.line, self._all]
            await self._stand(held, host, lines, share, self._queue, f"from {name}", waiting)
            yield

    async def _stand(
        self,
        held: AsyncExitStack,
        queue: _Queue,
        lines: Sequence[Line],
        share: str,
        most: int,
        whose: str,
        waiting: Waiting,
    ) -> None:
        """Get a slot of each of ``lines``, one after the other, for as long as ``held`` is."""
        with self._queueing(queue, any(line.full() for line in lines), most, whose, waiting):
            for line in lines:
                await line.acquire(share)
                held.callback(line.release)

    @contextmanager
    def _queueing(self, line: _Queue, full: bool, most: int, whose: str, waiting: Waiting) -> Iterator[None]:
        if full:
            if line.queued >= most:
                raise NoSlotError(f"{most} fetches {whose} wait already")
            if self._queued >= 4 * self._queue:
                raise NoSlotError(f"{4 * self._queue} fetches wait already")
        line.queued += 1
        self._queued += 1
        waiting.for_slot = True
        try:
            yield
            # Not when it was cancelled: then this is what it was cancelled in.
            waiting.for_slot = False
        finally:
            line.queued -= 1
            self._queued -= 1


@contextmanager
def _used(queues: dict[str, _Queue], name: str, line: Callable[[], Line]) -> Iterator[_Queue]:
    """The queue of this name, kept as long as anybody has to do with it."""
    queue = queues.get(name) or queues.setdefault(name, _Queue(line()))
    queue.users += 1
    try:
        yield queue
    finally:
        queue.users -= 1
        if queue.users == 0:
            del queues[name]
