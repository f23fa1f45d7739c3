"""Whether this machine's clock is right: by its own steps, and by the dates of deliveries whose signatures verify.

A wrong clock has servers refuse what is replayed to them, or holds closed too soon: their windows count from a date.
"""

import statistics
import threading
from collections import OrderedDict
from collections.abc import Callable

JUMP = 30.0
"""Seconds by which the time may step beside the clock that only counts on."""
CALM = 600.0
"""Seconds without a step after which one is over."""
SKEW = 300.0
"""Seconds by which the date of half of the hosts may differ from ours."""
HOSTS = 5
"""Of so many hosts at least: one with a wrong clock (or a wish to frighten) is not ours."""
MOST = 500
"""Hosts whose last dates are remembered."""
FRESH = 3600.0
"""Seconds that a date is."""


class Clocks:
    """``wall``: seconds since 1970; ``clock``: seconds that only count on."""

    def __init__(self, wall: Callable[[], float], clock: Callable[[], float]) -> None:
        self._wall = wall
        self._clock = clock
        self._offset = wall() - clock()
        self._jumped: tuple[float, float] | None = None
        self._lock = threading.Lock()
        self._skews: OrderedDict[str, tuple[float, float]] = OrderedDict()

    def skew(self, host: str, seconds: float) -> None:
        """A delivery of ``host``, whose signature verifies, is dated so many seconds before (positive) its arrival. Of
        each host the last counts, so that no one decides. From any thread; some microseconds."""
        with self._lock:
            self._skews[host] = (self._clock(), seconds)
            self._skews.move_to_end(host)
            if len(self._skews) > MOST:
                self._skews.popitem(last=False)

    def trouble(self) -> str:
        """What is wrong, for a person; empty if nothing. To be asked every few seconds."""
        return self._step() or self._apart()

    def _step(self) -> str:
        now, offset = self._clock(), self._wall() - self._clock()
        step, self._offset = offset - self._offset, offset
        if abs(step) > JUMP:
            self._jumped = (now, step)
        if self._jumped is None or now - self._jumped[0] > CALM:
            self._jumped = None
            return ""
        way = "forward" if self._jumped[1] > 0 else "back"
        return (
            f"the clock of this machine was set {way} by {abs(self._jumped[1]):.0f} s (or it slept): deliveries that "
            "are held may be refused or closed too soon. See that it keeps the time: timedatectl, chronyc tracking"
        )

    def _apart(self) -> str:
        oldest = self._clock() - FRESH
        with self._lock:
            while self._skews and next(iter(self._skews.values()))[0] < oldest:
                self._skews.popitem(last=False)
            skews = [seconds for _, seconds in self._skews.values()]
        if len(skews) < HOSTS or abs(median := statistics.median(skews)) <= SKEW:
            return ""
        way = "fast" if median > 0 else "slow"
        return (
            f"the clock of this machine is about {abs(median):.0f} s {way}, going by what {len(skews)} hosts sign: "
            "servers refuse what it dates. Set it right: timedatectl, chronyc tracking"
        )
