import asyncio
import threading
from collections.abc import Callable, Sequence

import numpy as np
import pytest

from classifier.lanes import Lane, ask
from classifier.types import CannotJudgeError, Frame

FRAMES = [np.zeros((2, 2, 3), dtype=np.uint8)] * 2


class Says:
    """A detector that gives what it was told."""

    name = "says"
    version = "says-1"
    symbols = frozenset({"says.x"})

    def __init__(self, answer: Callable[[], list[dict[str, float]]]) -> None:
        self._answer = answer

    def judge(self, frames: Sequence[Frame]) -> list[dict[str, float]]:
        return self._answer()


@pytest.mark.parametrize("score", [0.0, 0.5, 1.0])
def test_scores(score: float) -> None:
    assert ask(Says(lambda: [{"says.x": score}, {}]), FRAMES) == [{"says.x": score}, {}]


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (lambda: [{}], "1 answers for 2 frames"),
        (lambda: [{}, {}, {}], "3 answers for 2 frames"),
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
        ask(Says(answer), FRAMES)
    assert caught.value.cause == "detector_error"
    assert words in str(caught.value)


def test_its_own_cause_is_kept() -> None:
    def fail() -> list[dict[str, float]]:
        raise CannotJudgeError("detector_error", "as it said")

    with pytest.raises(CannotJudgeError, match=r"^as it said$"):
        ask(Says(fail), FRAMES)


async def test_cancelled_in_time_it_is_never_run() -> None:
    go = threading.Event()
    ran: list[int] = []

    def answer() -> list[dict[str, float]]:
        ran.append(1)
        go.wait(10)
        return [{}, {}]

    lane = Lane(Says(answer))
    first = asyncio.ensure_future(lane.judge(FRAMES))
    second = asyncio.ensure_future(lane.judge(FRAMES))
    await asyncio.sleep(0.05)
    second.cancel()
    await asyncio.sleep(0)
    go.set()
    assert await first == [{}, {}]
    assert await lane.judge(FRAMES) == [{}, {}]
    assert len(ran) == 2
    lane.close()
