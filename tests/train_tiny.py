"""Trains the tiny open_clip model of the demo and the tests on drawn shapes: ``python tests/train_tiny.py --out FILE``.

What it learns is 30 coloured shapes and "a pattern" for everything else it is shown. It protects nobody.
"""

import io
import math
import sys
from collections.abc import Iterator
from pathlib import Path

import click
import numpy as np
import open_clip
import torch
from PIL import Image
from rich.progress import track
from safetensors.torch import save_file
from torch.nn import functional

sys.path.insert(0, str(Path(__file__).parents[1]))  # run as a script, tests/classifier would hide classifier

from classifier.presets import shapes
from classifier.presets.tiny import MODEL, STATE_FILE, register

CAPTIONS = (*(shapes.caption(*drawn) for drawn in shapes.CLASSES), shapes.ORDINARY_CAPTION)
TEMPLATES = ("{}", "{}.", "a drawing of {}", "a picture of {}")
SIDE = 64
ORDINARY_SHARE = 0.3
BATCH = 64
RATE = 1e-3


def example(rng: np.random.Generator) -> tuple[Image.Image, int]:
    """A picture as a server might deliver it (size, shape, compression drawn by ``rng``) and its caption's index."""
    short = int(2 ** rng.uniform(6, 8.6))  # 64…388 pixels; above that the model sees no difference
    size = (short, short) if rng.random() < 0.6 else (short, int(short * rng.uniform(1, 1.8)))
    size = size if rng.random() < 0.5 else (size[1], size[0])
    if rng.random() < ORDINARY_SHARE:
        image, label = shapes.draw_ordinary(size=size, rng=rng), len(shapes.CLASSES)
    else:
        label = int(rng.integers(len(shapes.CLASSES)))
        image = shapes.draw(*shapes.CLASSES[label], size=size, rng=rng)
    if rng.random() < 0.7:
        coded = io.BytesIO()
        image.save(coded, "JPEG", quality=int(rng.integers(50, 96)))
        image = Image.open(coded)
    return image, label


def drawings(count: int, seed: int, what: str) -> tuple[torch.Tensor, torch.Tensor]:
    """``count`` examples as the model sees them: float [n, 3, 64, 64] and caption indices [n]."""
    preprocess = open_clip.image_transform(SIDE, is_train=False)
    rng = np.random.default_rng(seed)
    pixels = torch.empty(count, 3, SIDE, SIDE)
    labels = torch.empty(count, dtype=torch.long)
    for n in track(range(count), description=what):
        image, label = example(rng)
        pixels[n], labels[n] = preprocess(image), label
    return pixels, labels


def batches(count: int, size: int, rng: np.random.Generator) -> Iterator[torch.Tensor]:
    """Indices of one epoch in random order, in full batches."""
    order = torch.from_numpy(rng.permutation(count))
    for start in range(0, count - size + 1, size):
        yield order[start : start + size]


def varied(pixels: torch.Tensor, rng: np.random.Generator) -> torch.Tensor:
    """The same pictures moved, scaled, leaned, mirrored and lit a little otherwise, lest any is learned by heart."""
    count = len(pixels)
    scale, lean = rng.uniform(0.85, 1.15, count), rng.uniform(-0.15, 0.15, count)
    mirror = rng.choice([-1.0, 1.0], count)
    rows = np.stack(
        [
            np.stack([scale * mirror * np.cos(lean), -scale * np.sin(lean), rng.uniform(-0.12, 0.12, count)], 1),
            np.stack([scale * mirror * np.sin(lean), scale * np.cos(lean), rng.uniform(-0.12, 0.12, count)], 1),
        ],
        1,
    )
    grid = functional.affine_grid(torch.from_numpy(rows).float(), list(pixels.shape), align_corners=False)
    moved = functional.grid_sample(pixels, grid, padding_mode="border", align_corners=False)
    gain, shift = (
        torch.from_numpy(rng.uniform(low, high, (count, 1, 1, 1))).float() for low, high in ((0.9, 1.1), (-0.1, 0.1))
    )
    return moved * gain + shift


def accuracy(model: torch.nn.Module, pixels: torch.Tensor, labels: torch.Tensor) -> float:
    """Share of pictures whose nearest caption is their own."""
    tokens = open_clip.get_tokenizer(MODEL)(list(CAPTIONS))
    model.eval()
    with torch.inference_mode():
        text = model.encode_text(tokens, normalize=True)  # type: ignore[operator]  # open_clip is untyped
        image = torch.cat([model.encode_image(part, normalize=True) for part in torch.split(pixels, 512)])  # type: ignore[operator]
    return float(((image @ text.T).argmax(1) == labels).float().mean())


def train(count: int, epochs: int, seed: int) -> torch.nn.Module:
    """Train from nothing: each drawing against every caption, with the model's own scale."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    register()
    # open_clip's usual 14 keeps the scores of 31 captions flat; a trained CLIP ends at 100.
    model: torch.nn.Module = open_clip.create_model(MODEL, init_logit_scale=math.log(30))
    model.to(memory_format=torch.channels_last)  # half as fast again on a CPU
    tokenizer = open_clip.get_tokenizer(MODEL)
    tokens = {template: tokenizer([template.format(text) for text in CAPTIONS]) for template in TEMPLATES}
    pixels, labels = drawings(count, seed, "drawing")
    unseen = drawings(2000, seed + 1, "drawing held-out pictures")
    optimizer = torch.optim.AdamW(
        [
            {"params": [p for p in model.parameters() if p.ndim >= 2], "weight_decay": 0.05},
            {"params": [p for p in model.parameters() if p.ndim < 2], "weight_decay": 0.0},
        ],
        lr=RATE,
    )
    steps = count // BATCH
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, RATE, total_steps=epochs * steps, pct_start=0.1)
    for epoch in range(epochs):
        model.train()
        total = 0.0
        for chosen in track(list(batches(count, BATCH, rng)), description=f"epoch {epoch + 1}/{epochs}"):
            batch = varied(pixels[chosen], rng).contiguous(memory_format=torch.channels_last)
            image, text, scale = model(batch, tokens[TEMPLATES[rng.integers(len(TEMPLATES))]])
            loss = functional.cross_entropy(scale * image @ text.T, labels[chosen])
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
            total += loss.item()
        click.echo(f"epoch {epoch + 1}: loss {total / steps:.4f}, held-out {accuracy(model, *unseen):.4f}")
    return model


def save(model: torch.nn.Module, out: Path) -> None:
    """Write the weights, halved to 16 bits where nothing is lost by it (batch-norm statistics may be large)."""
    state = {
        name: value.half() if value.is_floating_point() and "running" not in name else value
        for name, value in model.state_dict().items()
    }
    save_file({name: value.contiguous() for name, value in state.items()}, out)


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=STATE_FILE, show_default=True)
@click.option("--count", default=20_000, show_default=True, help="How many drawings to train on.")
@click.option("--epochs", default=14, show_default=True)
@click.option("--seed", default=2024, show_default=True)
@click.option("--threads", default=2, show_default=True)
def main(out: Path, count: int, epochs: int, seed: int, threads: int) -> None:
    """Train the tiny model on drawn shapes and write it to OUT (safetensors)."""
    torch.set_num_threads(threads)
    save(train(count, epochs, seed), out)
    click.echo(f"{out}: {out.stat().st_size / 1e6:.1f} MB")


if __name__ == "__main__":
    main()
