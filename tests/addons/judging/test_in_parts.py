"""Videos larger than fetch.max_bytes, from a real host on loopback through a real engine."""

import time
from collections.abc import AsyncIterator
from typing import Any

import pytest

from addons.activitypub.references import MediaRef
from addons.fetching.budget import MemoryBudget
from addons.judging.judge import Judge
from addons.policy.words import Cause, Medium
from classifier import Judgement, presets
from classifier.engine import Engine
from classifier.settings import ClassifierSettings, ClipSettings, DecodeSettings
from tests.addons.fetching.servers import fetcher
from tests.classifier.test_video import large
from tests.drawing import encode, textured
from tests.ranges import Lie, host

MOST = 3 << 20
SETTINGS = ClassifierSettings(
    clip=ClipSettings(model="fediward-tiny", pretrained="demo-shapes", device="cpu", threads=1),
    nudity=None,
    decode=DecodeSettings(processes=1, seconds=20),
)


@pytest.fixture
async def engine() -> AsyncIterator[Engine]:
    made = Engine.start(SETTINGS, presets.load("demo-shapes"))
    yield made
    await made.close()


async def judged(engine: Engine, port: int, *, times: int = 1, most: int = MOST) -> tuple[list[Medium], MemoryBudget]:
    budget = MemoryBudget(64 << 20)
    judge = Judge(fetcher(port, max_bytes=most, budget=budget), engine, clock=time.monotonic)
    ref = MediaRef(f"http://127.0.0.1:{port}/v.mp4", "video", "/a")
    media: list[Medium] = []
    for _ in range(times):
        media += await judge.judge([ref], timeout=60)
    return media, budget


def worst(judgement: Judgement | None) -> dict[str, float]:
    assert judgement is not None
    return judgement.worst()


@pytest.fixture(scope="module")
def video() -> bytes:
    data = large("mp4")
    assert len(data) > MOST
    return data


async def test_a_large_video_is_judged_by_some_of_its_key_frames(engine: Engine, video: bytes) -> None:
    async with host(video) as server:
        (first, again), budget = await judged(engine, server.port, times=2)
    found = first.judgement
    assert found is not None, (first.cause, first.message)
    assert max(frame.symbols["clip.red_circle"] for frame in found.frames) > 0.5
    (frame,) = [frame for frame in found.frames if frame.symbols["clip.red_circle"] > 0.5]
    assert frame.at == pytest.approx(10.0)
    assert found.sha256.startswith("parts:")
    assert again.cached
    assert again.judgement == found
    assert budget.used == 0
    asked = sum(b"Range:" in head for head in server.heads)
    assert 2 < asked == len(server.heads) - 1


async def test_the_same_video_whole_shows_the_same(engine: Engine, video: bytes) -> None:
    async with host(video) as server:
        (medium,), _ = await judged(engine, server.port, most=32 << 20)
    assert worst(medium.judgement)["clip.red_circle"] > 0.5
    assert len(server.heads) == 1


async def test_a_host_without_ranges_is_too_large(engine: Engine, video: bytes) -> None:
    async with host(video, None) as server:
        (medium,), budget = await judged(engine, server.port)
    assert (medium.cause, budget.used) == (Cause.TOO_LARGE, 0)


async def test_a_large_picture_is_too_large(engine: Engine) -> None:
    async with host(encode(textured(1)) + bytes(MOST), kind="image/png") as server:
        (medium,), budget = await judged(engine, server.port)
    assert (medium.cause, budget.used) == (Cause.TOO_LARGE, 0)
    assert "image/png" in medium.message
    assert len(server.heads) == 2


async def test_a_file_that_changes_meanwhile_is_a_failed_fetch(engine: Engine, video: bytes) -> None:
    def swap(number: int, body: bytes, headers: dict[str, str], status: str) -> tuple[bytes, dict[str, str], str]:
        return body, headers | ({"ETag": '"two"'} if number == 3 else {}), status

    lie: Lie = swap
    async with host(video, lie) as server:
        (medium,), budget = await judged(engine, server.port)
    assert (medium.cause, budget.used) == (Cause.FETCH_FAILED, 0)


async def test_zeros_instead_of_the_video_are_not_passed(engine: Engine, video: bytes) -> None:
    def blank(number: int, body: bytes, headers: dict[str, Any], status: str) -> tuple[bytes, dict[str, str], str]:
        return (body if number == 1 else bytes(len(body))), headers, status

    async with host(video, blank) as server:
        (medium,), _ = await judged(engine, server.port)
    assert medium.judgement is None
    assert medium.cause in (Cause.UNDECODABLE, Cause.TOO_LARGE)
