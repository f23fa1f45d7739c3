"""Frames to what a detector takes: tiles of its own input size that together show the whole frame."""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, Literal

import msgspec
import numpy as np
from numpy.typing import NDArray
from PIL import Image

type Rows = NDArray[np.uint8]
"""Tiles of one size, ``uint8 [n, height, width, 3]`` RGB: what one detector judges in one go."""

type Box = tuple[float, float, float, float]
"""Left, top, right, bottom in the frame's pixels."""

OVERLAP = 0.2
"""Share of a tile that it has in common with the next, so that nothing is seen only as two halves."""
MOST = 16
"""Tiles of one frame at most; a longer strip is stretched."""
GAP = 1.6
"""Pixels of a frame for each of a tile made from it: with fewer, making it smaller in two steps would show."""
LINEAR_GAP = 1.5
"""The same where the filter is ``linear``, which reads two pixels for each that it makes. A camera's 4000 pixels are
then an eighth of themselves in NudeNet's 320."""

_FILTERS = {"bicubic": Image.Resampling.BICUBIC, "bilinear": Image.Resampling.BILINEAR}


@dataclass(frozen=True, slots=True)
class InputSpec:
    """How a detector wants a frame. Plain values, as it travels to other machines. ``size`` is (height, width).

    ``fit``: ``squash``: stretched to the size; ``pad``: in the middle, with ``fill`` around it; ``corner``: at the top
    left, with ``fill`` around it (NudeNet's way); ``centre``: the crop of the middle, as open_clip does it, the only
    one that does not show all. ``linear`` is OpenCV's filter, without antialiasing. ``stretch``: how far the frame's
    aspect may be from the size's, for one tile to show all of it.
    """

    size: tuple[int, int]
    fit: Literal["squash", "pad", "corner", "centre"]
    interpolation: Literal["bicubic", "bilinear", "linear"] = "bicubic"
    fill: int = 0
    stretch: float = 1.42

    def as_json(self) -> dict[str, Any]:
        """Plain values."""
        found = msgspec.to_builtins(self)
        assert isinstance(found, dict)
        return found


def windows(width: int, height: int, spec: InputSpec, most: int = MOST) -> list[Box]:
    """The parts of a frame, in order along its longer side, that become a tile each: together all of it."""
    whole = (0.0, 0.0, float(width), float(height))
    aspect = width / height * spec.size[0] / spec.size[1]
    longer = max(aspect, 1 / aspect)
    if spec.fit == "centre" or longer <= spec.stretch * (1 + 1e-9) or most <= 1:
        return [whole]
    tile = math.sqrt(spec.stretch)
    count = 1 + math.ceil((longer - tile) / ((1 - OVERLAP) * tile) - 1e-9)
    if count > most:
        count = most
        tile = longer / (1 + (1 - OVERLAP) * (count - 1))
    along = float(width if aspect > 1 else height)
    length = along * tile / longer
    starts = [(along - length) * number / (count - 1) for number in range(count)]
    stops = [*(start + length for start in starts[:-1]), along]
    if aspect > 1:
        return [(start, 0.0, stop, float(height)) for start, stop in zip(starts, stops, strict=True)]
    return [(0.0, start, float(width), stop) for start, stop in zip(starts, stops, strict=True)]


def scale(width: int, height: int, specs: Iterable[InputSpec]) -> float:
    """How far a frame may be made smaller, each of its tiles keeping ``GAP`` times its own pixels: at most 1."""
    gaps = ((LINEAR_GAP if spec.interpolation == "linear" else GAP, spec) for spec in specs)
    return min(1.0, max((gap * _needed(width, height, spec) for gap, spec in gaps), default=1.0))


def _needed(width: int, height: int, spec: InputSpec) -> float:
    """Pixels of a tile for each of the frame's."""
    left, top, right, bottom = windows(width, height, spec)[0]
    if spec.fit == "centre":
        left, top, right, bottom = _middle(width, height, spec.size)
    across, down = spec.size[1] / (right - left), spec.size[0] / (bottom - top)
    return min(across, down) if spec.fit in ("pad", "corner") else max(across, down)


def rows(frame: NDArray[np.uint8], spec: InputSpec, most: int = MOST) -> Rows:
    """The tiles of a frame of any size (``uint8 [h, w, 3]`` RGB), at least one, at most ``most``."""
    height, width, _ = frame.shape
    boxes = windows(width, height, spec, most)
    tiles = np.empty((len(boxes), *spec.size, 3), np.uint8)
    if spec.fit == "corner":
        for tile, box in zip(tiles, boxes, strict=True):
            _corner(frame, box, spec, tile)
        return tiles
    image = Image.fromarray(np.ascontiguousarray(frame))
    for tile, box in zip(tiles, boxes, strict=True):
        _place(image, box, spec, tile)
    return tiles


def _place(image: Image.Image, box: Box, spec: InputSpec, out: NDArray[np.uint8]) -> None:
    high, wide = spec.size
    left, top, right, bottom = box
    size = (wide, high)
    if spec.fit == "pad":
        ratio = max((bottom - top) / high, (right - left) / wide)
        size = (min(wide, max(1, round((right - left) / ratio))), min(high, max(1, round((bottom - top) / ratio))))
    elif spec.fit == "centre":
        box = _middle(image.width, image.height, spec.size)
    kept = np.asarray(image.resize(size, _FILTERS[spec.interpolation], box))
    if kept.shape == out.shape:
        out[:] = kept
        return
    out[:] = spec.fill
    y, x = (out.shape[0] - kept.shape[0]) // 2, (out.shape[1] - kept.shape[1]) // 2
    out[y : y + kept.shape[0], x : x + kept.shape[1]] = kept


def _middle(width: int, height: int, size: tuple[int, int]) -> Box:
    """open_clip transform.py:image_transform and torchvision's Resize and CenterCrop, rounding as they do."""
    high, wide = size
    if high == wide:
        short = min(width, height)
        resized = (int(wide * width / short), int(high * height / short))
    else:
        ratio = min(height / high, width / wide)
        resized = (max(1, round(width / ratio)), max(1, round(height / ratio)))
    corner = (round((resized[0] - wide) / 2), round((resized[1] - high) / 2))
    # Where the crop lies in the frame, in its own pixels: Pillow then never computes what is cropped away.
    scale_x, scale_y = width / resized[0], height / resized[1]
    return (
        corner[0] * scale_x,
        corner[1] * scale_y,
        min(width, (corner[0] + wide) * scale_x),
        min(height, (corner[1] + high) * scale_y),
    )


def _corner(frame: NDArray[np.uint8], box: Box, spec: InputSpec, out: NDArray[np.uint8]) -> None:
    import cv2

    part = frame[math.floor(box[1]) : math.ceil(box[3]), math.floor(box[0]) : math.ceil(box[2])]
    height, width, _ = part.shape
    high, wide = spec.size
    ratio = max(height / high, width / wide)
    below, right = math.ceil(ratio * high - 1e-6) - height, math.ceil(ratio * wide - 1e-6) - width
    padded = cv2.copyMakeBorder(part, 0, below, 0, right, cv2.BORDER_CONSTANT, value=(spec.fill,) * 3)
    out[:] = cv2.resize(padded, (wide, high), interpolation=cv2.INTER_LINEAR)
