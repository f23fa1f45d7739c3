"""Sends thousands of broken files of each format through the real engine, and counts what becomes of them.

    nice -n 19 .venv/bin/python -m tests.bench.malformed [--count 10000] [--formats jpeg,png] [--json]

Real files are mutated by seed (``tests.mutation``: bits, lengths, truncation, repeats, splices of two formats); several
are in flight at a time, in processes that are sandboxed as ever, with the tiles of two detectors that find nothing.
``crashed``: the decoding process died of it, by signal. ``late``: files answered after more than decoding may take;
there must be none. ``processes_started``: to replace others, whether they were killed or had done their tasks.
``unexpected``: answers that are no judgement and no cause. ``loop_busy_max_ms``: the longest that the event loop
computed between two looks at it every 2 ms, the making of the broken files included.
"""

import argparse
import asyncio
import contextlib
import json
import resource
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from pathlib import Path

from rich.progress import Progress

from classifier.engine import Engine
from classifier.inputs import InputSpec, Rows
from classifier.lanes import Lanes
from classifier.media import MediaDecoder
from classifier.settings import DecodeSettings
from classifier.types import CannotJudgeError
from tests.mutation import FORMATS, broken, real

PROCESSES = 2
IN_FLIGHT = 2 * PROCESSES
TICK = 0.002
LATE = 2 * (2 * DecodeSettings().seconds + 1) + 2
"""Seconds: the wall time of the file before it in its process, its own, and a new process to start after each."""
CHECK = 500
"""Files after which a real one is judged, which has to go well."""


class Blank:
    """A detector that finds nothing, for tiles as one of ours wants them."""

    version = "blank"
    symbols: frozenset[str] = frozenset()
    batch = 32
    depth = 1

    def __init__(self, name: str, spec: InputSpec) -> None:
        self.name = name
        self.input = spec

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        """Nothing."""
        return [{} for _ in rows]


@dataclass
class Tally:
    """What became of a format's files."""

    files: int = 0
    causes: Counter[str] = field(default_factory=Counter)
    crashed: Counter[str] = field(default_factory=Counter)
    processes: set[int] = field(default_factory=set)
    late: list[int] = field(default_factory=list)
    unexpected: list[str] = field(default_factory=list)
    slowest: float = 0.0
    slowest_number: int = 0
    busy: float = 0.0
    seconds: float = 0.0

    def figures(self) -> dict[str, object]:
        """For the JSON line."""
        return {
            "files": self.files,
            **dict(sorted(self.causes.items())),
            "crashed": dict(self.crashed),
            "processes_started": max(0, len(self.processes) - PROCESSES),
            "late": self.late,
            "unexpected": self.unexpected[:10],
            "slowest_s": round(self.slowest, 2),
            "slowest_number": self.slowest_number,
            "loop_busy_max_ms": round(1000 * self.busy, 1),
            "files_per_s": round(self.files / max(self.seconds, 1e-9)),
        }


def engine(decoder: MediaDecoder) -> Engine:
    """A real one, but for the detectors."""
    detectors = [
        Blank("clip", InputSpec((224, 224), "squash")),
        Blank("nudity", InputSpec((320, 320), "corner", interpolation="linear")),
    ]
    return Engine(decoder, Lanes(detectors))


async def try_format(
    engine: Engine, decoder: MediaDecoder, format: str, count: int, done: Progress | None = None
) -> Tally:
    """``count`` broken files of a format, ``IN_FLIGHT`` at a time."""
    tally = Tally()
    shown = done.add_task(format, total=count) if done else None
    numbers = iter(range(count))

    async def client() -> None:
        for number in numbers:
            await one(number)
            if done and shown is not None:
                done.advance(shown)
            if number % CHECK == 0:
                await engine.judge(real(format)[0] + bytes(number % 251), timeout=60)

    async def one(number: int) -> None:
        data = broken(format, number)
        began = time.perf_counter()
        outcome = "judged"
        try:
            await engine.judge(data, timeout=60)
        except CannotJudgeError as error:
            outcome = error.cause
            if "process died (" in str(error):
                outcome = "crashed"
                tally.crashed[str(error).partition("(")[2].rstrip(")")] += 1
        except Exception as error:
            outcome = "unexpected"
            tally.unexpected.append(f"{number}: {type(error).__name__}: {error}")
        taken = time.perf_counter() - began
        tally.files += 1
        tally.causes[outcome] += 1
        if taken > tally.slowest:
            tally.slowest, tally.slowest_number = taken, number
        tally.processes.update(decoder.pids)
        if taken > LATE:
            tally.late.append(number)

    async def watch() -> None:
        # Its own computing time, as this runs beside other work: by the clock it would mostly measure that.
        while True:
            before = time.thread_time()
            await asyncio.sleep(TICK)
            tally.busy = max(tally.busy, time.thread_time() - before)

    began = time.perf_counter()
    watching = asyncio.ensure_future(watch())
    try:
        async with asyncio.TaskGroup() as group:
            for _ in range(IN_FLIGHT):
                group.create_task(client())
    finally:
        watching.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await watching
    tally.seconds = time.perf_counter() - began
    return tally


def resident() -> int:
    """MiB that this process takes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize() >> 20


async def measure(options: argparse.Namespace) -> dict[str, object]:
    """Every format, one after the other, in one engine."""
    settings = DecodeSettings(processes=PROCESSES)
    formats: list[str] = options.formats.split(",") if options.formats else list(FORMATS)
    for format in FORMATS:
        real(format)  # now: files of all of them are spliced
    decoder = MediaDecoder(settings)
    await asyncio.to_thread(decoder.warm_up)
    judging = engine(decoder)
    found: dict[str, object] = {}
    before = resident()
    try:
        with Progress(disable=options.json) as done:
            for format in formats:
                tally = await try_format(judging, decoder, format, options.count, done)
                found[format] = tally.figures()
                if not options.json:
                    done.console.print(format, tally.figures())
        after = resident()
    finally:
        await judging.close()
    return {"formats": found, "parent_mib_before": before, "parent_mib_after": after}


def main(argv: Sequence[str] | None = None) -> None:
    """Count and print."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, default=10_000, help="files of each format")
    parser.add_argument("--formats", default="", help="these alone, with commas")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    print(json.dumps(asyncio.run(measure(parser.parse_args(argv)))), flush=True)


if __name__ == "__main__":
    main()
