import asyncio
import logging
import os
import signal
import subprocess
import sys
from collections.abc import Iterator

import pytest
from PIL import Image

from classifier.inputs import InputSpec
from classifier.media import MediaDecoder, default_processes
from classifier.settings import DecodeSettings
from classifier.types import CannotJudgeError
from classifier.walking import MAX_WALK
from tests.drawing import animation, encode, many_frames, textured

INPUTS = {"clip": InputSpec((32, 32), "squash"), "nudity": InputSpec((48, 48), "corner", interpolation="linear")}


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    decoder = MediaDecoder(DecodeSettings(processes=1, seconds=1.0, memory=160 << 20, pixels=20_000_000, frames=4))
    decoder.warm_up()
    yield decoder
    decoder.stop()


async def test_frames_come_back(decoder: MediaDecoder) -> None:
    result = await decoder.decode(animation([textured(number) for number in range(6)], "GIF"), INPUTS)
    assert [frame.index for frame in result.frames] == [0, 1, 3, 5]
    assert result.rows["clip"].shape == (4, 32, 32, 3)
    assert result.rows["nudity"].shape == (4, 48, 48, 3)
    assert [frame.rows["clip"] for frame in result.frames] == [(0, 1), (1, 2), (2, 3), (3, 4)]
    assert len({rows.tobytes() for rows in result.rows["clip"]}) == 4


@pytest.mark.parametrize(("data", "cause"), [(b"", "undecodable"), (b"<svg/>", "unsupported")])
async def test_causes(decoder: MediaDecoder, data: bytes, cause: str) -> None:
    with pytest.raises(CannotJudgeError) as caught:
        await decoder.decode(data, INPUTS)
    assert caught.value.cause == cause


async def test_out_of_memory_is_too_large(decoder: MediaDecoder) -> None:
    """4400x4400 RGBA: under the pixel bound, but 78 MB for each of several copies is over the memory one."""
    data = encode(Image.new("RGBA", (4400, 4400), (1, 2, 3, 4)), "PNG", compress_level=1)
    with pytest.raises(CannotJudgeError, match="memory") as caught:
        await decoder.decode(data, INPUTS)
    assert caught.value.cause == "too_large"
    assert (await decoder.decode(encode(textured(1)), INPUTS)).width == 256


async def test_a_crash_is_undecodable(decoder: MediaDecoder) -> None:
    """The process is killed from outside while it decodes what takes a while."""
    (child,) = decoder.pids
    data = many_frames(MAX_WALK)
    task = asyncio.ensure_future(decoder.decode(data, INPUTS))
    await asyncio.sleep(0.05)
    os.kill(child, signal.SIGSEGV)
    with pytest.raises(CannotJudgeError, match="SIGSEGV") as caught:
        await task
    assert caught.value.cause == "undecodable"
    assert (await decoder.decode(encode(textured(1)), INPUTS)).width == 256


async def test_a_stopped_decoder_is_no_worker() -> None:
    decoder = MediaDecoder(DecodeSettings(processes=1))
    await decoder.close()
    with pytest.raises(CannotJudgeError) as caught:
        await decoder.decode(encode(textured(1)), INPUTS)
    assert caught.value.cause == "no_worker"


async def test_a_file_larger_than_the_memory_is_too_large() -> None:
    decoder = MediaDecoder(DecodeSettings(processes=1, memory=64 << 20))
    with pytest.raises(CannotJudgeError) as caught:
        await decoder.decode(bytes(64 << 20), INPUTS)
    assert caught.value.cause == "too_large"
    await decoder.close()


async def test_a_hang_is_a_timeout(decoder: MediaDecoder) -> None:
    """The process stands still while it decodes."""
    before = decoder.pids
    task = asyncio.ensure_future(decoder.decode(many_frames(MAX_WALK), INPUTS))
    await asyncio.sleep(0.05)
    os.kill(before[0], signal.SIGSTOP)
    with pytest.raises(CannotJudgeError) as caught:
        await task
    assert caught.value.cause == "timeout"
    assert decoder.pids != before


def test_the_start_says_what_shuts_the_processes_in(caplog: pytest.LogCaptureFixture) -> None:
    decoder = MediaDecoder(DecodeSettings(processes=1))
    with caplog.at_level(logging.INFO, "classifier.media"):
        decoder.warm_up()
    decoder.stop()
    assert decoder.sandbox is not None
    assert [record.levelname for record in caplog.records] == ["INFO"] + ["WARNING"] * len(decoder.sandbox.off)
    for said in (*decoder.sandbox.on, *decoder.sandbox.off):
        assert said in caplog.text


def test_version_tells_what_frames_depend_on() -> None:
    one, other = (MediaDecoder(DecodeSettings(processes=1, frames=frames)) for frames in (8, 9))
    assert one.version != other.version


def test_processes_by_default_are_the_cores_we_may_use() -> None:
    assert default_processes() == min(64, len(os.sched_getaffinity(0)))


def test_libraries_that_read_hostile_files_are_not_in_this_process() -> None:
    """They are loaded where files are decoded, and would cost the door's start a quarter of a second."""
    told = "import sys, classifier.engine, classifier.media; print(*sys.modules)"
    modules = subprocess.run([sys.executable, "-c", told], check=True, capture_output=True, text=True).stdout.split()
    assert "classifier.media" in modules
    assert not {"av", "pillow_heif", "imagecodecs", "cv2", "torch"}.intersection(modules)
