"""Bytes to frames with Pillow; runs inside a process of its own (see ``pool``), so it imports nothing heavy.

What is seen of a file of several pictures: of GIF, APNG (its default image too, where that is none of its),
WebP, AVIF, HEIF, JPEG XL and TIFF each frame or page (those that are not sampled are hashed alone), of ICO each entry.
Besides, where they show something else (``readings``): the thumbnail in EXIF, those of HEIF and AVIF, up to three
pictures and a video behind the picture's own end (the second picture of an MPO, the motion of a phone's photo), the
inner pictures of a TIFF's first page, of AVIF and HEIF both the still picture and the sequence, and what browsers make
of a colour profile, a PNG's gamma, or a transfer of PQ, HLG or linear light. What else a file holds is marked, by
symbols that begin with ``file.``.

Not seen: gain maps, unless the picture itself is blank; auxiliary pictures of HEIF and AVIF but alpha; Photoshop's
thumbnails in JPEG; inner pictures of BigTIFF or of a later page; colour profiles of JPEG XL and of icons; what stands
behind the end of ICO, TIFF and bare JPEG XL, but for a ZIP archive.
"""

import io
import time
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

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

from classifier import icons, jxl, video
from classifier.flatten import views
from classifier.frames import Bounds, Decoded, DecodedFrame, HashedFrame, Undecoded, frame_of
from classifier.keyed import in_full
from classifier.parts import Needs, Parts
from classifier.readings import colours
from classifier.readings.colours import Recolour, recoloured, recolouring
from classifier.readings.finding import find
from classifier.readings.further import FRAMES, VIDEO_FRAMES, with_readings
from classifier.readings.types import Reading
from classifier.sniff import Kind, sniff
from classifier.walking import BROKEN, MAX_WALK, TooLargeError, Walk, check_pixels, check_time

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
_HAS_ALL_ITS_PICTURES = frozenset({"GIF", "PNG", "WEBP", "AVIF", "HEIF", "TIFF", "JXL"})

VIDEO_SHARE = 0.25
"""Share of the time that a video behind a picture may take."""


def prepare() -> None:
    """Set Pillow up; called once in each process."""
    pillow_heif.register_heif_opener(thumbnails=False)
    pillow_heif.options.DECODE_THREADS = 1
    AvifImagePlugin.DEFAULT_MAX_THREADS = 1
    warnings.simplefilter("ignore")
    warnings.simplefilter("error", Image.DecompressionBombWarning)
    jxl.register()
    colours.prepare()
    video.prepare()


def decode_parts(parts: Parts, bounds: Bounds) -> Decoded | Undecoded | Needs:
    """As ``decode``, of a file known in parts; or which others are needed. Only a video can be judged by its parts."""
    kind = sniff(parts.head)
    if not kind.video:
        return Undecoded("too_large", f"{kind.media_type} is judged whole or not at all")
    until = time.process_time() + bounds.seconds
    return video.decode_video(parts, kind, bounds, until, lambda cover: decode(cover, bounds))


def decode(data: bytes, bounds: Bounds) -> Decoded | Undecoded:
    """The frames of ``data``. Never raises for anything that the bytes can bring about.

    What is broken or cut short is decoded as far as it goes, as browsers do, and judged on what they would show;
    only where nothing at all is to be seen is it ``undecodable``.
    """
    if not data:
        return Undecoded("undecodable", "the file is empty")
    kind = sniff(data)
    until = time.process_time() + bounds.seconds
    if kind.video:
        return _video(data, kind, bounds, until)
    own = _picture(data, kind, bounds, until)
    if isinstance(own, Undecoded):
        return own
    try:
        found = find(data, kind, own.exif, lambda: check_time(until))
    except TooLargeError as error:
        return Undecoded("too_large", str(error))
    return with_readings(own.decoded, own.orientation, found, bounds.frames, lambda one: _reading(one, bounds, until))


@dataclass(frozen=True, slots=True)
class _Own:
    """A file's own picture, and what tells of others."""

    decoded: Decoded
    exif: bytes = b""
    orientation: int = 1


def _reading(reading: Reading, bounds: Bounds, until: float) -> Decoded | Undecoded:
    """The frames of a further reading, which has none itself."""
    if reading.kind.video:
        until = min(until, time.process_time() + bounds.seconds * VIDEO_SHARE)
        return _video(reading.data, reading.kind, replace(bounds, video_frames=VIDEO_FRAMES), until)
    own = _picture(reading.data, reading.kind, replace(bounds, frames=FRAMES), until)
    return own if isinstance(own, Undecoded) else own.decoded


def _video(data: bytes, kind: Kind, bounds: Bounds, until: float) -> Decoded | Undecoded:
    def cover(data: bytes) -> Decoded | Undecoded:
        own = _picture(data, sniff(data), bounds, until)
        return own if isinstance(own, Undecoded) else own.decoded

    found = video.decode_video(data, kind, bounds, until, cover)
    assert not isinstance(found, Needs)
    return found


def _picture(data: bytes, kind: Kind, bounds: Bounds, until: float) -> _Own | Undecoded:
    if kind.pillow is None:
        return Undecoded("unsupported", kind.why, kind.media_type)
    Image.MAX_IMAGE_PIXELS = bounds.pixels
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


def _second_try(data: bytes, kind: Kind, bounds: Bounds, until: float, first: Exception) -> _Own | Undecoded:
    own = _decode(data, kind, bounds, until, lenient=True)
    # What a decoder makes up for rows that were never there is grey or black: flat, so that PDQ has nothing to go by.
    if all(frame.quality == 0 for frame in own.decoded.frames):
        return Undecoded("undecodable", f"the {kind.media_type} file is broken: {_brief(first)}")
    return own


def _decode(data: bytes, kind: Kind, bounds: Bounds, until: float, *, lenient: bool) -> _Own:
    ImageFile.LOAD_TRUNCATED_IMAGES = lenient
    assert kind.pillow is not None
    if kind.pillow == "ICO":
        return _Own(_icon(data, kind, bounds, until, lenient=lenient))
    formats = [kind.pillow, "MPO"] if kind.pillow == "JPEG" else [kind.pillow]
    with Image.open(io.BytesIO(data), formats=formats) as image:
        width, height = image.size
        check_pixels(width, height, "it", bounds)
        count = getattr(image, "n_frames", 1) if kind.pillow in _HAS_ALL_ITS_PICTURES else 1
        if count > MAX_WALK:
            raise TooLargeError(f"it has {count} frames, more than {MAX_WALK}")
        shown = in_full(image, data, frames=count)
        walk = Walk(shown, kind, bounds, until, count, lenient)
        wanted: list[int] = list(range(count))
        hashes: tuple[HashedFrame, ...] = ()
        if count > bounds.frames:
            wanted, hashes = walk.survey()
        frames = walk.take(wanted)
        if recolour := recolouring(shown, data):
            frames += tuple(_recoloured(walk, wanted[: bounds.frames], recolour))
        exif = shown.info.get("exif")
    if walk.orientation >= 5:
        width, height = height, width
    decoded = Decoded(kind.media_type, width, height, count, frames, lenient, hashes)
    return _Own(decoded, exif if isinstance(exif, bytes) else b"", walk.orientation)


def _recoloured(walk: Walk, wanted: Iterable[int], recolour: Recolour) -> Iterator[DecodedFrame]:
    """These frames as browsers that heed colour profiles show them, where that is something else."""
    for index in wanted:
        try:
            image, orientation = walk.go(index)
        except BROKEN:
            continue  # told already, or passed over, when the frame itself was taken
        other = recoloured(image, recolour)
        if other is not None:
            for ground, pixels in views(other, orientation, walk.wanted):
                yield replace(frame_of(index, ground, pixels, walk.size), reading="colours")
        check_time(walk.until)


def _icon(data: bytes, kind: Kind, bounds: Bounds, until: float, *, lenient: bool) -> Decoded:
    """Every entry is a frame. One that cannot be read spoils all: some other viewer might show that very one."""
    frames: list[DecodedFrame] = []
    sizes: list[tuple[int, int]] = []
    try:
        for index, image in enumerate(icons.pictures(data)):
            check_pixels(*image.size, f"entry {index}", bounds)
            image.load()
            sizes.append(image.size)
            shown = views(image, wanted=bounds.needed)
            frames.extend(frame_of(index, ground, pixels, sizes[-1]) for ground, pixels in shown)
            check_time(until)
    except icons.TooManyError as error:
        raise TooLargeError(str(error)) from error
    if not sizes:
        raise SyntaxError("it has no picture")
    width, height = max(sizes, key=lambda size: size[0] * size[1])
    return Decoded(kind.media_type, width, height, len(sizes), tuple(frames), lenient)


def _brief(error: Exception) -> str:
    return (str(error) or type(error).__name__).splitlines()[0][:200]
