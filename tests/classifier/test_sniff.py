import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier.sniff import sniff
from tests.drawing import encode, shape


@pytest.mark.parametrize(
    ("format", "media_type"),
    [
        ("JPEG", "image/jpeg"),
        ("PNG", "image/png"),
        ("GIF", "image/gif"),
        ("WEBP", "image/webp"),
        ("BMP", "image/bmp"),
        ("TIFF", "image/tiff"),
        ("ICO", "image/x-icon"),
        ("AVIF", "image/avif"),
    ],
)
def test_pictures(format: str, media_type: str) -> None:
    kind = sniff(encode(shape(), format))
    assert (kind.media_type, kind.pillow) == (media_type, format)


def brands(*names: bytes) -> bytes:
    return (16 + 4 * (len(names) - 1)).to_bytes(4, "big") + b"ftyp" + names[0] + bytes(4) + b"".join(names[1:])


@pytest.mark.parametrize(
    ("data", "media_type", "pillow"),
    [
        (brands(b"heic", b"mif1"), "image/heic", "HEIF"),
        (brands(b"mif1", b"heic"), "image/heic", "HEIF"),
        (brands(b"mif1", b"avif", b"miaf"), "image/avif", "AVIF"),
        (brands(b"isom", b"mp42"), "video/mp4", None),
        (brands(b"qt  "), "video/quicktime", None),
        (b"\x1aE\xdf\xa3webm", "video/webm", None),
        (b"RIFF\x00\x00\x00\x00AVI ", "video/x-msvideo", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", None),
        (b"\xef\xbb\xbf <?xml version='1.0'?><!-- x --><SVG/>", "image/svg+xml", None),
        (b"<?xml version='1.0'?><rss/>", "text/xml", None),
        (b"\n<!DOCTYPE html><p>", "text/html", None),
        (b"<!doctype  HTML><svg xmlns='http://www.w3.org/2000/svg'/>", "text/html", None),
        (b"<html><body><svg/>", "text/html", None),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'><svg/>", "image/svg+xml", None),
        (b'{"type": "Note"}', "application/json", None),
        (b"not found", "text/plain", None),
        (b"%PDF-1.7", "application/pdf", None),
        (b"\xff\x0a\x00", "image/jxl", None),
        (b"\x00\x01\x02\x03", "application/octet-stream", None),
        (b"", "application/octet-stream", None),
    ],
)
def test_by_first_bytes(data: bytes, media_type: str, pillow: str | None) -> None:
    kind = sniff(data)
    assert (kind.media_type, kind.pillow) == (media_type, pillow)
    assert (kind.why == "") == (pillow is not None)


def test_video_says_so() -> None:
    assert sniff(brands(b"isom")).why == "video is not judged in this version"


def test_brands_are_bounded() -> None:
    at = [b"isom"] * 64 + [b"avif"]
    assert sniff(brands(b"isom", *at[1:])).media_type == "image/avif"  # the 64th
    assert sniff(brands(b"isom", *at)).media_type == "video/mp4"  # one past


@given(st.binary(max_size=64))
def test_never_raises(data: bytes) -> None:
    assert sniff(data).media_type
