"""The detectors of this machine, each in threads of its own: nothing one does stops the event loop or the others."""

import asyncio
import functools
import logging
import math
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from classifier.batching import Costs, Job, Part, RowQueue
from classifier.breaker import Breaker
from classifier.inputs import InputSpec, Rows
from classifier.metrics import Metrics
from classifier.passes import Passed, judge_parts
from classifier.types import CannotJudgeError, Detector, Symbols

_log = logging.getLogger(__name__)

STUCK = 60.0
"""Seconds after which a forward pass counts as one that does not come back."""
_LEAD = 0.2
"""Share of a forward pass before whose end the next one is sent after it, where a detector takes two."""


@dataclass(eq=False, slots=True)
class _Pass:
    """A forward pass under way, since when (the loop's clock); ``overdue``: it counts as stuck."""

    parts: Sequence[Part]
    rows: int
    since: float
    overdue: bool = False


class Lane:
    """One detector and its threads. Rows of many files are judged in batches. Belongs to one event loop.

    A batch begins when it is full, or else at once if the detector is idle; only while other files are on their way
    (``expect``), and where batches pay, it first waits for a tenth of a single row's forward pass.
    """

    def __init__(self, detector: Detector, metrics: Metrics, *, stuck: float = STUCK) -> None:
        self.detector = detector
        self._threads = ThreadPoolExecutor(detector.depth, thread_name_prefix=f"detector-{detector.name}")
        self._queue = RowQueue(detector.batch)
        self._costs = Costs()
        self._stuck_after = stuck
        self._expected = 0
        self._closed = False
        self._running: list[_Pass] = []
        self._timer: asyncio.TimerHandle | None = None
        self._last_end = 0.0
        self.breaker = Breaker(f"the detector {detector.name}")
        self._metrics = metrics.lane(detector.name, lambda: self._queue.rows, self._stuck)

    def put(self, rows: Rows, deadline: float = math.inf) -> Job:
        """Have ``rows`` (at least one) judged; ``Job.answer`` has symbols for each, or raises CannotJudgeError.

        Past ``deadline`` (the loop's clock) no pass takes any more of them.
        """
        loop = asyncio.get_running_loop()
        job = Job(rows, loop.create_future(), loop.time(), deadline)
        self._queue.put(job)
        self._pump()
        return job

    def drop(self, job: Job) -> None:
        """Nobody waits for ``job`` any more: what is not being judged will not be."""
        if dropped := self._queue.drop(job):
            self._metrics.dropped.inc(dropped)

    def expect(self, files: int) -> None:
        """So many files are being decoded, whose rows may come soon."""
        self._expected = files
        if not files and self._timer is not None:
            self._pump()

    def trouble(self) -> str:
        """What is wrong with the detector now; empty if nothing."""
        if not self._stuck():
            return ""
        return (
            f"the detector {self.detector.name} has not come back from a batch within {self._stuck_after:g} s (a stuck "
            "driver or device?): restart fediward"
        )

    def close(self) -> None:
        """Drop what waits; what is being judged ends by itself."""
        self._closed = True
        if self._timer is not None:
            self._timer.cancel()
        self._threads.shutdown(wait=False, cancel_futures=True)

    def _pump(self) -> None:
        """Begin as many forward passes as should begin now."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        while self._queue.rows and len(self._running) < self.detector.depth:
            wait = self._wait()
            if wait > 0:
                self._timer = asyncio.get_running_loop().call_later(wait, self._go)
                return
            self._begin()

    def _go(self) -> None:
        self._timer = None
        self._begin()
        self._pump()

    def _wait(self) -> float:
        """Seconds that the next pass should wait for more rows."""
        if self._queue.rows >= self._queue.batch:
            return 0.0
        now = asyncio.get_running_loop().time()
        if self._running:
            # Sent too early it would only wait for the device, and without the rows that still come.
            return max(one.since + (1 - _LEAD) * self._costs.of(one.rows) - now for one in self._running)
        return self._queue.oldest() + self._costs.patience() - now if self._expected else 0.0

    def _begin(self) -> None:
        loop = asyncio.get_running_loop()
        now = loop.time()
        if dropped := self._queue.drop_expired(now):
            self._metrics.dropped.inc(dropped)
        if not self._queue.rows:
            return
        parts = self._queue.take()
        for part in parts:
            if part.start == 0:
                self._metrics.waited.observe(now - part.job.since)
        one = _Pass(parts, sum(part.stop - part.start for part in parts), now)
        self._metrics.batch.observe(one.rows)
        self._running.append(one)
        alarm = loop.call_later(self._stuck_after, self._sound, one)
        passing = loop.run_in_executor(self._threads, judge_parts, self.detector, parts)
        passing.add_done_callback(functools.partial(self._ended, one, alarm))

    def _sound(self, one: _Pass) -> None:
        one.overdue = True
        _log.error("%s", self.trouble())
        if self._stuck() >= self.detector.depth:
            self.breaker.trip("timeout", self.trouble())

    def _stuck(self) -> int:
        return sum(one.overdue for one in self._running)

    def _ended(self, one: _Pass, alarm: asyncio.TimerHandle, passing: asyncio.Future[Passed]) -> None:
        alarm.cancel()
        self._running.remove(one)
        if passing.cancelled():  # by close, before it began
            return
        passed = passing.result()
        if one.overdue:
            _log.warning("the detector %s goes on after %.0f s", self.detector.name, passed.ended - passed.began)
        if passed.broken is not None:
            self.breaker.failed(passed.broken.cause, str(passed.broken))
        else:
            self.breaker.succeeded()
        if not any(isinstance(outcome, CannotJudgeError) for outcome in passed.outcomes):
            # Of two passes at a time the second waits for the device: that is no time of its own.
            seconds = passed.ended - max(passed.began, self._last_end)
            self._costs.note(one.rows, seconds)
            self._metrics.forward.observe(seconds)
        self._last_end = passed.ended
        for part, outcome in zip(one.parts, passed.outcomes, strict=True):
            if part.job.answer.done():
                continue
            if isinstance(outcome, CannotJudgeError):
                self._queue.drop(part.job)
                part.job.answer.set_exception(outcome)
            else:
                part.job.give(part.start, outcome)
        if not self._closed:
            self._pump()


class Lanes:
    """All detectors, side by side: a :class:`classifier.types.Backend`. Belongs to one event loop.

    Nothing bounds what waits here: who asks does.
    """

    def __init__(self, detectors: Sequence[Detector], metrics: Metrics | None = None) -> None:
        metrics = metrics or Metrics()
        self._lanes = {detector.name: Lane(detector, metrics) for detector in detectors}
        self._closed = False
        self.breakers: Mapping[str, Breaker] = {name: lane.breaker for name, lane in self._lanes.items()}
        self.version = "+".join(detector.version for detector in detectors)
        self.symbols: frozenset[str] = frozenset().union(*(detector.symbols for detector in detectors))
        self.inputs: Mapping[str, InputSpec] = {detector.name: detector.input for detector in detectors}
        self.ahead = max(((detector.depth + 2) * detector.batch for detector in detectors), default=1)

    async def ready(self, timeout: float) -> Mapping[str, InputSpec]:
        """``inputs``, at once."""
        return self.inputs

    async def judge(self, rows: Mapping[str, Rows], *, timeout: float) -> Mapping[str, Sequence[Symbols]]:
        """By detector, symbols for each of its rows. Raises CannotJudgeError. Cancelled in time, nothing is run."""
        if self._closed:
            raise CannotJudgeError("no_worker", "the detectors are stopping")
        if timeout <= 0:
            raise CannotJudgeError("timeout", "no time was left for the detectors")
        for name, part in rows.items():
            if len(part):
                self._lanes[name].breaker.check()
        deadline = asyncio.get_running_loop().time() + timeout
        jobs = [(name, self._lanes[name].put(part, deadline)) for name, part in rows.items() if len(part)]
        try:
            async with asyncio.timeout(timeout if math.isfinite(timeout) else None):
                found = await asyncio.gather(*(job.answer for _, job in jobs))
        except TimeoutError as error:
            raise CannotJudgeError("timeout", f"the detectors did not judge it within {timeout:.1f} s") from error
        finally:
            for name, job in jobs:
                self._lanes[name].drop(job)
        return dict.fromkeys(rows, ()) | {name: one for (name, _), one in zip(jobs, found, strict=True)}

    def expect(self, files: int) -> None:
        """So many files are being decoded, whose rows may come soon."""
        for lane in self._lanes.values():
            lane.expect(files)

    def trouble(self) -> str:
        """What is wrong with the detectors now, for a person; empty if nothing."""
        return "\n".join(said for lane in self._lanes.values() if (said := lane.trouble()))

    async def unable(self) -> str:
        """What is wrong with any, or which one is not asked: a judgement needs every detector."""
        return "\n".join(filter(None, (self.trouble(), *(one.trouble() for one in self.breakers.values()))))

    @property
    def known(self) -> None:
        """There is nobody elsewhere."""
        return None

    async def close(self) -> None:
        """Drop what waits; what is being judged ends by itself."""
        self._closed = True
        for lane in self._lanes.values():
            lane.close()
