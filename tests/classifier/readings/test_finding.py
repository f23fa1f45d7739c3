"""All further readings through the real decoder, hostile ones above all."""

import random
from dataclasses import replace

import pytest

from classifier.decode import decode
from classifier.frames import Undecoded
from classifier.media import MediaDecoder
from classifier.readings.types import MARKS
from classifier.settings import DecodeSettings
from tests.classifier.readings.making import (
    BOUNDS,
    CIRCLE,
    PHOTO,
    avif_with_both,
    box,
    decoded,
    exif_with,
    exif_with_rows,
    film,
    heif_with_thumbnail,
    zipped,
)
from tests.classifier.readings.test_colours import hidden
from tests.classifier.readings.test_thumbnails import tiff_with_inner
from tests.classifier.test_jxl import jxl
from tests.drawing import encode

SMALL = PHOTO.resize((64, 48))
DOT = CIRCLE.resize((32, 24))


def seeds() -> list[bytes]:
    dot = encode(DOT, "JPEG")
    image, icc = hidden()
    return [
        encode(SMALL, "JPEG", exif=exif_with(dot)) + dot + encode(DOT, "GIF"),
        encode(SMALL, "PNG", exif=exif_with_rows(DOT)) + zipped(),
        encode(SMALL, "WEBP", exif=exif_with(dot)) + encode(DOT, "WEBP"),
        encode(SMALL, "JPEG") + film(DOT),
        encode(SMALL, "HEIF") + box(b"mpvd", film(DOT)),
        heif_with_thumbnail(SMALL, DOT, "HEIF"),
        heif_with_thumbnail(SMALL, DOT, "AVIF"),
        avif_with_both(DOT, [DOT.rotate(90), DOT.rotate(180)]),
        tiff_with_inner(2),
        encode(image.resize((64, 48)), "PNG", icc_profile=icc),
        jxl(SMALL, usecontainer=True) + encode(CIRCLE, "JPEG"),
    ]


@pytest.mark.parametrize("number", range(11))
def test_mutated_files_give_an_answer(number: int) -> None:
    chance = random.Random(number)
    seed = seeds()[number]
    kept = 0
    for attempt in range(60):
        data = bytearray(seed)
        first = (16, len(data) * 3 // 4)[attempt % 2]  # the picture itself, or what comes after
        for _ in range(chance.randint(1, 8)):
            data[chance.randrange(first, len(data))] = chance.choice((0, 0xFF, chance.randrange(256)))
        result = decode(bytes(data[: chance.choice((len(data), chance.randint(first, len(data))))]), BOUNDS)
        if isinstance(result, Undecoded):
            continue
        kept += 1
        assert set(result.marks) <= MARKS
        assert all(frame.reading == "" for frame in result.frames[:1])
    assert kept


def test_what_finding_takes_counts_as_decoding() -> None:
    data = b"GIF89a" + encode(SMALL, "GIF")[6:-1] + b"!\xfe" + b"\x01x" * 200_000 + b"\x00;"
    assert decoded(data).marks == ()
    answer = decode(data, replace(BOUNDS, seconds=0.0))
    assert isinstance(answer, Undecoded)
    assert answer.cause == "too_large"


async def test_in_a_decoding_process_all_is_as_here() -> None:
    """Shut in as it is: no further file may be read there, and memory is bounded."""
    decoder = MediaDecoder(DecodeSettings(processes=1, seconds=20.0, memory=1 << 30, pixels=4_000_000, frames=8))
    try:
        for data in seeds():
            here = decoded(data)
            there = await decoder.decode(data, {})
            assert [(one.reading, one.pdq) for one in there.frames] == [(one.reading, one.pdq) for one in here.frames]
            assert there.marks == here.marks
    finally:
        await decoder.close()
