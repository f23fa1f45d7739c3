import json

import pytest

from addons.activitypub.pages import preview_images
from addons.activitypub.walk import walk
from addons.demo.documents import KINDS, Kind, document, stripped

URL, PICTURE, ACTOR = (
    "https://remote.example/x/1/a",
    "https://remote.example/pictures/1/a.jpg",
    "https://remote.example/a",
)


@pytest.mark.parametrize("kind", [kind for kind in KINDS if kind != "pages"])
def test_a_picture_stands_in_it_and_in_the_stripped_one_none(kind: Kind) -> None:
    data, media_type = document(kind, URL, PICTURE, ACTOR)
    assert media_type == "application/activity+json"
    whole, rest = (json.loads(one) for one in (data, stripped(kind, URL, ACTOR)))
    found, left = (walk(one, max_depth=8, max_nodes=100, max_media=4) for one in (whole, rest))
    assert [ref.url for ref in found.media] == [PICTURE]
    assert left.media == ()
    assert whole["id"] == rest["id"] == URL


def test_a_page_names_its_preview_image() -> None:
    data, media_type = document("pages", URL, PICTURE, ACTOR)
    assert preview_images(data, media_type, URL) == (PICTURE,)
