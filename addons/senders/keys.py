"""The public keys that signatures name: fetched unsigned with the safe client, checked to be their host's, remembered.

A key document is looked at anew at most every few minutes, however many bad signatures come; one fetch serves all who
wait for the same key, and goes on when their time is up, so that the next delivery finds it.
"""

import asyncio
import ipaddress
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Protocol

from cachetools import LRUCache

from addons.activitypub.parsing import MalformedActivityError
from addons.activitypub.signatures import PublicKey, SignatureError
from addons.fetching.addresses import Network
from addons.fetching.results import Fetched, FetchError
from addons.fetching.settings import FetchSettings
from addons.fetching.slots import Waiting
from addons.fetching.urls import MAX_URL, Target, UrlRefusedError
from addons.fetching.urls import parse as parse_url
from addons.ledger.held import SignerState
from addons.policy.hosts import normal_host
from addons.policy.words import Cause
from addons.senders.key_documents import is_activity_type, owner_names, read_document, read_key, same_origin

logger = logging.getLogger(__name__)

ACCEPT = 'application/activity+json, application/ld+json; profile="https://www.w3.org/ns/activitystreams"'
SECONDS = 8.0
"""For one fetch of a key, whoever waits for it."""
MAX_DOCUMENT = 512 << 10
"""Bytes of an actor. Mastodon reads at most 1 MiB; real ones have some KiB."""
KEEP = 24 * 3600.0
"""Seconds a key is believed without a look: that there is a new one shows when a signature does not hold."""
RENEW_EVERY = 300.0
"""Seconds between two looks at a key that is known, because a signature did not hold."""
KEPT = 10_000
"""Keys, of some 3 KB each."""
TROUBLES = 10_000
_READ_INLINE = 16 << 10
"""Bytes of a document that are read on the event loop."""

_FINAL = 300.0
_UNAUTHORIZED = 600.0
_PASSING = 5.0


class Fetches(Protocol):
    """The part of :class:`addons.fetching.client.Fetcher` that is needed here."""

    async def get_beginning(
        self,
        url: str,
        most: int,
        *,
        headers: Mapping[str, str],
        timeout: float,
        waiting: Waiting | None = None,
        share: str = "",
    ) -> Fetched:
        """Fetch at most so many bytes of a URL, or raise FetchError."""
        ...


@dataclass(frozen=True, slots=True)
class Key:
    """A public key that its host gives as one of its actors'. ``host``: in its one form, without a port."""

    id: str
    host: str
    public: PublicKey


@dataclass(frozen=True, slots=True)
class Trouble:
    """Why a key cannot be had, for a person. ``host``: the one that the key id claims; ``seconds``: for how long this
    is believed without another look."""

    reason: str
    state: SignerState = "unverified"
    host: str | None = None
    seconds: float = _FINAL


@dataclass(slots=True)
class _Kept:
    """A known key. ``until`` it is believed; ``looked`` at last, successfully or not."""

    key: Key
    until: float
    looked: float


@dataclass(slots=True)
class _Flight:
    """A key that is being fetched, by ``share``'s slots."""

    share: str
    waiting: Waiting = field(default_factory=Waiting)
    task: asyncio.Task[Key | Trouble] | None = None


def key_settings(settings: FetchSettings) -> FetchSettings:
    """How keys are fetched by a Fetcher of their own: never in line behind images, and few at a time from one host."""
    return replace(settings, per_host=4, total=16, queue=32, redirects=2)


class Keys:
    """Shared by all deliveries of one process; belongs to one event loop. ``clock`` in seconds.

    ``plain``: networks in which a key is believed without TLS (``fetch.allow``: the admin's own, where nobody listens
    in); from anywhere else only https proves whose it is.
    """

    def __init__(
        self, fetcher: Fetches, *, plain: Sequence[Network] = (), clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._fetcher = fetcher
        self._plain = tuple(plain)
        self._clock = clock
        self._kept: LRUCache[str, _Kept] = LRUCache(KEPT)
        # Apart, so that made-up key ids push out no real key.
        self._troubles: LRUCache[str, tuple[Trouble, float]] = LRUCache(TROUBLES)
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[Key | Trouble]] = set()

    @property
    def in_flight(self) -> int:
        """How many keys are being fetched."""
        return len(self._tasks)

    def known(self, key_id: str) -> Key | Trouble | None:
        """What is known of a key without fetching it; None: nothing, or no longer."""
        now = self._clock()
        if (kept := self._kept.get(key_id)) is not None and now < kept.until:
            return kept.key
        trouble, until = self._troubles.get(key_id, (None, 0.0))
        return trouble if now < until else None

    async def get(self, key_id: str, share: str = "") -> Key | Trouble:
        """The key, from memory or its host. ``share``: whose share of the fetches it takes."""
        known = self.known(key_id)
        return await self._fetched(key_id, share) if known is None else known

    async def renewed(self, old: Key, share: str = "") -> Key | None:
        """The key as its host gives it now, where that is another than ``old``; None where not, or where it was looked
        at within the last minutes. A look in vain changes nothing."""
        kept = self._kept.get(old.id)
        if kept is not None and kept.key.public != old.public:
            return kept.key
        if kept is not None and old.id not in self._flights:
            if self._clock() - kept.looked < RENEW_EVERY:
                return None
            kept.looked = self._clock()
        found = await self._fetched(old.id, share)
        return found if isinstance(found, Key) and found.public != old.public else None

    async def close(self) -> None:
        """Fetch nothing more."""
        tasks = tuple(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _fetched(self, key_id: str, share: str) -> Key | Trouble:
        flight = self._flights.get(key_id)
        # What waits for another share's slots, which may be used up for long, is not waited for.
        if flight is None or (flight.share != share and flight.waiting.for_share):
            flight = self._flights[key_id] = _Flight(share)
            task = asyncio.get_running_loop().create_task(self._fly(key_id, flight))
            flight.task = task
            self._tasks.add(task)
            task.add_done_callback(self._tasks.discard)
        assert flight.task is not None
        await asyncio.wait({flight.task})
        return Trouble("fediward is stopping") if flight.task.cancelled() else flight.task.result()

    async def _fly(self, key_id: str, flight: _Flight) -> Key | Trouble:
        try:
            found = await self._find(key_id, flight)
        except Exception:
            logger.exception("a key could not be read, which is a fault of fediward's: %r", key_id[:200])
            found = Trouble("the key could not be read (fediward's log says more)")
        finally:
            if self._flights.get(key_id) is flight:
                del self._flights[key_id]
        now = self._clock()
        if isinstance(found, Key):
            self._kept[key_id] = _Kept(found, now + KEEP, now)
            self._troubles.pop(key_id, None)
        elif found.seconds and len(key_id) <= MAX_URL:
            self._troubles[key_id] = found, now + found.seconds
        return found

    async def _find(self, key_id: str, flight: _Flight) -> Key | Trouble:
        try:
            origin = parse_url(key_id)
        except UrlRefusedError as error:
            return Trouble(f"the key id is no URL that is fetched: {error}")
        host = normal_host(origin.host)
        if host is None or (origin.scheme != "https" and not self._plain):
            return Trouble("the key id is no https URL, so nothing proves whose it is")
        try:
            return Key(key_id, host, await self._ask(key_id, origin, flight))
        except FetchError as error:
            return _trouble(error, host)
        except (SignatureError, MalformedActivityError) as error:
            return Trouble(str(error), host=host)

    async def _ask(self, key_id: str, origin: Target, flight: _Flight) -> PublicKey:
        """Raises FetchError, SignatureError, MalformedActivityError."""
        document = await self._document(origin.url, origin, flight)
        found = read_key(document, key_id, origin)
        if not found.named:
            of = await self._document(parse_url(found.owner).url, origin, flight)
            if not owner_names(of, found.owner, key_id):
                raise SignatureError("the owner that the key names does not name the key")
        return found.public

    async def _document(self, url: str, origin: Target, flight: _Flight) -> Mapping[str, object]:
        fetched = await self._fetcher.get_beginning(
            url,
            MAX_DOCUMENT,
            headers={"Accept": ACCEPT},
            timeout=SECONDS,
            waiting=flight.waiting,
            share=flight.share,
        )
        async with fetched:
            if not same_origin(fetched.url, origin):
                raise SignatureError("the key id leads to another host than it names")
            if origin.scheme != "https" and not self._near(fetched.address):
                raise SignatureError("the key id is no https URL, so nothing proves whose it is")
            if not is_activity_type(fetched.content_type):
                raise SignatureError(f"what is under the key id is no ActivityPub: {fetched.content_type[:60]!r}")
            if not fetched.whole:
                raise SignatureError(f"the document with the key has more than {MAX_DOCUMENT} bytes")
            if len(fetched.data) <= _READ_INLINE:
                return read_document(fetched.data)
            return await asyncio.to_thread(read_document, fetched.data)

    def _near(self, address: str | None) -> bool:
        return address is not None and any(ipaddress.ip_address(address) in network for network in self._plain)


def _trouble(error: FetchError, host: str) -> Trouble:
    match error.cause:
        case Cause.FETCH_UNAUTHORIZED:
            message = f"its key is given to signed requests only: {error}"
            return Trouble(message, "unverifiable", host, _UNAUTHORIZED)
        case Cause.BUSY:
            # Of this share: the next one may have its turn at once.
            return Trouble(f"its key was not fetched: {error}", host=host, seconds=0)
        case Cause.FETCH_REFUSED | Cause.TOO_LARGE:
            return Trouble(f"its key cannot be had: {error}", host=host)
        case _ if error.status in (404, 410):
            return Trouble(f"its key is gone: {error}", host=host)
        case _:
            return Trouble(f"its key cannot be had: {error}", host=host, seconds=_PASSING)
