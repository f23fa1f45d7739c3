import asyncio
import logging
import math
import os
import signal
import time
from pathlib import Path
from typing import Any

import pytest
from nats.aio.msg import Msg

from classifier.breaker import Breaker, BreakerSettings
from classifier.remote.client import PATIENCE, Workers
from classifier.remote.messages import (
    ANNOUNCED,
    MAX_ROWS,
    SILENCE,
    VERSION,
    WINDOW,
    Answer,
    Beat,
    Busy,
    Cancel,
    Failed,
    Offer,
    Part,
    Scores,
    encode,
    to_worker,
)
from classifier.settings import Concept
from classifier.types import CannotJudgeError
from tests import nats_server, net
from tests.classifier.remote import speaking
from tests.classifier.remote.speaking import NAME, answering
from tests.nats_server import Broker
from tests.sleeping import Sleeps, door, process, rows, scores, working


async def refused(workers: Workers, timeout: float = 10, seed: int = 1) -> CannotJudgeError:
    with pytest.raises(CannotJudgeError) as caught:
        await workers.judge(rows(seed), timeout=timeout)
    return caught.value


@pytest.mark.parametrize("count", [1, 3, 96, MAX_ROWS])
@pytest.mark.parametrize("payload", [16 << 10, 64 << 10, 1 << 20])
async def test_rows_go_losslessly_in_as_many_messages_as_the_server_asks(
    tmp_path: Path, count: int, payload: int
) -> None:
    async with (
        nats_server.broker(tmp_path, max_payload=payload) as broker,
        door(broker.url) as workers,
        working(broker.url, Sleeps(side=64, batch=64)) as worker,
    ):
        asked_for = rows(count, count, 64)
        assert await workers.judge(asked_for, timeout=30) == scores(asked_for)
        assert worker.done == {"judged": 1}


async def test_rows_that_no_worker_takes(broker: Broker) -> None:
    async with door(broker.url) as workers, working(broker.url):
        assert await workers.judge({"clip": rows(1)["clip"][:0]}, timeout=10) == {"clip": ()}
        for wrong in (rows(1, MAX_ROWS + 1), rows(1, 1, 17), {"nudity": rows(1)["clip"]}):
            with pytest.raises(CannotJudgeError, match="are not what the workers'") as caught:
                await workers.judge(wrong, timeout=10)
            assert caught.value.cause == "detector_error"


async def test_nobody_there_is_known_at_once_but_at_the_start(broker: Broker) -> None:
    async with door(broker.url) as workers:
        began = time.monotonic()
        assert (await refused(workers)).cause == "no_worker"
        assert time.monotonic() - began >= PATIENCE - 0.1
        error = await refused(workers, timeout=1e-3)  # no time to wait, and none is needed
        assert (error.cause, str(error)) == ("no_worker", "no worker is there; `fediward worker -c FILE` is one")
        assert (await workers.unable(), workers.known) == (str(error), 0)
        async with working(broker.url):
            await net.until(lambda: not workers.trouble())
            assert (await workers.unable(), workers.known) == ("", 1)
            assert await workers.ready(0)
            assert await workers.judge(rows(1), timeout=10) == scores(rows(1))
        await net.until(lambda: bool(workers.trouble()))
        assert (await refused(workers, timeout=1e-3)).cause == "no_worker"


async def test_the_first_worker_is_waited_for_at_the_start(broker: Broker) -> None:
    async with door(broker.url) as workers:
        judging = asyncio.ensure_future(workers.judge(rows(1), timeout=30))
        await asyncio.sleep(0.3)
        async with working(broker.url):
            assert await judging == scores(rows(1))


async def test_the_server_knows_that_nobody_listens_before_we_do(broker: Broker) -> None:
    async with door(broker.url) as workers, process(broker.url) as worker:
        await workers.ready(30)
        worker.tell(signal.SIGKILL)  # it can say nothing any more
        await worker.ended()
        error = await refused(workers)
        assert (error.cause, str(error)) == ("no_worker", "no worker is there; `fediward worker -c FILE` is one")
        assert workers.trouble()


async def test_no_server() -> None:
    async with door("nats://127.0.0.1:1") as workers:
        error = await refused(workers)
        assert error.cause == "no_worker"
        assert str(error).startswith("no NATS server is reached: nats://127.0.0.1:1: ")
        assert "refused" in str(error)


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ({"model": "ViT-L-14"}, "clip.model is ViT-L-14 there, fediward-tiny here"),
        ({"concepts": {"x": Concept(prompts=("a",), against=("b",))}}, "clip.concepts is "),
    ],
)
async def test_a_worker_with_another_model_or_other_concepts_never_judges(
    broker: Broker, options: dict[str, Any], words: str, caplog: pytest.LogCaptureFixture
) -> None:
    wrong = Sleeps()
    async with door(broker.url) as workers, working(broker.url, wrong, host="other", **options):
        error = await refused(workers)
        assert error.cause == "no_worker"
        assert str(error).startswith("no worker that may judge is there, only other: ")
        assert words in str(error)
        async with working(broker.url):
            await net.until(lambda: not workers.trouble())
            for seed in range(8):
                assert await workers.judge(rows(seed), timeout=10) == scores(rows(seed))
    assert wrong.judged == 0
    assert len([one for one in caplog.messages if "is not used" in one and words in one]) == 1


async def test_a_worker_with_other_weights_than_the_first_never_judges(
    broker: Broker, caplog: pytest.LogCaptureFixture
) -> None:
    first, second = Sleeps(), Sleeps(identity="sleeps-2")
    async with door(broker.url) as workers, working(broker.url, first):
        before = workers.version
        await workers.ready(10)
        version = workers.version
        assert before != version
        async with working(broker.url, second, host="other"):
            await net.until(lambda: any("other" in said for said in caplog.messages))
            for seed in range(8):
                assert await workers.judge(rows(seed), timeout=10) == scores(rows(seed))
    assert (first.judged, second.judged, workers.version) == (8, 0, version)


async def test_a_slow_worker_is_a_timeout_and_is_told_to_stop(broker: Broker) -> None:
    slow = Sleeps(0.5, batch=1)
    async with door(broker.url) as workers, working(broker.url, slow) as worker:
        await workers.ready(10)
        with pytest.raises(CannotJudgeError) as caught:
            await workers.judge(rows(1, 6), timeout=1.2)
        assert caught.value.cause == "timeout"
        await net.until(lambda: worker.done.total() == 1)
        assert slow.judged < 6


async def test_expired_work_is_never_computed(broker: Broker) -> None:
    slow = Sleeps(1.0, batch=1)
    async with door(broker.url) as workers, working(broker.url, slow) as worker:
        await workers.ready(10)
        first = asyncio.ensure_future(workers.judge(rows(1), timeout=20))
        await net.until(lambda: slow.judged == 1)
        # The door itself does not tell this one: the worker's own countdown drops it.
        async with speaking.connected(broker.url) as client:
            await client.publish(speaking.JUDGE, encode(speaking.offer(rows(2), left=200)), reply="nowhere")
            await net.until(lambda: worker.done["timeout"] == 1)
        assert await first == scores(rows(1))
        assert await workers.judge(rows(3), timeout=20) == scores(rows(3))
        assert slow.judged == 2


async def test_who_waits_no_more_has_it_dropped(broker: Broker) -> None:
    slow = Sleeps(0.5, batch=1)
    async with door(broker.url) as workers, working(broker.url, slow) as worker:
        await workers.ready(10)
        judging = asyncio.ensure_future(workers.judge(rows(1, 20), timeout=60))
        await net.until(lambda: slow.judged == 1)
        judging.cancel()
        await net.until(lambda: worker.done["cancelled"] == 1)
        assert slow.judged <= 2


async def test_cancelled_before_a_worker_has_answered_it_is_dropped_too(broker: Broker) -> None:
    async with door(broker.url) as workers:
        async with answering(broker.url, lambda offer: None) as offers:
            await workers.ready(10)
            judging = asyncio.ensure_future(workers.judge(rows(1), timeout=60))
            await net.until(lambda: len(offers) == 1)
            judging.cancel()
        async with speaking.connected(broker.url) as client:
            told = await client.subscribe(f"fediward.worker.{NAME}")
            await client.publish(f"{workers.inbox}.{offers[0].job}", encode(Beat(NAME, 1)))
            assert to_worker((await told.next_msg(5)).data) == Cancel(offers[0].job)


async def test_busy_is_tried_elsewhere_once(broker: Broker) -> None:
    async with door(broker.url) as workers, answering(broker.url, lambda offer: encode(Busy(NAME, "full\n"))) as offers:
        error = await refused(workers)
        assert (error.cause, str(error)) == ("busy", f"the worker {NAME} is busy: full?")
        assert len(offers) == 1
        other = "hostile1"
        async with answering(broker.url, lambda offer: encode(Busy(other)), other) as others:
            await speaking.known(workers, 2)
            assert (await refused(workers)).cause == "busy"
            assert len(offers) + len(others) == 3
        async with working(broker.url):
            await speaking.known(workers, 2)
            for seed in range(8):
                assert await workers.judge(rows(seed), timeout=10) == scores(rows(seed))


async def test_both_of_two_workers_have_work(broker: Broker) -> None:
    one, two = Sleeps(0.05), Sleeps(0.05)
    async with door(broker.url) as workers, working(broker.url, one), working(broker.url, two):
        await speaking.known(workers, 2)
        found = await asyncio.gather(*(workers.judge(rows(seed), timeout=30) for seed in range(64)))
    assert found == [scores(rows(seed)) for seed in range(64)]
    assert one.judged + two.judged == 64
    assert min(one.judged, two.judged) > 8


async def test_the_slower_of_two_workers_has_less(broker: Broker) -> None:
    slow, quick = Sleeps(0.2, batch=1), Sleeps(0.01, batch=1)
    turn = asyncio.Semaphore(16)
    async with door(broker.url) as workers, working(broker.url, slow), working(broker.url, quick):
        await speaking.known(workers, 2)

        async def judged(seed: int) -> None:
            async with turn:
                assert await workers.judge(rows(seed), timeout=60) == scores(rows(seed))

        await asyncio.gather(*(judged(seed) for seed in range(80)))
    assert slow.judged + quick.judged == 80
    assert slow.judged < 30  # dealt blindly, it would have had 40


async def test_a_worker_killed_in_the_middle_costs_one_more_try(broker: Broker) -> None:
    async with (
        door(broker.url) as workers,
        process(broker.url, "--seconds", "1") as one,
        process(broker.url, "--seconds", "1") as two,
    ):
        await speaking.known(workers, 2)
        judging = [asyncio.ensure_future(workers.judge(rows(seed), timeout=30)) for seed in range(8)]
        await asyncio.sleep(0.5)
        one.tell(signal.SIGKILL)
        assert await asyncio.gather(*judging) == [scores(rows(seed)) for seed in range(8)]
        assert two.process.returncode is None


async def test_one_that_hangs_costs_one_more_try_and_is_asked_no_more(broker: Broker) -> None:
    """SIGSTOP: its connection stays, and the server goes on giving it jobs."""
    async with (
        door(broker.url) as workers,
        process(broker.url, "--seconds", "0") as one,
        process(broker.url, "--seconds", "0") as two,
    ):
        await speaking.known(workers, 2)
        one.tell(signal.SIGSTOP)
        try:
            for seed in range(12):
                assert await workers.judge(rows(seed), timeout=4 * SILENCE) == scores(rows(seed))
                await net.until(lambda: workers.known == 1, timeout=20)
            for seed in range(12):  # by name, to the other: no silence has to be waited for
                assert await workers.judge(rows(seed), timeout=SILENCE) == scores(rows(seed))
        finally:
            one.tell(signal.SIGCONT)
        assert two.process.returncode is None
        await speaking.known(workers, 2)


async def test_what_fails_on_one_worker_is_tried_on_another(broker: Broker) -> None:
    broken = encode(Failed(NAME, "detector_error", "CUDA error"))
    async with door(broker.url) as workers, answering(broker.url, lambda offer: broken):
        error = await refused(workers)
        assert (error.cause, str(error)) == ("detector_error", f"the worker {NAME}: CUDA error")
        async with working(broker.url):
            await speaking.known(workers, 2)
            for seed in range(8):
                assert await workers.judge(rows(seed), timeout=10) == scores(rows(seed))


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (Answer(NAME, {"clip": Scores(["clip.x"], [[math.nan]])}), "the score nan"),
        (Answer(NAME, {"clip": Scores(["clip.x"], [[math.inf]])}), "the score inf"),
        (Answer(NAME, {"clip": Scores(["clip.x"], [[1.0001]])}), "the score 1.0001"),
        (Answer(NAME, {"clip": Scores(["clip.x"], [[-0.0001]])}), "the score -0.0001"),
        (Answer(NAME, {"clip": Scores(["clip.y"], [[0.5]])}), "the unknown symbol clip.y"),
        (Answer(NAME, {"clip": Scores(["clip.x", "clip.x"], [[0.5, 0.5]])}), "one symbol twice"),
        (Answer(NAME, {"clip": Scores(["clip.x"], [[0.5, 0.5]])}), "2 scores for 1 symbols"),
        (Answer(NAME, {"clip": Scores(["clip.x"], [])}), "0 answers of clip for 1 rows"),
        (Answer(NAME, {"clip": Scores(["clip.x"], [[0.5], [0.5]])}), "2 answers of clip for 1 rows"),
        (Answer(NAME, {}), "other detectors than were asked"),
        (Answer(NAME, {"nudity": Scores([], [[]])}), "other detectors than were asked"),
        (Beat(NAME, 2), "parts that were never sent"),
    ],
)
async def test_a_workers_answer_is_believed_only_after_a_check(
    broker: Broker, answer: Answer | Beat, words: str
) -> None:
    async with door(broker.url) as workers, answering(broker.url, lambda offer: encode(answer)):
        error = await refused(workers)
        assert error.cause == "detector_error"
        assert str(error) == f"the worker {NAME} gave {words}" or words in str(error)


@pytest.mark.parametrize("said", [b"", b"\x01\xc1", bytes([VERSION + 1]) + b"x", os.urandom(1000)])
async def test_nonsense_is_a_detector_error(broker: Broker, said: bytes) -> None:
    async with door(broker.url) as workers, answering(broker.url, lambda offer: said):
        assert (await refused(workers)).cause == "detector_error"


async def test_scores_at_their_bounds_and_none(broker: Broker) -> None:
    def answer(offer: Offer) -> bytes:
        return encode(Answer(NAME, {"clip": Scores(["clip.x"], [[0.0], [1.0], [None]])}))

    async with door(broker.url) as workers, answering(broker.url, answer):
        assert await workers.judge(rows(1, 3), timeout=10) == {"clip": [{"clip.x": 0.0}, {"clip.x": 1.0}, {}]}


async def test_parts_wait_for_beats(tmp_path: Path) -> None:
    """A worker that never says how much has come is sent no more than the window."""
    async with (
        nats_server.broker(tmp_path, max_payload=16 << 10) as broker,
        door(broker.url) as workers,
        answering(broker.url, lambda offer: encode(Beat(NAME, 1))),
        speaking.connected(broker.url) as client,
    ):
        parts: list[int] = []

        async def came(message: Msg) -> None:
            if isinstance(part := to_worker(message.data), Part):
                parts.append(part.number)

        await client.subscribe(f"fediward.worker.{NAME}", cb=came)
        await client.flush()
        with pytest.raises(CannotJudgeError) as caught:
            await workers.judge(rows(1, MAX_ROWS), timeout=SILENCE / 2)
        assert caught.value.cause == "timeout"
        assert parts == list(range(1, WINDOW + 1))


async def test_the_server_restarts(broker: Broker) -> None:
    slow = Sleeps(1.0)
    async with door(broker.url) as workers, working(broker.url, slow) as worker:
        await workers.ready(10)
        judging = asyncio.ensure_future(workers.judge(rows(1), timeout=40))
        await net.until(lambda: slow.judged == 1)
        await broker.stop()
        await net.until(lambda: bool(workers.trouble()))
        assert "no NATS server is reached" in workers.trouble()
        assert (await refused(workers, timeout=1e-3)).cause == "no_worker"
        await broker.start()
        assert await judging == scores(rows(1))
        assert worker.done["cancelled"] == 1
        assert await workers.judge(rows(2), timeout=10) == scores(rows(2))


async def test_the_server_does_not_come_back(broker: Broker) -> None:
    slow = Sleeps(1.0)
    async with door(broker.url) as workers, working(broker.url, slow):
        await workers.ready(10)
        judging = asyncio.ensure_future(workers.judge(rows(1), timeout=3))
        await net.until(lambda: slow.judged == 1)
        await broker.stop()
        with pytest.raises(CannotJudgeError, match="no NATS server is reached") as caught:
            await judging
        assert caught.value.cause == "no_worker"


async def test_of_several_servers_one_suffices(broker: Broker) -> None:
    both = ("nats://127.0.0.1:1", broker.url)
    async with door(broker.url) as workers, working(broker.url, workers={"nats": both}):
        assert await workers.judge(rows(1), timeout=10) == scores(rows(1))


async def test_two_sites_share_a_server(broker: Broker) -> None:
    async with door(broker.url, subject="ours") as workers, working(broker.url):
        assert str(await refused(workers)) == "no worker is there; `fediward worker -c FILE` is one"
        async with working(broker.url, workers={"subject": "ours"}):
            await net.until(lambda: not workers.trouble())
            assert await workers.judge(rows(1), timeout=10) == scores(rows(1))


async def test_a_worker_of_another_version_is_said(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    async with door(broker.url) as workers, speaking.connected(broker.url) as client:
        judging = asyncio.ensure_future(refused(workers))
        for _ in range(20):
            await client.publish("fediward.hello", bytes([VERSION + 1]) + b"whatever")
            await asyncio.sleep(0.05)
        told = f"version {VERSION + 1} of the protocol, not {VERSION}: install the same fediward everywhere"
        assert told in str(await judging)
    assert len([one for one in caplog.messages if told in one]) == 1


async def test_closed_while_it_waits(broker: Broker) -> None:
    slow = Sleeps(1.0)
    async with working(broker.url, slow), door(broker.url) as workers:
        await workers.ready(10)
        judging = asyncio.ensure_future(refused(workers, timeout=60))
        await net.until(lambda: slow.judged == 1)
        await workers.close()
        error = await judging
        assert (error.cause, str(error)) == ("no_worker", "the classifier is stopping")
        assert (await refused(workers)).cause == "no_worker"


async def test_a_wrong_clock_matters_to_nobody(broker: Broker, tmp_path: Path) -> None:
    """The worker's clock is a year behind: what is left is counted, and clocks are not compared."""
    (tmp_path / "sitecustomize.py").write_text(
        "import time\nreal = time.time\ntime.time = lambda: real() - 365 * 86400\n"
    )
    env = {**os.environ, "PYTHONPATH": str(tmp_path)}
    async with door(broker.url) as workers, process(broker.url, "--seconds", "0", env=env) as worker:
        assert await workers.judge(rows(1), timeout=10) == scores(rows(1))
        worker.tell()
        assert await worker.ended() == 0
        await worker.says("the clock says")
        assert time.time() - int(worker.said.rsplit(maxsplit=1)[1]) > 364 * 86400


async def test_what_is_news_is_said_once(broker: Broker, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with door(broker.url) as workers, working(broker.url, host="gpu"):
        await workers.ready(10)
        await asyncio.sleep(ANNOUNCED * 1.2)  # it announces itself again
    assert len([one for one in caplog.messages if "judges for us" in one]) == 1


async def test_workers_that_keep_silent_are_waited_for_no_more_until_one_answers(broker: Broker) -> None:
    silent, now = True, 0.0
    async with (
        answering(broker.url, lambda offer: None if silent else encode(Busy(NAME))) as offers,
        door(broker.url) as workers,
    ):
        await speaking.known(workers, 1)
        workers._breaker = Breaker("the pool", settings=BreakerSettings(row=1), clock=lambda: now)
        await refused(workers, SILENCE + 1)
        asked = len(offers)
        error = await refused(workers, 60)
        assert (error.cause, len(offers)) == ("no_worker", asked)
        assert "the pool does not work, and is tried again in 5 s" in str(error)
        now, silent = 5.0, False
        assert (await refused(workers)).cause == "busy"
        assert workers._breaker.state == "closed"


async def test_who_has_too_little_time_tells_nothing_about_the_workers(broker: Broker) -> None:
    """Nor does a worker that is slow: it goes on saying that it is there."""
    async with working(broker.url, Sleeps(SILENCE + 0.5)), door(broker.url) as workers:
        await speaking.known(workers, 1)
        workers._breaker = Breaker("the pool", settings=BreakerSettings(row=1))
        for timeout in (0.001, 0.01, SILENCE / 3):
            assert (await refused(workers, timeout)).cause == "timeout"
        assert await workers.judge(rows(1), timeout=30) == scores(rows(1))
        assert workers._breaker.state == "closed"


async def test_who_hears_nothing_within_its_time_tells_that(broker: Broker) -> None:
    async with answering(broker.url, lambda offer: None), door(broker.url) as workers:
        await speaking.known(workers, 1)
        workers._breaker = Breaker("the pool", settings=BreakerSettings(row=1))
        assert (await refused(workers, SILENCE * 0.8)).cause == "timeout"
        assert (await refused(workers, 60)).cause == "timeout"
        assert workers._breaker.state == "open"
