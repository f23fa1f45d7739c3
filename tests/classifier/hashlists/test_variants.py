from collections.abc import Iterator

import numpy as np
import pytest

from classifier.flatten import Pixels
from classifier.hashlists.variants import FLIPS, VARIANTS, variants
from classifier.pdq import flips_of, pdq_of
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


@pytest.mark.parametrize("size", [(256, 256), (512, 200), (1024, 768), (700, 1500), (61, 90)])
def test_a_picture_turned_any_way_has_the_hash_among_its_variants(size: tuple[int, int]) -> None:
    upright = np.asarray(textured(5, *size))
    pdq = pdq_of(upright)[0]
    for name, turned in zip(NAMES, turnings(upright), strict=True):
        turned = np.ascontiguousarray(turned)
        every = list(variants(pdq_of(turned)[0], flips_of(turned)))
        assert len(every) == VARIANTS
        distance, nearest = min((bits(digest, pdq), found) for digest, found in every)
        assert nearest == name
        assert distance <= 2, "rounding, where a coefficient is next to the median"


def test_without_flips_only_what_the_bits_tell() -> None:
    row, column = "ffff" + "0000" * 15, "8000" * 16
    assert list(variants(row, ())) == [(row, ""), (column, "turned and mirrored")]
    assert len(FLIPS) == 3
