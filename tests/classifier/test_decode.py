import io
import zlib
from collections.abc import Iterator
from dataclasses import replace

import numpy as np
import pillow_heif
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from PIL import Image

from classifier.decode import decode, prepare
from classifier.flatten import Pixels
from classifier.frames import Bounds, Decoded, Undecoded
from classifier.icons import MAX_ENTRIES
from classifier.inputs import InputSpec
from classifier.pdq import pdq_of
from classifier.walking import MAX_WALK
from tests.drawing import animation, encode, icon, many_frames, png, quadrants, shape, textured

BOUNDS = Bounds(pixels=4_000_000, frames=8, seconds=20.0)


@pytest.fixture(autouse=True, scope="module")
def _prepared() -> Iterator[None]:
    """What a decoding process does at its start."""
    import warnings

    with warnings.catch_warnings():
        prepare()
        yield


@pytest.fixture(autouse=True)
def _warnings() -> Iterator[None]:
    import warnings

    with warnings.catch_warnings():  # pytest sets its own filters around each test
        warnings.simplefilter("ignore")
        warnings.simplefilter("error", Image.DecompressionBombWarning)
        yield


def decoded(data: bytes, bounds: Bounds = BOUNDS) -> Decoded:
    result = decode(data, bounds)
    assert isinstance(result, Decoded), result
    return result


def refused(data: bytes, bounds: Bounds = BOUNDS) -> Undecoded:
    result = decode(data, bounds)
    assert isinstance(result, Undecoded), "it was decoded"
    return result


def far(pixels: Pixels, image: Image.Image) -> float:
    """Mean difference in levels."""
    return float(np.abs(pixels.astype(int) - np.asarray(image.convert("RGB"), dtype=int)).mean())


@pytest.mark.parametrize(
    ("format", "options", "most"),
    [
        ("PNG", {}, 0),
        ("BMP", {}, 0),
        ("TIFF", {}, 0),
        ("TIFF", {"compression": "tiff_lzw"}, 0),
        ("WEBP", {"lossless": True}, 0),
        ("WEBP", {"quality": 95}, 6),
        ("JPEG", {"quality": 95}, 3),
        ("JPEG", {"quality": 95, "progressive": True}, 3),
        ("GIF", {}, 12),
        ("AVIF", {"quality": 95}, 3),
        ("HEIF", {"quality": 95}, 4),
    ],
)
def test_each_format(format: str, options: dict[str, object], most: float) -> None:
    result = decoded(encode(textured(1), format, **options))
    (frame,) = result.frames
    assert (result.width, result.height, result.count, result.truncated) == (256, 192, 1, False)
    assert frame.pixels.shape == (192, 256, 3)
    assert far(frame.pixels, textured(1)) <= most
    assert frame.quality == 100


def test_icon() -> None:
    result = decoded(encode(textured(1, 64, 64), "ICO"))
    assert result.media_type == "image/x-icon"
    assert far(result.frames[0].pixels, textured(1, 64, 64)) == 0


@pytest.mark.parametrize(
    ("mode", "format"),
    [
        ("1", "PNG"),
        ("L", "PNG"),
        ("LA", "PNG"),
        ("P", "PNG"),
        ("RGBA", "PNG"),
        ("I;16", "PNG"),
        ("CMYK", "JPEG"),
        ("L", "JPEG"),
        ("CMYK", "TIFF"),
        ("I;16", "TIFF"),
        ("F", "TIFF"),
        ("P", "GIF"),
        ("L", "WEBP"),
        ("RGBA", "WEBP"),
    ],
)
def test_each_mode(mode: str, format: str) -> None:
    source = textured(4)
    if mode == "I;16":
        grey = np.asarray(source.convert("L"), dtype=np.uint16) * 257
        image = Image.fromarray(grey)
    else:
        image = source.convert(mode)
    (frame,) = decoded(encode(image, format)).frames
    colourless = mode in ("1", "L", "LA", "I;16", "F")
    expected = source.convert("L") if colourless else source
    if mode == "1":
        assert set(np.unique(frame.pixels)) == {0, 255}
    elif mode == "F":  # spread over the range it uses
        assert np.corrcoef(frame.pixels[..., 0].ravel(), np.asarray(expected).ravel())[0, 1] > 0.999
    else:
        assert far(frame.pixels, expected) < 16


@pytest.mark.parametrize("depth", [8, 16])
def test_sixteen_bits_a_channel(depth: int) -> None:
    row = b"\x00" + b"".join(value.to_bytes(depth // 8, "big") * 3 for value in (0, (1 << depth) - 1))
    (frame,) = decoded(png(2, 1, row, depth=depth)).frames
    assert frame.pixels.tolist() == [[[0, 0, 0], [255, 255, 255]]]


def test_interlaced_png() -> None:
    """Adam7, made by hand as Pillow does not write it: one pass only, the others empty (a picture of 1x1)."""
    header = bytearray(png(1, 1, b"\x00\x0a\x14\x1e"))
    header[28] = 1
    header[29:33] = zlib.crc32(header[12:29]).to_bytes(4, "big")
    (frame,) = decoded(bytes(header)).frames
    assert frame.pixels.tolist() == [[[10, 20, 30]]]


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize("orientation", [1, 3, 6])
def test_exif_orientation(format: str, orientation: int) -> None:
    image = quadrants(128, 96)
    exif = Image.Exif()
    exif[0x0112] = orientation
    result = decoded(encode(image, format, exif=exif))
    turned = {1: image, 3: image.rotate(180), 6: image.rotate(-90, expand=True)}[orientation]
    assert (result.width, result.height) == turned.size
    assert far(result.frames[0].pixels, turned) < 6


def test_large_is_made_smaller_but_not_much() -> None:
    """Through the decoder or not, what a model of 224 pixels sees is the same to 0.999."""
    image = textured(5, 4000, 3000)
    detail = np.asarray(image, dtype=int) + np.random.default_rng(0).integers(-30, 30, (3000, 4000, 1))
    image = Image.fromarray(detail.clip(0, 255).astype(np.uint8))
    data = encode(image, "JPEG", quality=90)
    result = decoded(data, replace(BOUNDS, pixels=12_000_000))
    assert (result.width, result.height) == (4000, 3000)
    assert result.frames[0].pixels.shape == (768, 1024, 3)

    def seen(picture: Image.Image) -> np.ndarray:
        small = picture.resize((299, 224), Image.Resampling.BICUBIC)
        values = np.asarray(small, dtype=float).ravel()
        centred: np.ndarray = values - values.mean()
        return centred

    one, other = seen(Image.open(io.BytesIO(data)).convert("RGB")), seen(Image.fromarray(result.frames[0].pixels))
    assert one @ other / np.linalg.norm(one) / np.linalg.norm(other) >= 0.999


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GIF", {"optimize": False}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("TIFF", {}),
        ("AVIF", {"quality": 95}),
    ],
)
def test_animation_is_sampled_over_its_length(format: str, options: dict[str, object]) -> None:
    colours = [(20 * number, 250 - 20 * number, 128) for number in range(12)]
    images = [Image.new("RGB", (32, 32), colour) for colour in colours]
    result = decoded(animation(images, format, **options), replace(BOUNDS, frames=4))
    assert result.count == 12
    assert [frame.index for frame in result.frames] == [0, 3, 6, 11]  # 3 is least like the three that stand evenly
    for frame in result.frames:
        assert far(frame.pixels, images[frame.index]) < 12


ANIMATED = pytest.mark.parametrize(
    ("format", "options"),
    [("GIF", {"optimize": False}), ("PNG", {}), ("WEBP", {"lossless": True}), ("AVIF", {"quality": 95})],
)


@ANIMATED
@pytest.mark.parametrize(("count", "long"), [(9, 4), (12, 3), (12, 5), (12, 0), (12, 11)])
def test_the_frame_that_is_shown_longest_is_sampled(
    format: str, options: dict[str, object], count: int, long: int
) -> None:
    images = [textured(number, 64, 48) for number in range(count)]
    times = [60_000 if number == long else 20 for number in range(count)]
    result = decoded(animation(images, format, duration=times, **options))
    frames = {frame.index: frame for frame in result.frames}
    assert len(frames) == 8
    assert {0, long, count - 1} <= frames.keys()
    assert far(frames[long].pixels, images[long]) < 12


@pytest.mark.parametrize(
    ("format", "options"),
    [
        ("GIF", {"optimize": False}),
        ("PNG", {}),
        ("WEBP", {"lossless": True}),
        ("AVIF", {"quality": 95}),
        ("TIFF", {}),
    ],
)
def test_the_frames_between_are_hashed(format: str, options: dict[str, object]) -> None:
    images = [textured(number, 640, 480) for number in range(12)]
    result = decoded(animation(images, format, **options), replace(BOUNDS, frames=2))
    assert [frame.index for frame in result.frames] == [0, 11]
    assert [frame.index for frame in result.hashes] == list(range(1, 11))
    for frame in result.hashes:
        apart = int(frame.pdq, 16) ^ int(pdq_of(np.asarray(images[frame.index]))[0], 16)
        assert apart.bit_count() <= 24  # GIF's 256 colours alone make up most of it
        assert frame.quality >= 50


def test_frames_are_not_hashed_where_all_are_sampled() -> None:
    assert decoded(animation([textured(number) for number in range(8)], "PNG")).hashes == ()


def test_a_long_animation_is_hashed_too() -> None:
    """One frame among many that a flicker would show."""
    count = 257
    images = [textured(1, 200, 150) for _ in range(count)]
    images[count // 3] = textured(2, 200, 150)
    for number, image in enumerate(images):  # encoders make one of frames that are quite the same
        image.putpixel((number % 200, number // 200), (0, 0, 0))
    data = animation(images, "WEBP", lossless=True, duration=[20 + number % 2 for number in range(count)])
    result = decoded(data, replace(BOUNDS, frames=2))
    assert count // 3 not in [frame.index for frame in result.frames]
    wanted = int(pdq_of(np.asarray(images[count // 3]))[0], 16)
    assert min((int(frame.pdq, 16) ^ wanted).bit_count() for frame in result.hashes) <= 20
    assert len(result.hashes) == 2  # and the one that follows it; the rest shows what was there before


def test_flat_frames_between_have_no_hash() -> None:
    images = [textured(1, 64, 48), *(Image.new("RGB", (64, 48), (n, 0, 0)) for n in (0, 90, 180)), textured(2, 64, 48)]
    assert decoded(animation(images, "PNG"), replace(BOUNDS, frames=2)).hashes == ()


@pytest.mark.parametrize("sampled", [1, 2])
def test_a_turned_picture_stays_so_whichever_page_is_sampled(sampled: int) -> None:
    exif = Image.Exif()
    exif[0x0112] = 6
    data = animation([textured(number, 64, 48) for number in range(3)], "TIFF", exif=exif)
    result = decoded(data, replace(BOUNDS, frames=sampled))
    assert (result.width, result.height) == (48, 64)


@pytest.mark.parametrize("claims", [((0, 0), (255, 255)), ((0, 0), (16, 16)), ((16, 16), (0, 0)), ((32, 32), (32, 32))])
@pytest.mark.parametrize("format", ["PNG", "DIB"])
def test_every_picture_of_an_icon_is_a_frame_whatever_the_directory_says(
    claims: tuple[tuple[int, int], ...], format: str
) -> None:
    images = [textured(1, 256, 256), textured(2, 255, 255)]
    result = decoded(icon(images, claims, format=format))
    assert (result.count, result.width, result.height) == (2, 256, 256)
    for image in images:
        bare = [frame for frame in result.frames if frame.pixels.shape[0] == image.height]
        assert min(far(frame.pixels, image) for frame in bare) == 0


def test_an_icons_pictures_are_no_larger_than_what_they_are_for() -> None:
    data = icon([textured(1, 512, 512)])
    (whole,) = decoded(data).frames
    (small,) = decoded(data, replace(BOUNDS, wanted=(InputSpec((64, 64), "squash"),))).frames
    assert (whole.pixels.shape, small.pixels.shape) == ((512, 512, 3), (256, 256, 3))
    assert small.size == (512, 512)
    assert (int(whole.pdq, 16) ^ int(small.pdq, 16)).bit_count() <= 6


def test_icon_entries_at_the_bound_and_one_past() -> None:
    one = textured(1, 16, 16)
    assert decoded(icon([one] * MAX_ENTRIES)).count == MAX_ENTRIES
    answer = refused(icon([one] * (MAX_ENTRIES + 1)))
    assert (answer.cause, "33 pictures" in answer.message) == ("too_large", True)


def test_an_icon_with_a_picture_that_cannot_be_read_is_undecodable() -> None:
    data = icon([textured(1, 32, 32), textured(2, 16, 16)])
    at = data.rindex(b"IHDR")
    assert refused(data[:at] + b"JUNK" + data[at + 4 :]).cause == "undecodable"


def test_an_icon_entry_past_the_end_shows_nothing() -> None:
    data = bytearray(icon([textured(1, 32, 32), textured(2, 16, 16)]))
    data[34:38] = len(data).to_bytes(4, "little")
    assert decoded(bytes(data)).count == 1
    data[18:22] = len(data).to_bytes(4, "little")
    assert refused(bytes(data)).cause == "undecodable"


@pytest.mark.parametrize("disposal", [0, 1, 2])
def test_gif_frames_are_composited(disposal: int) -> None:
    """Each frame draws one corner only; what a viewer sees of the others depends on the disposal."""
    first = Image.new("P", (20, 20), 0)
    first.putpalette([255, 255, 255, 255, 0, 0, 0, 0, 255, 0, 0, 0])
    second = first.copy()
    first.paste(1, (0, 0, 10, 10))
    second.paste(2, (10, 10, 20, 20))
    data = animation([first, second], "GIF", disposal=disposal, optimize=False)
    frames = decoded(data).frames
    shown = frames[1].pixels
    assert frames[0].pixels[0, 0].tolist() == [255, 0, 0]
    assert shown[19, 19].tolist() == [0, 0, 255]
    assert shown[0, 0].tolist() == [255, 255, 255]


def test_both_views_of_a_frame_have_its_index() -> None:
    image = textured(6).convert("RGBA")
    image.putalpha(textured(7).convert("L"))
    result = decoded(encode(image, "PNG"))
    assert [(frame.index, frame.ground) for frame in result.frames] == [(0, "white"), (0, "black"), (0, "bare")]


@pytest.mark.parametrize("kind", ["PNG", "GIF", "WEBP", "JPEG", "BMP", "TIFF", "AVIF", "HEIF"])
def test_pixels_at_the_bound_and_one_past(kind: str) -> None:
    data = encode(textured(1, 100, 80), kind)
    assert decoded(data, replace(BOUNDS, pixels=8000)).width == 100
    answer = refused(data, replace(BOUNDS, pixels=7999))
    assert answer.cause == "too_large"
    assert "7999" in answer.message


def test_frames_at_the_bound_and_one_past() -> None:
    assert decoded(many_frames(MAX_WALK), replace(BOUNDS, frames=2)).count == MAX_WALK
    answer = refused(many_frames(MAX_WALK + 1))
    assert (answer.cause, "2001 frames" in answer.message) == ("too_large", True)


def test_computing_time_is_bounded_between_frames() -> None:
    data = animation([textured(number) for number in range(6)], "PNG")
    answer = refused(data, replace(BOUNDS, seconds=0.0))
    assert (answer.cause, "decode.seconds" in answer.message) == ("too_large", True)


def test_type_is_by_content() -> None:
    assert decoded(encode(shape(), "GIF")).media_type == "image/gif"


@pytest.mark.parametrize(
    ("data", "cause", "words"),
    [
        (b"", "undecodable", "empty"),
        (b"<svg/>", "unsupported", "SVG"),
        (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "undecodable", "video/mp4"),
        (b"%PDF-1.4", "unsupported", "PDF"),
        (b"<html>", "unsupported", "HTML"),
        (b"hello", "unsupported", "text"),
        (b"\x00" * 100, "unsupported", "no known kind"),
        (b"\xff\xd8\xff", "undecodable", "image/jpeg"),
        (b"\x89PNG\r\n\x1a\n", "undecodable", "image/png"),
        (b"GIF89a", "undecodable", "image/gif"),
        (b"BM", "undecodable", "image/bmp"),
        (b"\x00\x00\x00\x1cftypavif\x00\x00\x00\x00", "undecodable", "image/avif"),
        (b"\x00\x00\x00\x1cftypheic\x00\x00\x00\x00", "undecodable", "image/heic"),
    ],
)
def test_refused(data: bytes, cause: str, words: str) -> None:
    answer = refused(data)
    assert answer.cause == cause
    assert words in answer.message


@pytest.mark.parametrize("format", ["JPEG", "PNG", "BMP"])
def test_half_a_picture_is_judged_on_the_half_that_browsers_show(format: str) -> None:
    data = encode(textured(8, 512, 512), format)
    result = decoded(data[: len(data) // 2])
    assert result.truncated
    first, last = (352, 512) if format == "BMP" else (0, 160)  # a BMP begins with its last row
    assert far(result.frames[0].pixels[first:last], textured(8, 512, 512).crop((0, first, 512, last))) < 12


def test_half_an_animation_is_judged_on_the_frames_that_are_there() -> None:
    images = [textured(number, 64, 64) for number in range(6)]
    data = animation(images, "GIF")
    result = decoded(data[: len(data) // 2])
    assert 0 < len(result.frames) < 6
    assert far(result.frames[0].pixels, images[0]) < 12


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF"])
def test_cut_before_the_first_row_there_is_nothing_to_see(format: str) -> None:
    data = encode(textured(8, 512, 512), format)
    start = {"JPEG": data.find(b"\xff\xda") + 14, "PNG": data.find(b"IDAT") + 6, "GIF": data.find(b",") + 12}[format]
    assert refused(data[:start]).cause == "undecodable"


def test_wrong_checksum_in_the_data_is_read_as_far_as_it_goes() -> None:
    data = bytearray(encode(textured(8), "PNG"))
    data[-20] ^= 0xFF
    assert decode(bytes(data), BOUNDS)


def test_the_default_image_of_an_animation_is_a_frame() -> None:
    """Software that knows no APNG shows that one, though it is not part of the animation."""
    images = [textured(number, 64, 48) for number in range(3)]
    result = decoded(animation(images, "PNG", default_image=True))
    assert [far(frame.pixels, image) for frame, image in zip(result.frames, images, strict=True)] == [0, 0, 0]


def test_broken_exif_is_passed_over() -> None:
    data = encode(textured(1), "JPEG", exif=b"Exif\x00\x00MM\x00*\xff\xff\xff\xff")
    assert decoded(data).width == 256


@pytest.mark.parametrize("size", [(1, 1), (1, 2000), (2000, 1), (3, 5)])
def test_tiny_and_thin(size: tuple[int, int]) -> None:
    result = decoded(encode(textured(1, *size)))
    assert (result.width, result.height) == size
    assert len(result.frames[0].pdq) == 64


pillow_heif.register_heif_opener()
FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "TIFF", "ICO", "AVIF", "HEIF")
SEEDS = [encode(textured(1, 24, 18), format) for format in FORMATS]
SEEDS.append(animation([textured(n, 24, 18) for n in range(3)], "GIF"))


@settings(max_examples=150, deadline=None, suppress_health_check=list(HealthCheck))
@given(st.sampled_from(SEEDS), st.data())
def test_mutated_files_give_an_answer(seed: bytes, data: st.DataObject) -> None:
    broken = bytearray(seed)
    for _ in range(data.draw(st.integers(1, 6))):
        broken[data.draw(st.integers(0, len(broken) - 1))] = data.draw(st.integers(0, 255))
    cut = data.draw(st.integers(1, len(broken)))
    assert decode(bytes(broken[:cut]), BOUNDS)
