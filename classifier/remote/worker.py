"""A worker: connects outward to a NATS server, takes jobs of doors it need not know, and answers with symbols."""

import asyncio
import contextlib
import logging
import platform
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription

from classifier.inputs import Rows
from classifier.remote import messages
from classifier.remote.identity import key
from classifier.remote.link import Link, LostError
from classifier.remote.messages import (
    ANNOUNCED,
    BEAT,
    MAX_MESSAGE,
    QUEUE,
    Answer,
    Beat,
    Busy,
    Cancel,
    Failed,
    Hello,
    Offer,
    Part,
    ProtocolError,
    Scores,
    ToDoor,
    Told,
)
from classifier.remote.packing import Shape, bytes_of, most_packed, unpack
from classifier.settings import WorkersSettings
from classifier.types import Backend, CannotJudgeError, Symbols

_log = logging.getLogger(__name__)

MEMORY = 512 << 20
"""Bytes of rows, packed and not, that jobs may hold together."""
HANDED_OVER = 10.0
"""Seconds that a door may take for its next part."""
DRAIN = 30.0
"""Seconds for jobs under way when the worker is told to stop; a door's own time is mostly shorter."""
REPORTED = 60.0
"""Seconds between two lines in the log of what was done."""


@dataclass(eq=False, slots=True)
class _Job:
    """``deadline``: on the loop's clock, counted from when the offer came."""

    offer: Offer
    reply: str
    shapes: Mapping[str, Shape]
    deadline: float
    data: bytearray
    received: int = 1
    broken: bool = False
    more: asyncio.Event = field(default_factory=asyncio.Event)
    task: asyncio.Task[None] | None = None

    @property
    def weight(self) -> int:
        """Bytes that it may hold."""
        return bytes_of(self.shapes) + self.offer.size


class Worker:
    """Belongs to one event loop. ``jobs`` and ``memory`` bound what it takes; beyond these it is busy."""

    def __init__(
        self,
        backend: Backend,
        detectors: Mapping[str, Told],
        settings: WorkersSettings,
        *,
        jobs: int = 256,
        memory: int = MEMORY,
        host: str = "",
    ) -> None:
        """Raises CannotStartError where a key or certificate is not what it should be."""
        self.name = secrets.token_hex(8)
        self._backend = backend
        self._detectors = detectors
        self._host = host or platform.node()[:64]
        self._subject = settings.subject
        self._most_jobs, self._memory = jobs, memory
        self._jobs: dict[str, _Job] = {}
        self._held = 0
        self._draining = False
        self._queue: Subscription | None = None
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="unpacking")
        self._link = Link(settings, f"fediward worker {self._host}", self._joined, self._lost)
        self._idle = asyncio.Event()
        self.taking = asyncio.Event()
        """Set while doors can reach it."""
        self.done: Counter[str] = Counter()
        """What became of jobs: ``judged``, ``busy``, ``cancelled``, ``refused``, or a cause."""

    async def run(self, stop: asyncio.Future[None], hurry: asyncio.Future[None]) -> None:
        """Work until ``stop`` is done; then take no more, disconnect when what was taken is done, or ``hurry`` is."""
        _log.info("worker %s on %s: %s; meeting doors at %s", self.name, self._host, self._told(), self._link.servers)
        self._link.start()
        chores = [asyncio.create_task(chore) for chore in (self._announce(), self._beat(), self._report())]
        try:
            done, _ = await asyncio.wait([stop, *chores], return_when=asyncio.FIRST_COMPLETED)
            for one in done:
                one.result()
            await self._drain(hurry)
        finally:
            for chore in chores:
                chore.cancel()
            await asyncio.gather(*chores, return_exceptions=True)
            await self._abandon()
            await self._link.close()
            self._threads.shutdown(wait=False, cancel_futures=True)
            self._say_done()

    async def _drain(self, hurry: asyncio.Future[None]) -> None:
        self._draining = True
        _log.info("taking no more jobs; %d under way", len(self._jobs))
        with contextlib.suppress(LostError):
            await self._link.publish(f"{self._subject}.hello", self._hello(leaving=True))
        if self._queue is not None and self._link.up:
            # What the server has given us already is still ours to do.
            with contextlib.suppress(Exception):
                await self._queue.drain()
        ended = asyncio.ensure_future(self._all_ended())
        await asyncio.wait([ended, hurry], timeout=DRAIN, return_when=asyncio.FIRST_COMPLETED)
        ended.cancel()

    async def _all_ended(self) -> None:
        while self._jobs:
            self._idle.clear()
            await self._idle.wait()

    async def _abandon(self) -> None:
        tasks = [job.task for job in self._jobs.values() if job.task is not None]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    async def _joined(self, client: Client) -> None:
        self._queue = None
        await client.subscribe(f"{self._subject}.who", cb=self._asked)
        await client.subscribe(f"{self._subject}.worker.{self.name}", cb=self._told_directly)
        if not self._draining:
            subject = f"{self._subject}.judge.{key(self._detectors)}"
            self._queue = await client.subscribe(subject, queue=QUEUE, cb=self._offered)
            await client.publish(f"{self._subject}.hello", self._hello())
        await client.flush()
        self.taking.set()

    def _lost(self) -> None:
        """Whoever waited for a job has given it to another by now."""
        self.taking.clear()
        for job in self._jobs.values():
            if job.task is not None:
                job.task.cancel()

    async def _asked(self, message: Msg) -> None:
        if not self._draining:
            await self._publish(f"{self._subject}.hello", self._hello())

    async def _told_directly(self, message: Msg) -> None:
        await self._offered(message, taking=not self._draining)

    async def _offered(self, message: Msg, taking: bool = True) -> None:
        """A message of a door, whatever is in it. ``taking``: a new job is welcome."""
        try:
            match messages.to_worker(message.data):
                case Offer() as offer if message.reply:
                    await self._offer(offer, message.reply, taking)
                case Part() as part:
                    self._part(part)
                case Cancel(job=name):
                    if (job := self._jobs.get(name)) is not None and job.task is not None:
                        job.task.cancel()
        except ProtocolError as error:
            # A stranger could send any number of these.
            level = logging.DEBUG if self.done["refused"] else logging.WARNING
            self.done["refused"] += 1
            _log.log(level, "a door sends what cannot be used: %s", error)
            if message.reply:
                await self._say(message.reply, Failed(self.name, "detector_error", str(error)[:MAX_MESSAGE]))

    async def _offer(self, offer: Offer, reply: str, taking: bool) -> None:
        shapes: dict[str, Shape] = {}
        for name, count in offer.rows.items():
            if name not in self._detectors:
                raise ProtocolError(f"rows for a detector {name}, which is not here")
            shapes[name] = (count, *self._detectors[name].input.size, 3)
        if offer.size > most_packed(bytes_of(shapes)) or not 0 < len(offer.data) <= offer.size:
            raise ProtocolError(f"{len(offer.data)} of {offer.size} bytes for rows of {bytes_of(shapes)}")
        if offer.job in self._jobs:
            raise ProtocolError("a job that is here already")
        deadline = asyncio.get_running_loop().time() + offer.left / 1000
        job = _Job(offer, reply, shapes, deadline, bytearray(offer.data))
        if why := self._full(job, taking):
            self.done["busy"] += 1
            await self._say(reply, Busy(self.name, why[:MAX_MESSAGE]))
            return
        self._jobs[offer.job] = job
        self._held += job.weight
        job.task = asyncio.create_task(self._work(job))
        job.task.add_done_callback(lambda _: self._ended(job))

    def _full(self, job: _Job, taking: bool) -> str:
        if not taking:
            return "it is stopping"
        if len(self._jobs) >= self._most_jobs:
            return f"it has {self._most_jobs} jobs (classifier.queue)"
        if self._jobs and self._held + job.weight > self._memory:
            return f"its jobs hold {self._held >> 20} MiB of {self._memory >> 20}"
        return self._backend.trouble()

    def _part(self, part: Part) -> None:
        job = self._jobs.get(part.job)
        if job is None or job.task is None:
            return  # a part may come after its job's end
        if part.number != job.received or len(job.data) + len(part.data) > job.offer.size:
            job.broken = True
        elif not job.broken:
            job.data += part.data
            job.received += 1
        job.more.set()

    def _ended(self, job: _Job) -> None:
        del self._jobs[job.offer.job]
        self._held -= job.weight
        self._idle.set()

    async def _work(self, job: _Job) -> None:
        """One job to its end, whatever it is; nothing that a door sends can do more than fail it."""
        became: str
        try:
            await self._say(job.reply, Beat(self.name, job.received))
            async with asyncio.timeout_at(job.deadline):
                rows = await self._rows(job)
                left = job.deadline - asyncio.get_running_loop().time()
                found = await self._backend.judge(rows, timeout=left)
            answer = Answer(self.name, {name: _scores(symbols) for name, symbols in found.items()})
            if len(data := messages.encode(answer)) > self._link.payload:
                raise CannotJudgeError(
                    "detector_error", f"an answer of {len(data)} bytes is more than the server takes"
                )
            await self._publish(job.reply, data)
            became = "judged"
        except asyncio.CancelledError:
            self.done["cancelled"] += 1
            raise
        except TimeoutError:
            became = "timeout"
            await self._say(job.reply, Failed(self.name, "timeout", "its time was over before it was judged"))
        except CannotJudgeError as error:
            became = error.cause
            cause = error.cause if error.cause in ("timeout", "busy", "no_worker") else "detector_error"
            await self._say(job.reply, Failed(self.name, cause, str(error)[:MAX_MESSAGE]))
        except ProtocolError as error:
            became = "refused"
            await self._say(job.reply, Failed(self.name, "detector_error", str(error)[:MAX_MESSAGE]))
        except Exception as error:
            became = "detector_error"
            _log.exception("a job failed")
            await self._say(job.reply, Failed(self.name, "detector_error", f"{type(error).__name__}: {error}"[:500]))
        self.done[became] += 1

    async def _rows(self, job: _Job) -> Mapping[str, Rows]:
        """All rows of a job, as soon as its parts have come. Raises ProtocolError, TimeoutError."""
        told = 1
        while len(job.data) < job.offer.size:
            if job.broken:
                raise ProtocolError("parts that are not in order, or more than was said")
            if told < job.received:
                told = job.received
                await self._say(job.reply, Beat(self.name, told))
                continue
            job.more.clear()
            async with asyncio.timeout(HANDED_OVER):
                await job.more.wait()
        packed = bytes(job.data)
        job.data.clear()
        return await asyncio.get_running_loop().run_in_executor(self._threads, unpack, packed, job.shapes)

    async def _announce(self) -> None:
        while True:
            await asyncio.sleep(ANNOUNCED)
            if not self._draining:
                await self._publish(f"{self._subject}.hello", self._hello())

    async def _beat(self) -> None:
        while True:
            await asyncio.sleep(BEAT)
            for job in list(self._jobs.values()):
                await self._say(job.reply, Beat(self.name, job.received))

    async def _report(self) -> None:
        while True:
            before = self.done.total()
            await asyncio.sleep(REPORTED)
            if self.done.total() != before:
                self._say_done()

    def _say_done(self) -> None:
        done = ", ".join(f"{count} {what}" for what, count in sorted(self.done.items())) or "none"
        _log.info("jobs since the start: %s; %d under way", done, len(self._jobs))

    def _told(self) -> str:
        return ", ".join(f"{name} ({one.identity}) on {one.runs_on or 'cpu'}" for name, one in self._detectors.items())

    def _hello(self, leaving: bool = False) -> bytes:
        return messages.encode(Hello(self.name, self._host, dict(self._detectors), leaving))

    async def _say(self, subject: str, message: ToDoor) -> None:
        await self._publish(subject, messages.encode(message))

    async def _publish(self, subject: str, data: bytes) -> None:
        """Where the server is out of reach, whoever waits finds out by itself."""
        with contextlib.suppress(LostError):
            await self._link.publish(subject, data)


def _scores(found: Sequence[Symbols]) -> Scores:
    names = sorted({symbol for row in found for symbol in row})
    return Scores(names, [[row.get(symbol) for symbol in names] for row in found])
