"""Whether the server behind the door can be reached: nothing is taken in for one that is known to be down."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable

PROBE_SECONDS = 1.0
"""Between two probes at least."""

logger = logging.getLogger(__name__)


class Upstream:
    """Known to be down from the first connection that failed until one succeeds: a delivery's, or a probe."""

    def __init__(
        self,
        name: str,
        probe: Callable[[], Awaitable[bool]],
        *,
        every: float = PROBE_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        """``name`` for people; ``clock`` in seconds."""
        self._name = name
        self._probe = probe
        self._every = every
        self._clock = clock
        self._down = False
        self._asked = 0.0
        self._asking = asyncio.Lock()

    @property
    def down(self) -> bool:
        """What is known so far; nobody is asked."""
        return self._down

    def note(self, ok: bool) -> None:
        """A connection to it was had, or was not."""
        if self._down and ok:
            logger.warning("the server at %s can be reached again", self._name)
        elif not (self._down or ok):
            logger.error(
                "the server at %s cannot be reached; see that it runs and that `server.upstream` is right", self._name
            )
            self._asked = self._clock()
        self._down = not ok

    async def is_down(self) -> bool:
        """Where it is known to be down, ask whether it still is, at most once a second."""
        if not self._down:
            return False
        async with self._asking:
            if self._down and self._clock() - self._asked >= self._every:
                self.note(await self._probe())
                self._asked = self._clock()
        return self._down
