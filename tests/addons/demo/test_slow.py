import pytest

from addons.demo.slow import SlowJudge
from classifier import CannotJudgeError, Judgement
from classifier.flights import Stop
from classifier.hashlists import Digests
from classifier.parts import Parts


class Quick:
    """Judges at once, and says what time it was given."""

    version = "quick"

    def __init__(self) -> None:
        self.timeouts: list[float] = []

    async def digests(self, data: bytes | Parts) -> Digests:
        return Digests("d")

    async def judge(
        self, data: bytes | Parts, *, timeout: float, stop: Stop | None = None, digests: Digests | None = None
    ) -> Judgement:
        self.timeouts.append(timeout)
        return Judgement("d", "image/png", 1, 1, (), self.version)

    def known(self, digests: Digests, stop: Stop | None, media_type: str) -> Judgement | None:
        return None

    def look_up_cost(self, judgement: Judgement) -> int:
        return 7

    def look_up(self, judgement: Judgement) -> Judgement:
        return judgement


async def test_it_judges_as_the_other_one_later() -> None:
    quick = Quick()
    slow = SlowJudge(quick, 0.01)
    judgement = await slow.judge(b"x", timeout=5.01)
    assert quick.timeouts == [pytest.approx(5.0)]
    assert slow.version == "quick"
    assert await slow.digests(b"x") == Digests("d")
    assert slow.known(Digests("d"), None, "") is None
    assert slow.look_up_cost(judgement) == 7
    assert slow.look_up(judgement) is judgement


@pytest.mark.parametrize("timeout", [0.01, 0.0, -1.0])
async def test_who_has_less_time_gets_the_cause(timeout: float) -> None:
    with pytest.raises(CannotJudgeError) as caught:
        await SlowJudge(Quick(), 60.0 if timeout < 0.01 else 0.01).judge(b"x", timeout=timeout)
    assert caught.value.cause == "timeout"
