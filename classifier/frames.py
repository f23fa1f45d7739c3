"""The values that decoding takes and gives: bounds; frames and hashes of a file, or why there are none."""

from dataclasses import dataclass, field
from typing import Literal

from classifier.flatten import HASHED, Ground, Pixels
from classifier.inputs import InputSpec, Rows
from classifier.pdq import flips_of, pdq_of

VERSION = "decode-5"
"""Changes whenever the same bytes could give other frames."""

MAX_ROWS = 96
"""Tiles of one file for one detector: with many frames, each of them gets fewer."""

MIN_PDQ_QUALITY = 50
"""Below this a picture is too flat for PDQ to say anything: neither matched nor added (ThreatExchange, ``pdq``)."""


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One view of one frame: ``pixels`` is ``uint8 [height, width, 3]`` RGB, upright, made smaller where large.

    ``index`` counts from 0 in the file's own order; two views of a picture with alpha have the same one. ``pdq`` is
    64 hex digits, of ``quality`` 0…100. ``at``: seconds into a video. ``reading``: which of a file's several readings
    it belongs to (``thumbnail``, say); "" is the file's own. ``size``: (width, height) of what it was made smaller
    from, where that is known.
    """

    index: int
    ground: Ground
    pixels: Pixels
    pdq: str
    quality: int
    at: float | None = None
    reading: str = ""
    size: tuple[int, int] | None = None


@dataclass(frozen=True, slots=True)
class HashedFrame:
    """The PDQ hash of one view of a frame that is not among those sampled; as in :class:`DecodedFrame`.

    ``flips``: those of its flips (:func:`classifier.pdq.flips_of`), where a list asks for them.
    """

    index: int
    pdq: str
    quality: int
    flips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's frames. ``width``, ``height``: the file's own, upright; ``count``: frames that it has.

    ``truncated``: it was broken or cut short, and only part of it is to be seen. ``hashes``: of the frames between
    those in ``frames``, where they show something else than the one before. ``duration``: seconds, of a video.
    ``marks``: symbols (``file.…``) of the file as a whole.
    """

    media_type: str
    width: int
    height: int
    count: int
    frames: tuple[DecodedFrame, ...]
    truncated: bool = False
    hashes: tuple[HashedFrame, ...] = ()
    duration: float | None = None
    marks: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class PreparedFrame:
    """One view of one frame. ``rows``: by detector, from where to where (exclusive) its tiles stand in the file's.

    ``at``: seconds into a video. ``reading``: which of a file's several readings it belongs to; "" is its own.
    ``flips``: the PDQ hashes of its flips (:func:`classifier.pdq.flips_of`), where a list asks for them.
    """

    index: int
    ground: Ground
    pdq: str
    quality: int
    rows: dict[str, tuple[int, int]]
    at: float | None = None
    reading: str = ""
    flips: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Prepared:
    """A file's frames, ready for the detectors; else as :class:`Decoded`. ``rows``: by detector."""

    media_type: str
    width: int
    height: int
    count: int
    frames: tuple[PreparedFrame, ...]
    truncated: bool = False
    hashes: tuple[HashedFrame, ...] = ()
    marks: tuple[str, ...] = ()
    rows: dict[str, Rows] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Why there are no frames. A value and not an exception: it has to travel between processes whole."""

    cause: Literal["undecodable", "unsupported", "too_large"]
    message: str
    media_type: str = ""
    """By content, where it is unsupported."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Pixels of one frame, frames sampled of one animation, seconds of computing, frames sampled of one video: may be
    reached, not passed. ``wanted``: what the frames are for, beside hashing, so that they are no larger than that
    takes; None where nobody says. ``flips``: hash frames mirrored and turned too, for hash lists that ask."""

    pixels: int
    frames: int
    seconds: float
    video_frames: int = 16
    wanted: tuple[InputSpec, ...] | None = None
    flips: bool = False

    @property
    def needed(self) -> tuple[InputSpec, ...]:
        """What sampled frames are for, their hashes too; empty where nobody said."""
        return () if self.wanted is None else (*self.wanted, HASHED)


def hashed(index: int, pixels: Pixels, bounds: Bounds, size: tuple[int, int] | None = None) -> HashedFrame:
    """A frame that is only hashed, its flips too where ``bounds`` say so; ``size`` as in :func:`frame_of`."""
    pdq, quality = pdq_of(pixels, size)
    return HashedFrame(index, pdq, quality, flips_of(pixels, size) if bounds.flips else ())


def frame_of(index: int, ground: Ground, pixels: Pixels, size: tuple[int, int] | None = None) -> DecodedFrame:
    """The frame, hashed. ``size``: (width, height) of what it was made smaller from."""
    pdq, quality = pdq_of(pixels, size)
    return DecodedFrame(index, ground, pixels, pdq, quality, size=size)
