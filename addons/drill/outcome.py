"""What became of a drill, and whether it is what the policy says."""

from dataclasses import dataclass

from addons.drill.causes import DRILLS
from addons.policy.words import Action, Cause, Then

FORWARDS = frozenset({Action.PASS, Action.RECORD, Action.STRIP})
_STATUS = {Action.REJECT: 403, Action.DEFER: 503}


@dataclass(frozen=True, slots=True)
class Seen:
    """What was seen. ``status`` and ``seconds``: the sender's answer; ``at_once`` and ``later``: how often the server
    had it by then, and in the end; ``changed``: what was not as it was sent. ``action`` and ``cause``: the ledger's;
    ``decision`` its id there; ``outcome``: how the hold ended (None: it did not), with ``detail``."""

    status: int
    seconds: float
    at_once: int
    later: int
    changed: tuple[str, ...] = ()
    action: str | None = None
    cause: str | None = None
    rule: str | None = None
    message: str = ""
    decision: str | None = None
    held: bool = False
    outcome: str | None = None
    detail: str = ""
    metrics: tuple[str, ...] = ()
    alarms: int = 0


@dataclass(frozen=True, slots=True)
class Drilled:
    """``wanted``: what the policy's ``on:`` says, as it comes to at the inbox door, and ``then`` for a hold."""

    cause: Cause
    wanted: Action
    then: Then | None
    observe: bool
    seen: Seen

    @property
    def status(self) -> int:
        """What the sender must be answered."""
        return 202 if self.observe else _STATUS.get(self.wanted, 202)

    @property
    def at_once(self) -> int:
        """How often the server must have it when the sender is answered."""
        return int(self.observe or self.wanted in FORWARDS)

    @property
    def outcome(self) -> str | None:
        """How the hold must end: where the trouble can be mended, with its replay."""
        held = self.wanted is Action.HOLD and not self.observe
        return "replayed" if held and DRILLS[self.cause].mended else None

    def problems(self) -> list[str]:
        """All that is not as the policy says, in words."""
        seen = self.seen
        held = self.wanted is Action.HOLD and not self.observe
        wanted = {
            "the cause in the ledger": (seen.cause, str(self.cause)),
            "the action in the ledger": (seen.action, str(self.wanted)),
            "the sender's answer": (seen.status, self.status),
            "times the server had it at once": (seen.at_once, self.at_once),
            "times the server had it in the end": (seen.later, self.at_once + int(self.outcome is not None)),
            "whether it was held": (seen.held, held),
            "how the hold ended": (seen.outcome, self.outcome),
        }
        problems = [f"{name}: {got}, not {asked}" for name, (got, asked) in wanted.items() if got != asked]
        return problems + [f"its {one} reached the server changed" for one in seen.changed]

    @property
    def right(self) -> bool:
        """Whether all is as the policy says."""
        return not self.problems()
