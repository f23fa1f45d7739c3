import struct
import zlib

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.decode import decode, prepare
from classifier.frames import Bounds, Decoded, Undecoded

SIDE = 256
BOUNDS = Bounds(pixels=4_000_000, frames=8, seconds=20.0)
RGB, GREY = 2, 0


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> None:
    prepare()


def circle() -> NDArray[np.bool_]:
    rows, columns = np.mgrid[:SIDE, :SIDE] - SIDE // 2
    inside: NDArray[np.bool_] = rows**2 + columns**2 < 90**2
    return inside


def png(kind: int, samples: NDArray[np.int_], key: tuple[int, ...]) -> bytes:
    """A PNG of 16 bits a channel with ``key`` transparent."""
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    head = struct.pack(">IIBBBBB", SIDE, SIDE, 16, kind, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"tRNS", struct.pack(f">{len(key)}H", *key)), (b"IDAT", zlib.compress(rows)))
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunk(*one) for one in (*chunks, (b"IEND", b"")))


def chunk(kind: bytes, body: bytes) -> bytes:
    return struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))


def decoded(data: bytes) -> Decoded:
    result = decode(data, BOUNDS)
    assert isinstance(result, Decoded), result
    return result


def test_a_red_circle_that_only_its_lower_bytes_tell_from_the_transparent_ground() -> None:
    samples = np.full((SIDE, SIDE, 3), (0xFF34, 0x0034, 0x0034))
    samples[circle()] = 0xFF35, 0x0034, 0x0034
    white, *_ = decoded(png(RGB, samples, (0xFF34, 0x0034, 0x0034))).frames
    assert white.ground == "white"
    assert white.pixels[SIDE // 2, SIDE // 2].tolist() == [255, 0, 0]
    assert white.pixels[2, 2].tolist() == [255, 255, 255]


def test_a_grey_circle_that_only_its_lower_bytes_tell_from_the_transparent_ground() -> None:
    samples = np.full((SIDE, SIDE), 0x1234)
    samples[circle()] = 0x1235
    white, *_ = decoded(png(GREY, samples, (0x1234,))).frames
    assert white.pixels[SIDE // 2, SIDE // 2].tolist() == [0x12] * 3
    assert white.pixels[2, 2].tolist() == [255] * 3


def test_a_transparent_colour_that_no_pixel_has_changes_nothing() -> None:
    samples = np.full((SIDE, SIDE, 3), (0xFF34, 0x0034, 0x0034))
    (only,) = decoded(png(RGB, samples, (0xFF00, 0x0034, 0x0034))).frames
    assert only.ground == ""
    assert only.pixels[0, 0].tolist() == [255, 0, 0]


def test_an_animation_with_such_a_colour_is_not_judged_by_halves() -> None:
    samples = np.full((SIDE, SIDE, 3), (0xFF34, 0x0034, 0x0034))
    still = png(RGB, samples, (0xFF34, 0x0034, 0x0034))
    idat = still.index(b"IDAT") - 4
    control = struct.pack(">IIIIIHHBB", 0, SIDE, SIDE, 0, 0, 1, 10, 0, 0)
    rows = b"".join(b"\0" + row.astype(">u2").tobytes() for row in samples)
    second = struct.pack(">IIIIIHHBB", 1, SIDE, SIDE, 0, 0, 1, 10, 0, 0)
    frames = chunk(b"fcTL", second) + chunk(b"fdAT", struct.pack(">I", 2) + zlib.compress(rows))
    head = still[:idat] + chunk(b"acTL", struct.pack(">II", 2, 0)) + chunk(b"fcTL", control)
    result = decode(head + still[idat:-12] + frames + still[-12:], BOUNDS)
    assert isinstance(result, Undecoded)
    assert "16 bits" in result.message
