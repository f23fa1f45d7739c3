"""Says whether a further picture shows what the main one shows, so that an honest thumbnail costs nothing."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.flatten import Pixels

SQUARE = 8
"""Pixels of the further picture that a square has a side: what is smaller is not to be made out in a thumbnail."""
MOST = 64
"""Squares a side at most."""
LEVELS = 32
"""Levels that a square may be apart: cameras sharpen and brighten their thumbnails."""
FEW, SHARE = 5, 0.005
"""So many squares, and a share of them, may be further apart."""

type _Place = tuple[float, float, float, float]


def alike(main: Pixels, other: Pixels) -> bool:
    """Whether ``other`` (``uint8 [h, w, 3]`` RGB) is ``main`` made smaller: as it is, or with bars beside it."""
    return any(_close(main, other, place) for place in _places(main, other))


def _close(main: Pixels, other: Pixels, place: _Place) -> bool:
    left, top, right, bottom = place
    squares = (_squares(right - left), _squares(bottom - top))
    coarse = _coarse(main, (0, 0, main.shape[1], main.shape[0]), squares)
    apart = np.abs(coarse - _coarse(other, place, squares)).max(axis=2) > LEVELS
    return bool(apart.sum() <= (FEW + SHARE * apart.size if apart.size > 4 * FEW else 0))


def _squares(length: float) -> int:
    return min(MOST, max(1, int(length / SQUARE)))


def _places(main: Pixels, other: Pixels) -> list[_Place]:
    """All of ``other``; and its middle in ``main``'s proportions, where the rest is black (cameras fill 4:3 up)."""
    height, width = other.shape[:2]
    whole = (0.0, 0.0, float(width), float(height))
    scale = min(width / main.shape[1], height / main.shape[0])
    wide, high = main.shape[1] * scale, main.shape[0] * scale
    left, top = (width - wide) / 2, (height - high) / 2
    bars = other.copy()
    # A JPEG's bars are not black where they meet the picture.
    bars[
        max(0, int(top) - SQUARE) : int(top + high) + SQUARE, max(0, int(left) - SQUARE) : int(left + wide) + SQUARE
    ] = 0
    if max(left, top) < 1 or wide < 1 or high < 1 or bars.max() > LEVELS:
        return [whole]
    return [whole, (left, top, left + wide, top + high)]


def _coarse(pixels: Pixels, box: _Place, size: tuple[int, int]) -> NDArray[np.int16]:
    image = Image.fromarray(pixels).resize(size, Image.Resampling.BOX, box)
    return np.asarray(image, dtype=np.int16)
