"""What every way of sending an alarm has: a name without secrets, and one try at a time."""

from typing import Protocol

from addons.alarms.kinds import Alarm
from addons.ledger.clean import bounded, printable

REASON = 300
"""Characters of why something was not sent."""


class NotSentError(Exception):
    """One try failed; the message names no secret. ``again``: whether another try may go better."""

    def __init__(self, message: str, *, again: bool = True) -> None:
        super().__init__(printable(bounded(" ".join(message.split()), REASON)))
        self.again = again


class Target(Protocol):
    """Where alarms go."""

    @property
    def name(self) -> str:
        """As people are told of it: the kind and the host, never a path, which may be a secret."""
        ...

    async def send(self, alarm: Alarm) -> None:
        """One try, bounded in time. Raises NotSentError."""
        ...

    async def close(self) -> None:
        """Let go of connections."""
        ...
