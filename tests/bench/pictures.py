"""The pictures that the classifier's benchmarks judge: drawn and textured JPEGs of 1024×768, no two alike."""

import argparse
import io
import os
from collections.abc import Sequence
from multiprocessing import get_context
from pathlib import Path

import numpy as np
from PIL import Image

from classifier.presets import shapes
from tests.bench.report import say
from tests.drawing import textured

SIZE = (1024, 768)


def jpeg(seed: int) -> bytes:
    """Half are drawings, a third of what remains ordinary patterns, the rest blotches; all with a camera's noise."""
    rng = np.random.default_rng(seed)
    if seed % 2:
        colour, shape = shapes.CLASSES[seed // 2 % len(shapes.CLASSES)]
        image = shapes.draw(colour, shape, size=SIZE, rng=rng)
    elif seed % 3:
        image = textured(seed, *SIZE)
    else:
        image = shapes.draw_ordinary(size=SIZE, rng=rng)
    # Without noise these would be a tenth of a photograph's bytes, and decode in less time than one.
    noise = rng.integers(-12, 13, (SIZE[1], SIZE[0], 1), dtype=np.int16)
    pixels = np.clip(np.asarray(image, np.int16) + noise, 0, 255).astype(np.uint8)
    out = io.BytesIO()
    Image.fromarray(pixels).save(out, "JPEG", quality=int(rng.integers(75, 93)))
    return out.getvalue()


def draw(options: argparse.Namespace, folder: Path, count: int) -> list[bytes]:
    """``count`` of them, drawn once into ``folder`` on all cores, with progress."""
    missing = [seed for seed in range(count) if not _file(folder, seed).is_file()]
    with get_context("spawn").Pool(len(os.sched_getaffinity(0))) as pool:
        for done, (seed, data) in enumerate(pool.imap_unordered(_numbered, missing, chunksize=4), 1):
            _file(folder, seed).write_bytes(data)
            if done % 128 == 0:
                say(options, f"drawn {done} of {len(missing)} pictures")
    return [_file(folder, seed).read_bytes() for seed in range(count)]


def mean_kib(pictures: Sequence[bytes]) -> float:
    """Mean size of a file."""
    return round(sum(map(len, pictures)) / len(pictures) / 1024, 1)


def _numbered(seed: int) -> tuple[int, bytes]:
    return seed, jpeg(seed)


def _file(folder: Path, seed: int) -> Path:
    return folder / f"{seed}.jpg"
