import asyncio
import hashlib
import random
import threading
from collections.abc import AsyncIterator, Callable, Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from classifier.engine import ROWS_MEMORY, Engine
from classifier.flights import Stop
from classifier.frames import HashedFrame
from classifier.hashlists import HashList, Lists
from classifier.inputs import InputSpec, Rows
from classifier.lanes import Lanes
from classifier.media import Prepared, PreparedFrame
from classifier.metrics import Metrics
from classifier.parts import Parts
from classifier.pdq import pdq_of
from classifier.settings import ClassifierSettings, DecodeSettings, HashListSettings
from classifier.types import CannotJudgeError, FrameHash, JudgedFrame, Judgement, Symbols
from tests import net
from tests.classifier.fakes import POISON, Reads, rows_of
from tests.drawing import animation, encode, shape, textured
from tests.filming import film

PDQ = "0f" * 32


class FakeDecoder:
    """Reads a file as rows: each byte a row of that value, in two frames: the first byte, and all others.

    Waits for ``gate`` where one is set. A file that begins with ``bad`` is undecodable.
    """

    version = "fake-decoder"

    def __init__(self, processes: int = 2) -> None:
        self.processes = processes
        self.gate: asyncio.Event | None = None
        self.decoded: list[bytes] = []
        self.cancelled: list[bytes] = []
        self.at_work = self.most_at_work = 0
        self.hashes: tuple[HashedFrame, ...] = ()
        self.closed = False

    async def decode(self, data: bytes | Parts, inputs: Mapping[str, InputSpec]) -> Prepared:
        assert isinstance(data, bytes)
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            self.decoded.append(data)
            await asyncio.sleep(0)
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(data)
            raise
        finally:
            self.at_work -= 1
        if data.startswith(b"bad"):
            raise CannotJudgeError("undecodable", "it is bad")
        frames = [PreparedFrame(0, "", PDQ, 50, dict.fromkeys(inputs, (0, 1)))]
        if len(data) > 1:
            frames.append(PreparedFrame(3, "", PDQ[::-1], 49, dict.fromkeys(inputs, (1, len(data)))))
        rows = dict.fromkeys(inputs, rows_of(*data))
        return Prepared("image/png", 4, 4, 4, tuple(frames), False, self.hashes, ("file.archive",), rows)

    async def close(self) -> None:
        self.closed = True


class Bench:
    """An engine with its parts; two detectors."""

    def __init__(
        self, queue: int = 3, processes: int = 2, lists: Lists | None = None, memory: int = ROWS_MEMORY
    ) -> None:
        self.decoder = FakeDecoder(processes)
        self.detector, self.other = Reads(), Reads("other")
        metrics = Metrics()
        lanes = Lanes([self.detector, self.other], metrics)
        self.engine = Engine(self.decoder, lanes, lists, queue=queue, memory=memory, metrics=metrics)

    def start(self, data: bytes, timeout: float = 10.0, stop: Stop | None = None) -> "asyncio.Future[Judgement]":
        return asyncio.ensure_future(self.engine.judge(data, timeout=timeout, stop=stop))

    def metric(self, name: str, **labels: str) -> float | None:
        return self.engine.metrics.registry.get_sample_value(f"fediward_classifier_{name}", labels)

    async def close(self) -> None:
        for gate in (self.decoder.gate, self.detector.gate, self.other.gate):
            if gate is not None:
                gate.set()
        await self.engine.close()


@pytest.fixture
async def bench() -> AsyncIterator[Bench]:
    bench = Bench()
    yield bench
    await bench.close()


async def cause_of(judging: "asyncio.Future[Judgement]") -> str:
    with pytest.raises(CannotJudgeError) as caught:
        await judging
    return caught.value.cause


async def soon() -> None:
    await asyncio.sleep(0.02)


async def test_a_judgement(bench: Bench) -> None:
    data = bytes([7, 20, 100, 30])
    judgement = await bench.engine.judge(data, timeout=5)
    assert judgement == Judgement(
        sha256=hashlib.sha256(data).hexdigest(),
        media_type="image/png",
        width=4,
        height=4,
        frames=(
            JudgedFrame(0, {"file.archive": 1.0, "reads.x": 0.007, "other.x": 0.007}, PDQ),
            # Its worst tile counts. Its quality is 49, one below the bound: it has no PDQ hash.
            JudgedFrame(3, {"file.archive": 1.0, "reads.x": 0.1, "other.x": 0.1}, None),
        ),
        version="fake-decoder+reads-1+other-1",
    )
    assert bench.engine.version == judgement.version
    assert bench.engine.symbols == {"reads.x", "other.x"}
    assert bench.engine.trouble() == ""


async def test_detectors_work_side_by_side_off_the_loop(bench: Bench) -> None:
    bench.detector.gate = threading.Event()
    judging = bench.start(b"x")
    assert await asyncio.to_thread(bench.other.begun.acquire, timeout=10)
    assert not judging.done()
    bench.detector.gate.set()
    await judging
    assert threading.get_ident() not in bench.detector.threads | bench.other.threads


async def test_large_files_are_hashed_all_the_same(bench: Bench) -> None:
    data = b"bad" + bytes(1 << 20)
    assert (await bench.engine.digests(data)).sha256 == hashlib.sha256(data).hexdigest()
    assert (await bench.engine.digests(b"x")).sha256 == hashlib.sha256(b"x").hexdigest()


async def test_digests_that_are_known_are_not_computed_again(bench: Bench) -> None:
    digests = await bench.engine.digests(b"something else")
    assert (await bench.engine.judge(b"x", timeout=5, digests=digests)).sha256 == digests.sha256


async def test_causes_of_the_decoder_come_through(bench: Bench) -> None:
    with pytest.raises(CannotJudgeError, match="it is bad") as caught:
        await bench.engine.judge(b"bad", timeout=5)
    assert caught.value.cause == "undecodable"
    assert bench.metric("failed_total", cause="undecodable") == 1


async def test_tasks_may_be_eager(bench: Bench) -> None:
    """As they are in mitmproxy: work begins, and may end, before anybody could wait for it."""

    class Instant(FakeDecoder):
        async def decode(self, data: bytes | Parts, inputs: Mapping[str, InputSpec]) -> Prepared:
            raise CannotJudgeError("unsupported", "at once")

    loop = asyncio.get_running_loop()
    loop.set_task_factory(asyncio.eager_task_factory)
    assert (await bench.engine.judge(b"x", timeout=5)).media_type == "image/png"
    engine = Engine(Instant(), Lanes([]))
    assert await cause_of(asyncio.ensure_future(engine.judge(b"x", timeout=5))) == "unsupported"
    await engine.close()


async def test_no_detector_at_all_still_decodes() -> None:
    engine = Engine(FakeDecoder(), Lanes([]))
    frames = (await engine.judge(b"xy", timeout=5)).frames
    assert [frame.symbols for frame in frames] == [{"file.archive": 1.0}, {"file.archive": 1.0}]
    await engine.close()


async def test_a_detector_that_fails(bench: Bench) -> None:
    assert await cause_of(bench.start(bytes([1, POISON]))) == "detector_error"
    assert (await bench.engine.judge(b"x", timeout=5)).media_type == "image/png"


async def test_the_same_bytes_are_judged_once(bench: Bench) -> None:
    bench.decoder.gate = asyncio.Event()
    waiting = [bench.start(b"x") for _ in range(20)]
    await soon()
    bench.decoder.gate.set()
    assert len({id(judgement) for judgement in await asyncio.gather(*waiting)}) == 1
    assert bench.decoder.decoded == [b"x"]
    assert bench.metric("shared_total") == 19
    await bench.engine.judge(b"x", timeout=5)
    assert bench.decoder.decoded == [b"x", b"x"], "a judgement is not kept here: that is the cache's"


async def test_a_waiter_that_goes_away_does_not_end_it_for_the_others(bench: Bench) -> None:
    bench.decoder.gate = asyncio.Event()
    first, second, late = bench.start(b"x"), bench.start(b"x"), bench.start(b"x", timeout=0.05)
    await soon()
    first.cancel()
    assert await cause_of(late) == "timeout"
    bench.decoder.gate.set()
    assert (await second).media_type == "image/png"
    assert bench.decoder.decoded == [b"x"]
    assert bench.metric("expired_total") == 0


async def test_work_nobody_waits_for_is_ended(bench: Bench) -> None:
    bench.decoder.gate = asyncio.Event()
    first, second = bench.start(b"x", timeout=0.05), bench.start(b"x", timeout=0.05)
    assert await cause_of(first) == await cause_of(second) == "timeout"
    await soon()
    assert bench.decoder.cancelled == [b"x"]
    assert bench.metric("expired_total") == 1
    bench.decoder.gate.set()
    assert (await bench.engine.judge(b"x", timeout=5)).media_type == "image/png", "asked for again it is begun again"
    assert bench.detector.seen == [ord("x")]


@pytest.mark.parametrize("timeout", [0.0, -1.0])
async def test_without_time_nothing_is_begun(bench: Bench, timeout: float) -> None:
    assert await cause_of(bench.start(b"x", timeout)) == "timeout"
    assert bench.decoder.decoded == []


async def test_expired_work_is_not_decoded() -> None:
    bench = Bench(processes=1)
    bench.decoder.gate = asyncio.Event()
    busy = bench.start(b"1")
    assert await cause_of(bench.start(b"2", timeout=0.05)) == "timeout"
    bench.decoder.gate.set()
    await busy
    await bench.engine.judge(b"3", timeout=5)
    assert bench.decoder.decoded == [b"1", b"3"]
    await bench.close()


async def test_expired_work_is_not_judged(bench: Bench) -> None:
    bench.detector.gate = threading.Event()
    busy = bench.start(b"1")
    assert await asyncio.to_thread(bench.detector.begun.acquire, timeout=10)
    assert await cause_of(bench.start(b"2", timeout=0.05)) == "timeout"
    assert bench.decoder.decoded == [b"1", b"2"]
    bench.detector.gate.set()
    await busy
    await bench.engine.judge(b"3", timeout=5)
    assert bench.detector.seen == list(b"13")


async def test_the_queue_is_bounded(bench: Bench) -> None:
    bench.decoder.gate = asyncio.Event()
    within = [bench.start(data) for data in (b"1", b"2", b"3")]
    await soon()
    again = bench.start(b"2")
    assert await cause_of(bench.start(b"4")) == "busy"
    assert (bench.metric("files", stage="waiting"), bench.metric("files", stage="decoding")) == (1, 2)
    bench.decoder.gate.set()
    await asyncio.gather(*within, again)
    await bench.engine.judge(b"4", timeout=5)


async def test_as_many_files_are_decoded_at_a_time_as_there_are_processes() -> None:
    bench = Bench(queue=10, processes=2)
    bench.decoder.gate = asyncio.Event()
    waiting = [bench.start(b"%d" % number) for number in range(6)]
    await soon()
    bench.decoder.gate.set()
    await asyncio.gather(*waiting)
    assert bench.decoder.most_at_work == 2
    await bench.close()


@pytest.mark.parametrize(("memory", "decoded"), [(1 << 20, 12), (10 * 24, 10), (10 * 24 - 1, 10), (9 * 24, 9)])
async def test_decoding_runs_only_so_far_ahead(memory: int, decoded: int) -> None:
    """No more than ``ahead`` (3 × 4) files, and no more than ``memory``: a file's two rows are 24 bytes."""
    bench = Bench(queue=50, processes=1, memory=memory)
    bench.detector.gate = threading.Event()
    waiting = [bench.start(b"%c" % number) for number in range(20)]
    await net.until(lambda: (bench.metric("rows_bytes") or 0) >= 24 * decoded)
    await soon()
    assert len(bench.decoder.decoded) == decoded
    assert bench.metric("rows_bytes") == 24 * decoded
    bench.detector.gate.set()
    await asyncio.gather(*waiting)
    assert bench.metric("rows_bytes") == 0
    await bench.close()


async def test_who_comes_late_brings_the_work_more_time() -> None:
    """The backend was told of the first one's time alone, and is asked again with the later one's."""

    class Told(Lanes):
        timeouts: list[float] = []  # noqa: RUF012

        async def judge(self, rows: Mapping[str, Rows], *, timeout: float) -> Mapping[str, list[Symbols]]:
            self.timeouts.append(timeout)
            if len(self.timeouts) == 1:
                await asyncio.sleep(timeout)
                raise CannotJudgeError("timeout", "as the first one wished")
            return {}

    backend = Told([])
    engine = Engine(FakeDecoder(), backend)
    first = asyncio.ensure_future(engine.judge(b"x", timeout=0.1))
    await soon()
    second = asyncio.ensure_future(engine.judge(b"x", timeout=10.0))
    assert await cause_of(first) == "timeout"
    assert (await second).media_type == "image/png"
    assert backend.timeouts[0] <= 0.1
    assert 9 < backend.timeouts[1] <= 10
    await engine.close()


async def test_close_ends_what_is_at_work(bench: Bench) -> None:
    bench.decoder.gate = asyncio.Event()
    waiting = bench.start(b"x")
    await soon()
    await bench.engine.close()
    assert await cause_of(waiting) == "no_worker"
    assert await cause_of(bench.start(b"y")) == "no_worker"
    assert bench.decoder.closed


async def test_where_the_time_goes(bench: Bench) -> None:
    await asyncio.gather(*(bench.engine.judge(b"%d" % number, timeout=5) for number in range(3)))
    for name in ("queue", "decoding", "judging"):
        assert bench.metric(f"{name}_seconds_count") == 3
    assert bench.metric("lane_seconds_count", detector="reads") == 3
    assert bench.metric("judged_total") == 3
    assert bench.metric("stopped_total") == bench.metric("expired_total") == 0


async def test_what_was_hashed_is_in_the_judgement(bench: Bench) -> None:
    bench.decoder.hashes = (HashedFrame(1, PDQ, 60),)
    judgement = await bench.engine.judge(b"xy", timeout=5)
    assert judgement.hashes == (FrameHash(1, PDQ),)
    assert [frame.index for frame in judgement.frames] == [0, 3]


# -- what may end it early ---------------------------------------------------------------------------------------------


def known(tmp_path: Path, text: str, *, name: str = "ours", allow: bool = False) -> Lists:
    file = tmp_path / f"{name}.csv"
    file.write_text(text)
    return Lists([HashList(HashListSettings(name=name, file=file, allow=allow))])


def on_ours(symbols: Symbols) -> bool:
    return symbols.get("hash.ours") == 1.0


async def test_a_known_file_is_not_even_decoded(tmp_path: Path) -> None:
    data = encode(textured(1))
    sha256 = hashlib.sha256(data).hexdigest()
    bench = Bench(lists=known(tmp_path, f"sha256,{sha256},them,a note\n"))
    judgement = await bench.engine.judge(data, timeout=5, stop=on_ours)
    assert judgement.partial
    assert (judgement.sha256, judgement.media_type) == (sha256, "image/png")
    assert (judgement.width, judgement.height) == (0, 0)
    assert judgement.frames == (JudgedFrame(0, {"hash.ours": 1.0}),)
    assert [(match.list, match.note) for match in judgement.matches] == [("ours", "a note")]
    assert bench.engine.look_up(judgement).frames == judgement.frames
    assert bench.decoder.decoded == []
    assert (bench.metric("stopped_total"), bench.metric("judged_total")) == (1, 0)
    await bench.close()


async def test_a_known_picture_is_not_shown_to_the_detectors(tmp_path: Path) -> None:
    bench = Bench(lists=known(tmp_path, f"pdq,{PDQ}\n"))
    judgement = await bench.engine.judge(b"xy", timeout=5, stop=on_ours)
    assert judgement.partial
    assert [frame.symbols for frame in judgement.frames] == [
        {"file.archive": 1.0, "hash.ours": 1.0},
        {"file.archive": 1.0},
    ]
    assert (bench.decoder.decoded, bench.detector.passes, bench.other.passes) == ([b"xy"], [], [])
    assert bench.metric("rows_bytes") == 0
    await bench.close()


@pytest.mark.parametrize("stop", [None, lambda symbols: False])
async def test_who_wants_all_gets_all(tmp_path: Path, stop: Stop | None) -> None:
    sha256 = hashlib.sha256(b"xy").hexdigest()
    bench = Bench(lists=known(tmp_path, f"sha256,{sha256}\npdq,{PDQ}\n"))
    judgement = await bench.engine.judge(b"xy", timeout=5, stop=stop)
    assert not judgement.partial
    assert judgement.worst() == {"file.archive": 1.0, "reads.x": 0.121, "other.x": 0.121}
    assert bench.engine.look_up(judgement).worst()["hash.ours"] == 1.0
    await bench.close()


async def test_of_two_that_share_the_work_each_gets_what_it_wants(tmp_path: Path) -> None:
    bench = Bench(lists=known(tmp_path, f"pdq,{PDQ}\n"))
    bench.decoder.gate = asyncio.Event()
    hasty, thorough = bench.start(b"x", stop=on_ours), bench.start(b"x")
    await soon()
    bench.decoder.gate.set()
    assert (await hasty).partial
    assert not (await thorough).partial
    assert bench.decoder.decoded == [b"x"]
    assert bench.detector.seen == [ord("x")]
    await bench.close()


async def test_a_file_on_an_allow_list_is_not_decoded_whatever_it_is(tmp_path: Path) -> None:
    sha256 = hashlib.sha256(b"bad").hexdigest()
    bench = Bench(lists=known(tmp_path, f"sha256,{sha256}\n", allow=True))
    judgement = await bench.engine.judge(b"bad", timeout=5)
    assert judgement.partial
    assert judgement.frames == (JudgedFrame(0, {"allow.ours": 1.0}),)
    assert bench.decoder.decoded == []
    await bench.close()


async def test_while_an_allow_list_may_know_the_picture_a_known_file_is_decoded(tmp_path: Path) -> None:
    """Allow lists beat all: here one has the very picture in a file that another list knows."""
    (tmp_path / "ours.csv").write_text(f"sha256,{hashlib.sha256(b'x').hexdigest()}\n")
    (tmp_path / "friends.csv").write_text(f"pdq,{PDQ}\n")
    lists = [
        HashList(HashListSettings(name=name, file=tmp_path / f"{name}.csv", allow=name == "friends"))
        for name in ("ours", "friends")
    ]
    bench = Bench(lists=Lists(lists))

    def stop(symbols: Symbols) -> bool:
        return on_ours(symbols) and "allow.friends" not in symbols

    judgement = await bench.engine.judge(b"x", timeout=5, stop=stop)
    assert not judgement.partial
    assert bench.engine.look_up(judgement).worst()["allow.friends"] == 1.0
    await bench.close()


async def test_what_lists_know_of_a_file_by_its_digests_alone(tmp_path: Path) -> None:
    bench = Bench(lists=known(tmp_path, f"sha256,{hashlib.sha256(b'x').hexdigest()}\n"))
    for data, stop, is_known in ((b"x", on_ours, True), (b"x", None, False), (b"y", on_ours, False)):
        found = bench.engine.known(await bench.engine.digests(data), stop)
        assert (found is not None) is is_known
    await bench.close()


# -- all together ------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(5))
async def test_whatever_happens_each_has_its_own_answer(seed: int) -> None:
    """200 files of random rows that come, expire, go away, fail to decode or to be judged, in any order."""
    chance = random.Random(seed)
    bench = Bench(queue=300, processes=3, memory=12 * 40)
    ends = dict.fromkeys(("right", "timeout", "detector_error", "undecodable", "gone"), 0)

    async def file(data: bytes, timeout: float, leave: float | None) -> None:
        judging = bench.start(data, timeout)
        if leave is not None:
            await asyncio.sleep(leave)
            judging.cancel()
        (found,) = await asyncio.gather(judging, return_exceptions=True)
        if isinstance(found, CannotJudgeError):
            ends[found.cause] += 1
            assert found.cause != "undecodable" or data.startswith(b"bad")
            assert found.cause != "detector_error" or POISON in data
        elif isinstance(found, BaseException):
            ends["gone"] += 1
            assert isinstance(found, asyncio.CancelledError)
            assert leave is not None
        else:
            ends["right"] += 1
            assert found.sha256 == hashlib.sha256(data).hexdigest()
            scores = [max(part) / 1000 for part in (data[:1], data[1:]) if part]
            assert [frame.symbols["reads.x"] for frame in found.frames] == scores
            assert [frame.symbols["other.x"] for frame in found.frames] == scores

    async with asyncio.TaskGroup() as group:
        for _ in range(200):
            data = bytes(chance.randrange(POISON) for _ in range(chance.choice([1, 1, 2, 5, 30])))
            if (kind := chance.random()) < 0.1:
                data += bytes([POISON])
            elif kind < 0.2:
                data = b"bad" + data
            timeout = chance.choice([10.0, 10.0, 10.0, 0.0, 0.002])
            group.create_task(file(data, timeout, chance.choice([None, None, None, 0.0, 0.003])))
            if chance.random() < 0.5:
                await asyncio.sleep(0.001 * chance.random())
    assert sum(ends.values()) == 200
    assert min(ends.values()) > 0
    await soon()
    levels = [bench.metric("files", stage=stage) for stage in ("waiting", "decoding")]
    assert [*levels, bench.metric("rows_bytes"), bench.metric("rows_waiting", detector="reads")] == [0, 0, 0, 0]
    await bench.close()


def judgement_of(*pdqs: str | None) -> Judgement:
    frames = tuple(JudgedFrame(number, {"counts.x": 0.5}, pdq) for number, pdq in enumerate(pdqs))
    return Judgement("ab" * 32, "image/gif", 1, 1, frames, "v")


@pytest.mark.parametrize(("hashes", "weight"), [(0, 1), (1, 2), (8, 2), (9, 3), (2000, 251)])
def test_weight_of_a_judgement(hashes: int, weight: int) -> None:
    judgement = replace(judgement_of(PDQ), hashes=tuple(FrameHash(n, PDQ) for n in range(hashes)))
    assert judgement.weight == weight
    turned = replace(judgement, hashes=tuple(FrameHash(n, PDQ, (PDQ,) * 3) for n in range(hashes)))
    assert turned.weight == 1 + -(-4 * hashes // 8)


@pytest.fixture(scope="module")
def settings() -> ClassifierSettings:
    return ClassifierSettings(clip=None, decode=DecodeSettings(processes=1))


async def test_for_real(settings: ClassifierSettings) -> None:
    """The decoding processes and NudeNet; stills, an animation, and what cannot be judged."""
    engine = Engine.start(settings, {})
    try:
        still = await engine.judge(encode(textured(1), "JPEG"), timeout=20)
        assert (still.media_type, still.width, len(still.frames)) == ("image/jpeg", 256, 1)
        assert still.frames[0].pdq is not None
        assert set(still.frames[0].symbols) == engine.symbols
        moving = await engine.judge(animation([textured(number) for number in range(3)]), timeout=20)
        assert [frame.index for frame in moving.frames] == [0, 1, 2]
        assert (await engine.judge(encode(shape(ground="white", colour="white")), timeout=20)).frames[0].pdq is None
        with pytest.raises(CannotJudgeError) as caught:
            await engine.judge(b"<svg/>", timeout=20)
        assert caught.value.cause == "unsupported"
        with pytest.raises(CannotJudgeError) as caught:
            await engine.judge(encode(textured(2)), timeout=0.001)
        assert caught.value.cause == "timeout"
        assert (await engine.judge(encode(textured(2)), timeout=20)).width == 256
    finally:
        await engine.close()


def film_of(pictures: list[Image.Image]) -> bytes:
    return film(pictures, options={"crf": "20"})


@pytest.mark.parametrize("as_file", [animation, film_of], ids=["animation", "video"])
async def test_a_mirrored_frame_that_no_detector_looked_at_is_known(
    as_file: Callable[[list[Image.Image]], bytes], tmp_path: Path
) -> None:
    known = textured(99, 192, 144)
    (tmp_path / "list.csv").write_text(f"pdq,{pdq_of(np.asarray(known))[0]}\n")
    mirrored = known.transpose(Image.Transpose.FLIP_LEFT_RIGHT)
    data = as_file([mirrored if number == 27 else textured(number, 192, 144) for number in range(40)])
    for variants in (True, False):
        settings = ClassifierSettings(
            clip=None,
            nudity=None,
            hashes=(HashListSettings(name="ours", file=tmp_path / "list.csv", variants=variants),),
            decode=DecodeSettings(processes=1, frames=1, video_frames=1, seconds=20.0),
        )
        engine = Engine.start(settings, {})
        try:
            judgement = await engine.judge(data, timeout=60)
            assert 27 not in [frame.index for frame in judgement.frames]
            found = engine.look_up(judgement)
        finally:
            await engine.close()
        assert [(match.frame, match.variant) for match in found.matches] == ([(27, "mirrored")] if variants else [])


async def test_the_event_loop_goes_on(settings: ClassifierSettings) -> None:
    """It turns many times while files are judged; how long it ever stands, ``tests/bench/stalls.py`` measures."""
    engine = Engine.start(settings, {})
    turns = 0

    async def turn() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0.002)
            turns += 1

    turning = asyncio.ensure_future(turn())
    try:
        files = [encode(textured(number, 800, 600), "JPEG") for number in range(4)]
        turns = 0
        await asyncio.gather(*(engine.judge(data, timeout=60) for data in files))
        assert turns > 10
    finally:
        turning.cancel()
        await engine.close()


async def test_a_detector_that_does_not_work_is_said_by_name(bench: Bench) -> None:
    assert set(bench.engine.breakers) == {"reads", "other"}
    assert (bench.engine.trouble(), bench.metric("breaker", judge="reads")) == ("", 0.0)
    lanes = bench.engine._backend
    assert isinstance(lanes, Lanes)
    assert (await bench.engine.unable(), bench.engine.workers) == ("", None)
    lanes._lanes["reads"].breaker.trip("detector_error", "no device")
    assert bench.engine.trouble() == "the detector reads does not work, and is tried again in 5 s: no device"
    assert await bench.engine.unable() == bench.engine.trouble()
    assert (bench.metric("breaker", judge="reads"), bench.metric("breaker", judge="other")) == (1.0, 0.0)
    assert await cause_of(bench.start(b"x")) == "detector_error"
    assert bench.detector.passes == []
