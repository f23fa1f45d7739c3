"""What there are alarms for, and what one says."""

from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

MESSAGE = 2_000
"""Characters of a message."""


class AlarmKind(StrEnum):
    """Why somebody is called."""

    LIMIT_TRIPPED = "limit_tripped"
    """A rule matched so much that its new matches are held (``brake``)."""
    NO_WORKER = "no_worker"
    """Nothing can be judged, or only in another place than it should be."""
    HOLDS_GROWING = "holds_growing"
    LEDGER = "ledger"
    CLOCK = "clock"
    CERTIFICATE = "certificate"
    UPSTREAM_DOWN = "upstream_down"
    TEST = "test"

    @property
    def about(self) -> str:
        """In a few words."""
        return _ABOUT[self]


_ABOUT = {
    AlarmKind.LIMIT_TRIPPED: "a rule matched too much",
    AlarmKind.NO_WORKER: "judging does not work as it should",
    AlarmKind.HOLDS_GROWING: "held deliveries pile up",
    AlarmKind.LEDGER: "the ledger cannot be written",
    AlarmKind.CLOCK: "the clock is wrong",
    AlarmKind.CERTIFICATE: "a certificate runs out",
    AlarmKind.UPSTREAM_DOWN: "the server behind does not answer",
    AlarmKind.TEST: "a test",
}


@dataclass(frozen=True, slots=True)
class Alarm:
    """One message. ``over``: what was told of before is well again; ``suppressed``: alarms of this kind since the last
    that was sent, which were not."""

    kind: AlarmKind
    message: str
    at: datetime
    host: str
    over: bool = False
    suppressed: int = 0

    @property
    def title(self) -> str:
        """One line, in printable ASCII: it goes into headers."""
        text = f"fediward on {self.host}: {'over: ' if self.over else ''}{self.kind.about}"
        return "".join(one if " " <= one <= "~" else "?" for one in text)[:200]

    @property
    def text(self) -> str:
        """The message, and how many were not sent."""
        if not self.suppressed:
            return self.message
        more = "1 more alarm" if self.suppressed == 1 else f"{self.suppressed} more alarms"
        return f"{self.message}\n({more} of this kind since the last that was sent)"
