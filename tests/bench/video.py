"""Measures what judging a video's frames costs in computing time and memory, against decoding every frame of it.

Run: ``python -m tests.bench.video [--quick]``. The last line is one JSON object: for each video ``seconds`` of
computing in its own process (``wall`` beside it), how many of its ``frames`` were ``chosen`` and ``hashed``, the
``widest`` stretch between two chosen (share of the length), ``added_mib`` of memory at its most; and
``all_frames_seconds``, in which libav decodes every frame on one thread and does nothing with it.
"""

import argparse
import io
import json
import multiprocessing
import tempfile
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path

import av
import numpy as np
from PIL import Image

from classifier.decode import decode, prepare
from classifier.frames import Bounds, Decoded
from tests.drawing import textured
from tests.filming import film

BOUNDS = Bounds(64_000_000, 8, 3.0)


def pictures(seconds: float, width: int, height: int, rate: int) -> Iterator[Image.Image]:
    """A grainy texture that moves, another every seven seconds."""
    rng = np.random.default_rng(0)
    grain = rng.integers(-12, 12, (height, width, 3))
    for start in range(0, round(seconds * rate), 7 * rate):
        scene = np.asarray(textured(start, 2 * width, height), int)
        for number in range(min(7 * rate, round(seconds * rate) - start)):
            shift = 2 * number % width
            moved = scene[:, shift : shift + width] + np.roll(grain, 5 * number, 0)
            yield Image.fromarray(moved.clip(0, 255).astype(np.uint8))


def peak_kib() -> int:
    """The most memory that this process has had."""
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1])


def measured(path: str, all_frames: bool) -> dict[str, float]:
    """In a process of its own: what it takes to choose frames, or to decode them all."""
    data = Path(path).read_bytes()
    prepare()
    Path("/proc/self/clear_refs").write_text("5")  # so that the peak is of what follows
    before = peak_kib()
    wall, began = time.perf_counter(), time.process_time()
    found: dict[str, float] = {}
    if all_frames:
        with av.open(io.BytesIO(data), "r") as container:
            stream = container.streams.video[0]
            stream.codec_context.thread_count = 1
            found["frames"] = sum(1 for _ in container.decode(stream))
    else:
        result = decode(data, BOUNDS)
        assert isinstance(result, Decoded), result
        at = [0.0, *(frame.at or 0.0 for frame in result.frames), result.duration or 0.0]
        found["frames"] = result.count
        found["chosen"] = len(result.frames)
        found["hashed"] = len(result.hashes)
        found["widest"] = round(max(b - a for a, b in pairwise(at)) / (result.duration or 1.0), 3)
    found["seconds"] = round(time.process_time() - began, 2)
    found["wall"] = round(time.perf_counter() - wall, 2)
    found["added_mib"] = round((peak_kib() - before) / 1024)
    return found


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--quick", action="store_true", help="a tenth of the length")
    quick = parser.parse_args().quick
    videos = {
        "10 s 720p h264": (10, 1280, 720, 30, "mp4", "libx264", {"preset": "veryfast"}),
        "10 s 720p vp9": (10, 1280, 720, 30, "webm", "libvpx-vp9", {"cpu-used": "8", "deadline": "realtime"}),
        "10 min 480p h264": (600, 854, 480, 30, "mp4", "libx264", {"preset": "veryfast", "crf": "32"}),
    }
    results: dict[str, dict[str, float]] = {}
    context = multiprocessing.get_context("spawn")
    for name, (seconds, width, height, rate, format, codec, options) in videos.items():
        length = seconds / 10 if quick else seconds
        data = film(pictures(length, width, height, rate), format, codec, rate=rate, options=options)
        with tempfile.NamedTemporaryFile() as file:
            Path(file.name).write_bytes(data)
            with context.Pool(1, maxtasksperchild=1) as pool:
                ours = pool.apply(measured, (file.name, False))
                every = pool.apply(measured, (file.name, True))
        results[name] = {"mib": round(len(data) / (1 << 20), 1), **ours, "all_frames_seconds": every["seconds"]}
        print(name, results[name])
    print(json.dumps(results))


if __name__ == "__main__":
    main()
