"""Calls of the ledger's database from an event loop: in a few threads, with patience, and one alarm per trouble."""

import asyncio
import logging
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from typing import Any

from addons.alarms.alarms import Raises
from addons.alarms.kinds import AlarmKind
from addons.holding.backoff import Backoff

THREADS = 4
INSIST = 300.0
"""Seconds for which what must be written is tried again."""

logger = logging.getLogger(__name__)


class GivenUpError(Exception):
    """The database could not be written for so long that the work is left to whoever claims it next."""


def told(error: Exception) -> str:
    """What a database said, for a person. SQLAlchemy's own text repeats the statement and what it was to store."""
    return " ".join(str(getattr(error, "orig", None) or error).split())[:500] or type(error).__name__


class Database:
    """Runs what blocks in threads of its own. Trouble is said once, until all is well again."""

    def __init__(
        self, alarms: Raises | None, again: Backoff, *, threads: int = THREADS, insist: float = INSIST
    ) -> None:
        self._alarms = alarms
        self._again = again
        self._insist = insist
        self._threads = ThreadPoolExecutor(threads, "fediward-holds")
        self.trouble = ""
        """Why it cannot be used, for a person; empty while it can."""

    async def call[T](self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Once; raises what it raises, having said so."""
        loop = asyncio.get_running_loop()
        try:
            result = await loop.run_in_executor(self._threads, partial(function, *arguments, **named))
        except Exception as error:
            self._failed(error)
            raise
        self._well()
        return result

    async def insist[T](self, function: Callable[..., T], *arguments: Any, **named: Any) -> T:
        """Until it succeeds. Raises GivenUpError after minutes."""
        end = asyncio.get_running_loop().time() + self._insist
        tries = 0
        while True:
            try:
                return await self.call(function, *arguments, **named)
            except Exception as error:
                tries += 1
                if asyncio.get_running_loop().time() >= end:
                    raise GivenUpError(str(error)) from error
            await asyncio.sleep(self._again.after(tries))

    async def pause(self, tries: int) -> None:
        """Wait, after that many failed calls."""
        await asyncio.sleep(self._again.after(tries))

    def close(self) -> None:
        """Do not wait for what still hangs in a thread."""
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _failed(self, error: Exception) -> None:
        said = told(error)
        if not self.trouble:
            message = (
                f"held deliveries cannot be worked on, the ledger's database fails: {said}. None of them is lost, and "
                "it is tried again until it works. See that the database runs, and that its disk has room"
            )
            logger.error("%s", message)
            if self._alarms is not None:
                self._alarms.raise_(AlarmKind.LEDGER, message)
        self.trouble = said

    def _well(self) -> None:
        if self.trouble:
            message = "the ledger's database works again; held deliveries go on"
            logger.warning("%s", message)
            if self._alarms is not None:
                self._alarms.over(AlarmKind.LEDGER, message)
        self.trouble = ""
