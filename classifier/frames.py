"""The values that decoding gives: frames and hashes of a file, or why there are none."""

from dataclasses import dataclass
from typing import Literal

from classifier.flatten import HASHED, Ground, Pixels
from classifier.inputs import InputSpec
from classifier.pdq import pdq_of

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
    """The PDQ hash of one view of a frame that is not among those sampled; as in :class:`DecodedFrame`."""

    index: int
    pdq: str
    quality: int


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
    takes; None where nobody says. ``flips``: hash sampled frames mirrored and turned too, for hash lists that ask."""

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


def frame_of(index: int, ground: Ground, pixels: Pixels, size: tuple[int, int] | None = None) -> DecodedFrame:
    """The frame, hashed. ``size``: (width, height) of what it was made smaller from."""
    pdq, quality = pdq_of(pixels, size)
    return DecodedFrame(index, ground, pixels, pdq, quality, size=size)
