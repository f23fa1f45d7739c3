"""How rows become embeddings on a device: batches of the size at which it judges the most a second, measured here."""

import itertools
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from classifier.inputs import Rows

if TYPE_CHECKING:
    from torch import Tensor

type Embeddings = NDArray[np.float32]
"""``float32 [n, dimensions]``, each row of length 1."""

type Encode = Callable[["Tensor"], "Tensor"]
"""``uint8 [n, height, width, 3]`` to ``float32 [n, dimensions]`` of length 1, both on the device."""

CANDIDATES = (1, 2, 4, 8, 16)
"""Rows for each thread that shares in a batch."""
UNMEASURED = 8
"""Rows in one go where nobody has measured."""
GOOD_ENOUGH = 0.97
"""Of the best rate: the smallest batch that reaches it is taken, since a larger one only adds waiting."""
_ROUNDS = 4
"""Of as many runs of a size the fastest counts: others are at work too, above all at the start."""


class Runner(Protocol):
    """Rows in host memory to embeddings in host memory."""

    batch: int
    """Rows in one go; more are cut."""
    depth: int
    """Threads that may ask at once with profit."""
    encode: Encode
    """One forward pass, as large as what it is given."""

    def __call__(self, rows: Rows) -> Embeddings:
        """Embeddings of any number of rows, in order. May be called from ``depth`` threads at once."""
        ...

    def measure(self, seconds: float) -> Mapping[int, float]:
        """Find the best batch, set it and say what was measured: rows a second by batch."""
        ...

    def rate(self, rounds: int) -> float:
        """Rows a second of so many forward passes of ``batch``, with nothing else to do: what no engine can pass."""
        ...


def _alone() -> None:
    import torch

    torch.set_num_threads(1)


class Direct:
    """On a CPU (or Apple's GPU): one call after the other, as they come.

    Several rows are shared out over ``ways`` threads that compute each for itself: threads that work on one row
    together wait for the slowest at every step, so that on busy cores two take longer than one. Only a row alone is
    computed by as many threads as torch was told.
    """

    depth = 1

    def __init__(self, encode: Encode, size: tuple[int, int], device: str, ways: int = 1) -> None:
        self.batch = UNMEASURED
        self.encode = encode
        self._size = size
        self._device = device
        self._ways = ways
        self._threads = ThreadPoolExecutor(ways, "openclip", _alone) if ways > 1 else None

    def __call__(self, rows: Rows) -> Embeddings:
        """Embeddings of rows, in order."""
        import torch

        if self._threads is None or len(rows) == 1:
            return self._all(rows, self.batch)
        together = torch.get_num_threads()
        # MKL knows one number for all threads.
        torch.set_num_threads(1)
        try:
            shares = np.array_split(rows, min(self._ways, len(rows)))
            size = -(-self.batch // self._ways)
            return np.concatenate(list(self._threads.map(self._all, shares, itertools.repeat(size))))
        finally:
            torch.set_num_threads(together)

    def _all(self, rows: Rows, size: int) -> Embeddings:
        import torch

        found = []
        with torch.inference_mode():
            for start in range(0, len(rows), size):
                part = torch.from_numpy(np.require(rows[start : start + size], requirements=["C", "W"]))
                found.append(self.encode(part.to(self._device)).cpu().numpy())
        return np.concatenate(found) if len(found) > 1 else found[0]

    def measure(self, seconds: float) -> Mapping[int, float]:
        """Forward passes of ever larger batches, for about ``seconds``."""

        def run(batch: int) -> None:
            self.batch = batch
            self(np.zeros((batch, *self._size, 3), np.uint8))

        rates = measure(run, [self._ways * share for share in CANDIDATES], seconds)
        self.batch = smallest(rates)
        return rates

    def rate(self, rounds: int) -> float:
        """Rows a second of ``rounds`` forward passes."""
        rows = np.zeros((self.batch, *self._size, 3), np.uint8)
        start = time.perf_counter()
        for _ in range(rounds):
            self(rows)
        return rounds * self.batch / (time.perf_counter() - start)


def measure(
    run: Callable[[int], object],
    candidates: Sequence[int],
    seconds: float,
    *,
    clock: Callable[[], float] = time.perf_counter,
) -> dict[int, float]:
    """Rows a second of ``run(batch)``, by batch: at least the first, and what fits into ``seconds``."""
    until = clock() + seconds
    fastest: dict[int, float] = {}
    run(candidates[0])
    took = 0.0
    for _ in range(_ROUNDS):
        for batch in candidates:
            expected = fastest.get(batch, 2 * took)
            if fastest and clock() + expected > until:
                break
            start = clock()
            run(batch)
            took = clock() - start
            fastest[batch] = min(took, fastest.get(batch, took))
    return {batch: batch / seconds for batch, seconds in fastest.items()}


def smallest(rates: Mapping[int, float]) -> int:
    """The smallest batch whose rate is as good as the best."""
    best = max(rates.values())
    return min(batch for batch, rate in rates.items() if rate >= GOOD_ENOUGH * best)
