from collections.abc import Callable

import pytest

from addons.activitypub.walk import walk
from addons.demo.activities import Json, Writer

URL = "https://remote.example/pictures/1/ordinary.jpg"


def make() -> Writer:
    return Writer("https://remote.example", "https://remote.example/actor")


@pytest.mark.parametrize(
    ("write", "kinds", "types"),
    [
        (lambda w: w.note([w.document(URL)]), {"image"}, ("Create", "Note")),
        (lambda w: w.note([w.document(URL, "video/mp4")]), {"video"}, ("Create", "Note")),
        (lambda w: w.note([w.link(URL)]), {"image"}, ("Create", "Note")),
        (lambda w: w.page(URL), {"image"}, ("Announce", "Create", "Page")),
        (lambda w: w.page(None, f"![]({URL})"), {"inline"}, ("Announce", "Create", "Page")),
        (lambda w: w.video(URL), {"thumbnail"}, ("Announce", "Create", "Video")),
        (lambda w: w.avatar(URL), {"avatar"}, ("Update", "Person")),
        (lambda w: w.emoji(URL), {"emoji"}, ("Create", "Note")),
        (lambda w: w.collection([w.note([w.image(URL)])]), {"image"}, ("OrderedCollection", "Create", "Note")),
    ],
)
def test_a_server_would_find_the_picture(
    write: Callable[[Writer], Json], kinds: set[str], types: tuple[str, ...]
) -> None:
    found = walk(write(make()), max_depth=64, max_nodes=1000, max_media=10)
    pictures = [ref for ref in found.media if ref.kind != "page"]
    assert {ref.url for ref in pictures} == {URL}
    assert {ref.kind for ref in pictures} == kinds
    assert found.types == types
    assert found.actor == "https://remote.example/actor"


def test_no_id_and_no_picture_comes_twice() -> None:
    write = make()
    assert len({write.id("note") for _ in range(5)} | {write.id("post")}) == 6
    assert write.url("ordinary.jpg") == "https://remote.example/pictures/1/ordinary.jpg"
    assert write.url("ordinary.jpg") == "https://remote.example/pictures/2/ordinary.jpg"
    assert write.seed == 2


def test_a_document_about_a_picture_has_its_number() -> None:
    assert make().about("posts", URL) == "https://remote.example/posts/1/ordinary"


def test_a_post_that_links_to_a_page_has_no_picture_of_its_own() -> None:
    found = walk(make().linked("https://remote.example/pages/1/ordinary"), max_depth=64, max_nodes=1000, max_media=10)
    assert {ref.kind for ref in found.media} <= {"page"}
    assert [link.url for link in found.links] == ["https://remote.example/pages/1/ordinary"]
