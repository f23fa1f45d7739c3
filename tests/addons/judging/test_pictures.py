import pytest

from addons.activitypub.references import Kind, MediaRef
from addons.judging.pictures import is_no_picture
from addons.policy.words import Cause


@pytest.mark.parametrize(
    ("kind", "cause", "media_type", "no_picture"),
    [
        ("page", Cause.UNSUPPORTED, "text/html", True),
        ("page", Cause.UNSUPPORTED, "application/octet-stream", True),
        ("page", Cause.UNSUPPORTED, "video/mp4", False),
        ("page", Cause.UNSUPPORTED, "image/svg+xml", False),
        ("page", Cause.UNSUPPORTED, "image/jxl", False),
        ("page", Cause.FETCH_FAILED, "", True),
        ("page", Cause.FETCH_UNAUTHORIZED, "", True),
        ("page", Cause.FETCH_REFUSED, "", False),
        ("page", Cause.TIMEOUT, "", False),
        ("page", Cause.TOO_LARGE, "", False),
        ("page", Cause.BUSY, "", False),
        ("page", Cause.UNDECODABLE, "", False),
        ("page", None, "", False),
        ("inline", Cause.UNSUPPORTED, "text/html", True),
        ("inline", Cause.UNSUPPORTED, "application/octet-stream", False),
        ("inline", Cause.FETCH_FAILED, "", False),
        ("audio", Cause.UNSUPPORTED, "audio/mpeg", True),
        ("audio", Cause.UNSUPPORTED, "video/mp4", False),
        ("audio", Cause.FETCH_FAILED, "", False),
        ("image", Cause.UNSUPPORTED, "text/html", False),
        ("avatar", Cause.FETCH_FAILED, "", False),
        ("emoji", Cause.UNSUPPORTED, "text/plain", False),
    ],
)
def test_what_is_no_picture(kind: Kind, cause: Cause | None, media_type: str, no_picture: bool) -> None:
    assert is_no_picture(MediaRef("https://a.example/x", kind, "/x"), cause, media_type) is no_picture
