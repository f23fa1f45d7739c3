"""How many fetches run at a time, in all and from one host; the rest wait in short queues or are told to come again."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass


class NoSlotError(Exception):
    """The queue for a slot is full: DESIGN.md's cause ``busy``."""


@dataclass(slots=True)
class Waiting:
    """Whether one fetch waits for a slot of ours just now: when its time is up, that is ``busy`` and no ``timeout``."""

    for_slot: bool = False


class _Host:
    def __init__(self, slots: int) -> None:
        self.free = asyncio.Semaphore(slots)
        self.queued = 0
        self.users = 0


class Slots:
    """``total`` fetches at a time, ``per_host`` of them from one host, ``queue`` more waiting per host and four times
    as many in all. First come, first served, within a host and over all of them."""

    def __init__(self, *, per_host: int, total: int, queue: int) -> None:
        self._per_host = per_host
        self._free = asyncio.Semaphore(total)
        self._queue = queue
        self._queued = 0
        self._hosts: dict[str, _Host] = {}

    @asynccontextmanager
    async def slot(self, name: str, waiting: Waiting) -> AsyncIterator[None]:
        """Hold one slot of the host ``name`` and one of all.

        The host's comes first, so that fetches queueing for a slow host keep none of the others'.

        Raises:
            NoSlotError: too many wait already.
        """
        host = self._hosts.setdefault(name, _Host(self._per_host))
        host.users += 1
        try:
            async with self._queueing(name, host, waiting):
                await host.free.acquire()
                try:
                    await self._free.acquire()
                except BaseException:
                    host.free.release()
                    raise
            try:
                yield
            finally:
                self._free.release()
                host.free.release()
        finally:
            host.users -= 1
            if host.users == 0:
                del self._hosts[name]

    @asynccontextmanager
    async def _queueing(self, name: str, host: _Host, waiting: Waiting) -> AsyncIterator[None]:
        if host.free.locked() or self._free.locked():
            if host.queued >= self._queue:
                raise NoSlotError(f"{self._queue} fetches from {name} wait already")
            if self._queued >= 4 * self._queue:
                raise NoSlotError(f"{4 * self._queue} fetches wait already")
        host.queued += 1
        self._queued += 1
        waiting.for_slot = True
        try:
            yield
            # Not when it was cancelled: then this is what it was cancelled in.
            waiting.for_slot = False
        finally:
            host.queued -= 1
            self._queued -= 1
