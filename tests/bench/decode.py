"""What it costs one core to make a file ready for the detectors: pictures a second, and milliseconds by stage.

    .venv/bin/python -m tests.bench.decode [--quick] [--json]

``images_a_second`` is ``prepare_file`` for clip (224 pixels) and nudity (320), bytes to tiles and hashes, and
``plain_images_a_second`` the same files through Pillow and open_clip's own transform alone, by this process's computing
time, in turns. ``over_plain`` is the one over the other. ``pdq_bits``: how far hashes are from ``pdqhash``'s of the
full pictures, in the mean, and 99 of 100. ``opencv``: what it adds to a decoding process.
"""

import argparse
import functools
import io
import math
import os
import resource
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace

import numpy as np
import pdqhash
import torch
from open_clip.transform import PreprocessCfg, image_transform_v2
from PIL import Image

from classifier.answers import get_ready
from classifier.detectors.nudity import INPUT
from classifier.flatten import HASHED, target_size, views
from classifier.frames import Bounds, Prepared
from classifier.inputs import InputSpec, rows
from classifier.pdq import pdq_of
from classifier.preparing import prepare_file
from classifier.presets import shapes
from classifier.sniff import sniff
from classifier.walking import Walk
from tests.bench.report import arguments, finish, median, say
from tests.drawing import animation, encode, textured

INPUTS: Mapping[str, InputSpec] = {"clip": InputSpec((224, 224), "squash"), "nudity": INPUT}
BOUNDS = Bounds(pixels=64_000_000, frames=8, seconds=20.0)
SIZES = [(1024, 768), (1023, 767), (1200, 900), (901, 1351), (2048, 1536), (800, 600), (640, 481)]


def grainy(seed: int, width: int, height: int) -> Image.Image:
    """Detail at many sizes, and grain: as hard to compress as a photograph."""
    rng = np.random.default_rng(seed)
    levels = np.asarray(shapes.draw_ordinary(size=(width, height), kind="clouds", rng=rng), np.int16)
    return Image.fromarray((levels + rng.integers(-8, 9, (height, width, 1))).clip(0, 255).astype(np.uint8))


def files() -> dict[str, bytes]:
    """One of each kind."""
    picture, large = grainy(1, 1024, 768), grainy(2, 4000, 3000)
    return {
        "jpeg_1024x768": encode(picture, "JPEG", quality=85),
        "jpeg_1024x768_soft": encode(textured(1, 1024, 768), "JPEG", quality=85),
        "jpeg_4000x3000": encode(large, "JPEG", quality=85),
        "png_1024x768": encode(picture, "PNG"),
        "webp_1024x768": encode(picture, "WEBP", quality=80),
        "avif_1024x768": encode(picture, "AVIF", quality=75, speed=8),
        "heic_1024x768": encode(picture, "HEIF", quality=75),
        "gif_480x360_30_frames": animation([textured(seed, 480, 360) for seed in range(30)], "GIF"),
    }


def cost(function: Callable[[], object], rounds: int) -> float:
    """Milliseconds of this process's computing time, the median; once to warm up."""
    function()
    taken = []
    for _ in range(rounds):
        began = time.process_time()
        function()
        taken.append(1000 * (time.process_time() - began))
    return median(taken)


def plainly(data: bytes, transform: Callable[[Image.Image], object]) -> None:
    """All frames through Pillow and ``transform``, and nothing else."""
    image = Image.open(io.BytesIO(data))
    for index in range(getattr(image, "n_frames", 1)):
        image.seek(index)
        transform(image.convert("RGB"))


def stages(data: bytes, rounds: int) -> dict[str, float]:
    """What each part of ``prepare_file`` takes of a file of one frame."""
    bounds = replace(BOUNDS, wanted=tuple(INPUTS.values()))

    def opened() -> tuple[Walk, Image.Image, int]:
        walk = Walk(Image.open(io.BytesIO(data)), sniff(data), bounds, math.inf, 1, False)
        return walk, *walk.go(0)

    walk, image, orientation = opened()
    ((_, pixels),) = views(image, orientation, walk.wanted)
    return {
        "decode": cost(opened, rounds),
        "flatten": cost(lambda: views(image, orientation, walk.wanted), rounds),
        "pdq": cost(lambda: pdq_of(pixels, walk.size), rounds),
        **{f"rows_{name}": cost(functools.partial(rows, pixels, spec), rounds) for name, spec in INPUTS.items()},
    }


def pdq_bits(count: int) -> dict[str, list[float]]:
    """Of a picture made smaller, by libjpeg's draft, or coarsely; and of what pdqhash gives of the first."""
    found: dict[str, list[int]] = {"reduced": [], "draft": [], "coarse": [], "reduced_by_pdqhash": []}
    for seed in range(count):
        size = SIZES[seed % len(SIZES)]
        data = encode(grainy(seed, *size) if seed % 2 else textured(seed, *size), "JPEG", quality=85)
        full, drafted = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data))
        drafted.draft(None, target_size(*size, (HASHED,)))
        reference = _theirs(np.asarray(full))
        for name, image, wanted in (("reduced", full, HASHED), ("draft", drafted, HASHED)):
            ((_, pixels),) = views(image, 1, (wanted,))
            found[name].append((int(pdq_of(pixels, size)[0], 16) ^ reference).bit_count())
            if name == "reduced":
                found["reduced_by_pdqhash"].append((_theirs(pixels) ^ reference).bit_count())
    return {name: [round(float(np.mean(bits)), 1), float(np.percentile(bits, 99))] for name, bits in found.items()}


def _theirs(pixels: np.ndarray) -> int:
    return int(np.packbits(pdqhash.compute(pixels)[0].astype(np.uint8)).tobytes().hex(), 16)


def opencv() -> dict[str, float]:
    """MiB that it adds to a process that decodes, and milliseconds to import it."""
    script = (
        "import time, resource, classifier.preparing as p\n"
        "m = lambda: int(open('/proc/self/statm').read().split()[1]) * resource.getpagesize() / 2**20\n"
        "before, began = m(), time.process_time()\nimport cv2\nprint(m() - before, time.process_time() - began)"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=120)
    memory, seconds = map(float, done.stdout.split())
    return {"mib": round(memory, 1), "import_ms": round(1000 * seconds, 1)}


def measure(options: argparse.Namespace) -> dict[str, object]:
    """Each kind of file."""
    torch.set_num_threads(1)
    plain = image_transform_v2(PreprocessCfg(size=224), is_train=False)
    figures: dict[str, object] = {}
    for name, data in files().items():
        rounds = (5 if len(data) > 1_000_000 else 15) * (1 if options.quick else 4)
        result = prepare_file(data, BOUNDS, INPUTS)
        assert isinstance(result, Prepared), result

        ours = cost(functools.partial(prepare_file, data, BOUNDS, INPUTS), rounds)
        theirs = cost(functools.partial(plainly, data, plain), rounds)
        say(options, f"{name:24} {ours:8.2f} ms; plain Pillow and open_clip {theirs:8.2f} ms")
        figures[name] = {
            "images_a_second": round(1000 / ours, 1),
            "plain_images_a_second": round(1000 / theirs, 1),
            "over_plain": round(theirs / ours, 2),
            "ms": ours,
            "bytes": len(data),
            **({"stages_ms": stages(data, rounds)} if result.count == 1 else {"frames": result.count}),
        }
    figures["pdq_bits"] = pdq_bits(28 if options.quick else 210)
    figures["opencv"] = opencv()
    figures["peak_mib"] = round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024, 1)
    return figures


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = arguments(__doc__, argv)
    if os.environ.get("OMP_NUM_THREADS") != "1":  # read when numpy is loaded; as in a decoding process
        os.execve(
            sys.executable,
            [sys.executable, "-m", "tests.bench.decode", *sys.argv[1:]],
            {**os.environ, "OMP_NUM_THREADS": "1"},
        )
    get_ready()
    finish(measure(options))


if __name__ == "__main__":
    main()
