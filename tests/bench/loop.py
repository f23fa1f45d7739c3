"""What the engine is compared with on a CPU: a plain loop over the same pictures, in each form it could have."""

import argparse
import contextlib
import os
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from multiprocessing import get_context
from multiprocessing.pool import Pool

import numpy as np
import torch

from classifier.answers import get_ready
from classifier.detectors.clip import ClipDetector
from classifier.frames import Bounds, Prepared
from classifier.inputs import InputSpec, Rows
from classifier.preparing import prepare_file
from classifier.settings import DecodeSettings
from tests.bench.report import say

_TRIAL = 2.0  # seconds of forward passes with which each form is tried
_BOUNDS = Bounds(DecodeSettings().pixels, DecodeSettings().frames, 60.0)


def decoding(pictures: Sequence[bytes]) -> float:
    """Pictures a second that one process decodes and prepares for a model of 224 pixels."""
    with _pool(1, InputSpec((224, 224), "squash")) as pool:
        return round(float(np.median([pool.apply(_timed, (pictures,)) for _ in range(3)])), 1)


@contextlib.contextmanager
def _pool(processes: int, spec: InputSpec) -> Iterator[Pool]:
    was, os.environ["OMP_NUM_THREADS"] = os.environ.get("OMP_NUM_THREADS"), "1"
    try:
        with get_context("spawn").Pool(processes, _enter, (spec,)) as pool:
            pool.map(_prepared, [b""] * processes)
            yield pool
    finally:
        if was is None:
            del os.environ["OMP_NUM_THREADS"]
        else:
            os.environ["OMP_NUM_THREADS"] = was


_inputs: Mapping[str, InputSpec] = {}


def _enter(spec: InputSpec) -> None:
    global _inputs
    _inputs = {"clip": spec}
    get_ready()


def _prepared(data: bytes) -> Rows | None:
    found = prepare_file(data, _BOUNDS, _inputs)
    return found.rows["clip"] if isinstance(found, Prepared) else None


def _timed(pictures: Sequence[bytes]) -> float:
    start = time.perf_counter()
    for one in pictures:
        _prepared(one)
    return len(pictures) / (time.perf_counter() - start)


def fastest_loop(
    options: argparse.Namespace, stack: contextlib.ExitStack, detector: ClipDetector, pictures: Sequence[bytes]
) -> tuple[Callable[[], float], dict[str, float]]:
    """The plain loop in its fastest form, and what each form did on a part of the pictures."""
    cores = len(os.sched_getaffinity(0))
    forms: dict[str, Callable[[Sequence[bytes]], float]] = {}
    for processes in sorted({1, cores}):
        pool = stack.enter_context(_pool(processes, detector.input))
        for name, threads in (("one thread", 1), ("all cores on a batch", cores), ("a thread for each share", 0)):

            def loop(some: Sequence[bytes], pool: Pool = pool, threads: int = threads) -> float:
                return _loop(pool, detector, threads, some)

            forms[f"{processes} decoding, {name}"] = loop
    some = pictures[: max(2 * detector.batch, min(len(pictures), round(_TRIAL * detector.model.run.rate(2))))]
    tried = {name: round(form(some), 2) for name, form in forms.items()}
    first, second = sorted(tried, key=lambda name: -tried[name])[:2]
    say(options, f"plain loops: {tried}; «{first}» and «{second}» go on")
    return lambda: max(forms[first](pictures), forms[second](pictures)), tried


def _loop(pool: Pool, detector: ClipDetector, threads: int, pictures: Sequence[bytes]) -> float:
    """Images a second of the plain loop. ``threads``: 0: as the engine's model shares out the rows of a batch."""
    before = torch.get_num_threads()
    if threads:
        torch.set_num_threads(threads)
    start = time.perf_counter()
    waiting: list[Rows] = []
    count = 0
    for rows in pool.imap_unordered(_prepared, pictures):
        assert rows is not None
        waiting.append(rows)
        count += len(rows)
        if count >= detector.batch:
            _forward(detector, threads, np.concatenate(waiting))
            waiting, count = [], 0
    if waiting:
        _forward(detector, threads, np.concatenate(waiting))
    taken = time.perf_counter() - start
    torch.set_num_threads(before)
    return len(pictures) / taken


def _forward(detector: ClipDetector, threads: int, rows: Rows) -> None:
    if not threads:
        detector.judge(rows)
        return
    with torch.inference_mode():
        detector.score(detector.model.run.encode(torch.from_numpy(rows)).numpy())
