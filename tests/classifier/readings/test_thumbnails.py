import struct
from dataclasses import replace

import pytest
from PIL import Image

from classifier.readings.thumbnails import inner_pictures, thumbnail
from tests.classifier.readings.making import (
    BOUNDS,
    CIRCLE,
    PHOTO,
    circles,
    decoded,
    directory,
    exif_with,
    exif_with_rows,
    readings,
    with_segment,
)
from tests.drawing import encode, textured

FORMATS = ("JPEG", "PNG", "WEBP", "HEIF")  # Pillow's AVIF writer leaves thumbnails out


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("small", ["JPEG", "PNG", "GIF"])
def test_a_thumbnail_that_shows_something_else_is_a_frame(format: str, small: str) -> None:
    result = decoded(encode(PHOTO, format, exif=exif_with(encode(CIRCLE, small))))
    assert [frame.reading for frame in result.frames] == ["", "thumbnail"]
    assert circles(result) == ["thumbnail"]
    assert result.marks == ()
    assert [frame.index for frame in result.frames] == [0, 1]
    assert (result.width, result.height, result.count) == (640, 480, 1)


@pytest.mark.parametrize("format", FORMATS)
def test_one_that_shows_the_same_is_none(format: str) -> None:
    small = encode(PHOTO.resize((160, 120), Image.Resampling.NEAREST), "JPEG", quality=40)
    assert readings(encode(PHOTO, format, exif=exif_with(small))) == [""]


def test_one_with_bars_is_the_same() -> None:
    bars = Image.new("RGB", (160, 120))
    bars.paste(PHOTO.crop((0, 60, 640, 420)).resize((160, 90)), (0, 15))
    photo = encode(PHOTO.crop((0, 60, 640, 420)), "JPEG", exif=exif_with(encode(bars, "JPEG")))
    assert readings(photo) == [""]


def test_bars_hide_nothing() -> None:
    """Where a picture stands in them, they are none."""
    bars = Image.new("RGB", (160, 120))
    bars.paste(PHOTO.crop((0, 180, 640, 300)).resize((160, 30)), (0, 45))
    bars.paste(CIRCLE.resize((60, 45)), (50, 0))
    photo = encode(PHOTO.crop((0, 180, 640, 300)), "JPEG", exif=exif_with(encode(bars, "JPEG")))
    assert readings(photo) == ["", "thumbnail"]


@pytest.mark.parametrize("orientation", [1, 3, 6, 8])
@pytest.mark.parametrize("turned", [False, True])
def test_it_lies_as_the_picture_does_or_upright(orientation: int, turned: bool) -> None:
    upright = {1: 0, 3: 180, 6: -90, 8: 90}[orientation]
    small = PHOTO.rotate(upright if turned else 0, expand=True)
    small.thumbnail((160, 160))
    data = encode(PHOTO, "JPEG", exif=exif_with(encode(small, "JPEG"), orientation=orientation))
    assert readings(data) == [""]


def test_another_one_is_turned_as_the_picture_is() -> None:
    lying = CIRCLE.resize((120, 160)).rotate(90, expand=True)
    lying.paste((0, 0, 255), (0, 0, 20, 20))
    result = decoded(encode(PHOTO, "JPEG", exif=exif_with(encode(lying, "JPEG"), orientation=6)))
    assert result.frames[1].pixels.shape == (160, 120, 3)
    assert result.frames[1].pixels[5, -5, 2] > 200  # the lower left of what was shot, the left turned up


def test_plain_pixels_are_read_too() -> None:
    assert circles(decoded(encode(PHOTO, "JPEG", exif=exif_with_rows(CIRCLE)))) == ["thumbnail"]
    assert readings(encode(PHOTO, "JPEG", exif=exif_with_rows(PHOTO.resize((160, 120))))) == [""]


def test_a_thumbnail_has_no_thumbnail() -> None:
    inner = encode(textured(3), "JPEG", exif=exif_with(encode(CIRCLE, "JPEG")))
    assert readings(encode(PHOTO, "JPEG", exif=exif_with(inner))) == ["", "thumbnail"]


def test_a_bomb_is_marked() -> None:
    small = encode(Image.new("RGB", (200, 200)), "PNG")
    bounds = replace(BOUNDS, pixels=640 * 480)
    claims = small[:16] + struct.pack(">LL", 20_000, 20_000) + small[24:]
    result = decoded(encode(PHOTO, "JPEG", exif=exif_with(claims)), bounds)
    assert ([frame.reading for frame in result.frames], result.marks) == ([""], ("file.picture",))


def test_pixels_of_a_thumbnail_at_the_bound_and_one_past() -> None:
    main = encode(textured(1, 100, 80), "JPEG", exif=exif_with(encode(CIRCLE.resize((100, 80)), "PNG")))
    assert readings(main, replace(BOUNDS, pixels=8000)) == ["", "thumbnail"]
    main = encode(textured(1, 100, 80), "JPEG", exif=exif_with(encode(CIRCLE.resize((127, 63)), "PNG")))
    result = decoded(main, replace(BOUNDS, pixels=8000))
    assert result.marks == ("file.picture",)


SMALL = encode(CIRCLE, "JPEG")


@pytest.mark.parametrize(
    "exif",
    [
        exif_with(SMALL, offset=1 << 20),
        exif_with(SMALL, offset=0xFFFFFFFF),
        exif_with(SMALL, following=1 << 30),
        exif_with(SMALL, following=8),  # the first directory again: a loop
        exif_with(SMALL, following=0),
        exif_with(b""),
        exif_with(b"hello"),
        exif_with(SMALL)[:40],
        exif_with(SMALL)[:12],
        b"Exif\x00\x00",
        b"Exif\x00\x00XX*\x00",
        b"Exif\x00\x00MM\x00*\x00\x00\x00\x08\xff\xff",
    ],
)
def test_what_leads_nowhere_is_none(exif: bytes) -> None:
    assert thumbnail(exif) is None
    result = decoded(with_segment(encode(PHOTO, "JPEG"), 0xE1, exif))
    assert [frame.reading for frame in result.frames] == [""]


def test_a_broken_one_is_shown_as_far_as_it_goes_or_marked() -> None:
    half = SMALL[: len(SMALL) * 9 // 10]
    assert circles(decoded(encode(PHOTO, "JPEG", exif=exif_with(half)))) == ["thumbnail"]
    assert decoded(encode(PHOTO, "JPEG", exif=exif_with(SMALL[:200]))).marks == ("file.picture",)


def tiff_with_inner(count: int, photometric: int = 2) -> bytes:
    """A TIFF of one page that shows the photo, and names further directories that show the circle."""
    main = encode(PHOTO, "TIFF")
    (first,) = struct.unpack_from("<L", main, 4)
    (entries,) = struct.unpack_from("<H", main, first)
    tags = {}
    for number in range(entries):
        tag, kind, many, value = struct.unpack_from("<HHL4s", main, first + 2 + 12 * number)
        tags[tag] = (kind, many, value)
    raw = CIRCLE.tobytes()
    body = main + bytes(-len(main) % 2)
    pixels, body = len(body), body + raw
    bits, body = len(body), body + struct.pack("<3H", 8, 8, 8)
    inner = {
        0x0100: (3, 1, struct.pack("<H", CIRCLE.width)),
        0x0101: (3, 1, struct.pack("<H", CIRCLE.height)),
        0x0102: (3, 3, struct.pack("<L", bits)),
        0x0103: (3, 1, struct.pack("<H", 1)),
        0x0106: (3, 1, struct.pack("<H", photometric)),
        0x0111: (4, 1, struct.pack("<L", pixels)),
        0x0115: (3, 1, struct.pack("<H", 3)),
        0x0116: (3, 1, struct.pack("<H", CIRCLE.height)),
        0x0117: (4, 1, struct.pack("<L", len(raw))),
    }
    place, body = len(body), body + directory(inner, 0, "<")
    many, body = len(body), body + struct.pack("<L", place) * count
    tags[0x014A] = (4, count, struct.pack("<L", place if count == 1 else many))
    return body[:4] + struct.pack("<L", len(body)) + body[8:] + directory(tags, 0, "<")


@pytest.mark.parametrize("count", [1, 2, 3, 4])
def test_inner_pictures_of_a_tiff(count: int) -> None:
    result = decoded(tiff_with_inner(count))
    assert circles(result) == ["inner picture"]  # the others show the same
    assert result.marks == (("file.picture",) if count > 3 else ())
    assert len(inner_pictures(tiff_with_inner(count)).readings) == min(count, 3)


def test_an_inner_picture_that_cannot_be_read_is_marked() -> None:
    result = decoded(tiff_with_inner(1, photometric=32803))  # a camera's raw mosaic
    assert (circles(result), result.marks) == ([], ("file.picture",))
