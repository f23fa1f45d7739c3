"""Going over an animation's frames: what is chosen of them, and how near their hashes are."""

import io

import numpy as np
import pytest
from PIL import Image

from classifier.decode import prepare
from classifier.detectors.nudity import INPUT
from classifier.flatten import HASHED
from classifier.frames import Bounds
from classifier.inputs import InputSpec
from classifier.pdq import pdq_of
from classifier.sniff import sniff
from classifier.walking import TooLargeError, Walk, check_pixels, check_time
from tests.drawing import animation, encode, textured

BOUNDS = Bounds(pixels=4_000_000, frames=8, seconds=20.0)
CLIP = InputSpec((224, 224), "squash")


def walk(data: bytes, bounds: Bounds = BOUNDS) -> Walk:
    prepare()
    image = Image.open(io.BytesIO(data))
    return Walk(image, sniff(data), bounds, 1e9, getattr(image, "n_frames", 1), False)


def apart(one: str, other: str) -> int:
    return (int(one, 16) ^ int(other, 16)).bit_count()


@pytest.mark.parametrize("strange", [7, 23, 58])
def test_a_frame_of_another_scene_is_chosen_however_short(strange: int) -> None:
    """One of 60 that differ little; by time and number alone it would be passed over."""
    images = []
    for number in range(60):
        image = textured(1, 160, 120)
        image.paste((number * 4, 0, 0), (number, 50, number + 12, 62))
        images.append(image)
    images[strange] = textured(2, 160, 120)
    times = [20 if number == strange else 500 for number in range(60)]
    chosen, _ = walk(animation(images, "WEBP", lossless=True, duration=times)).survey()
    assert strange in chosen
    assert {0, 59} <= set(chosen)
    assert len(chosen) == 8


def test_a_scene_is_told_by_colour_too() -> None:
    grey = np.asarray(textured(1, 160, 120).convert("L"), np.uint8)
    images = [Image.merge("RGB", [Image.fromarray(grey)] * 3) for _ in range(40)]
    for number, image in enumerate(images):
        image.putpixel((number, 0), (number, 0, 0))  # encoders make one of frames that are quite the same
    blue = Image.fromarray((grey // 2).astype(np.uint8))
    images[11] = Image.merge("RGB", [Image.fromarray(grey), blue, Image.fromarray(grey)])
    chosen, _ = walk(animation(images, "WEBP", lossless=True)).survey()
    assert 11 in chosen


@pytest.mark.parametrize(("count", "size"), [(12, (800, 600)), (300, (400, 300))])
def test_hashes_are_those_of_the_full_frames(count: int, size: tuple[int, int]) -> None:
    images = [textured(number, *size) for number in range(count)]
    chosen, hashes = walk(animation(images, "PNG", compress_level=1)).survey()
    assert sorted([*chosen, *(one.index for one in hashes)]) == list(range(count))
    for one in hashes:
        assert apart(one.pdq, pdq_of(np.asarray(images[one.index]))[0]) <= 6


@pytest.mark.parametrize(
    ("wanted", "size"),
    [
        (None, (1024, 768)),
        ((), (500, 375)),
        ((CLIP,), (500, 375)),
        ((CLIP, INPUT), (500, 375)),
        ((InputSpec((336, 336), "squash"), INPUT), (1000, 750)),
        ((InputSpec((64, 64), "squash"),), (500, 375)),
    ],
)
def test_a_photograph_is_no_larger_than_what_it_is_for(
    wanted: tuple[InputSpec, ...] | None, size: tuple[int, int]
) -> None:
    data = encode(textured(1, 4000, 3000), "JPEG", quality=90)
    one = walk(data, Bounds(12_000_000, 8, 20.0, wanted=wanted))
    (frame,) = one.take([0])
    assert frame.pixels.shape == (size[1], size[0], 3)
    assert one.size == (4000, 3000)
    assert apart(frame.pdq, pdq_of(np.asarray(Image.open(io.BytesIO(data))))[0]) <= (8 if wanted is None else 6)


@pytest.mark.parametrize("orientation", [1, 6])
def test_what_is_wanted_is_of_the_upright_picture(orientation: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = orientation
    wide = InputSpec((64, 256), "squash", stretch=1e9)
    one = walk(encode(textured(1, 1600, 400), "JPEG", exif=exif), Bounds(4_000_000, 8, 20.0, wanted=(wide,)))
    (frame,) = one.take([0])
    assert one.size == ((400, 1600) if orientation == 6 else (1600, 400))
    # 1600 wide or 400: the tile's own 256 in it, and more.
    assert frame.pixels.shape == ((1600, 400, 3) if orientation == 6 else (400, 1600, 3))


def test_pages_of_several_sizes_are_each_hashed_at_their_own() -> None:
    images = [textured(1, 1024, 768), textured(2, 640, 480)]
    one = walk(animation(images, "TIFF"), Bounds(4_000_000, 8, 20.0, wanted=(CLIP,)))
    frames = one.take([0, 1])
    assert one.size == (640, 480)
    for frame, image in zip(frames, images, strict=True):
        assert apart(frame.pdq, pdq_of(np.asarray(image))[0]) <= 6


def test_hashing_alone_wants_a_frame_too() -> None:
    assert walk(encode(textured(1))).wanted == ()
    assert walk(encode(textured(1)), Bounds(1, 1, 1.0, wanted=())).wanted == (HASHED,)


def test_pixels_at_the_bound_and_one_past() -> None:
    check_pixels(100, 80, "it", Bounds(8000, 1, 1.0))
    with pytest.raises(TooLargeError, match="it has 100x81 pixels, more than 8000"):
        check_pixels(100, 81, "it", Bounds(8000, 1, 1.0))


def test_computing_time_past_the_bound() -> None:
    check_time(1e9)
    with pytest.raises(TooLargeError, match=r"decode\.seconds"):
        check_time(0.0)
