import asyncio
import hashlib
import threading
from collections.abc import AsyncIterator, Sequence
from dataclasses import replace

import numpy as np
import pytest

from classifier.engine import Engine
from classifier.frames import HashedFrame
from classifier.media import Decoded, DecodedFrame
from classifier.settings import ClassifierSettings, DecodeSettings
from classifier.types import CannotJudgeError, Frame, FrameHash, JudgedFrame, Judgement
from tests.drawing import animation, encode, shape, textured

PDQ = "0f" * 32
GREY = np.full((4, 4, 3), 128, dtype=np.uint8)


class FakeDecoder:
    """Gives two frames, one of them flat; waits for ``gate`` where one is set."""

    version = "fake-decoder"

    def __init__(self, processes: int = 2) -> None:
        self.processes = processes
        self.gate: asyncio.Event | None = None
        self.decoded: list[bytes] = []
        self.cancelled: list[bytes] = []
        self.at_work = self.most_at_work = 0
        self.closed = False

    async def decode(self, data: bytes) -> Decoded:
        self.at_work += 1
        self.most_at_work = max(self.most_at_work, self.at_work)
        try:
            self.decoded.append(data)
            if self.gate is not None:
                await self.gate.wait()
        except asyncio.CancelledError:
            self.cancelled.append(data)
            raise
        finally:
            self.at_work -= 1
        if data.startswith(b"bad"):
            raise CannotJudgeError("undecodable", "it is bad")
        frames = DecodedFrame(0, "", GREY, PDQ, 50), DecodedFrame(3, "", GREY, PDQ, 49)
        return Decoded("image/png", 4, 4, 4, frames)

    async def close(self) -> None:
        self.closed = True


class Counts:
    """Scores each frame by its place; waits for ``gate`` where one is set."""

    def __init__(self, name: str = "counts") -> None:
        self.name, self.version = name, f"{name}-1"
        self.symbols = frozenset({f"{name}.x"})
        self.calls = 0
        self.gate: threading.Event | None = None
        self.threads: set[int] = set()

    def judge(self, frames: Sequence[Frame]) -> list[dict[str, float]]:
        self.calls += 1
        self.threads.add(threading.get_ident())
        if self.gate is not None:
            assert self.gate.wait(10)
        return [{f"{self.name}.x": place / 10} for place, _ in enumerate(frames)]


@pytest.fixture
def decoder() -> FakeDecoder:
    return FakeDecoder()


@pytest.fixture
def detector() -> Counts:
    return Counts()


@pytest.fixture
async def engine(decoder: FakeDecoder, detector: Counts) -> AsyncIterator[Engine]:
    engine = Engine(decoder, [detector, Counts("other")], queue=3)
    yield engine
    await engine.close()


async def cause_of(judging: "asyncio.Future[Judgement]") -> str:
    with pytest.raises(CannotJudgeError) as caught:
        await judging
    return caught.value.cause


def start(engine: Engine, data: bytes, timeout: float = 10.0) -> "asyncio.Future[Judgement]":
    return asyncio.ensure_future(engine.judge(data, timeout=timeout))


async def soon() -> None:
    await asyncio.sleep(0.02)


async def test_a_judgement(engine: Engine) -> None:
    judgement = await engine.judge(b"x", timeout=5)
    assert judgement == Judgement(
        sha256=hashlib.sha256(b"x").hexdigest(),
        media_type="image/png",
        width=4,
        height=4,
        frames=(
            JudgedFrame(0, {"counts.x": 0.0, "other.x": 0.0}, PDQ),
            JudgedFrame(3, {"counts.x": 0.1, "other.x": 0.1}, None),  # quality 49: one below the bound
        ),
        version="fake-decoder+counts-1+other-1",
    )
    assert engine.version == judgement.version
    assert engine.symbols == {"counts.x", "other.x"}


async def test_detectors_work_side_by_side_off_the_loop(engine: Engine, detector: Counts) -> None:
    detector.gate = threading.Event()
    judging = start(engine, b"x")
    await soon()
    assert not judging.done()
    detector.gate.set()
    await judging
    assert threading.get_ident() not in detector.threads


async def test_large_files_are_hashed_all_the_same(engine: Engine) -> None:
    data = bytes(1 << 20)
    assert (await engine.judge(data, timeout=5)).sha256 == hashlib.sha256(data).hexdigest()


async def test_causes_of_the_decoder_come_through(engine: Engine) -> None:
    with pytest.raises(CannotJudgeError, match="it is bad") as caught:
        await engine.judge(b"bad", timeout=5)
    assert caught.value.cause == "undecodable"


async def test_no_detector_at_all_still_decodes(decoder: FakeDecoder) -> None:
    engine = Engine(decoder, [])
    assert [frame.symbols for frame in (await engine.judge(b"x", timeout=5)).frames] == [{}, {}]
    await engine.close()


async def test_the_same_bytes_are_judged_once(engine: Engine, decoder: FakeDecoder) -> None:
    decoder.gate = asyncio.Event()
    waiting = [start(engine, b"x") for _ in range(20)]
    await soon()
    decoder.gate.set()
    assert len({id(judgement) for judgement in await asyncio.gather(*waiting)}) == 1
    assert decoder.decoded == [b"x"]
    await engine.judge(b"x", timeout=5)
    assert decoder.decoded == [b"x", b"x"], "a judgement is not kept here: that is the cache's"


async def test_each_waiter_has_its_own_error(engine: Engine, decoder: FakeDecoder) -> None:
    decoder.gate = asyncio.Event()
    waiting = [start(engine, b"bad") for _ in range(2)]
    await soon()
    decoder.gate.set()
    one, other = await asyncio.gather(*waiting, return_exceptions=True)
    assert isinstance(one, CannotJudgeError)
    assert one is not other


async def test_a_waiter_that_goes_away_does_not_end_it_for_the_others(engine: Engine, decoder: FakeDecoder) -> None:
    decoder.gate = asyncio.Event()
    first, second, late = start(engine, b"x"), start(engine, b"x"), start(engine, b"x", timeout=0.05)
    await soon()
    first.cancel()
    assert await cause_of(late) == "timeout"
    decoder.gate.set()
    assert (await second).media_type == "image/png"
    assert decoder.decoded == [b"x"]


async def test_work_nobody_waits_for_is_ended(engine: Engine, decoder: FakeDecoder, detector: Counts) -> None:
    decoder.gate = asyncio.Event()
    first, second = start(engine, b"x", timeout=0.05), start(engine, b"x", timeout=0.05)
    assert await cause_of(first) == await cause_of(second) == "timeout"
    await soon()
    assert decoder.cancelled == [b"x"]
    decoder.gate.set()
    assert (await engine.judge(b"x", timeout=5)).media_type == "image/png", "and asked for again it is begun again"
    assert detector.calls == 1


async def test_expired_work_is_not_begun(decoder: FakeDecoder, detector: Counts) -> None:
    engine = Engine(FakeDecoder(processes=1), [detector])
    detector.gate = threading.Event()
    busy = start(engine, b"1")
    await soon()
    assert await cause_of(start(engine, b"2", timeout=0.05)) == "timeout"
    detector.gate.set()
    await busy
    await soon()
    assert detector.calls == 1
    assert await cause_of(start(engine, b"3", timeout=0)) == "timeout"
    assert await cause_of(start(engine, b"3", timeout=-1)) == "timeout"
    await engine.close()


async def test_the_queue_is_bounded(engine: Engine, decoder: FakeDecoder) -> None:
    decoder.gate = asyncio.Event()
    within = [start(engine, data) for data in (b"1", b"2", b"3")]
    await soon()
    again = start(engine, b"2")
    assert await cause_of(start(engine, b"4")) == "busy"
    decoder.gate.set()
    await asyncio.gather(*within, again)
    await engine.judge(b"4", timeout=5)


async def test_frames_in_memory_are_bounded() -> None:
    decoder = FakeDecoder(processes=1)
    decoder.gate = asyncio.Event()
    engine = Engine(decoder, [], queue=10)
    waiting = [start(engine, b"%d" % number) for number in range(6)]
    await soon()
    decoder.gate.set()
    await asyncio.gather(*waiting)
    assert decoder.most_at_work == 2
    await engine.close()


async def test_close_ends_what_is_at_work(decoder: FakeDecoder, detector: Counts) -> None:
    engine = Engine(decoder, [detector])
    decoder.gate = asyncio.Event()
    waiting = start(engine, b"x")
    await soon()
    await engine.close()
    assert await cause_of(waiting) == "no_worker"
    assert await cause_of(start(engine, b"y")) == "no_worker"
    assert decoder.closed


def judgement_of(*pdqs: str | None) -> Judgement:
    frames = tuple(JudgedFrame(number, {"counts.x": 0.5}, pdq) for number, pdq in enumerate(pdqs))
    return Judgement("ab" * 32, "image/gif", 1, 1, frames, "v")


async def test_what_was_hashed_is_in_the_judgement() -> None:
    class Hashes(FakeDecoder):
        async def decode(self, data: bytes) -> Decoded:
            return replace(await super().decode(data), hashes=(HashedFrame(1, PDQ, 60),))

    engine = Engine(Hashes(), [Counts()])
    judgement = await engine.judge(b"x", timeout=5)
    assert judgement.hashes == (FrameHash(1, PDQ),)
    assert [frame.index for frame in judgement.frames] == [0, 3]
    await engine.close()


@pytest.mark.parametrize(("hashes", "weight"), [(0, 1), (1, 2), (8, 2), (9, 3), (2000, 251)])
def test_weight_of_a_judgement(hashes: int, weight: int) -> None:
    judgement = replace(judgement_of(PDQ), hashes=tuple(FrameHash(n, PDQ) for n in range(hashes)))
    assert judgement.weight == weight


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
        assert await cause_of(start(engine, encode(textured(2)), timeout=0.001)) == "timeout"
        assert (await engine.judge(encode(textured(2)), timeout=20)).width == 256
    finally:
        await engine.close()


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
