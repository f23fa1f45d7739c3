"""Bytes to a judgement: decodes, asks every detector, holds the hash lists; bounded, and never on the event loop."""

import asyncio
import functools
import hashlib
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Self

from classifier.frames import MIN_PDQ_QUALITY
from classifier.hashlists import Lists
from classifier.lanes import Lanes
from classifier.media import Decoder, Prepared, PreparedFrame
from classifier.settings import ClassifierSettings, Concept
from classifier.starting import load
from classifier.types import Backend, CannotJudgeError, FrameHash, JudgedFrame, Judgement, Symbols

_INLINE = 64 << 10
"""Bytes hashed on the event loop (a tenth of a millisecond); more is hashed in a thread."""


@dataclass(slots=True)
class _Flight:
    """Bytes that are being judged, and how many wait for it."""

    task: asyncio.Task[Judgement]
    waiters: int = 0


class Engine:
    """Judges bytes. Belongs to one event loop; its ``lists`` may be asked from anywhere.

    ``queue`` bounds how many different files may be waiting or at work; of these ``2 × decoder.processes`` have their
    frames in memory.    """

    def __init__(
        self,
        decoder: Decoder,
        backend: Backend,
        lists: Lists | None = None,
        *,
        queue: int = 256,
    ) -> None:
        self._decoder = decoder
        self._backend = backend
        self._helpers = ThreadPoolExecutor(2, thread_name_prefix="engine")
        self.lists = lists or Lists()
        """The hash lists, to be asked anew for every judgement."""
        self._queue = queue
        self._at_work = asyncio.Semaphore(2 * decoder.processes)
        self._flights: dict[str, _Flight] = {}
        self._tasks: set[asyncio.Task[Judgement]] = set()
        self._closed = False
        self.version = "+".join(part for part in (decoder.version, backend.version) if part)
        """Changes whenever a score could: what is cached under another version must be judged again."""
        self.symbols: frozenset[str] = backend.symbols | self.lists.symbols
        """Every symbol that a judgement of this engine can have, its lists' among them."""

    @classmethod
    def start(cls, settings: ClassifierSettings, concepts: Mapping[str, Concept]) -> Self:
        """Load all that ``settings`` names. Blocks for seconds. Raises CannotStartError with all that is missing."""
        parts = load(settings, concepts)
        return cls(parts.decoder, Lanes(parts.detectors), parts.lists, queue=settings.queue)

    async def judge(self, data: bytes, *, timeout: float) -> Judgement:
        """The judgement of ``data``, without the lists (see ``Lists.look_up``), within ``timeout`` seconds.

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
        """What ``look_up`` would cost; see :meth:`classifier.hashlists.Lists.look_up_cost`."""
        return self.lists.look_up_cost(judgement)

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with what the hash lists say of it now; see :meth:`classifier.hashlists.Lists.look_up`."""
        return self.lists.look_up(judgement)

    async def close(self) -> None:
        """End all work and every process. Who still waits gets ``no_worker``."""
        self._closed = True
        for task in tuple(self._tasks):
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._decoder.close()
        await self._backend.close()
        self.lists.close()
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
            prepared = await self._decoder.decode(data, self._backend.inputs)
            frames = await self._detect(prepared)
        hashes = tuple(FrameHash(one.index, one.pdq) for one in prepared.hashes)
        size = prepared.width, prepared.height
        duration = prepared.duration
        return Judgement(digest, prepared.media_type, *size, frames, self.version, hashes=hashes, duration=duration)

    async def _detect(self, prepared: Prepared) -> tuple[JudgedFrame, ...]:
        found = await self._backend.judge(prepared.rows, timeout=math.inf)
        return tuple(_judged(frame, found, prepared.marks) for frame in prepared.frames)


def _judged(frame: PreparedFrame, found: Mapping[str, Sequence[Symbols]], marks: Sequence[str]) -> JudgedFrame:
    """Of the tiles of a frame the worst counts, for each symbol."""
    symbols = dict.fromkeys(marks, 1.0)
    for name, (start, end) in frame.rows.items():
        for row in found[name][start:end]:
            for symbol, score in row.items():
                symbols[symbol] = max(score, symbols.get(symbol, 0.0))
    pdq = frame.pdq if frame.quality >= MIN_PDQ_QUALITY else None
    return JudgedFrame(frame.index, symbols, pdq, frame.at, frame.reading)
