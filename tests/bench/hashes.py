"""What hash lists cost: look-ups, loading, memory, and how long an event loop stands while a list is read again.

``scan_ms`` is the baseline, in the same run: every entry compared, as it was before there was an index.

    python -m tests.bench.hashes [--quick] [--json]
"""

import asyncio
import os
import random
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np

from classifier.hashlists import HashList, Lists
from classifier.hashlists.entries import words_of
from classifier.settings import HashListSettings
from classifier.types import FrameHash, JudgedFrame, Judgement
from tests.bench.report import arguments, finish, say

FORMS = {
    "csv": "pdq,{},a source,case {}\n",
    "txt": "{}\n",
    "jsonl": '{{"kind": "pdq", "hash": "{}", "source": "a source", "note": "case {}"}}\n',
    "quoted": 'pdq,{},"a source","case {}"\n',
}
"""A line of each form that a list may have."""
LOOK_UPS = 500
SCANS = 30
TICK = 0.001
"""Seconds that the event loop sleeps at a time while its stalls are measured."""


def pdqs(count: int, seed: int) -> list[str]:
    """Chance hashes."""
    chance = random.Random(seed)
    return [f"{chance.getrandbits(256):064x}" for _ in range(count)]


def probes(listed: list[str]) -> list[str]:
    """Half of them 0 to 31 bits from a listed one, half near none."""
    chance = random.Random(7)
    near = [
        f"{int(chance.choice(listed), 16) ^ sum(1 << bit for bit in chance.sample(range(256), number % 32)):064x}"
        for number in range(LOOK_UPS // 2 if listed else 0)
    ]
    return near + pdqs(LOOK_UPS - len(near), 8)


def timed(work: Callable[[str], object], asked: list[str]) -> dict[str, float]:
    """Milliseconds of ``work`` on each."""
    took = []
    for one in asked:
        began = time.perf_counter()
        work(one)
        took.append(1000 * (time.perf_counter() - began))
    return {"p50": round(float(np.percentile(took, 50)), 3), "p99": round(float(np.percentile(took, 99)), 3)}


def resident() -> int:
    """Bytes of memory that this process has."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * os.sysconf("SC_PAGE_SIZE")


def scan(listed: list[str]) -> Callable[[str], object]:
    """The look-up that this replaces: one pass over all."""
    words = words_of("pdq", listed)

    def compare(pdq: str) -> object:
        distances = np.bitwise_count(words ^ words_of("pdq", [pdq])).sum(axis=1, dtype=np.uint16)
        return np.flatnonzero(distances <= 31)

    return compare


def write(path: Path, listed: list[str], form: str) -> Path:
    """The hashes as a list in one of the formats."""
    with path.open("w") as file:
        file.writelines(FORMS[form].format(pdq, number) for number, pdq in enumerate(listed))
    return path


def measured(count: int, folder: Path) -> dict[str, object]:
    """Look-ups in a list of ``count`` entries."""
    listed = pdqs(count, 1)
    file = write(folder / f"{count}.csv", listed, "csv")
    before = resident()
    began = time.perf_counter()
    known = HashList(HashListSettings(name="bench", file=file))
    took = time.perf_counter() - began
    asked = probes(listed)
    found = sum(bool(known.match_pdq(pdq)) for pdq in asked)
    many = [FrameHash(number, pdq) for number, pdq in enumerate(asked)]
    began = time.perf_counter()
    known.near(many)
    each = 1000 * (time.perf_counter() - began) / len(many)
    variants = HashList(HashListSettings(name="turned", file=file, variants=True))
    flips = tuple(pdqs(3, 9))
    return {
        "load_s": round(took, 2),
        "memory_MB": round(known.memory / 1e6, 1),
        "resident_MB": round((resident() - before) / 1e6, 1),
        "recall": found / (LOOK_UPS // 2) if listed else None,
        "look_up_ms": timed(known.match_pdq, asked),
        "look_up_of_many_ms_each": round(each, 3),
        "eight_variants_ms": timed(lambda pdq: variants.match_pdq(pdq, flips), asked),
        "scan_ms": timed(scan(listed), asked[:SCANS]) if listed else None,
    }


async def stalls(count: int, folder: Path, form: str) -> dict[str, object]:
    """The longest that an event loop stands, and a look-up in it takes, while the list is read again."""
    listed = pdqs(count, 1)
    file = write(folder / f"again.{form}", listed, form)
    known = HashList(HashListSettings(name="bench", file=file, match="pdq" if form == "txt" else None))
    lists = Lists([known])
    judgement = Judgement("ab" * 32, "image/png", 1, 1, (JudgedFrame(0, {}, pdqs(1, 3)[0]),), "bench")

    async def ticking(until: Callable[[], bool]) -> tuple[float, float, float]:
        longest = slowest = 0.0
        began = time.perf_counter()
        while not until():
            before = time.perf_counter()
            await asyncio.sleep(TICK)
            woken = time.perf_counter()
            lists.look_up(judgement)
            longest, slowest = max(longest, woken - before - TICK), max(slowest, time.perf_counter() - woken)
        return longest, slowest, time.perf_counter() - began

    stop = time.perf_counter() + 3
    idle = await ticking(lambda: time.perf_counter() > stop)
    os.utime(file, ns=(1, 2))
    reading = asyncio.ensure_future(asyncio.to_thread(lists.reload_if_changed))
    busy = await ticking(reading.done)
    assert await reading == []
    lists.close()
    return {
        "reload_s": round(busy[2], 2),
        "longest_stall_ms": {"idle": round(1000 * idle[0], 1), "reloading": round(1000 * busy[0], 1)},
        "slowest_look_up_ms": {"idle": round(1000 * idle[1], 1), "reloading": round(1000 * busy[1], 1)},
    }


def main() -> None:
    """Measure, and print."""
    options = arguments(__doc__)
    entries = 200_000 if options.quick else 1_000_000
    lists: dict[int, object] = {}
    reload: dict[str, object] = {}
    with tempfile.TemporaryDirectory() as name:
        for count in (0, 10_000, 100_000, entries):
            lists[count] = measured(count, Path(name))
            say(options, f"{count} entries: {lists[count]}")
        for form in FORMS:
            reload[form] = asyncio.run(stalls(entries, Path(name), form))
            say(options, f"read again, {form}: {reload[form]}")
    finish({"lists": lists, "reload": reload})


if __name__ == "__main__":
    main()
