"""Broken files of every format through the real engine: each gets a judgement or a cause, in time, and work goes on.

``tests/bench/malformed.py`` does the same with thousands.
"""

from collections.abc import AsyncIterator, Iterator

import pytest

from classifier.engine import Engine
from classifier.media import MediaDecoder
from classifier.settings import DecodeSettings
from tests.bench.malformed import PROCESSES, engine, try_format
from tests.mutation import FORMATS, broken, real

COUNT = 40
CAUSES = {"judged", "undecodable", "unsupported", "too_large", "timeout", "crashed"}


class Kept(MediaDecoder):
    """Outlives the engine of one test: starting processes takes longer than most formats."""

    async def close(self) -> None:
        pass


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    decoder = Kept(DecodeSettings(processes=PROCESSES, seconds=1.0))
    decoder.warm_up()
    yield decoder
    decoder.stop()


@pytest.fixture
async def judging(decoder: MediaDecoder) -> AsyncIterator[Engine]:
    judging = engine(decoder)
    yield judging
    await judging.close()


@pytest.mark.parametrize("format", FORMATS)
async def test_broken_files(judging: Engine, decoder: MediaDecoder, format: str) -> None:
    for data in real(format):
        assert (await judging.judge(data, timeout=30)).frames
    tally = await try_format(judging, decoder, format, COUNT)
    assert tally.files == sum(tally.causes.values()) == COUNT
    assert set(tally.causes) <= CAUSES
    assert tally.causes["judged"] > 0, "all too broken to reach a decoder"
    assert tally.causes["judged"] < COUNT, "not broken"
    assert not tally.unexpected
    assert not tally.late
    for data in real(format):
        assert (await judging.judge(data + b"\0", timeout=30)).frames


def test_the_same_seed_breaks_the_same_way() -> None:
    for format in FORMATS:
        assert broken(format, 7) == broken(format, 7) != broken(format, 8)
