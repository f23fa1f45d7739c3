"""The same work wanted by several at the same time is done once, and nobody's haste or going away hurts the others."""

import asyncio
import functools
from collections.abc import Callable, Coroutine
from typing import Any

from addons.fetching.slots import Waiting


class Flight[T]:
    """Work under way, for those who wait for it, paid by ``share``.

    ``waiting`` says whether it still waits for a slot to fetch; ``deadline`` is the latest of those who came (seconds
    on the flights' clock).
    """

    _task: asyncio.Task[T]

    def __init__(self, share: str, began: float, deadline: float) -> None:
        self.waiting = Waiting()
        self.share = share
        self.began = began
        self.deadline = deadline
        self._joined = 0

    def start(self, work: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Begin the work."""
        self._task = asyncio.get_running_loop().create_task(work)
        return self._task

    async def landing(self) -> T:
        """Its result, or what it raised. Cancelling this (a deadline, say) ends the work only if nobody else waits."""
        self._joined += 1
        try:
            return await asyncio.shield(self._task)
        finally:
            self._joined -= 1
            if not self._joined:
                self._task.cancel()

    @property
    def deserted(self) -> bool:
        """Whether it was ended since nobody waited any more."""
        return self._task.cancelling() > 0


class Flights[T]:
    """Work in progress by key. ``clock`` in seconds.

    Each waiter brings a deadline of its own, the work has none. Work older than ``join`` seconds is not joined any more
    but begun anew: who comes late must not hang on a connection that went wrong for others, nor wait in the queue of
    another share that is used up.
    """

    def __init__(self, clock: Callable[[], float], join: float) -> None:
        self._clock = clock
        self._join = join
        self._flights: dict[str, Flight[T]] = {}

    def __len__(self) -> int:
        """How many keys are being worked on."""
        return len(self._flights)

    def board(
        self, key: str, share: str, deadline: float, work: Callable[[Flight[T]], Coroutine[Any, Any, T]]
    ) -> Flight[T]:
        """The work under this key, begun if need be, and then paid by ``share``; await its ``landing`` at once."""
        flight = self._flights.get(key)
        if flight is None or not self._can_be_joined(flight, share):
            flight = self._flights[key] = Flight(share, self._clock(), deadline)
            task = flight.start(work(flight))
            task.add_done_callback(functools.partial(self._landed, key, flight))
        flight.deadline = max(flight.deadline, deadline)
        return flight

    def _can_be_joined(self, flight: Flight[T], share: str) -> bool:
        if flight.deserted or self._clock() - flight.began > self._join:
            return False
        return flight.share == share or not flight.waiting.for_share

    def _landed(self, key: str, flight: Flight[T], task: asyncio.Task[T]) -> None:
        if self._flights.get(key) is flight:
            del self._flights[key]
        if not task.cancelled():
            task.exception()  # whoever waited has it; nobody else needs to hear of it
