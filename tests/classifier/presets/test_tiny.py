"""The tiny model names drawings it has never seen, and takes no ordinary picture for the forbidden shape."""

import io

import numpy as np
import pytest
from PIL import Image

from classifier.detectors.clip import ClipDetector
from classifier.flatten import Pixels
from classifier.inputs import rows
from classifier.presets import shapes, tiny
from classifier.settings import ClipSettings, Concept

SEED = 90_001  # far from the training script's
THRESHOLD = 0.8  # the demo's rule
CAPTIONS = {f"{colour}_{shape}": shapes.caption(colour, shape) for colour, shape in shapes.CLASSES} | {
    "pattern": shapes.ORDINARY_CAPTION
}
FORBIDDEN = f"clip.{shapes.FORBIDDEN[0]}_{shapes.FORBIDDEN[1]}"


@pytest.fixture(scope="module")
def detector() -> ClipDetector:
    every = {
        name: Concept(prompts=(own,), against=tuple(other for other in CAPTIONS.values() if other != own))
        for name, own in CAPTIONS.items()
    }
    return ClipDetector.load(ClipSettings(model=tiny.MODEL, pretrained=tiny.PRETRAINED), every)


def delivered(image: Image.Image, quality: int | None) -> Pixels:
    """The picture as a server would deliver it: through JPEG, or as it is."""
    if quality is not None:
        coded = io.BytesIO()
        image.save(coded, "JPEG", quality=quality)
        image = Image.open(coded).convert("RGB")
    return np.asarray(image)


def judged(detector: ClipDetector, frames: list[Pixels]) -> list[dict[str, float]]:
    """Of each frame's tiles the worst counts, as it does for the engine."""
    tiles = [rows(frame, detector.input) for frame in frames]
    scores = iter(detector.judge(np.concatenate(tiles)))
    parts = [[next(scores) for _ in part] for part in tiles]
    return [{symbol: max(tile[symbol] for tile in part) for symbol in part[0]} for part in parts]


def named(detector: ClipDetector, frames: list[Pixels]) -> list[str]:
    return [max(scores, key=lambda symbol: scores[symbol]) for scores in judged(detector, frames)]


@pytest.mark.parametrize("quality", [70, 90, None])
def test_held_out_drawings_are_named_right(detector: ClipDetector, quality: int | None) -> None:
    rng = np.random.default_rng(SEED + (quality or 0))
    asked = shapes.CLASSES * 10
    sizes = (int(2 ** rng.uniform(6, 8.5)) for _ in asked)
    frames = [
        delivered(shapes.draw(*drawn, size=size, rng=rng), quality) for drawn, size in zip(asked, sizes, strict=True)
    ]
    right = sum(
        name == f"clip.{colour}_{shape}" for name, (colour, shape) in zip(named(detector, frames), asked, strict=True)
    )
    assert right / len(asked) >= 0.98


@pytest.mark.parametrize("size", [64, 1024, (200, 400), (640, 360)])
@pytest.mark.parametrize("background", [*shapes.BACKGROUNDS, (255, 255, 255), (0, 0, 0)])
def test_a_red_circle_is_found_at_every_size(
    detector: ClipDetector, size: int | tuple[int, int], background: shapes.Background | shapes.Rgb
) -> None:
    rng = np.random.default_rng(SEED)
    drawn = shapes.draw(*shapes.FORBIDDEN, size=size, background=background, rng=rng)
    (scores,) = judged(detector, [delivered(drawn, 70)])
    assert scores[FORBIDDEN] > THRESHOLD


def test_ordinary_pictures_and_other_shapes_stay_below_the_demos_threshold(detector: ClipDetector) -> None:
    rng = np.random.default_rng(SEED)
    frames = [delivered(shapes.draw_ordinary(size=96, rng=rng), 85) for _ in range(400)]
    others = [drawn for drawn in shapes.CLASSES if drawn != shapes.FORBIDDEN]
    frames += [delivered(shapes.draw(*drawn, size=96, rng=rng), 85) for drawn in others * 4]
    scores = [found[FORBIDDEN] for found in judged(detector, frames)]
    assert sum(score > THRESHOLD for score in scores) <= 2  # of 516


def test_the_weights_are_small() -> None:
    assert tiny.STATE_FILE.stat().st_size <= 8_000_000
