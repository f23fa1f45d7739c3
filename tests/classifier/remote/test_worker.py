import asyncio
import logging
import signal
from pathlib import Path
from typing import Any

import msgspec
import pytest
from nats.aio.client import Client

from classifier.remote.messages import (
    BEAT,
    Answer,
    Beat,
    Busy,
    Cancel,
    Failed,
    Offer,
    Part,
    ToDoor,
    ToWorker,
    encode,
    hello,
    to_door,
)
from classifier.remote.packing import most_packed
from tests import nats_server, net
from tests.classifier.remote import speaking
from tests.classifier.remote.speaking import JUDGE, connected, known, offer
from tests.nats_server import Broker
from tests.sleeping import Sleeps, door, process, rows, score, scores, working

ONE = rows(1)
RAW = 16 * 16 * 3


def changed(**values: Any) -> Offer:
    return msgspec.structs.replace(offer(ONE), **values)


class Talk:
    """A job as a stranger would have it: everything that comes back, in order."""

    def __init__(self, client: Client, worker: str) -> None:
        self._client = client
        self._worker = worker
        self._inbox = client.new_inbox()
        self.heard: list[ToDoor] = []

    async def start(self) -> None:
        async def came(message: Any) -> None:
            self.heard.append(to_door(message.data))

        await self._client.subscribe(self._inbox, cb=came)

    async def say(self, message: ToWorker, *, directly: bool = True) -> None:
        subject = f"fediward.worker.{self._worker}" if directly else JUDGE
        await self._client.publish(subject, encode(message), reply=self._inbox)

    async def ends_with(self, kind: type[ToDoor]) -> Any:
        await net.until(lambda: bool(self.heard) and isinstance(self.heard[-1], kind), timeout=15)
        return self.heard[-1]


async def talk(client: Client, worker: str) -> Talk:
    made = Talk(client, worker)
    await made.start()
    return made


async def test_a_job_in_one_message_is_taken_at_once_and_answered(broker: Broker) -> None:
    async with working(broker.url) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(offer(ONE), directly=False)
        answer = await job.ends_with(Answer)
        assert answer.found["clip"].symbols == ["clip.x"]
        assert answer.found["clip"].rows == [[score(ONE["clip"][0])]]
        assert job.heard[0] == Beat(worker.name, 1)


async def test_it_beats_while_it_works(broker: Broker) -> None:
    async with working(broker.url, Sleeps(5 * BEAT)) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(offer(ONE))
        await job.ends_with(Answer)
        assert len([one for one in job.heard if isinstance(one, Beat)]) >= 3


async def test_parts_in_order(broker: Broker) -> None:
    whole = offer(rows(1, 8))
    pieces = [whole.data[start : start + 1000] for start in range(0, whole.size, 1000)]
    async with working(broker.url) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(msgspec.structs.replace(whole, data=pieces[0]))
        for number, piece in enumerate(pieces[1:], 1):
            await job.say(Part(whole.job, number, piece))
        answer = await job.ends_with(Answer)
        assert [row[0] for row in answer.found["clip"].rows] == [score(row) for row in rows(1, 8)["clip"]]
        assert any(one == Beat(worker.name, len(pieces)) for one in job.heard)


@pytest.mark.parametrize("number", [1, 3])
async def test_parts_out_of_order(broker: Broker, number: int) -> None:
    whole = offer(rows(1, 8))
    async with working(broker.url) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(msgspec.structs.replace(whole, data=whole.data[:1000]))
        await job.say(Part(whole.job, 1, b"x"))
        await job.say(Part(whole.job, number, b"x"))
        assert "parts that are not in order" in (await job.ends_with(Failed)).message
        await job.say(Part(whole.job, 2, b"x"))  # too late: nobody minds
        assert worker.done == {"refused": 1}
        await job.say(offer(ONE))
        await job.ends_with(Answer)


async def test_more_bytes_than_were_said(broker: Broker) -> None:
    whole = offer(rows(1, 8))
    async with working(broker.url) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(msgspec.structs.replace(whole, data=whole.data[:-1]))
        await job.say(Part(whole.job, 1, b"xx"))
        assert "more than was said" in (await job.ends_with(Failed)).message


async def test_parts_that_never_come(broker: Broker) -> None:
    whole = offer(rows(1, 8), left=300)
    async with working(broker.url) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(msgspec.structs.replace(whole, data=whole.data[:-1]))
        assert (await job.ends_with(Failed)).cause == "timeout"
        assert worker.done == {"timeout": 1}


@pytest.mark.parametrize(
    ("wrong", "words"),
    [
        (changed(rows={"nudity": 1}), "rows for a detector nudity, which is not here"),
        (changed(size=most_packed(RAW) + 1), f"rows of {RAW}"),
        (changed(size=len(offer(ONE).data) - 1), f"rows of {RAW}"),
        (changed(data=b""), f"rows of {RAW}"),
        (changed(data=b"x" * 100, size=100), "rows that cannot be unpacked"),
        (changed(rows={"clip": 2}), f"rows that are not the {2 * RAW} bytes"),
    ],
)
async def test_a_job_that_cannot_be(broker: Broker, wrong: Offer, words: str) -> None:
    sleeps = Sleeps()
    async with working(broker.url, sleeps) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(wrong)
        failed = await job.ends_with(Failed)
        assert failed.cause == "detector_error"
        assert words in failed.message
        assert worker.done == {"refused": 1}
        assert sleeps.judged == 0
        await job.say(offer(ONE))
        await job.ends_with(Answer)


async def test_a_job_twice(broker: Broker) -> None:
    async with working(broker.url, Sleeps(0.3)) as worker, connected(broker.url) as client:
        job, again = await talk(client, worker.name), await talk(client, worker.name)
        await job.say(offer(ONE))
        await again.say(offer(ONE))
        assert (await again.ends_with(Failed)).message == "a job that is here already"
        await job.ends_with(Answer)


@pytest.mark.parametrize("data", [b"", b"\x01", b"\x02xyz", b"\x01\xc1\xff" * 1000, b"\x01" + b"\x91" * 10_000])
async def test_nonsense_does_not_end_it(broker: Broker, data: bytes, caplog: pytest.LogCaptureFixture) -> None:
    async with working(broker.url) as worker, connected(broker.url) as client:
        for subject in ("fediward.who", f"fediward.worker.{worker.name}", "fediward.hello", JUDGE):
            await client.publish(subject, data)
            await client.publish(subject, data, reply="somewhere")
        job = await talk(client, worker.name)
        await job.say(offer(ONE))
        await job.ends_with(Answer)
        assert worker.done == {"refused": 4, "judged": 1}
    assert len([one for one in caplog.messages if one.startswith("a door sends what cannot be used")]) == 1


async def test_jobs_at_its_bound_and_one_past(broker: Broker) -> None:
    async with working(broker.url, Sleeps(0.5, batch=1), jobs=2) as worker, connected(broker.url) as client:
        talks = [await talk(client, worker.name) for _ in range(3)]
        for number, one in enumerate(talks):
            await one.say(offer(rows(number), job=str(number) * 16))
        assert (await talks[2].ends_with(Busy)).message == "it has 2 jobs (classifier.queue)"
        for one in talks[:2]:
            await one.ends_with(Answer)
        assert worker.done == {"judged": 2, "busy": 1}
        await talks[2].say(offer(ONE))
        await talks[2].ends_with(Answer)


async def test_memory_at_its_bound_and_one_past(broker: Broker) -> None:
    first, second = offer(rows(1), job="1" * 16), offer(rows(2), job="2" * 16)
    room = 2 * RAW + first.size + second.size
    for memory, kind in ((room, Answer), (room - 1, Busy)):
        async with working(broker.url, Sleeps(0.3), memory=memory) as worker, connected(broker.url) as client:
            one, two = await talk(client, worker.name), await talk(client, worker.name)
            await one.say(first)
            await two.say(second)
            await two.ends_with(kind)
            await one.ends_with(Answer)


async def test_one_job_alone_is_taken_however_large(broker: Broker) -> None:
    async with working(broker.url, memory=1) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(offer(ONE))
        await job.ends_with(Answer)


async def test_a_cancelled_job_is_dropped(broker: Broker) -> None:
    sleeps = Sleeps(0.5, batch=1)
    async with working(broker.url, sleeps) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(offer(rows(1, 9)))
        await job.ends_with(Beat)
        await job.say(Cancel("9" * 16))  # of no job
        await job.say(Cancel("0" * 16))
        await net.until(lambda: worker.done == {"cancelled": 1})
        assert sleeps.judged <= 2


async def test_a_detector_that_fails_fails_the_job(broker: Broker) -> None:
    sleeps = Sleeps()
    sleeps.judge = lambda rows: 1 / 0  # type: ignore[method-assign,assignment,return-value]
    async with working(broker.url, sleeps) as worker, connected(broker.url) as client:
        job = await talk(client, worker.name)
        await job.say(offer(ONE))
        failed = await job.ends_with(Failed)
        assert failed.cause == "detector_error"
        assert failed.message == "the detector clip failed: ZeroDivisionError: division by zero"


async def test_an_answer_that_the_server_does_not_take(tmp_path: Path) -> None:
    class Talks(Sleeps):
        symbols = frozenset(f"clip.{n:0250}" for n in range(100))

        def judge(self, rows: Any) -> list[dict[str, float]]:
            return [dict.fromkeys(self.symbols, 0.5) for _ in rows]

    async with (
        nats_server.broker(tmp_path, max_payload=16 << 10) as broker,
        working(broker.url, Talks()) as worker,
        connected(broker.url) as client,
    ):
        job = await talk(client, worker.name)
        await job.say(offer(ONE))
        assert "bytes is more than the server takes" in (await job.ends_with(Failed)).message


async def test_it_announces_itself_again_and_again_and_says_when_it_leaves(broker: Broker) -> None:
    said = []
    async with connected(broker.url) as client:

        async def came(message: Any) -> None:
            said.append(hello(message.data))

        await client.subscribe("fediward.hello", cb=came)
        await client.flush()
        async with working(broker.url, host="gpu") as worker:
            await net.until(lambda: len(said) == 2)
        await net.until(lambda: len(said) == 3)
    assert [one.leaving for one in said] == [False, False, True]
    assert {(one.worker, one.host) for one in said} == {(worker.name, "gpu")}
    assert said[0].detectors == speaking.TOLD


async def test_told_to_stop_it_loses_nothing(broker: Broker) -> None:
    async with door(broker.url) as workers, process(broker.url, "--seconds", "0.3", "--batch", "1") as leaving:
        await known(workers, 1)
        judging = [asyncio.ensure_future(workers.judge(rows(seed), timeout=60)) for seed in range(8)]
        await asyncio.sleep(0.5)
        leaving.tell(signal.SIGTERM)
        assert await asyncio.gather(*judging) == [scores(rows(seed)) for seed in range(8)]
        assert await leaving.ended() == 0
        await leaving.says("rows judged: 8")
        assert "taking no more jobs" in leaving.said
        assert "8 judged; 0 under way" in leaving.said
        assert "Traceback" not in leaving.said


async def test_told_again_it_does_not_wait(broker: Broker) -> None:
    async with door(broker.url) as workers, process(broker.url, "--seconds", "1", "--batch", "1") as leaving:
        await known(workers, 1)
        judging = asyncio.ensure_future(workers.judge(rows(1, 25), timeout=60))
        await asyncio.sleep(0.3)
        leaving.tell(signal.SIGTERM)
        await leaving.says("taking no more jobs; 1 under way")
        leaving.tell(signal.SIGINT)
        assert await leaving.ended(10) == 0
        await leaving.says("1 cancelled")
        judging.cancel()


async def test_while_it_stops_others_have_the_new_jobs(broker: Broker) -> None:
    async with (
        door(broker.url) as workers,
        process(broker.url, "--seconds", "1") as leaving,
        process(broker.url, "--seconds", "0") as staying,
    ):
        await known(workers, 2)
        early = [asyncio.ensure_future(workers.judge(rows(seed), timeout=60)) for seed in range(8)]
        await asyncio.sleep(0.2)
        leaving.tell()
        await leaving.says("taking no more jobs")
        late = [asyncio.ensure_future(workers.judge(rows(seed), timeout=60)) for seed in range(8, 16)]
        assert await asyncio.gather(*early, *late) == [scores(rows(seed)) for seed in range(16)]
        assert await leaving.ended() == 0
        assert staying.process.returncode is None


async def test_it_tries_until_there_is_a_server(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.INFO)
    async with nats_server.broker(tmp_path) as broker:
        await broker.stop()
        async with working(broker.url, meets=False) as worker, door(broker.url) as workers:
            await net.until(lambda: "connection refused; it is tried again and again" in caplog.text)
            await asyncio.sleep(1)
            await broker.start()
            await net.until(lambda: f"connected to {broker.url}" in caplog.text, timeout=15)
            assert await workers.judge(rows(1), timeout=20) == scores(rows(1))
            assert worker.done == {"judged": 1}
    assert len([one for one in caplog.messages if "tried again and again" in one]) == 1
