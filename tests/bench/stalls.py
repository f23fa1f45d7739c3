"""Measures how long the event loop ever stands still while the engine judges as fast as it can.

Run: ``python -m tests.bench.stalls [--quick] [--json] [--clip]``. The last line is one JSON object. ``stall_ms_*`` are
of the loop with the engine at work, ``idle_ms_*`` of the same loop with nothing to do (what the machine itself does).
"""

import argparse
import asyncio
import json
import time
from pathlib import Path

import numpy as np

from classifier import presets
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, ClipSettings, Concept, HashListSettings
from tests.drawing import encode, textured

TICK = 0.001
"""Seconds between two looks at the clock: a stall is what goes beyond."""


async def probe(stalls: list[float]) -> None:
    """Note for ever how late each wake-up is, in ms."""
    while True:
        before = time.perf_counter()
        await asyncio.sleep(TICK)
        stalls.append((time.perf_counter() - before - TICK) * 1000)


def summary(name: str, stalls: list[float]) -> dict[str, float]:
    """p50, p99, p99.9 and the longest, in ms."""
    at = np.percentile(stalls, [50, 99, 99.9, 100]).round(2).tolist()
    return dict(zip([f"{name}_ms_{key}" for key in ("p50", "p99", "p999", "max")], at, strict=True))


async def measure(seconds: float, settings: ClassifierSettings, concepts: dict[str, Concept]) -> dict[str, float]:
    """Idle for a while, then 16 clients at the same time."""
    engine = await asyncio.to_thread(Engine.start, settings, concepts)
    files = [encode(textured(seed, 1024, 768), "JPEG", quality=85) for seed in range(32)]
    judged = 0

    async def client(number: int, until: float) -> None:
        nonlocal judged
        turn = number
        while time.perf_counter() < until:
            # A byte behind the end makes it another file to the engine and the same picture to the decoder.
            data = files[turn % len(files)] + turn.to_bytes(8, "big")
            engine.look_up(await engine.judge(data, timeout=60))
            judged += 1
            turn += 16

    idle: list[float] = []
    stalls: list[float] = []
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(probe(idle))
        await asyncio.sleep(seconds / 4)
        probing.cancel()
    for number in range(4):
        await engine.judge(files[number], timeout=60)
    began = time.perf_counter()
    async with asyncio.TaskGroup() as group:
        probing = group.create_task(probe(stalls))
        clients = [group.create_task(client(number, began + seconds)) for number in range(16)]
        await asyncio.wait(clients)
        probing.cancel()
    took = time.perf_counter() - began
    await engine.close()
    figures = {"files_per_s": round(judged / took, 1), **summary("stall", stalls), **summary("idle", idle)}
    figures["stall_max_over_idle_max"] = round(figures["stall_ms_max"] / max(figures["idle_ms_max"], 0.01), 2)
    return figures


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="under a minute")
    parser.add_argument("--json", action="store_true", help="nothing but the last line")
    parser.add_argument("--clip", action="store_true", help="with the tiny clip model")
    parser.add_argument("--list", type=Path, help="a hash list to ask as well")
    options = parser.parse_args()
    settings = ClassifierSettings(
        clip=ClipSettings(model="fediward-tiny", pretrained="demo-shapes") if options.clip else None,
        hashes=(HashListSettings(name="bench", file=options.list),) if options.list else (),
    )
    concepts = presets.load("demo-shapes") if options.clip else {}
    figures = asyncio.run(measure(10 if options.quick else 60, settings, concepts))
    if not options.json:
        for name, value in figures.items():
            print(f"{name:28} {value:>10}")
    print(json.dumps(figures))


if __name__ == "__main__":
    main()
