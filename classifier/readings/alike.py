"""Says whether a further picture shows what the main one shows, so that an honest thumbnail costs nothing."""

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.flatten import Pixels

SIDE = 32
"""Squares a side that are compared; what is smaller than one is not to be made out in a thumbnail."""
LEVELS = 32
"""Levels that a square may be apart: cameras sharpen and brighten their thumbnails."""
SHARE = 0.01
"""Share of squares that may be further apart."""


def alike(main: Pixels, other: Pixels) -> bool:
    """Whether ``other`` (``uint8 [h, w, 3]`` RGB) is ``main`` made smaller: as it is, or with bars beside it."""
    coarse = _coarse(main, (0, 0, main.shape[1], main.shape[0]))
    return any(_close(coarse, _coarse(other, box)) for box in _places(main, other))


def _close(one: NDArray[np.int16], other: NDArray[np.int16]) -> bool:
    return bool((np.abs(one - other).max(axis=2) > LEVELS).mean() <= SHARE)


def _places(main: Pixels, other: Pixels) -> list[tuple[float, float, float, float]]:
    """All of ``other``; and its middle in ``main``'s proportions, where the rest is black (cameras fill 4:3 up)."""
    height, width = other.shape[:2]
    whole = (0.0, 0.0, float(width), float(height))
    scale = min(width / main.shape[1], height / main.shape[0])
    wide, high = main.shape[1] * scale, main.shape[0] * scale
    left, top = (width - wide) / 2, (height - high) / 2
    bars = other.copy()
    bars[round(top) : round(top + high), round(left) : round(left + wide)] = 0
    if max(left, top) < 1 or wide < 1 or high < 1 or bars.max() > LEVELS:
        return [whole]
    return [whole, (left, top, left + wide, top + high)]


def _coarse(pixels: Pixels, box: tuple[float, float, float, float]) -> NDArray[np.int16]:
    image = Image.fromarray(pixels).resize((SIDE, SIDE), Image.Resampling.BOX, box)
    return np.asarray(image, dtype=np.int16)
