"""Makes what a viewer would see of one decoded picture: small enough, upright, 8 bit RGB, alpha on its grounds."""

import math
from collections.abc import Sequence
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from classifier.inputs import InputSpec, scale

type Pixels = NDArray[np.uint8]
type Ground = Literal["", "white", "black", "bare"]
"""What transparent parts were laid on. ``bare``: alpha thrown away, as software that knows no alpha does."""

LONGEST = 1024
"""Pixels of the longest side of a frame of which nobody said what for, while the shortest has ``SHORTEST``."""
SHORTEST = 448
"""A long strip keeps this much of its shortest side: twice what a model with 224 pixels takes."""
MOST = 4 << 20
"""Pixels of a frame at most, whatever its shape."""
HASHED = InputSpec((160, 160), "squash", stretch=math.inf)
"""What hashing a frame takes: 256 pixels a side (see ``pdq``)."""

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


def target_size(width: int, height: int, wanted: Sequence[InputSpec] = ()) -> tuple[int, int]:
    """The least size for a frame of this size, for what is ``wanted``: never larger than it is, aspect kept.

    With nothing wanted, ``LONGEST`` and ``SHORTEST`` say it.
    """
    longest, shortest = max(width, height), min(width, height)
    share = scale(width, height, wanted) if wanted else min(1.0, max(LONGEST / longest, SHORTEST / shortest))
    share = min(share, math.sqrt(MOST / (width * height)))
    wide, high = max(1, int(width * share + 0.5)), max(1, int(height * share + 0.5))
    # Rounding the short side of a long strip up is what could pass the bound.
    wide = min(wide, max(1, MOST // high))
    return wide, min(high, MOST // wide)


def views(image: Image.Image, orientation: int = 1, wanted: Sequence[InputSpec] = ()) -> list[tuple[Ground, Pixels]]:
    """What viewers see of ``image``: ``uint8 [height, width, 3]`` RGB, one or more, of ``target_size`` or less than
    twice that.

    An opaque picture gives one view. One with alpha gives the view on white, and besides the one on black (dark
    themes) and the bare one (alpha thrown away) wherever they show something else: a picture can be hidden from each.
    """
    if image.mode in ("I", "F") or image.mode.startswith("I;16"):
        image = _eight_bit(image)
    size = least_size(image.size, orientation, wanted)
    if not image.has_transparency_data:
        return [("", turned(_small(_rgb(image), size, bool(wanted)), orientation))]
    rgba = image.convert("RGBA")
    lowest, _ = rgba.getchannel("A").getextrema()
    bare = turned(_small(rgba.convert("RGB"), size, bool(wanted)), orientation)
    if lowest == 255:
        return [("", bare)]
    # Premultiplied, so that colours nobody sees do not bleed into the edges when the picture is made smaller.
    multiplied = turned(_small(rgba.convert("RGBa"), size, bool(wanted)), orientation)
    black, alpha = multiplied[..., :3], multiplied[..., 3:]
    white = np.minimum(black.astype(np.uint16) + (255 - alpha), 255).astype(np.uint8)
    kept: list[tuple[Ground, Pixels]] = [("white", white)]
    others: tuple[tuple[Ground, Pixels], ...] = (("black", np.ascontiguousarray(black)), ("bare", bare))
    for ground, pixels in others:
        if all(_differ(pixels, other) for _, other in kept):
            kept.append((ground, pixels))
    return kept


def upright(size: tuple[int, int], orientation: int) -> tuple[int, int]:
    """A picture's (width, height) when it is turned as EXIF says; and back."""
    return size[::-1] if 5 <= orientation <= 8 else size


def least_size(size: tuple[int, int], orientation: int, wanted: Sequence[InputSpec]) -> tuple[int, int]:
    """``target_size`` of a picture as it lies in its file: what is wanted is of the upright one."""
    return upright(target_size(*upright(size, orientation), wanted), orientation)


def _differ(one: Pixels, other: Pixels) -> bool:
    """Whether more than 1 in 200 pixels differ by more than an eye would pass over."""
    apart = np.abs(one.astype(np.int16) - other.astype(np.int16)).max(axis=2) > _SEEN
    return bool(apart.mean() > _SHARE)


def _rgb(image: Image.Image) -> Image.Image:
    return image if image.mode == "RGB" else image.convert("RGB")


def _small(image: Image.Image, size: tuple[int, int], roughly: bool) -> Image.Image:
    """The picture of that size; ``roughly``: by the whole number that leaves it at least as large, which is fast."""
    if roughly:
        by = min(image.width // size[0], image.height // size[1])
        wide, high = image.width // by, image.height // by
        if wide * high <= MOST:
            if by == 1:
                return image
            if image.width % by == 0 == image.height % by:
                return image.reduce(by)
            return image.resize((wide, high), Image.Resampling.BOX, reducing_gap=1.0)
    return image if size == image.size else image.resize(size, Image.Resampling.LANCZOS, reducing_gap=3.0)


def turned(image: Image.Image, orientation: int) -> Pixels:
    """The picture upright."""
    turn = _TURNS.get(orientation)
    upright = image if turn is None else image.transpose(turn)
    return np.ascontiguousarray(np.asarray(upright, dtype=np.uint8))


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
