"""A detector that sleeps instead of computing, and a worker with it: run as a program, or in the test's own loop.

    python -m tests.sleeping nats://127.0.0.1:4222 [--seconds 0.1] [--side 16] [--batch 4] [--model fediward-tiny]

It is what tests and benchmarks of many machines need on a machine with few cores.
"""

import argparse
import asyncio
import contextlib
import logging
import sys
import time
from collections.abc import AsyncIterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np

from addons.commands.stopping import told_to_stop
from classifier.inputs import InputSpec, Rows
from classifier.lanes import Lanes
from classifier.remote.client import Workers
from classifier.remote.identity import asked, told
from classifier.remote.worker import Worker
from classifier.settings import ClassifierSettings, ClipSettings, Concept, WorkersSettings
from tests.processes import Program

CONCEPTS = {"x": Concept(prompts=("a circle",), against=("a square",))}


class Sleeps:
    """Gives ``clip.x``, which shows every byte of a row. ``seconds``: of each forward pass; ``judged``: rows so far."""

    name = "clip"
    symbols = frozenset({"clip.x"})
    depth = 1

    def __init__(self, seconds: float = 0.0, *, side: int = 16, batch: int = 4, identity: str = "sleeps-1") -> None:
        self.seconds = seconds
        self.batch = batch
        self.version = self.identity = identity
        self.input = InputSpec((side, side), "squash")
        self.judged = 0

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        self.judged += len(rows)
        time.sleep(self.seconds)
        return [{"clip.x": score(row)} for row in rows]


def score(row: Rows) -> float:
    """A score that no other row is likely to have."""
    return float(np.arange(row.size) @ row.reshape(-1).astype(np.int64) % 9973) / 9973


def settings(url: str, model: str = "fediward-tiny", **workers: Any) -> ClassifierSettings:
    """A door's, or a worker's, at a server."""
    clip = ClipSettings(model=model, pretrained="demo-shapes")
    return ClassifierSettings(
        clip=clip, nudity=None, workers=WorkersSettings.model_validate({"nats": (url,), **workers})
    )


def rows(seed: int, count: int = 1, side: int = 16) -> dict[str, Rows]:
    """Random rows for the one detector."""
    return {"clip": np.random.default_rng(seed).integers(0, 256, (count, side, side, 3), np.uint8)}


def scores(asked_for: Mapping[str, Rows]) -> dict[str, list[dict[str, float]]]:
    """What is right for them."""
    return {"clip": [{"clip.x": score(row)} for row in asked_for["clip"]]}


@contextlib.asynccontextmanager
async def door(url: str, *, model: str = "fediward-tiny", **workers: Any) -> AsyncIterator[Workers]:
    """A door's side, meeting workers at ``url``."""
    chosen = settings(url, model, **workers)
    assert chosen.workers is not None
    made = Workers(chosen, chosen.workers, CONCEPTS)
    try:
        yield made
    finally:
        await made.close()


@contextlib.asynccontextmanager
async def working(
    url: str,
    detector: Sleeps | None = None,
    *,
    model: str = "fediward-tiny",
    concepts: Mapping[str, Concept] = CONCEPTS,
    workers: Mapping[str, Any] | None = None,
    meets: bool = True,
    **bounds: Any,
) -> AsyncIterator[Worker]:
    """A worker in this event loop; connected, if it ``meets`` the server."""
    chosen = settings(url, model, **(workers or {}))
    assert chosen.workers is not None
    lanes = Lanes([detector or Sleeps()])
    worker = Worker(lanes, told([detector or Sleeps()], asked(chosen, concepts)), chosen.workers, **bounds)
    loop = asyncio.get_running_loop()
    stop, hurry = loop.create_future(), loop.create_future()
    running = asyncio.create_task(worker.run(stop, hurry))
    try:
        if meets:
            await asyncio.wait_for(worker.taking.wait(), 20)
        yield worker
    finally:
        for told_so in (stop, hurry):
            if not told_so.done():
                told_so.set_result(None)
        await running
        await lanes.close()


@contextlib.asynccontextmanager
async def process(url: str, *arguments: str, env: Mapping[str, str] | None = None) -> AsyncIterator[Program]:
    """A worker in a process of its own, connected."""
    started = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "tests.sleeping",
        url,
        *arguments,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        env=env,
        cwd=Path(__file__).parents[1],
    )
    program = Program(started)
    listening = asyncio.create_task(program.listen())
    try:
        await program.says("connected to", 60)
        yield program
    finally:
        if started.returncode is None:
            started.kill()
        await started.wait()
        await listening


async def main() -> None:
    """Work until told to stop."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("url")
    parser.add_argument("--seconds", type=float, default=0.1)
    parser.add_argument("--side", type=int, default=16)
    parser.add_argument("--batch", type=int, default=4)
    parser.add_argument("--model", default="fediward-tiny")
    parser.add_argument("--jobs", type=int, default=256)
    options = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    chosen = settings(options.url, options.model)
    assert chosen.workers is not None
    detector = Sleeps(options.seconds, side=options.side, batch=options.batch)
    lanes = Lanes([detector])
    with told_to_stop() as (stop, hurry):
        worker = Worker(lanes, told([detector], asked(chosen, CONCEPTS)), chosen.workers, jobs=options.jobs)
        await worker.run(stop, hurry)
        await lanes.close()
    logging.info("rows judged: %d; the clock says %d", detector.judged, time.time())


if __name__ == "__main__":
    asyncio.run(main())
