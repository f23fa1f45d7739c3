import numpy as np
import pytest
from av.video.frame import VideoFrame
from av.video.reformatter import ColorTrc
from PIL import Image

from classifier.inputs import InputSpec
from classifier.screen import Screen, _from_pq, has_alpha
from tests.drawing import quadrants


def frame(image: Image.Image, format: str = "rgb24") -> VideoFrame:
    return VideoFrame.from_ndarray(np.asarray(image), format=format)


def test_small_is_the_whole_frame_with_alpha() -> None:
    small = Screen().small(frame(quadrants(256, 128)), 16)
    assert small.shape == (16, 16, 4)
    assert [small[y, x].tolist() for y, x in ((2, 2), (2, 13), (13, 13), (13, 2))] == [
        [255, 0, 0, 255],
        [0, 255, 0, 255],
        [0, 0, 255, 255],
        [255, 255, 0, 255],
    ]


@pytest.mark.parametrize(("stretch", "size"), [(1.0, (256, 128)), (0.5, (128, 128)), (2.0, (512, 128))])
def test_pixels_that_are_not_square(stretch: float, size: tuple[int, int]) -> None:
    screen = Screen(stretch)
    shown = frame(quadrants(256, 128))
    assert screen.size(shown) == size
    assert screen.picture(shown, size, 1).size == size


def test_a_large_frame_is_handed_on_small_even_where_it_was_shrunk_before() -> None:
    screen = Screen()
    large = frame(quadrants(4000, 3000))
    size = screen.size(large)
    assert size == (4000, 3000)
    shrunk = screen.shrunk(large, size, 1)
    assert (shrunk.width, shrunk.height) == screen.picture(large, size, 1).size == (1024, 768)
    assert screen.picture(shrunk, size, 1).size == (1024, 768)


@pytest.mark.parametrize(
    ("side", "orientation", "shrunk", "picture"),
    [
        ((64, 64), 1, (1792, 448), (410, 102)),
        ((600, 600), 1, (3840, 960), (3840, 960)),
        ((64, 256), 6, (1792, 448), (1638, 410)),
    ],
)
def test_a_frame_is_no_larger_than_what_it_is_for(
    side: tuple[int, int], orientation: int, shrunk: tuple[int, int], picture: tuple[int, int]
) -> None:
    """Shrunk to be kept it may be larger, never smaller; what is wanted is of the upright one."""
    screen = Screen(1.0, (InputSpec(side, "squash"),))
    large = frame(quadrants(4000, 1000))
    kept = screen.shrunk(large, (4000, 1000), orientation)
    assert ((kept.width, kept.height), screen.picture(kept, (4000, 1000), orientation).size) == (shrunk, picture)


def test_alpha_is_kept() -> None:
    image = Image.new("RGBA", (64, 64), (255, 0, 0, 128))
    shown = frame(image, "rgba")
    assert has_alpha(shown)
    assert Screen().picture(shown, (64, 64), 1).getpixel((5, 5)) == (255, 0, 0, 128)
    assert not has_alpha(frame(quadrants()))


def test_high_dynamic_range_is_shown_as_on_an_ordinary_screen() -> None:
    """White paper is 203 nits, which SMPTE ST 2084 says with 58 % of its levels (ITU-R BT.2408)."""
    levels = _from_pq(3)
    assert levels[0] == 0
    assert levels[148] >= 250
    assert levels[140] < 235
    assert levels[255] == 255
    assert levels[:256] == sorted(levels[:256])
    shown = frame(Image.new("RGB", (64, 64), (148, 148, 148)))
    shown.color_trc = ColorTrc.SMPTE2084
    assert min(Screen().picture(shown, (64, 64), 1).getpixel((5, 5))) >= 250  # type: ignore[arg-type]
