"""Work that is done after an answer was given (``mode: observe``): bounded, and nobody waits for it."""

import asyncio
import logging
from collections.abc import Coroutine
from typing import Any

logger = logging.getLogger(__name__)

MOST = 256
"""Pieces of work at a time."""


class Afterwards:
    """Belongs to one event loop. What is under way at the end of the process is lost."""

    def __init__(self, most: int = MOST) -> None:
        self._most = most
        self._tasks: set[asyncio.Task[None]] = set()

    @property
    def full(self) -> bool:
        """Whether no more is taken now."""
        return len(self._tasks) >= self._most

    def do(self, work: Coroutine[Any, Any, None]) -> None:
        """Begin it. What it raises is logged."""
        task = asyncio.get_running_loop().create_task(work)
        self._tasks.add(task)
        task.add_done_callback(self._done)

    async def done(self) -> None:
        """Wait for all that is under way."""
        while self._tasks:
            await asyncio.wait(self._tasks)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("what was passed could not be judged afterwards", exc_info=error)
