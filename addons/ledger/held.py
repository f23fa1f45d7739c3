"""A hold as the ledger keeps it: the request byte for byte, who signed it, what it waits behind, and how it ended."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import StrEnum
from typing import Literal

type SignerState = Literal["verified", "unverifiable", "unverified"]
"""``unverifiable``: its key cannot be had unsigned (401, 403): nothing is proved, for no fault of the sender's."""

type Then = Literal["drop", "record"]
"""What happens to a hold whose window closes without a judgement; ``record`` replays it unjudged, and says so."""


@dataclass(frozen=True, slots=True)
class Signer:
    """Whose signature a delivery bears. ``host``: the key's, in its one form, where ``state`` is not ``unverified``;
    ``signed_at``: the signature's Date or ``created``, from which the window counts (None: none that can be read)."""

    state: SignerState = "unverified"
    host: str | None = None
    key_id: str | None = None
    signed_at: datetime | None = None
    reason: str = ""
    """Why it is not verified, for a person."""


class HoldState(StrEnum):
    """Where a hold is: to be judged, permitted and to be replayed, waiting for a person, or over."""

    JUDGING = "judging"
    REPLAYING = "replaying"
    WAITING = "waiting"
    OVER = "over"


class Outcome(StrEnum):
    """How a hold ended: exactly one of these."""

    REPLAYED = "replayed"
    """The server took it (2xx)."""
    REFUSED = "refused"
    """The server answered another 4xx: done. Lemmy answers what it has already with 400 (reference §7b)."""
    DROPPED = "dropped"
    """Judged, and the policy forbids it; or an admin said so."""
    CLOSED = "closed"
    """The window closed without a judgement, and ``then`` is drop. (With record it is replayed, ``unjudged`` set.)"""
    UNREACHED = "unreached"
    """Permitted, but the server did not take it before the window closed."""
    WITHDRAWN = "withdrawn"
    """Its own author's Delete or Undo came first."""


@dataclass(frozen=True, slots=True)
class NewHold:
    """A delivery to be held. ``id``: its decision's, by which ``log`` and ``explain`` know it.

    ``head``: request line and headers, byte for byte as they go to the server, with the empty line at the end;
    ``body``: as it came (its content-encoding not undone). ``closes``: when ``then`` is applied, a minute before the
    server would refuse it. ``gives``: ids of the activities and objects in it; ``needs``: ids it may not overtake (the
    same objects, and what it replies to). ``share``: whose bounds it counts in.
    """

    id: str
    head: bytes
    body: bytes
    peer: str
    arrived: datetime
    closes: datetime
    then: Then
    signer: Signer
    share: str
    state: HoldState = HoldState.JUDGING
    cause: str | None = None
    rule: str | None = None
    activity_id: str | None = None
    host: str | None = None
    gives: Sequence[str] = field(default=())
    needs: Sequence[str] = field(default=())
    urls: Sequence[str] = field(default=())
    """Media URLs that could not be fetched: it is judged at once when a media door sees one of them."""


@dataclass(frozen=True, slots=True)
class Held(NewHold):
    """A hold as it was claimed. ``attempts``: of what its state asks, before this one; ``seq``: arrival order."""

    seq: int = 0
    attempts: int = 0
    unjudged: bool = False
    """Whether it is replayed though nothing judged it: its window closed (``then: record``), or an admin said so."""


type Full = Literal["count", "bytes", "host_count", "host_bytes", "unverified"]
"""Which bound is reached; ``host_…`` is a share's, ``unverified`` what all unverified deliveries have together."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How much may be pending at a time, in all and of one share; ``bytes`` count requests' heads and bodies.

    ``unverified``: which part of ``count`` and of ``bytes`` all unverified deliveries may have together (one at least).
    """

    count: int = 10_000
    bytes: int = 256 << 20
    host_count: int = 1_000
    host_bytes: int = 32 << 20
    unverified: float = 0.1


class HoldFullError(Exception):
    """No more can be held: the cause ``hold_full``. Nothing was stored."""

    def __init__(self, which: Full) -> None:
        super().__init__(f"no more deliveries can be held: the bound {which} is reached")
        self.which = which


@dataclass(frozen=True, slots=True)
class Pending:
    """A pending hold that an id concerns. ``gives``: those of the ids that were asked for which are in it."""

    id: str
    seq: int
    signer_state: SignerState
    signer_host: str | None
    gives: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Totals:
    """What is pending now. ``oldest``: when the one that waits longest arrived; ``by_share``: the largest, by count."""

    count: int = 0
    bytes: int = 0
    by_state: Mapping[HoldState, int] = field(default_factory=dict)
    oldest: datetime | None = None
    by_share: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class HoldRecord:
    """A hold without its bytes, for a person to read. ``due``: when it is tried next; ``lease``: until when ``worker``
    has it, if one has; ``size``: bytes of the request; ``detail``: what is to be said of its outcome."""

    id: str
    seq: int
    state: HoldState
    arrived: datetime
    closes: datetime
    due: datetime
    then: Then
    signer: Signer
    share: str
    peer: str
    attempts: int
    unjudged: bool
    size: int
    cause: str | None = None
    rule: str | None = None
    activity_id: str | None = None
    host: str | None = None
    worker: str | None = None
    lease: datetime | None = None
    outcome: Outcome | None = None
    detail: str = ""
    ended: datetime | None = None
