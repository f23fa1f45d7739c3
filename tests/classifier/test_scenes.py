import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.scenes import Candidate, Pool, coarse_to_fine, places, widest


def grey(number: int, level: float, of: int = 1000) -> Candidate[int]:
    return Candidate(number, number / (of - 1), np.full(48, level, np.float32), number)


def numbers(pool: Pool[int]) -> list[int]:
    return [one.number for one in pool.chosen()]


def test_places_are_the_mean_of_time_and_number() -> None:
    assert places([0.0, 1.0, 2.0]) == [0.0, 0.5, 1.0]
    assert places([0.0, 1.0, 10.0]) == [0.0, pytest.approx(0.3), 1.0]
    assert places([]) == []
    assert places([7.0]) == [0.0]


@pytest.mark.parametrize("times", [[5.0] * 3, [0.0, None, 2.0], [None] * 3])
def test_places_without_usable_times_are_by_number(times: list[float | None]) -> None:
    assert places(times) == [0.0, 0.5, 1.0]


def test_a_time_that_lies_leaves_the_others_half_of_the_places() -> None:
    found = places([*map(float, range(99)), 1e12])
    assert found[98] == pytest.approx(98 / 99 / 2)
    assert found[99] == 1.0


@pytest.mark.parametrize(
    ("seen", "whole", "longest"),
    [
        ([], True, 1.0),
        ([0], True, 1.0),
        ([0, 1, 2, 3, 4], True, 0.0),
        ([0, 4], True, 1.0),
        ([0, 2, 4], True, 0.5),
        ([2], True, 0.5),
        ([1, 2, 3], True, 0.25),
        ([0, 1, 2, 3, 4], False, 0.25),
        ([0, 4], False, 1.0),
    ],
)
def test_the_widest_stretch_unseen(seen: list[int], whole: bool, longest: float) -> None:
    assert widest([0.0, 0.25, 0.5, 0.75, 1.0], seen, whole=whole) == longest


def test_one_frame_seen_of_one_is_all() -> None:
    assert widest([0.0], [0]) == 0.0


@given(st.integers(0, 300))
def test_coarse_to_fine_is_every_number_once_and_even_from_the_start(count: int) -> None:
    order = coarse_to_fine(count)
    assert sorted(order) == list(range(count))
    for first in (4, 16, 64):
        if count >= 4 * first:
            seen = sorted(order[:first])
            assert max(np.diff([0, *seen, count])) <= 4 * count / first


def test_what_is_least_alike_is_kept_and_chosen_whenever_it_came() -> None:
    for at in (0, 13, 500, 999):
        pool: Pool[int] = Pool(8, 32)
        for number in range(1000):
            pool.offer(grey(number, 255.0 if number == at else 10.0 + number % 3))
        assert at in numbers(pool)


def test_half_of_those_chosen_stand_evenly_though_others_differ_more() -> None:
    pool: Pool[int] = Pool(8, 64)
    for number in range(1000):
        pool.offer(grey(number, float(number % 50 * 5) if number < 100 else 0.0))
    chosen = numbers(pool)
    assert len(chosen) == 8
    for target in (0, 333, 666, 999):
        assert target in chosen


@pytest.mark.parametrize("most", [1, 2, 3, 16, 64])
@pytest.mark.parametrize("count", [1, 2, 17, 200])
def test_never_more_than_asked_for_in_order_and_once(most: int, count: int) -> None:
    pool: Pool[int] = Pool(most, 64)
    for number in range(count):
        pool.offer(grey(number, number % 7, count + 1))
    chosen = numbers(pool)
    assert chosen == sorted(set(chosen))
    assert len(chosen) == min(most, count)


def test_frames_that_all_look_the_same_are_chosen_all_the_same() -> None:
    pool: Pool[int] = Pool(8, 16)
    for number in range(100):
        pool.offer(grey(number, 7.0, 100))
    chosen = numbers(pool)
    assert len(chosen) == 8
    assert chosen[0] < 10
    assert chosen[-1] > 90
