from typing import get_args

import pytest

from addons.activitypub.references import Kind, MediaRef
from addons.judging.pictures import is_no_picture
from addons.policy.words import Cause

PAGE = MediaRef("https://a.example/x", "page", "/x")
LINKED = MediaRef("https://a.example/x", "inline", "/x", linked=True)
AUDIO = MediaRef("https://a.example/x", "audio", "/x")
FAILURES = (Cause.FETCH_FAILED, Cause.FETCH_UNAUTHORIZED)
NO_PICTURES = [
    "text/html",
    "text/plain",
    "text/xml",
    "application/json",
    "application/pdf",
    "application/zip",
    "application/gzip",
    "audio/flac",
]
PICTURES = ["image/png", "image/svg+xml", "image/jxl", "image/*", "multipart/*", "video/mp4"]
NOT_KNOWN = ["application/octet-stream", ""]


@pytest.mark.parametrize("shows", NO_PICTURES)
def test_what_shows_no_picture_is_none_where_that_is_in_doubt(shows: str) -> None:
    for cause in (Cause.UNSUPPORTED, *FAILURES):
        assert is_no_picture(PAGE, cause, shows)
        assert is_no_picture(LINKED, cause, shows)


@pytest.mark.parametrize("shows", PICTURES + NOT_KNOWN)
def test_what_may_show_one_stays_but_for_a_link_that_cannot_be_judged(shows: str) -> None:
    assert not is_no_picture(PAGE, Cause.UNSUPPORTED, shows)
    assert is_no_picture(LINKED, Cause.UNSUPPORTED, shows)
    for cause in FAILURES:
        assert not is_no_picture(PAGE, cause, shows)
        assert not is_no_picture(LINKED, cause, shows)


@pytest.mark.parametrize("cause", FAILURES)
def test_where_nothing_is_shown_at_all(cause: Cause) -> None:
    assert is_no_picture(PAGE, cause, None)
    assert is_no_picture(LINKED, cause, None)
    assert not is_no_picture(AUDIO, cause, None)


def test_refused() -> None:
    assert is_no_picture(LINKED, Cause.FETCH_REFUSED, "")
    assert is_no_picture(PAGE, Cause.FETCH_REFUSED, None)  # for its address
    assert not is_no_picture(PAGE, Cause.FETCH_REFUSED, "")  # for its port, say
    assert not is_no_picture(AUDIO, Cause.FETCH_REFUSED, None)


@pytest.mark.parametrize(
    ("cause", "shows", "no_picture"),
    [
        (Cause.UNSUPPORTED, "audio/mpeg", True),
        (Cause.UNSUPPORTED, "video/mp4", False),
        (Cause.UNSUPPORTED, "text/html", False),
        (Cause.UNSUPPORTED, None, False),
        (Cause.FETCH_FAILED, "audio/mpeg", False),
        (Cause.FETCH_FAILED, "text/html", False),
    ],
)
def test_sounds(cause: Cause, shows: str | None, no_picture: bool) -> None:
    assert is_no_picture(AUDIO, cause, shows) is no_picture


@pytest.mark.parametrize("cause", [None, *sorted(set(Cause) - {Cause.UNSUPPORTED, Cause.FETCH_REFUSED, *FAILURES})])
def test_other_causes_stay_for_all(cause: Cause | None) -> None:
    for ref in (PAGE, LINKED, AUDIO):
        for shows in (None, *NO_PICTURES, *PICTURES, *NOT_KNOWN):
            assert not is_no_picture(ref, cause, shows)


@pytest.mark.parametrize("kind", sorted(set(get_args(Kind.__value__)) - {"page", "audio"}))
def test_what_is_called_or_shown_as_a_picture_stays_one(kind: Kind) -> None:
    ref = MediaRef("https://a.example/x", kind, "/x")
    for cause in Cause:
        for shows in (None, *NO_PICTURES, *PICTURES, *NOT_KNOWN):
            assert not is_no_picture(ref, cause, shows)
