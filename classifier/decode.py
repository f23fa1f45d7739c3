"""Bytes to frames with Pillow; runs inside a process of its own (see ``pool``), so it imports nothing heavy.

What is seen of a file of several pictures: of GIF, APNG, WebP, AVIF, HEIF and TIFF each frame or page (those that are
not sampled are hashed alone), of ICO each entry. Not seen are the pictures behind the first of an MPO (which is a
JPEG to browsers and servers), and of HEIF and AVIF the thumbnails, auxiliary pictures and, beside a sequence that is
the file's main part, its still picture.
"""

import io
import time
import warnings

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

from classifier import icons
from classifier.flatten import views
from classifier.frames import Bounds, Decoded, DecodedFrame, HashedFrame, Undecoded, frame_of, pdq_of
from classifier.sniff import Kind, sniff
from classifier.walking import MAX_WALK, TooLargeError, Walk, check_pixels, check_time

__all__ = ["Bounds", "Decoded", "DecodedFrame", "HashedFrame", "Undecoded", "decode", "pdq_of", "prepare"]

VERSION = "decode-2"
"""Changes whenever the same bytes could give other frames."""

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
        except (TooLargeError, Image.DecompressionBombError, Image.DecompressionBombWarning, MemoryError):
            raise
        except Exception as error:
            return _second_try(data, kind, bounds, until, error)
    except TooLargeError as error:
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
    if kind.pillow == "ICO":
        return _icon(data, kind, bounds, until, lenient=lenient)
    formats = [kind.pillow, "MPO"] if kind.pillow == "JPEG" else [kind.pillow]
    with Image.open(io.BytesIO(data), formats=formats) as image:
        width, height = image.size
        check_pixels(width, height, "it", bounds)
        count = getattr(image, "n_frames", 1) if kind.pillow in _HAS_ALL_ITS_PICTURES else 1
        if count > MAX_WALK:
            raise TooLargeError(f"it has {count} frames, more than {MAX_WALK}")
        walk = Walk(image, kind, bounds, until, count, lenient)
        wanted: list[int] = list(range(count))
        hashes: tuple[HashedFrame, ...] = ()
        if count > bounds.frames:
            wanted, hashes = walk.survey()
        frames = walk.take(wanted)
    if walk.turned:
        width, height = height, width
    return Decoded(kind.media_type, width, height, count, frames, lenient, hashes)


def _icon(data: bytes, kind: Kind, bounds: Bounds, until: float, *, lenient: bool) -> Decoded:
    """Every entry is a frame. One that cannot be read spoils all: some other viewer might show that very one."""
    frames: list[DecodedFrame] = []
    sizes: list[tuple[int, int]] = []
    try:
        for index, image in enumerate(icons.pictures(data)):
            check_pixels(*image.size, f"entry {index}", bounds)
            image.load()
            sizes.append(image.size)
            frames.extend(frame_of(index, ground, pixels) for ground, pixels in views(image))
            check_time(until)
    except icons.TooManyError as error:
        raise TooLargeError(str(error)) from error
    if not sizes:
        raise SyntaxError("it has no picture")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Decoded(kind.media_type, width, height, len(sizes), tuple(frames), lenient)


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
