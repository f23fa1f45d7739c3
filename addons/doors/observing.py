"""Keeps a copy of what passes the fetch door in ``mode: observe``, and has it judged once it has passed."""

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from addons.doors.gathering import Reading, Step

logger = logging.getLogger(__name__)

AT_ONCE = 64
"""Answers that are judged at a time after they passed."""


class Tap:
    """A stream function of mitmproxy's: lets all by, and feeds ``reading``. ``done`` is called once, with what it came
    to, unless it is nothing to be looked at."""

    def __init__(self, reading: Reading, done: Callable[[Reading, Step], None]) -> None:
        self._reading: Reading | None = reading
        self._done = done

    def __call__(self, data: bytes) -> bytes:
        """``data``, as it came; empty at the end."""
        if self._reading is not None:
            step = self._reading.feed(data) if data else self._reading.finish()
            if step is not Step.MORE:
                reading, self._reading = self._reading, None
                if step is Step.STREAM:
                    reading.lease.release()
                else:
                    self._done(reading, step)
        return data

    def stop(self) -> None:
        """It will not come to its end: forget it."""
        if self._reading is not None:
            self._reading.lease.release()
            self._reading = None


class Afterwards:
    """What is still to be done with what has passed: a bounded number of tasks, none of them forgotten."""

    def __init__(self, at_once: int = AT_ONCE) -> None:
        self._at_once = at_once
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        """How many are under way."""
        return len(self._tasks)

    def begin(self, work: Coroutine[Any, Any, None], reading: Reading) -> bool:
        """Do it, and give the memory of ``reading`` back at its end; False where too much is under way already."""
        if len(self._tasks) >= self._at_once:
            work.close()
            reading.lease.release()
            return False
        task = asyncio.get_running_loop().create_task(self._do(work, reading))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return True

    async def _do(self, work: Coroutine[Any, Any, None], reading: Reading) -> None:
        try:
            await work
        except Exception:
            logger.exception("an answer could not be observed")
        finally:
            reading.lease.release()
