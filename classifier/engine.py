"""Bytes to a judgement: digests, hash lists, decoding, detectors; bounded, and never on the event loop."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Self

from classifier.ahead import Ahead, Turn
from classifier.flights import Flight, Stop
from classifier.frames import MIN_PDQ_QUALITY
from classifier.hashlists import Digests, Lists
from classifier.media import Decoder, Prepared, PreparedFrame
from classifier.metrics import Metrics
from classifier.parts import Parts
from classifier.settings import ClassifierSettings, Concept
from classifier.sniff import media_type_of
from classifier.starting import load
from classifier.types import Backend, CannotJudgeError, FrameHash, JudgedFrame, Judgement, Symbols

ROWS_MEMORY = 256 << 20
"""Bytes of rows that wait or are judged, beyond which no more files are decoded."""

LOOK_UP_INLINE = 20_000
"""Pairs of hashes compared on the event loop (half a millisecond); more are compared in a thread."""

_INLINE = 64 << 10
"""Bytes hashed on the event loop (a tenth of a millisecond); more is hashed in a thread."""


class Engine:
    """Judges bytes. Belongs to one event loop; its ``lists`` may be asked from anywhere.

    ``queue`` bounds how many different files may be waiting or at work. Files are decoded in the order they came, no
    further ahead of the detectors than ``backend.ahead`` files and ``memory`` bytes of rows; beyond these lie the rows
    of as many files as there are decoding processes.
    """

    def __init__(
        self,
        decoder: Decoder,
        backend: Backend,
        lists: Lists | None = None,
        *,
        queue: int = 256,
        memory: int = ROWS_MEMORY,
        metrics: Metrics | None = None,
    ) -> None:
        self._decoder = decoder
        self._backend = backend
        self._helpers = ThreadPoolExecutor(2, thread_name_prefix="engine")
        self.lists = lists or Lists()
        """The hash lists, to be asked anew for every judgement."""
        self._queue = queue
        self._ahead = ahead = Ahead(decoder.processes, lambda: backend.ahead, memory, backend.expect)
        self._flights: dict[str, Flight] = {}
        self._tasks: set[asyncio.Task[None]] = set()
        self._closed = False
        self.metrics = metrics or Metrics()
        """Where the time goes; ``metrics.registry`` is for Prometheus."""
        self.metrics.files(lambda: ahead.waiting, lambda: ahead.decoding, lambda: ahead.held)
        self.breakers = backend.breakers
        """Around each detector, by its name, and around the workers elsewhere (``workers``)."""
        for name, breaker in self.breakers.items():
            self.metrics.breaker(name, breaker)

    @classmethod
    def start(cls, settings: ClassifierSettings, concepts: Mapping[str, Concept]) -> Self:
        """Load all that ``settings`` names. Blocks for seconds. Raises CannotStartError with all that is missing."""
        metrics = Metrics()
        parts = load(settings, concepts, metrics)
        return cls(parts.decoder, parts.backend, parts.lists, queue=settings.queue, metrics=metrics)

    @property
    def version(self) -> str:
        """Changes whenever a score could: what is cached under another version must be judged again."""
        return "+".join(part for part in (self._decoder.version, self._backend.version) if part)

    @property
    def symbols(self) -> frozenset[str]:
        """Every symbol that a judgement of this engine can have, its lists' among them."""
        return self._backend.symbols | self.lists.symbols

    async def digests(self, data: bytes | Parts) -> Digests:
        """The digests of ``data`` that the hash lists need, SHA-256 at least; of parts a name of their own."""
        every = bool(self.lists)
        if isinstance(data, Parts):
            return Digests(await asyncio.get_running_loop().run_in_executor(self._helpers, lambda: data.digest))
        if len(data) <= _INLINE:
            return Digests.of(data, every=every)
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(self._helpers, lambda: Digests.of(data, every=every))

    async def judge(
        self, data: bytes | Parts, *, timeout: float, stop: Stop | None = None, digests: Digests | None = None
    ) -> Judgement:
        """The judgement of ``data``, without the lists (see ``look_up``), within ``timeout`` seconds.

        ``stop`` is asked what it thinks of the lists' symbols, before decoding and after; where they suffice it, and
        where an allow list has the file, the judgement is ``partial`` and has the lists' symbols already. ``digests``:
        those of ``data``, where they are known.

        The same bytes asked for again meanwhile are judged once. Work nobody waits for any more is ended, or not begun.
        Raises CannotJudgeError: timeout, busy, no_worker, undecodable, unsupported, too_large, detector_error.
        NeedsError: of a file known in parts, too little is known.
        """
        began = time.perf_counter()
        try:
            if timeout <= 0:
                raise CannotJudgeError("timeout", "no time was left to judge it")
            deadline = asyncio.get_running_loop().time() + timeout
            try:
                async with asyncio.timeout_at(deadline):
                    digests = digests or await self.digests(data)
                    judgement = self.known(digests, stop)
                    if judgement is not None:
                        head = data.head if isinstance(data, Parts) else data
                        judgement = replace(judgement, media_type=media_type_of(head))
                    else:
                        judgement = await self._shared(digests, data, deadline, stop)
            except TimeoutError as error:
                raise CannotJudgeError("timeout", f"it was not judged within {timeout:.1f} s") from error
        except CannotJudgeError as error:
            self.metrics.failed.labels(error.cause).inc()
            raise
        self.metrics.whole.observe(time.perf_counter() - began)
        (self.metrics.stopped if judgement.partial else self.metrics.judged).inc()
        return judgement

    def known(self, digests: Digests, stop: Stop | None, media_type: str = "") -> Judgement | None:
        """The partial judgement of a file, by its digests alone, where the lists' symbols suffice ``stop`` or an allow
        list has it. It has one frame; its width and height, which nobody knows, are 0."""
        matches = self.lists.file(digests)
        if not matches:
            return None
        symbols = self.lists.symbols_of(matches)
        if not self.lists.allows(matches) and (stop is None or self.lists.allows_pictures or not stop(symbols)):
            return None
        return Judgement(
            digests.sha256,
            media_type,
            0,
            0,
            (JudgedFrame(0, symbols),),
            self.version,
            tuple(matches),
            partial=True,
            md5=digests.md5,
            sha1=digests.sha1,
        )

    def look_up_cost(self, judgement: Judgement) -> int:
        """What ``look_up`` would cost; see :meth:`classifier.hashlists.Lists.look_up_cost`."""
        return self.lists.look_up_cost(judgement)

    def look_up(self, judgement: Judgement) -> Judgement:
        """The judgement with what the hash lists say of it now; see :meth:`classifier.hashlists.Lists.look_up`."""
        return self.lists.look_up(judgement)

    def trouble(self) -> str:
        """What is wrong with the detectors now, for a person; empty if nothing."""
        troubles = [self._backend.trouble(), *(breaker.trouble() for breaker in self.breakers.values())]
        return "\n".join(filter(None, troubles))

    async def unable(self) -> str:
        """Why nothing can be judged now, for a person; empty if it can."""
        return await self._backend.unable()

    @property
    def workers(self) -> int | None:
        """Workers elsewhere that may judge; None where judging is done here alone."""
        return self._backend.known

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

    async def _shared(self, digests: Digests, data: bytes | Parts, deadline: float, stop: Stop | None) -> Judgement:
        if self._closed:
            raise CannotJudgeError("no_worker", "the classifier is stopping")
        flight = self._flights.get(digests.sha256)
        if flight is not None:
            self.metrics.shared.inc()
            waiter = flight.board(deadline, stop)
        else:
            if len(self._flights) >= self._queue:
                raise CannotJudgeError("busy", f"{self._queue} files are being judged already (classifier.queue)")
            flight = self._flights[digests.sha256] = Flight(digests, data)
            waiter = flight.board(deadline, stop)  # before the work begins, which an eager task does here and now
            flight.task = asyncio.create_task(self._fly(flight))
            self._tasks.add(flight.task)
            flight.task.add_done_callback(self._tasks.discard)
        try:
            return await flight.landing(waiter)
        finally:
            if not flight.wanted and self._forget(flight):
                flight.task.cancel()
                self.metrics.expired.inc()

    def _forget(self, flight: Flight) -> bool:
        """Let the next one who brings these bytes begin anew; whether it was not so already."""
        return self._flights.get(flight.digests.sha256) is flight and bool(self._flights.pop(flight.digests.sha256))

    async def _fly(self, flight: Flight) -> None:
        began = time.perf_counter()
        outcome: Judgement | Exception = CannotJudgeError("no_worker", "the classifier is stopping")
        try:
            turn = await self._ahead.turn()
            self.metrics.queued.observe(time.perf_counter() - began)
            try:
                outcome = await self._judge(flight, turn)
            finally:
                turn.end()
        except Exception as error:
            outcome = error
        finally:
            self._forget(flight)
            flight.land(outcome)

    async def _judge(self, flight: Flight, turn: Turn) -> Judgement:
        clock = asyncio.get_running_loop().time
        if flight.deadline <= clock():
            raise CannotJudgeError("timeout", "its turn came too late")
        inputs = await self._backend.ready(flight.deadline - clock())
        version = self.version  # known once there is a worker
        began = time.perf_counter()
        prepared = await self._decoder.decode(flight.data, inputs)
        self.metrics.decoding.observe(time.perf_counter() - began)
        flight.data = b""
        turn.decoded(sum(rows.nbytes for rows in prepared.rows.values()))
        if self.lists and flight.may_stop:
            partial = await self._look_up(_judgement(flight.digests, prepared, {}, version, partial=True))
            flight.offer(partial)
            if not flight.wanted:
                return partial
        while True:
            deadline = flight.deadline
            try:
                found = await self._backend.judge(prepared.rows, timeout=deadline - clock())
                return _judgement(flight.digests, prepared, found, version)
            except CannotJudgeError as error:
                if error.cause != "timeout" or flight.deadline <= deadline:
                    raise
                # Somebody has come meanwhile who has more time.

    async def _look_up(self, judgement: Judgement) -> Judgement:
        if self.lists.look_up_cost(judgement) <= LOOK_UP_INLINE:
            return self.lists.look_up(judgement)
        return await asyncio.get_running_loop().run_in_executor(self._helpers, self.lists.look_up, judgement)


def _judgement(
    digests: Digests,
    prepared: Prepared,
    found: Mapping[str, Sequence[Symbols]],
    version: str,
    *,
    partial: bool = False,
) -> Judgement:
    return Judgement(
        digests.sha256,
        prepared.media_type,
        prepared.width,
        prepared.height,
        tuple(_judged(frame, found, prepared.marks) for frame in prepared.frames),
        version,
        hashes=tuple(FrameHash(one.index, one.pdq, one.flips) for one in prepared.hashes),
        partial=partial,
        md5=digests.md5,
        sha1=digests.sha1,
    )


def _judged(frame: PreparedFrame, found: Mapping[str, Sequence[Symbols]], marks: Sequence[str]) -> JudgedFrame:
    """Of the tiles of a frame the worst counts, for each symbol."""
    symbols = dict.fromkeys(marks, 1.0)
    for name, (start, end) in frame.rows.items():
        for row in found.get(name, ())[start:end]:
            for symbol, score in row.items():
                symbols[symbol] = max(score, symbols.get(symbol, 0.0))
    pdq = frame.pdq if frame.quality >= MIN_PDQ_QUALITY else None
    return JudgedFrame(frame.index, symbols, pdq, frame.at, frame.reading, frame.flips)
