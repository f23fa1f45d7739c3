"""Scores every file of a folder once, and keeps the scores in a file, so that an interrupted run is gone on with."""

import asyncio
import json
import os
from collections import deque
from collections.abc import AsyncIterator, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from classifier import CannotJudgeError
from classifier.engine import Engine

FORMAT = 1
AT_ONCE = 32
"""Files in work at the same time."""


class ScoresError(Exception):
    """The file of scores cannot be used; the message says what to do."""


@dataclass(frozen=True, slots=True)
class Scored:
    """One file: its highest score over the frames for each symbol, or the cause why it was not judged."""

    file: str
    size: int
    mtime_ns: int
    sha256: str = ""
    symbols: dict[str, float] | None = None
    cause: str = ""
    message: str = ""

    @property
    def key(self) -> tuple[str, int, int]:
        """What tells that the file is still the same."""
        return self.file, self.size, self.mtime_ns


class Scores:
    """The scores kept in ``path``: a line of JSON for each file, written as soon as it is known.

    Never an image, nor anything that one could be made from.
    """

    def __init__(self, path: Path, version: str) -> None:
        """Read what is there. Raises ScoresError where it is of another format or of other detectors (``version``)."""
        self.path = path
        self.done: dict[tuple[str, int, int], Scored] = {}
        whole = 0
        if path.exists():
            whole = self._read(path.read_bytes(), version)
        self._file = path.open("r+b" if whole else "wb")
        # A line that was cut off by the end of an earlier run is written over.
        self._file.truncate(whole)
        self._file.seek(whole)
        if not whole:
            self._write({"fediward-scores": FORMAT, "version": version})

    def add(self, scored: Scored) -> None:
        """Keep one more. A time-out or a full queue is no fact about the file, and is not kept."""
        self.done[scored.key] = scored
        if scored.cause not in ("timeout", "busy", "no_worker", "detector_error"):
            self._write({name: getattr(scored, name) for name in Scored.__slots__})

    def close(self) -> None:
        """Let go of the file."""
        self._file.close()

    def _write(self, values: dict[str, Any]) -> None:
        self._file.write(json.dumps(values).encode() + b"\n")
        self._file.flush()

    def _read(self, data: bytes, version: str) -> int:
        """How many bytes of it are whole lines."""
        whole = data.rfind(b"\n") + 1
        try:
            head, *lines = (json.loads(line) for line in data[:whole].splitlines())
            if head.get("fediward-scores") != FORMAT:
                raise ValueError
            scored = [Scored(**line) for line in lines]
        except (ValueError, TypeError, AttributeError) as error:
            raise ScoresError(
                f"{self.path} is no file of scores that this version can go on with: move it away, or name another "
                "folder with --out"
            ) from error
        if head.get("version") != version:
            raise ScoresError(
                f"{self.path} holds scores of other detectors ({head.get('version')}; now {version}): start anew with "
                "--fresh, or name another folder with --out"
            )
        self.done = {one.key: one for one in scored}
        return whole


def files_below(folder: Path) -> Iterator[Path]:
    """Every file below ``folder``, in a stable order; links and hidden ones are left out."""
    for base, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(base, name)
            if not name.startswith(".") and path.is_file() and not path.is_symlink():
                yield path


async def score(
    engine: Engine, files: Sequence[Path], folder: Path, scores: Scores, *, max_bytes: int, timeout: float
) -> AsyncIterator[Scored]:
    """Judge those of ``files`` (below ``folder``) that are not in ``scores`` yet; gives each, known ones too."""
    waiting: deque[asyncio.Task[Scored]] = deque()
    try:
        for path in files:
            begun = _begun(path, folder)
            if (known := scores.done.get(begun.key)) is not None:
                yield known
                continue
            waiting.append(asyncio.create_task(_judge(engine, path, begun, max_bytes, timeout)))
            if len(waiting) >= AT_ONCE:
                yield await _next(waiting, scores)
        while waiting:
            yield await _next(waiting, scores)
    finally:
        for task in waiting:
            task.cancel()


async def _next(waiting: deque[asyncio.Task[Scored]], scores: Scores) -> Scored:
    found = await waiting.popleft()
    scores.add(found)
    return found


def _begun(path: Path, folder: Path) -> Scored:
    try:
        stat = path.stat()
    except OSError:
        return Scored(str(path.relative_to(folder)), 0, 0)
    return Scored(str(path.relative_to(folder)), stat.st_size, stat.st_mtime_ns)


async def _judge(engine: Engine, path: Path, begun: Scored, max_bytes: int, timeout: float) -> Scored:
    where = begun.file, begun.size, begun.mtime_ns
    if begun.size > max_bytes:
        return Scored(*where, cause="too_large", message=f"it has more than {max_bytes} bytes (fetch.max_bytes)")
    try:
        data = await asyncio.to_thread(path.read_bytes)
        judgement = await engine.judge(data, timeout=timeout)
    except OSError as error:
        return Scored(*where, cause="unreadable", message=error.strerror or str(error))
    except CannotJudgeError as error:
        return Scored(*where, cause=error.cause, message=str(error))
    return Scored(*where, sha256=judgement.sha256, symbols=judgement.worst())
