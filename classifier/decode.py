"""Bytes to frames with Pillow; runs inside a process of its own (see ``pool``), so it imports nothing heavy."""

import io
import time
import warnings
from dataclasses import dataclass
from typing import Literal

import numpy as np
import pdqhash
import pillow_heif
from PIL import (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)

from classifier.flatten import Ground, Pixels, target_size, views
from classifier.sniff import Kind, sniff

VERSION = "decode-1"
"""Changes whenever the same bytes could give other frames."""

MAX_WALK = 10_000
"""Frames an animation may have: the ones between those sampled have to be decoded too."""

# Named here so that Pillow finds them without importing all its plugins; the name says what may be opened at all.
PLUGINS = (
    AvifImagePlugin,
    BmpImagePlugin,
    GifImagePlugin,
    IcoImagePlugin,
    JpegImagePlugin,
    MpoImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
)
_HAS_ALL_ITS_PICTURES = frozenset({"GIF", "PNG", "WEBP", "AVIF", "HEIF", "TIFF"})


@dataclass(frozen=True, slots=True)
class DecodedFrame:
    """One view of one frame: ``pixels`` is ``uint8 [height, width, 3]`` RGB, upright, made smaller where large.

    ``index`` counts from 0 in the file's own order; two views of a picture with alpha have the same one. ``pdq`` is
    64 hex digits, of ``quality`` 0…100.
    """

    index: int
    ground: Ground
    pixels: Pixels
    pdq: str
    quality: int


@dataclass(frozen=True, slots=True)
class Decoded:
    """A file's frames. ``width``, ``height``: the file's own, upright; ``count``: frames that it has.

    ``truncated``: it was broken or cut short, and only part of it is to be seen.
    """

    media_type: str
    width: int
    height: int
    count: int
    frames: tuple[DecodedFrame, ...]
    truncated: bool = False


@dataclass(frozen=True, slots=True)
class Undecoded:
    """Why there are no frames. A value and not an exception: it has to travel between processes whole."""

    cause: Literal["undecodable", "unsupported", "too_large"]
    message: str
    media_type: str = ""
    """By content, where it is unsupported."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """Pixels of one frame, frames of one file, seconds of computing: each may be reached, not passed."""

    pixels: int
    frames: int
    seconds: float


class _TooLargeError(Exception):
    pass


def prepare() -> None:
    """Set Pillow up; called once in each process."""
    pillow_heif.register_heif_opener(thumbnails=False)
    pillow_heif.options.DECODE_THREADS = 1
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)


def decode(data: bytes, bounds: Bounds) -> Decoded | Undecoded:
    """The frames of ``data``. Never raises for anything that the bytes can bring about.

    What is broken or cut short is decoded as far as it goes, as browsers do, and judged on what they would show;
    only where nothing at all is to be seen is it ``undecodable``.
    """
    if not data:
        return Undecoded("undecodable", "the file is empty")
    kind = sniff(data)
    if kind.pillow is None:
        return Undecoded("unsupported", kind.why, kind.media_type)
    Image.MAX_IMAGE_PIXELS = bounds.pixels
    until = time.process_time() + bounds.seconds
    try:
        try:
            return _decode(data, kind, bounds, until, lenient=False)
        except (_TooLargeError, Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
            raise
        except Exception as error:
            return _second_try(data, kind, bounds, until, error)
    except _TooLargeError as error:
        return Undecoded("too_large", str(error))
    except (Image.DecompressionBombError, Image.DecompressionBombWarning):
        return Undecoded("too_large", f"a frame has more than {bounds.pixels} pixels")
    except MemoryError:
        return Undecoded("too_large", "decoding it takes more memory than a decoding process may have")
    except Exception as error:
        return Undecoded("undecodable", f"the {kind.media_type} file is broken: {_brief(error)}")


def _second_try(data: bytes, kind: Kind, bounds: Bounds, until: float, first: Exception) -> Decoded | Undecoded:
    decoded = _decode(data, kind, bounds, until, lenient=True)
    # What a decoder makes up for rows that were never there is grey or black: flat, so that PDQ has nothing to go by.
    if all(frame.quality == 0 for frame in decoded.frames):
        return Undecoded("undecodable", f"the {kind.media_type} file is broken: {_brief(first)}")
    return decoded


def _decode(data: bytes, kind: Kind, bounds: Bounds, until: float, *, lenient: bool) -> Decoded:
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    assert kind.pillow is not None
    formats = [kind.pillow, "MPO"] if kind.pillow == "JPEG" else [kind.pillow]
    with Image.open(io.BytesIO(data), formats=formats) as image:
        width, height = image.size
        if width * height > bounds.pixels:
            raise _TooLargeError(f"it has {width}x{height} pixels, more than {bounds.pixels}")
        count = getattr(image, "n_frames", 1) if kind.pillow in _HAS_ALL_ITS_PICTURES else 1
        if count > MAX_WALK:
            raise _TooLargeError(f"it has {count} frames, more than {MAX_WALK}")
        frames: list[DecodedFrame] = []
        upright = True
        for index in sampled(count, bounds.frames):
            try:
                if count > 1:
                    _seek(image, index, until)
                if image.size[0] * image.size[1] > bounds.pixels:
                    raise _TooLargeError(f"frame {index} has more than {bounds.pixels} pixels")
                shown, orientation = _load(image, kind)
                if index == 0:
                    upright = orientation < 5
                frames.extend(_frame(index, ground, pixels) for ground, pixels in views(shown, orientation))
            except (EOFError, OSError, SyntaxError, ValueError):
                if not (lenient and frames):
                    raise
            _in_time(until)
    if not upright:
        width, height = height, width
    return Decoded(kind.media_type, width, height, count, tuple(frames), lenient)


def sampled(count: int, most: int) -> list[int]:
    """At most ``most`` of ``count`` frames, evenly over the whole length, the first and the last among them."""
    if count <= most:
        return list(range(count))
    if most == 1:
        return [0]
    return [(number * (count - 1) + (most - 1) // 2) // (most - 1) for number in range(most)]


def _seek(image: Image.Image, index: int, until: float) -> None:
    """Go to a frame one by one, looking at the clock: each may build on the one before."""
    while image.tell() < index:
        image.seek(image.tell() + 1)
        _in_time(until)


def _in_time(until: float) -> None:
    if time.process_time() > until:
        raise _TooLargeError("decoding it takes more computing time than decode.seconds allows")


def _load(image: Image.Image, kind: Kind) -> tuple[Image.Image, int]:
    """The loaded picture and its EXIF orientation (1: upright)."""
    if kind.pillow == "JPEG" and image.mode in ("RGB", "L"):
        image.draft(None, target_size(*image.size))
    image.load()
    try:
        orientation = image.getexif().get(0x0112, 1)
    except Exception:  # broken EXIF is no reason not to look at the picture
        orientation = 1
    return image, orientation if isinstance(orientation, int) else 1


def _frame(index: int, ground: Ground, pixels: Pixels) -> DecodedFrame:
    pdq, quality = pdq_of(pixels)
    return DecodedFrame(index, ground, pixels, pdq, quality)


def pdq_of(pixels: Pixels) -> tuple[str, int]:
    """PDQ hash (64 hex digits) and its quality (0…100) of ``uint8 [height, width, 3]`` RGB.

    On the frame as it is: from the full-size picture's hash it is then 2 to 8 bits away, from 512 pixels 4 to 14.
    """
    bits, quality = pdqhash.compute(pixels)
    return np.packbits(bits.astype(np.uint8)).tobytes().hex(), int(quality)


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
