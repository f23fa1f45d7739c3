from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from classifier.sampling import LOOK, look_of, sampled, shown_for
from tests.drawing import quadrants, textured


@pytest.mark.parametrize(
    ("said", "milliseconds"),
    [
        (None, 100.0),
        (0, 100.0),
        (10, 100.0),
        (11, 11.0),
        (60_000, 60_000.0),
        (-1, 100.0),
        (12.5, 12.5),
        (float("nan"), 100.0),
        (float("inf"), 100.0),
        ("20", 100.0),
    ],
)
def test_shown_for(said: object, milliseconds: float) -> None:
    assert shown_for(said) == milliseconds


@pytest.mark.parametrize(
    ("count", "most", "expected"),
    [
        (1, 8, [0]),
        (8, 8, list(range(8))),
        (9, 8, [0, 1, 2, 3, 5, 6, 7, 8]),
        (100, 4, [0, 33, 66, 99]),
        (5, 1, [0]),
        (5, 2, [0, 4]),
    ],
)
def test_frames_shown_equally_long_are_taken_evenly(count: int, most: int, expected: list[int]) -> None:
    assert sampled([100.0] * count, most) == expected


@pytest.mark.parametrize(
    ("times", "most", "expected"),
    [
        ([1, 1, 1, 9, 1, 1], 1, [3]),
        ([1, 1, 1, 9, 1, 1], 2, [0, 5]),
        ([1, 1, 1, 9, 1, 1], 3, [0, 3, 5]),
        ([1, 9, 8, 7, 1, 1], 4, [0, 1, 2, 5]),
        # Four long ones would take every place; the run of almost as long ones between is found by its time.
        ([5, 9, 9, 9, 9, *[8] * 20, 9, 9, 9, 5], 8, [0, 1, 2, 3, 7, 14, 21, 28]),
    ],
)
def test_by_the_time_shown(times: list[float], most: int, expected: list[int]) -> None:
    assert sampled(times, most) == expected


@given(st.lists(st.floats(11, 60_000), min_size=1, max_size=200), st.integers(1, 64))
def test_what_is_always_so(times: list[float], most: int) -> None:
    found = sampled(times, most)
    assert found == sorted(set(found))
    assert len(found) == min(len(times), most)
    if most > 1:
        assert {0, len(times) - 1} <= set(found)
    if most != 2 and max(times) > sum(times) / 2:
        assert times.index(max(times)) in found


@given(st.integers(1, 2_000), st.integers(2, 64))
def test_equally_long_is_evenly_spread(count: int, most: int) -> None:
    gaps = np.diff(sampled([20.0] * count, most))
    assert gaps.size == 0 or gaps.max() - gaps.min() <= 1


def scenes(*numbers: int) -> NDArray[np.float32]:
    """A look for each frame, by the scene it is of."""
    return np.stack([look_of(np.asarray(textured(number, 64, 48))) for number in numbers])


def test_a_look_is_of_colours_where_they_stand() -> None:
    look = look_of(np.asarray(quadrants(320, 240)))
    assert look.shape == (LOOK,)
    assert look.dtype == np.float32
    corners = look.reshape(16, 16, 3)[[0, 0, 15, 15], [0, 15, 15, 0]]
    assert corners.tolist() == [[255, 0, 0], [0, 255, 0], [0, 0, 255], [255, 255, 0]]


@pytest.mark.parametrize(
    ("shown", "most", "expected"),
    [
        # Two at the ends, the longest or the middle, and one of the other scene.
        ([1] * 13 + [2] + [1] * 26, 4, {13}),
        ([1] * 13 + [2] + [1] * 20 + [3] + [1] * 5, 6, {13, 34}),
        ([1] * 3 + [2] + [1] * 3 + [3] + [1] * 3 + [4] + [1] * 30, 8, {3, 7, 11}),
        # Three has no room for it: the ends, and the middle.
        ([1] * 13 + [2] + [1] * 26, 3, set()),
    ],
)
def test_frames_of_another_scene_are_taken(shown: list[int], most: int, expected: set[int]) -> None:
    for times in ([100.0] * len(shown), [20.0 if scene > 1 else 500.0 for scene in shown]):
        found = sampled(times, most, scenes(*shown))
        assert expected <= set(found)
        assert {0, len(shown) - 1} <= set(found)
        assert len(found) == most
        if not expected:
            assert found == sampled(times, most)


def test_where_nothing_changes_they_stand_apart() -> None:
    found = sampled([100.0] * 100, 8, scenes(*[1] * 100))
    assert len(found) == 8
    assert np.diff(found).min() >= 10


@given(st.lists(st.floats(11, 60_000), min_size=1, max_size=60), st.integers(1, 64), st.randoms())
def test_what_is_always_so_by_scene_too(times: list[float], most: int, random: Random) -> None:
    looks = np.array([[random.random() * 255] * LOOK for _ in times], np.float32)
    found = sampled(times, most, looks)
    assert found == sorted(set(found))
    assert len(found) == min(len(times), most)
    if most > 1:
        assert {0, len(times) - 1} <= set(found)
    if most != 2 and max(times) > sum(times) / 2:
        assert times.index(max(times)) in found
