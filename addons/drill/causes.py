"""How each cause is made to happen: what the delivery carries, what is broken, and whether that can be mended."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Literal

from addons.drill.host import File
from addons.policy.words import Cause

PRIVATE = "http://10.0.0.1/picture.png"
"""An address that nobody fetches from, for ``fetch.allow`` is this machine alone in a drill."""
MEDIA = 4
"""``limits.media`` in a drill of ``too_many``."""
MAX_BYTES = 64 << 10
"""``fetch.max_bytes`` in a drill of ``too_large``: the least that a configuration may say."""

type Broken = Literal["judge", "turns", "ledger", "room"]
"""The judge fails; all places of deliveries are taken; the ledger is locked; one hold is all the room."""


@dataclass(frozen=True, slots=True)
class Drill:
    """``what`` is done, in plain English. ``picture``: the host's file that is carried, or any URL; ``number`` of them.
    ``mended``: what is done when the sender has its answer; empty where nothing can be. ``live``: it can be made to
    happen beside a running fediward, with its ledger."""

    what: str
    picture: File | None = None
    url: str = ""
    number: int = 1
    broken: Broken | None = None
    mended: str = ""
    live: bool = True


DRILLS: Mapping[Cause, Drill] = {
    Cause.TIMEOUT: Drill(
        "a picture on a host that takes the connection and does not answer", "hanging", mended="the host answers"
    ),
    Cause.NO_WORKER: Drill(
        "an ordinary picture, and no worker to judge it", "good", broken="judge", mended="a worker is there"
    ),
    Cause.BUSY: Drill(
        "an ordinary picture, while as many deliveries are judged as limits.deliveries allows",
        "good",
        broken="turns",
        mended="the others are done",
    ),
    Cause.FETCH_FAILED: Drill("a picture on a host that answers with 500", "failing", mended="the host is well again"),
    Cause.FETCH_REFUSED: Drill("a picture on a private address", url=PRIVATE),
    Cause.FETCH_UNAUTHORIZED: Drill("a picture on a host that answers with 401", "hidden"),
    Cause.UNDECODABLE: Drill("a file that calls itself PNG and is broken", "broken"),
    Cause.UNSUPPORTED: Drill("an SVG", "vector"),
    Cause.TOO_LARGE: Drill("a file larger than fetch.max_bytes, which is 64 KiB here", "large"),
    Cause.TOO_MANY: Drill("a post with one picture more than limits.media, which is 4 here", "good", number=MEDIA + 1),
    Cause.DETECTOR_ERROR: Drill(
        "an ordinary picture, and a detector that breaks down over it",
        "good",
        broken="judge",
        mended="the detector is well again",
    ),
    Cause.LEDGER_ERROR: Drill(
        "an ordinary picture, while the ledger's file is locked by somebody else",
        "good",
        broken="ledger",
        mended="the lock is gone",
        live=False,
    ),
    Cause.HOLD_FULL: Drill(
        "a delivery that should be held, while another one takes all the room there is for holds",
        "hanging",
        broken="room",
        mended="the host answers",
        live=False,
    ),
}
