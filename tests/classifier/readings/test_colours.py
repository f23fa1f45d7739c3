import functools
import struct
from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from tests.classifier.readings.making import PHOTO, box, circles, decoded, readings
from tests.drawing import animation, encode, png_chunk, shape, textured

SRGB = ((0.4361, 0.2225, 0.0139), (0.3851, 0.7169, 0.0971), (0.1431, 0.0606, 0.7141))
P3 = ((0.5151, 0.2412, -0.0011), (0.2920, 0.6922, 0.0419), (0.1571, 0.0666, 0.7841))
ADOBE = ((0.6097, 0.3111, 0.0195), (0.2053, 0.6257, 0.0609), (0.1492, 0.0632, 0.7446))
PROPHOTO = ((0.7977, 0.2880, 0.0), (0.1352, 0.7119, 0.0), (0.0313, 0.0001, 0.8249))


def power(exponent: float) -> bytes:
    return b"curv" + struct.pack(">LLH", 0, 1, round(exponent * 256)) + b"\0\0"


def table(values: Sequence[int]) -> bytes:
    return b"curv" + struct.pack(f">LL{len(values)}H", 0, len(values), *values) + bytes(-2 * len(values) % 4)


def profile(primaries: Sequence[Sequence[float]], curve: bytes, space: bytes = b"RGB ") -> bytes:
    """An ICC profile (version 2) of a matrix and one curve."""

    def xyz(*values: float) -> bytes:
        return b"XYZ " + struct.pack(">L3l", 0, *(round(value * 65536) for value in values))

    names = (b"rXYZ", b"gXYZ", b"bXYZ") if space == b"RGB " else ()
    tags = [(b"wtpt", xyz(0.9642, 1.0, 0.8249)), *zip(names, (xyz(*one) for one in primaries), strict=False)]
    tags += [(name, curve) for name in ((b"rTRC", b"gTRC", b"bTRC") if names else (b"kTRC",))]
    tags += [
        (b"desc", b"desc" + struct.pack(">LL", 0, 2) + b"a" + bytes(79)),
        (b"cprt", b"text" + bytes(4) + b"x\0\0\0"),
    ]
    entries, body = b"", b""
    for name, value in tags:
        entries += name + struct.pack(">LL", 128 + 4 + 12 * len(tags) + len(body), len(value))
        body += value
    head = bytes(4) + struct.pack(">4sL4s4s4s", b"", 0x02100000, b"mntr", space, b"XYZ ") + bytes(12) + b"acsp"
    head = head.ljust(68, b"\0") + struct.pack(">3l", 63190, 65536, 54061)
    found = head.ljust(128, b"\0") + struct.pack(">L", len(tags)) + entries + body
    return struct.pack(">L", len(found)) + found[4:]


@functools.cache
def hidden() -> tuple[Image.Image, bytes]:
    """A picture that is all but white, and the profile that makes a red circle on white of it."""
    circle = np.asarray(shape("circle", "red", "white", 256, 192))
    return Image.fromarray((250 + circle // 51).astype(np.uint8)), profile(
        SRGB, table([0] * 251 + list(range(0, 65536, 16384)) + [65535])
    )


@pytest.mark.parametrize(
    ("primaries", "exponent"),
    [(SRGB, 1.8), (SRGB, 2.2), (SRGB, 2.6), (P3, 2.2), (P3, 2.6), (ADOBE, 2.2), (PROPHOTO, 1.8)],
)
@pytest.mark.parametrize("seed", [1, 2, 3])
def test_profiles_in_use_cost_nothing(primaries: Sequence[Sequence[float]], exponent: float, seed: int) -> None:
    data = encode(textured(seed), "JPEG", icc_profile=profile(primaries, power(exponent)))
    assert readings(data) == [""]


@pytest.mark.parametrize("format", ["PNG", "WEBP", "TIFF", "JPEG", "AVIF", "HEIF"])
def test_what_a_profile_shows_is_a_frame(format: str) -> None:
    image, icc = hidden()
    options: dict[str, object] = {"lossless": True} if format == "WEBP" else {"quality": 100}
    options |= {"subsampling": "4:4:4"} if format in ("JPEG", "AVIF") else {"chroma": 444} if format == "HEIF" else {}
    result = decoded(encode(image, format, icc_profile=icc, **options))
    assert circles(result) == ["colours"]
    assert result.frames[0].pixels.min() >= 245
    assert [frame.index for frame in result.frames] == [0, 0]


def test_a_faint_picture_is_uncovered_too() -> None:
    """Never more than 60 levels from what is seen without."""
    circle = np.asarray(shape("circle", "black", "white", 256, 192))
    faint = Image.fromarray((252 + circle // 85).astype(np.uint8))
    icc = profile(
        SRGB, table([round(65535 * (value / 255) ** 2.2) for value in range(252)] + [41_000, 48_000, 56_000, 65535])
    )
    assert readings(encode(faint, "PNG", icc_profile=icc)) == ["", "colours"]


def test_channels_swapped_by_a_profile_are_a_frame() -> None:
    swapped = profile((SRGB[1], SRGB[0], SRGB[2]), power(2.2))
    assert circles(decoded(encode(shape("circle", "lime"), "PNG", icc_profile=swapped))) == ["colours"]


def test_a_picture_with_alpha_and_a_palette_too() -> None:
    image, icc = hidden()
    clear = image.copy()
    clear.putalpha(Image.new("L", image.size, 255))
    clear.putpixel((0, 0), (250, 250, 250, 0))
    assert "colours" in circles(decoded(encode(clear, "PNG", icc_profile=icc)))
    assert circles(decoded(encode(image.quantize(8), "PNG", icc_profile=icc))) == ["colours"]


def test_each_frame_of_an_animation() -> None:
    image, icc = hidden()
    blank = Image.new("RGB", image.size, "white")
    result = decoded(animation([blank, image, blank.copy()], "PNG", icc_profile=icc))
    assert [(frame.index, frame.reading) for frame in result.frames if frame.reading] == [(1, "colours")]


@pytest.mark.parametrize("space", [b"GRAY", b"RGB "])
def test_a_grey_picture(space: bytes) -> None:
    inverted = profile(SRGB, table([65535 - 257 * value for value in range(256)]), space)
    grey = encode(textured(1).convert("L"), "PNG", icc_profile=inverted)
    assert readings(grey) == ["", "colours"]


@pytest.mark.parametrize(
    "icc",
    [
        b"",
        b"hello",
        profile(SRGB, power(2.2))[:100],
        profile(SRGB, power(2.2))[:200],
        profile(SRGB, power(2.2), b"CMYK"),
        profile(SRGB, power(2.2), b"XXXX"),
        profile(SRGB, table([65535] * 4096))[:-3000],
    ],
)
def test_a_broken_profile_changes_nothing(icc: bytes) -> None:
    assert readings(encode(PHOTO, "PNG", icc_profile=icc)) == [""]


def with_chunk(image: Image.Image, *chunks: bytes) -> bytes:
    data = encode(image, "PNG")
    return data[:33] + b"".join(chunks) + data[33:]


def gamma(value: float) -> bytes:
    return png_chunk(b"gAMA", struct.pack(">L", round(value * 100_000)))


@pytest.mark.parametrize("value", [1 / 2.2, 0.5, 0.4, 0.0, 0.38, 0.56])
def test_an_ordinary_gamma_costs_nothing(value: float) -> None:
    assert readings(with_chunk(PHOTO, gamma(value))) == [""]


def test_what_a_gamma_shows_is_a_frame() -> None:
    """The old trick: black to what takes no heed of gamma, a picture to browsers."""
    circle = np.asarray(shape("circle", "red", "white", 256, 192), dtype=float) / 255
    dark = Image.fromarray(((0.8 * circle) ** 20 * 255 + 0.5).astype(np.uint8))
    assert dark.getextrema() == ((3, 3), (0, 3), (0, 3))
    assert circles(decoded(with_chunk(dark, gamma(20 / 2.2)))) == ["colours"]
    light = Image.fromarray((255 - (1 - circle) * 40).astype(np.uint8))
    assert circles(decoded(with_chunk(light, gamma(0.02)))) == ["colours"]
    assert circles(decoded(with_chunk(light.convert("RGBA"), gamma(0.02)))) == ["colours"]
    srgb = png_chunk(b"sRGB", b"\0")
    assert readings(with_chunk(light, srgb, gamma(0.02))) == [""]


@pytest.mark.parametrize(("transfer", "more"), [(1, False), (13, False), (8, True), (16, True), (18, True)])
def test_code_points_of_a_png(transfer: int, more: bool) -> None:
    points = png_chunk(b"cICP", bytes((1, transfer, 0, 1)))
    assert readings(with_chunk(PHOTO, points)) == (["", "colours"] if more else [""])


@pytest.mark.parametrize(("transfer", "more"), [(1, False), (13, False), (8, True), (16, True)])
def test_code_points_of_an_avif(transfer: int, more: bool) -> None:
    data = encode(PHOTO, "AVIF")
    at = data.index(b"colrnclx") + 10
    data = data[:at] + struct.pack(">H", transfer) + data[at + 2 :]
    assert readings(data) == (["", "colours"] if more else [""])


def test_sixteen_bits() -> None:
    grey = Image.fromarray(np.asarray(textured(1).convert("L"), dtype=np.uint16) * 257)
    assert readings(with_chunk(grey, gamma(4.0))) == ["", "colours"]
    assert readings(with_chunk(grey, gamma(0.45))) == [""]


def test_a_cmyk_picture_with_a_profile_for_rgb() -> None:
    data = encode(PHOTO.convert("CMYK"), "JPEG", icc_profile=profile((SRGB[1], SRGB[0], SRGB[2]), power(2.2)))
    assert readings(data) == [""]


def test_an_icon_is_left_alone() -> None:
    image, icc = hidden()
    assert set(readings(encode(image.resize((64, 64)), "ICO", icc_profile=icc))) == {""}
    assert box(b"free") == b"\0\0\0\x08free"
