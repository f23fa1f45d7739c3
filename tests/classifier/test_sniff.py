import time

import pillow_heif
import pytest
from hypothesis import given
from hypothesis import strategies as st

from classifier import media_type_of
from classifier.sniff import MAX_TEXT, sniff
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


# WHATWG's MIME Sniffing, 6.1 and 6.2 (as Blink and Gecko have them): whatever a browser takes for a picture or video by
# its first bytes, we do not take for another.
BROWSERS = [
    (b"\x00\x00\x01\x00", "image/x-icon"),
    (b"\x00\x00\x02\x00", "image/x-icon"),
    (b"BM", "image/bmp"),
    (b"GIF87a", "image/gif"),
    (b"GIF89a", "image/gif"),
    (b"RIFF\x01\x02\x03\x04WEBPVP", "image/webp"),
    (b"\x89PNG\r\n\x1a\n", "image/png"),
    (b"\xff\xd8\xff", "image/jpeg"),
    (b"ID3", "audio/mpeg"),
    (b"OggS\x00", "video/ogg"),
    (b"RIFF\x01\x02\x03\x04AVI ", "video/x-msvideo"),
    (b"RIFF\x01\x02\x03\x04WAVE", "audio/wav"),
    (b"\x00\x00\x00\x18ftypmp42\x00\x00\x00\x00mp42isom", "video/mp4"),
    (b"\x00\x00\x00\x18ftypisom\x00\x00\x00\x00isommp42", "video/mp4"),
    (b"\x1aE\xdf\xa3\x9fB\x82\x84webm", "video/webm"),
]


@pytest.mark.parametrize(("data", "media_type"), BROWSERS)
@pytest.mark.parametrize("tail", [b"", b"<svg/>", b"%PDF-", b"PK\x03\x04", b"\xff\xd8\xff"])
def test_what_browsers_sniff(data: bytes, media_type: str, tail: bytes) -> None:
    assert media_type_of(data + tail) == media_type


@pytest.mark.parametrize("junk", [b" ", b"\n", b"\x00", b"x"])
@pytest.mark.parametrize("format", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF"])
def test_a_picture_behind_something_else_is_none_to_them_or_us(junk: bytes, format: str) -> None:
    pillow_heif.register_heif_opener()
    assert sniff(junk + encode(shape(), format)).pillow is None


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
        (b"\x1aE\xdf\xa3\x9fB\x82\x84webm", "video/webm", None),
        (b"RIFF\x00\x00\x00\x00AVI ", "video/x-msvideo", None),
        (b"<svg xmlns='http://www.w3.org/2000/svg'/>", "image/svg+xml", None),
        (b"\xef\xbb\xbf <?xml version='1.0'?><!-- x --><SVG/>", "image/svg+xml", None),
        (b"<?xml version='1.0'?><rss/>", "text/xml", None),
        (b"OggS" + bytes(24) + b"OpusHead", "audio/ogg", None),
        (b"OggS" + bytes(24) + b"\x01vorbis" + bytes(99) + b"OggS" + bytes(24) + b"\x80theora", "video/ogg", None),
        (b"OggS" + bytes(24) + b"\x80theora", "video/ogg", None),
        (b"RIFF\0\0\0\0WAVEfmt ", "audio/wav", None),
        (b"\xff\xfb\x90\x64", "audio/mpeg", None),
        (b"\xff\xf1\x50\x80", "audio/aac", None),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom" + b"soun", "audio/mp4", None),
        (b"\0\0\0\x18ftypM4A \0\0\0\0M4A isom" + b"vide", "video/mp4", None),
        (b"\n<!DOCTYPE html><p>", "text/html", None),
        (b"<!doctype  HTML><svg xmlns='http://www.w3.org/2000/svg'/>", "text/html", None),
        (b"<html><body><svg/>", "text/html", None),
        (b"<!DOCTYPE svg PUBLIC '-//W3C//DTD SVG 1.1//EN'><svg/>", "image/svg+xml", None),
        (b'{"type": "Note"}', "application/json", None),
        (b"not found", "text/plain", None),
        (b"%PDF-1.7", "application/pdf", None),
        (b"\xff\x0a\x00", "image/jxl", "JXL"),
        (b"\x00\x00\x00\x0cJXL \r\n\x87\n", "image/jxl", "JXL"),
        (b"\x00\x01\x02\x03", "application/octet-stream", None),
        (b"", "application/octet-stream", None),
    ],
)
def test_by_first_bytes(data: bytes, media_type: str, pillow: str | None) -> None:
    kind = sniff(data)
    assert (kind.media_type, kind.pillow) == (media_type, pillow)
    assert (kind.pillow is None) == bool(kind.why or kind.video)


@pytest.mark.parametrize(
    ("data", "media_type", "format"),
    [
        (brands(b"isom", b"mp42"), "video/mp4", "mov"),
        (brands(b"qt  "), "video/quicktime", "mov"),
        (b"\0\0\0\x08wide\0\0\0\0mdat", "video/quicktime", "mov"),
        (b"\0\0\0\x00mdat", "video/quicktime", "mov"),
        (b"\x1aE\xdf\xa3\x9fB\x82\x84webm", "video/webm", "matroska"),
        (b"\x1aE\xdf\xa3\x9fB\x82\x88matroska", "video/x-matroska", "matroska"),
        (b"OggS" + bytes(24) + b"\x80theora", "video/ogg", "ogg"),
    ],
)
def test_videos_and_the_format_libav_opens_them_as(data: bytes, media_type: str, format: str) -> None:
    kind = sniff(data)
    assert (kind.media_type, kind.video, kind.why, kind.pillow) == (media_type, format, "", None)


@pytest.mark.parametrize("data", [b"\xff\xfb\x90\x64", b"ID3\4", b"fLaC", b"OggS" + bytes(24) + b"OpusHead"])
def test_sounds_that_may_have_a_cover_are_opened_too(data: bytes) -> None:
    kind = sniff(data)
    assert kind.video
    assert "audio is not a kind" in kind.why


@pytest.mark.parametrize("data", [b"RIFF\0\0\0\0AVI ", b"FLV\1", b"\0\0\1\xba", b"\0\0\1\xb3", b"the free man"])
def test_videos_that_no_browser_plays_are_not_judged(data: bytes) -> None:
    assert (sniff(data).video, bool(sniff(data).why)) == ("", True)


def test_brands_are_bounded() -> None:
    at = [b"isom"] * 64 + [b"avif"]
    assert sniff(brands(b"isom", *at[1:])).media_type == "image/avif"  # the 64th
    assert sniff(brands(b"isom", *at)).media_type == "video/mp4"  # one past


SVG = '<svg xmlns="http://www.w3.org/2000/svg"/>'


@pytest.mark.parametrize(
    ("text", "media_type"),
    [
        (f"<?xml version='1.0'?><!--{'x' * 5_000}-->{SVG}", "image/svg+xml"),
        ("<s:svg xmlns:s='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        ("<html:svg xmlns:html='http://www.w3.org/2000/svg'/>", "image/svg+xml"),
        ("<é:SVG/>", "image/svg+xml"),
        (f"<!DOCTYPE svg [<!ENTITY a '<html >'>]>{SVG}", "image/svg+xml"),
        (f"<?xml version='1.0'?><!DOCTYPE html>{SVG}", "image/svg+xml"),
        (f"<?xml version='1.0'?><!DOCTYPE html SYSTEM '><html '>{SVG}", "image/svg+xml"),
        (f"<!--><html> -->{SVG}", "image/svg+xml"),
        (f"<?x <html> ?>{SVG}", "image/svg+xml"),
        (f"<!-- <html> {SVG}", "image/svg+xml"),
        (f"a page of code: {SVG}", "image/svg+xml"),
        (f"<!-- a page --><!DOCTYPE html><body>{SVG}", "text/html"),
        (f"<!DOCTYPE html>{SVG}", "text/html"),
        (f"<?xml version='1.0'?><!DOCTYPE html PUBLIC '-//W3C//DTD' \"x\"><html >{SVG}</html>", "text/html"),
        (f"<?xml version='1.0'?><!-- x --> <html>{SVG}</html>", "text/html"),
        (f'{{"a": "{SVG}"}}', "application/json"),
        ("<rss><svgx/></rss>", "text/plain"),
        ("<!-- nothing but a comment -->", "text/html"),
        ("x" * 5_000, "text/plain"),
    ],
)
@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le", "utf-16-be"])
def test_text(text: str, media_type: str, encoding: str) -> None:
    mark = "\ufeff" if encoding[-2:] in ("le", "be") and not text.startswith("<") else ""
    assert media_type_of((mark + text).encode(encoding)) == media_type


@pytest.mark.parametrize("start", ["", "<!-- -->", "<?xml version='1.0'?>", "<a>"])
def test_text_is_looked_through_to_the_bound_and_one_past_it_it_could_be_svg(start: str) -> None:
    text = start.encode().ljust(MAX_TEXT, b"x")
    assert "svg" not in sniff(text).media_type
    assert sniff(text[:-5] + b"<svg>").media_type == "image/svg+xml"
    assert sniff(text + b"x").media_type == "image/svg+xml"
    assert sniff(text + b"x").why.startswith("text of more than 1048576 bytes")


@pytest.mark.parametrize("start", [b"<html>", b" {", b"[", b"<!DOCTYPE html>", "<html>".encode("utf-16-be")])
def test_a_video_behind_the_beginning_of_a_text_is_none(start: bytes) -> None:
    """ffmpeg finds it there (raw H.264, MJPEG), and pict-rs and PeerTube ask ffmpeg."""
    assert media_type_of(start + b"\x00\x00\x00\x01\x67\x64\x00\x0a\xac") == "application/octet-stream"


@pytest.mark.parametrize("start", [b"<html>", b"{", b"<!DOCTYPE html>"])
def test_long_pages_and_json_are_no_svg(start: bytes) -> None:
    assert "svg" not in sniff(start.ljust(MAX_TEXT + 1, b"x")).media_type


@pytest.mark.parametrize("end", [b"\x00", b"\x89PNG\r\n\x1a\n\x00", b"\x08"])
def test_text_with_other_bytes_at_its_end_is_unknown(end: bytes) -> None:
    assert sniff(b"--part\r\n".ljust(5_000, b"x") + end).media_type == "application/octet-stream"


@pytest.mark.parametrize("piece", [b"<", b"<!--", b"<!---->", b"<?", b"<a:", b":", b"<!doctype '", b" ", b"<svg_"])
def test_no_text_takes_more_than_linear_time(piece: bytes) -> None:
    began = time.process_time()
    sniff(piece * (MAX_TEXT // len(piece)))
    assert time.process_time() - began < 5  # quadratic would be hours


@given(st.binary(max_size=64))
def test_never_raises(data: bytes) -> None:
    assert sniff(data).media_type
