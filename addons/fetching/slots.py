"""How many fetches run at a time, in all, from one host and for one peer; the rest wait in short queues, or go."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from contextlib import AsyncExitStack, asynccontextmanager, contextmanager
from dataclasses import dataclass


class NoSlotError(Exception):
    """The queue for a slot is full: DESIGN.md's cause ``busy``."""


@dataclass(slots=True)
class Waiting:
    """What one fetch waits for of ours just now: when its time is up, that is ``busy`` and no ``timeout``.

    ``for_slot``: any slot; ``for_share``: one of its own share's, which nobody else would wait for.
    """

    for_slot: bool = False
    for_share: bool = False


class _Line:
    """The slots of one host or share: those free, how many wait for one, and how many have to do with it at all."""

    def __init__(self, slots: int) -> None:
        self.free = asyncio.Semaphore(slots)
        self.queued = 0
        self.users = 0


class Slots:
    """``total`` fetches at a time, ``per_host`` of them from one host, ``queue`` more waiting per host and four times
    as many in all. First come, first served, within a host and over all of them.

    Nobody shall use them up alone: who fetches for a share (of whoever made us fetch: a delivering peer) has a quarter
    of ``total``, at least one, and a quarter of ``queue`` more may wait for those.
    """

    def __init__(self, *, per_host: int, total: int, queue: int) -> None:
        self._per_host = per_host
        self._per_share = max(1, total // 4)
        self._free = asyncio.Semaphore(total)
        self._queue = queue
        self._queued = 0
        self._hosts: dict[str, _Line] = {}
        self._shares: dict[str, _Line] = {}

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
                of_share = held.enter_context(_used(self._shares, share, self._per_share))
                waiting.for_share = True
                with self._queueing(of_share, of_share.free.locked(), self._queue // 2, f"for {share}", waiting):
                    await held.enter_async_context(of_share.free)
                waiting.for_share = False
            host = held.enter_context(_used(self._hosts, name, self._per_host))
            full = host.free.locked() or self._free.locked()
            with self._queueing(host, full, self._queue, f"from {name}", waiting):
                await held.enter_async_context(host.free)
                await held.enter_async_context(self._free)
            yield

    @contextmanager
    def _queueing(self, line: _Line, full: bool, most: int, whose: str, waiting: Waiting) -> Iterator[None]:
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
def _used(lines: dict[str, _Line], name: str, slots: int) -> Iterator[_Line]:
    """The line of this name, kept as long as anybody has to do with it."""
    line = lines.setdefault(name, _Line(slots))
    line.users += 1
    try:
        yield line
    finally:
        line.users -= 1
        if line.users == 0:
            del lines[name]
