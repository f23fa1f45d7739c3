"""Files made to eat memory or time: each gets an answer in bounded time, and the next picture is decoded as ever."""

import random
import struct
import zlib
from collections.abc import Iterator

import pillow_heif
import pytest

from classifier.inputs import InputSpec
from classifier.media import MediaDecoder, Prepared
from classifier.settings import DecodeSettings
from classifier.types import CannotJudgeError
from tests.drawing import animation, encode, many_frames, png, png_chunk, shape, textured
from tests.security.grids import grid

pillow_heif.register_heif_opener()

INPUTS = {"whole": InputSpec((64, 64), "squash")}


@pytest.fixture(scope="module")
def decoder() -> Iterator[MediaDecoder]:
    """The default bounds but for the time."""
    decoder = MediaDecoder(DecodeSettings(processes=1, seconds=1.0))
    decoder.warm_up()
    yield decoder
    decoder.stop()


async def answer(decoder: MediaDecoder, data: bytes) -> Prepared | str:
    """What comes of ``data``; and whatever it was, a real picture is judged afterwards."""
    try:
        result: Prepared | str = await decoder.decode(data, INPUTS)
    except CannotJudgeError as error:
        result = error.cause
    assert (await decoder.decode(encode(textured(1)), INPUTS)).width == 256
    return result


def header_only_png(width: int, height: int) -> bytes:
    return png(width, height, b"")


def zipped(megabytes: int) -> bytes:
    return zlib.compress(bytes(megabytes << 20), 9)


def webp_header(width: int, height: int) -> bytes:
    """VP8X chunk: canvas of width x height, animated, nothing behind it."""
    body = struct.pack("<I", 0x02) + (width - 1).to_bytes(3, "little") + (height - 1).to_bytes(3, "little")
    chunk = b"VP8X" + struct.pack("<I", len(body)) + body
    return b"RIFF" + struct.pack("<I", 4 + len(chunk)) + b"WEBP" + chunk


def jpeg_header(width: int, height: int) -> bytes:
    data = bytearray(encode(shape(), "JPEG"))
    at = data.find(b"\xff\xc0") + 5
    data[at : at + 4] = struct.pack(">HH", height, width)
    return bytes(data)


def gif_header(width: int, height: int) -> bytes:
    """A small screen whose one frame says it is large."""
    data = bytearray(encode(shape(), "GIF"))
    at = data.find(b",", 13)
    data[at + 5 : at + 9] = struct.pack("<HH", width, height)
    return bytes(data)


def bmp_header(width: int, height: int) -> bytes:
    return b"BM" + struct.pack("<IHHI", 0, 0, 0, 54) + struct.pack("<IiiHHIIiiII", 40, width, height, 1, 24, *[0] * 6)


def tiff(entries: list[tuple[int, int, int, int]], following: int, body: bytes = b"") -> bytes:
    """One directory of (tag, type, count, value); ``following`` is where the next one is said to be."""
    packed = b"".join(struct.pack("<HHII", *entry) for entry in entries)
    return b"II*\x00\x08\x00\x00\x00" + struct.pack("<H", len(entries)) + packed + struct.pack("<I", following) + body


def small_tiff(following: int) -> bytes:
    entries = [(256, 4, 1, 2), (257, 4, 1, 2), (258, 3, 1, 8), (262, 3, 1, 1), (273, 4, 1, 98), (278, 4, 1, 2)]
    return tiff([*entries, (279, 4, 1, 4)], following, b"\x00\xff\xff\x00")


def icon(inner: bytes, width: int = 0, count: int = 1) -> bytes:
    at = 6 + 16 * count
    entry = struct.pack("<BBBBHHII", width, width, 0, 0, 1, 32, len(inner), at)
    return struct.pack("<HHH", 0, 1, count) + entry * count + inner


@pytest.mark.parametrize(
    "data",
    [
        pytest.param(header_only_png(60_000, 60_000), id="png"),
        pytest.param(header_only_png(2**31 - 1, 2**31 - 1), id="png-largest"),
        pytest.param(jpeg_header(65_500, 65_500), id="jpeg"),
        pytest.param(gif_header(65_535, 65_535), id="gif-frame-larger-than-its-screen"),
        pytest.param(webp_header(16_384, 16_384), id="webp"),
        pytest.param(bmp_header(60_000, 60_000), id="bmp"),
        pytest.param(tiff([(256, 4, 1, 90_000), (257, 4, 1, 90_000), (262, 3, 1, 1)], 0), id="tiff"),
        pytest.param(icon(header_only_png(60_000, 60_000)), id="png-in-icon"),
    ],
)
async def test_claims_of_size_are_not_believed(decoder: MediaDecoder, data: bytes) -> None:
    assert await answer(decoder, data) in ("too_large", "undecodable")


async def test_png_size_is_refused_by_its_header(decoder: MediaDecoder) -> None:
    with pytest.raises(CannotJudgeError, match="more than 64000000 pixels") as caught:
        await decoder.decode(header_only_png(60_000, 60_000), INPUTS)
    assert caught.value.cause == "too_large"


@pytest.mark.parametrize(
    "chunk",
    [
        pytest.param(png_chunk(b"iCCP", b"x\x00\x00" + zipped(300)), id="iCCP"),
        pytest.param(png_chunk(b"zTXt", b"x\x00\x00" + zipped(300)), id="zTXt"),
        pytest.param(png_chunk(b"iTXt", b"x\x00\x01\x00\x00\x00" + zipped(300)), id="iTXt"),
        pytest.param(png_chunk(b"zTXt", b"x\x00\x00" + zipped(1)) * 200, id="many-zTXt"),
        pytest.param(png_chunk(b"tEXt", b"x\x00y") * 100_000, id="many-tEXt"),
    ],
)
async def test_zip_bombs_in_what_nobody_sees(decoder: MediaDecoder, chunk: bytes) -> None:
    """Browsers show the picture, so it is the picture that is judged, or the file refused; never 300 MB unpacked."""
    row = b"\x00" + random.Random(1).randbytes(3 * 64)
    result = await answer(decoder, png(64, 64, row * 64, chunk))
    if isinstance(result, Prepared):
        assert result.rows["whole"][0, 0, 0].tolist() == list(row[1:4])
    else:
        assert result in ("too_large", "undecodable")


async def test_zip_bomb_in_the_data_is_as_large_as_its_header(decoder: MediaDecoder) -> None:
    result = await answer(decoder, png(8, 8, (b"\x00" + bytes(range(24))) * 8 + bytes(64 << 20)))
    assert isinstance(result, Prepared)
    assert (result.width, result.height) == (8, 8)


async def test_a_large_flat_picture_is_decoded(decoder: MediaDecoder) -> None:
    """4000x4000 black pixels in 47 kB: packed as a bomb is, but within the bounds."""
    result = await answer(decoder, png(4000, 4000, (bytes(1 + 3 * 4000)) * 4000))
    assert isinstance(result, Prepared)
    assert not result.rows["whole"].any()


async def test_one_hundred_thousand_frames(decoder: MediaDecoder) -> None:
    assert await answer(decoder, many_frames(100_000)) == "too_large"


async def test_frames_that_take_too_long_together(decoder: MediaDecoder) -> None:
    """Screens of 3000x3000 that are drawn anew for each of 900 frames of one pixel."""
    data = bytearray(many_frames(900))
    data[6:10] = struct.pack("<HH", 3000, 3000)
    frame = b"!\xf9\x04\x08\x00\x00\x00\x00"  # dispose to background: redraws all of it
    head, body = bytes(data[:19]), bytes(data[19:])
    first = b",\x00\x00\x00\x00\xb8\x0b\xb8\x0b\x00\x02\x02D\x01\x00"
    assert await answer(decoder, head + frame + first + body.replace(b",\x00", frame + b",\x00")) in (
        "too_large",
        "timeout",
        "undecodable",
    )


@pytest.mark.parametrize("following", [8, 9, 0xFFFFFFFF, 98])
async def test_tiff_directories_in_a_loop(decoder: MediaDecoder, following: int) -> None:
    result = await answer(decoder, small_tiff(following))
    if isinstance(result, Prepared):
        assert result.count <= 2
    else:
        assert result in ("too_large", "undecodable")


async def test_tiff_of_very_many_entries_and_values(decoder: MediaDecoder) -> None:
    entries = [(256, 4, 1, 10), (257, 4, 1, 10), *[(40_000 + n, 4, 0x3FFFFFFF, 8) for n in range(5000)]]
    assert await answer(decoder, tiff(entries, 0)) in ("too_large", "undecodable")


@pytest.mark.parametrize("count", [1, 5000])
async def test_icons_in_icons(decoder: MediaDecoder, count: int) -> None:
    data = encode(shape(width=32, height=32), "ICO")
    for _ in range(20):
        data = icon(data, 32, count)
    assert await answer(decoder, data) in ("too_large", "undecodable")


async def test_avif_and_heic_claims(decoder: MediaDecoder) -> None:
    for format in ("AVIF", "HEIF"):
        data = bytearray(encode(shape(width=64, height=64), format))
        at = data.find(b"ispe") + 8
        data[at : at + 8] = struct.pack(">II", 60_000, 60_000)
        assert await answer(decoder, bytes(data)) in ("too_large", "undecodable")


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
@pytest.mark.parametrize(
    ("side", "rows", "columns", "tiles"),
    [
        pytest.param(64, 16, 16, 1, id="one-tile-often"),
        pytest.param(64, 124, 124, 15_376, id="very-many-tiles"),
        pytest.param(512, 15, 15, 225, id="just-under-the-bound"),
        pytest.param(512, 16, 16, 256, id="over-the-bound"),
        pytest.param(64, 255, 255, 1, id="far-over-the-bound"),
    ],
)
async def test_grids(decoder: MediaDecoder, format: str, side: int, rows: int, columns: int, tiles: int) -> None:
    """A thousand bytes a tile at most, of which each is as much work as a picture."""
    result = await answer(decoder, grid(format, side, rows, columns, tiles))
    if isinstance(result, Prepared):
        assert (result.width, result.height) == (side * columns, side * rows)
        assert result.width * result.height <= DecodeSettings().pixels
    else:
        assert result in ("too_large", "undecodable", "timeout")


@pytest.mark.parametrize("format", ["AVIF", "HEIF"])
async def test_a_small_grid_is_decoded(decoder: MediaDecoder, format: str) -> None:
    result = await answer(decoder, grid(format, 64, 2, 3, 6))
    assert isinstance(result, Prepared)
    assert (result.width, result.height) == (192, 128)


@pytest.mark.parametrize("bits", [1, 8])
@pytest.mark.parametrize(("height", "refused"), [(8000, False), (8001, True)])
async def test_as_many_pixels_as_there_may_be(decoder: MediaDecoder, bits: int, height: int, refused: bool) -> None:
    """8000x8000 pixels in a file of some ten kilobytes: 192 MB as RGB; one row more is refused by the header."""
    row = bytes(1 + 8000 * bits // 8)
    result = await answer(decoder, png(8000, height, row * height, depth=bits, colour=0))
    if refused:
        assert result == "too_large"
    else:
        assert isinstance(result, Prepared) or result in ("too_large", "timeout")  # in one second, of a slow machine


async def test_tiff_of_very_many_pages(decoder: MediaDecoder) -> None:
    """Pages that are all the same two pixels, each with a directory of its own."""
    page = [
        (256, 4, 1, 2),
        (257, 4, 1, 2),
        (258, 3, 1, 8),
        (262, 3, 1, 1),
        (273, 4, 1, 8),
        (278, 4, 1, 2),
        (279, 4, 1, 4),
    ]
    packed = struct.pack("<H", len(page)) + b"".join(struct.pack("<HHII", *entry) for entry in page)
    size = len(packed) + 4
    for count in (50, 5_000, 100_000):
        pages = b"".join(packed + struct.pack("<I", 12 + size * (at + 1)) for at in range(count - 1))
        data = b"II*\x00" + struct.pack("<I", 12) + b"\x00\xff\xff\x00" + pages + packed + bytes(4)
        result = await answer(decoder, data)
        if count == 50:
            assert isinstance(result, Prepared)
            assert result.count == 50
        else:
            assert result in ("too_large", "timeout")


async def test_many_frames_at_full_size_stay_in_memory(decoder: MediaDecoder) -> None:
    images = [textured(number, 2000, 1500) for number in range(3)]
    result = await answer(decoder, animation(images, "WEBP", quality=50, method=0))
    assert isinstance(result, Prepared)
    assert len({rows.tobytes() for rows in result.rows["whole"]}) == len(result.frames) == 3


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "AVIF", "HEIF"])
async def test_mutated_files(decoder: MediaDecoder, format: str) -> None:
    """20 broken copies in each format, the same on every run."""
    chance = random.Random(format)
    seed = encode(textured(2, 48, 36), format)
    for _ in range(20):
        data = bytearray(seed)
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(len(data))] = chance.randrange(256)
        del data[chance.randint(len(data) // 4, len(data)) :]
        assert await answer(decoder, bytes(data))
