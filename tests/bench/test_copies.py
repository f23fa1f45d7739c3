"""Each copy is a file that can be judged, and altered as its name says."""

import numpy as np
import pytest
from numpy.typing import NDArray

from classifier.decode import decode, prepare
from classifier.frames import Bounds, Decoded
from tests.bench.copies import COPIES, THE_FILE
from tests.drawing import textured

PICTURE = textured(3, 200, 160)
BEFORE = np.asarray(PICTURE, np.int16)
TYPES = {
    "JPEG 30": "image/jpeg",
    "PNG": "image/png",
    "WebP 75": "image/webp",
    "GIF, 256 colours": "image/gif",
    "AVIF 60": "image/avif",
    "HEIC 60": "image/heic",
    "JPEG XL 85": "image/jxl",
}


@pytest.fixture(autouse=True)
def ready() -> None:
    prepare()


def decoded(name: str) -> Decoded:
    found = decode(COPIES[name](PICTURE), Bounds(1_000_000, 1, 20.0))
    assert isinstance(found, Decoded)
    assert not found.truncated
    return found


def pixels(name: str) -> NDArray[np.int16]:
    (frame,) = decoded(name).frames
    return frame.pixels.astype(np.int16)


@pytest.mark.parametrize("name", sorted(COPIES.keys() - {THE_FILE, "PNG"}))
def test_each_opens_and_none_is_the_file_itself(name: str) -> None:
    assert len(decoded(name).frames) == 1
    assert COPIES[name](PICTURE) != COPIES[THE_FILE](PICTURE)


@pytest.mark.parametrize("name", TYPES)
def test_formats_are_those_and_look_alike(name: str) -> None:
    assert decoded(name).media_type == TYPES[name]
    assert np.abs(pixels(name) - BEFORE).mean() < (20 if name.startswith("GIF") else 10)


@pytest.mark.parametrize("name", [THE_FILE, "PNG", *(name for name in COPIES if "EXIF" in name)])
def test_what_is_stored_without_loss_shows_the_same_pixels(name: str) -> None:
    assert np.array_equal(pixels(name), BEFORE)


@pytest.mark.parametrize("number", range(2, 9))
def test_exif_turns_are_told_apart(number: int) -> None:
    """No two files lie the same way, so that each orientation is really tried."""
    names = [name for name in COPIES if "EXIF" in name]
    assert names[number - 2] == f"stored turned, EXIF {number}"
    assert len({COPIES[name](PICTURE) for name in names}) == 7


@pytest.mark.parametrize(
    ("name", "size"),
    [
        ("resize 25 %", (50, 40)),
        ("resize 200 %", (400, 320)),
        ("crop 5 % a side", (180, 144)),
        ("crop 5 % on the left", (190, 160)),
        ("crop 5 % at the bottom", (200, 152)),
        ("border 10 %", (232, 192)),
        ("turned 90°", (160, 200)),
    ],
)
def test_sizes(name: str, size: tuple[int, int]) -> None:
    found = decoded(name)
    assert (found.width, found.height) == size


def test_turns_are_clockwise_and_mirrors_are_mirrors() -> None:
    assert np.array_equal(pixels("turned 90°"), np.rot90(BEFORE, -1))
    assert np.array_equal(pixels("turned 180°"), np.rot90(BEFORE, 2))
    assert np.array_equal(pixels("turned 270°"), np.rot90(BEFORE))
    assert np.array_equal(pixels("mirrored"), BEFORE[:, ::-1])
    assert np.array_equal(pixels("upside down"), BEFORE[::-1])


def test_crops_leave_the_rest_as_it_was() -> None:
    assert np.array_equal(pixels("crop 5 % on the left"), BEFORE[:, 10:])
    assert np.array_equal(pixels("crop 5 % at the bottom"), BEFORE[:152])


def test_gamma_above_one_is_lighter_and_below_darker() -> None:
    means = [pixels(f"gamma {gamma}").mean() for gamma in (0.6, 0.8, 1.25, 1.6)]
    assert means == sorted(means)
    assert means[1] < BEFORE.mean() < means[2]


@pytest.mark.parametrize(("share", "side"), [("2 %", 25), ("10 %", 57)])
def test_a_logo_covers_its_share_in_the_corner_and_nothing_else(share: str, side: int) -> None:
    changed = (pixels(f"watermark, logo {share}") != BEFORE).any(axis=2)
    assert not changed[: 160 - side].any()
    assert not changed[:, : 200 - side].any()
    assert changed[160 - side :, 200 - side :].mean() > 0.95


def test_text_is_at_the_bottom_and_larger_text_covers_more() -> None:
    changed = [(pixels(f"watermark, text {share}") != BEFORE).any(axis=2) for share in ("2 %", "10 %")]
    assert 0 < changed[0].mean() < changed[1].mean() < 0.1
    assert not changed[1][:130].any()


def test_a_border_is_black_and_around_the_picture() -> None:
    found = pixels("border 5 %")
    assert np.array_equal(found[8:-8, 8:-8], BEFORE)
    assert not found[:8].any()
    assert not found[:, -8:].any()


def test_more_blur_leaves_less_detail() -> None:
    detail = [np.abs(np.diff(pixels(f"blur, radius {radius}"), axis=1)).mean() for radius in (1, 2, 4)]
    assert detail == sorted(detail, reverse=True)
    assert detail[0] < np.abs(np.diff(BEFORE, axis=1)).mean()
