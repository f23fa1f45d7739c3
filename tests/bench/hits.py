"""What a picture costs that was judged before: the URL known, or only its bytes, against one that was never seen.

    .venv/bin/python -m tests.bench.hits [--quick] [--json]

A real engine with NudeNet and a hash list of 10,000 entries; fetching is from memory, so that only our own work is
measured. ``hit_ms`` is one picture whose URL is known (the aim is ≤ 1 ms), ``known_bytes_ms`` one whose bytes are.
"""

import argparse
import asyncio
import hashlib
import random
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path

from addons.activitypub.references import MediaRef
from addons.fetching.budget import MemoryBudget
from addons.fetching.client import Fetched
from addons.fetching.ranges import InParts
from addons.fetching.slots import Waiting
from addons.judging.judge import Judge
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, HashListSettings
from tests.bench.report import arguments, finish, median, say
from tests.drawing import encode, textured

ENTRIES = 10_000


class Memory:
    """Fetches ``n/…`` as the n-th picture."""

    def __init__(self, files: Sequence[bytes]) -> None:
        self.files = files
        self.budget = MemoryBudget(1 << 30)

    async def get(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> Fetched:
        """At once."""
        data = self.files[int(url.partition("/")[0])]
        return Fetched(data, url, "192.0.2.1", "image/jpeg", 200, self.budget.take(len(data)))

    async def get_parts(self, url: str, *, timeout: float, waiting: Waiting | None = None, share: str = "") -> InParts:
        """Never asked: nothing here is large."""
        raise NotImplementedError


def hash_list(path: Path) -> Path:
    """Random hashes, half of each kind."""
    rng = random.Random(1)
    kinds = ("sha256", "pdq")
    lines = [f"{kinds[n % 2]},{rng.randbytes(32).hex()},bench," for n in range(ENTRIES)]
    path.write_text("\n".join(["kind,hash,source,note", *lines]) + "\n")
    return path


async def timed(judge: Judge, urls: Sequence[str], cached: bool) -> list[float]:
    """Milliseconds of judging each URL by itself."""
    taken = []
    for url in urls:
        began = time.perf_counter()
        (medium,) = await judge.judge([MediaRef(url, "image", "")], timeout=60)
        taken.append(1000 * (time.perf_counter() - began))
        assert medium.judgement is not None, medium.message
        assert medium.cached is cached
    return taken


async def measure(options: argparse.Namespace, folder: Path) -> dict[str, object]:
    """Each picture new, then by URLs that are known, then by new URLs of known bytes; in turns."""
    count, rounds = (24, 20) if options.quick else (100, 100)
    files = [encode(textured(seed, 1024, 768), "JPEG", quality=85) for seed in range(count)]
    assert len({hashlib.sha256(data).digest() for data in files}) == count
    lists = (HashListSettings(name="bench", file=hash_list(folder / "hashes.csv")),)
    engine = Engine.start(ClassifierSettings(clip=None, hashes=lists), {})
    try:
        judge = Judge(Memory(files), engine)
        uncached = await timed(judge, [f"{n}/first" for n in range(count)], cached=False)
        hits: list[float] = []
        known: list[float] = []
        for turn in range(rounds):
            hits += await timed(judge, [f"{n}/first" for n in range(count)], cached=True)
            known += await timed(judge, [f"{n}/{turn}" for n in range(count)], cached=True)
    finally:
        await engine.close()
    figures = {"hit_ms": hits, "known_bytes_ms": known, "uncached_ms": uncached}
    for name, taken in figures.items():
        say(options, f"{name:16} median {median(taken):8.3f}  p99 {sorted(taken)[int(len(taken) * 0.99)]:8.3f}")
    return {
        **{name: median(taken) for name, taken in figures.items()},
        "hit_p99_ms": round(sorted(hits)[int(len(hits) * 0.99)], 3),
        "uncached_over_hit": round(median(uncached) / median(hits), 1),
        "uncached_over_known_bytes": round(median(uncached) / median(known), 1),
    }


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = arguments(__doc__, argv)
    with tempfile.TemporaryDirectory() as folder:
        finish(asyncio.run(measure(options, Path(folder))))


if __name__ == "__main__":
    main()
