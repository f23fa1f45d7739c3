"""Runs functions in spawned processes that have bounds on memory and time, and lives on when one is killed or dies."""

import asyncio
import contextlib
import os
import resource
import signal
import sys
import threading
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import CancelledError as FutureCancelledError
from concurrent.futures import Future
from concurrent.futures.process import BrokenProcessPool
from dataclasses import dataclass
from multiprocessing.context import SpawnContext, SpawnProcess
from multiprocessing.popen_spawn_posix import Popen
from multiprocessing.process import BaseProcess
from pathlib import Path
from types import ModuleType
from typing import Any

import pebble

from classifier.types import CannotStartError

MAX_TASKS = 2_000
"""A process is replaced after this many tasks, so that what a library leaks does not add up."""

_GRACE = 2.0
"""Seconds beyond the wall limit in which pebble has to report; past it the whole slot is thrown away."""


class OverdueError(Exception):
    """The function ran past its wall time and its process was killed."""


class OverworkedError(Exception):
    """The function used more computing time than it may and its process was killed."""


class CrashedError(Exception):
    """The process died under the function (a bug in a C library, or the kernel ended it)."""


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds on each call: bytes of address space beyond the idle process's, seconds of computing, seconds in all."""

    memory: int
    cpu: float
    wall: float


class Pool:
    """A fixed number of processes, one task each at a time; callers wait for a free one in the order they came.

    Each process is a pebble pool by itself: processes of one pebble pool share a pipe and its lock, so that one that
    dies while it writes would take the others with it.
    """

    def __init__(self, processes: int, limits: Limits, prepare: Callable[[], None] | None = None) -> None:
        self.processes = processes
        self._limits = limits
        self._prepare = prepare
        self._slots = [self._new_slot() for _ in range(processes)]
        self._free: asyncio.LifoQueue[int] = asyncio.LifoQueue(processes)
        for number in range(processes):
            self._free.put_nowait(number)
        self._closed = False

    def warm_up(self, timeout: float = 60.0) -> None:
        """Start every process and wait until all answer. Blocks. Raises CannotStartError where one does not."""
        try:
            for future in [slot.schedule(os.getpid) for slot in self._slots]:
                future.result(timeout)
        except (BrokenProcessPool, RuntimeError, OSError, TimeoutError) as error:
            self.stop()
            raise CannotStartError(
                f"the decoding processes do not start ({type(error).__name__}: {error}); each needs about 100 MiB "
                "and decode.memory beyond it of address space: look at ulimit -v and -u, or set decode.processes lower"
            ) from error

    async def run[**P, T](self, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        """Call ``function`` (importable by name, as its arguments and result are pickled) in a free process.

        Cancelling kills the process. Raises OverdueError, OverworkedError, CrashedError, or what the function raised.
        """
        async with self._slot() as number:
            try:
                return await self._call(number, function, *args, **kwargs)
            except BrokenProcessPool:
                # It died while idle, or before it took the task: the task is not to blame, so once more.
                await self._replace(number)
            try:
                return await self._call(number, function, *args, **kwargs)
            except BrokenProcessPool as error:
                await self._replace(number)
                raise CrashedError("a decoding process died before it took the task, twice") from error

    async def close(self) -> None:
        """Kill every process, with whatever it is doing, and wait until they are gone."""
        await asyncio.to_thread(self.stop)

    def stop(self) -> None:
        """As ``close``, for where no event loop runs. Blocks."""
        self._closed = True
        for slot in self._slots:
            _end(slot)

    def _new_slot(self) -> pebble.ProcessPool:
        return pebble.ProcessPool(
            max_workers=1,
            max_tasks=MAX_TASKS,
            initializer=_enter,
            initargs=(self._limits.memory, self._prepare),
            context=_LightContext(),
        )

    @contextlib.asynccontextmanager
    async def _slot(self) -> AsyncIterator[int]:
        number = await self._free.get()
        try:
            yield number
        finally:
            self._free.put_nowait(number)

    async def _call[**P, T](self, number: int, function: Callable[P, T], *args: P.args, **kwargs: P.kwargs) -> T:
        if self._closed:
            raise CrashedError("the decoding processes have been stopped")
        wall = self._limits.wall
        try:
            future: Future[T] = self._slots[number].schedule(
                _bounded, (self._limits.cpu, function, *args), kwargs, timeout=wall
            )
        except RuntimeError as error:  # pebble found its own threads dead
            raise BrokenProcessPool(str(error)) from error
        try:
            # Starting a process takes time of its own, which pebble does not count; hence twice the grace.
            return await asyncio.wait_for(asyncio.wrap_future(future), wall + 2 * _GRACE)
        except TimeoutError as error:
            if not future.done() or future.cancelled():
                await self._replace(number)
            raise OverdueError(f"it took longer than {wall:g} s") from error
        except pebble.ProcessExpired as error:
            if error.exitcode == -signal.SIGXCPU:
                raise OverworkedError(f"it took more than {self._limits.cpu:g} s of computing") from error
            raise CrashedError(f"the decoding process died ({_how(error.exitcode)})") from error
        except FutureCancelledError as error:
            raise BrokenProcessPool("cancelled by pebble") from error

    async def _replace(self, number: int) -> None:
        old, self._slots[number] = self._slots[number], self._new_slot()
        # Not awaited by us alone: a caller that goes away must not leave the old process behind.
        await asyncio.shield(asyncio.get_running_loop().run_in_executor(None, _end, old))


def _end(slot: Any) -> None:  # Any: pebble's stop() has no annotations
    slot.stop()
    slot.join()


def _how(exitcode: int) -> str:
    if exitcode >= 0:
        return f"exit status {exitcode}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-exitcode).name
    return f"signal {-exitcode}"


def _enter(memory: int, prepare: Callable[[], None] | None) -> None:
    """First thing in a new process: bounds that it keeps for life."""
    # Pebble asks a process to end in Python code, which a loop in a C library never gets to.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    # libtiff and others write what they think of broken files to stderr, past any logging.
    devnull = os.open(os.devnull, os.O_WRONLY)
    os.dup2(devnull, 2)
    os.close(devnull)
    if prepare is not None:
        prepare()
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    resource.setrlimit(resource.RLIMIT_FSIZE, (0, 0))
    bound = _address_space() + memory
    _, hard = resource.getrlimit(resource.RLIMIT_AS)
    if hard != resource.RLIM_INFINITY:
        bound = min(bound, hard)
    resource.setrlimit(resource.RLIMIT_AS, (bound, bound))


def _address_space() -> int:
    """Bytes of address space this process has now; numpy's threads alone take more on a machine with more cores."""
    try:
        return int(Path("/proc/self/statm").read_text().split()[0]) * resource.getpagesize()
    except OSError:
        return 1 << 30


def _bounded(cpu: float, function: Callable[..., Any], *args: Any, **kwargs: Any) -> Any:
    """Runs in the process: the limit counts all its life's computing time, so it is set anew for each task."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime + cpu) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))
    return function(*args, **kwargs)


class _LightPopen(Popen):
    """Spawns without telling the child which program we are: it would import all of that again (mitmproxy, torch)."""

    def _launch(self, process_obj: BaseProcess) -> None:
        with _no_main():
            super()._launch(process_obj)  # type: ignore[misc]  # typeshed does not list this method


class _LightProcess(SpawnProcess):
    @staticmethod
    def _Popen(process_obj: BaseProcess) -> Popen:
        return _LightPopen(process_obj)


class _LightContext(SpawnContext):
    Process = _LightProcess


_main_lock = threading.Lock()


@contextlib.contextmanager
def _no_main() -> Iterator[None]:
    """``multiprocessing.spawn`` reads what to import in the child off ``sys.modules["__main__"]``: show it none."""
    with _main_lock:
        main = sys.modules["__main__"]
        sys.modules["__main__"] = ModuleType("__main__")
        try:
            yield
        finally:
            sys.modules["__main__"] = main
