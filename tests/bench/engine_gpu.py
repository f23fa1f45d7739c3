"""Which way to compute ViT-L-14's forward pass is the fastest on this GPU, and what share of its peak each reaches.

    python -m tests.bench.engine_gpu [--quick] [--json] [--device cuda] [--model ViT-L-14] [--out FILE]

Forward passes alone, on random pixels that lie on the device, with random weights, captured as CUDA graphs, which is
how the service runs them. For each variant the best batch of those tried, images/s, the share of the card's dense peak,
how far its embeddings are from open_clip's own in fp32 (1 - cosine, the worst of 16), and the seconds it took to start.
"""

import argparse
import contextlib
import copy
import json
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from torch.nn import functional

from classifier.openclip import tower as towers
from classifier.openclip.pixels import Pixels
from classifier.openclip.running import Encode
from classifier.openclip.tower import Tower
from tests.bench.engine import share_of_peak
from tests.bench.report import finish, say

BATCHES = (1, 8, 16, 24, 32, 48, 64, 96, 128, 192, 256)


def main(argv: Sequence[str] | None = None) -> None:
    """Measure and print."""
    options = _arguments(argv)
    import open_clip

    torch.manual_seed(4)
    model = open_clip.create_model(options.model, pretrained=None, device=options.device).eval()
    pixels = Pixels.of(model.visual.preprocess_cfg)
    rows = torch.randint(0, 256, (max(options.batches), *pixels.size, 3), dtype=torch.uint8, device=options.device)
    with torch.inference_mode():
        exact = _open_clip(model, pixels, torch.float32)(rows[:16])
    figures: dict[str, Any] = {"model": options.model, "torch": torch.__version__, "variants": {}}
    if options.cuda:
        figures["gpu"] = torch.cuda.get_device_name()
        figures["matmul_tflops"] = _matmul()
        say(options, f"{figures['gpu']}: fp16 products of 8192³ at {figures['matmul_tflops']} TFLOP/s")
    for name, make in _variants(model, pixels, options).items():
        # Compiled code is made anew for each shape, so that only two near the best are tried.
        batches = (
            options.batches if "compile" not in name else [size for size in options.batches if size in (2, 32, 64)]
        )
        figures["variants"][name] = found = _measured(options, make, rows, exact, batches)
        say(options, f"{name:48} {json.dumps(found)}")
        if options.out:
            Path(options.out).write_text(json.dumps(figures, indent=1))
    finish(figures)


def _arguments(argv: Sequence[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="no torch.compile: a minute less")
    parser.add_argument("--json", action="store_true", help="print nothing but the JSON line")
    parser.add_argument("--device", default="cuda")
    parser.add_argument("--model", default="ViT-L-14")
    parser.add_argument("--out", help="a file for the figures, written after each variant")
    options = parser.parse_args(argv)
    options.cuda = options.device.startswith("cuda")
    options.batches = BATCHES if options.cuda else (1, 2)
    return options


def _variants(model: Any, pixels: Pixels, options: argparse.Namespace) -> dict[str, Callable[[], Encode]]:
    """By name, what makes each; made one after the other, so that they do not share the device's memory."""
    half = torch.float16 if options.cuda else torch.bfloat16

    def own(dtype: torch.dtype = half) -> Tower:
        return Tower(model.visual, pixels, dtype, options.device)

    def with_plain_norm() -> Tower:
        found = own()
        found.normalise = towers.plain(half)
        return found

    def compiled(mode: str) -> Encode:
        found: Encode = torch.compile(with_plain_norm().__call__, mode=mode, dynamic=False)
        return found

    def attending(*backends: Any) -> Encode:
        from torch.nn.attention import sdpa_kernel

        found = own()

        def encode(x: torch.Tensor) -> torch.Tensor:
            with sdpa_kernel(list(backends)):
                return found(x)

        return encode

    from torch.nn.attention import SDPBackend

    found: dict[str, Callable[[], Encode]] = {
        "open_clip's own, half": lambda: _open_clip(model, pixels, half),
        "ours, half (what the service runs)": own,
        "ours, bf16": lambda: own(torch.bfloat16),
        "ours, without Triton's kernel": with_plain_norm,
    }
    if options.cuda:
        found |= {
            "ours, cuDNN attention": lambda: attending(SDPBackend.CUDNN_ATTENTION, SDPBackend.FLASH_ATTENTION),
            "ours, flash attention": lambda: attending(SDPBackend.FLASH_ATTENTION),
        }
    if not options.quick:
        found |= {
            "ours, torch.compile": lambda: compiled("default"),
            "ours, torch.compile, max-autotune": lambda: compiled("max-autotune-no-cudagraphs"),
        }
    return found


def _open_clip(model: Any, pixels: Pixels, dtype: torch.dtype) -> Encode:
    """The image tower as open_clip has it, with the normalising before it."""
    visual = copy.deepcopy(model.visual).to(dtype)
    device = next(visual.parameters()).device
    mean, std = (torch.tensor(values, device=device).view(1, 3, 1, 1) for values in (pixels.mean, pixels.std))

    def encode(rows: torch.Tensor) -> torch.Tensor:
        planes = (rows.permute(0, 3, 1, 2).float() / 255 - mean) / std
        return functional.normalize(visual(planes.to(dtype)).float(), dim=-1)

    return encode


def _measured(
    options: argparse.Namespace,
    make: Callable[[], Encode],
    rows: torch.Tensor,
    exact: torch.Tensor,
    batches: Sequence[int],
) -> dict[str, Any]:
    start = time.perf_counter()
    with torch.inference_mode():
        try:
            encode = make()
            off = float((1 - functional.cosine_similarity(encode(rows[:16])[: len(exact)], exact)).max())
            ready = time.perf_counter() - start
            rates = {size: round(_rate(options, encode, rows[:size]), 1) for size in batches}
        # Whatever a backend that this card or this build lacks raises: the others are to be measured still.
        except Exception as error:
            return {"error": f"{type(error).__name__}: {error}"[:300]}
    best = max(rates, key=lambda size: rates[size])
    found = {
        "batch": best,
        "images_s": rates[best],
        "off": round(off, 7),
        "start_s": round(ready, 1),
        "by_batch": rates,
    }
    if options.cuda:
        found["share_of_peak"] = share_of_peak(options.model, rates[best])
        torch.cuda.empty_cache()
    return found


def _rate(options: argparse.Namespace, encode: Encode, rows: torch.Tensor) -> float:
    """Images a second, captured and replayed for about a second where there is CUDA."""
    if not options.cuda:
        encode(rows)
        start = time.perf_counter()
        encode(rows)
        return len(rows) / (time.perf_counter() - start)
    with _captured(encode, rows) as graph:
        rounds = 3
        while True:
            begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
            begun.record()
            for _ in range(rounds):
                graph.replay()
            ended.record()
            ended.synchronize()
            took = float(begun.elapsed_time(ended)) / 1000
            if took > 0.5:
                return len(rows) * rounds / took
            rounds = max(rounds * 2, int(rounds * 0.7 / took))


@contextlib.contextmanager
def _captured(encode: Encode, rows: torch.Tensor) -> Iterator[torch.cuda.CUDAGraph]:
    stream = torch.cuda.Stream()
    stream.wait_stream(torch.cuda.current_stream())
    with torch.cuda.stream(stream):
        for _ in range(3):
            encode(rows)
    torch.cuda.synchronize()
    graph = torch.cuda.CUDAGraph()
    with torch.cuda.graph(graph, stream=stream):
        encode(rows)
    yield graph
    torch.cuda.synchronize()
    graph.reset()


def _matmul() -> float:
    """TFLOP/s of large products of half precision on random values: what the card really does."""
    a, b = (torch.randn(8192, 8192, device="cuda", dtype=torch.float16) for _ in range(2))
    for _ in range(5):
        a @ b
    begun, ended = (torch.cuda.Event(enable_timing=True) for _ in range(2))
    begun.record()
    for _ in range(30):
        a @ b
    ended.record()
    ended.synchronize()
    return round(30 * 2 * 8192**3 / (float(begun.elapsed_time(ended)) / 1000) / 1e12, 1)


if __name__ == "__main__":
    main()
