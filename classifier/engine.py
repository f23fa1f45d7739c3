"""Bytes to a judgement: decodes, asks every detector, adds the hash lists; bounded, and never on the event loop."""

import asyncio
import functools
import hashlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

from classifier.detectors.hashes import MIN_PDQ_QUALITY, HashList
from classifier.lanes import Lane
from classifier.media import Decoded, Decoder
from classifier.settings import ClassifierSettings, Concept
from classifier.starting import load
from classifier.types import CannotJudgeError, Detector, FrameHash, HashMatch, JudgedFrame, Judgement

_log = logging.getLogger(__name__)

RELOAD_EVERY = 5.0
"""Seconds between two looks at whether a hash list's file has changed."""

_INLINE = 64 << 10
"""Bytes hashed on the event loop (a tenth of a millisecond); more is hashed in a thread."""


@dataclass(slots=True)
class _Flight:
    """Bytes that are being judged, and how many wait for it."""

    task: asyncio.Task[Judgement]
    waiters: int = 0


class Engine:
    """Judges bytes. Belongs to one event loop; ``look_up`` may be called from anywhere.

    ``queue`` bounds how many different files may be waiting or at work; of these ``2 × decoder.processes`` have their
    frames in memory. Each detector has one thread, so a slow one holds up no other.
    """

    def __init__(
        self,
        decoder: Decoder,
        detectors: Sequence[Detector],
        lists: Sequence[HashList] = (),
        *,
        queue: int = 256,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._decoder = decoder
        self._lanes = [Lane(detector) for detector in detectors]
        self._helpers = ThreadPoolExecutor(2, thread_name_prefix="engine")
        self._lists = tuple(lists)
        self._queue = queue
        self._clock = clock
        self._looked = clock()
        self._at_work = asyncio.Semaphore(2 * decoder.processes)
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[Judgement]] = set()
        self._closed = False
        self.version = "+".join([decoder.version, *(one.version for one in detectors)])
        """Changes whenever a score could: what is cached under another version must be judged again."""
        self.symbols: frozenset[str] = frozenset().union(*(d.symbols for d in detectors), (li.symbol for li in lists))
        """Every symbol that a judgement of this engine can have, its lists' among them."""

    @classmethod
    def start(cls, settings: ClassifierSettings, concepts: Mapping[str, Concept]) -> Self:
        """Load all that ``settings`` names. Blocks for seconds. Raises CannotStartError with all that is missing."""
        parts = load(settings, concepts)
        return cls(parts.decoder, parts.detectors, parts.lists, queue=settings.queue)

    async def judge(self, data: bytes, *, timeout: float) -> Judgement:
        """The judgement of ``data``, without the lists (see ``look_up``), within ``timeout`` seconds.

        The same bytes asked for again meanwhile are judged once. Work nobody waits for any more is ended, or not begun.
        Raises CannotJudgeError: timeout, busy, undecodable, unsupported, too_large, detector_error.
        """
        if timeout <= 0:
            raise CannotJudgeError("timeout", "no time was left to judge it")
        try:
            async with asyncio.timeout(timeout):
                digest = await self._digest(data)
                return await self._shared(digest, data)
        except TimeoutError as error:
            raise CannotJudgeError("timeout", f"it was not judged within {timeout:.1f} s") from error

    def look_up_cost(self, judgement: Judgement) -> int:
        """How many pairs of hashes ``look_up`` compares: past some ten thousand it belongs in a thread."""
        hashes = len(judgement.hashes) + sum(frame.pdq is not None for frame in judgement.frames)
        return hashes * sum(len(known) for known in self._lists)

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with what the hash lists say of it now: symbols ``hash.<name>`` and the matches.

        A file's SHA-256 speaks for each of its frames, a PDQ hash for its own frame. ``HashMatch.frame`` counts in
        ``judgement.frames``, to which are added, with the lists' symbols alone, frames that no detector looked at.
        Takes well under a millisecond for lists of thousands; for the hashes of a long animation, some.
        """
        self._watch_lists()
        if not self._lists:
            return judgement
        if judgement.hashes:
            hashed = {one.index for one in judgement.hashes}
            looked_at = tuple(frame for frame in judgement.frames if frame.index not in hashed)
            judgement = replace(judgement, frames=looked_at + self._known_ones(judgement))
        matches: list[HashMatch] = []
        added: list[dict[str, float]] = [{} for _ in judgement.frames]
        for known in self._lists:
            if found := known.match_sha256(judgement.sha256):
                matches.append(found)
                for symbols in added:
                    symbols[known.symbol] = 1.0
            for at, frame in enumerate(judgement.frames):
                near = known.match_pdq(frame.pdq) if frame.pdq else []
                if near:
                    added[at][known.symbol] = 1.0
                    matches.extend(replace(match, frame=at) for match in near)
        if not matches:
            return judgement
        frames = [
            replace(frame, symbols={**frame.symbols, **symbols})
            for frame, symbols in zip(judgement.frames, added, strict=True)
        ]
        return judgement.with_lists(frames, matches)

    def _known_ones(self, judgement: Judgement) -> tuple[JudgedFrame, ...]:
        """Of the frames that were only hashed those that a list knows: for each set of lists the first, as rules would
        say the same of the others."""
        known_by: dict[int, list[str]] = {}
        pdqs = [one.pdq for one in judgement.hashes]
        for known in self._lists:
            for at in known.near(pdqs):
                known_by.setdefault(at, []).append(known.name)
        first: dict[tuple[str, ...], int] = {}
        for at in sorted(known_by):
            first.setdefault(tuple(known_by[at]), at)
        return tuple(JudgedFrame(judgement.hashes[at].index, {}, judgement.hashes[at].pdq) for at in first.values())

    def reload_lists(self) -> list[str]:
        """Read those lists again whose files have changed, and say what is wrong with any. Blocks."""
        return [problem for known in self._lists if (problem := known.reload_if_changed())]

    async def close(self) -> None:
        """End all work and every process. Who still waits gets ``no_worker``."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._decoder.close()
        for lane in self._lanes:
            lane.close()
        self._helpers.shutdown(wait=False, cancel_futures=True)

    async def _digest(self, data: bytes) -> str:
        if len(data) <= _INLINE:
            return hashlib.sha256(data).hexdigest()
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._helpers, lambda: hashlib.sha256(data).hexdigest())

    async def _shared(self, digest: str, data: bytes) -> Judgement:
        if self._closed:
            raise CannotJudgeError("no_worker", "the classifier is stopping")
        flight = self._flights.get(digest)
        if flight is None:
            if len(self._flights) >= self._queue:
                raise CannotJudgeError("busy", f"{self._queue} files are being judged already (classifier.queue)")
            flight = self._flights[digest] = _Flight(asyncio.create_task(self._judge(digest, data)))
            self._tasks.add(flight.task)
            flight.task.add_done_callback(functools.partial(self._landed, digest))
        flight.waiters += 1
        try:
            return await asyncio.shield(flight.task)
        except CannotJudgeError as error:
            # Waiters share the task's exception; each needs one of its own to hang a traceback on.
            raise CannotJudgeError(error.cause, str(error), error.media_type) from error
        except asyncio.CancelledError:
            if flight.task.cancelled():  # only close does that to a task that has waiters
                raise CannotJudgeError("no_worker", "the classifier is stopping") from None
            raise
        finally:
            flight.waiters -= 1
            if flight.waiters == 0 and not flight.task.done():
                flight.task.cancel()
                self._forget(digest, flight.task)

    def _landed(self, digest: str, task: asyncio.Task[Judgement]) -> None:
        self._tasks.discard(task)
        self._forget(digest, task)
        if not task.cancelled():
            task.exception()  # seen, even where every waiter has gone

    def _forget(self, digest: str, task: asyncio.Task[Judgement]) -> None:
        flight = self._flights.get(digest)
        if flight is not None and flight.task is task:
            del self._flights[digest]

    async def _judge(self, digest: str, data: bytes) -> Judgement:
        async with self._at_work:
            decoded = await self._decoder.decode(data)
            frames = await self._detect(decoded)
        hashes = tuple(FrameHash(one.index, one.pdq) for one in decoded.hashes)
        size = decoded.width, decoded.height
        return Judgement(digest, decoded.media_type, *size, frames, self.version, hashes=hashes)

    async def _detect(self, decoded: Decoded) -> tuple[JudgedFrame, ...]:
        """Ask all detectors at the same time, each in its thread."""
        pictures = [frame.pixels for frame in decoded.frames]
        merged: list[dict[str, float]] = [{} for _ in pictures]
        for found in await asyncio.gather(*(lane.judge(pictures) for lane in self._lanes)):
            for symbols, more in zip(merged, found, strict=True):
                symbols.update(more)
        return tuple(
            JudgedFrame(frame.index, symbols, frame.pdq if frame.quality >= MIN_PDQ_QUALITY else None)
            for frame, symbols in zip(decoded.frames, merged, strict=True)
        )

    def _watch_lists(self) -> None:
        now = self._clock()
        if self._lists and not self._closed and now - self._looked >= RELOAD_EVERY:
            self._looked = now
            self._helpers.submit(self._reload_and_say)

    def _reload_and_say(self) -> None:
        for problem in self.reload_lists():
            _log.error("%s", problem)
