"""From media references to judged media: fetch each once, judge the same bytes once, remember both for a while."""

import asyncio
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Protocol

from cachetools import LRUCache, TTLCache

from addons.activitypub.references import MediaRef
from addons.fetching.budget import Lease
from addons.fetching.client import Fetched, FetchError
from addons.fetching.ranges import InParts
from addons.fetching.showing import shown_type
from addons.fetching.slots import Waiting
from addons.judging.flights import Flight, Flights
from addons.judging.pictures import is_no_picture
from addons.policy.words import Cause, Medium
from classifier import CannotJudgeError, Judgement, NeedsError, Parts
from classifier.flights import Stop
from classifier.hashlists import Digests

URL_SECONDS = 600.0
URL_ENTRIES = 20_000
URL_LENGTH = 2048
"""Characters of a URL and the one it led to, together; longer ones (``data:`` above all) are not remembered."""
JUDGEMENT_FRAMES = 50_000
"""Frames whose symbols are remembered: about two kilobytes each."""
JOIN_SECONDS = 5.0
"""Work on a URL is shared with those who come within this time of its beginning."""
WORK_SECONDS = 70.0
"""The longest that work on a URL can take: the longest ``budget`` (60 s) of one who came last, and a little."""
ROUNDS = 8
"""How often more of a file that is fetched in parts is asked for."""
LOOK_UP_INLINE = 20_000
"""Pairs of hashes compared on the event loop (half a millisecond); more are compared in a thread."""


class Fetches(Protocol):
    """The part of :class:`addons.fetching.client.Fetcher` that is needed here."""

    async def get(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> Fetched:
        """Fetch a URL or raise FetchError."""
        ...

    async def get_parts(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> InParts:
        """Begin to fetch a URL in parts or raise FetchError."""
        ...


class Judges(Protocol):
    """The part of :class:`classifier.engine.Engine` that is needed here."""

    @property
    def version(self) -> str:
        """Which detectors judge."""
        ...

    async def digests(self, data: bytes | Parts) -> Digests:
        """The digests of a file, by which it is known."""
        ...

    async def judge(
        self, data: bytes | Parts, *, timeout: float, stop: Stop | None = None, digests: Digests | None = None
    ) -> Judgement:
        """Judge bytes or raise CannotJudgeError; of a file known in parts, perhaps NeedsError."""
        ...

    def known(self, digests: Digests, stop: Stop | None, media_type: str) -> Judgement | None:
        """The partial judgement of a file that need not even be decoded."""
        ...

    def look_up_cost(self, judgement: Judgement) -> int:
        """How many pairs of hashes a look-up compares."""
        ...

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with the hash lists' symbols."""
        ...


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of a URL: which bytes it gave, and where they came from."""

    digests: Digests
    media_type: str
    address: str | None
    final_url: str


@dataclass(frozen=True, slots=True)
class _Found:
    seen: _Seen
    judgement: Judgement
    cached: bool


class _NotJudgedError(Exception):
    """Fetched but not judged; ``shows`` as in FetchError."""

    def __init__(self, why: CannotJudgeError, shows: str) -> None:
        super().__init__(str(why))
        self.cause = Cause(why.cause)
        self.shows = shows


@dataclass(frozen=True, slots=True)
class _Outcome:
    """What became of one URL, for every reference to it."""

    judgement: Judgement | None = None
    cause: Cause | None = None
    message: str = ""
    address: str | None = None
    final_url: str | None = None
    cached: bool = False
    took_ms: float = 0.0
    shows: str | None = ""

    def of(self, ref: MediaRef) -> Medium:
        return Medium(
            ref,
            judgement=self.judgement,
            cause=self.cause,
            message=self.message,
            address=self.address,
            final_url=self.final_url,
            cached=self.cached,
            took_ms=self.took_ms,
        )


class Judge:
    """Judges media references. A failure is never remembered as a judgement; lists are asked anew on every hit.

    Belongs to one event loop. ``clock`` in seconds; ``url_seconds``, ``url_entries`` and ``judgement_frames`` bound
    what is remembered. ``stop`` says which symbols of the hash lists suffice: such files are judged no further, and
    not remembered as judged.
    """

    def __init__(
        self,
        fetcher: Fetches,
        engine: Judges,
        *,
        stop: Stop | None = None,
        clock: Callable[[], float] = time.monotonic,
        url_seconds: float = URL_SECONDS,
        url_entries: int = URL_ENTRIES,
        judgement_frames: int = JUDGEMENT_FRAMES,
    ) -> None:
        self._fetcher = fetcher
        self._engine = engine
        self._stop = stop
        self._clock = clock
        self._urls: TTLCache[str, _Seen] = TTLCache(url_entries, url_seconds, timer=clock)
        self._judgements: LRUCache[str, Judgement] = LRUCache(judgement_frames, getsizeof=lambda one: one.weight)
        self._flights: Flights[_Found] = Flights(clock, JOIN_SECONDS)
        self._going: set[asyncio.Task[_Found]] = set()

    @property
    def version(self) -> str:
        """The engine's version: which detectors judge."""
        return self._engine.version

    @property
    def fetcher(self) -> Fetches:
        """What it fetches with, for who needs bytes that are not judged."""
        return self._fetcher

    @property
    def in_flight(self) -> int:
        """How many URLs are being fetched or judged."""
        return len(self._flights)

    async def judge(self, refs: Sequence[MediaRef], *, timeout: float, share: str = "") -> list[Medium]:
        """Judge every reference side by side, each within ``timeout`` seconds; one medium for each, in order.

        A reference that turns out to be no picture (a link to an article) is left out: it is no medium. ``share``:
        whose share of the fetches this takes (:func:`addons.senders.shares.share_of`), so that nobody takes them all.
        """
        outcomes: dict[str, _Outcome] = {}
        unknown: list[str] = []
        for url in dict.fromkeys(ref.url for ref in refs):
            began = self._clock()
            if (known := self._recall(url)) is not None:
                outcomes[url] = await self._judged(known, began)
            else:
                unknown.append(url)
        if unknown:
            async with asyncio.TaskGroup() as group:
                tasks = {url: group.create_task(self._one(url, timeout, share)) for url in unknown}
            outcomes |= {url: task.result() for url, task in tasks.items()}
        return [
            outcome.of(ref)
            for ref in refs
            if not is_no_picture(ref, (outcome := outcomes[ref.url]).cause, outcome.shows)
        ]

    async def fetch(self, ref: MediaRef, *, timeout: float, share: str = "") -> tuple[Medium, Fetched | None]:
        """Fetch and judge one reference, for who needs the very bytes that were judged: the caller's to release.

        None where there are none. ``timeout`` and ``share`` as of :meth:`judge`; if only judging takes longer it goes
        on, so that who asks again finds it judged.
        """
        began = self._clock()
        try:
            fetched = await self._fetcher.get(ref.url, timeout=timeout, share=share)
        except FetchError as error:
            return self._failed(began, error.cause, str(error), error.address).of(ref), None
        try:
            left = timeout - (self._clock() - began)
            medium = await self.judge_bytes(ref, fetched.data, timeout=left, lease=fetched.lease)
        except BaseException:
            fetched.release()
            raise
        took = 1000 * (self._clock() - began)
        return replace(medium, address=fetched.address, final_url=fetched.url, took_ms=took), fetched

    async def judge_bytes(self, ref: MediaRef, data: bytes, *, timeout: float, lease: Lease | None = None) -> Medium:
        """Judge bytes that are at hand. After ``timeout`` seconds it is the cause ``timeout``; judging goes on, so that
        who asks again finds it judged. ``lease``: what counts ``data``; its memory stays counted as long as that takes.
        """
        began, timeout = self._clock(), max(0.0, timeout)
        share = lease.shared() if lease is not None else None
        task = asyncio.get_running_loop().create_task(self._found(data))
        self._going.add(task)
        task.add_done_callback(self._gone)
        if share is not None:
            task.add_done_callback(lambda _: share.release())
        try:
            async with asyncio.timeout(timeout):
                return (await self._judged(await asyncio.shield(task), began)).of(ref)
        except TimeoutError:
            return self._failed(began, Cause.TIMEOUT, f"not judged within {timeout:.1f} s").of(ref)
        except CannotJudgeError as error:
            return self._failed(began, Cause(error.cause), str(error)).of(ref)

    async def _found(self, data: bytes) -> _Found:
        digests = await self._engine.digests(data)
        until = self._clock() + WORK_SECONDS
        judgement, cached = await self._judge_bytes(data, digests, lambda: until - self._clock())
        return _Found(_Seen(digests, judgement.media_type, None, ""), judgement, cached)

    def _gone(self, task: asyncio.Task[_Found]) -> None:
        self._going.discard(task)
        if not task.cancelled():
            task.exception()  # whoever waited has it

    async def _one(self, url: str, timeout: float, share: str) -> _Outcome:
        began = self._clock()
        if timeout <= 0:
            return self._failed(began, Cause.TIMEOUT, "no time was left to fetch it")
        flight = self._flights.board(
            url, share, began + timeout, lambda flight: self._fetch_and_judge(url, flight, share)
        )
        try:
            async with asyncio.timeout(timeout):
                return await self._judged(await flight.landing(), began)
        except TimeoutError:
            if flight.waiting.for_slot:
                return self._failed(began, Cause.BUSY, f"waited {timeout:.1f} s for other fetches to end")
            return self._failed(began, Cause.TIMEOUT, f"not fetched and judged within {timeout:.1f} s")
        except FetchError as error:
            return replace(self._failed(began, error.cause, str(error), error.address), shows=error.shows)
        except _NotJudgedError as error:
            return replace(self._failed(began, error.cause, str(error)), shows=error.shows)

    async def _judged(self, found: _Found, began: float) -> _Outcome:
        judgement = found.judgement
        if self._engine.look_up_cost(judgement) <= LOOK_UP_INLINE:
            judgement = self._engine.look_up(judgement)
        else:
            judgement = await asyncio.to_thread(self._engine.look_up, judgement)
        return _Outcome(
            judgement=judgement,
            address=found.seen.address,
            final_url=found.seen.final_url,
            cached=found.cached,
            took_ms=1000 * (self._clock() - began),
        )

    def _failed(self, began: float, cause: Cause, message: str, address: str | None = None) -> _Outcome:
        return _Outcome(cause=cause, message=message, address=address, took_ms=1000 * (self._clock() - began))

    def _recall(self, url: str) -> _Found | None:
        seen = self._urls.get(url)
        if seen is None:
            return None
        judgement = self._judgements.get(self._key(seen.digests.sha256))
        judgement = judgement or self._engine.known(seen.digests, self._stop, seen.media_type)
        return _Found(seen, judgement, cached=True) if judgement else None

    def _key(self, sha256: str) -> str:
        return f"{sha256}:{self._engine.version}"

    def _left(self, flight: Flight[_Found]) -> float:
        """Seconds for the engine: until the last of those who wait, and of those who may yet join, has gone."""
        return flight.deadline + JOIN_SECONDS - self._clock()

    async def _fetch_and_judge(self, url: str, flight: Flight[_Found], share: str) -> _Found:
        waiting = flight.waiting
        try:
            fetched = await self._fetcher.get(url, timeout=WORK_SECONDS, waiting=waiting, share=share)
        except FetchError as error:
            if error.length is None:
                raise
            return await self._judge_in_parts(url, flight, share)
        async with fetched:
            digests = await self._engine.digests(fetched.data)
            try:
                judgement, cached = await self._judge_bytes(fetched.data, digests, lambda: self._left(flight))
            except CannotJudgeError as error:
                raise _NotJudgedError(error, shown_type(error.media_type, fetched.content_type)) from error
        seen = _Seen(digests, judgement.media_type, fetched.address, fetched.url)
        self._remember(url, seen)
        return _Found(seen, judgement, cached)

    async def _judge_in_parts(self, url: str, flight: Flight[_Found], share: str) -> _Found:
        """A file too large to be fetched whole. Remembered by URL alone: its ``sha256`` is no file's."""
        left = self._left(flight)
        async with await self._fetcher.get_parts(url, timeout=left, waiting=flight.waiting, share=share) as file:
            for _ in range(ROUNDS):
                try:
                    judgement = await self._engine.judge(file.parts, timeout=self._left(flight), stop=self._stop)
                    break
                except NeedsError as needs:
                    await file.fetch(needs.ranges, timeout=self._left(flight))
                except CannotJudgeError as error:
                    raise _NotJudgedError(error, shown_type(error.media_type, file.content_type)) from error
            else:
                raise file.too_large()
        seen = _Seen(Digests(judgement.sha256), judgement.media_type, file.address, file.url)
        self._remember(url, seen)
        self._keep(judgement)
        return _Found(seen, judgement, cached=False)

    def _remember(self, url: str, seen: _Seen) -> None:
        if len(url) + len(seen.final_url) <= URL_LENGTH:
            self._urls[url] = seen

    def _keep(self, judgement: Judgement) -> None:
        if not judgement.partial and judgement.weight <= self._judgements.maxsize:
            self._judgements[self._key(judgement.sha256)] = judgement

    async def _judge_bytes(self, data: bytes, digests: Digests, left: Callable[[], float]) -> tuple[Judgement, bool]:
        """The judgement of these bytes without the lists' symbols (but where they sufficed), and whether it was
        remembered. Raises CannotJudgeError."""
        if (known := self._judgements.get(self._key(digests.sha256))) is not None:
            return known, True
        judgement = await self._engine.judge(data, timeout=left(), stop=self._stop, digests=digests)
        self._keep(judgement)
        return judgement, False
