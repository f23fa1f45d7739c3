"""Rows to embeddings on CUDA: copied from pinned memory while the batch before is computed, computed as CUDA graphs."""

import logging
import threading
import time
from collections.abc import Mapping
from typing import Any

import numpy as np
import torch

from classifier.inputs import Rows
from classifier.openclip.running import UNMEASURED, Embeddings, Encode, smallest

_log = logging.getLogger(__name__)

CANDIDATES = (1, 2, 4, 8, 12, 16, 24, 32, 48, 64, 96, 128, 192, 256)
"""Batches that have a graph; fewer rows are filled up to the next."""
_ROUNDS = 4
_WORSE = 0.85  # of the best rate: past it larger batches are not tried


class _Slot(threading.local):
    """What one thread needs to copy while others compute: its stream, and memory that the device reads by itself."""

    def __init__(self, device: torch.device, shape: tuple[int, ...], dimensions: int) -> None:
        self.stream = torch.cuda.Stream(device)
        self.staged = torch.empty(shape, dtype=torch.uint8, pin_memory=True)
        self.rows = torch.empty(shape, dtype=torch.uint8, device=device)
        self.found = torch.empty(shape[0], dimensions, device=device)
        self.fetched = torch.empty(shape[0], dimensions, pin_memory=True)
        self.done = torch.cuda.Event(blocking=True)  # waiting threads leave their core to decoding


class Graphed:
    """A :class:`classifier.openclip.running.Runner`. One stream computes; each calling thread copies in its own."""

    depth = 2

    def __init__(self, encode: Encode, size: tuple[int, int], device: str) -> None:
        self.batch = UNMEASURED
        self.encode = encode
        self._size = size
        self._device = torch.device(device)
        self._compute = torch.cuda.Stream(self._device)
        self._pool: Any = None
        self._lock = threading.Lock()
        self._graphs: dict[int, tuple[torch.cuda.CUDAGraph, torch.Tensor]] = {}
        self._capturing = True
        self._resize(self.batch)

    def __call__(self, rows: Rows) -> Embeddings:
        """Embeddings of rows, in order."""
        parts = [self._part(rows[start : start + self.batch]) for start in range(0, len(rows), self.batch)]
        return np.concatenate(parts) if len(parts) > 1 else parts[0]

    def measure(self, seconds: float) -> Mapping[int, float]:
        """Capture and time a graph of each size, keep those up to the best, for about ``seconds``."""
        rates: dict[int, float] = {}
        until = time.perf_counter() + seconds
        self._resize(CANDIDATES[-1])
        for size in CANDIDATES:
            if rates and (time.perf_counter() > until or rates[max(rates)] < _WORSE * max(rates.values())):
                break
            try:
                with torch.cuda.stream(self._compute):
                    self._prepare(size)
                self._rate(size, 2)
                rates[size] = self._rate(size, _ROUNDS)
            except torch.OutOfMemoryError:
                break
        best = smallest(rates)
        self._graphs = {size: graph for size, graph in self._graphs.items() if size <= best}
        self._resize(best, keep=True)
        return rates

    def rate(self, rounds: int) -> float:
        """Rows a second of ``rounds`` forward passes on rows that lie on the device already."""
        return self._rate(self.batch, rounds)

    def _rate(self, size: int, rounds: int) -> float:
        begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
        with self._lock, torch.cuda.stream(self._compute):
            begun.record(self._compute)
            for _ in range(rounds):
                self._run(size)
            ended.record(self._compute)
        ended.synchronize()
        return size * rounds / (float(begun.elapsed_time(ended)) / 1000)

    def _resize(self, batch: int, *, keep: bool = False) -> None:
        """Memory for batches of this size; what was captured reads its rows from where they were, so ``keep``s it."""
        self.batch = batch
        shape = (batch, *self._size, 3)
        if not keep:
            # Of zeros products are faster than of pictures.
            self._rows = torch.randint(0, 256, shape, dtype=torch.uint8, device=self._device)
        with torch.cuda.device(self._device), torch.inference_mode():
            dimensions = self.encode(self._rows[:1]).shape[1]
        # Weights and rows were put there in another stream than the one that computes.
        torch.cuda.synchronize(self._device)
        self._slot = _Slot(self._device, shape, dimensions)

    def _prepare(self, size: int) -> None:
        """Capture the forward pass of ``size`` rows; a model that cannot be captured is run as it is."""
        if not self._capturing:
            return
        with torch.inference_mode():
            for _ in range(2):
                self.encode(self._rows[:size])
            self._compute.synchronize()
            graph = torch.cuda.CUDAGraph()
            try:
                with torch.cuda.graph(graph, pool=self._pool, stream=self._compute, capture_error_mode="thread_local"):
                    found = self.encode(self._rows[:size])
            except torch.OutOfMemoryError:
                raise
            except RuntimeError as error:
                _log.warning("clip: this model cannot be captured as a CUDA graph, so it runs without: %s", error)
                self._capturing = False
                self._graphs.clear()
                return
        self._pool = graph.pool()
        self._graphs[size] = (graph, found)

    def _run(self, size: int) -> torch.Tensor:
        """Compute the first ``size`` of the rows that lie ready, on the current stream."""
        if size not in self._graphs:
            with torch.inference_mode():
                return self.encode(self._rows[:size])
        graph, found = self._graphs[size]
        graph.replay()
        return found

    def _part(self, rows: Rows) -> Embeddings:
        count = len(rows)
        slot = self._slot
        slot.staged[:count].numpy()[...] = rows
        with torch.cuda.stream(slot.stream), torch.inference_mode():
            slot.rows[:count].copy_(slot.staged[:count], non_blocking=True)
            arrived = slot.stream.record_event()
        with self._lock, torch.cuda.stream(self._compute), torch.inference_mode():
            self._compute.wait_event(arrived)
            self._rows[:count].copy_(slot.rows[:count])
            size = next((size for size in sorted(self._graphs) if size >= count), count)
            slot.found[:count].copy_(self._run(size)[:count])
            computed = self._compute.record_event()
        with torch.cuda.stream(slot.stream), torch.inference_mode():
            slot.stream.wait_event(computed)
            slot.fetched[:count].copy_(slot.found[:count], non_blocking=True)
            slot.done.record(slot.stream)
        slot.done.synchronize()
        return slot.fetched[:count].numpy().copy()
