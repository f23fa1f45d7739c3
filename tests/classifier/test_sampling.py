import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.sampling import sampled, shown_for


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
