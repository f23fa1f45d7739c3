"""Bytes to a judgement: decodes, asks every detector, adds the hash lists; bounded, and never on the event loop."""

import asyncio
import functools
import hashlib
import logging
import math
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from typing import Self

import numpy as np

from classifier.detectors.hashes import MIN_PDQ_QUALITY, HashList
from classifier.detectors.nudity import NudityDetector
from classifier.media import Decoded, Decoder, MediaDecoder
from classifier.settings import ClassifierSettings, ClipSettings, Concept, NuditySettings
from classifier.types import (
    CannotJudgeError,
    CannotStartError,
    Detector,
    Frame,
    HashMatch,
    JudgedFrame,
    Judgement,
    Symbols,
)

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
        self._lanes = [(one, ThreadPoolExecutor(1, thread_name_prefix=f"detector-{one.name}")) for one in detectors]
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
        problems: list[str] = []
        names = Counter(chosen.name for chosen in settings.hashes)
        problems.extend(
            f"{count} hash lists are named {name}: give each a name of its own"
            for name, count in names.items()
            if count > 1
        )
        lists = [_try(problems, HashList.from_settings, chosen) for chosen in settings.hashes]
        detectors: list[Detector | None] = []
        if settings.nudity:
            detectors.append(_try(problems, _load_nudity, settings.nudity))
        if settings.clip:
            detectors.append(_try(problems, _load_clip, settings.clip, concepts))
        decoder = MediaDecoder(settings.decode)
        _try(problems, decoder.warm_up)
        if problems:
            decoder.stop()
            raise CannotStartError("\n".join(problems))
        return cls(
            decoder,
            [detector for detector in detectors if detector],
            [known for known in lists if known is not None],
            queue=settings.queue,
        )

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

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with what the hash lists say of it now: symbols ``hash.<name>`` and the matches.

        A file's SHA-256 speaks for each of its frames, a PDQ hash for its own frame. ``HashMatch.frame`` counts in
        ``judgement.frames``. Takes well under a millisecond for lists of thousands.
        """
        self._watch_lists()
        if not self._lists:
            return judgement
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
        for _, lane in self._lanes:
            lane.shutdown(wait=False, cancel_futures=True)
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
            raise CannotJudgeError(error.cause, str(error)) from error
        except asyncio.CancelledError:
            if self._closed and flight.task.cancelled():
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
        return Judgement(digest, decoded.media_type, decoded.width, decoded.height, frames, self.version)

    async def _detect(self, decoded: Decoded) -> tuple[JudgedFrame, ...]:
        """Ask all detectors at the same time, each in its thread."""
        loop = asyncio.get_running_loop()
        pictures = [frame.pixels for frame in decoded.frames]
        asked = [loop.run_in_executor(lane, _ask, detector, pictures) for detector, lane in self._lanes]
        merged: list[dict[str, float]] = [{} for _ in pictures]
        for found in await asyncio.gather(*asked):
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


def _ask(detector: Detector, frames: Sequence[Frame]) -> Sequence[Symbols]:
    """One detector's symbols for all frames. Raises CannotJudgeError("detector_error") for all that goes wrong."""
    try:
        found = detector.judge(frames)
    except CannotJudgeError:
        raise
    except Exception as error:
        raise CannotJudgeError(
            "detector_error", f"the detector {detector.name} failed: {type(error).__name__}: {error}"
        ) from error
    if len(found) != len(frames):
        raise CannotJudgeError(
            "detector_error", f"the detector {detector.name} gave {len(found)} answers for {len(frames)} frames"
        )
    for symbols in found:
        for name, score in symbols.items():
            # A NaN is above no threshold: it would pass every rule.
            if name not in detector.symbols or not (math.isfinite(score) and 0.0 <= score <= 1.0):
                raise CannotJudgeError("detector_error", f"the detector {detector.name} gave {name} = {score}")
    return found


def _load_nudity(settings: NuditySettings) -> Detector:
    return _tried(NudityDetector.load(settings))


def _load_clip(settings: ClipSettings, concepts: Mapping[str, Concept]) -> Detector:
    """Late, as torch takes seconds and hundreds of megabytes that a box without clip need not have."""
    try:
        from classifier.detectors.clip import ClipDetector
    except ImportError as error:
        raise CannotStartError(
            f"classifier.clip needs torch and open_clip, which are not here ({error}): install fediward[clip], "
            "or set clip to null"
        ) from error
    return _tried(ClipDetector.load(settings, concepts))


def _tried(detector: Detector) -> Detector:
    """The detector, after it has judged one grey picture: what cannot work fails now, and the first file is not slow."""
    try:
        _ask(detector, [np.full((64, 64, 3), 128, dtype=np.uint8)])
    except CannotJudgeError as error:
        raise CannotStartError(f"{error} (on a plain grey picture, tried at the start)") from error
    return detector


def _try[**P, T](problems: list[str], load: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T | None:
    try:
        return load(*args, **kwargs)
    except CannotStartError as error:
        problems.append(str(error))
        return None
