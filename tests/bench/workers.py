"""Judging on other machines: how two workers compare with one, and what the way there and back costs.

    .venv/bin/python -m tests.bench.workers [--quick] [--json]

A real nats-server and workers in processes of their own, with a model that sleeps (cores are few): ``jobs_s`` is rows
judged a second with so many jobs at a time, ``two_over_one`` the aim's figure (≥ 1.9). ``way_ms`` is one row of a size
from door to worker and back where the model takes no time; ``packing`` what packing does to textured pictures.
"""

import argparse
import asyncio
import contextlib
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from PIL import Image

from classifier.inputs import Rows
from classifier.remote.client import Workers
from classifier.remote.packing import pack, unpack
from tests import net
from tests.bench.report import arguments, finish, median, say
from tests.drawing import textured
from tests.nats_server import Broker, broker
from tests.sleeping import door, process, scores

SLEEP, BATCH, SIDE, AT_ONCE, WARM = 0.2, 8, 224, 64, 3.0
"""Seconds of a forward pass and rows in it, pixels of a row's side, jobs at a time, seconds that are not counted."""


def pictures(count: int, side: int) -> Rows:
    """Textured pictures at a model's size."""
    found = [Image.fromarray(np.asarray(textured(seed, 1024, 768))).resize((side, side)) for seed in range(count)]
    return np.stack([np.asarray(one) for one in found])


async def judged(workers: Workers, rows: Rows, seconds: float) -> float:
    """Jobs a second of one row each, all answers right, while so many clients each ask one after the other."""
    ended: list[float] = []

    async def asks(number: int) -> None:
        while True:
            row = {"clip": rows[number % len(rows)][np.newaxis]}
            assert await workers.judge(row, timeout=120) == scores(row)
            ended.append(time.perf_counter())
            number += AT_ONCE

    async with asyncio.TaskGroup() as group:
        clients = [group.create_task(asks(number)) for number in range(AT_ONCE)]
        await asyncio.sleep(WARM + seconds)
        for client in clients:
            client.cancel()
    until = ended[-1]
    return sum(at > until - seconds for at in ended) / seconds


async def rate(server: Broker, count: int, seconds: float, rows: Rows) -> float:
    """Jobs a second with so many workers."""
    options = ("--seconds", str(SLEEP), "--batch", str(BATCH), "--side", str(SIDE))
    async with contextlib.AsyncExitStack() as stack:
        for _ in range(count):
            await stack.enter_async_context(process(server.url, *options))
        workers = await stack.enter_async_context(door(server.url))
        await workers.ready(30)
        await net.until(lambda: workers.known == count)
        return await judged(workers, rows, seconds)


async def way(server: Broker, side: int, rounds: int) -> float:
    """Milliseconds of one row, one after the other."""
    rows = pictures(8, side)
    taken = []
    async with process(server.url, "--seconds", "0", "--side", str(side)), door(server.url) as workers:
        await workers.ready(30)
        for number in range(rounds):
            row = {"clip": rows[number % len(rows)][np.newaxis]}
            began = time.perf_counter()
            assert await workers.judge(row, timeout=60) == scores(row)
            taken.append(1000 * (time.perf_counter() - began))
    return median(taken)


def packing(side: int) -> dict[str, float]:
    """Of one row: the share of its bytes that is sent, and milliseconds there and back."""
    rows = pictures(16, side)
    packed, there, back = 0, [], []
    for row in rows:
        one = {"clip": row[np.newaxis]}
        began = time.perf_counter()
        data = pack(one)
        middle = time.perf_counter()
        unpack(data, {"clip": (1, side, side, 3)})
        there.append(1000 * (middle - began))
        back.append(1000 * (time.perf_counter() - middle))
        packed += len(data)
    return {"share": round(packed / rows.nbytes, 3), "pack_ms": median(there), "unpack_ms": median(back)}


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """One worker and two, in turns, and the way by itself."""
    rounds, seconds = (1, 5.0) if options.quick else (3, 15.0)
    rows = pictures(32, SIDE)
    rates: dict[int, list[float]] = {1: [], 2: []}
    async with broker(folder) as server:
        for _ in range(rounds):
            for count, found in rates.items():
                found.append(await rate(server, count, seconds, rows))
                say(options, f"{count} worker{'s' * (count - 1)}: {found[-1]:.1f} jobs/s")
        ways = {str(side): await way(server, side, 30 if options.quick else 200) for side in (224, 320)}
    one, two = median(rates[1]), median(rates[2])
    return {
        "model": {"sleep_s": SLEEP, "batch": BATCH, "side": SIDE, "most_jobs_s": BATCH / SLEEP},
        "jobs_at_once": AT_ONCE,
        "jobs_s": {"1": one, "2": two},
        "two_over_one": round(two / one, 3),
        "way_ms": ways,
        "packing": {str(side): packing(side) for side in (224, 320)},
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = arguments(__doc__, argv)
    with tempfile.TemporaryDirectory() as folder:
        finish(asyncio.run(measure(options, Path(folder))))


if __name__ == "__main__":
    main()
