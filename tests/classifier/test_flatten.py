import numpy as np
import pytest
from PIL import Image

from classifier.flatten import LONGEST, MOST, SHORTEST, Pixels, least_size, target_size, upright, views
from classifier.inputs import InputSpec
from tests.drawing import quadrants, shape, textured

CORNERS = [(0, 0), (0, -1), (-1, -1), (-1, 0)]
RED, GREEN, BLUE, YELLOW = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 0)


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((LONGEST, 768), (LONGEST, 768)),
        ((LONGEST + 1, LONGEST + 1), (LONGEST, LONGEST)),
        ((4000, 3000), (1024, 768)),
        ((3000, 4000), (768, 1024)),
        ((800, 10_000), (SHORTEST, 5600)),
        ((300, 9_000), (300, 9_000)),
        ((1, 1), (1, 1)),
        ((1, 64_000_000), (1, MOST)),
        ((64_000_000, 1), (MOST, 1)),
    ],
)
def test_target_size(size: tuple[int, int], expected: tuple[int, int]) -> None:
    assert target_size(*size) == expected


SPECS = (InputSpec((224, 224), "squash"), InputSpec((320, 320), "corner", "linear", stretch=2.0))


@pytest.mark.parametrize("wanted", [(), SPECS, (InputSpec((4096, 4096), "squash"),)])
@pytest.mark.parametrize("size", [(100, 640_000), (448, 9362), (448, 9363), (1024, 40_000), (1, 64_000_000)])
def test_a_frame_is_bounded(size: tuple[int, int], wanted: tuple[InputSpec, ...]) -> None:
    width, height = target_size(*size, wanted)
    assert 0 < width * height <= MOST


@pytest.mark.parametrize(("size", "kept"), [((3000, 4000), (1500, 2000)), ((2500, 2200), (2000, 1760))])
def test_twice_the_least_size_may_be_too_much(size: tuple[int, int], kept: tuple[int, int]) -> None:
    """2500 pixels are less than twice the 2000 that are wanted, so all would be kept: more than ``MOST``."""
    ((_, pixels),) = views(Image.new("RGB", size), 1, (InputSpec((1100, 1250), "pad", stretch=9.0),))
    assert pixels.shape == (kept[1], kept[0], 3)
    assert pixels.size <= 3 * MOST


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1024, 768), (512, 384)),
        ((1023, 767), (511, 383)),
        ((959, 700), (959, 700)),
        ((4000, 3000), (500, 375)),
        ((800, 10_000), (400, 5000)),
        ((200, 100), (200, 100)),
    ],
)
def test_wanted_frames_are_reduced_by_whole_numbers(size: tuple[int, int], expected: tuple[int, int]) -> None:
    image = textured(1, *size)
    ((_, pixels),) = views(image, 1, SPECS)
    assert pixels.shape == (expected[1], expected[0], 3)
    exact = np.asarray(image.resize(expected, Image.Resampling.BOX), int)
    assert np.abs(pixels.astype(int) - exact).mean() < 1.5


@pytest.mark.parametrize("orientation", range(1, 10))
def test_the_least_size_is_of_the_picture_as_it_lies(orientation: int) -> None:
    wide = (InputSpec((64, 256), "squash", stretch=100.0),)
    turned = 5 <= orientation <= 8
    assert upright((30, 20), orientation) == ((20, 30) if turned else (30, 20))
    expected = target_size(1600, 400, wide)
    assert least_size((400, 1600) if turned else (1600, 400), orientation, wide) == upright(expected, orientation)


@pytest.mark.parametrize(
    ("orientation", "corners"),
    [
        (1, [RED, GREEN, BLUE, YELLOW]),
        (2, [GREEN, RED, YELLOW, BLUE]),
        (3, [BLUE, YELLOW, RED, GREEN]),
        (4, [YELLOW, BLUE, GREEN, RED]),
        (5, [RED, YELLOW, BLUE, GREEN]),
        (6, [YELLOW, RED, GREEN, BLUE]),
        (7, [BLUE, GREEN, RED, YELLOW]),
        (8, [GREEN, BLUE, YELLOW, RED]),
        (9, [RED, GREEN, BLUE, YELLOW]),
    ],
)
def test_orientation(orientation: int, corners: list[tuple[int, int, int]]) -> None:
    ((ground, pixels),) = views(quadrants(), orientation)
    assert ground == ""
    assert pixels.shape == ((64, 48, 3) if 5 <= orientation <= 8 else (48, 64, 3))
    assert [tuple(pixels[corner]) for corner in CORNERS] == corners


@pytest.mark.parametrize("mode", ["RGB", "RGBA", "RGBX", "P", "CMYK", "YCbCr", "HSV"])
def test_modes_keep_colours(mode: str) -> None:
    image = quadrants().convert(mode)
    ((_, pixels),) = views(image)
    assert pixels.dtype == np.uint8
    for corner, colour in zip(CORNERS, [RED, GREEN, BLUE, YELLOW], strict=True):
        assert np.abs(pixels[corner].astype(int) - colour).max() <= 3, (mode, corner)


@pytest.mark.parametrize("mode", ["1", "L", "LA", "I;16", "I;16B", "I", "F"])
def test_grey_modes(mode: str) -> None:
    ramp = np.tile(np.array([0, 255], dtype=np.uint8), (8, 8))
    if mode.startswith("I;16"):
        wide = ramp.astype(">u2" if mode == "I;16B" else "<u2") * 257
        image = Image.frombytes(mode, (16, 8), wide.tobytes())
    elif mode == "I":
        image = Image.fromarray(ramp.astype(np.int32) * 257)
    elif mode == "F":
        image = Image.fromarray(ramp.astype(np.float32) / 255)
    else:
        image = Image.fromarray(ramp).convert(mode)
    ((_, pixels),) = views(image)
    assert pixels[0, 0].tolist() == [0, 0, 0]
    assert pixels[0, 1].tolist() == [255, 255, 255]


@pytest.mark.parametrize(
    ("values", "expected"),
    [
        ([0.0, 0.5, 1.0], [0, 127, 255]),
        ([-10.0, 0.0, 10.0], [0, 127, 255]),
        ([0.0, 2.0, 4.0], [0, 127, 255]),
        ([3.0, 3.0, 3.0], [0, 0, 0]),
        ([0.0, float("nan"), 1.0], [0, 0, 255]),
        ([0.0, float("inf"), 1.0], [0, 0, 255]),
    ],
)
def test_floats_fill_the_range(values: list[float], expected: list[int]) -> None:
    ((_, pixels),) = views(Image.fromarray(np.array([values], dtype=np.float32)))
    assert pixels[0, :, 0].tolist() == expected


def with_alpha(colour: Image.Image, alpha: Image.Image) -> Image.Image:
    image = colour.convert("RGBA")
    image.putalpha(alpha.convert("L"))
    return image


def grounds(image: Image.Image) -> list[str]:
    return [ground for ground, _ in views(image)]


def is_flat(pixels: Pixels) -> bool:
    return bool((pixels == pixels[0, 0]).all())


SOLID = Image.new("L", (256, 192), 255)
PATTERN = textured(1).convert("L")


def test_opaque_alpha_is_no_alpha() -> None:
    ((ground, pixels),) = views(with_alpha(textured(2), SOLID))
    assert ground == ""
    assert (pixels == np.asarray(textured(2))).all()


def test_hidden_in_alpha_from_black() -> None:
    hidden = with_alpha(Image.new("RGB", (256, 192), "black"), PATTERN)
    white = dict(views(hidden))["white"]
    assert np.abs(white[..., 0].astype(int) - (255 - np.asarray(PATTERN, dtype=int))).max() <= 1


def test_hidden_in_alpha_from_white() -> None:
    hidden = with_alpha(Image.new("RGB", (256, 192), "white"), PATTERN)
    shown = dict(views(hidden))
    assert is_flat(shown["white"])
    assert np.abs(shown["black"][..., 0].astype(int) - np.asarray(PATTERN, dtype=int)).max() <= 1


def test_hidden_under_alpha_is_seen_bare() -> None:
    hidden = with_alpha(textured(3), Image.new("L", (256, 192), 0))
    shown = dict(views(hidden))
    assert is_flat(shown["white"])
    assert is_flat(shown["black"])
    assert (shown["bare"] == np.asarray(textured(3))).all()


def test_views_that_show_the_same_are_one() -> None:
    mostly = Image.new("L", (200, 100), 255)
    mostly.paste(0, (0, 0, 10, 10))  # 100 of 20,000 pixels: 1 in 200, not more
    assert grounds(with_alpha(Image.new("RGB", (200, 100), "green"), mostly)) == ["white"]
    mostly.putpixel((10, 0), 0)  # one past
    assert len(grounds(with_alpha(Image.new("RGB", (200, 100), "green"), mostly))) > 1


def test_transparent_palette() -> None:
    image = shape(ground="black").convert("P")
    image.info["transparency"] = image.getpixel((0, 0))
    shown = dict(views(image))
    assert shown["white"][0, 0].tolist() == [255, 255, 255]
    assert shown["black"][0, 0].tolist() == [0, 0, 0]


def test_large_with_alpha_has_clean_edges() -> None:
    """Red that nobody sees under the transparent half must not bleed into what they see."""
    colour = Image.new("RGB", (2048, 2048), "red")
    colour.paste("white", (0, 0, 1024, 2048))
    alpha = Image.new("L", (2048, 2048), 0)
    alpha.paste(255, (0, 0, 1024, 2048))
    white = dict(views(with_alpha(colour, alpha)))["white"]
    assert white.shape == (LONGEST, LONGEST, 3)
    assert white.min() >= 250
