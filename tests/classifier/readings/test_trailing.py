import struct
import time

import numpy as np
import pytest
from PIL import Image

from classifier.decode import decode
from classifier.frames import Undecoded
from classifier.readings.trailing import MAX_TRAILING, MAX_TRIES, look
from classifier.sniff import sniff
from tests.classifier.readings.making import (
    BOUNDS,
    CIRCLE,
    PHOTO,
    circles,
    decoded,
    film,
    readings,
    with_segment,
    zipped,
)
from tests.drawing import animation, encode, textured

PICTURE = encode(PHOTO, "JPEG")
HAVE_AN_END = ("JPEG", "PNG", "GIF", "WEBP", "BMP", "AVIF", "HEIF")
SMALL = [encode(textured(number, 64, 48), "JPEG") for number in range(10, 20)]


@pytest.mark.parametrize("format", HAVE_AN_END)
@pytest.mark.parametrize("other", ["JPEG", "PNG", "GIF", "WEBP", "AVIF", "HEIF"])
def test_a_picture_behind_the_end_is_a_frame(format: str, other: str) -> None:
    if format == "HEIF" and other in ("AVIF", "HEIF"):
        return  # see below
    main = encode(PHOTO, format)
    for between, marks in ((b"", ()), (bytes(1000), ()), (b"hello", ("file.trailing",))):
        result = decoded(main + between + encode(CIRCLE, other))
        assert [frame.reading for frame in result.frames] == ["", f"trailing {other.lower()}"]
        assert circles(result) == [f"trailing {other.lower()}"]
        assert result.marks == marks


@pytest.mark.parametrize("other", ["AVIF", "HEIF"])
def test_two_files_of_heif_are_none(other: str) -> None:
    """libheif takes both as one, with two indexes, and shows neither."""
    answer = decode(encode(PHOTO, "HEIF") + encode(CIRCLE, other), BOUNDS)
    assert isinstance(answer, Undecoded)
    assert answer.cause == "undecodable"


@pytest.mark.parametrize("format", [*HAVE_AN_END, "TIFF", "ICO"])
def test_a_file_that_ends_where_it_ends_has_no_mark(format: str) -> None:
    result = decoded(encode(textured(1, 200, 150), format))
    assert (result.marks, {frame.reading for frame in result.frames}) == ((), {""})


@pytest.mark.parametrize("format", HAVE_AN_END)
def test_zeros_behind_the_end_are_nothing(format: str) -> None:
    assert decoded(encode(PHOTO, format) + bytes(5_000)).marks == ()
    assert decoded(encode(PHOTO, format) + bytes(5_000) + b"x").marks == ("file.trailing",)


def test_one_that_shows_the_same_is_none() -> None:
    assert readings(PICTURE + encode(PHOTO.resize((320, 240)), "JPEG")) == [""]


def test_the_second_picture_of_many() -> None:
    assert readings(animation([PHOTO, PHOTO.resize((320, 240))], "MPO")) == [""]
    result = decoded(animation([PHOTO, CIRCLE], "MPO"))
    assert (circles(result), result.marks) == (["second picture"], ())


@pytest.mark.parametrize("count", [MAX_TRAILING, MAX_TRAILING + 1, 1000])
def test_pictures_at_the_bound_and_past_it(count: int) -> None:
    result = decoded(PICTURE + b"".join((SMALL * 100)[:count]))
    assert len(result.frames) == 1 + MAX_TRAILING
    assert result.marks == (() if count == MAX_TRAILING else ("file.picture",))


def test_all_further_frames_together_are_bounded() -> None:
    one = [textured(number, 64, 48) for number in range(30, 36)]
    for image in one:
        image.putalpha(textured(7, 64, 48).convert("L"))
    result = decoded(PICTURE + b"".join(animation(one[at : at + 2], "PNG") for at in (0, 2, 4)))
    assert len(result.frames) == 1 + BOUNDS.frames
    assert result.marks == ("file.picture",)


@pytest.mark.parametrize(
    "marker", [b'http://ns.adobe.com/xap/1.0/\x00<x hdrgm:Version="1.0"/>', b"urn:iso:std:iso:ts:21496:-1"]
)
def test_a_gain_map_is_marked_unless_the_picture_is_blank(marker: bytes) -> None:
    gain = with_segment(encode(CIRCLE.convert("L"), "JPEG"), 0xE1, marker)
    result = decoded(PICTURE + gain)
    assert ([frame.reading for frame in result.frames], result.marks) == ([""], ("file.gainmap",))
    blank = encode(Image.new("RGB", (640, 480), "grey"), "JPEG")
    assert readings(blank + gain) == ["", "gain map"]


@pytest.mark.parametrize("brand", [b"isom", b"mp42", b"qt  "])
def test_the_motion_of_a_photo_is_judged(brand: bytes) -> None:
    motion = film(CIRCLE)
    assert motion[4:8] == b"ftyp"
    result = decoded(PICTURE + motion[:8] + brand + motion[12:])
    assert (set(circles(result)), result.marks) == ({"motion"}, ())
    assert len(result.frames) <= 5


def test_the_motion_of_a_photo_that_shows_the_same_is_none() -> None:
    assert readings(PICTURE + film(PHOTO)) == [""]


def test_a_broken_or_second_video_is_marked() -> None:
    assert "file.video" in decoded(PICTURE + film(CIRCLE)[:500]).marks
    assert decoded(PICTURE + film(PHOTO) + film(CIRCLE)).marks == ("file.video",)


@pytest.mark.parametrize(
    ("tail", "marks"),
    [
        (zipped(), ("file.archive",)),
        (b"Rar!\x1a\x07\x01\x00", ("file.archive",)),
        (b"7z\xbc\xaf\x27\x1c\x00\x04", ("file.archive",)),
        (b"%PDF-1.7", ("file.document",)),
        (b"<!DOCTYPE html><p>", ("file.document",)),
        (b"junk<script>", ("file.document",)),
        (b"SEFH", ("file.trailing",)),
    ],
)
@pytest.mark.parametrize("format", HAVE_AN_END)
def test_what_is_no_picture_is_marked(format: str, tail: bytes, marks: tuple[str, ...]) -> None:
    result = decoded(encode(PHOTO, format) + tail)
    assert (result.marks, len(result.frames)) == (marks, 1)


@pytest.mark.parametrize("format", ["TIFF", "ICO", "JPEG"])
def test_a_zip_is_seen_by_its_end_wherever_it_begins(format: str) -> None:
    data = encode(textured(1, 64, 64), format) + zipped()
    assert decoded(data).marks == ("file.archive",)
    comment = with_segment(PICTURE, 0xFE, zipped())
    assert len(comment) < 65_000
    assert decoded(comment).marks == ("file.archive",)


def test_a_pdf_is_seen_where_readers_of_pdf_look() -> None:
    assert decoded(with_segment(PICTURE, 0xFE, b"%PDF-1.4")).marks == ("file.document",)
    assert decoded(with_segment(PICTURE, 0xFE, bytes(1100) + b"%PDF-1.4")).marks == ()


def test_an_archive_of_pictures_is_an_archive() -> None:
    assert readings(PICTURE + zipped("a.jpg", encode(CIRCLE, "JPEG"))) == [""]


@pytest.mark.parametrize("tries", [MAX_TRIES, MAX_TRIES + 1])
def test_things_that_begin_like_a_picture_are_passed_over_to_a_bound(tries: int) -> None:
    result = decoded(PICTURE + b"\xff\xd8\xff\xe0junk" * (tries - 1) + encode(CIRCLE, "PNG"))
    assert (len(result.frames), "file.picture" in result.marks) == ((2, False) if tries == MAX_TRIES else (1, True))


@pytest.mark.parametrize(
    "piece", [b"\xff", b"\xff\xd8\xff", b"ftyp", b"RIFF", b"\0\0\0\x08ftyp", b"PK\x05\x06", b"\xff\xd9"]
)
def test_nothing_takes_more_than_linear_time(piece: bytes) -> None:
    data = PICTURE + piece * (8_000_000 // len(piece))
    began = time.process_time()
    look(data, sniff(data), lambda: None)
    assert time.process_time() - began < 10  # quadratic would be hours


def test_random_bytes_have_no_picture() -> None:
    noise = np.random.default_rng(0).bytes(30_000_000)
    assert decoded(PICTURE + noise).marks == ("file.trailing",)


def test_the_clock_is_looked_at() -> None:
    class LateError(Exception):
        pass

    def late() -> None:
        raise LateError

    data = b"GIF89a" + bytes(4) + b"\x00\x00\x00!\xfe" + b"\x01x" * 100_000
    with pytest.raises(LateError):
        look(data, sniff(data), late)
    chunks = b"\x89PNG\r\n\x1a\n" + struct.pack(">L4sL", 0, b"tEXt", 0) * 5_000
    with pytest.raises(LateError):
        look(chunks, sniff(chunks), late)
