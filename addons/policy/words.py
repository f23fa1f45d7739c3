"""The words of a decision: actions with their strictness, causes, context, media as judged, and the decision itself."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Literal

from addons.activitypub.references import MediaRef
from classifier import Judgement

type Door = Literal["inbox", "fetch", "pictrs", "validate", "upload"]

type Then = Literal["drop", "record"]
"""What happens to a hold whose window closes without a judgement: ``record`` lets it by, unjudged, and says so."""


class Action(StrEnum):
    """What is done with a delivery, fetch or upload. Order of definition is strictness, strictest first (DESIGN.md)."""

    DROP = "drop"
    REJECT = "reject"
    HOLD = "hold"
    DEFER = "defer"
    STRIP = "strip"
    RECORD = "record"
    PASS = "pass"

    @property
    def rank(self) -> int:
        """0 for the strictest; of two actions the one with the lower rank wins."""
        return _RANK[self]


_RANK = {action: rank for rank, action in enumerate(Action)}


class Cause(StrEnum):
    """Why something could not be judged: DESIGN.md's one list of causes."""

    TIMEOUT = "timeout"
    NO_WORKER = "no_worker"
    BUSY = "busy"
    FETCH_FAILED = "fetch_failed"
    FETCH_REFUSED = "fetch_refused"
    FETCH_UNAUTHORIZED = "fetch_unauthorized"
    UNDECODABLE = "undecodable"
    UNSUPPORTED = "unsupported"
    TOO_LARGE = "too_large"
    TOO_MANY = "too_many"
    DETECTOR_ERROR = "detector_error"
    LEDGER_ERROR = "ledger_error"
    HOLD_FULL = "hold_full"


@dataclass(frozen=True)  # no slots: its defaults are read from the class
class Denial:
    """A rule's ``deny:``: whoever it hit ``hits`` times ``within`` that many seconds is denied for ``seconds``."""

    seconds: float
    hits: int = 5
    within: float = 3600.0
    who: Literal["host", "actor"] = "host"


@dataclass(frozen=True, slots=True)
class Context:
    """What rules may ask beside symbols. ``host`` is the actor's host (lower case, no port); ``types`` from outermost
    inwards; ``software`` is the configured ``server.software``; ``address`` the IP address of who asks or brings it."""

    door: Door
    host: str | None = None
    actor: str | None = None
    types: tuple[str, ...] = ()
    software: str = "generic"
    address: str | None = None


@dataclass(frozen=True, slots=True)
class Standing:
    """What was settled before about these very bytes, or this URL.

    ``allowed``: an admin undid a decision (``fediward allow``): the bytes pass. Otherwise it is on the block set: a
    ``strip`` let its post in, and ``action`` is done wherever it turns up. ``by``: the decision's id.
    """

    by: str
    allowed: bool = False
    action: Action = Action.STRIP


@dataclass(frozen=True, slots=True)
class Medium:
    """One piece of media as it went through judging: at most one of ``judgement`` and ``cause`` is set, and one of them
    unless ``standing`` blocks it, which needs neither.

    ``message`` explains a cause to a person; ``address`` is the IP address the bytes came from; ``final_url`` where
    redirects led; ``took_ms`` milliseconds from the start of its fetch to its judgement (None: not measured).
    """

    ref: MediaRef
    judgement: Judgement | None = None
    cause: Cause | None = None
    message: str = ""
    address: str | None = None
    final_url: str | None = None
    cached: bool = False
    took_ms: float | None = None
    standing: Standing | None = None


@dataclass(frozen=True, slots=True)
class Hit:
    """One rule, cause or allow list that applied, and to what: index into the media and into its frames (None: the
    whole). ``allowed`` names the allow list, or the decision that an admin undid; ``blocked`` the decision that put it
    on the block set; ``then`` is set where ``action`` is ``hold``."""

    action: Action
    rule: str | None = None
    cause: Cause | None = None
    medium: int | None = None
    frame: int | None = None
    allowed: str | None = None
    blocked: str | None = None
    then: Then | None = None


@dataclass(frozen=True, slots=True)
class Decision:
    """What is done with one delivery, fetch or upload, and why.

    ``hits`` holds every rule and cause that applied, ``record`` ones too, in the order they were tried; ``deciding``
    is the one that gave the action (None when nothing applied and the action is ``pass``).
    """

    action: Action
    deciding: Hit | None = None
    hits: Sequence[Hit] = field(default=())

    @property
    def rule(self) -> str | None:
        """Name of the deciding rule."""
        return self.deciding.rule if self.deciding else None

    @property
    def cause(self) -> Cause | None:
        """The deciding cause."""
        return self.deciding.cause if self.deciding else None

    @property
    def allowed(self) -> str | None:
        """The allow list that let it by, where nothing else applied."""
        return self.deciding.allowed if self.deciding else None

    @property
    def then(self) -> Then | None:
        """What happens to the hold if its window closes: ``record`` only where all that holds it says so; None where
        the action is no hold."""
        if self.action is not Action.HOLD:
            return None
        hits = (*self.hits, self.deciding) if self.deciding else self.hits
        thens = {hit.then for hit in hits if hit.action is Action.HOLD}
        return "record" if thens == {"record"} else "drop"
