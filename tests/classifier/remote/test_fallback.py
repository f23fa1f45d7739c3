import asyncio

import pytest

from classifier.lanes import Lanes
from classifier.remote.client import Workers
from classifier.remote.fallback import Fallback
from classifier.remote.messages import Busy, encode
from classifier.types import CannotJudgeError
from tests import net
from tests.classifier.remote.speaking import NAME, answering
from tests.nats_server import Broker
from tests.sleeping import CONCEPTS, Sleeps, rows, scores, settings, working


def standing_in(url: str, here: Sleeps) -> tuple[Fallback, Workers]:
    chosen = settings(url)
    assert chosen.workers is not None
    workers = Workers(chosen, chosen.workers, CONCEPTS, [here])
    return Fallback(workers, Lanes([here])), workers


async def test_without_a_worker_it_is_judged_here(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    here, there = Sleeps(), Sleeps()
    backend, workers = standing_in(broker.url, here)
    version = backend.version
    assert set(backend.breakers) == {"clip", "workers"}
    assert await backend.ready(0) == {"clip": here.input}
    assert await backend.judge(rows(1), timeout=10) == scores(rows(1))
    assert await backend.judge(rows(2), timeout=10) == scores(rows(2))
    assert here.judged == 2
    assert "no worker is there" in backend.trouble()
    assert (await backend.unable(), backend.known) == ("", 0)
    async with working(broker.url, there):
        await net.until(lambda: workers.known == 1)
        assert await backend.judge(rows(3), timeout=10) == scores(rows(3))
        assert backend.trouble() == ""
    await net.until(lambda: workers.known == 0)
    assert await backend.judge(rows(4), timeout=10) == scores(rows(4))
    assert (here.judged, there.judged) == (3, 1)
    assert backend.version == version
    assert [one for one in caplog.messages if one.startswith(("judging here", "the workers judge"))] == [
        "judging here: no worker is there; `fediward worker -c FILE` is one",
        "the workers judge again",
        "judging here: no worker is there; `fediward worker -c FILE` is one",
    ]
    await backend.close()
    with pytest.raises(CannotJudgeError):
        await backend.judge(rows(1), timeout=1)


async def test_a_worker_with_other_weights_than_here_is_none(broker: Broker) -> None:
    here, there = Sleeps(), Sleeps(identity="sleeps-2")
    backend, workers = standing_in(broker.url, here)
    async with working(broker.url, there):
        assert await backend.judge(rows(1), timeout=10) == scores(rows(1))
        assert "clip is sleeps-2 there, sleeps-1 here" in backend.trouble()
    assert (here.judged, there.judged, workers.known) == (1, 0, 0)
    await backend.close()


async def test_who_is_busy_is_not_stood_in_for(broker: Broker) -> None:
    here = Sleeps()
    backend, _ = standing_in(broker.url, here)
    async with answering(broker.url, lambda offer: encode(Busy(NAME))):
        with pytest.raises(CannotJudgeError) as caught:
            await backend.judge(rows(1), timeout=10)
    assert (caught.value.cause, here.judged) == ("busy", 0)
    await backend.close()


async def test_the_server_lost_in_the_middle(broker: Broker) -> None:
    here, there = Sleeps(), Sleeps(1.0)
    backend, workers = standing_in(broker.url, here)
    async with working(broker.url, there):
        await workers.ready(10)
        judging = asyncio.ensure_future(backend.judge(rows(1), timeout=10))
        await net.until(lambda: there.judged == 1)
        await broker.stop()
        assert await judging == scores(rows(1))
        assert here.judged == 1
    await backend.close()
