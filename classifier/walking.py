"""Goes over the frames of one opened picture file: all of them are hashed, the sampled ones are handed on."""

import time
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
from PIL import Image

from classifier.flatten import HASHED, Ground, Pixels, least_size, upright, views
from classifier.frames import MIN_PDQ_QUALITY, Bounds, DecodedFrame, HashedFrame, frame_of, hashed
from classifier.inputs import InputSpec
from classifier.sampling import LOOK, look_of, sampled, shown_for
from classifier.sniff import Kind

MAX_WALK = 2_000
"""Frames an animation may have: those that are not sampled are decoded and hashed too."""

SAME = 4
"""Bits that two hashes may be apart for the later one to be left out: half of what making smaller adds."""


BROKEN = (EOFError, OSError, SyntaxError, ValueError)
"""What Pillow raises for a frame that is broken or not there."""


class TooLargeError(Exception):
    """The file passes a bound; the message says which."""


@dataclass(slots=True)
class Walk:
    """Goes over the frames of one opened file. ``orientation``: the first one's (EXIF's numbers).

    ``size``: (width, height) of the frame that it went to last, when upright.
    """

    image: Image.Image
    kind: Kind
    bounds: Bounds
    until: float
    count: int
    lenient: bool
    orientation: int = 1
    size: tuple[int, int] = (0, 0)

    @property
    def wanted(self) -> tuple[InputSpec, ...]:
        """As ``Bounds.needed``."""
        return self.bounds.needed

    def survey(self) -> tuple[list[int], tuple[HashedFrame, ...]]:
        """Which frames to take, and the hashes of the others. Every frame is decoded, at most one kept in memory."""
        wanted = (HASHED,)
        times = [0.0] * self.count
        looks = np.zeros((self.count, LOOK), np.float32)
        found: list[tuple[Ground, HashedFrame]] = []
        before: dict[Ground, Pixels] = {}
        seen = False
        for index in range(self.count):
            try:
                shown, orientation = self.go(index, wanted)
                for number, (ground, pixels) in enumerate(views(shown, orientation, wanted)):
                    same = before.get(ground)
                    if same is None or not np.array_equal(same, pixels):
                        found.append((ground, hashed(index, pixels, self.bounds, self.size)))
                        before[ground] = pixels
                    if number == 0:
                        looks[index] = look_of(pixels)
                times[index] = shown_for(self.image.info.get("duration"))
                seen = True
            except BROKEN:
                if not (self.lenient and seen):
                    raise
            check_time(self.until)
        chosen = sampled(times, self.bounds.frames, looks)
        return chosen, tuple(_unlike(found, frozenset(chosen)))

    def take(self, chosen: Iterable[int]) -> tuple[DecodedFrame, ...]:
        """These frames, in order."""
        frames: list[DecodedFrame] = []
        for index in chosen:
            try:
                shown, orientation = self.go(index)
                for ground, pixels in views(shown, orientation, self.wanted):
                    frames.append(frame_of(index, ground, pixels, self.size))
            except BROKEN:
                if not (self.lenient and frames):
                    raise
            check_time(self.until)
        return tuple(frames)

    def go(self, index: int, wanted: Sequence[InputSpec] | None = None) -> tuple[Image.Image, int]:
        """That frame, loaded, and its orientation. Where it is JPEG, no larger than what is ``wanted`` takes."""
        if self.count > 1:
            _seek(self.image, index, self.until)
        size = self.image.size
        check_pixels(*size, f"frame {index}", self.bounds)
        shown, orientation = _load(self.image, self.kind, self.wanted if wanted is None else wanted)
        if index == 0:
            self.orientation = orientation
        if self.count > 1 or self.size == (0, 0):  # once loaded, a single picture has the size it was made smaller to
            self.size = upright(size, orientation)
        return shown, orientation


def _unlike(found: Iterable[tuple[Ground, HashedFrame]], sampled: frozenset[int]) -> Iterator[HashedFrame]:
    """Those that are not sampled and show something else than the one before, each ground by itself; no flat ones."""
    last: dict[Ground, int] = {}
    for ground, frame in found:
        if frame.quality < MIN_PDQ_QUALITY:
            continue
        bits = int(frame.pdq, 16)
        if ground in last and (last[ground] ^ bits).bit_count() <= SAME:
            continue
        if frame.index not in sampled:
            yield frame
        last[ground] = bits


def check_pixels(width: int, height: int, what: str, bounds: Bounds) -> None:
    """Raises TooLargeError."""
    if width * height > bounds.pixels:
        raise TooLargeError(f"{what} has {width}x{height} pixels, more than {bounds.pixels}")


def _seek(image: Image.Image, index: int, until: float) -> None:
    """Go to a frame one by one, looking at the clock: each may build on the one before."""
    if image.tell() > index:
        image.seek(0)
    while image.tell() < index:
        image.seek(image.tell() + 1)
        check_time(until)


def check_time(until: float) -> None:
    """Raises TooLargeError past ``until``, by this process's computing time in seconds."""
    if time.process_time() > until:
        raise TooLargeError("decoding it takes more computing time than decode.seconds allows")


def _load(image: Image.Image, kind: Kind, wanted: Sequence[InputSpec]) -> tuple[Image.Image, int]:
    """The loaded picture and its EXIF orientation (1: upright)."""
    if kind.pillow == "JPEG" and image.mode in ("RGB", "L"):
        image.draft(None, least_size(image.size, _orientation(image), wanted))
    image.load()
    return image, _orientation(image)


def _orientation(image: Image.Image) -> int:
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF is no reason not to look at the picture
        orientation = 1
    return orientation if isinstance(orientation, int) else 1
