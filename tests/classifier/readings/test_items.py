import pytest

from classifier.readings.items import MAX_ITEMS, look
from classifier.sniff import sniff
from tests.classifier.readings.making import (
    CIRCLE,
    PHOTO,
    avif_with_both,
    box,
    circles,
    decoded,
    film,
    heif_with_thumbnail,
    readings,
    with_gain_map,
    with_video,
)
from tests.classifier.test_jxl import jxl
from tests.drawing import animation, encode


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_a_thumbnail_is_a_frame_where_it_shows_something_else(format: str) -> None:
    result = decoded(heif_with_thumbnail(PHOTO, CIRCLE, format))
    assert (circles(result), len(result.frames), result.marks) == (["thumbnail"], 2, ())
    assert readings(heif_with_thumbnail(PHOTO, PHOTO.resize((160, 120)), format)) == [""]


@pytest.mark.parametrize("more", [0, MAX_ITEMS - 1, MAX_ITEMS])
def test_thumbnails_at_the_bound_and_one_past(more: int) -> None:
    data = heif_with_thumbnail(PHOTO, CIRCLE, "AVIF", more)
    found = look(data, sniff(data))
    assert len(found.readings) == min(1 + more, MAX_ITEMS)
    assert found.marks == ({"file.picture"} if more == MAX_ITEMS else set())


@pytest.mark.parametrize("format", ["HEIF", "AVIF"])
def test_a_thumbnail_that_is_not_there_is_marked(format: str) -> None:
    result = decoded(heif_with_thumbnail(PHOTO, CIRCLE, format, 1))
    assert (circles(result), result.marks) == (["thumbnail"], ("file.picture",))


def test_the_motion_of_a_photo() -> None:
    result = decoded(encode(PHOTO, "HEIF") + box(b"mpvd", film(CIRCLE)))
    assert (set(circles(result)), result.marks) == ({"motion"}, ())
    assert decoded(encode(PHOTO, "HEIF") + box(b"mpvd", b"junk")).marks == ("file.video",)


def test_a_gain_map_is_marked() -> None:
    result = decoded(with_gain_map(encode(PHOTO, "HEIF")))
    assert ([frame.reading for frame in result.frames], result.marks) == ([""], ("file.gainmap",))


@pytest.mark.parametrize("brand", [b"avif", b"avis"])
def test_of_avif_both_the_still_picture_and_the_sequence(brand: bytes) -> None:
    photo = PHOTO.resize(CIRCLE.size)
    data = avif_with_both(CIRCLE, [photo, photo.rotate(180)])
    result = decoded(data[:8] + brand + data[12:])
    assert circles(result) == ["" if brand == b"avif" else "still picture"]
    assert len(result.frames) == 3
    honest = animation([photo, photo.rotate(180)], "AVIF")
    assert readings(honest) == ["", ""]


@pytest.mark.parametrize("format", ["AVIF", "JXL"])
def test_a_picture_that_is_a_video_to_players(format: str) -> None:
    picture = jxl(PHOTO, usecontainer=True) if format == "JXL" else encode(PHOTO, format)
    result = decoded(with_video(picture, film(CIRCLE)))
    assert set(circles(result)) == {"video"}


def test_a_picture_that_is_a_video_without_pictures_is_marked() -> None:
    broken = with_video(jxl(PHOTO, usecontainer=True), film(CIRCLE)).replace(b"stsz", b"xxxx")
    assert decoded(broken).marks == ("file.video",)
