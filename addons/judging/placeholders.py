"""What stands where something was taken away: a grey picture or short video with a sign, of the same format."""

import functools
import hashlib
import io
import logging
from collections.abc import Callable

from PIL import Image, ImageDraw

logger = logging.getLogger(__name__)

SIDE = 512
"""Pixels of the longer side, at most."""
LEAST = 32
"""Pixels of the shorter side, at least: less has no room for what tells two placeholders apart."""
USUAL = (320, 240)
"""Where the size of what was taken away is not known."""
CACHED = 16
"""Sizes whose drawing is remembered: half a megabyte each at most."""

_CELLS = 16
"""Cells along each side of the border that differs by seed."""
_LEVELS = (104, 120, 136, 152)
"""The greys of those cells: far enough apart to be told after JPEG and WebP have been at them."""
_GROUND, _SIGN = 128, 200
_FINER = 2
_RATE = 4
"""Frames a second of a video, which lasts one second."""

type Encode = Callable[[Image.Image], bytes]


def placeholder(media_type: str, width: int | None, height: int | None, seed: str) -> tuple[bytes, str]:
    """A file of ``media_type`` and its true media type: that, or one near it where it cannot be written.

    ``width`` and ``height``: pixels of what was taken away, where known; made smaller to ``SIDE`` a side. The same
    arguments give the same bytes, another ``seed`` (the URL) others, also once they were scaled and compressed anew:
    who keeps files by their hash does not join them. Blocks for a few milliseconds. Never raises.
    """
    wanted = media_type.partition(";")[0].strip().lower()
    wanted, encode = _ENCODERS.get(wanted, _ENCODERS["video/mp4" if wanted.startswith("video/") else "image/png"])
    size = _size(width, height, most=256 if wanted == "image/x-icon" else SIDE)
    picture = _marked(_drawn(size), seed)
    try:
        return encode(picture), wanted
    except Exception:
        logger.exception("no placeholder of type %s can be made here, a PNG stands in: an encoder is missing", wanted)
        return _by_pillow("PNG")(picture), "image/png"


def _size(width: int | None, height: int | None, *, most: int) -> tuple[int, int]:
    """Even, as videos want it, and of the same shape as far as the bounds allow."""
    if not width or not height or width < 0 or height < 0:
        width, height = USUAL
    scale = min(1.0, most / max(width, height))
    return _side(width * scale, most), _side(height * scale, most)


def _side(length: float, most: int) -> int:
    return 2 * round(min(most, max(LEAST, length)) / 2)


@functools.lru_cache(CACHED)
def _drawn(size: tuple[int, int]) -> Image.Image:
    """A crossed-out circle on grey. Never changed: who marks it takes a copy."""
    width, height = (_FINER * side for side in size)
    picture = Image.new("L", (width, height), _GROUND)
    draw = ImageDraw.Draw(picture)
    radius, line = min(width, height) * 0.28, max(2, min(width, height) // 20)
    x, y, reach = width / 2, height / 2, min(width, height) * 0.28 * 0.7
    draw.ellipse((x - radius, y - radius, x + radius, y + radius), outline=_SIGN, width=line)
    draw.line((x - reach, y + reach, x + reach, y - reach), fill=_SIGN, width=line)
    return picture.reduce(_FINER)


def _marked(drawn: Image.Image, seed: str) -> Image.Image:
    """The drawing with a border of cells in greys that the seed chooses: 60 cells, 120 bits of its SHA-256."""
    bits = int.from_bytes(hashlib.sha256(seed.encode(errors="surrogatepass")).digest())
    border = Image.new("L", (_CELLS, _CELLS), _GROUND)
    for y in range(_CELLS):
        for x in range(_CELLS):
            if {x, y} & {0, _CELLS - 1}:
                border.putpixel((x, y), _LEVELS[bits & 3])
                bits >>= 2
    picture = border.resize(drawn.size, Image.Resampling.NEAREST)
    inner = tuple(round(side / _CELLS) for side in drawn.size)
    box = (inner[0], inner[1], drawn.width - inner[0], drawn.height - inner[1])
    picture.paste(drawn.crop(box), box)
    return picture.convert("RGB")


def _by_pillow(format: str, **options: object) -> Encode:
    def encode(picture: Image.Image) -> bytes:
        file = io.BytesIO()
        picture.save(file, format, **options)
        return file.getvalue()

    return encode


def _icon(picture: Image.Image) -> bytes:
    return _by_pillow("ICO", sizes=[picture.size])(picture)


# The libraries below are imported only where they are needed: a process that serves traffic decodes nothing with them.


def _heic(picture: Image.Image) -> bytes:
    import pillow_heif

    file = io.BytesIO()
    pillow_heif.from_pillow(picture).save(file, quality=60, enc_params={"preset": "ultrafast"})
    return file.getvalue()


def _jxl(picture: Image.Image) -> bytes:
    import numpy as np
    from imagecodecs import jpegxl_encode

    return bytes(jpegxl_encode(np.asarray(picture), level=90, effort=3, numthreads=1))


def _film(format: str, codec: str, **options: str) -> Encode:
    def encode(picture: Image.Image) -> bytes:
        import av
        import numpy as np
        from av.video.stream import VideoStream

        file = io.BytesIO()
        with av.open(file, "w", format=format, options={"fflags": "+bitexact"}) as out:
            stream = out.add_stream(codec, rate=_RATE, options=options)
            assert isinstance(stream, VideoStream)
            stream.width, stream.height, stream.pix_fmt = picture.width, picture.height, "yuv420p"
            stream.thread_count = 1
            frame = av.VideoFrame.from_ndarray(np.asarray(picture), format="rgb24").reformat(format="yuv420p")
            for number in range(_RATE):
                frame.pts = number
                out.mux(stream.encode(frame))
            out.mux(stream.encode(None))
        return file.getvalue()

    return encode


_MADE: dict[str, Encode] = {
    "image/jpeg": _by_pillow("JPEG", quality=85),
    "image/png": _by_pillow("PNG"),
    "image/gif": _by_pillow("GIF"),
    "image/webp": _by_pillow("WEBP", quality=85, method=2),
    "image/avif": _by_pillow("AVIF", quality=75, speed=10),
    "image/heic": _heic,
    "image/jxl": _jxl,
    "image/bmp": _by_pillow("BMP"),
    "image/tiff": _by_pillow("TIFF", compression="tiff_lzw"),
    "image/x-icon": _icon,
    "video/mp4": _film("mp4", "libx264", preset="ultrafast"),
    "video/quicktime": _film("mov", "libx264", preset="ultrafast"),
    "video/x-matroska": _film("matroska", "libx264", preset="ultrafast"),
    "video/webm": _film("webm", "libvpx", **{"deadline": "realtime", "cpu-used": "8"}),
}
_OTHER_NAMES = {
    "image/jpg": "image/jpeg",
    "image/pjpeg": "image/jpeg",
    "image/apng": "image/png",
    "image/heif": "image/heic",
    "image/vnd.microsoft.icon": "image/x-icon",
    "image/x-ms-bmp": "image/bmp",
    "video/x-m4v": "video/mp4",
}
_ENCODERS: dict[str, tuple[str, Encode]] = {name: (name, encode) for name, encode in _MADE.items()}
_ENCODERS |= {other: _ENCODERS[name] for other, name in _OTHER_NAMES.items()}
