"""What tests run in sandboxed processes: anything at all, with its result as JSON."""

import os
import sys
import time
from collections.abc import Callable
from typing import Any

import msgspec
import numpy as np

from classifier.child import ANSWER, FAILED
from classifier.pool import Given, Pool


def ready() -> None:
    """For a pool's ``prepare``: a process imports this module with it, which its sandbox would refuse later."""


def json_of(function: Callable[..., object], *args: object, **kwargs: object) -> Given:
    return msgspec.json.encode(function(*args, **kwargs)), ()


def sizes(data: bytes, size: int) -> Given:
    """Takes bytes, and gives as many as asked for."""
    return msgspec.json.encode(len(data)), [np.full(size, 7, np.uint8)]


def twice(size: int, first: bytes) -> Given:
    """An answer larger than what the process has to have in memory for it."""
    half = np.zeros(size, np.uint8)
    return first, [half, half]


def say(bell: bytes, seconds: float = 0) -> Given:
    """What a process that was taken over could do: ring as it likes, and take its time."""
    os.write(_local("socket"), bell)
    time.sleep(seconds)
    return b"", ()


def fail(text: bytes) -> Given:
    """Says itself why it failed, and ends."""
    _local("arena")[: len(text)] = text
    say(ANSWER.pack(FAILED, len(text), 0))
    os._exit(0)


def hoard(size: int) -> Given:
    """Fills the shared memory and says nothing of it."""
    _local("arena")[:size] = b"x" * size
    return b"", ()


def _local(name: str) -> Any:
    """What is so called in whatever called this."""
    frame = sys._getframe()
    while name not in frame.f_locals:
        assert frame.f_back is not None
        frame = frame.f_back
    return frame.f_locals[name]


async def ask[**P](pool: Pool, function: Callable[P, object], *args: P.args, **kwargs: P.kwargs) -> object:
    """The result of ``function``, called in a process of ``pool``, as JSON gives it."""
    first, _ = await pool.run(json_of, function, *args, **kwargs)
    return msgspec.json.decode(first)
