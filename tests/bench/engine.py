"""How near the engine is to what the machine can do: from bytes to verdict, over the same work without an engine.

    .venv/bin/python -m tests.bench.engine [--quick] [--json] [--device cpu|cuda] [--models NAME …] [--work FOLDER]

At least 512 distinct JPEGs of 1024×768, drawn; ``clip`` alone, then all detectors. No cache is on: the engine has none,
and no picture is asked for while it is being judged. Models other than the tiny one have random weights, drawn with a
fixed seed, written to a file and loaded in the ordinary way, with the batch that is measured at the start.

The baseline, with which ``engine_over_raw`` compares:

- On a CPU a plain loop: a ``multiprocessing`` pool decodes and prepares (the very function that the engine's decoding
  processes run, so pictures are decoded, hashed by PDQ and cut alike) and hands rows over as they are ready, far ahead;
  this process collects a batch and computes it, without event loop, queue, deadline, sandbox or bounds. It is the same
  model object and has the same cores. It is tried with one pool process and with one a core, each with the forward pass
  on one thread, on as many as there are cores together, and as ``classifier.openclip.running`` does it; of the best two
  of these, the one that is faster in a round counts. It is fair since it does the same work on the same cores, and may
  do what a service must not, such as to decode without limits and as far ahead as it can.
- On a GPU the forward pass alone: the best batch again and again on rows that lie on the device, no copy, no decoding.

Rounds alternate between engine and baseline, so that a noisy machine is noisy for both; the ratios' median counts.
"""

import argparse
import asyncio
import contextlib
import os
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch

from classifier.answers import get_ready
from classifier.detectors.clip import ClipDetector
from classifier.engine import Engine
from classifier.lanes import Lanes
from classifier.media import MediaDecoder
from classifier.openclip.weights import open_clip
from classifier.presets import load as preset
from classifier.presets import tiny
from classifier.settings import ClassifierSettings, ClipSettings, DecodeSettings, NuditySettings
from classifier.starting import detectors
from classifier.types import Detector
from tests.bench.loop import decoding, fastest_loop
from tests.bench.pictures import draw, mean_kib
from tests.bench.report import finish, median, say

CLIENTS = (1, 8, 64)
GFLOP = {"ViT-B-32": 8.8, "ViT-L-14": 162.0}
"""A forward pass of one picture (open_clip docs/model_profile.csv)."""
PEAK = {"H100": 989e12, "H200": 989e12, "A100": 312e12, "L4": 121e12, "4090": 165e12}
"""Dense half-precision FLOP/s by the vendors' data sheets."""


@dataclass(frozen=True, slots=True)
class Judged:
    """One run of the engine: images a second, and how long each took."""

    per_second: float
    seconds: list[float]


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _arguments(argv)
    get_ready()  # what is missing here is missing in the pool too, which would try for ever
    with contextlib.ExitStack() as stack:
        work = Path(options.work or stack.enter_context(tempfile.TemporaryDirectory()))
        (work / "pictures").mkdir(parents=True, exist_ok=True)
        pictures = draw(options, work / "pictures", options.pictures)
        say(options, f"{len(pictures)} pictures of {mean_kib(pictures)} KiB in the mean")
        figures: dict[str, Any] = {"pictures": len(pictures), "picture_kib": mean_kib(pictures), "engine_over_raw": {}}
        figures["decode_images_s_core"] = decoding(pictures[:96])
        say(options, f"decoding and preparing: {figures['decode_images_s_core']} images/s on one core")
        for model in options.models:
            figures[model] = found = _model(options, model, work, pictures)
            figures["engine_over_raw"][model] = found["engine_over_raw"]
    finish(figures)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer pictures and one round")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    parser.add_argument("--device", default="auto", help="auto, cpu, cuda, cuda:N")
    parser.add_argument("--models", nargs="+", help="the tiny one, ViT-B-32 and, on CUDA, ViT-L-14 if left out")
    parser.add_argument("--pictures", type=int, help="how many distinct ones (512; 128 with --quick)")
    parser.add_argument("--precision", default="auto", help="auto, fp32, fp16, bf16")
    parser.add_argument("--clip-only", action="store_true", help="leave out the figure of all detectors")
    parser.add_argument("--work", help="a folder for pictures and weights that is kept")
    options = parser.parse_args(argv)
    if options.device == "auto":
        options.device = "cuda" if torch.cuda.is_available() else "cpu"
    options.models = options.models or [tiny.MODEL, "ViT-B-32", *(["ViT-L-14"] if options.device != "cpu" else [])]
    options.pictures = options.pictures or (128 if options.quick else 512)
    options.rounds = 1 if options.quick else 3
    return options


def _model(options: argparse.Namespace, model: str, work: Path, pictures: Sequence[bytes]) -> dict[str, Any]:
    """All figures of one model."""
    say(options, f"{model}: loading")
    clip = _settings(options, model, work)
    start = time.perf_counter()
    both = _detectors(ClassifierSettings(clip=clip, nudity=None if options.clip_only else NuditySettings()))
    detector = next(one for one in both if isinstance(one, ClipDetector))
    found: dict[str, Any] = {"start_s": round(time.perf_counter() - start, 1), "batch": detector.batch}
    found["precision"] = detector.model.precision
    cuda = options.device.startswith("cuda")
    forward = detector.model.run.rate(5)
    found["forward_images_s"] = round(forward, 2)
    if cuda:
        found["forward_share_of_peak"] = share_of_peak(model, forward)
    say(options, f"{model}: {found['precision']}, batch {detector.batch}, forward alone {forward:.1f} images/s")
    # A GPU judges all of them in a fraction of a second, so they are gone through again and again.
    passes = max(1, round(forward * 8 / len(pictures))) if cuda else 1
    asked = [*pictures] * passes
    found["clients"] = most = max(CLIENTS[-1], 4 * detector.batch) if cuda else CLIENTS[-1]
    baseline: Callable[[], float] = lambda: detector.model.run.rate(max(3, round(4 * forward / detector.batch)))  # noqa: E731
    with contextlib.ExitStack() as stack:
        if not cuda:
            baseline, found["baseline"] = fastest_loop(options, stack, detector, pictures)
        ratios, engines, raws = [], [], []
        for _ in range(options.rounds):
            raws.append(baseline())
            engines.append(_judged((detector,), asked, most)[0])
            ratios.append(engines[-1].per_second / raws[-1])
    found["raw_images_s"], found["images_s"] = median(raws), median([one.per_second for one in engines])
    found["engine_over_raw"] = median(ratios)
    if cuda:
        found["share_of_peak"] = share_of_peak(model, found["images_s"])
    say(
        options,
        f"{model}: engine {found['images_s']} images/s, baseline {found['raw_images_s']}/s: {found['engine_over_raw']}",
    )
    for clients in CLIENTS if most > CLIENTS[-1] else CLIENTS[:-1]:
        some = asked[: max(32, min(len(asked), round(20 * found["images_s"])) // (1 if clients > 1 else 2))]
        run, found["memory_mib"] = _judged((detector,), some, clients)
        found[f"images_s_{clients}"] = round(run.per_second, 2)
        found[f"latency_ms_{clients}"] = _percentiles(run)
        if clients == 1:
            found |= _alone(detector, run)
    found[f"latency_ms_{most}"] = _percentiles(engines[-1])
    say(options, f"{model}: alone {found['latency_ms_1']} ms, {found['latency_over_forward']} of a forward pass")
    if not options.clip_only:
        found["all_detectors_images_s"] = round(
            _judged(both, asked[: max(64, len(asked) // 4)], CLIENTS[-1])[0].per_second, 2
        )
        say(options, f"{model} and the other detectors: {found['all_detectors_images_s']} images/s")
    return found


def _detectors(settings: ClassifierSettings) -> tuple[Detector, ...]:
    problems: list[str] = []
    found = detectors(settings, preset("demo-shapes"), problems)
    if problems:
        raise SystemExit("\n".join(problems))
    return found


def _settings(options: argparse.Namespace, model: str, work: Path) -> ClipSettings:
    file = tiny.PRETRAINED
    if model != tiny.MODEL:
        from safetensors.torch import save_file

        path = work / f"{model}.safetensors"
        if not path.is_file():
            torch.manual_seed(4)
            save_file(open_clip().create_model(model, pretrained=None).state_dict(), path)
        file = str(path)
    return ClipSettings(model=model, pretrained=file, device=options.device, precision=options.precision)


def share_of_peak(model: str, rate: float) -> float | None:
    """How much of the card's dense half-precision peak so many images a second take; None where it is not known."""
    name = torch.cuda.get_device_name()
    peak = next((peak for card, peak in PEAK.items() if card in name), None)
    return round(rate * GFLOP[model] * 1e9 / peak, 3) if peak and model in GFLOP else None


def _judged(chosen: Sequence[Detector], pictures: Sequence[bytes], clients: int) -> tuple[Judged, dict[str, float]]:
    """A new engine judges all pictures for so many clients, each of which asks for one after the other."""

    async def run() -> tuple[Judged, dict[str, float]]:
        decoder = MediaDecoder(DecodeSettings())
        decoder.warm_up()
        engine = Engine(decoder, Lanes(chosen), queue=2 * max(clients, CLIENTS[-1]))
        try:
            await asyncio.gather(*(engine.judge(one, timeout=300) for one in pictures[: 2 * decoder.processes]))
            left = iter(pictures)
            seconds: list[float] = []

            async def client() -> None:
                for one in left:
                    began = time.perf_counter()
                    await engine.judge(one, timeout=300)
                    seconds.append(time.perf_counter() - began)

            start = time.perf_counter()
            await asyncio.gather(*(client() for _ in range(clients)))
            return Judged(len(pictures) / (time.perf_counter() - start), seconds), _memory()
        finally:
            await engine.close()

    return asyncio.run(run())


def _alone(detector: ClipDetector, run: Judged) -> dict[str, float]:
    """One picture's way through the engine, over one row's forward pass in this thread."""
    row = np.zeros((1, *detector.input.size, 3), np.uint8)
    times = []
    for _ in range(15):
        start = time.perf_counter()
        detector.judge(row)
        times.append(time.perf_counter() - start)
    forward = median([1000 * one for one in times])
    return {"forward_ms": forward, "latency_over_forward": round(1000 * float(np.median(run.seconds)) / forward, 2)}


def _percentiles(run: Judged) -> dict[str, float]:
    return {f"p{part}": round(1000 * float(np.percentile(run.seconds, part)), 2) for part in (50, 95, 99)}


def _memory() -> dict[str, float]:
    """MiB that this process has in memory, and its children together (what they share counted once)."""
    children = 0.0
    for status in Path("/proc").glob("[0-9]*/status"):
        with contextlib.suppress(OSError):
            if f"\nPPid:\t{os.getpid()}\n" in status.read_text():
                children += _kib(status.with_name("smaps_rollup"), "Pss")
    return {"parent": round(_kib(Path("/proc/self/status"), "VmRSS") / 1024), "children": round(children / 1024)}


def _kib(file: Path, key: str) -> float:
    return next((float(line.split()[1]) for line in file.read_text().splitlines() if line.startswith(f"{key}:")), 0.0)


if __name__ == "__main__":
    main()
