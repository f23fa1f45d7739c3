"""Real files in every format that is judged, and broken ones made of them: the same for the same seed."""

import functools
import random
import struct
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import numpy as np
import pillow_heif
from imagecodecs import jpegxl_encode
from PIL import Image

from tests.drawing import animation, encode, icon, textured
from tests.filming import film, moving

pillow_heif.register_heif_opener()

WIDTH, HEIGHT = 96, 72


def _picture(number: int = 1, mode: str = "RGB") -> Image.Image:
    return textured(number, WIDTH, HEIGHT).convert(mode)


def _exif() -> bytes:
    exif = Image.Exif()
    exif[0x0112] = 6
    exif[0x010E] = "drawn"
    return exif.tobytes()


def _film(format: str, codec: str, **options: str) -> bytes:
    return film(moving(1.6, WIDTH, HEIGHT), format, codec, options={"g": "5", **options})


def _jxl(pictures: Sequence[Image.Image], **options: Any) -> bytes:
    planes = [np.asarray(one) for one in pictures]
    return bytes(jpegxl_encode(planes[0] if len(planes) == 1 else np.stack(planes), **options))


def _pictures(count: int = 3) -> list[Image.Image]:
    return [_picture(number) for number in range(count)]


_SEEDS: Mapping[str, Callable[[], list[bytes]]] = {
    "jpeg": lambda: [
        encode(_picture(), "JPEG", quality=85),
        encode(_picture(2), "JPEG", progressive=True, exif=_exif()),
        encode(_picture(3, "L"), "JPEG", restart_marker_blocks=2),
        encode(_picture(4, "CMYK"), "JPEG"),
        animation(_pictures(), "MPO"),
    ],
    "png": lambda: [
        encode(_picture(), "PNG", exif=_exif()),
        encode(_picture(2, "RGBA"), "PNG"),
        encode(_picture(3, "P"), "PNG"),
        encode(_picture(4, "L").convert("I").convert("I;16"), "PNG"),
    ],
    "apng": lambda: [animation(_pictures(), "PNG"), animation(_pictures(), "PNG", default_image=True, disposal=1)],
    "gif": lambda: [
        encode(_picture(), "GIF"),
        animation(_pictures(), "GIF"),
        animation(_pictures(), "GIF", disposal=2),
    ],
    "webp": lambda: [
        encode(_picture(), "WEBP", quality=60),
        encode(_picture(2, "RGBA"), "WEBP", lossless=True, exif=_exif()),
        animation(_pictures(), "WEBP", method=0),
    ],
    "avif": lambda: [
        encode(_picture(), "AVIF", speed=10),
        encode(_picture(2, "RGBA"), "AVIF", speed=10, exif=_exif()),
        animation(_pictures(), "AVIF", speed=10),
    ],
    "heic": lambda: [encode(_picture(), "HEIF"), encode(_picture(2, "RGBA"), "HEIF", exif=_exif())],
    "jxl": lambda: [
        _jxl([_picture()], effort=1),
        _jxl([_picture(2)], lossless=True, effort=1, usecontainer=True),
        _jxl(_pictures(), effort=1),
    ],
    "bmp": lambda: [encode(_picture(), "BMP"), encode(_picture(2, "P"), "BMP"), encode(_picture(3, "RGBA"), "BMP")],
    "tiff": lambda: [
        *(
            encode(_picture(number), "TIFF", compression=kind)
            for number, kind in enumerate(("raw", "tiff_lzw", "tiff_adobe_deflate", "jpeg", "packbits"))
        ),
        encode(_picture(6, "1"), "TIFF", compression="group4"),
        encode(_picture(7), "TIFF", big_tiff=True),
        animation(_pictures(), "TIFF", compression="tiff_lzw"),
    ],
    "ico": lambda: [icon(_small()), icon(_small(), format="DIB")],
    "mp4": lambda: [_film("mp4", "libx264", preset="ultrafast"), _film("mp4", "mpeg4")],
    "webm": lambda: [_film("webm", "libvpx", deadline="realtime"), _film("webm", "libvpx-vp9", deadline="realtime")],
    "mov": lambda: [_film("mov", "libx264", preset="ultrafast"), _film("mov", "mjpeg", strict="unofficial")],
}

FORMATS = tuple(_SEEDS)


def _small() -> list[Image.Image]:
    return [one.resize((side, side)) for one, side in zip(_pictures(), (16, 32, 48), strict=True)]


@functools.cache
def real(format: str) -> list[bytes]:
    """Whole files of a format, of the kinds that differ most to its decoder."""
    return _SEEDS[format]()


def broken(format: str, number: int) -> bytes:
    """The ``number``-th broken file of a format: one to three mutations of a real one."""
    chance = random.Random(f"{format} {number}")
    data = bytearray(chance.choice(real(format)))
    for _ in range(chance.choice((1, 1, 1, 2, 3))):
        chance.choice(_MUTATIONS)(data, chance)
    return bytes(data)


def _flip(data: bytearray, chance: random.Random) -> None:
    """A few bits."""
    for _ in range(chance.choice((1, 2, 8, 64))):
        if data:
            data[chance.randrange(len(data))] ^= 1 << chance.randrange(8)


def _head(data: bytearray, chance: random.Random) -> None:
    """Bytes near the start, where the sizes stand."""
    for _ in range(chance.randint(1, 4)):
        if data:
            data[chance.randrange(min(len(data), 200))] = chance.choice((0, 1, 127, 128, 255, chance.randrange(256)))


def _cut(data: bytearray, chance: random.Random) -> None:
    del data[chance.randint(0, len(data)) :]


def _take_out(data: bytearray, chance: random.Random) -> None:
    start = chance.randint(0, len(data))
    del data[start : start + chance.choice((1, 2, 4, 64, 1024))]


def _put_in(data: bytearray, chance: random.Random) -> None:
    at = chance.randint(0, len(data))
    data[at:at] = chance.randbytes(chance.choice((1, 2, 4, 64, 1024)))


def _repeat(data: bytearray, chance: random.Random) -> None:
    """A stretch again, once or often: a chunk, a frame, a directory."""
    start = chance.randint(0, len(data))
    stretch = data[start : start + chance.choice((4, 12, 64, 512, 4096))]
    data[start:start] = stretch * chance.choice((1, 1, 2, 100))


def _splice(data: bytearray, chance: random.Random) -> None:
    """The start of one file and the end of another, of any format."""
    other = chance.choice(real(chance.choice(FORMATS)))
    data[chance.randint(0, len(data)) :] = other[chance.randint(0, len(other)) :]


def _length(data: bytearray, chance: random.Random) -> None:
    """A field of two, four or eight bytes becomes a length that is wrong, in either order."""
    kind = chance.choice(("H", "I", "Q"))
    size = struct.calcsize(kind)
    if len(data) < size:
        return
    most = (1 << 8 * size) - 1
    value = chance.choice((0, 1, most, most >> 1, (most >> 1) + 1, len(data), len(data) + 1, chance.randint(0, most)))
    at = chance.randint(0, len(data) - size)
    data[at : at + size] = struct.pack(chance.choice("<>") + kind, min(value, most))


def _known_word(data: bytearray, chance: random.Random) -> None:
    """What follows a marker, box or chunk name is changed: random places seldom hit these."""
    places = [at for word in _WORDS if (at := data.find(word)) >= 0]
    if places:
        at = chance.choice(places) + chance.choice((-4, 2, 4, 8, 12))
        if 0 <= at < len(data) - 4:
            data[at : at + 4] = struct.pack(">I", chance.choice((0, 1, 16, 0xFFFF, 1 << 20, 0x7FFFFFFF, 0xFFFFFFFF)))


_WORDS = (
    *(b"\xff\xc0", b"\xff\xc2", b"\xff\xc4", b"\xff\xda", b"\xff\xdb", b"\xff\xe1", b"Exif"),
    *(b"IHDR", b"IDAT", b"acTL", b"fcTL", b"fdAT", b"PLTE", b"eXIf", b"IEND"),
    *(b"VP8X", b"VP8 ", b"VP8L", b"ANIM", b"ANMF", b"ALPH", b"RIFF"),
    *(b"meta", b"iloc", b"ispe", b"iinf", b"ipco", b"ipma", b"mdat", b"av1C", b"hvcC", b"pixi", b"irot"),
    *(b"moov", b"mvhd", b"trak", b"stsd", b"stts", b"stsz", b"stsc", b"stco", b"ctts", b"elst", b"tkhd", b"avcC"),
    *(b"\x1fC\xb6u", b"\x16T\xaek", b"\x15I\xa9f", b"jxlc", b"jxlp", b"II*\x00", b"\x2c\x00\x00", b"\x21\xf9\x04"),
)

_MUTATIONS: tuple[Callable[[bytearray, random.Random], None], ...] = (
    _flip,
    _head,
    _cut,
    _take_out,
    _put_in,
    _repeat,
    _splice,
    _length,
    _length,
    _known_word,
)
