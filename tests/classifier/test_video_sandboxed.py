"""Videos in a real decoding process, shut in as always: what libav does must be allowed there, and nothing more is."""

from collections.abc import AsyncIterator

import pytest
from PIL import Image

from classifier.inputs import InputSpec
from classifier.media import MediaDecoder
from classifier.parts import NeedsError, Parts
from classifier.settings import DecodeSettings
from classifier.types import CannotJudgeError
from tests.classifier.test_video import large
from tests.drawing import encode, shape
from tests.filming import film, moving, sound, with_circle

INPUTS = {"clip": InputSpec((32, 32), "squash")}


@pytest.fixture
async def decoder() -> AsyncIterator[MediaDecoder]:
    made = MediaDecoder(DecodeSettings(processes=1, seconds=20))
    made.warm_up()
    yield made
    await made.close()


@pytest.mark.parametrize(
    ("format", "codec", "pix_fmt"),
    [
        ("mp4", "libx264", "yuv420p"),
        ("mp4", "libsvtav1", "yuv420p"),
        ("mov", "mjpeg", "yuvj420p"),
        ("webm", "libvpx-vp9", "yuv420p"),
        ("webm", "libvpx", "yuva420p"),
        ("ogg", "libvpx", "yuv420p"),
    ],
)
async def test_each_kind(decoder: MediaDecoder, format: str, codec: str, pix_fmt: str) -> None:
    options = {"auto-alt-ref": "0"} if pix_fmt == "yuva420p" else {}
    pictures = (picture.convert("RGBA") if options else picture for picture in with_circle(moving(3), 10, 20))
    prepared = await decoder.decode(film(pictures, format, codec, pix_fmt=pix_fmt, options=options), INPUTS)
    tiles = prepared.rows["clip"]
    assert tiles.shape[0] == len(prepared.frames) == 16
    assert prepared.frames[-1].at == pytest.approx(2.9)
    middles = [(frame.at, *tiles[frame.rows["clip"][0], 16, 16].tolist()) for frame in prepared.frames]
    red_at = [at for at, red, green, blue in middles if red > 180 and green < 90 and blue < 90]
    assert red_at
    assert all(at is not None and 1 <= at < 2 for at in red_at)


async def test_cover_pictures(decoder: MediaDecoder) -> None:
    cover = encode(shape(width=64, height=64))
    prepared = await decoder.decode(sound(format="mp3", codec="libmp3lame", cover=cover), INPUTS)
    assert [frame.reading for frame in prepared.frames] == ["cover"]


async def test_a_file_known_in_parts_says_what_it_needs_and_is_judged(decoder: MediaDecoder) -> None:
    data = large("mp4")
    parts = Parts.of(len(data), [(0, data[:100_000])])
    for _ in range(8):
        try:
            prepared = await decoder.decode(parts, INPUTS)
            break
        except NeedsError as needs:
            more = [(offset, data[offset : offset + length]) for offset, length in needs.ranges]
            parts = Parts.of(len(data), [*parts.pieces, *more])
    assert len(prepared.frames) > 10


async def test_memory_is_bounded() -> None:
    """A frame of 64 million pixels needs more than there is; the process lives on and judges the next."""
    made = MediaDecoder(DecodeSettings(processes=1, seconds=20, memory=64 << 20))
    made.warm_up()
    try:
        huge = film([Image.new("RGB", (8000, 8000))], codec="mjpeg", format="mov", pix_fmt="yuvj420p")
        with pytest.raises(CannotJudgeError) as caught:
            await made.decode(huge, INPUTS)
        assert caught.value.cause in ("too_large", "undecodable")
        assert (await made.decode(film(moving(1)), INPUTS)).count == 10
    finally:
        await made.close()
