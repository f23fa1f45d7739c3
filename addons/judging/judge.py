"""From media references to judged media: fetch each once, judge the same bytes once, remember both for a while."""

import asyncio
import hashlib
import time
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

from cachetools import LRUCache, TTLCache

from addons.activitypub.references import MediaRef
from addons.fetching.client import Fetched, FetchError
from addons.policy.words import Cause, Medium
from classifier import CannotJudgeError, Judgement

URL_SECONDS = 600.0
URL_ENTRIES = 20_000
URL_LENGTH = 2048
JUDGEMENT_ENTRIES = 50_000
# Longer URLs (``data:`` ones above all) are not remembered; a cached judgement is a few hundred bytes a frame.


class Fetches(Protocol):
    """The part of :class:`addons.fetching.client.Fetcher` that is needed here."""

    async def get(self, url: str, *, timeout: float) -> Fetched:
        """Fetch a URL or raise FetchError."""
        ...


class Judges(Protocol):
    """The part of :class:`classifier.engine.Engine` that is needed here."""

    version: str

    async def judge(self, data: bytes, *, timeout: float) -> Judgement:
        """Judge bytes or raise CannotJudgeError."""
        ...

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with the hash lists' symbols."""
        ...


@dataclass(frozen=True, slots=True)
class _Seen:
    """What is remembered of a URL: which bytes it gave, and where they came from."""

    sha256: str
    address: str | None
    final_url: str


@dataclass(frozen=True, slots=True)
class _Found:
    seen: _Seen
    judgement: Judgement
    cached: bool


class _InFlight[T]:
    """Runs the same work once for all who want it at the same time; it is cancelled when the last of them goes."""

    def __init__(self) -> None:
        self._tasks: dict[str, tuple[asyncio.Task[T], list[int]]] = {}

    async def run(self, key: str, work: Callable[[], Coroutine[Any, Any, T]]) -> T:
        """Join the work under this key, or start it."""
        if key not in self._tasks:
            task = asyncio.get_running_loop().create_task(work())
            self._tasks[key] = task, [0]
            task.add_done_callback(lambda done: self._forget(key, done))
        task, waiting = self._tasks[key]
        waiting[0] += 1
        try:
            return await asyncio.shield(task)
        finally:
            waiting[0] -= 1
            if not waiting[0] and not task.done():
                self._forget(key, task)
                task.cancel()

    def _forget(self, key: str, task: asyncio.Task[T]) -> None:
        if key in self._tasks and self._tasks[key][0] is task:
            del self._tasks[key]
        if task.done() and not task.cancelled():
            task.exception()  # whoever waited has it; nobody else needs to hear of it


class Judge:
    """Judges media references. A failure is never remembered as a judgement; lists are asked anew on every hit."""

    def __init__(
        self,
        fetcher: Fetches,
        engine: Judges,
        *,
        clock: Callable[[], float] = time.monotonic,
        url_seconds: float = URL_SECONDS,
        url_entries: int = URL_ENTRIES,
        judgement_entries: int = JUDGEMENT_ENTRIES,
    ) -> None:
        self._fetcher = fetcher
        self._engine = engine
        self._clock = clock
        self._urls: TTLCache[str, _Seen] = TTLCache(url_entries, url_seconds, timer=clock)
        self._judgements: LRUCache[str, Judgement] = LRUCache(judgement_entries)
        self._fetching: _InFlight[_Found] = _InFlight()

    @property
    def version(self) -> str:
        """The engine's version: which detectors judge."""
        return self._engine.version

    async def judge(self, refs: Sequence[MediaRef], *, timeout: float) -> list[Medium]:
        """Judge every reference side by side, each within ``timeout`` seconds; one medium for each, in order."""
        urls = dict.fromkeys(ref.url for ref in refs)
        found = dict(zip(urls, await asyncio.gather(*(self._one(url, timeout) for url in urls)), strict=True))
        return [found[ref.url](ref) for ref in refs]

    async def _one(self, url: str, timeout: float) -> Callable[[MediaRef], Medium]:
        """What became of one URL, as a function that makes the medium for each reference to it."""
        began = self._clock()
        try:
            if (known := self._recall(url)) is None:
                async with asyncio.timeout(timeout):
                    deadline = self._clock() + timeout
                    known = await self._fetching.run(url, lambda: self._fetch_and_judge(url, deadline))
        except TimeoutError:
            cause, message = Cause.TIMEOUT, f"not judged within {timeout:.1f} s"
            return self._failed(began, cause, message)
        except FetchError as error:
            return self._failed(began, error.cause, str(error), error.address)
        except CannotJudgeError as error:
            return self._failed(began, Cause(error.cause), str(error))
        seen, cached = known.seen, known.cached
        judgement = self._engine.look_up(known.judgement)
        took = 1000 * (self._clock() - began)
        return lambda ref: Medium(
            ref,
            judgement=judgement,
            address=seen.address,
            final_url=seen.final_url,
            cached=cached,
            took_ms=took,
        )

    def _failed(
        self, began: float, cause: Cause, message: str, address: str | None = None
    ) -> Callable[[MediaRef], Medium]:
        took = 1000 * (self._clock() - began)
        return lambda ref: Medium(ref, cause=cause, message=message, address=address, took_ms=took)

    def _recall(self, url: str) -> _Found | None:
        seen = self._urls.get(url)
        judgement = self._judgements.get(self._key(seen.sha256)) if seen else None
        return _Found(seen, judgement, cached=True) if seen and judgement else None

    def _key(self, sha256: str) -> str:
        return f"{sha256}:{self._engine.version}"

    async def _fetch_and_judge(self, url: str, deadline: float) -> _Found:
        async with await self._fetcher.get(url, timeout=deadline - self._clock()) as fetched:
            seen = _Seen(hashlib.sha256(fetched.data).hexdigest(), fetched.address, fetched.url)
            judgement, cached = await self.judge_bytes(fetched.data, seen.sha256, deadline=deadline)
        if len(url) <= URL_LENGTH:
            self._urls[url] = seen
        return _Found(seen, judgement, cached)

    async def judge_bytes(self, data: bytes, sha256: str, *, deadline: float) -> tuple[Judgement, bool]:
        """The judgement of these bytes without the lists' symbols, and whether it was remembered.

        Raises CannotJudgeError. ``deadline`` is on the clock given to :class:`Judge`.
        """
        key = self._key(sha256)
        if (known := self._judgements.get(key)) is not None:
            return known, True
        judgement = await self._engine.judge(data, timeout=deadline - self._clock())
        self._judgements[key] = judgement
        return judgement, False
