import asyncio
import multiprocessing
import os
import signal
from collections.abc import Iterator

import pytest
from PIL import Image

from classifier.media import MediaDecoder, default_processes
from classifier.settings import DecodeSettings
from classifier.types import CannotJudgeError
from classifier.walking import MAX_WALK
from tests.drawing import animation, encode, many_frames, textured


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    decoder = MediaDecoder(DecodeSettings(processes=1, seconds=1.0, memory=160 << 20, pixels=20_000_000, frames=4))
    decoder.warm_up()
    yield decoder
    decoder.stop()


async def test_frames_come_back(decoder: MediaDecoder) -> None:
    result = await decoder.decode(animation([textured(number) for number in range(6)], "GIF"))
    assert [frame.index for frame in result.frames] == [0, 2, 3, 5]
    assert all(frame.pixels.flags.c_contiguous for frame in result.frames)


@pytest.mark.parametrize(("data", "cause"), [(b"", "undecodable"), (b"<svg/>", "unsupported")])
async def test_causes(decoder: MediaDecoder, data: bytes, cause: str) -> None:
    with pytest.raises(CannotJudgeError) as caught:
        await decoder.decode(data)
    assert caught.value.cause == cause


async def test_out_of_memory_is_too_large(decoder: MediaDecoder) -> None:
    """4400x4400 RGBA: under the pixel bound, but 78 MB for each of several copies is over the memory one."""
    data = encode(Image.new("RGBA", (4400, 4400), (1, 2, 3, 4)), "PNG", compress_level=1)
    with pytest.raises(CannotJudgeError, match="memory") as caught:
        await decoder.decode(data)
    assert caught.value.cause == "too_large"
    assert (await decoder.decode(encode(textured(1)))).width == 256


async def test_a_crash_is_undecodable(decoder: MediaDecoder) -> None:
    """The process is killed from outside while it decodes what takes a while."""
    (child,) = multiprocessing.active_children()
    assert child.pid is not None
    data = many_frames(MAX_WALK)
    task = asyncio.ensure_future(decoder.decode(data))
    await asyncio.sleep(0.05)
    os.kill(child.pid, signal.SIGSEGV)
    with pytest.raises(CannotJudgeError, match="SIGSEGV") as caught:
        await task
    assert caught.value.cause == "undecodable"
    assert (await decoder.decode(encode(textured(1)))).width == 256


def test_version_tells_what_frames_depend_on() -> None:
    one, other = (MediaDecoder(DecodeSettings(processes=1, frames=frames)) for frames in (8, 9))
    assert one.version != other.version


def test_processes_by_default_are_the_cores_we_may_use() -> None:
    assert default_processes() == min(64, len(os.sched_getaffinity(0)))
