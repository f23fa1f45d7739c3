"""Alarms on their way out: said from anywhere without waiting, few, tried again, and none ever in a door's way."""

from typing import Protocol

from addons.alarms.kinds import AlarmKind


class Raises(Protocol):
    """What a part that has something to say needs to know of :class:`Alarms`."""

    def raise_(self, kind: AlarmKind, message: str) -> None:
        """Tell the admin; never waits, never raises, from any thread."""
        ...

    def over(self, kind: AlarmKind, message: str) -> None:
        """Say that it is well again, where :meth:`raise_` said that it was not."""
        ...
