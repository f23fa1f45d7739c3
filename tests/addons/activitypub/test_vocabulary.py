import pytest

from addons.activitypub.vocabulary import KNOWN, kind_by_ending, kind_by_media_type, kind_by_types

H = "https://a.example/"


@pytest.mark.parametrize(
    ("url", "kind"),
    [
        (H + "x.jpg", "image"),
        (H + "X.JPEG?size=large#top", "image"),
        (H + "x.png;v=1", "image"),
        (H + "x.jpg:large", "image"),
        (H + "x.jpg?url=https://b.example/y.html", "image"),
        (H + "x%2Ewebp", "image"),
        (H + "a/b.c/x.avif", "image"),
        (H + "x.mp4", "video"),
        (H + "x.gifv", "video"),
        (H + "x.m3u8", "video"),
        (H + "x.opus", "audio"),
        ("data:text/plain,x", "image"),
        (H + "x", None),
        (H + "x.html", None),
        (H + "?x.jpg", None),
        (H + "#x.jpg", None),
        (H + "x.jpg/", None),
        (H + "x.jpg.html", None),
        ("https://example.mov", None),
        ("https://example.mov/", None),
        (H + "jpg", None),
    ],
)
def test_kind_by_ending(url: str, kind: str | None) -> None:
    assert kind_by_ending(url) == kind


@pytest.mark.parametrize(
    ("media_type", "kind"),
    [
        ("image/png", "image"),
        (" Image/X-Anything ; q=1", "image"),
        ("video/mp4", "video"),
        ("application/x-mpegURL", "video"),
        ("application/vnd.apple.mpegurl", "video"),
        ("application/x-bittorrent", "video"),
        ("audio/ogg", "audio"),
        ("text/html", None),
        ("application/octet-stream", None),
        ("images/png", None),
        ("", None),
    ],
)
def test_kind_by_media_type(media_type: str, kind: str | None) -> None:
    assert kind_by_media_type(media_type) == kind


def test_kind_by_types() -> None:
    assert kind_by_types(["Link", "Video", "Image"]) == "video"
    assert kind_by_types(["Image"]) == "image"
    assert kind_by_types(["Audio"]) == "audio"
    assert kind_by_types(["Document"]) is None


def test_known_keys_are_written_as_they_are_looked_up() -> None:
    assert {"attachment", "content", "object", "url", "id"} <= KNOWN
    assert all(key == key.lower() for key in KNOWN)
