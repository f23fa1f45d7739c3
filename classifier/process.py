"""The parent's side of one decoding process: starts it, hands it tasks, hears it, kills it, and trusts nothing it says.

Tasks and answers go through shared memory that only the two have (measured: 85 µs of the parent's time for a task of
200 kB in and 450 kB out, against 160 to 210 µs through the socket itself). What comes back is bytes of bounded length.
"""

import asyncio
import contextlib
import os
import pickle
import select
import signal
import socket
import subprocess
import sys
import tempfile
import time
import weakref
from collections.abc import Callable
from io import BytesIO
from typing import Any

import numpy as np
from numpy.typing import NDArray

from classifier.child import ANSWER, DONE, FAILED, TASK

MAX_ANSWER = 128 << 20
"""Bytes that a task may give: 96 tiles for each of a few detectors are half of it."""
_MAX_FIRST = 4 << 20
_KEPT = 8 << 20
"""Bytes of shared memory that a process keeps between two tasks; what a large file took beyond is given back."""
_OUT_OF_BAND = 4096
"""Bytes from which on a task's ``bytes`` are laid into the shared memory as they are, not copied into its pickle."""
_LIBRARIES = ("HOME", "LANG", "LC_ALL", "LD_LIBRARY_PATH", "PATH", "TMPDIR")
_PYTHON = ("PYTHONDONTWRITEBYTECODE", "PYTHONHOME", "PYTHONPYCACHEPREFIX")
_ENVIRONMENT = frozenset((*_LIBRARIES, *_PYTHON))
"""What a process is given of ours. The rest may hold passwords."""


class GoneError(Exception):
    """The process has died or broke the protocol. ``taken``: it had begun with the task."""

    def __init__(self, taken: bool) -> None:
        super().__init__()
        self.taken = taken


class Process:
    """One decoding process, from its start to its death. ``tasks``: how many it was given."""

    def __init__(self, prepare: Callable[[], None] | None, memory: int, cpu: float, wall: float) -> None:
        """Start it; it is not ready yet. Raises OSError."""
        self.tasks = 0
        self.ready = False
        self._bell = b""
        self._arena = _Arena(memory)
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        self._socket = ours
        # Not in kill: the event loop may be listening, which only the other side's end wakes up. Not in __del__: where
        # we are garbage in a cycle, the socket's own may come first.
        weakref.finalize(self, ours.close).atexit = False
        try:
            with theirs:
                self._process = _spawn(theirs.fileno(), self._arena.file)
            self.lay(Packed((prepare, memory, cpu, wall)))
            self.tasks = 0
        except BaseException:
            ours.close()
            raise

    @property
    def pid(self) -> int:
        """Its process id."""
        return self._process.pid

    def alive_and_silent(self) -> bool:
        """Whether it lives and has said nothing unasked, as only one that was taken over would."""
        try:
            self._socket.recv(1)
        except BlockingIOError:
            return not self._bell
        except OSError:
            pass
        return False

    def lay(self, packed: "Packed") -> None:
        """Hand it a task: at once, but for the copying. Raises GoneError."""
        at = 0
        for part in (*packed.parts, packed.pickle):
            self._arena.write(part, at)
            at += len(part)
        self.tasks += 1
        self._bell = b""
        try:
            sent = self._socket.send(TASK.pack(at - len(packed.pickle), len(packed.pickle)))
        except OSError as error:
            raise GoneError(taken=False) from error
        if sent != TASK.size:
            raise GoneError(taken=False)

    async def heard(self) -> tuple[int, int, int]:
        """Its answer's status and the lengths of its two parts. Raises GoneError. May be cancelled and called anew."""
        loop = asyncio.get_running_loop()
        while not self._complete():
            ready = loop.create_future()
            loop.add_reader(self._socket, _wake, ready)
            try:
                await ready
            finally:
                loop.remove_reader(self._socket)
        return self._answered()

    def hear(self, timeout: float) -> tuple[int, int, int]:
        """As ``heard``, where no event loop runs. Blocks. Raises TimeoutError."""
        until = time.monotonic() + timeout
        waiting = select.poll()
        waiting.register(self._socket, select.POLLIN)
        while not self._complete():
            left = until - time.monotonic()
            if left <= 0 or not waiting.poll(1000 * left):
                raise TimeoutError("no answer in time")
        return self._answered()

    def read(self, first: int, rest: int) -> tuple[bytes, NDArray[np.uint8]]:
        """The two parts of its answer, copied out. Raises GoneError where they are not there."""
        body = np.empty(rest, np.uint8)
        head = self._arena.read(first, body)
        if self.bulky:
            self._arena.give_back()
        return head, body

    @property
    def bulky(self) -> bool:
        """Whether its shared memory holds more than it should keep: what we laid there, or what it did unasked."""
        return self._arena.held > _KEPT

    def kill(self) -> int:
        """Kill it, with whatever it does, and wait until it is gone: its exit code. Blocks."""
        self._process.kill()
        code = self._process.wait()
        self._arena.give_back()
        return code

    def _complete(self) -> bool:
        """Take what there is of the answer without waiting."""
        try:
            more = self._socket.recv(ANSWER.size - len(self._bell))
        except BlockingIOError:
            return False
        except ConnectionResetError as error:  # it died with our last message unread
            raise GoneError(taken=False) from error
        except OSError as error:
            raise GoneError(taken=True) from error
        if not more:
            raise GoneError(taken=True)
        self._bell += more
        return len(self._bell) == ANSWER.size

    def _answered(self) -> tuple[int, int, int]:
        status, first, rest = ANSWER.unpack(self._bell)
        self._bell = b""
        if status not in (DONE, FAILED) or first > _MAX_FIRST or rest > MAX_ANSWER:
            raise GoneError(taken=True)
        return status, first, rest


class Packed(pickle.Pickler):
    """A task on its way: its large ``bytes`` and the pickle of the rest, which says where they will lie."""

    def __init__(self, task: tuple[Any, ...]) -> None:
        file = BytesIO()
        super().__init__(file, protocol=5)
        self.parts: list[bytes] = []
        self.size = 0
        self.dump(task)
        self.pickle = file.getvalue()
        self.size += len(self.pickle)

    def persistent_id(self, value: object) -> tuple[int, int] | None:
        """Where it will stand apart from the pickle, as (start, length), if it will."""
        if type(value) is not bytes or len(value) < _OUT_OF_BAND:
            return None
        start = self.size
        self.parts.append(value)
        self.size += len(value)
        return start, len(value)


class _Arena:
    """Shared memory of a fixed size, of which only what is touched is there. Closed when nobody uses it any more, as a
    thread may still be writing for a process that is dead already."""

    def __init__(self, size: int) -> None:
        self.size = size
        # Not /dev/shm, of which a container has 64 MiB.
        if hasattr(os, "memfd_create"):
            self.file = os.memfd_create("decoding", os.MFD_CLOEXEC)
        else:
            with tempfile.TemporaryFile() as file:
                self.file = os.dup(file.fileno())
        os.ftruncate(self.file, size)

    def write(self, data: bytes, at: int) -> None:
        """Raises OSError."""
        view = memoryview(data)
        while view:
            done = os.pwrite(self.file, view, at)
            view, at = view[done:], at + done

    @property
    def held(self) -> int:
        """Bytes that are there."""
        return os.fstat(self.file).st_blocks * 512

    def read(self, first: int, into: NDArray[np.uint8]) -> bytes:
        """The first bytes, and those after them. Not through a mapping: the other side could make that a trap."""
        head = os.pread(self.file, first, 0)
        done = os.preadv(self.file, [into], first) if len(into) else 0
        if len(head) != first or done != len(into):
            raise GoneError(taken=True)
        return head

    def give_back(self) -> None:
        """Let go of all memory; what is touched next is zeros."""
        os.ftruncate(self.file, 0)
        os.ftruncate(self.file, self.size)

    def __del__(self) -> None:
        with contextlib.suppress(AttributeError, OSError):
            os.close(self.file)


def _spawn(*files: int) -> subprocess.Popen[bytes]:
    """A new Python that imports nothing of the program we are, and has of our descriptors these alone."""
    environment = {name: value for name, value in os.environ.items() if name in _ENVIRONMENT}
    path = os.pathsep.join(os.path.abspath(entry) for entry in sys.path)
    # One file at a time: threads of numpy's or OpenCV's own would only take address space.
    threads = dict.fromkeys(("OMP_NUM_THREADS", "OPENBLAS_NUM_THREADS"), "1")
    code = f"from classifier.child import main; main({', '.join(map(str, files))})"
    return subprocess.Popen(
        [sys.executable, "-P", "-c", code],
        env={**environment, **threads, "PYTHONPATH": path},
        pass_fds=files,
        stdin=subprocess.DEVNULL,
        stdout=subprocess.DEVNULL,
        start_new_session=True,  # Ctrl-C is for us
    )


def _wake(waiter: "asyncio.Future[None]") -> None:
    if not waiter.done():
        waiter.set_result(None)


def how(code: int) -> str:
    """An exit code in words."""
    if code >= 0:
        return f"exit status {code}"
    with contextlib.suppress(ValueError):
        return signal.Signals(-code).name
    return f"signal {-code}"
