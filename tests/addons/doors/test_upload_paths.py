import pytest

from addons.doors.upload_paths import Paths, canonical
from addons.doors.upload_table import ENDPOINTS, PICTRS


@pytest.mark.parametrize(
    ("path", "plain"),
    [
        ("/", "/"),
        ("", "/"),
        ("/api/v1/media", "/api/v1/media"),
        ("/API//v1/./x/../Media/", "/api/v1/media"),
        ("/api/v1/media.json?x=1#y", "/api/v1/media"),
        ("/api/v1/media;x=1", "/api/v1/media"),
        ("/%61pi/v1%2Fmedia", "/api/v1/media"),
        ("/%2561pi/v1/media%3Fx", "/api/v1/media"),
        ("/../../api/v1/media", "/api/v1/media"),
        ("https://example.org/api/v1/media", "/api/v1/media"),
        ("https://example.org", "/"),
        ("/users/a.b/outbox", "/users/a.b/outbox"),
        ("/.hidden", "/.hidden"),
        ("/" + "a" * 600, "/" + "a" * 600),
    ],
)
def test_canonical(path: str, plain: str) -> None:
    assert canonical(path) == plain


@pytest.mark.parametrize(
    ("software", "path", "kind"),
    [
        ("lemmy", "/pictrs/image", "upload"),
        ("lemmy", "/pictrs/image/abc.png", None),
        ("lemmy", "/api/v3/post", "post"),
        ("lemmy", "/api/v3/post/like", None),
        ("mastodon", "/api/v1/statuses/12", "post"),
        ("mastodon", "/api/v1/statuses/12/favourite", None),
        ("mastodon", "/pictrs/image", None),
        ("misskey", "/api/chat/messages/create-to-user", "post"),
        ("misskey", "/api/chat/messages", None),
        ("peertube", "/api/v1/videos/upload", "upload"),
        ("peertube", "/api/v1/videos/upload-resumable", "unsupported"),
        ("peertube", "/api/v1/videos/12", "upload"),
        ("peertube", "/api/v1/videos/imports", "unsupported"),
        ("mbin", "/api/magazine/1/image", "upload"),
        ("mbin", "/api/magazine/1/anything", "post"),
        ("generic", "/api/v1/videos/upload-resumable", "unsupported"),
        ("generic", "/api/v3/post", "post"),
        ("generic", "/image", None),
        (PICTRS, "/image", "upload"),
        (PICTRS, "/internal/import", "upload"),
        (PICTRS, "/api/v3/post", None),
    ],
)
def test_rows(software: str, path: str, kind: str | None) -> None:
    found = Paths(software).find(path)
    assert (found.kind if found else None) == kind
    if found and software != "generic":
        assert found.software == software


def test_generic_speaks_as_the_first_server_that_has_the_row() -> None:
    found = Paths("generic").find("/api/v1/media")
    assert found is not None
    assert found.software == "mastodon"


def test_who_has_web_forms() -> None:
    assert {name for row in ENDPOINTS for name in row.software if Paths(name).forms} == {"mbin", "piefed", "pixelfed"}
    assert Paths("generic").forms
