"""What runs in a decoding process: takes a task out of the shared memory, does it, lays the answer there, and rings.

Both sides ring on a socket pair with a few bytes that say where in the memory to look. The parent's tasks are pickles,
for it is trusted; an answer is bytes that cannot be code (see ``process``).
"""

import mmap
import os
import pickle
import resource
import signal
from collections.abc import Buffer, Sequence
from io import BytesIO
from struct import Struct
from typing import Any

import msgspec

from classifier.sandbox import enter

TASK = Struct("<QQ")
"""Parent to child: where the pickle begins and its length; the large bytes that it refers to stand before it."""
ANSWER = Struct("<BQQ")
"""Child to parent: DONE or FAILED, the length of the first part, which begins at 0, and of the rest, which follows."""
DONE, FAILED = 0, 1

_GRACE = 5.0
"""Seconds after the wall limit in which the parent has to kill; it may be gone."""


def main(socket: int, memory: int) -> None:
    """Serve the parent on these two descriptors until it hangs up."""
    # The parent says when to end: a service told to stop still finishes what it has begun.
    signal.signal(signal.SIGTERM, signal.SIG_IGN)
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    with mmap.mmap(memory, 0) as arena:
        os.close(memory)
        _serve(socket, arena)


def _serve(socket: int, arena: mmap.mmap) -> None:
    try:
        prepare, room, cpu, wall = _task(arena, *_bell(socket))
        if prepare is not None:
            prepare()
        # libtiff and others write what they think of broken files to stderr, past any logging.
        devnull = os.open(os.devnull, os.O_WRONLY)
        os.dup2(devnull, 2)
        os.close(devnull)
        report = enter(room)
    except Exception as error:
        _say(socket, arena, FAILED, _described(error), ())
        return
    _say(socket, arena, DONE, msgspec.json.encode(report), ())
    while True:
        start, length = _bell(socket)
        _bound(cpu, wall)
        try:
            function, args, kwargs = _task(arena, start, length)
            first, rest = function(*args, **kwargs)
            function = args = kwargs = None  # before the next task is taken
            status = DONE
        except Exception as error:
            status, first, rest = FAILED, _described(error), ()
        signal.setitimer(signal.ITIMER_REAL, 0)
        try:
            _say(socket, arena, status, first, rest)
        except ValueError:
            _say(socket, arena, FAILED, b"MemoryError: the answer is larger than the shared memory", ())
        first, rest = b"", ()


def _bound(cpu: float, wall: float) -> None:
    """The limit counts all the process's computing time, so it is set anew for each task; the alarm kills it."""
    usage = resource.getrusage(resource.RUSAGE_SELF)
    seconds = int(usage.ru_utime + usage.ru_stime + cpu) + 1
    _, hard = resource.getrlimit(resource.RLIMIT_CPU)
    resource.setrlimit(resource.RLIMIT_CPU, (seconds, hard))
    signal.setitimer(signal.ITIMER_REAL, wall + _GRACE)


def _bell(socket: int) -> tuple[int, int]:
    bell = b""
    while len(bell) < TASK.size:
        more = os.read(socket, TASK.size - len(bell))
        if not more:
            os._exit(0)  # the parent has hung up, or is dead
        bell += more
    start, length = TASK.unpack(bell)
    return start, length


def _task(arena: mmap.mmap, start: int, length: int) -> Any:
    return _Unpickler(arena, arena[start : start + length]).load()


class _Unpickler(pickle.Unpickler):
    def __init__(self, arena: mmap.mmap, data: bytes) -> None:
        super().__init__(BytesIO(data))
        self._arena = arena

    def persistent_load(self, pid: Any) -> bytes:
        start, length = pid
        return self._arena[start : start + length]


def _say(socket: int, arena: mmap.mmap, status: int, first: bytes, rest: Sequence[Buffer]) -> None:
    """Raises ValueError where there is no room for it."""
    at = 0
    for part in (first, *rest):
        view = memoryview(part).cast("B")
        if at + len(view) > len(arena):
            raise ValueError
        arena[at : at + len(view)] = view
        at += len(view)
    os.write(socket, ANSWER.pack(status, len(first), at - len(first)))


def _described(error: Exception) -> bytes:
    return f"{type(error).__name__}: {str(error)[:500]}".encode(errors="replace")
