"""Stops asking what does not answer any more: who comes hears at once why, instead of waiting in vain for the same."""

import logging
import time
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from classifier.types import CannotJudgeError, FailureCause

_log = logging.getLogger(__name__)

State = Literal["closed", "open", "half-open"]
"""``half-open``: one has been let through, to see whether it works again."""

_REMEMBERED = 256
"""Outcomes that are looked back at, at most."""


@dataclass(frozen=True, slots=True)
class BreakerSettings:
    """It opens after ``row`` failures in a row, or once more than half of at least ``least`` outcomes within ``window``
    seconds are failures; open, it lets one through after ``first`` seconds, twice as many after each that fails, but
    ``longest``."""

    row: int = 5
    least: int = 20
    window: float = 60.0
    first: float = 5.0
    longest: float = 60.0


class Breaker:
    """Around one detector, or all workers of one door. ``clock`` in seconds; belongs to one event loop.

    What counts as a failure is for who uses it to say: that the judge itself is broken, never that a file is, or
    anybody could stop all judging with five bad files. It only ever gives the cause that there was: nothing is judged
    otherwise, or with less.
    """

    def __init__(
        self,
        name: str,
        *,
        settings: BreakerSettings = BreakerSettings(),
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.name = name
        self._settings = settings
        self._clock = clock
        self._outcomes: deque[tuple[float, bool]] = deque(maxlen=_REMEMBERED)
        self._row = 0
        self._wait = settings.first
        self._retry = 0.0
        self._cause: FailureCause = "detector_error"
        self._message = ""
        self.state: State = "closed"
        self.since = clock()
        """When it came to ``state``, on its clock."""

    def check(self) -> None:
        """Raise the cause, if it is open. Half-open, one is let through every so often until one succeeds or fails."""
        if self.state == "closed":
            return
        now = self._clock()
        if now < self._retry:
            raise CannotJudgeError(self._cause, self.trouble())
        self._turn("half-open", now)
        self._retry = now + self._wait

    def succeeded(self) -> None:
        """It works: whatever it was, it is over."""
        now = self._clock()
        self._row = 0
        if self.state == "closed":
            self._outcomes.append((now, True))
            return
        _log.warning("%s works again", self.name)
        self._outcomes.clear()
        self._wait = self._settings.first
        self._turn("closed", now)

    def failed(self, cause: FailureCause, message: str) -> None:
        """It does not work, and why, for a person."""
        now = self._clock()
        self._row += 1
        self._outcomes.append((now, False))
        if self.state == "half-open":
            self._wait = min(2 * self._wait, self._settings.longest)
            self._open(cause, message, now)
        elif self.state == "closed" and (self._row >= self._settings.row or self._mostly(now)):
            self._open(cause, message, now)

    def trip(self, cause: FailureCause, message: str) -> None:
        """Open it now: this one failure tells enough."""
        self._row += 1
        self._open(cause, message, self._clock())

    def trouble(self) -> str:
        """What is wrong, for a person; empty if nothing."""
        if self.state == "closed":
            return ""
        wait = max(0.0, self._retry - self._clock())
        return f"{self.name} does not work, and is tried again in {wait:.0f} s: {self._message}"

    def _open(self, cause: FailureCause, message: str, now: float) -> None:
        if self.state == "closed":
            _log.error("%s does not work and is not asked for now: %s", self.name, message)
        self._cause, self._message = cause, message
        self._retry = now + self._wait
        self._turn("open", now)

    def _turn(self, state: State, now: float) -> None:
        if state != self.state:
            self.state, self.since = state, now

    def _mostly(self, now: float) -> bool:
        """Whether most outcomes of late are failures."""
        late = [ok for at, ok in self._outcomes if now - at < self._settings.window]
        return len(late) >= self._settings.least and 2 * late.count(False) > len(late)
