import math

import numpy as np
import pytest

from addons.calibration.thresholds import CONFIDENCE, expected, interval, threshold


@pytest.mark.parametrize(
    ("above", "files", "low", "high"),
    [
        # Clopper and Pearson's own table (Biometrika 26, 1934), and the closed forms at the ends.
        (0, 10, 0.0, 1 - 0.025 ** (1 / 10)),
        (10, 10, 0.025 ** (1 / 10), 1.0),
        (1, 10, 0.0025, 0.4450),
        (5, 10, 0.1871, 0.8129),
        (0, 3000, 0.0, 1 - 0.025 ** (1 / 3000)),
    ],
)
def test_the_interval_is_clopper_and_pearsons(above: int, files: int, low: float, high: float) -> None:
    found = interval(above, files)
    assert found.low == pytest.approx(low, abs=5e-5)
    assert found.high == pytest.approx(high, abs=5e-5)


def test_the_intervals_hold_what_they_promise() -> None:
    """The scores' true distribution is known here (uniform), so that the true rate above a threshold is 1 - it."""
    rng = np.random.default_rng(7)
    holds = holds_next = 0
    rounds, files, others = 600, 500, 400
    for _ in range(rounds):
        found = threshold("x.y", rng.random(files).tolist(), 0.02)
        assert found.score is not None
        holds += 1 - found.score in found.rate
        drawn = int((rng.random(others) > found.score).sum())
        holds_next += drawn in expected(found.above, files, others)
    # Clopper and Pearson promise at least as much as they say; 3 standard errors of 600 rounds are 2.7 %.
    assert holds / rounds > CONFIDENCE - 0.027
    assert holds_next / rounds > CONFIDENCE - 0.027


@pytest.mark.parametrize(("wanted", "above"), [(0.01, 1), (0.05, 5), (0.5, 50), (0.0101, 1), (0.0099, 0)])
def test_as_many_lie_above_as_may(wanted: float, above: int) -> None:
    scores = [number / 200 for number in range(100)]
    found = threshold("x.y", scores, wanted)
    assert found.above == above == sum(score > (found.score or 0) for score in scores)


def test_thresholds_are_rounded_up_so_that_no_more_lie_above() -> None:
    found = threshold("x.y", [0.12341, 0.12342, 0.9], 0.34)
    assert (found.score, found.above) == (0.1235, 1)


def test_equal_scores_are_on_one_side() -> None:
    found = threshold("x.y", [0.3] * 50 + [0.7] * 50, 0.1)
    assert (found.score, found.above) == (0.7, 0)


def test_where_too_many_reach_1_there_is_no_threshold() -> None:
    assert threshold("x.y", [1.0] * 3 + [0.1] * 97, 0.01).score is None
    assert threshold("x.y", [1.0] + [0.1] * 99, 0.01).score == 0.1


def test_one_file() -> None:
    found = threshold("x.y", [0.4], 0.001)
    assert (found.score, found.above, found.rate.low) == (0.4, 0, 0.0)
    assert found.rate.high == pytest.approx(0.975)
    assert "1 files are far too few for a rate of 0.001" in found.too_few
    assert "take 10,000 or more" in found.too_few


@pytest.mark.parametrize(("files", "said"), [(99, "far too few"), (100, "are few"), (999, "are few"), (1000, "")])
def test_too_few_is_said(files: int, said: str) -> None:
    found = threshold("x.y", [0.5] * files, 0.01)
    assert (said in found.too_few) if said else not found.too_few
    assert found.needed == 1000


@pytest.mark.parametrize("above", [0, 1, 7])
def test_what_is_expected_is_a_distributions_middle(above: int) -> None:
    found = expected(above, 1000, 1000)
    assert found.low <= above <= found.high
    assert math.isclose(found.low, int(found.low))
    assert expected(above, 1000, 0).high == 0
