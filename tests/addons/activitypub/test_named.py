from typing import Any

import pytest

from addons.activitypub.named import BRINGING, named_objects
from addons.activitypub.parsing import Repeated
from addons.activitypub.references import Link
from addons.activitypub.walk import walk

ACTOR = "https://remote.example/users/a"
OTHER = "https://other.example/notes/1"
NOTE = {"type": "Note", "id": "https://remote.example/notes/1", "attributedTo": ACTOR, "content": "x"}


def named(document: object, depth: int = 64) -> list[str]:
    found = walk(document, max_depth=depth, max_nodes=10_000, max_media=32)
    return [link.url for link in named_objects(document, found, max_depth=depth)]


def activity(kind: str, object: Any = OTHER, **more: Any) -> dict[str, Any]:
    return {"type": kind, "id": f"{ACTOR}/activities/1", "actor": ACTOR, "object": object, **more}


@pytest.mark.parametrize("kind", sorted(BRINGING))
def test_what_is_brought(kind: str) -> None:
    assert named(activity(kind)) == [OTHER]
    assert named(activity(kind, {"id": OTHER, "type": "Note"})) == [OTHER]
    assert named(activity(kind, [OTHER, OTHER])) == [OTHER]


@pytest.mark.parametrize(
    "kind", ["Like", "Dislike", "EmojiReact", "Follow", "Undo", "Delete", "Flag", "Block", "Remove"]
)
def test_what_is_only_pointed_at(kind: str) -> None:
    assert named(activity(kind)) == []
    assert named(activity("Announce", activity(kind))) == []
    assert named(activity(kind, activity("Announce"))) == []


@pytest.mark.parametrize(
    "document",
    [
        activity("Create", NOTE | {"inReplyTo": OTHER, "to": [OTHER], "replies": OTHER}),
        activity("Create", NOTE, audience=OTHER, cc=[OTHER], target=OTHER),
        activity("Announce", NOTE | {"id": OTHER}),
        {"type": "Announce", "actor": OTHER},
        {"id": OTHER, "type": "Note"},
        {"type": "Announce", "object": "not an iri"},
        {"type": "Announce", "object": "https://www.w3.org/ns/activitystreams#Public"},
        {},
        [],
    ],
)
def test_what_is_neither(document: object) -> None:
    assert named(document) == []


@pytest.mark.parametrize(
    "document",
    [
        activity("Announce", activity("Create")),
        activity("Create", NOTE | {"quoteUrl": OTHER}),
        activity("Create", NOTE | {"quote": OTHER, "_misskey_quote": OTHER}),
        activity("Move", ACTOR, target=OTHER),
        [activity("Like", ACTOR), activity("Announce")],
        {"type": "OrderedCollection", "orderedItems": [activity("Announce")]},
        {"type": "Announce", "object": Repeated((NOTE, OTHER))},
        {"type": ["Like", "Announce"], "object": OTHER},
        {"@type": "as:Announce", "as:object": {"@id": OTHER}},
        {"@context": {"brings": "as:object"}, "type": "Announce", "brings": OTHER},
    ],
)
def test_wherever_and_however_it_is_named(document: object) -> None:
    assert OTHER in named(document)


def test_it_is_the_walks_own_place() -> None:
    document = activity("Announce", ["https://one.example/1", OTHER])
    found = walk(document, max_depth=9, max_nodes=99, max_media=9)
    assert named_objects(document, found, max_depth=9)[1] == Link(OTHER, "/object/1")


@pytest.mark.parametrize(("depth", "found"), [(9, [OTHER]), (8, [])])
def test_at_and_past_the_depth(depth: int, found: list[str]) -> None:
    document = activity("Announce")
    for _ in range(8):
        document = activity("Announce", document)
    assert named(document, depth) == found


@pytest.mark.parametrize(
    ("tag", "found"),
    [
        ({"mediaType": "application/activity+json"}, True),
        ({"mediaType": 'application/LD+json; profile="x"', "name": "RE: x"}, True),
        ({"mediaType": ["text/html", "application/activity+json"]}, True),
        ({"mediaType": "text/html"}, False),
        ({}, False),
    ],
)
def test_a_tag_may_name_what_is_quoted(tag: dict[str, Any], found: bool) -> None:
    link = {"type": "Link", "href": OTHER} | tag
    assert named(activity("Create", NOTE | {"tag": ["x", link]})) == ([OTHER] if found else [])
