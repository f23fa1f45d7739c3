"""Runs functions in sandboxed processes with bounds on memory and time, and lives on when one is killed or dies."""

import asyncio
import contextlib
import signal
import threading
from collections import deque
from collections.abc import Buffer, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import msgspec
import numpy as np
from numpy.typing import NDArray

from classifier.child import FAILED
from classifier.process import GoneError, Packed, Process, how
from classifier.said import fit
from classifier.sandbox import Report
from classifier.types import CannotStartError

MAX_TASKS = 1_000
"""A process is replaced after this many tasks: what a library leaks does not add up, and one that a file has taken
over, which could lie about the files after it, does not stay."""

START = 60.0
"""Seconds in which a process has to be ready."""

MAX_SAID = 600
"""Characters of what a process says of its failure: ours say 500 and a name."""

_INLINE = 1 << 20
"""Bytes copied on the event loop (a third of a millisecond); more is copied in a thread."""


class OverdueError(Exception):
    """The function ran past its wall time and its process was killed."""


class OverworkedError(Exception):
    """The function used more computing time than it may and its process was killed."""


class CrashedError(Exception):
    """The process died under the function (a bug in a C library, or the kernel ended it), or answered nonsense."""


class FailedError(Exception):
    """The function raised: the name and message of what it was. ``memory``: there was not enough of it."""

    def __init__(self, text: str) -> None:
        super().__init__(text)
        self.memory = text.startswith("MemoryError")


class UnavailableError(Exception):
    """There is no process to call it in: it does not start, or all have been stopped."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on each call: bytes of address space beyond the idle process's, seconds of computing, seconds in all."""

    memory: int
    cpu: float
    wall: float


type Given = tuple[bytes, Sequence[Buffer]]
"""What a function gives that is called in a process: some bytes, and raw buffers that these describe."""

type Answer = tuple[bytes, NDArray[np.uint8]]
"""The same here: the buffers one behind the other. Nothing about it can be believed."""


@dataclass(slots=True)
class _Slot:
    process: Process | None = None


class Pool:
    """A fixed number of processes, one task each at a time; callers wait for a free one in the order they came."""

    def __init__(self, processes: int, limits: Limits, prepare: Callable[[], None] | None = None) -> None:
        self.processes = processes
        self.sandbox: Report | None = None
        """What a process said of its sandbox, once one has started."""
        self._limits = limits
        self._prepare = prepare
        self._slots = [_Slot() for _ in range(processes)]
        # The last one used comes first: its memory is warm. One that is just being started comes last.
        self._free = deque(self._slots)
        self._turns = asyncio.Semaphore(processes)
        self._threads = ThreadPoolExecutor(4, thread_name_prefix="decoding")
        self._starting = threading.Lock()
        self._closed = False

    @property
    def pids(self) -> list[int]:
        """The processes there are just now."""
        return [slot.process.pid for slot in self._slots if slot.process]

    def warm_up(self) -> None:
        """Start every process and wait until all answer. Blocks. Raises CannotStartError where one does not."""
        try:
            for process in [self._start(slot) for slot in self._slots]:
                self._welcome(process, process.hear(START))
        except (FailedError, GoneError, OSError, TimeoutError) as error:
            self.stop()
            why = "it died at once" if isinstance(error, GoneError) else f"{type(error).__name__}: {error}"
            raise CannotStartError(
                f"the decoding processes do not start ({why}); each needs about 100 MiB and twice decode.memory "
                "beyond it of address space: look at ulimit -v and -u, or set decode.processes lower"
            ) from error

    async def run[**P](self, work: Callable[P, Given], *args: P.args, **kwargs: P.kwargs) -> Answer:
        """Call ``work`` (importable by name, as it is pickled with its arguments) in a free process.

        What comes back is bytes and not values, for the process may have been taken over. Cancelling kills it. Raises
        OverdueError, OverworkedError, CrashedError, FailedError, UnavailableError.
        """
        packed = Packed((work, args, kwargs))
        if packed.size > self._limits.memory:
            raise FailedError(f"MemoryError: a task of {packed.size} bytes, more than decode.memory allows")
        async with self._turns:
            slot = self._free.pop()
            try:
                return await self._run(slot, packed)
            finally:
                ready = slot.process is not None and slot.process.ready
                (self._free.append if ready else self._free.appendleft)(slot)

    async def close(self) -> None:
        """Kill every process, with whatever it is doing, and wait until they are gone."""
        await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """As ``close``, for where no event loop runs. Blocks."""
        with self._starting:
            self._closed = True
        for slot in self._slots:
            if slot.process:
                slot.process.kill()
        self._threads.shutdown()

    async def _run(self, slot: _Slot, packed: Packed) -> Answer:
        for _ in range(2):
            process = await self._ready(slot)
            try:
                answer = await self._call(process, packed)
            except GoneError as error:
                code = await self._replace(slot)
                if error.taken:
                    raise self._death(code) from error
                # It died while idle, or before it took the task: the task is not to blame, so once more.
            except TimeoutError as error:
                await self._replace(slot)
                raise OverdueError(f"it took longer than {self._limits.wall:g} s") from error
            except asyncio.CancelledError:
                with contextlib.suppress(UnavailableError):
                    await self._replace(slot)
                raise
            except OSError as error:
                await self._replace(slot)
                raise UnavailableError(f"the memory shared with a decoding process: {error}") from error
            else:
                if process.tasks >= MAX_TASKS:
                    self._renew(slot)
                return answer
        raise CrashedError("a decoding process died before it took the task, twice")

    async def _call(self, process: Process, packed: Packed) -> Answer:
        if not process.alive_and_silent():
            raise GoneError(taken=False)
        if packed.size <= _INLINE:
            process.lay(packed)
        else:
            await self._aside(process.lay, packed)
        async with asyncio.timeout(self._limits.wall):
            status, first, rest = await process.heard()
        if first + rest <= _INLINE and not process.bulky:
            answer = process.read(first, rest)
        else:
            answer = await self._aside(process.read, first, rest)
        if status == FAILED:
            raise FailedError(fit(answer[0].decode(errors="replace"), MAX_SAID))
        return answer

    async def _ready(self, slot: _Slot) -> Process:
        """The slot's process, once it has started. Cancelling leaves it alone."""
        if self._closed:
            raise UnavailableError("the decoding processes have been stopped")
        try:
            process = slot.process
            if process is None:
                process = await self._aside(self._start, slot)
            if not process.ready:
                async with asyncio.timeout(START):
                    self._welcome(process, await process.heard())
        except (FailedError, GoneError, OSError) as error:  # TimeoutError is one of the last
            await self._replace(slot)
            raise UnavailableError(f"a decoding process does not start ({type(error).__name__}: {error})") from error
        return process

    def _welcome(self, process: Process, heard: tuple[int, int, int]) -> None:
        status, first, rest = heard
        text, _ = process.read(first, rest)
        if status == FAILED:
            raise FailedError(fit(text.decode(errors="replace"), MAX_SAID))
        self.sandbox = msgspec.json.decode(text, type=Report)
        process.ready = True

    def _start(self, slot: _Slot) -> Process:
        """Blocks for a millisecond or two."""
        with self._starting:
            if self._closed:
                raise UnavailableError("the decoding processes have been stopped")
            if slot.process is None:
                limits = self._limits
                slot.process = Process(self._prepare, limits.memory, limits.cpu, limits.wall)
            return slot.process

    async def _replace(self, slot: _Slot) -> int:
        """The exit code of the slot's process, which is dead now. A caller that goes away leaves none behind."""
        return await asyncio.shield(self._renew(slot))

    def _renew(self, slot: _Slot) -> "asyncio.Future[int]":
        """The next process is started at once, though nobody may want it yet: it takes a third of a second."""
        old, slot.process = slot.process, None

        def renew() -> int:
            code = old.kill() if old else 0
            with contextlib.suppress(OSError, UnavailableError):  # who needs it will hear
                self._start(slot)
            return code

        return self._aside(renew)

    def _aside[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> "asyncio.Future[T]":
        try:
            return asyncio.wrap_future(self._threads.submit(function, *args, **kwargs))
        except RuntimeError as error:
            raise UnavailableError("the decoding processes have been stopped") from error

    def _death(self, code: int) -> Exception:
        if code == -signal.SIGXCPU:
            return OverworkedError(f"it took more than {self._limits.cpu:g} s of computing")
        return CrashedError(f"the decoding process died ({how(code)})")
