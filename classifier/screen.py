"""Makes what a player shows of one decoded video frame: its colours, turned and stretched as the file asks."""

import math
from collections.abc import Sequence
from functools import lru_cache

import numpy as np
from av.sidedata.sidedata import Type
from av.video.frame import VideoFrame
from av.video.reformatter import Colorspace, ColorTrc, VideoReformatter
from PIL import Image

from classifier.flatten import Pixels, least_size, target_size
from classifier.inputs import InputSpec

_UNSPECIFIED = 2
_HD = 720
"""Rows from which browsers take colours of an unspecified kind for BT.709 (Chromium, ``media/base/video_types``)."""

# Which way the picture's x and y axes point (ISO/IEC 14496-12 8.2.2.3, y down), to EXIF's orientation.
_TURNED = {
    ((1, 0), (0, 1)): 1,
    ((-1, 0), (0, 1)): 2,
    ((-1, 0), (0, -1)): 3,
    ((1, 0), (0, -1)): 4,
    ((0, 1), (1, 0)): 5,
    ((0, 1), (-1, 0)): 6,
    ((0, -1), (-1, 0)): 7,
    ((0, -1), (1, 0)): 8,
}


class Screen:
    """Turns frames into pictures, no larger than what is ``wanted`` takes (as in ``flatten``).

    One for a track: what it sets up for frames of one size serves the next.
    """

    def __init__(self, stretch: float = 1.0, wanted: Sequence[InputSpec] = ()) -> None:
        self._stretch = stretch
        self._wanted = wanted
        self._small = VideoReformatter()
        self._large = VideoReformatter()

    def small(self, frame: VideoFrame, side: int) -> Pixels:
        """``uint8 [side, side, 4]`` RGBA: as decoded, neither turned nor in its own aspect."""
        found = self._small.reformat(frame, side, side, "rgba", interpolation="AREA", threads=1)
        return np.asarray(found.to_ndarray(), np.uint8)

    def size(self, frame: VideoFrame) -> tuple[int, int]:
        """Width and height in square pixels, not yet turned."""
        return max(1, round(frame.width * self._stretch)), frame.height

    def shrunk(self, frame: VideoFrame, size: tuple[int, int], orientation: int) -> VideoFrame:
        """A frame of this ``size`` made smaller, so that many can be kept.

        Not as small as what is wanted takes: its colours are at half of its size.
        """
        least = max(target_size(*size), least_size(size, orientation, self._wanted))
        return self._large.reformat(frame, *least, interpolation="BICUBIC", threads=1)

    def picture(self, frame: VideoFrame, size: tuple[int, int], orientation: int) -> Image.Image:
        """What is seen of a frame of this ``size``, at the one that frames are handed on in; not yet turned."""
        kind = "rgba" if has_alpha(frame) else "rgb24"
        guess = Colorspace.ITU709 if frame.colorspace == _UNSPECIFIED and size[1] >= _HD else None
        least = least_size(size, orientation, self._wanted)
        found = self._large.reformat(frame, *least, kind, src_colorspace=guess, interpolation="BICUBIC", threads=1)
        image = Image.fromarray(np.asarray(found.to_ndarray(), np.uint8))
        return image.point(_from_pq(len(image.getbands()))) if frame.color_trc == ColorTrc.SMPTE2084 else image


def has_alpha(frame: VideoFrame) -> bool:
    """Whether it has transparency."""
    return any(component.is_alpha for component in frame.format.components)


def orientation_of(frame: VideoFrame) -> int:
    """How to turn it, as EXIF says it (1…8); 1 too for turns that are no quarters, which players leave out."""
    matrix = frame.side_data.get(Type.DISPLAYMATRIX)
    if matrix is None or len(bytes(matrix)) < 36:
        return 1
    a, b, _, c, d = np.frombuffer(bytes(matrix), "<i4", 5).tolist()
    return _TURNED.get(((_sign(a), _sign(b)), (_sign(c), _sign(d))), 1)


def _sign(value: int) -> int:
    return (value > 0) - (value < 0)


@lru_cache(maxsize=2)
def _from_pq(bands: int) -> list[int]:
    """For each level of SMPTE ST 2084 the level that shows it on an ordinary screen whose white is 203 nits (BT.2408);
    what is brighter is white, as colours that wide become the nearest ordinary ones."""
    levels: list[int] = []
    for level in range(256):
        signal = (level / 255) ** (32 / 2523)
        nits = 10_000 * (max(0.0, signal - 0.8359375) / (18.8515625 - 18.6875 * signal)) ** (8192 / 1305)
        levels.append(round(255 * min(1.0, nits / 203) ** (1 / 2.2)))
    assert math.isclose(levels[0], 0)
    opaque = list(range(256))
    return levels * 3 + (opaque if bands == 4 else [])
