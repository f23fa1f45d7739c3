"""How well altered copies of known pictures are recognised, and how far an alteration moves the detectors' scores.

    python -m tests.bench.robustness [--count N] [--others N] [--nudity N] [--seed N]
                                     [--quick] [--json] [--markdown FILE]

``--count`` drawn and textured pictures are put into hash lists; the engine judges each of their copies
(``tests/bench/copies.py``) and looks it up. A copy is recognised where its own picture's entry matches, not just any.
Pictures that PDQ says nothing of (quality below 50) are in no list, and count for the scores alone; a copy that became
so flat is one that was not recognised, and has no distance. ``--others``: pictures in no list, to count false matches.

Scores are those of the tiny model (``clip.*``) and, of the first ``--nudity`` pictures, of NudeNet (``nudity.*``).

``--markdown`` writes the tables to where ``robustness.md`` has them, and leaves its words as they are.
"""

import argparse
import asyncio
import datetime
import hashlib
import os
import platform
import sys
import tempfile
from collections.abc import Awaitable, Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
from PIL import Image
from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

from classifier.engine import Engine
from classifier.hashlists.variants import variants
from classifier.presets import load, shapes, tiny
from classifier.settings import ClassifierSettings, ClipSettings, DecodeSettings, HashListSettings, NuditySettings
from classifier.types import Judgement
from tests.bench.copies import COPIES, THE_FILE, stored
from tests.bench.report import finish
from tests.bench.robustness_counts import Found
from tests.bench.robustness_tables import show, write
from tests.drawing import textured

SIZES = (512, 384), (384, 512), (448, 448), (480, 270), (270, 480), (400, 300)
KINDS = "texture", "clouds", "red circle", "texture", "clouds", "drawing", "pattern", "clouds"
"""What the pictures show, in turn. Clouds, with detail of all sizes, are nearest to photographs."""
FORBIDDEN, THRESHOLD = "clip.red_circle", 0.8
"""What the demo's policy drops, and from where on."""
AT_ONCE = 3
"""Pictures whose copies are made and judged at a time."""
_PATIENCE = 600.0
_DECODE = DecodeSettings(seconds=30)


def picture(number: int, seed: int) -> tuple[str, Image.Image]:
    """The kind, and the RGB picture; another one for each number and seed."""
    rng = np.random.default_rng((seed, number))
    kind, size = KINDS[number % len(KINDS)], SIZES[int(rng.integers(len(SIZES)))]
    if kind == "texture":
        return kind, textured(int(rng.integers(1 << 62)), *size)
    if kind == "clouds":
        return kind, shapes.draw_ordinary(size=size, kind="clouds", rng=rng)
    if kind == "pattern":
        return kind, shapes.draw_ordinary(size=size, rng=rng)
    colour, shape = shapes.FORBIDDEN if kind == "red circle" else shapes.CLASSES[rng.integers(len(shapes.CLASSES))]
    return kind, shapes.draw(colour, shape, size=size, rng=rng)


def bits_apart(judgement: Judgement, listed: str, *, turned: bool) -> int | None:
    """The least distance of any frame (and its variants) to the hash; None where PDQ says nothing of the copy."""
    return min(
        (
            (int(pdq, 16) ^ int(listed, 16)).bit_count()
            for frame in judgement.frames
            if frame.pdq
            for pdq, _ in (variants(frame.pdq, frame.flips) if turned else [(frame.pdq, "")])
        ),
        default=None,
    )


async def judged(engine: Engine, data: bytes) -> Judgement:
    """With what the lists say."""
    return engine.look_up(await engine.judge(data, timeout=_PATIENCE))


class Bench:
    """The pictures, the engines, and what is found."""

    def __init__(self, options: argparse.Namespace, progress: Progress) -> None:
        self.options, self.progress = options, progress
        self.found = Found()

    async def run(self) -> None:
        """Measure."""
        hashes = await self._listed()
        with tempfile.TemporaryDirectory() as name:
            lists = tuple(self._lists(Path(name), hashes))
            clip = ClipSettings(model=tiny.MODEL, pretrained=tiny.PRETRAINED, device="cpu", threads=1)
            engine = _engine(ClassifierSettings(clip=clip, nudity=None, hashes=lists, decode=_DECODE, queue=4096))
            nudity = _engine(
                ClassifierSettings(clip=None, nudity=NuditySettings(threads=1), decode=_DECODE, queue=4096)
            )
            try:
                await self._each(
                    "their copies", len(hashes), lambda number: self._copies(engine, nudity, number, hashes)
                )
                await self._each("pictures in no list", self.options.others, lambda number: self._other(engine, number))
            finally:
                await engine.close()
                await nudity.close()

    async def _listed(self) -> list[str | None]:
        """What ``fediward hashes add`` would list of each picture: its PDQ hash, or None."""
        engine = _engine(ClassifierSettings(clip=None, nudity=None, decode=_DECODE, queue=4096))
        hashes: list[str | None] = [None] * self.options.count

        async def hashed(number: int) -> None:
            data = await asyncio.to_thread(lambda: stored(picture(number, self.options.seed)[1]))
            (frame,) = (await judged(engine, data)).frames
            hashes[number] = frame.pdq

        try:
            await self._each("known pictures", self.options.count, hashed)
        finally:
            await engine.close()
        return hashes

    def _lists(self, folder: Path, hashes: Sequence[str | None]) -> Iterable[HashListSettings]:
        pictures = folder / "pictures.csv"
        pictures.write_text("".join(f"pdq,{pdq},bench,\n" for pdq in hashes if pdq))
        files = folder / "files.csv"
        with files.open("w") as file:
            for number in range(len(hashes)):
                data = stored(picture(number, self.options.seed)[1])
                file.write(f"sha256,{hashlib.sha256(data).hexdigest()},bench,\n")
        yield HashListSettings(name="files", file=files)
        yield HashListSettings(name="pictures", file=pictures)
        yield HashListSettings(name="turned", file=pictures, variants=True)

    async def _copies(self, engine: Engine, nudity: Engine, number: int, hashes: Sequence[str | None]) -> None:
        kind, image = picture(number, self.options.seed)
        self.found.kinds[kind].pictures += 1
        self.found.kinds[kind].listed += hashes[number] is not None
        scored = number < self.options.nudity

        async def one(name: str) -> tuple[Judgement, dict[str, float]]:
            # Each its own: Pillow keeps what a file is saved with in the image, and other threads would save with it.
            data = await asyncio.to_thread(COPIES[name], image.copy())
            judgement = await judged(engine, data)
            scores = judgement.worst() | ((await judged(nudity, data)).worst() if scored else {})
            kept = {symbol: score for symbol, score in scores.items() if symbol.startswith(("clip.", "nudity."))}
            return judgement, kept

        outcomes = dict(zip(COPIES, await asyncio.gather(*map(one, COPIES)), strict=True))
        before = outcomes[THE_FILE][1]
        forbidden = before[FORBIDDEN] > THRESHOLD
        self.found.dropped += forbidden
        for name, (judgement, scores) in outcomes.items():
            copies = self.found.copies[name]
            for symbol, score in before.items():
                copies.drift[symbol].append(abs(scores[symbol] - score))
            if forbidden:
                copies.kept.append(scores[FORBIDDEN] > THRESHOLD)
            copies.by_digest.append(any(match.list == "files" for match in judgement.matches))
            if listed := hashes[number]:
                own = {match.list for match in judgement.matches if match.entry == listed}
                copies.matched.append("pictures" in own)
                copies.matched_turned.append("turned" in own)
                self.found.kinds[kind].matched.append("pictures" in own)
                for bits, turned in ((copies.bits, False), (copies.bits_turned, True)):
                    if (apart := bits_apart(judgement, listed, turned=turned)) is not None:
                        bits.append(apart)

    async def _other(self, engine: Engine, number: int) -> None:
        kind, image = picture(self.options.count + number, self.options.seed)
        judgement = await judged(engine, await asyncio.to_thread(stored, image))
        found = self.found.kinds[kind]
        found.others += 1
        if any(frame.pdq for frame in judgement.frames):
            lists = {match.list for match in judgement.matches}
            found.false.append("pictures" in lists)
            found.false_turned.append("turned" in lists)

    async def _each(self, what: str, count: int, work: Callable[[int], Awaitable[None]]) -> None:
        """``work`` for each number, a few at a time, with progress."""
        task = self.progress.add_task(what, total=count)
        numbers = iter(range(count))

        async def worker() -> None:
            for number in numbers:
                await work(number)
                self.progress.advance(task)

        await asyncio.gather(*(worker() for _ in range(AT_ONCE)))


def _engine(settings: ClassifierSettings) -> Engine:
    return Engine.start(settings, load("demo-shapes"))


def _machine() -> str:
    lines = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.partition(": ")[2] for line in lines if line.startswith("model name")), platform.machine())
    return f"{model}, {len(os.sched_getaffinity(0))} cores, Python {platform.python_version()}"


def main(argv: Sequence[str] | None = None) -> None:
    """Measure, and print or write."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--count", type=int, help="known pictures (208; 16 with --quick)")
    parser.add_argument("--others", type=int, help="pictures in no list (1040; 80 with --quick)")
    parser.add_argument("--nudity", type=int, help="known pictures whose copies NudeNet judges (16; 4 with --quick)")
    parser.add_argument("--seed", type=int, default=4)
    parser.add_argument("--quick", action="store_true", help="a few pictures: no figure to go by")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    parser.add_argument("--markdown", type=Path, metavar="FILE", help="write the tables there")
    options = parser.parse_args(argv)
    for name, few, many in (("count", 16, 208), ("others", 80, 1040), ("nudity", 4, 16)):
        if getattr(options, name) is None:
            setattr(options, name, few if options.quick else many)
    columns = TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn()
    with Progress(
        *columns, TimeRemainingColumn(), console=Console(stderr=True), disable=options.json or not sys.stderr.isatty()
    ) as progress:
        bench = Bench(options, progress)
        asyncio.run(bench.run())
    figures = bench.found.figures() | {"seed": options.seed, "nudity_pictures": min(options.nudity, options.count)}
    if options.markdown:
        command = " ".join(["python -m tests.bench.robustness", *(sys.argv[1:] if argv is None else argv)])
        write(options.markdown, figures, f"{datetime.date.today()}, {_machine()}, `{command}`")
    if not options.json:
        show(figures)
    finish(figures)


if __name__ == "__main__":
    main()
