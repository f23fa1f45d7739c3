"""Stores a delivery durably before its sender is told that it was accepted."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Literal, Protocol

from addons.holding.database import told
from addons.ledger.held import Bounds, HoldFullError, NewHold

SECONDS = 2.0
"""For the commit: the sender waits for it."""
WAITING = 256
"""Deliveries that may wait for their commit, with their bodies in memory."""
THREADS = 2
"""The database takes one at a time in any case."""

type Held = Literal["held", "already"]
"""``already``: the same delivery is pending, and is not stored twice."""


class LedgerTroubleError(Exception):
    """It could not be stored in time: the cause ``ledger_error``. The message says why.

    A commit that came too late may stand: then it is judged and replayed all the same, at worst a second time.
    """


class Puts(Protocol):
    """What the holder needs of ``addons.ledger.holds.Holds``."""

    def put(self, new: NewHold, bounds: Bounds) -> bool:
        """Commit it; False: the same is pending already. Blocks. Raises HoldFullError, and what the database does."""
        ...


class Holder:
    """Holds deliveries within ``bounds``. ``stored`` is told of each on the event loop, before its caller is."""

    def __init__(
        self,
        holds: Puts,
        bounds: Bounds,
        *,
        stored: Callable[[NewHold], None] = lambda new: None,
        seconds: float = SECONDS,
        waiting: int = WAITING,
        threads: int = THREADS,
    ) -> None:
        self._holds = holds
        self._bounds = bounds
        self._stored = stored
        self._seconds = seconds
        self._most = waiting
        self._waiting = 0
        self._threads = ThreadPoolExecutor(threads, "fediward-hold")

    async def hold(self, new: NewHold) -> Held:
        """Store it: it is on the disk when this returns. Raises HoldFullError, LedgerTroubleError."""
        if self._waiting >= self._most:
            raise LedgerTroubleError(f"{self._waiting} deliveries wait to be stored already")
        loop = asyncio.get_running_loop()
        self._waiting += 1
        storing = self._threads.submit(self._put, new, loop)
        try:
            async with asyncio.timeout(self._seconds):
                stored = await asyncio.wrap_future(storing)
        except HoldFullError:
            raise
        except TimeoutError as error:
            # What has not begun never will; what has may stand.
            raise LedgerTroubleError(f"a delivery could not be stored within {self._seconds:g} s") from error
        except Exception as error:
            raise LedgerTroubleError(f"a delivery could not be stored: {told(error)}") from error
        finally:
            self._waiting -= 1
        return "held" if stored else "already"

    def close(self) -> None:
        """Do not wait for what still hangs in a thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _put(self, new: NewHold, loop: asyncio.AbstractEventLoop) -> bool:
        stored = self._holds.put(new, self._bounds)
        if stored:
            loop.call_soon_threadsafe(self._stored, new)
        return stored
