import io

import numpy as np
import pytest
from PIL import Image, ImageDraw, ImageEnhance

from classifier.flatten import Pixels
from classifier.readings.alike import alike
from tests.drawing import encode, textured


def photo(seed: int) -> Image.Image:
    """Blotches, hard edges and grain: what thumbnails are bad at."""
    chance = np.random.default_rng(seed)
    image = textured(seed, 1600, 1200)
    draw = ImageDraw.Draw(image)
    for _ in range(200):
        x, y, side = (int(value) for value in chance.integers(0, (1600, 1200, 120)))
        draw.rectangle((x, y, x + side, y + side), fill=tuple(int(value) for value in chance.integers(0, 256, 3)))
    grain = np.asarray(image, dtype=int) + chance.integers(-25, 25, (1200, 1600, 1))
    return Image.fromarray(grain.clip(0, 255).astype(np.uint8))


def seen(image: Image.Image) -> Pixels:
    return np.asarray(image.convert("RGB").resize((1024, 768)))


def small(image: Image.Image, how: Image.Resampling, size: tuple[int, int] = (160, 120)) -> Image.Image:
    made = Image.open(io.BytesIO(encode(image.resize(size, how), "JPEG", quality=40)))
    made.load()
    return made


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("how", [Image.Resampling.NEAREST, Image.Resampling.BICUBIC])
@pytest.mark.parametrize("size", [(160, 120), (320, 240), (512, 384), (80, 60), (16, 12)])
def test_a_thumbnail_as_cameras_make_them_is_alike(seed: int, how: Image.Resampling, size: tuple[int, int]) -> None:
    made = small(photo(seed), how, size)
    assert alike(seen(photo(seed)), np.asarray(made))
    if size[0] >= 160:
        assert alike(seen(photo(seed)), np.asarray(ImageEnhance.Brightness(made).enhance(1.1)))
        assert alike(seen(photo(seed)), np.asarray(ImageEnhance.Sharpness(made).enhance(2)))


@pytest.mark.parametrize("seed", range(4))
@pytest.mark.parametrize("side", [30, 60, 120])
def test_one_with_something_more_in_it_is_not(seed: int, side: int) -> None:
    made = small(photo(seed), Image.Resampling.BICUBIC)
    ImageDraw.Draw(made).ellipse((20, 0, 20 + side, side), fill="red")
    assert not alike(seen(photo(seed)), np.asarray(made))


@pytest.mark.parametrize("size", [(1, 1), (1, 300), (300, 1), (7, 9), (2000, 3)])
def test_any_size_can_be_compared(size: tuple[int, int]) -> None:
    red, green = (np.asarray(Image.new("RGB", size, colour)) for colour in ("red", "green"))
    main = np.asarray(Image.new("RGB", (64, 48), "red"))
    assert (alike(main, red), alike(main, green)) == (True, False)
    assert (alike(red, main), alike(green, main)) == (True, False)
