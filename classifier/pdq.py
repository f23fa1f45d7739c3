"""PDQ hashes of frames, as ThreatExchange's reference gives them for the full-size picture, from a smaller one."""

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from PIL import Image

type Grey = NDArray[np.float32]
"""What PDQ looks at: ``float32 [64, 64]``, levels 0…255."""

_SIDE = 64
_KEPT = 16
_LARGE = 8192
"""Pixels from which a side's length makes no difference any more."""
_READ = 1024
"""Pixels of a side that are looked at; of a longer one, means."""
_TERMS, _POINTS = np.mgrid[1 : _KEPT + 1, :_SIDE]
_COSINES: NDArray[np.float32] = np.asarray(
    math.sqrt(2 / _SIDE) * np.cos(math.pi / (2 * _SIDE) * _TERMS * (2 * _POINTS + 1)), np.float32
)


def pdq_of(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> tuple[str, int]:
    """PDQ hash (64 hex digits) and its quality (0…100) of ``uint8 [height, width, 3]`` RGB.

    ``size``: (width, height) of the picture that ``pixels`` were made smaller from; the hash is then that picture's.
    PDQ's window is a whole number of pixels, so that of a copy it lies beside the original's; here it is laid where it
    would lie at full size. Over drawn textures kept at 256 to 512 pixels it is 2 bits from the full picture's in the
    mean, and 8 in 99 of 100; a copy hashed as it is, 10 and 26 (``tests.bench.decode``).
    """
    return hash_of(grey_of(pixels, size))


def flips_of(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> tuple[str, str, str]:
    """PDQ hashes of the picture mirrored, upside down, and turned by 180°; as ``pdq_of`` of it, flipped.

    PDQ's window is not symmetric, so these are not to be had from the picture's own hash: mirrored that way, as
    ``pdqhash.compute_dihedral`` does, a hash is 8 to 55 bits off (means, for 256 to 2048 pixels). It is enough, though,
    to lay the window on the other way round.
    """
    levels, down, across = _levels(pixels, size)
    upright, turned = levels @ across.T, levels @ across[:, ::-1].T
    under = down[:, ::-1]
    greys = down @ turned, under @ upright, under @ turned
    mirrored, upside, both = (hash_of(np.asarray(grey, np.float32))[0] for grey in greys)
    return mirrored, upside, both


def grey_of(pixels: NDArray[np.uint8], size: tuple[int, int] | None = None) -> Grey:
    """What PDQ looks at of ``uint8 [height, width, 3]`` RGB, made smaller from ``size`` (width, height)."""
    levels, down, across = _levels(pixels, size)
    return np.asarray(down @ levels @ across.T, np.float32)


def _levels(
    pixels: NDArray[np.uint8], size: tuple[int, int] | None
) -> tuple[NDArray[np.float32], NDArray[np.float32], NDArray[np.float32]]:
    """The picture in grey, and the weights of its rows and of its columns."""
    image = Image.fromarray(np.ascontiguousarray(pixels)).convert("L")
    wide, high = size or image.size
    if max(image.size) > _READ:
        image = image.resize((min(image.width, _READ), min(image.height, _READ)), Image.Resampling.BOX)
    return np.asarray(image, np.float32), _weights(high, image.height), _weights(wide, image.width)


def hash_of(grey: Grey) -> tuple[str, int]:
    """PDQ hash (64 hex digits) and its quality (0…100). ThreatExchange: ``pdq/cpp/hashing/pdqhashing.cpp``."""
    terms = (_COSINES @ grey @ _COSINES.T).ravel()
    bits = terms > np.partition(terms, terms.size // 2 - 1)[terms.size // 2 - 1]
    steps = sum(float(np.abs(np.trunc(np.diff(grey, axis=axis) * 100 / 255)).sum()) for axis in (0, 1))
    return np.packbits(bits[::-1]).tobytes().hex(), min(100, int(steps / 90))


@lru_cache(maxsize=64)
def _weights(full: int, kept: int) -> NDArray[np.float32]:
    """How much each of ``kept`` pixels in a row, which were ``full``, counts in each of 64: ``float32 [64, kept]``.

    PDQ takes means over a window twice and then 64 points. Its window is a 128th of the side, rounded up, and where it
    is even it reaches further to the left; at the edges it is shorter.
    """
    full = min(full, max(_LARGE, kept))
    window = (full + 127) // 128
    right = (window + 2) // 2 - 1
    left = window - 1 - right
    points = ((np.arange(_SIDE) + 0.5) * full / _SIDE).astype(np.int64)[:, np.newaxis]
    inner = points + np.arange(-left, right + 1)
    base = points - 2 * left
    start, stop = np.maximum(inner - left, 0), np.minimum(inner + right + 1, full)
    outer = np.minimum(points + right + 1, full) - np.maximum(points - left, 0)
    share = np.where((inner >= 0) & (inner < full), 1.0 / (outer * np.maximum(stop - start, 1)), 0.0)
    reach = 2 * window
    steps = np.zeros((_SIDE, reach))
    rows = np.broadcast_to(np.arange(_SIDE)[:, np.newaxis], inner.shape)
    np.add.at(steps, (rows, np.clip(start - base, 0, reach - 1)), share)
    np.subtract.at(steps, (rows, np.clip(stop - base, 0, reach - 1)), share)
    # Weight that lies to the left of each full pixel's left edge, counted from ``base``; then of each kept pixel's.
    before = np.concatenate([np.zeros((_SIDE, 1)), np.cumsum(np.cumsum(steps, axis=1), axis=1)], axis=1)
    first = np.maximum(base, 0) * kept // full
    edges = first + np.arange(reach * kept // full + 3)
    places = np.clip(edges * (full / kept) - base, 0, reach)
    whole = np.minimum(places.astype(np.int64), reach - 1)
    low, high = np.take_along_axis(before, whole, 1), np.take_along_axis(before, whole + 1, 1)
    weights = np.zeros((_SIDE, kept + edges.shape[1]), np.float32)
    np.put_along_axis(weights, edges[:, :-1], np.diff(low + (high - low) * (places - whole), axis=1), 1)
    return weights[:, :kept]
