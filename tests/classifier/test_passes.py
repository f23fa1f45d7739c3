from collections.abc import Callable

import pytest

from classifier.inputs import Rows
from classifier.passes import ask, ask_plain
from classifier.types import CannotJudgeError
from tests.classifier.fakes import SPEC, Broken, Reads, rows_of

ROWS = rows_of(1, 2)


class Says:
    """A detector that gives what it was told."""

    name = "says"
    version = "says-1"
    symbols = frozenset({"says.x"})
    input = SPEC
    batch = 4
    depth = 1

    def __init__(self, answer: Callable[[], list[dict[str, float]]]) -> None:
        self._answer = answer

    def judge(self, rows: Rows) -> list[dict[str, float]]:
        return self._answer()


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_scores(score: float) -> None:
    assert ask(Says(lambda: [{"says.x": score}, {}]), ROWS) == [{"says.x": score}, {}]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: [{}], "1 answers for 2 rows"),
        (lambda: [{}, {}, {}], "3 answers for 2 rows"),
        (lambda: [{}, {"says.y": 0.5}], "says.y = 0.5"),
        (lambda: [{"says.x": float("nan")}, {}], "nan"),
        (lambda: [{"says.x": 1.0001}, {}], "1.0001"),
        (lambda: [{"says.x": -0.0001}, {}], "-0.0001"),
        (lambda: [{"says.x": float("inf")}, {}], "inf"),
        (lambda: [][0], "IndexError"),
    ],
)
def test_what_is_wrong_is_a_detector_error(answer: Callable[[], list[dict[str, float]]], words: str) -> None:
    with pytest.raises(CannotJudgeError, match="the detector says") as caught:
        ask(Says(answer), ROWS)
    assert caught.value.cause == "detector_error"
    assert words in str(caught.value)


def test_its_own_cause_is_kept() -> None:
    def fail() -> list[dict[str, float]]:
        raise CannotJudgeError("detector_error", "as it said")

    with pytest.raises(CannotJudgeError, match=r"^as it said$"):
        ask(Says(fail), ROWS)


def test_a_plain_picture_tells_whether_a_detector_works() -> None:
    detector = Reads()
    ask_plain(detector)
    assert detector.passes == [[128]]
    with pytest.raises(CannotJudgeError, match="CUDA error: gone"):
        ask_plain(Broken())
