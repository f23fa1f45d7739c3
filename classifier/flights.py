"""The same bytes wanted by several at the same time are judged once, and each gets what it asked for."""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass

from classifier.hashlists import Digests
from classifier.parts import NeedsError, Parts
from classifier.types import CannotJudgeError, Judgement, Symbols

type Stop = Callable[[Symbols], bool]
"""Says of the symbols found so far in one frame whether they suffice, whatever else would be found in the file."""


@dataclass(eq=False, slots=True)
class Waiter:
    """``deadline``: seconds on the loop's clock."""

    answer: asyncio.Future[Judgement | Exception]
    deadline: float
    stop: Stop | None


class Flight:
    """A file that is being judged, and all who wait for it. Belongs to one event loop."""

    task: asyncio.Task[None]

    def __init__(self, digests: Digests, data: bytes | Parts) -> None:
        self.digests = digests
        self.data = data
        """Let go of as soon as it is decoded."""
        self._waiters: list[Waiter] = []

    @property
    def deadline(self) -> float:
        """Until when (the loop's clock) anybody waits."""
        return max((waiter.deadline for waiter in self._waiters), default=0.0)

    @property
    def wanted(self) -> bool:
        """Whether anybody waits who has no answer yet."""
        return any(not waiter.answer.done() for waiter in self._waiters)

    @property
    def may_stop(self) -> bool:
        """Whether anybody might be content with less than all."""
        return any(waiter.stop is not None for waiter in self._waiters)

    def board(self, deadline: float, stop: Stop | None) -> Waiter:
        """One more who waits; ``landing`` must follow at once."""
        self._waiters.append(Waiter(asyncio.get_running_loop().create_future(), deadline, stop))
        return self._waiters[-1]

    async def landing(self, waiter: Waiter) -> Judgement:
        """The judgement, a partial one where ``stop`` was content with it. Raises what ended the flight."""
        try:
            outcome = await waiter.answer
        finally:
            self._waiters.remove(waiter)
        if isinstance(outcome, CannotJudgeError):
            # Each waiter needs an exception of its own to hang a traceback on.
            raise CannotJudgeError(outcome.cause, str(outcome), outcome.media_type) from outcome
        if isinstance(outcome, NeedsError):
            raise NeedsError(outcome.ranges) from outcome
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    def offer(self, partial: Judgement) -> None:
        """Give what was found so far to those for whom it suffices."""
        for waiter in self._waiters:
            stop = waiter.stop
            if stop and not waiter.answer.done() and any(stop(frame.symbols) for frame in partial.frames):
                waiter.answer.set_result(partial)

    def land(self, outcome: Judgement | Exception) -> None:
        """Give all who still wait what came of it."""
        for waiter in self._waiters:
            if not waiter.answer.done():
                waiter.answer.set_result(outcome)
