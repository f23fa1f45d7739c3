"""Alarms on their way out: said from anywhere without waiting, few, tried again, and none ever in a door's way."""

import asyncio
import contextlib
import logging
import random
import socket
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from datetime import datetime
from typing import Protocol

from addons.alarms.kinds import MESSAGE, Alarm, AlarmKind
from addons.alarms.sending import NotSentError, Target
from addons.alarms.throttle import Said, Throttle
from addons.ledger.clean import bounded, printable
from addons.ledger.entry import utc_now

logger = logging.getLogger(__name__)

EVERY = 900.0
"""Seconds between two alarms of one kind, at least."""
QUEUE = 100
"""Alarms that may wait for one target; then the oldest goes."""
TRIES = 6
BACKOFF = (2.0, 60.0)
"""Seconds until the second and the last try; they double in between, and each is a little shorter or longer."""
LAST_WORDS = 3.0
"""Seconds that what waits may take at the end."""


class Raises(Protocol):
    """What a part that has something to say needs to know of :class:`Alarms`."""

    def raise_(self, kind: AlarmKind, message: str) -> None:
        """Tell the admin; never waits, never raises, from any thread."""
        ...

    def over(self, kind: AlarmKind, message: str) -> None:
        """Say that it is well again, where :meth:`raise_` said that it was not."""
        ...


class Alarms:
    """Sends to every target by itself, so that a slow one keeps none waiting. ``clock`` in seconds.

    Without targets an alarm is a line in the log, which it is in any case.
    """

    def __init__(
        self,
        targets: Sequence[Target] = (),
        *,
        every: float = EVERY,
        tries: int = TRIES,
        backoff: tuple[float, float] = BACKOFF,
        queue: int = QUEUE,
        host: str | None = None,
        clock: Callable[[], float] = time.monotonic,
        wall: Callable[[], datetime] = utc_now,
    ) -> None:
        self._host = host or socket.gethostname()
        self._clock = clock
        self._wall = wall
        self._lock = threading.Lock()
        self._throttle = Throttle(every)
        self._lines = [_Line(target, tries, backoff, queue) for target in targets]
        self._loop: asyncio.AbstractEventLoop | None = None
        self._early: list[Alarm] = []
        self._timer: asyncio.TimerHandle | None = None
        self._tasks: list[asyncio.Task[None]] = []

    def start(self) -> None:
        """Begin to send, in the running event loop; what was raised before waits until then."""
        loop = asyncio.get_running_loop()
        self._tasks = [loop.create_task(line.run()) for line in self._lines]
        with self._lock:
            self._loop = loop
            early, self._early = self._early, []
        for alarm in early:
            self._put(alarm)
        self._wait()

    async def close(self, timeout: float = LAST_WORDS) -> None:
        """Send what waits, for at most ``timeout`` seconds, and end."""
        with self._lock:
            self._loop = None
        if self._timer is not None:
            self._timer.cancel()
        await asyncio.sleep(0)  # what was raised just now is on its way to the queues
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(timeout):
                for line in self._lines:
                    await line.empty()
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        self._tasks.clear()
        for line in self._lines:
            await line.target.close()

    def raise_(self, kind: AlarmKind, message: str) -> None:
        """Tell the admin; never waits, never raises, from any thread."""
        message = _clean(message)
        with self._lock:
            said = self._throttle.said(kind, message, self._clock())
        if said is None:
            self._soon(self._wait)
        else:
            logger.error("alarm: %s: %s", kind.about, message)
            self._send(said)

    def over(self, kind: AlarmKind, message: str) -> None:
        """Say that it is well again, where :meth:`raise_` said that it was not."""
        message = _clean(message)
        with self._lock:
            said = self._throttle.over(kind, message, self._clock())
        if said is not None:
            logger.warning("alarm over: %s: %s", kind.about, message)
            self._send(said)

    @property
    def waiting(self) -> int:
        """Alarms that wait to be sent, one for each target."""
        return sum(len(line.queue) for line in self._lines)

    def _send(self, said: Said) -> None:
        alarm = Alarm(said.kind, said.message, self._wall(), self._host, said.over, said.suppressed)
        with self._lock:
            if self._loop is None:
                self._early = [*self._early, alarm][-QUEUE:]
                return
        self._soon(self._put, alarm)

    def _soon[*Args](self, call: Callable[[*Args], None], *args: *Args) -> None:
        with self._lock:
            loop = self._loop
        if loop is not None:
            # It may be closing just now.
            with contextlib.suppress(RuntimeError):
                loop.call_soon_threadsafe(call, *args)

    def _put(self, alarm: Alarm) -> None:
        for line in self._lines:
            line.put(alarm)

    def _wait(self) -> None:
        """Wake up when a kind's time is up of which some were not sent."""
        if self._timer is not None:
            self._timer.cancel()
        with self._lock:
            due, loop = self._throttle.next(), self._loop
        if due is not None and loop is not None:
            self._timer = loop.call_later(max(0.0, due - self._clock()), self._due)

    def _due(self) -> None:
        with self._lock:
            found = self._throttle.due(self._clock())
        for said in found:
            self._send(said)
        self._wait()


class _Line:
    """One target, and what waits for it."""

    def __init__(self, target: Target, tries: int, backoff: tuple[float, float], most: int) -> None:
        self.target = target
        self.queue: deque[Alarm] = deque()
        self._tries = tries
        self._backoff = backoff
        self._most = most
        self._there = asyncio.Event()
        self._empty = asyncio.Event()
        self._empty.set()
        self._failing = False

    def put(self, alarm: Alarm) -> None:
        if len(self.queue) >= self._most:
            self.queue.popleft()
        self.queue.append(alarm)
        self._empty.clear()
        self._there.set()

    async def empty(self) -> None:
        """Wait until nothing waits."""
        await self._empty.wait()

    async def run(self) -> None:
        """Send what comes, until cancelled."""
        while True:
            await self._there.wait()
            self._there.clear()
            while self.queue:
                alarm = self.queue[0]
                try:
                    await self._send(alarm)
                except Exception:
                    logger.exception("an alarm could not be sent to %s", self.target.name)
                # It may have been pushed out by later ones meanwhile.
                if self.queue and self.queue[0] is alarm:
                    self.queue.popleft()
            self._empty.set()

    async def _send(self, alarm: Alarm) -> None:
        pause, longest = self._backoff
        for left in reversed(range(self._tries)):
            try:
                await self.target.send(alarm)
            except NotSentError as error:
                if not left or not error.again:
                    self._failed(alarm, error)
                    return
                await asyncio.sleep(pause * random.uniform(0.75, 1.25))
                pause = min(2 * pause, longest)
            else:
                if self._failing:
                    logger.warning("alarms reach %s again", self.target.name)
                self._failing = False
                return

    def _failed(self, alarm: Alarm, error: NotSentError) -> None:
        """Told once, until one goes through."""
        if not self._failing:
            told = "; `fediward alarms test` tries it"
            logger.error("an alarm (%s) was not sent to %s: %s%s", alarm.kind, self.target.name, error, told)
        self._failing = True


def _clean(message: str) -> str:
    return printable(bounded(message, MESSAGE), keep="\n")
