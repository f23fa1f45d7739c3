"""Makes what a viewer would see of one decoded picture: small enough, upright, 8 bit RGB, alpha on its grounds."""

import math
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

type Pixels = NDArray[np.uint8]
type Ground = Literal["", "white", "black", "bare"]
"""What transparent parts were laid on. ``bare``: alpha thrown away, as software that knows no alpha does."""

LONGEST = 1024
"""Pixels of the longest side of a frame, where that leaves the shortest side at least ``SHORTEST``."""
SHORTEST = 448
"""A long strip keeps this much of its shortest side: twice what a model with 224 pixels takes."""
MOST = 4 << 20
"""Pixels of a frame at most, whatever its shape."""

_SEEN = 16
_SHARE = 0.005

_TURNS = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
"""EXIF orientation (EXIF 2.32, tag 0x0112) to what makes the picture upright."""


def target_size(width: int, height: int) -> tuple[int, int]:
    """The size a frame of this size is handed on in: never larger than it is, aspect kept, no side below 1."""
    longest, shortest = max(width, height), min(width, height)
    scale = min(1.0, max(LONGEST / longest, SHORTEST / shortest), math.sqrt(MOST / (width * height)))
    wide, high = max(1, int(width * scale + 0.5)), max(1, int(height * scale + 0.5))
    # Rounding the short side of a long strip up is what could pass the bound.
    wide = min(wide, max(1, MOST // high))
    return wide, min(high, MOST // wide)


def views(image: Image.Image, orientation: int = 1, side: int | None = None) -> list[tuple[Ground, Pixels]]:
    """What viewers see of ``image``: ``uint8 [height, width, 3]`` RGB, one or more.

    With ``side``, in pixels, no side is longer than that: faster and coarser, for hashing alone.

    An opaque picture gives one view. One with alpha gives the view on white, and besides the one on black (dark
    themes) and the bare one (alpha thrown away) wherever they show something else: a picture can be hidden from each.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    if not image.has_transparency_data:
        return [("", _array(_small(_rgb(image), side), orientation))]
    rgba = image.convert("RGBA")
    lowest, _ = rgba.getchannel("A").getextrema()
    bare = _array(_small(rgba.convert("RGB"), side), orientation)
    if lowest == 255:
        return [("", bare)]
    # Premultiplied, so that colours nobody sees do not bleed into the edges when the picture is made smaller.
    multiplied = _array(_small(rgba.convert("RGBa"), side), orientation)
    black, alpha = multiplied[..., :3], multiplied[..., 3:]
    white = np.minimum(black.astype(np.uint16) + (255 - alpha), 255).astype(np.uint8)
    kept: list[tuple[Ground, Pixels]] = [("white", white)]
    others: tuple[tuple[Ground, Pixels], ...] = (("black", np.ascontiguousarray(black)), ("bare", bare))
    for ground, pixels in others:
        if all(_differ(pixels, other) for _, other in kept):
            kept.append((ground, pixels))
    return kept


def _differ(one: Pixels, other: Pixels) -> bool:
    """Whether more than 1 in 200 pixels differ by more than an eye would pass over."""
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(axis=2) > _SEEN
    return bool(apart.mean() > _SHARE)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _small(image: Image.Image, side: int | None) -> Image.Image:
    if side is not None:
        scale = min(1.0, side / max(image.size))
        width, height = (max(1, round(length * scale)) for length in image.size)
        return image if scale == 1.0 else image.resize((width, height), Image.Resampling.BOX)
    size = target_size(*image.size)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def _array(image: Image.Image, orientation: int) -> Pixels:
    turn = _TURNS.get(orientation)
    turned = image if turn is None else image.transpose(turn)
    return np.ascontiguousarray(np.asarray(turned, dtype=np.uint8))


def _eight_bit(image: Image.Image) -> Image.Image:
    """16 bit grey as browsers show it (the upper eight bits); wider integers and floats over the range they use."""
    values = np.asarray(image)
    if image.mode.startswith("I;16") or (image.mode == "I" and values.min() >= 0 and values.max() <= 0xFFFF):
        return Image.fromarray((values >> 8).astype(np.uint8))
    values = np.nan_to_num(values.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    if low >= 0.0 and high <= 1.0:
        low, high = 0.0, 1.0
    span = high - low
    scaled = (values - low) * (255.0 / span) if span > 0 else np.zeros_like(values)
    return Image.fromarray(scaled.astype(np.uint8))
