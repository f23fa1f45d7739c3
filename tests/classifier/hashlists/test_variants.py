from collections.abc import Iterator

import numpy as np
import pytest
from PIL import Image

from classifier.flatten import Pixels
from classifier.frames import pdq_of
from classifier.hashlists.variants import FLIPS, SIDE, VARIANTS, flips_of, variants
from tests.drawing import textured

NAMES = (
    "",
    "mirrored",
    "upside down",
    "turned 180°",
    "turned and mirrored",
    "turned 270°",
    "turned 90°",
    "turned, mirrored and upside down",
)
"""What each of ``turnings`` is: clockwise, while numpy turns the other way."""


def turnings(pixels: Pixels) -> Iterator[Pixels]:
    """The picture in all eight ways."""
    yield pixels
    yield pixels[:, ::-1]
    yield pixels[::-1]
    yield pixels[::-1, ::-1]
    yield pixels.transpose(1, 0, 2)
    yield np.rot90(pixels, 1)
    yield np.rot90(pixels, 3)
    yield pixels.transpose(1, 0, 2)[::-1, ::-1]


def bits(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("size", [(256, 256), (SIDE, 200), (120, 700)])
def test_a_picture_turned_any_way_has_the_hash_among_its_variants(size: tuple[int, int]) -> None:
    upright = np.asarray(textured(5, *size))
    pdq = pdq_of(upright)[0]
    for name, turned in zip(NAMES, turnings(upright), strict=True):
        turned = np.ascontiguousarray(turned)
        every = list(variants(pdq_of(turned)[0], flips_of(turned)))
        assert len(every) == VARIANTS
        assert [found for digest, found in every if digest == pdq] == [name]


@pytest.mark.parametrize("size", [(SIDE + 1, SIDE + 2), (1024, 768), (700, 1500)])
def test_large_pictures_are_made_smaller_and_still_near(size: tuple[int, int]) -> None:
    upright = np.asarray(textured(6, *size))
    pdq = pdq_of(upright)[0]
    for name, turned in zip(NAMES, turnings(upright), strict=True):
        turned = np.ascontiguousarray(turned)
        nearest = min((bits(digest, pdq), found) for digest, found in variants(pdq_of(turned)[0], flips_of(turned)))
        assert nearest[1] == name
        assert nearest[0] <= 20


def test_without_flips_only_the_picture_as_it_is() -> None:
    assert list(variants("ab" * 32, ())) == [("ab" * 32, "")]
    assert len(FLIPS) == 3


def test_the_pixels_stay_as_they_are() -> None:
    pixels = np.asarray(textured(7, 600, 600)).copy()
    before = pixels.copy()
    flips_of(pixels)
    assert np.array_equal(pixels, before)
    assert Image.fromarray(pixels).size == (600, 600)
