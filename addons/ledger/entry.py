"""One decision as the ledger keeps it: everything needed to explain it later, bounded, and no image."""

import secrets
import time
from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime

from addons.activitypub.references import Walk
from addons.ledger.clean import bounded, bounded_url
from addons.policy.words import Action, Context, Decision, Hit, Medium
from classifier import HashMatch, JudgedFrame

URL = 4096
"""Characters kept of a URL."""
ID = 2048
"""Characters kept of an activity's, actor's or object's id, and of a JSON path."""
MESSAGE = 1000
"""Characters kept of a message."""
HOST = 255
"""Characters kept of a host name (RFC 1035 ends at 255)."""
NAME = 128
"""Characters kept of a rule's name, a type, a media type, an address, a policy version."""
VERSION = 1000
"""Characters kept of a model's version."""
MEDIA = 256
"""Media kept of one decision: those that a rule or cause applied to before others."""
FRAMES = 64
"""Frames kept of one medium."""
SYMBOLS = 256
"""Symbols kept of one frame."""
MATCHES = 64
"""Hash matches kept of one medium."""
HITS = 1024
"""Rules and causes that applied, kept of one decision."""
TYPES = 16
"""Activity types kept of one decision."""
BODY = 8 << 20
"""Bytes of an activity beyond which it is not kept."""

_ALPHABET = "0123456789abcdefghjkmnpqrstvwxyz"


@dataclass(frozen=True, slots=True)
class EntryMedium:
    """One medium of a decision. ``index`` is its place among the delivery's media, which hits point to; ``address``
    is the IP address the bytes came from; ``took_ms`` milliseconds from the start of its fetch to its judgement."""

    index: int
    url: str
    kind: str
    path: str
    sensitive: bool = False
    final_url: str | None = None
    address: str | None = None
    sha256: str | None = None
    media_type: str | None = None
    width: int | None = None
    height: int | None = None
    version: str | None = None
    frames: tuple[JudgedFrame, ...] = ()
    matches: tuple[HashMatch, ...] = ()
    cause: str | None = None
    message: str = ""
    cached: bool = False
    took_ms: float | None = None

    @classmethod
    def of(cls, index: int, medium: Medium, hits: Sequence[Hit] = ()) -> "EntryMedium":
        """What is kept of ``medium``, the ``index``-th of its delivery; of many frames those that ``hits`` name."""
        ref, judgement = medium.ref, medium.judgement
        return cls(
            index=index,
            url=bounded_url(ref.url, URL),
            kind=ref.kind,
            path=bounded(ref.path, ID),
            sensitive=ref.sensitive,
            final_url=None if medium.final_url is None else bounded_url(medium.final_url, URL),
            address=_optional(medium.address, NAME),
            sha256=judgement.sha256[:64] if judgement else None,
            media_type=bounded(judgement.media_type, NAME) if judgement else None,
            width=judgement.width if judgement else None,
            height=judgement.height if judgement else None,
            version=bounded(judgement.version, VERSION) if judgement else None,
            frames=_frames(judgement.frames, {hit.frame for hit in hits if hit.medium == index}) if judgement else (),
            matches=judgement.matches[:MATCHES] if judgement else (),
            cause=str(medium.cause) if medium.cause else None,
            message=bounded(medium.message, MESSAGE),
            cached=medium.cached,
            took_ms=medium.took_ms,
        )


@dataclass(frozen=True, slots=True)
class Entry:
    """One decision. ``at`` is when the delivery began to be handled (UTC), ``took_ms`` how long until the decision.

    ``media_count`` counts all its media, ``media`` holds at most :data:`MEDIA` of them; ``overflow`` is the bound of
    the walk that was passed, if any; ``peer`` the sender's IP address; ``body`` the activity's JSON, set only where a
    drop or reject was enforced and it is at most :data:`BODY` bytes long; ``session`` a salted hash of an uploader's
    session token; ``hold`` the held delivery's decision, where this is the one that was made later.
    """

    id: str
    at: datetime
    door: str
    action: str
    mode: str
    rule: str | None = None
    cause: str | None = None
    hits: tuple[Hit, ...] = ()
    host: str | None = None
    actor: str | None = None
    activity_id: str | None = None
    object_id: str | None = None
    types: tuple[str, ...] = ()
    software: str = "generic"
    peer: str | None = None
    overflow: str | None = None
    took_ms: float = 0.0
    policy_version: str = ""
    engine_version: str = ""
    media_count: int = 0
    media: tuple[EntryMedium, ...] = ()
    body: bytes | None = field(default=None, repr=False)
    session: str | None = None
    hold: str | None = None

    @classmethod
    def of(
        cls,
        decision: Decision,
        context: Context,
        media: Sequence[Medium],
        *,
        walk: Walk | None,
        peer: str | None,
        started: datetime,
        took: float,
        policy_version: str,
        engine_version: str,
        mode: str,
        body: bytes | None,
        id: str | None = None,
        session: str | None = None,
        hold: str | None = None,
    ) -> "Entry":
        """The entry for ``decision``; ``started`` with a time zone, ``took`` in seconds, ``mode`` enforce or observe.

        ``walk`` is None where no activity was seen (a bare image); ``body`` is the activity as it was read.
        """
        dropped = decision.action in (Action.DROP, Action.REJECT) and mode == "enforce"
        actor = (walk.actor if walk else None) or context.actor
        return cls(
            id=id or new_id(started),
            at=started,
            door=context.door,
            action=str(decision.action),
            mode=bounded(mode, NAME),
            rule=_optional(decision.rule, NAME),
            cause=str(decision.cause) if decision.cause else None,
            hits=tuple(decision.hits[:HITS]),
            host=_optional(context.host, HOST),
            actor=_optional(actor, ID),
            activity_id=_optional(walk.activity_id if walk else None, ID),
            object_id=_optional(walk.object_id if walk else None, ID),
            types=tuple(bounded(word, NAME) for word in (walk.types if walk else context.types)[:TYPES]),
            software=bounded(context.software, NAME),
            peer=_optional(peer, NAME),
            overflow=walk.overflow if walk else None,
            took_ms=took * 1000,
            policy_version=bounded(policy_version, NAME),
            engine_version=bounded(engine_version, VERSION),
            media_count=len(media),
            media=tuple(EntryMedium.of(index, media[index], decision.hits) for index in _kept(media, decision)),
            session=session,
            hold=hold,
            body=body if dropped and body is not None and len(body) <= BODY else None,
        )

    @property
    def weight(self) -> int:
        """About how many bytes of memory it holds, for the queue's bound."""
        size = 1024 + len(self.body or b"") + 200 * len(self.hits)
        for medium in self.media:
            size += 512 + len(medium.url) + len(medium.path) + len(medium.final_url or "") + 1024 * len(medium.matches)
            size += sum(200 + 64 * len(frame.symbols) for frame in medium.frames)
        return size


def new_id(at: datetime) -> str:
    """A new decision's id: 20 characters of Crockford's base32; 10 are time (ms), so that they sort, 10 are chance."""
    number = (int(at.timestamp() * 1000) & (1 << 50) - 1) << 50 | secrets.randbits(50)
    return "".join(_ALPHABET[number >> shift & 31] for shift in range(95, -1, -5))


def _kept(media: Sequence[Medium], decision: Decision) -> list[int]:
    if len(media) <= MEDIA:
        return list(range(len(media)))
    hits = [decision.deciding, *decision.hits] if decision.deciding else list(decision.hits)
    first = [hit.medium for hit in hits if hit.medium is not None and hit.medium < len(media)]
    return sorted(list(dict.fromkeys([*first, *range(MEDIA)]))[:MEDIA])


def _frames(frames: tuple[JudgedFrame, ...], told: set[int | None]) -> tuple[JudgedFrame, ...]:
    if len(frames) <= FRAMES:
        return frames
    # Stable, so that frames keep their order but for those that a rule applied to.
    kept = sorted(range(len(frames)), key=lambda place: frames[place].index not in told)[:FRAMES]
    return tuple(frames[place] for place in sorted(kept))


def _optional(text: str | None, limit: int) -> str | None:
    return None if text is None else bounded(text, limit)


def utc_now() -> datetime:
    """The time, in UTC: the clock that is used where a test gives no other."""
    return datetime.fromtimestamp(time.time(), UTC)
