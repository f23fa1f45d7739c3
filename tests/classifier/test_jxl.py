import io
import random
import struct
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from imagecodecs import jpegxl_encode
from numpy.typing import NDArray
from PIL import Image

from classifier.decode import decode
from classifier.flatten import Pixels
from classifier.frames import Undecoded
from classifier.jxl import CONTAINER, MAX_CHANNELS, JxlImageFile, read_header, register
from classifier.walking import MAX_WALK
from tests.classifier.readings.making import BOUNDS, CIRCLE, PHOTO, box, circles, decoded, exif_with, readings, zipped
from tests.drawing import encode, textured


@pytest.fixture(autouse=True)
def _known() -> Iterator[None]:
    most = Image.MAX_IMAGE_PIXELS
    register()
    yield
    Image.MAX_IMAGE_PIXELS = most


def made(pixels: NDArray[Any], **options: Any) -> bytes:
    """A JPEG XL file, without loss where ``options`` say nothing else."""
    return bytes(jpegxl_encode(pixels, **({"lossless": True} | options)))


def jxl(image: Image.Image, **options: Any) -> bytes:
    return made(np.asarray(image), **options)


def far(pixels: Pixels, image: Image.Image) -> float:
    return float(np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"), dtype=int)).mean())


@pytest.mark.parametrize("mode", ["RGB", "L", "LA", "RGBA"])
@pytest.mark.parametrize("usecontainer", [False, True])
def test_it_is_decoded(mode: str, usecontainer: bool) -> None:
    image = textured(1).convert(mode)
    data = jxl(image, usecontainer=usecontainer)
    assert data.startswith(CONTAINER) == usecontainer
    result = decoded(data)
    assert (result.media_type, result.width, result.height, result.count) == ("image/jxl", 256, 192, 1)
    assert far(result.frames[0].pixels, image) == 0
    assert result.marks == ()


def test_lossy() -> None:
    assert far(decoded(jxl(textured(1), lossless=False, level=90)).frames[0].pixels, textured(1)) < 3


def test_alpha_is_laid_on_grounds() -> None:
    image = textured(6).convert("RGBA")
    image.putalpha(textured(7).convert("L"))
    assert [frame.ground for frame in decoded(jxl(image)).frames] == ["white", "black", "bare"]


@pytest.mark.parametrize("bits", [1, 4, 8, 10, 12, 16])
def test_samples_of_other_depths(bits: int) -> None:
    most = (1 << bits) - 1
    values = (np.asarray(textured(1), dtype=np.uint32) * most + 127) // 255
    data = made(values.astype(np.uint16 if bits > 8 else np.uint8), bitspersample=bits)
    assert read_header(data).bits == bits
    shown = decoded(data).frames[0].pixels
    assert np.abs(shown.astype(int) - np.round(values * (255 / most))).max() <= 1


@pytest.mark.parametrize("dtype", [np.float32, np.float16])
def test_floats(dtype: type) -> None:
    data = made((np.asarray(textured(1)) / 255).astype(dtype))
    assert far(decoded(data).frames[0].pixels, textured(1)) < 1


@pytest.mark.parametrize(
    "size", [(1, 1), (8, 8), (256, 256), (640, 480), (641, 480), (1200, 675), (3, 2000), (1000, 1)]
)
def test_the_header_says_the_size(size: tuple[int, int]) -> None:
    header = read_header(jxl(textured(1, *size), effort=1))
    assert (header.width, header.height, header.orientation, header.animated) == (*size, 1, False)


def test_pixels_at_the_bound_and_one_past_before_anything_is_decoded() -> None:
    data = jxl(textured(1, 100, 80))
    assert decoded(data, replace(BOUNDS, pixels=8000)).width == 100
    cut = data[:40]  # the rest is not looked at
    for broken in (data, cut):
        answer = decode(broken, replace(BOUNDS, pixels=7999))
        assert isinstance(answer, Undecoded)
        assert (answer.cause, "7999" in answer.message) == ("too_large", True)


def animated(count: int, width: int = 64, height: int = 48) -> bytes:
    images = np.stack([np.asarray(textured(number, width, height)) for number in range(count)])
    return made(images, photometric="rgb", effort=1)


@pytest.mark.parametrize("count", [2, 3, 4, 5, 8, 9, 17, 40])
def test_every_frame_of_an_animation(count: int) -> None:
    result = decoded(animated(count), replace(BOUNDS, frames=4))
    assert result.count == count
    assert len(result.frames) == min(count, 4)
    assert {0, count - 1} <= {frame.index for frame in result.frames}
    for frame in result.frames:
        assert far(frame.pixels, textured(frame.index, 64, 48)) == 0
    hashed = {frame.index for frame in result.hashes}
    assert hashed | {frame.index for frame in result.frames} == set(range(count))


def test_frames_at_the_bound_and_one_past() -> None:
    bounds = replace(BOUNDS, frames=2, seconds=200.0)
    small = np.zeros((MAX_WALK + 1, 2, 2, 3), np.uint8)
    small[::2] = 255
    data = made(small[:-1], photometric="rgb", effort=1)
    assert JxlImageFile(io.BytesIO(data)).n_frames == MAX_WALK
    assert decoded(data, bounds).count == MAX_WALK
    answer = decode(made(small, photometric="rgb", effort=1), bounds)
    assert isinstance(answer, Undecoded)
    assert (answer.cause, f"{MAX_WALK + 1} frames" in answer.message) == ("too_large", True)


def test_a_thumbnail_in_exif_and_what_stands_behind() -> None:
    data = jxl(PHOTO, usecontainer=True)
    exif = bytes(4) + exif_with(encode(CIRCLE, "JPEG"), orientation=6).removeprefix(b"Exif\0\0")
    result = decoded(data + box(b"Exif", exif))
    assert circles(result) == ["thumbnail"]
    assert (result.width, result.height) == (640, 480)  # by the codestream, whatever EXIF says
    assert readings(data + encode(CIRCLE, "PNG")) == ["", "trailing png"]
    assert decoded(data + zipped()).marks == ("file.archive",)


def test_a_codestream_in_parts() -> None:
    whole = jxl(textured(1))
    head = CONTAINER + box(b"ftyp", b"jxl \0\0\0\0jxl ")
    parts = [whole[:3], whole[3:20], whole[20:]]
    numbered = [struct.pack(">L", number | (number == 2) << 31) for number in range(3)]
    data = head + b"".join(box(b"jxlp", number, part) for number, part in zip(numbered, parts, strict=True))
    assert far(decoded(data).frames[0].pixels, textured(1)) == 0


@pytest.mark.parametrize(
    "data", [b"\xff\x0a", b"\xff\x0a\x00", CONTAINER, CONTAINER + box(b"jxlc", b"junk"), b"\xff\x0a" + b"\xff" * 99]
)
def test_what_has_no_picture_is_undecodable(data: bytes) -> None:
    answer = decode(data, BOUNDS)
    assert isinstance(answer, Undecoded)
    assert answer.cause in ("undecodable", "too_large")


def test_half_a_picture_is_undecodable() -> None:
    data = jxl(textured(1))
    answer = decode(data[: len(data) // 2], BOUNDS)
    assert isinstance(answer, Undecoded)
    assert answer.cause == "undecodable"


class Bits:
    """Writes a header, least significant bit first."""

    def __init__(self) -> None:
        self.text = ""

    def put(self, *values: tuple[int, int]) -> "Bits":
        for value, width in values:
            self.text += format(value, f"0{width}b")[::-1] if width else ""
        return self

    def file(self) -> bytes:
        value = int(self.text[::-1], 2)
        return b"\xff\x0a" + value.to_bytes(len(self.text) // 8 + 8, "little")


def head(*, orientation: int = 1, kinds: tuple[int, ...] = ()) -> bytes:
    """8 x 8 pixels, with further channels of these kinds."""
    bits = Bits().put((1, 1), (0, 5), (1, 3), (0, 1), (1, 1), (orientation - 1, 3), (0, 1), (0, 1), (0, 1))
    bits.put((0, 1), (0, 2), (1, 1), (3, 2), (len(kinds) - 1, 12)) if kinds else bits.put(
        (0, 1), (0, 2), (1, 1), (0, 2)
    )
    for kind in kinds:
        bits.put(
            (0, 1),
            (kind, 2) if kind < 2 else (2, 2),
            (0, 0) if kind < 2 else (kind - 2, 4),
            (0, 1),
            (0, 2),
            (0, 2),
            (0, 2),
        )
        if kind == 0:
            bits.put((0, 1))
    return bits.file()


def test_channels_at_the_bound_and_one_past() -> None:
    assert read_header(head(kinds=(1,) * MAX_CHANNELS)).extra == (1,) * MAX_CHANNELS
    answers = [decode(head(kinds=(1,) * count), BOUNDS) for count in (MAX_CHANNELS, MAX_CHANNELS + 1)]
    assert [isinstance(one, Undecoded) and "further channels" in one.message for one in answers] == [False, True]


def test_ink_is_not_shown_so_it_is_not_judged() -> None:
    answer = decode(head(kinds=(4,)), BOUNDS)
    assert isinstance(answer, Undecoded)
    assert (answer.cause, "black" in answer.message) == ("undecodable", True)
    assert read_header(head(kinds=(0, 4, 1))).extra == (0, 4, 1)
    assert read_header(head(orientation=6)).orientation == 6


def test_mutated_files_give_an_answer() -> None:
    chance = random.Random(1)
    seeds = [jxl(textured(1, 24, 18)), jxl(textured(1, 24, 18), usecontainer=True), animated(3, 24, 18)]
    for number in range(600):
        data = bytearray(seeds[number % 3])
        for _ in range(chance.randint(1, 6)):
            data[chance.randrange(2, len(data))] = chance.randrange(256)
        assert decode(bytes(data[: chance.randint(2, len(data))]), BOUNDS)
