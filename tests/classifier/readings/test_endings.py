import pytest

from classifier.readings.endings import end_of
from tests.drawing import animation, encode, many_frames, textured

FORMATS = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF", "HEIF")


@pytest.mark.parametrize("format", FORMATS)
@pytest.mark.parametrize("mode", ["RGB", "L", "P", "1"])
@pytest.mark.parametrize("size", [(64, 48), (63, 47), (1, 1)])
def test_a_file_ends_where_it_ends(format: str, mode: str, size: tuple[int, int]) -> None:
    image = textured(1, *size).convert(mode)
    data = encode(image if format not in ("JPEG", "HEIF", "AVIF") or mode != "P" else image.convert("RGB"), format)
    for tail in (b"", b"\xff\xd9" * 9, bytes(20), b"junk", data):
        assert end_of(data + tail, format) == len(data)


@pytest.mark.parametrize(
    "options", [{"progressive": True}, {"quality": 100}, {"restart_marker_rows": 1}, {"comment": b"\xff\xd9"}]
)
def test_each_kind_of_jpeg(options: dict[str, object]) -> None:
    data = encode(textured(1), "JPEG", **options)
    assert end_of(data + b"\xff\xd9", "JPEG") == len(data)


@pytest.mark.parametrize("format", ["GIF", "PNG", "WEBP", "AVIF"])
def test_animations(format: str) -> None:
    data = animation([textured(number, 40, 30) for number in range(5)], format)
    assert end_of(data + b"junk", format) == len(data)
    assert end_of(many_frames(100) + b";", "GIF") == len(many_frames(100))


@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "BMP"])
def test_one_that_is_cut_short_has_no_end(format: str) -> None:
    data = encode(textured(1), format)
    for length in (3, 20, len(data) // 2, len(data) - 1):
        assert end_of(data[:length], format) is None


@pytest.mark.parametrize("format", ["TIFF", "ICO"])
def test_some_do_not_say(format: str) -> None:
    assert end_of(encode(textured(1, 32, 32), format), format) is None


def test_a_gif_ends_where_browsers_give_up() -> None:
    data = encode(textured(1), "GIF")
    assert end_of(data[:-1] + b"\x00junk;", "GIF") == len(data) - 1


def test_a_bmp_ends_where_its_rows_do_whatever_it_says() -> None:
    data = encode(textured(1, 33, 21), "BMP")
    lie = data[:2] + (1 << 30).to_bytes(4, "little") + data[6:]
    assert end_of(lie + b"junk", "BMP") == len(data)
