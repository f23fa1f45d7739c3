"""Tiles: that nothing of a frame lies outside them, that they are bounded, and that a model finds what is in them."""

import io
import json
import math
from itertools import pairwise
from typing import Literal

import cv2
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier.detectors.clip import ClipDetector
from classifier.detectors.nudity import INPUT
from classifier.flatten import HASHED, target_size, views
from classifier.inputs import GAP, MOST, OVERLAP, InputSpec, Rows, rows, scale, windows
from classifier.presets import load, shapes, tiny
from classifier.settings import ClipSettings
from tests.drawing import encode, textured

LENGTHS = st.one_of(st.integers(1, 300), st.integers(1, 20_000), st.sampled_from([1, 2, 224, 20_000]))
FITS: tuple[Literal["squash", "pad", "corner"], ...] = ("squash", "pad", "corner")
SPECS = st.builds(
    InputSpec,
    st.tuples(st.integers(8, 512), st.integers(8, 512)),
    st.sampled_from(FITS),
    stretch=st.floats(1.0, 3.0),
)
CLIP = InputSpec((224, 224), "squash")


@given(LENGTHS, LENGTHS, SPECS, st.integers(1, MOST))
@settings(max_examples=500)
def test_together_the_tiles_cover_all_and_neighbours_overlap(
    width: int, height: int, spec: InputSpec, most: int
) -> None:
    boxes = windows(width, height, spec, most)
    assert 1 <= len(boxes) <= most
    for left, top, right, bottom in boxes:
        assert 0 <= left < right <= width
        assert 0 <= top < bottom <= height
        aspect = (right - left) / (bottom - top) * spec.size[0] / spec.size[1]
        assert max(aspect, 1 / aspect) <= spec.stretch + 1e-6 or len(boxes) == most
    assert boxes[0][:2] == (0, 0)
    assert boxes[-1][2:] == (width, height)
    across = {(top, bottom) for _, top, _, bottom in boxes} == {(0, height)}
    along = [(box[0], box[2]) if across else (box[1], box[3]) for box in boxes]
    if not across:
        assert {(left, right) for left, _, right, _ in boxes} == {(0, width)}
    for (start, end), (following, _) in pairwise(along):
        assert start < following <= end - OVERLAP * (end - start) * (1 - 1e-6)


@pytest.mark.parametrize(
    ("size", "count"),
    [
        ((142, 100), 1),
        ((143, 100), 2),
        ((100, 142), 1),
        ((100, 143), 2),
        # 16 tiles of 1.19, each 0.8 of that further than the one before, are 15.49 long.
        ((1549, 100), MOST),
        ((1, 20_000), MOST),
        ((20_000, 1), MOST),
    ],
)
def test_how_many_tiles(size: tuple[int, int], count: int) -> None:
    assert len(windows(*size, CLIP)) == count


@pytest.mark.parametrize(("length", "aspect"), [(15_490, math.sqrt(1.42)), (15_500, 1.1925), (30_980, 2.383)])
def test_past_the_bound_tiles_are_stretched(length: int, aspect: float) -> None:
    boxes = windows(length, 1000, CLIP)
    assert len(boxes) == MOST
    assert (boxes[3][2] - boxes[3][0]) / 1000 == pytest.approx(aspect, abs=1e-3)


@pytest.mark.parametrize("most", [1, 2, 15, 16, 17])
def test_no_more_tiles_than_asked_for(most: int) -> None:
    assert len(windows(20_000, 100, CLIP, most)) == most
    assert rows(np.zeros((10, 2000, 3), np.uint8), CLIP, most).shape == (most, 224, 224, 3)


def test_the_middle_is_one_tile_however_long() -> None:
    assert len(windows(20_000, 100, InputSpec((224, 224), "centre", stretch=math.inf))) == 1


@given(st.integers(1, 200), st.integers(1, 200), SPECS)
@settings(max_examples=200, deadline=None)
def test_any_frame_gives_tiles_of_its_own_level(width: int, height: int, spec: InputSpec) -> None:
    found = rows(np.full((height, width, 3), 77, np.uint8), spec)
    assert found.shape[1:] == (*spec.size, 3)
    for tile in found:
        # A thin one OpenCV blends with its fill, as in NudeNet's own preparation.
        assert tile.max() == 77 or (spec.fit == "corner" and (tile.any() or min(width, height) < 8))


@pytest.mark.parametrize("fit", FITS)
@pytest.mark.parametrize("turned", [False, True])
def test_a_mark_anywhere_in_a_strip_is_in_a_tile(fit: Literal["squash", "pad", "corner"], turned: bool) -> None:
    spec = InputSpec((64, 64), fit, "linear" if fit == "corner" else "bicubic")
    for start in range(0, 1940, 97):
        frame = np.zeros((60, 2000, 3), np.uint8)
        frame[20:40, start : start + 60] = 255
        found = rows(np.ascontiguousarray(frame.transpose(1, 0, 2)) if turned else frame, spec)
        assert found.shape == (MOST, 64, 64, 3)
        assert found.max() == 255, start


@pytest.mark.parametrize("fill", [0, 127])
def test_what_is_beside_a_frame(fill: int) -> None:
    frame = np.full((50, 100, 3), 200, np.uint8)
    (padded,) = rows(frame, InputSpec((64, 64), "pad", fill=fill, stretch=2.0))
    assert (padded[16:48] == 200).all()
    assert (padded[:16] == fill).all()
    assert (padded[48:] == fill).all()
    (cornered,) = rows(frame, InputSpec((64, 64), "corner", "linear", fill, stretch=2.0))
    assert (cornered[:31] == 200).all()
    assert (cornered[33:] == fill).all()


def test_linear_is_opencvs() -> None:
    frame = np.asarray(textured(4, 640, 640))
    (found,) = rows(frame, InputSpec((320, 320), "corner", "linear"))
    assert (found == cv2.resize(frame, (320, 320), interpolation=cv2.INTER_LINEAR)).all()


@given(LENGTHS, LENGTHS, st.lists(SPECS, min_size=1, max_size=3))
@settings(max_examples=300)
def test_a_frame_keeps_what_its_tiles_take(width: int, height: int, specs: list[InputSpec]) -> None:
    share = scale(width, height, specs)
    assert 0 < share <= 1
    largest = 0.0
    for spec in specs:
        left, top, right, bottom = (edge * share for edge in windows(width, height, spec)[0])
        across, down = (right - left) / spec.size[1], (bottom - top) / spec.size[0]
        # What is padded has the frame's own shape in the tile: the longer side fills it.
        most = max(across, down) if spec.fit != "squash" else min(across, down)
        assert most >= GAP * (1 - 1e-6) or share == 1.0
        largest = max(largest, GAP / most)
    assert share == 1.0 or largest == pytest.approx(1.0)  # and no more than the one that takes the most


def test_nothing_wanted_keeps_all() -> None:
    assert scale(4000, 3000, ()) == 1.0


@pytest.mark.parametrize("size", [(1024, 768), (4000, 3000), (800, 10_000), (97, 20_000), (300, 200)])
def test_a_frame_on_its_way_to_the_tiles_is_at_least_that_large(size: tuple[int, int]) -> None:
    specs = (CLIP, INPUT, HASHED)
    ((_, pixels),) = views(Image.new("RGB", size), 1, specs)
    least = target_size(*size, specs)
    kept = pixels.shape[1], pixels.shape[0]
    assert all(low <= side < 2 * low or side == own for low, side, own in zip(least, kept, size, strict=True))
    assert scale(*kept, specs) >= min(1.0, max(low / side for low, side in zip(least, kept, strict=True))) * 0.99


def test_thin_lines_are_not_lost_between_two_steps() -> None:
    """Without antialiasing, as NudeNet has it, a line of two pixels in 1024 may be passed over."""
    frame = np.zeros((768, 1024, 3), np.uint8)
    at = range(20, 1000, 40)
    for line in at:
        frame[:, line : line + 2] = 255
    ((_, kept),) = views(Image.fromarray(frame), 1, (INPUT,))
    (ours,), (direct,) = rows(kept, INPUT), rows(frame, INPUT)

    def faintest(tile: Rows) -> int:
        return min(int(tile[100, int(line / 3.2) - 1 : int(line / 3.2) + 3].max()) for line in at)

    assert faintest(direct) < 32
    assert faintest(ours) > 64


def test_plain_values() -> None:
    spec = InputSpec((224, 320), "pad", "bilinear", 5, 2.0)
    told = json.dumps(spec.as_json())
    assert told == '{"size": [224, 320], "fit": "pad", "interpolation": "bilinear", "fill": 5, "stretch": 2.0}'


@pytest.fixture(scope="module")
def detector() -> ClipDetector:
    return ClipDetector.load(ClipSettings(model=tiny.MODEL, pretrained=tiny.PRETRAINED), load("demo-shapes"))


@pytest.mark.parametrize("place", [0.0, 0.13, 0.37, 0.5, 0.71, 0.94, 1.0])
@pytest.mark.parametrize("turned", [False, True])
def test_a_forbidden_shape_anywhere_in_a_long_strip_is_found(
    detector: ClipDetector, place: float, turned: bool
) -> None:
    """open_clip's own crop sees the middle alone."""
    strip = Image.new("RGB", (3000, 300), (120, 130, 140))
    shape = shapes.draw("red", "circle", size=300, background=(120, 130, 140), rng=np.random.default_rng(2))
    strip.paste(shape, (round(place * 2700), 0))
    image = strip.transpose(Image.Transpose.ROTATE_90) if turned else strip
    ((_, pixels),) = views(Image.open(io.BytesIO(encode(image, "PNG"))), 1, (detector.input, HASHED))
    scores = [one["clip.red_circle"] for one in detector.judge(rows(pixels, detector.input))]
    assert max(scores) > 0.8
    assert min(scores) < 0.2
    centre = ClipDetector(detector.model, load("demo-shapes"), whole=False)
    (middle,) = centre.judge(rows(pixels, centre.input))
    assert (middle["clip.red_circle"] > 0.8) is (place == 0.5)
