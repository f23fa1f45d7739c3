"""A trouble that must last before it is told, is told again each day that it goes on, and is told to be over once."""

from addons.alarms.alarms import Raises
from addons.alarms.kinds import AlarmKind

AGAIN = 86_400.0
"""Seconds after which a trouble that goes on is told again."""


class Condition:
    """One source of trouble; ``after``: seconds that it must last."""

    def __init__(self, alarms: Raises, kind: AlarmKind, after: float, well: str) -> None:
        """``well``: what is said when it is over."""
        self._alarms = alarms
        self._kind = kind
        self._after = after
        self._well = well
        self._since: float | None = None
        self._told: float | None = None
        self._what = ""

    def update(self, trouble: str, now: float, what: str = "") -> None:
        """``trouble``: what is wrong now, empty if nothing; ``now`` in seconds; ``what``: told anew when it changes."""
        if not trouble:
            if self._told is not None:
                self._alarms.over(self._kind, self._well)
            self._since = self._told = None
            return
        if self._since is None:
            self._since = now
        lasted = now - self._since
        new = self._told is None or what != self._what or now - self._told >= AGAIN
        if lasted >= self._after and new:
            self._told, self._what = now, what
            self._alarms.raise_(self._kind, trouble)
