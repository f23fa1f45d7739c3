"""A door's side: rows go to workers on other machines, and symbols come back or the cause why not, always in time."""

import asyncio
import hashlib
import logging
import math
import secrets
from collections import Counter
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field

from nats.aio.client import Client
from nats.aio.msg import Msg

from classifier.breaker import Breaker
from classifier.inputs import InputSpec, Rows
from classifier.remote import messages
from classifier.remote.identity import asked, symbols, told
from classifier.remote.link import Link, LostError
from classifier.remote.messages import (
    MAX_LEFT,
    MAX_ROWS,
    OVERHEAD,
    SILENCE,
    WINDOW,
    Answer,
    Beat,
    Busy,
    Cancel,
    Failed,
    Offer,
    Part,
    ProtocolError,
    ToDoor,
    Who,
    shown,
)
from classifier.remote.packing import pack
from classifier.remote.roster import Roster
from classifier.settings import ClassifierSettings, Concept, WorkersSettings
from classifier.types import CannotJudgeError, Detector, FailureCause, Guarding, Symbols

_log = logging.getLogger(__name__)

PATIENCE, SHORT_PATIENCE = 3.0, 1.0
"""Seconds after the start in which a first worker is waited for; later it is there, or it is not. The second where its
work can be done here."""
UNEVEN = 4
"""Jobs of ours that one worker may have more than another, before the next goes to that other. Two equal workers did
1.99 times as much as one, and 1.91 when dealt to blindly (tests/bench/workers.py); of unequal ones the slower has less.
"""
_NO_SIGN = SILENCE / 2
"""Seconds after which a worker should have said something: it does so as soon as it has a job."""
_BOX = 64
"""Answers that a job may have waiting; more than beats, in the time of one, is nonsense."""
_NO_RESPONDERS = "503"
_AHEAD = 256

type _Heard = ToDoor | CannotJudgeError


class _ElsewhereError(Exception):
    """One worker has failed, and another may do better; else ``cause`` is what has become of the job."""

    def __init__(self, cause: FailureCause, message: str, worker: str | None = None) -> None:
        super().__init__(message)
        self.cause: FailureCause = cause
        self.worker = worker


@dataclass(eq=False, slots=True)
class _Call:
    """A job at one worker: at ``asked`` alone, or at whoever answers first."""

    asked: str | None
    box: asyncio.Queue[_Heard] = field(default_factory=lambda: asyncio.Queue(_BOX))
    worker: str | None = None

    def put(self, heard: _Heard) -> None:
        if not self.box.full():
            self.box.put_nowait(heard)


class Workers:
    """A :class:`classifier.types.Backend`. Belongs to the event loop on which ``ready`` is first awaited.

    A job goes to any worker of the same identity. One that is busy, fails or falls silent costs one more try elsewhere,
    each of these once, while time is left.
    """

    def __init__(
        self,
        settings: ClassifierSettings,
        workers: WorkersSettings,
        concepts: Mapping[str, Concept],
        local: Sequence[Detector] = (),
    ) -> None:
        """``local``: the same detectors, where they are loaded here too: workers must then have their very weights.

        Raises CannotStartError where a key or certificate is not what it should be.
        """
        asks = asked(settings, concepts)
        self._symbols = symbols(settings, concepts)
        self._roster = Roster(asks, told(local, asks) if local else None)
        self._asks = asks
        self._subject = workers.subject
        self.inbox = f"{workers.subject}.door.{secrets.token_hex(12)}"
        self._link = Link(workers, "fediward door", self._joined, self._lost)
        self._threads = ThreadPoolExecutor(2, thread_name_prefix="packing")
        self._calls: dict[str, _Call] = {}
        self._met = asyncio.Event()
        self._began: float | None = None
        self._stood_in = bool(local)
        self._closed = False
        self._breaker = Breaker("the pool of workers")
        self.breakers: Mapping[str, Guarding] = {"workers": self._breaker}
        """Opened by workers that keep silent, for that is what one waits in vain for; whoever answers, be it that it is
        busy or that its detector fails, does so at once. Never by one that is slow: holds have the time."""
        self.symbols: frozenset[str] = frozenset().union(*self._symbols.values())
        self.ahead = _AHEAD

    @property
    def version(self) -> str:
        """Names what judges, weights included as soon as a worker was met; nothing is judged before."""
        return f"workers:{self._roster.key or hashlib.sha256(repr(self._asks).encode()).hexdigest()[:16]}"

    @property
    def known(self) -> int:
        """Workers that may judge, and were heard of lately."""
        return len(self._roster.fit(asyncio.get_running_loop().time()))

    async def ready(self, timeout: float) -> Mapping[str, InputSpec]:
        """By detector, how it wants its frames, if somebody is there to judge.

        Raises CannotJudgeError("no_worker"), at once except at the start.
        """
        loop = asyncio.get_running_loop()
        if self._closed:
            raise CannotJudgeError("no_worker", "the classifier is stopping")
        if self._began is None:
            self._began = loop.time()
            self._link.start()
        wait = min(timeout, self._began + (SHORT_PATIENCE if self._stood_in else PATIENCE) - loop.time())
        if not self._roster.any(loop.time()) and wait > 0:
            await self._somebody(wait)
        if not self._roster.any(loop.time()):
            raise CannotJudgeError("no_worker", self._why_none())
        return self._roster.inputs

    async def judge(self, rows: Mapping[str, Rows], *, timeout: float) -> Mapping[str, Sequence[Symbols]]:
        """By detector, symbols for each of its rows.

        Raises CannotJudgeError: timeout, busy, no_worker, detector_error.
        """
        loop = asyncio.get_running_loop()
        deadline = loop.time() + min(timeout, MAX_LEFT)
        nothing: dict[str, Sequence[Symbols]] = dict.fromkeys(rows, ())
        rows = {name: part for name, part in rows.items() if len(part)}
        if not rows:
            return nothing
        try:
            async with asyncio.timeout_at(deadline):
                await self.ready(timeout)
                self._check(rows)
                self._breaker.check()
                packed = await loop.run_in_executor(self._threads, pack, rows)
                return nothing | await self._judge(rows, packed, deadline)
        except TimeoutError as error:
            if not self._roster.any(loop.time()):
                raise CannotJudgeError("no_worker", self._why_none()) from error
            raise CannotJudgeError("timeout", f"the workers did not judge it within {timeout:.1f} s") from error

    def expect(self, files: int) -> None:
        """Nothing here waits for company."""

    def trouble(self) -> str:
        """What is wrong now, for a person; empty if nothing."""
        if self._began is None or self._roster.any(asyncio.get_running_loop().time()):
            return ""
        return self._why_none()

    async def unable(self) -> str:
        """Why nobody can judge now, for a person; empty if somebody can."""
        try:
            await self.ready(0.0)
        except CannotJudgeError as error:
            return str(error)
        return self.trouble() or self._breaker.trouble()

    async def close(self) -> None:
        """Disconnect. Who still waits gets ``no_worker``."""
        self._closed = True
        for call in self._calls.values():
            call.put(CannotJudgeError("no_worker", "the classifier is stopping"))
        await self._link.close()
        self._threads.shutdown(wait=False, cancel_futures=True)

    async def _judge(self, rows: Mapping[str, Rows], packed: bytes, deadline: float) -> dict[str, Sequence[Symbols]]:
        loop = asyncio.get_running_loop()
        failed: dict[FailureCause, _ElsewhereError] = {}
        tried: set[str] = set()
        asked = self._choice()
        while True:
            try:
                return await self._try(asked, rows, packed, deadline)
            except _ElsewhereError as error:
                again = error.cause not in failed
                failed[error.cause] = error
                if error.worker is not None:
                    tried.add(error.worker)
                lost = error.cause == "no_worker"
                if again and lost:
                    wait = deadline - loop.time()
                    await self._somebody(min(wait, SHORT_PATIENCE) if self._stood_in else wait)
                asked = self._roster.elsewhere(tried, loop.time())
                if not again or not (asked or lost):
                    raise CannotJudgeError(error.cause, str(error)) from error
                _log.info("%s: tried elsewhere", error)

    def _choice(self) -> str | None:
        """A worker to ask by name, where the server's choice, which is blind, would not do; else None."""
        now = asyncio.get_running_loop().time()
        fit = self._roster.fit(now)
        has = Counter(call.worker or call.asked for call in self._calls.values())
        least = min(fit, key=lambda worker: has[worker], default=None)
        uneven = least is not None and max(has[worker] for worker in fit) - has[least] > UNEVEN
        return least if uneven or self._roster.doubtful(now) else None

    async def _try(
        self, asked: str | None, rows: Mapping[str, Rows], packed: bytes, deadline: float
    ) -> dict[str, Sequence[Symbols]]:
        """The judgement of ``asked``, or of any worker. Raises _ElsewhereError, CannotJudgeError."""
        job, call = secrets.token_hex(16), _Call(asked)
        self._calls[job] = call
        try:
            return await self._talk(job, call, rows, packed, deadline)
        except LostError as error:
            raise _ElsewhereError("no_worker", f"the connection was lost ({error})") from error
        except ProtocolError as error:
            raise _ElsewhereError("detector_error", f"{self._named(call)} gave {error}", call.worker) from error
        finally:
            del self._calls[job]
            if call.worker is not None:
                await self._cancel(job, call.worker)

    async def _talk(
        self, job: str, call: _Call, rows: Mapping[str, Rows], packed: bytes, deadline: float
    ) -> dict[str, Sequence[Symbols]]:
        loop = asyncio.get_running_loop()
        room = max(1, min(messages.PART, self._link.payload - OVERHEAD))
        left = max(1, round((deadline - loop.time()) * 1000))
        counts = {name: len(part) for name, part in rows.items()}
        offer = Offer(job, left, counts, len(packed), packed[:room])
        subject = self._own(call.asked) if call.asked else f"{self._subject}.judge.{self._roster.key}"
        await self._link.publish(subject, messages.encode(offer), f"{self.inbox}.{job}")
        await self._link.flush()  # on a slow line, what we send is not yet a worker's silence
        began = loop.time()
        sent = 1
        while True:
            try:
                async with asyncio.timeout(SILENCE):
                    heard = await call.box.get()
            except asyncio.CancelledError:
                if call.worker is None and loop.time() - began > _NO_SIGN:
                    self._breaker.failed("timeout", f"{self._named(call)} gave no sign of life in time")
                raise
            except TimeoutError as error:
                self._breaker.failed("no_worker", f"{self._named(call)} has fallen silent")
                if (worker := call.worker or call.asked) is not None:
                    self._roster.silent(worker)
                else:
                    self._roster.silent_since(began)
                raise _ElsewhereError("no_worker", f"{self._named(call)} has fallen silent", worker) from error
            if isinstance(heard, Answer | Busy) or (isinstance(heard, Failed) and heard.cause != "no_worker"):
                self._breaker.succeeded()
            match heard:
                case CannotJudgeError():
                    raise heard
                case Busy():
                    raise _ElsewhereError("busy", f"{self._named(call)} is busy: {shown(heard.message)}", heard.worker)
                case Failed(cause="timeout"):
                    raise CannotJudgeError("timeout", f"{self._named(call)}: {shown(heard.message)}")
                case Failed():
                    raise _ElsewhereError(heard.cause, f"{self._named(call)}: {shown(heard.message)}", heard.worker)
                case Answer():
                    found = self._found(heard, rows)
                    call.worker = None  # it needs no cancelling
                    return found
            if heard.received > sent:
                raise ProtocolError("a beat of parts that were never sent")
            while sent * room < len(packed) and sent - heard.received < WINDOW:
                data = packed[sent * room : (sent + 1) * room]
                assert call.worker is not None
                await self._link.publish(self._own(call.worker), messages.encode(Part(job, sent, data)))
                sent += 1

    def _found(self, answer: Answer, rows: Mapping[str, Rows]) -> dict[str, Sequence[Symbols]]:
        """What a worker has found, believed only after a check. Raises ProtocolError."""
        if answer.found.keys() != rows.keys():
            raise ProtocolError("answers of other detectors than were asked")
        found: dict[str, Sequence[Symbols]] = {}
        for name, scores in answer.found.items():
            if len(scores.rows) != len(rows[name]):
                raise ProtocolError(f"{len(scores.rows)} answers of {name} for {len(rows[name])} rows")
            if unknown := [symbol for symbol in scores.symbols if symbol not in self._symbols[name]]:
                raise ProtocolError(f"the unknown symbol {shown(unknown[0])}")
            if len(set(scores.symbols)) != len(scores.symbols):
                raise ProtocolError("one symbol twice")
            for row in scores.rows:
                if len(row) != len(scores.symbols):
                    raise ProtocolError(f"{len(row)} scores for {len(scores.symbols)} symbols")
                # A NaN is above no threshold: it would pass every rule.
                if wrong := [one for one in row if one is not None and not (math.isfinite(one) and 0.0 <= one <= 1.0)]:
                    raise ProtocolError(f"the score {wrong[0]}")
            found[name] = [
                {symbol: score for symbol, score in zip(scores.symbols, row, strict=True) if score is not None}
                for row in scores.rows
            ]
        return found

    def _check(self, rows: Mapping[str, Rows]) -> None:
        for name, part in rows.items():
            spec = self._roster.inputs.get(name)
            if spec is None or part.shape[1:] != (*spec.size, 3) or len(part) > MAX_ROWS:
                raise CannotJudgeError("detector_error", f"rows {part.shape} are not what the workers' {name} takes")

    async def _joined(self, client: Client) -> None:
        await client.subscribe(f"{self.inbox}.*", cb=self._heard)
        await client.subscribe(f"{self._subject}.hello", cb=self._announced)
        await client.publish(f"{self._subject}.who", messages.encode(Who()))
        await client.flush()

    def _lost(self) -> None:
        """The connection is gone, and with it all that was under way."""
        self._roster.clear()
        self._met.clear()
        for call in self._calls.values():
            call.put(Failed("connection", "no_worker", f"the connection was lost ({self._link.why})"))

    async def _announced(self, message: Msg) -> None:
        now = asyncio.get_running_loop().time()
        try:
            hello = messages.hello(message.data)
        except ProtocolError as error:
            if self._roster.strange != str(error):
                self._roster.strange = str(error)
                _log.warning("a worker announces itself in a way that is not understood: %s", error)
            return
        if said := self._roster.heard(hello, now):
            _log.log(logging.WARNING if "is not used" in said else logging.INFO, "%s", said)
        if self._roster.any(now):
            self._met.set()

    async def _heard(self, message: Msg) -> None:
        """An answer to a job: to the one that waits for it."""
        job = message.subject.rpartition(".")[2]
        call = self._calls.get(job)
        if message.headers is not None and message.headers.get("Status") == _NO_RESPONDERS and not message.data:
            if call is not None and call.worker is None:
                call.put(self._nobody(call))
            return
        try:
            heard = messages.to_door(message.data)
        except ProtocolError as error:
            if call is not None:
                call.put(CannotJudgeError("detector_error", f"{self._named(call)} gave {error}"))
            return
        self._roster.alive(heard.worker, asyncio.get_running_loop().time())
        if call is None:
            if isinstance(heard, Beat):
                await self._cancel(job, heard.worker)
        elif call.worker in (None, heard.worker):
            call.worker = heard.worker
            call.put(heard)

    def _nobody(self, call: _Call) -> _Heard:
        """What it means that the server knows of none who listens."""
        if call.asked is not None:
            self._roster.silent(call.asked)
            return Failed(call.asked, "no_worker", "it is not there any more")
        self._roster.nobody()
        return CannotJudgeError("no_worker", self._why_none())

    async def _cancel(self, job: str, worker: str) -> None:
        """Tell it that nobody waits any more. Where it cannot be told, its own deadline does."""
        if self._link.up:
            try:
                await self._link.publish(self._own(worker), messages.encode(Cancel(job)))
            except LostError:
                return

    async def _somebody(self, seconds: float) -> None:
        """Wait until a worker that may judge is there, or the time has passed."""
        if self._roster.any(asyncio.get_running_loop().time()):
            return
        self._met.clear()
        try:
            async with asyncio.timeout(max(0.0, seconds)):
                await self._met.wait()
        except TimeoutError:
            return

    def _own(self, worker: str) -> str:
        return f"{self._subject}.worker.{worker}"

    def _named(self, call: _Call) -> str:
        return f"the worker {call.worker}" if call.worker else "a worker"

    def _why_none(self) -> str:
        if not self._link.up:
            return f"no NATS server is reached: {self._link.why}"
        return self._roster.why_none(asyncio.get_running_loop().time())
