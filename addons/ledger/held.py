"""A hold as the ledger keeps it: the request byte for byte, who signed it, what it waits behind, and how it ended."""

from collections.abc import Sequence
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
    """Judged, and the policy forbids it."""
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
    """A hold as it was claimed. ``attempts``: of what its state asks, so far; ``seq``: arrival order."""

    seq: int = 0
    attempts: int = 0
    unjudged: bool = False
    """Whether it is replayed though its window closed without a judgement (``then: record``)."""
