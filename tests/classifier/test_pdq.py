"""PDQ against ``pdqhash``, which wraps ThreatExchange's reference; and of smaller copies against full pictures."""

import io

import numpy as np
import pdqhash
import pytest
from numpy.typing import NDArray
from PIL import Image

from classifier.flatten import HASHED, target_size, views
from classifier.inputs import InputSpec
from classifier.pdq import pdq_of
from classifier.presets import shapes
from tests.drawing import encode, textured


def theirs(pixels: NDArray[np.uint8]) -> tuple[int, int]:
    bits, quality = pdqhash.compute(pixels)
    return int(np.packbits(bits.astype(np.uint8)).tobytes().hex(), 16), quality


def ours(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> tuple[int, int]:
    text, quality = pdq_of(pixels, size)
    assert len(text) == 64
    return int(text, 16), quality


def picture(seed: int, width: int, height: int) -> Image.Image:
    """Textures with detail at many sizes, as photographs have; every other one with grain."""
    rng = np.random.default_rng(seed)
    image = shapes.draw_ordinary(size=(width, height), kind="clouds", rng=rng)
    if seed % 2:
        return image
    grainy = np.asarray(image, np.int16) + rng.integers(-20, 21, (height, width, 1))
    return Image.fromarray(grainy.clip(0, 255).astype(np.uint8))


@pytest.mark.parametrize(
    "size",
    [
        (64, 64),
        (65, 63),
        (128, 128),
        (129, 255),
        (400, 300),
        (301, 397),
        (1024, 768),
        (1023, 767),
        (300, 1024),
        (40, 30),
    ],
)
def test_the_reference_but_for_rounding_grey(size: tuple[int, int]) -> None:
    for seed in range(4):
        pixels = np.asarray(picture(seed, *size))
        (bits, quality), (reference, known) = ours(pixels), theirs(pixels)
        assert (bits ^ reference).bit_count() <= 4
        assert abs(quality - known) <= 1


def test_a_picture_of_greys_has_the_very_bits() -> None:
    # Nothing is rounded then: grey is the same in all channels.
    for seed in range(8):
        pixels = np.asarray(textured(seed, 400, 300).convert("L").convert("RGB"))
        assert ours(pixels) == theirs(pixels)


def test_the_quality_of_faint_and_of_flat_pictures() -> None:
    noise = np.random.default_rng(1).integers(0, 2, (64, 64, 1), np.uint8)
    for levels in (2, 4, 8, 16, 40, 255):
        pixels = np.repeat(noise * np.uint8(levels), 3, axis=2)
        assert ours(pixels)[1] == theirs(pixels)[1]
    assert ours(np.full((64, 64, 3), 200, np.uint8))[1] == 0


SIZES = [(1024, 768), (1023, 767), (901, 1351), (640, 513)]


def kept_of(image: Image.Image, wanted: tuple[InputSpec, ...]) -> NDArray[np.uint8]:
    ((_, pixels),) = views(image, 1, wanted)
    return pixels


@pytest.mark.parametrize("size", SIZES)
def test_a_smaller_copy_has_the_full_pictures_hash(size: tuple[int, int]) -> None:
    """Over 210 pictures of more kinds and sizes see ``tests.bench.decode``."""
    for seed in range(4):
        data = encode(picture(seed, *size), "JPEG", quality=85)
        full, drafted = Image.open(io.BytesIO(data)), Image.open(io.BytesIO(data))
        drafted.draft(None, target_size(*size, (HASHED,)))
        reference, _ = theirs(np.asarray(full))
        for image, wanted, most in ((full, HASHED, 8), (drafted, HASHED, 8)):
            pixels = kept_of(image, (wanted,))
            assert pixels.size < full.width * full.height * 3
            assert (ours(pixels, size)[0] ^ reference).bit_count() <= most


def test_without_its_size_a_copy_is_hashed_as_a_picture_of_its_own() -> None:
    image = picture(1, 1024, 768)
    small = np.asarray(image.reduce(4))
    assert (ours(small)[0] ^ theirs(small)[0]).bit_count() <= 4
    assert (ours(small, (1024, 768))[0] ^ theirs(np.asarray(image))[0]).bit_count() <= 8


@pytest.mark.parametrize("size", [(1, 1), (1, 20_000), (20_000, 1), (5, 3), (2, 4_000_000), (4_000_000, 2)])
def test_any_shape(size: tuple[int, int]) -> None:
    text, quality = pdq_of(np.zeros((size[1], size[0], 3), np.uint8), (size[0] * 16, size[1] * 16))
    assert (len(text), quality) == (64, 0)
