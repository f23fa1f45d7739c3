"""Reads a large hash list in a process of its own, so that nothing else in this one waits: only the arrays come back.

Parsing holds the interpreter's lock, however often it is let go, and takes a core; what is read there lies in shared
memory afterwards, which is mapped here as it is.
"""

import mmap
import os
import resource
import signal
import subprocess
import sys
import tempfile
from collections.abc import Mapping
from math import ceil
from pathlib import Path
from typing import BinaryIO

import msgspec
import numpy as np

from classifier.hashlists.entries import DIGITS, Hashes, Kind, Remarks
from classifier.hashlists.reading import read
from classifier.process import how
from classifier.types import CannotStartError

APART_FROM = 256 << 10
"""Bytes of a file from which on a process of its own pays: less is parsed in some milliseconds."""
SECONDS = 300.0
"""How long reading may take: some ten times as long as the most entries do."""
MEMORY = 12 << 30
"""Bytes of address space that the process may take: the remarks of the largest file twice, and its hashes."""

_GRACE = 5
"""Seconds after which it ends by itself; we may be gone."""


class DiedError(CannotStartError):
    """The process that reads was ended before it was done, which says nothing of the file."""


class _Answer(msgspec.Struct):
    """What was wrong, or else what lies in the shared memory: for each kind its words, the ends of the remarks,
    for each kind the places of its remarks, the remarks. So each array begins where its numbers may."""

    failed: str = ""
    hashes: dict[Kind, int] = {}
    ends: int = 0


def read_apart(
    path: Path, match: Kind | None = None, *, seconds: float = SECONDS, memory: int = MEMORY
) -> tuple[Mapping[Kind, Hashes], Remarks]:
    """As :func:`classifier.hashlists.reading.read`. Raises CannotStartError as that does, and DiedError where the
    process took longer than ``seconds``, or more memory, or was killed. Blocks, but leaves the interpreter to others.
    """
    with _shared() as file:
        shared = file.fileno()
        code = f"from classifier.hashlists.apart import main; main({shared}, {memory}, {ceil(seconds)})"
        try:
            ended = subprocess.run(
                [sys.executable, "-P", "-c", code, path, match or ""],
                stdin=subprocess.DEVNULL,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                pass_fds=[shared],
                env={**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"},
                start_new_session=True,  # Ctrl-C is for us
                timeout=seconds,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise DiedError(f"the hash list {path} was not read within {seconds:.0f} s") from None
        except OSError as error:
            raise DiedError(f"no process to read the hash list {path} can be started ({error.strerror})") from error
        if ended.returncode:
            raise DiedError(
                f"the process that reads the hash list {path} died ({how(ended.returncode)}); "
                f"it may take {memory >> 20} MiB"
            )
        answer = msgspec.json.decode(ended.stdout, type=_Answer)
        if answer.failed:
            raise CannotStartError(answer.failed)
        return _mapped(shared, answer)


def main(shared: int, memory: int, seconds: int) -> None:
    """What the process does: read the list that its arguments name, lay it into ``shared``, say what lies there."""
    signal.alarm(seconds + _GRACE)
    resource.setrlimit(resource.RLIMIT_AS, (memory, memory))
    resource.setrlimit(resource.RLIMIT_CORE, (0, 0))
    path, match = sys.argv[1:]
    try:
        hashes, remarks = read(Path(path), msgspec.convert(match or None, Kind | None))
    except CannotStartError as error:
        answer = _Answer(str(error))
    else:
        answer = _Answer("", {kind: len(one) for kind, one in hashes.items()}, len(remarks.ends))
        words, places = ([getattr(one, name) for one in hashes.values()] for name in ("words", "remarks"))
        with open(shared, "wb") as file:
            for part in (*words, remarks.ends, *places):
                file.write(part.tobytes())
            file.write(remarks.blob)
    sys.stdout.buffer.write(msgspec.json.encode(answer))


def _mapped(shared: int, answer: _Answer) -> tuple[Mapping[Kind, Hashes], Remarks]:
    size = os.fstat(shared).st_size
    arena = memoryview(mmap.mmap(shared, size, access=mmap.ACCESS_READ) if size else b"")
    words, at = {}, 0
    for kind, count in answer.hashes.items():
        width = -(-DIGITS[kind] // 16)
        words[kind] = np.frombuffer(arena, np.uint64, count * width, at).reshape(count, width)
        at += words[kind].nbytes
    ends = np.frombuffer(arena, np.int64, answer.ends, at)
    at += ends.nbytes
    hashes = {}
    for kind, count in answer.hashes.items():
        hashes[kind] = Hashes(kind, words[kind], np.frombuffer(arena, np.uint32, count, at))
        at += hashes[kind].remarks.nbytes
    return hashes, Remarks(arena[at:], ends)


def _shared() -> BinaryIO:
    # Not /dev/shm, of which a container has 64 MiB.
    if hasattr(os, "memfd_create"):
        return open(os.memfd_create("hash-list", os.MFD_CLOEXEC), "r+b", buffering=0)
    return tempfile.TemporaryFile(buffering=0)
