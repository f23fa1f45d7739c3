import json
from dataclasses import replace

import pytest

from addons.demo.documents import document
from addons.demo.expected import as_expected, expected
from addons.demo.pictures import draw
from addons.demo.scenes import Script
from addons.demo.visits import Visit, visits
from addons.demo.ways import Gone
from addons.judging.placeholders import placeholder

ACTOR = "http://127.0.0.1:1/actor"
VISITS = visits(Script("http://127.0.0.1:1", ACTOR), "https://127.0.0.1:2")


def by(carries: str) -> Visit:
    return next(visit for visit in VISITS if visit.carries == carries)


def test_what_passes_arrives_as_it_was_sent_and_what_is_refused_not_at_all() -> None:
    gone = Gone(200, 1.0, b"sent", ())
    assert expected(by("fetches an ordinary picture"), gone, ACTOR) == (b"sent",)
    assert expected(by("a user's upload, forbidden"), gone, ACTOR) == ()


@pytest.mark.parametrize("extension", ["jpg", "png", "mp4"])
def test_the_placeholder_has_the_size_and_type_of_what_was_taken_away(extension: str) -> None:
    visit = by("has pict-rs proxy a forbidden picture")
    data, media_type = draw("glimpse" if extension == "mp4" else "forbidden", extension, 3)
    assert visit.url is not None
    size = (160, 120) if extension == "mp4" else (320, 320)
    made, made_type = placeholder(media_type, *size, visit.url)
    assert made_type == media_type
    assert expected(visit, Gone(200, 1.0, data, ()), ACTOR) == (made,)


@pytest.mark.parametrize(
    ("carries", "kind"),
    [
        ("fetches a profile, its avatar forbidden", "people"),
        ("fetches a post, its picture to be left out", "posts"),
    ],
)
def test_of_a_stripped_document_all_but_the_picture_arrives_however_it_is_spaced(carries: str, kind: str) -> None:
    visit = by(carries)
    assert visit.document is not None
    assert visit.url is not None
    (wanted,) = expected(visit, Gone(200, 1.0, b"", ()), ACTOR)
    whole = json.loads(document("people" if kind == "people" else "posts", visit.document, visit.url, ACTOR)[0])
    whole.pop("icon", None)
    whole.update({"attachment": []} if kind == "posts" else {})
    assert json.loads(wanted) == whole
    arrived = as_expected(visit, Gone(200, 1.0, b"", (json.dumps(whole, indent=2).encode(), b"no JSON"))).arrived
    assert arrived == (wanted, b"no JSON")


def test_nothing_else_is_rewritten() -> None:
    visit = replace(by("fetches a post, its picture ordinary"))
    gone = Gone(200, 1.0, b"", (b'{"a":1}',))
    assert as_expected(visit, gone) is gone
