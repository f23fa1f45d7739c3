"""What was found at a URL, fetched once for all who ask at the same time, and remembered for a while."""

import asyncio
import time
from collections.abc import Awaitable, Callable
from typing import Protocol

from cachetools import TTLCache

from addons.fetching.results import FetchError
from addons.fetching.slots import Waiting
from addons.judging.flights import Flight, Flights
from addons.policy.words import Cause

JOIN_SECONDS = 5.0
"""Work on a URL is shared with those who come within this time of its beginning."""
LONGEST = 16_384
"""Characters that one URL and what was found at it may hold together; more is not remembered."""


class Weighs(Protocol):
    """What can be remembered."""

    @property
    def weight(self) -> int:
        """Characters it holds."""
        ...


class Remembered[T: Weighs]:
    """``find`` is asked what is at a URL, as :meth:`get`; it raises FetchError, which is never remembered.

    Belongs to one event loop. ``seconds`` and ``entries`` bound what is remembered; ``clock`` in seconds.
    """

    def __init__(
        self,
        find: Callable[[str, Waiting, str], Awaitable[T]],
        *,
        seconds: float,
        entries: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._find = find
        self._clock = clock
        self._kept: TTLCache[str, T] = TTLCache(entries, seconds, timer=clock)
        self._flights: Flights[T] = Flights(clock, JOIN_SECONDS)

    @property
    def in_flight(self) -> int:
        """How many URLs are being asked for."""
        return len(self._flights)

    async def get(self, url: str, *, timeout: float, share: str = "") -> T:
        """What is at ``url``, within ``timeout`` seconds. Raises FetchError: ``busy`` where its slot was waited for."""
        if (kept := self._kept.get(url)) is not None:
            return kept
        if timeout <= 0:
            raise FetchError(Cause.TIMEOUT, "no time was left to fetch it", url)
        flight = self._flights.board(url, share, self._clock() + timeout, lambda flight: self._fly(url, flight, share))
        try:
            async with asyncio.timeout(timeout):
                return await flight.landing()
        except TimeoutError as error:
            if flight.waiting.for_slot:
                message = f"waited {timeout:.1f} s for other fetches to end"
                raise FetchError(Cause.BUSY, message, url) from error
            raise FetchError(Cause.TIMEOUT, f"not fetched within {timeout:.1f} s", url) from error

    async def _fly(self, url: str, flight: Flight[T], share: str) -> T:
        found = await self._find(url, flight.waiting, share)
        if len(url) + found.weight <= LONGEST:
            self._kept[url] = found
        return found
