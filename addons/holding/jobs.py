"""Holds that this process works on, so many at a time, and the claims that it keeps on them."""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass, field

from addons.holding.database import GivenUpError
from addons.ledger.held import Held, HoldState

logger = logging.getLogger(__name__)


@dataclass(eq=False, slots=True)
class Job:
    """Work on one hold. ``settling``: it is being sent, or its end written down: it is not broken off.

    ``again``: the same hold, claimed anew while this work was not over: its claim had run out for want of a database.
    """

    held: Held
    settling: bool = False
    again: Held | None = None
    task: asyncio.Task[None] | None = None

    def break_off(self) -> None:
        """End the work, where it can still be ended."""
        if self.task is not None and not self.settling:
            self.task.cancel()


type Work = Callable[[Job], Awaitable[None]]


@dataclass(eq=False, slots=True)
class Lane:
    """One kind of work: which holds it takes, how many at a time, and what it does with one. ``poll`` in seconds."""

    states: Collection[HoldState]
    slots: int
    work: Work
    poll: float
    closing: bool = False
    closed: bool = False
    """Nothing new is begun."""
    jobs: dict[str, Job] = field(default_factory=dict)
    _woken: asyncio.Event = field(default_factory=asyncio.Event)

    @property
    def free(self) -> int:
        """Slots that nobody has."""
        return self.slots - len(self.jobs)

    def wake(self) -> None:
        """There may be something to do."""
        self._woken.set()

    async def woken(self, timeout: float | None) -> None:
        """Wait until there may be, or for ``timeout`` seconds."""
        try:
            async with asyncio.timeout(timeout):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    def start(self, held: Held) -> None:
        """Work on it in a task of its own, which keeps its slot until it ends. Nothing is worked on twice at a time."""
        if (job := self.jobs.get(held.id)) is not None:
            job.again = held
            return
        job = Job(held)
        self.jobs[held.id] = job
        job.task = asyncio.get_running_loop().create_task(self._run(job), name=f"hold {held.id}")
        # Not in the task itself: one that is cancelled before it began never runs.
        job.task.add_done_callback(lambda task: self._over(job))

    async def _run(self, job: Job) -> None:
        try:
            await self.work(job)
        except GivenUpError as error:
            logger.warning("work on the hold %s is left to whoever claims it next: %s", job.held.id, error)
        except Exception:
            # Its claim runs out, and then it is tried again.
            logger.exception("work on the hold %s failed", job.held.id)

    def _over(self, job: Job) -> None:
        del self.jobs[job.held.id]
        if job.again is not None and not self.closed:
            self.start(job.again)
        self.wake()
