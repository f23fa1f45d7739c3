"""How often one kind of alarm is sent: at most once in a while, and none is forgotten that was not."""

from dataclasses import dataclass

from addons.alarms.kinds import AlarmKind


@dataclass(slots=True)
class Said:
    """What is to be sent: of this kind, with this message; ``suppressed`` others were not."""

    kind: AlarmKind
    message: str
    over: bool = False
    suppressed: int = 0


@dataclass(slots=True)
class _State:
    last: float
    """When one was sent."""
    told: bool = True
    """Whether it was said last that something is wrong."""
    suppressed: int = 0
    message: str = ""
    """The last that was not sent."""
    well: bool = False
    """Whether it has been over since."""


class Throttle:
    """Pure: ``now`` is in seconds of any clock, ``every`` the least seconds between two of one kind."""

    def __init__(self, every: float) -> None:
        self._every = every
        self._states: dict[AlarmKind, _State] = {}

    def said(self, kind: AlarmKind, message: str, now: float) -> Said | None:
        """An alarm is raised; what to send now, if anything."""
        state = self._states.get(kind)
        if state is None or now - state.last >= self._every:
            suppressed = state.suppressed if state else 0
            self._states[kind] = _State(now)
            return Said(kind, message, suppressed=suppressed)
        state.suppressed += 1
        state.message, state.well = message, False
        return None

    def over(self, kind: AlarmKind, message: str, now: float) -> Said | None:
        """It is well again: said once, and only where it was told that it was not."""
        state = self._states.get(kind)
        if state is None:
            return None
        state.well = True
        if not state.told:
            return None
        state.told = False
        return Said(kind, message, over=True)

    def due(self, now: float) -> list[Said]:
        """Of the kinds whose time is up: how many were not sent, with the last of their messages."""
        found = []
        for kind, state in self._states.items():
            if state.suppressed and now - state.last >= self._every:
                message = state.message + (" (over by now)" if state.well else "")
                found.append(Said(kind, message, suppressed=state.suppressed - 1))
                self._states[kind] = _State(now, told=not state.well)
        return found

    def next(self) -> float | None:
        """When something is due; None where nothing waits."""
        waiting = [state.last + self._every for state in self._states.values() if state.suppressed]
        return min(waiting, default=None)
