import pytest

from addons.holding.backoff import Backoff

AGAIN = Backoff(2.0, 100.0)


@pytest.mark.parametrize(
    ("attempts", "whole"), [(0, 2.0), (1, 2.0), (2, 4.0), (6, 64.0), (7, 100.0), (100, 100.0), (10**6, 100.0)]
)
def test_doubles_up_to_the_longest_and_is_never_more_than_halved(attempts: int, whole: float) -> None:
    assert AGAIN.after(attempts, lambda: 0.0) == whole / 2
    assert AGAIN.after(attempts, lambda: 1.0) == whole


def test_two_that_failed_together_do_not_come_back_together() -> None:
    assert len({AGAIN.after(3) for _ in range(10)}) == 10
